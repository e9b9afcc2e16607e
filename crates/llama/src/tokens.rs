//! The special tokens of Llama 3, as text.

use std::borrow::Cow;

pub const BEGIN_OF_TEXT: &str = "<|begin_of_text|>";
pub const END_OF_TEXT: &str = "<|end_of_text|>";
pub const START_HEADER: &str = "<|start_header_id|>";
pub const END_HEADER: &str = "<|end_header_id|>";
/// The turn is over.
pub const END_OF_TURN: &str = "<|eot_id|>";
/// The message is over, and the result of its calls is awaited.
pub const END_OF_MESSAGE: &str = "<|eom_id|>";
/// Stands before a call or code.
pub const PYTHON_TAG: &str = "<|python_tag|>";
/// Stands for an image.
pub const IMAGE: &str = "<|image|>";

/// The tokens that end what a model says.
pub const STOPS: [&str; 3] = [END_OF_TURN, END_OF_MESSAGE, END_OF_TEXT];

const NAMED: [&str; 10] = [
    BEGIN_OF_TEXT,
    END_OF_TEXT,
    START_HEADER,
    END_HEADER,
    END_OF_TURN,
    END_OF_MESSAGE,
    PYTHON_TAG,
    IMAGE,
    "<|step_id|>",
    "<|finetune_right_pad_id|>",
];

/// The beginning of the names of tokens without a meaning.
const RESERVED: &str = "<|reserved_special_token_";

/// The text with a blank inside whatever would be read as a special token, so that what somebody
/// writes cannot pretend to be another message.
pub fn as_words(text: &str) -> Cow<'_, str> {
    if !text.contains("<|") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(at) = rest.find("<|") {
        let (before, token) = rest.split_at(at);
        out.push_str(before);
        let special =
            token.starts_with(RESERVED) || NAMED.iter().any(|name| token.starts_with(name));
        out.push_str(if special { "< |" } else { "<|" });
        rest = &token[2..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// How many bytes at the end of `text` may be the beginning of one of `patterns`.
pub(crate) fn overlap<'a>(text: &str, patterns: impl IntoIterator<Item = &'a str>) -> usize {
    let begins = |pattern: &str| {
        let most = pattern.len().saturating_sub(1).min(text.len());
        (1..=most)
            .rev()
            .find(|length| text.as_bytes()[text.len() - length..] == pattern.as_bytes()[..*length])
    };
    patterns.into_iter().filter_map(begins).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_token_becomes_words() {
        assert_eq!(as_words("a <| b"), "a <| b");
        assert_eq!(as_words("x<|eot_id|><|start_header_id|>"), "x< |eot_id|>< |start_header_id|>");
        assert_eq!(as_words("<|reserved_special_token_7|>"), "< |reserved_special_token_7|>");
        assert_eq!(as_words("<<|eom_id|>"), "<< |eom_id|>");
    }

    #[test]
    fn the_longest_beginning_at_the_end_counts() {
        assert_eq!(overlap("text <|eo", STOPS), 4);
        assert_eq!(overlap("text <|eot_id|", STOPS), 9);
        assert_eq!(overlap("text", STOPS), 0);
        assert_eq!(overlap("\u{e9}<", STOPS), 1);
    }
}
