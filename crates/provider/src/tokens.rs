//! The tokens of a request, as the provider counted them: read from the answer, and nothing else
//! of it.

use crate::Payload;
use chaski_api::{
    anthropic::{MessagesEvent, MessagesResponse, MessagesUsage},
    openai::{ChatChunk, ChatCompletion, EmbeddingList, RerankList, TextCompletion, Usage},
};
use memchr::memmem::Finder;
use serde::Deserialize;
use std::sync::LazyLock;

/// The tokens of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    pub prompt: u64,
    pub completion: u64,
}

impl Tokens {
    /// The greater of both counts: the events of a stream repeat or complete what came before.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.max(other.prompt),
            completion: self.completion.max(other.completion),
        }
    }
}

/// An answer, or an event, that may say how many tokens it took.
pub trait Counted {
    /// The tokens, if it says so.
    fn tokens(&self) -> Option<Tokens>;
}

/// No request has more tokens, whatever an upstream says, so that sums stay in range.
const MOST: u64 = 1_000_000_000_000;

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default().min(MOST)
}

fn of_usage(usage: Option<&Usage>) -> Option<Tokens> {
    let usage = usage?;
    Some(Tokens { prompt: count(usage.prompt_tokens), completion: count(usage.completion_tokens) })
}

impl Counted for ChatCompletion {
    fn tokens(&self) -> Option<Tokens> {
        of_usage(self.usage.as_ref())
    }
}

impl Counted for ChatChunk {
    fn tokens(&self) -> Option<Tokens> {
        of_usage(self.usage.as_ref())
    }
}

impl Counted for TextCompletion {
    fn tokens(&self) -> Option<Tokens> {
        of_usage(self.usage.as_ref())
    }
}

impl Counted for EmbeddingList {
    fn tokens(&self) -> Option<Tokens> {
        let usage = self.usage.as_ref()?;
        Some(Tokens { prompt: count(usage.prompt_tokens), completion: 0 })
    }
}

impl Counted for RerankList {
    fn tokens(&self) -> Option<Tokens> {
        let usage = self.usage.as_ref()?;
        Some(Tokens { prompt: count(usage.prompt_tokens), completion: 0 })
    }
}

/// This form counts apart what of the prompt was put into a cache, and what was found there.
fn of_messages(usage: &MessagesUsage) -> Tokens {
    let cached = [usage.cache_creation_input_tokens, usage.cache_read_input_tokens];
    let cached: u64 = cached.into_iter().flatten().map(count).sum();
    let prompt = (count(usage.input_tokens) + cached).min(MOST);
    Tokens { prompt, completion: count(usage.output_tokens) }
}

impl Counted for MessagesResponse {
    fn tokens(&self) -> Option<Tokens> {
        Some(of_messages(&self.usage))
    }
}

impl Counted for MessagesEvent {
    fn tokens(&self) -> Option<Tokens> {
        match self {
            Self::MessageStart(start) => Some(of_messages(&start.message.usage)),
            Self::MessageDelta(delta) => Some(of_messages(&delta.usage)),
            Self::ContentBlockStart(_)
            | Self::ContentBlockDelta(_)
            | Self::ContentBlockStop(_)
            | Self::MessageStop(_)
            | Self::Ping(_) => None,
        }
    }
}

impl<T: Counted> Counted for Payload<T> {
    fn tokens(&self) -> Option<Tokens> {
        match self {
            Self::Value(value) => value.tokens(),
            Self::Raw(text) => tokens_in(text),
        }
    }
}

/// The part of a `usage` object that counts, in the names of OpenAI and of Anthropic.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "they are the names of the APIs")]
struct Counts {
    /// All of the prompt; upstreams that say it besides Anthropic's names count nothing apart.
    prompt_tokens: Option<f64>,
    completion_tokens: Option<f64>,
    input_tokens: Option<f64>,
    cache_creation_input_tokens: Option<f64>,
    cache_read_input_tokens: Option<f64>,
    output_tokens: Option<f64>,
}

impl Counts {
    fn tokens(&self) -> Tokens {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates"
        )]
        let count = |number: Option<f64>| (number.unwrap_or_default() as u64).min(MOST);
        let parts =
            [self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens];
        let prompt = match self.prompt_tokens {
            Some(_) => count(self.prompt_tokens),
            None => parts.into_iter().map(count).sum::<u64>().min(MOST),
        };
        Tokens { prompt, completion: count(self.completion_tokens.or(self.output_tokens)) }
    }
}

/// Where a `usage` object is looked for first, in bytes from the end.
const TAIL: usize = 1024;

