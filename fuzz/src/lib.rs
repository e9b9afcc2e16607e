//! What the fuzz targets do with their input. Each function holds for every input, or panics.

mod upstreams;

pub use upstreams::{raw_prompts, upstream_anthropic, upstream_bedrock, upstream_native};

use bytes::Bytes;
use chaski_api::endpoints;
use chaski_upstream::framing::{AwsMessages, Event, Events, JsonLines, TooLong};

/// The first two bytes choose the limit and the cuts of what follows.
fn dealt(data: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (head, rest) = data.split_at_checked(2)?;
    Some((usize::from(head[0]) + 1, usize::from(head[1] % 16) + 1, rest))
}

/// The data as the network might cut it.
pub(crate) fn pieces(data: &[u8], size: usize) -> Vec<Bytes> {
    data.chunks(size).map(Bytes::copy_from_slice).collect()
}

fn events(data: &[u8], size: usize, most: usize) -> (Vec<Event>, Option<TooLong>) {
    let (mut parser, mut out) = (Events::new(most), Vec::new());
    for piece in pieces(data, size) {
        parser.feed(piece);
        while let Some(event) = parser.next_event() {
            match event {
                Ok(event) => out.push(event),
                Err(error) => return (out, Some(error)),
            }
        }
    }
    out.extend(parser.finish());
    (out, None)
}

fn lines(data: &[u8], size: usize, most: usize) -> (Vec<Bytes>, Option<TooLong>) {
    let (mut parser, mut out) = (JsonLines::new(most), Vec::new());
    for piece in pieces(data, size) {
        parser.feed(piece);
        while let Some(line) = parser.next_line() {
            match line {
                Ok(line) => out.push(line),
                Err(error) => return (out, Some(error)),
            }
        }
    }
    out.extend(parser.finish());
    (out, None)
}

/// Server-sent events and JSON lines come out the same however the network cuts them, and nothing
/// is longer than its limit.
pub fn framing(data: &[u8]) {
    let Some((most, size, data)) = dealt(data) else { return };
    let cut = events(data, size, most);
    assert_eq!(cut, events(data, data.len().max(1), most));
    assert!(cut.0.iter().all(|event| event.data.len() <= most));
    let cut = lines(data, size, most);
    assert_eq!(cut, lines(data, data.len().max(1), most));
    assert!(cut.0.iter().all(|line| line.len() <= most));
}

fn messages(data: &[u8], size: usize, most: usize) -> (Vec<String>, Option<String>) {
    let (mut parser, mut out) = (AwsMessages::new(most), Vec::new());
    for piece in pieces(data, size) {
        parser.feed(piece);
        while let Some(message) = parser.next_message() {
            match message {
                Ok(message) => {
                    assert!(message.payload.len() <= most);
                    out.push(format!("{message:?}"));
                }
                Err(error) => return (out, Some(error.to_string())),
            }
        }
    }
    (out, None)
}

/// The binary messages of AWS come out the same however the network cuts them.
pub fn aws_messages(data: &[u8]) {
    let Some((most, size, data)) = dealt(data) else { return };
    assert_eq!(messages(data, size, most * 16), messages(data, data.len().max(1), most * 16));
}

/// What an upstream streams is passed on as JSON objects, and ends by itself or with one error,
/// the same however the network cuts it.
pub fn relay(data: &[u8]) {
    let Some((_, size, data)) = dealt(data) else { return };
    let seen = |size| {
        let items = chaski_upstream::fuzzing::relayed(pieces(data, size));
        let errors = items.iter().filter(|item| item.is_err()).count();
        assert!(errors == 0 || (errors == 1 && items.last().is_some_and(Result::is_err)));
        items
            .into_iter()
            .map(|item| match item {
                Ok(event) => {
                    let text = std::str::from_utf8(&event).expect("events are text").trim();
                    assert!(text.starts_with('{') && text.ends_with('}'));
                    Ok(event)
                }
                Err(error) => Err(error.message),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(size), seen(data.len().max(1)));
}

/// Every request of every endpoint is read, or its problems are told.
pub fn requests(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let typed: Vec<_> = endpoints::all().filter_map(|endpoint| endpoint.types).collect();
    let Ok(value) = serde_json::from_slice(data) else { return };
    for problem in (typed[usize::from(*choice) % typed.len()].problems)(value) {
        assert!(!problem.msg.is_empty());
    }
}

/// A chat of Llama Stack's face over an upstream that answers in OpenAI's form.
pub fn llama_stack(data: &[u8]) {
    let (request, events) = upstreams::exchange(data);
    chaski_server::fuzzing::llama_stack_chat(request, events);
}

/// A message of Anthropic's face over an upstream that answers in OpenAI's form.
pub fn anthropic(data: &[u8]) {
    let (request, events) = upstreams::exchange(data);
    chaski_server::fuzzing::anthropic_message(request, events);
}
