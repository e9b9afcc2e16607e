//! Chats with upstreams whose answers are translated by their providers.

use crate::pieces;
use bytes::Bytes;
use chaski_llama::{Event as Part, Reader};
use chaski_providers_inference::fuzzing::{self as providers, Outcome};

/// The request stands before a null byte, the answer or its events behind it, one a line.
pub(crate) fn exchange(data: &[u8]) -> (&[u8], Vec<Bytes>) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (request, answer) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    (request, answer.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect())
}

/// A chat with an upstream, once with its answer in one piece and once in pieces. The request stands
/// before a null byte, the answer behind it. What comes out is the same.
fn chat(
    size: u8,
    data: &[u8],
    encode: fn(&[u8]) -> Vec<u8>,
    with: fn(&[u8], Vec<Bytes>) -> Outcome,
) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (request, answer) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let answer = encode(answer);
    let whole = with(request, pieces(&answer, answer.len().max(1)));
    assert_eq!(with(request, pieces(&answer, usize::from(size % 16) + 1)), whole);
}

/// A chat with Anthropic's API.
pub fn upstream_anthropic(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    chat(*size, data, <[u8]>::to_vec, providers::anthropic_chat);
}

/// A chat with Bedrock. A stream has an event in each line: its name, a space, and its JSON. Whatever
/// has no name is an answer at once.
pub fn upstream_bedrock(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    chat(*size, data, aws_events, providers::bedrock_chat);
}

/// Lines of names and JSON as the binary messages of AWS.
fn aws_events(lines: &[u8]) -> Vec<u8> {
    if lines.starts_with(b"{") {
        return lines.to_vec();
    }
    let mut out = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b' ');
        let name = parts.next().unwrap_or_default();
        let payload = parts.next().unwrap_or_default();
        let is_exception = name.ends_with(b"Exception");
        let (kind, key): (&[u8], &[u8]) = if is_exception {
            (b"exception", b":exception-type")
        } else {
            (b"event", b":event-type")
        };
        let mut headers = Vec::new();
        for (key, value) in [(&b":message-type"[..], kind), (key, name)] {
            headers.push(u8::try_from(key.len()).expect("it is short"));
            headers.extend_from_slice(key);
            // A text, with its length.
            headers.push(7);
            let value = &value[..value.len().min(256)];
            headers.extend(u16::try_from(value.len()).expect("it is cut").to_be_bytes());
            headers.extend_from_slice(value);
        }
        let start = out.len();
        let length = |bytes: usize| u32::try_from(bytes).expect("inputs are short").to_be_bytes();
        out.extend(length(16 + headers.len() + payload.len()));
        out.extend(length(headers.len()));
        out.extend(crc32fast::hash(&out[start..]).to_be_bytes());
        out.extend(headers);
        out.extend_from_slice(payload);
        out.extend(crc32fast::hash(&out[start..]).to_be_bytes());
    }
    out
}

/// A chat with Ollama or with another Llama Stack server by their own routes.
pub fn upstream_native(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let with = if *size < 128 { providers::ollama_chat } else { providers::llama_stack_chat };
    chat(*size, data, <[u8]>::to_vec, with);
}

/// A chat with a server that only continues text, and the reader of what Llama models write, for
/// which it means the same wherever it is cut.
pub fn raw_prompts(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let (request, completions) = exchange(data);
    providers::raw_prompt_chat(request, completions);

    let text = String::from_utf8_lossy(data);
    let whole = written([&*text].into_iter());
    let letters: Vec<char> = text.chars().collect();
    let cut: Vec<String> =
        letters.chunks(usize::from(size % 16) + 1).map(|piece| piece.iter().collect()).collect();
    assert_eq!(written(cut.iter().map(String::as_str)), whole);
}

/// The parts of an answer that comes in these pieces, with what belongs together in one.
fn written<'a>(pieces: impl Iterator<Item = &'a str>) -> Vec<Part> {
    let mut reader = Reader::new(["get_weather", "brave_search", "code_interpreter"]);
    let mut parts = Vec::new();
    for piece in pieces {
        parts.extend(reader.push(piece));
    }
    parts.extend(reader.finish().0);
    let mut out: Vec<Part> = Vec::new();
    for part in parts {
        match (out.last_mut(), part) {
            (Some(Part::Text(text)), Part::Text(more))
            | (Some(Part::Arguments(text)), Part::Arguments(more)) => text.push_str(&more),
            (_, part) => out.push(part),
        }
    }
    out.retain(|part| !matches!(part, Part::Text(text) | Part::Arguments(text) if text.is_empty()));
    out
}