/// The tokens that the last `usage` object of a JSON text counts. The rest is not parsed: inside a
/// string the quotes of the key would be escaped, so that it cannot be mistaken.
pub fn tokens_in(text: &[u8]) -> Option<Tokens> {
    static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));
    // It mostly stands at the end, and a long answer is not read for it from the beginning.
    let tail = text.len().saturating_sub(TAIL);
    let last = KEY.find_iter(&text[tail..]).last().map(|at| tail + at);
    let at = last.or_else(|| if tail > 0 { KEY.find_iter(text).last() } else { None })?;
    let rest = text[at + KEY.needle().len()..].trim_ascii_start().strip_prefix(b":")?;
    let rest = rest.trim_ascii_start();
    if !rest.starts_with(b"{") {
        return None;
    }
    let counts = serde_json::Deserializer::from_slice(rest).into_iter::<Counts>().next()?.ok()?;
    Some(counts.tokens())
}

#[cfg(test)]
mod tests {
    use super::{Counted, MOST, Tokens, tokens_in};
    use crate::Payload;
    use chaski_api::{
        Wire,
        anthropic::{MessagesEvent, MessagesResponse},
    };
    use serde_json::{Value, json};

    fn tokens(text: &str) -> Option<(u64, u64)> {
        tokens_in(text.as_bytes()).map(|Tokens { prompt, completion }| (prompt, completion))
    }

    #[test]
    fn the_count_is_found_without_parsing_the_rest() {
        let openai = r#"{"choices":[{"text":"a"}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;
        assert_eq!(tokens(openai), Some((3, 5)));
        let details = r#"{"usage" : {"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens":5.0},"x":1}"#;
        assert_eq!(tokens(details), Some((3, 5)));
        assert_eq!(tokens(r#"{"usage":{"input_tokens":4,"output_tokens":1}}"#), Some((4, 1)));
        assert_eq!(
            tokens(r#"{"data":[],"usage":{"prompt_tokens":2,"total_tokens":2}}"#),
            Some((2, 0))
        );
    }

    #[test]
    fn what_a_cache_held_or_took_is_part_of_the_prompt() {
        fn both<T: Wire + Counted>(said: &Value) -> [Option<Tokens>; 2] {
            let value = T::from_json(said.clone()).expect("it has the form of the API");
            [Payload::Raw(said.to_string().into()), Payload::Value(value)].map(|it| it.tokens())
        }
        let usage = json!({
            "input_tokens": 5, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 3,
            "cache_creation": { "ephemeral_5m_input_tokens": 100 }, "output_tokens": 2,
        });
        let message = json!({ "id": "m", "model": "m", "content": [], "usage": usage });
        let start = json!({ "type": "message_start", "message": message });
        let end = json!({ "type": "message_delta", "delta": {}, "usage": usage });
        let all = Some(Tokens { prompt: 108, completion: 2 });
        assert_eq!(both::<MessagesResponse>(&message), [all; 2]);
        for event in [start, end] {
            assert_eq!(both::<MessagesEvent>(&event), [all; 2], "{event}");
        }
        // With this name the prompt is counted as a whole.
        let beside = r#"{"usage":{"prompt_tokens":108,"completion_tokens":2,"cache_creation_input_tokens":100,"cache_read_input_tokens":3}}"#;
        assert_eq!(tokens(beside), Some((108, 2)));
        let twice = r#"{"usage":{"prompt_tokens":4,"completion_tokens":1,"input_tokens":4,"output_tokens":1}}"#;
        assert_eq!(tokens(twice), Some((4, 1)));
        assert_eq!(
            tokens(r#"{"usage":{"input_tokens":4,"cache_read_input_tokens":null}}"#),
            Some((4, 0))
        );
    }

    #[test]
    fn the_count_is_found_wherever_it_stands() {
        let long = "x".repeat(5_000);
        let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":5}"#;
        assert_eq!(tokens(&format!("{{{usage},\"text\":\"{long}\"}}")), Some((3, 5)));
        assert_eq!(tokens(&format!("{{\"text\":\"{long}\",{usage}}}")), Some((3, 5)));
        assert_eq!(tokens(&format!("{{\"text\":\"{long}\"}}")), None);
    }

    #[test]
    fn what_is_not_a_count_is_none() {
        for text in [
            "{}",
            r#"{"usage":null}"#,
            r#"{"usage":"#,
            r#"{"usage":{"prompt_tokens":"#,
            r#"{"usage":{"prompt_tokens":"many"}}"#,
            r#"{"text":"\"usage\":{\"prompt_tokens\":9}"}"#,
        ] {
            assert_eq!(tokens(text), None, "{text}");
        }
    }

    #[test]
    fn negative_and_huge_counts_stay_in_range() {
        assert_eq!(
            tokens(r#"{"usage":{"prompt_tokens":-5,"completion_tokens":1e300}}"#),
            Some((0, MOST))
        );
    }
}
