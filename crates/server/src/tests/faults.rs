//! An upstream that breaks off at every byte of its answer.

use super::{
    harness::{Answer, Running, chat, is_error, llama_chat, start_relaying},
    provider::client_of,
};
use crate::ServerOptions;
use chaski_testkit::{Act, RawUpstream, eventually};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

const EVENTS: [&str; 4] = [
    r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hel"}}]}"#,
    r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"lo é"}}]}"#,
    r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "[DONE]",
];
const BODY: &str = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello é"},"finish_reason":"stop"}]}"#;

/// How an answer is sent: as a stream, in chunks as a whole, or with its length in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Stream,
    Chunked,
    Plain,
}

/// The bytes of an answer.
fn answer(form: Form) -> Vec<u8> {
    let head = |kind: &str, framing: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n")
    };
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let text = match form {
        Form::Plain => head("application/json", &format!("content-length: {}", BODY.len())) + BODY,
        Form::Chunked => {
            let (first, second) = BODY.split_at(40);
            let head = head("application/json", "transfer-encoding: chunked");
            head + &chunk(first) + &chunk(second) + "0\r\n\r\n"
        }
        Form::Stream => {
            let head = head("text/event-stream", "transfer-encoding: chunked");
            let chunks = EVENTS.iter().map(|event| chunk(&format!("data: {event}\n\n")));
            head + &chunks.collect::<String>() + "0\r\n\r\n"
        }
    };
    text.into_bytes()
}

/// How many events of the stream have come whole with its first `length` bytes.
fn whole(length: usize) -> usize {
    let bytes = answer(Form::Stream);
    bytes[..length].windows(2).filter(|pair| pair == b"\n\n").count()
}

/// A face, and how it asks and is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    OpenAi,
    LlamaStack,
    Anthropic,
}

impl Face {
    const ALL: [Self; 3] = [Self::OpenAi, Self::LlamaStack, Self::Anthropic];

    async fn ask(self, server: &Running, text: &str, stream: bool) -> Answer {
        match self {
            Self::OpenAi => server.post("/v1/chat/completions", &chat(text, stream)).await,
            Self::LlamaStack => {
                server.post("/v1/inference/chat-completion", &llama_chat(text, stream)).await
            }
            Self::Anthropic => {
                let mut body = chat(text, stream);
                body["max_tokens"] = 9.into();
                server.post("/v1/messages", &body).await
            }
        }
    }

    /// The message of an error that came with a status.
    fn message(self, body: &Value) -> Option<&str> {
        match self {
            Self::OpenAi | Self::Anthropic => body["error"]["message"].as_str(),
            Self::LlamaStack => body["detail"].as_str(),
        }
    }

    /// Whether the events are those of the first `whole` events of the upstream.
    fn tells(self, events: &[&str], whole: usize) -> bool {
        match self {
            Self::OpenAi => events.len() == whole,
            Self::LlamaStack => events.len() >= whole.min(2),
            Self::Anthropic => {
                // The text is in the first two.
                let texts = events.iter().filter(|event| event.contains("\"text_delta\""));
                texts.count() == whole.min(2)
            }
        }
    }
}

/// The data of the events of a stream; Anthropic's have a name in a line before.
fn events_of(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

/// Sends as much of an answer as the request says, and breaks off as it says.
async fn breaking() -> RawUpstream {
    RawUpstream::start(|_, request| {
        let order = request.split("send ").nth(1).expect("the request has an order");
        let mut words = order.split([' ', '"', '\\']);
        let mut word = || words.next().expect("the order has three words");
        let form = match word() {
            "stream" => Form::Stream,
            "chunked" => Form::Chunked,
            _ => Form::Plain,
        };
        let length: usize = word().parse().expect("the order has a length");
        let bytes = answer(form)[..length].to_vec();
        let end = match word() {
            "reset" => vec![Act::Reset],
            "close" => vec![Act::Close],
            _ => Vec::new(),
        };
        [vec![Act::Write(bytes.into())], end].concat()
    })
    .await
}

fn network() -> Value {
    json!({ "retries": 0, "circuit_breaker": { "enabled": false } })
}

fn order(form: Form, length: usize, end: &str) -> String {
    let form = match form {
        Form::Stream => "stream",
        Form::Chunked => "chunked",
        Form::Plain => "plain",
    };
    format!("send {form} {length} {end}")
}

/// Asks with every length of the answer and both ways to break off, and judges each.
async fn everywhere(form: Form, judge: impl Fn(Face, &str, usize, Answer, &Answer)) {
    let upstream = breaking().await;
    let server = start_relaying(ServerOptions::default(), &upstream.url(), network()).await;
    let (length, is_stream) = (answer(form).len(), form == Form::Stream);
    for face in Face::ALL {
        let good = face.ask(&server, &order(form, length, "keep"), is_stream).await;
        assert_eq!(good.status, 200, "{good:?}");
        let cases = (0..length).flat_map(|length| [("close", length), ("reset", length)]);
        let (server, good, judge) = (&server, &good, &judge);
        stream::iter(cases)
            .map(|(end, length)| async move {
                let answer = face.ask(server, &order(form, length, end), is_stream).await;
                judge(face, end, length, answer, good);
            })
            .buffer_unordered(16)
            .collect::<Vec<()>>()
            .await;
        // What broke is forgotten, and the connections work.
        for _ in 0..20 {
            let again = face.ask(server, &order(form, length, "keep"), is_stream).await;
            assert_eq!(again.line(), good.line());
        }
        eventually("all calls to be over", || client_of(&upstream.url()).in_flight() == 0).await;
        eventually("broken connections to be gone", || upstream.open() <= 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_anywhere_ends_with_one_error_after_its_events() {
    everywhere(Form::Stream, |face, end, length, answer, good| {
        let case = format!("{face:?}, {end} after {length} bytes: {}", answer.line());
        let (came, whole) = (events_of(&answer.text), whole(length));
        let expected = events_of(&good.text);
        if answer.status != 200 {
            assert!(matches!(answer.status, 502..=504 | 529), "{case}");
            assert!(face.message(&answer.json()).is_some_and(|text| !text.is_empty()), "{case}");
            // A reset may overtake what was sent before it.
            assert!(whole == 0 || end == "reset", "{case}");
            return;
        }
        if came == expected {
            // `[DONE]` has come; what follows it says nothing.
            assert!(whole == EVENTS.len(), "{case}");
            return;
        }
        let (last, before) = came.split_last().expect("a stream has an end");
        assert!(is_error(last), "{case}");
        assert_eq!(before, &expected[..before.len()], "{case}");
        assert!(!before.iter().any(|event| is_error(event)), "{case}");
        assert!(!came.contains(&"[DONE]"), "{case}");
        assert!(end == "reset" || face.tells(before, whole), "{case}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_anywhere_is_an_error_with_a_status() {
    for form in [Form::Plain, Form::Chunked] {
        everywhere(form, |face, end, length, answer, good| {
            let case = format!("{face:?}, {form:?}, {end} after {length} bytes: {}", answer.line());
            assert_eq!(answer.status, 502, "{case}");
            assert_ne!(answer.text, good.text, "{case}");
            let body = answer.json();
            let message = face.message(&body).unwrap_or_else(|| panic!("{case}"));
            assert!(message.contains("provider `far` (OpenAI)"), "{case}");
        })
        .await;
    }
}
