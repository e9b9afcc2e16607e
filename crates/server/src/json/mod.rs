//! Reading JSON that strangers sent: bounded depth, and errors where Python's reader has them.

mod position;

use bytes::Bytes;
use chaski_api::{Error, Issue, Result, Segment, openai::Body};
use serde_json::Value;
use std::borrow::Cow;

/// Reads a body. One that is empty is `null`.
///
/// # Errors
/// `InvalidRequest`, with the character at which the text stops being JSON.
pub(crate) fn parse(bytes: &[u8], depth: usize) -> Result<Value> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    survey(bytes, depth)?;
    serde_json::from_slice(bytes).map_err(|error| explain(bytes, &error))
}

/// Reads a body that is an object into its members, without decoding those that nobody looks at.
///
/// # Errors
/// As [`parse`].
pub(crate) fn members(bytes: &Bytes, depth: usize) -> Result<Option<Body>> {
    // Only text that every decoder takes may stay undecoded.
    let plain = bytes.first() == Some(&b'{') && survey(bytes, depth)? == Text::Plain;
    if let Some(body) = plain.then(|| Body::scan(bytes)).flatten() {
        return Ok(Some(body));
    }
    match parse(bytes, depth)? {
        Value::Object(object) => Ok(Some(object.into())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Ok(None)
        }
    }
}

fn explain(bytes: &[u8], error: &serde_json::Error) -> Error {
    let Ok(text) = str::from_utf8(bytes) else {
        // The text is the reference's, which tells no more either.
        return Error::invalid("There was an error parsing the body").with_code(NOT_TEXT);
    };
    if let Some(character) = position::of_error(text) {
        return invalid(character, "JSON decode error");
    }
    // Python's reader takes it and this one does not: `NaN`, `1e999`, half a surrogate pair.
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let at = lines.map(str::len).sum::<usize>() + error.column();
    let what = error.to_string();
    let what = what.split(" at line").next().unwrap_or_default();
    invalid(characters(&bytes[..at.min(bytes.len())]), format!("JSON decode error: {what}"))
}

/// The code of the error for a body that is no text; its message is answered as it stands.
pub(crate) const NOT_TEXT: &str = "body_not_text";

fn invalid(character: usize, msg: impl Into<String>) -> Error {
    let loc = vec![Segment::Key(Cow::Borrowed("body")), Segment::Index(character)];
    Error::malformed(vec![Issue { loc, msg: msg.into(), kind: "json_invalid" }])
}

fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xc0) != 0x80).count()
}

/// What a text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// Where it is JSON, its values can be decoded.
    Plain,
    /// It may hold values that JSON allows and a decoder refuses: numbers without bounds, halves
    /// of characters.
    Special,
}

/// Looks through a text before anything is built of it. Brackets count outside of strings only.
///
/// # Errors
/// It is nested more deeply than `limit`.
fn survey(bytes: &[u8], limit: usize) -> Result<Text> {
    let (mut depth, mut at, mut digits, mut text) = (0_usize, 0, 0, Text::Plain);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let (end, within) = string(bytes, at + 1);
                at = end;
                if within == Text::Special {
                    text = within;
                }
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    let message = format!("JSON is nested more deeply than {limit} levels");
                    return Err(invalid(characters(&bytes[..at]), message));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'e' | b'E' if digits > 0 => text = Text::Special,
            _ => {}
        }
        digits = if bytes.get(at).is_some_and(u8::is_ascii_digit) { digits + 1 } else { 0 };
        if digits > DIGITS {
            text = Text::Special;
        }
        at += 1;
    }
    Ok(text)
}

/// Whole numbers with so many digits are within the range of 64-bit floats.
const DIGITS: usize = 300;

/// The place of the quote that ends the string whose text starts at `at`, or the end of the text;
/// and what the string holds.
fn string(bytes: &[u8], mut at: usize) -> (usize, Text) {
    let mut text = Text::Plain;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(next) = memchr::memchr2(b'"', b'\\', rest) else { return (bytes.len(), text) };
        at += next;
        if bytes[at] == b'"' {
            return (at, text);
        }
        match surrogate(&bytes[at..]) {
            Some(true) if surrogate(bytes.get(at + 6..).unwrap_or_default()) == Some(false) => {
                at += 12;
            }
            Some(_) => {
                text = Text::Special;
                at += 6;
            }
            None => at += 2,
        }
    }
}

/// Whether the text starts with the escape of half a character, and then whether of the first half.
fn surrogate(text: &[u8]) -> Option<bool> {
    match text {
        [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => Some(true),
        [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..] => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &str) {
        let error = parse(text, 64).unwrap_err();
        let found = error.issues.first().map_or_else(
            || error.message.clone(),
            |issue| format!("{} {}", issue.path(), issue.msg),
        );
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn errors_stand_where_python_finds_them() {
        check(b"{", "body[1] JSON decode error");
        check(b"{\"model_id\": \"x\", ", "body[18] JSON decode error");
        check(b"{\"model_id\": \"x\",}", "body[17] JSON decode error");
        check(b"{'model_id': 1}", "body[1] JSON decode error");
        check(b"{\"model_id\": ", "body[13] JSON decode error");
        check(b"{\"a\" 1}", "body[5] JSON decode error");
        check(b"{\"a\":1 \"b\":2}", "body[7] JSON decode error");
        check(b"[1,]", "body[3] JSON decode error");
        check(b"[1 2]", "body[3] JSON decode error");
        check(b"[", "body[1] JSON decode error");
        check(b"{} x", "body[3] JSON decode error");
        check(b"nul", "body[0] JSON decode error");
        check(b"-", "body[0] JSON decode error");
        check(b"01", "body[1] JSON decode error");
        check(b"\"a", "body[0] JSON decode error");
        check(b"\"a\\", "body[0] JSON decode error");
        check(b"\"a\nb\"", "body[2] JSON decode error");
        check(b"\"\\x\"", "body[1] JSON decode error");
        check(b"\"\\u12\"", "body[2] JSON decode error");
        check("{\"é\": ü}".as_bytes(), "body[6] JSON decode error");
        check(b"   ", "body[3] JSON decode error");
    }

    #[test]
    fn what_python_takes_and_a_provider_could_not_is_refused_with_a_reason() {
        check(b"{\"a\": 1e999}", "body[11] JSON decode error: number out of range");
        check(b"{\"a\": NaN}", "body[7] JSON decode error: expected value");
        check(b"{\"a\":\n NaN}", "body[8] JSON decode error: expected value");
        check(b"\"\\ud800\"", "body[8] JSON decode error: unexpected end of hex escape");
        check(b"{\"a\":\"\xff\"}", "There was an error parsing the body");
    }

    #[test]
    fn nesting_is_bounded_before_anything_is_built() {
        let deep = "[".repeat(100_000);
        check(deep.as_bytes(), "body[64] JSON is nested more deeply than 64 levels");
        let objects = "{\"a\":".repeat(100_000);
        check(objects.as_bytes(), "body[320] JSON is nested more deeply than 64 levels");
        let brackets = format!("\"{}\\\"{}\"", "[".repeat(500), "{".repeat(500));
        assert!(parse(brackets.as_bytes(), 64).is_ok());
        let allowed = format!("{}{}", "[".repeat(64), "]".repeat(64));
        assert!(parse(allowed.as_bytes(), 64).is_ok());
    }

    #[test]
    fn what_no_decoder_refuses_stays_undecoded() {
        let kept = |text: &str| {
            let body = members(&Bytes::copy_from_slice(text.as_bytes()), 64).unwrap().unwrap();
            body.text("a").is_some()
        };
        for text in [
            r#"{"a": [1.5, -2, true, null, {"b": "e1\"1e9"}]}"#,
            r#"{"a": "\ud83d\ude00 \u00e9 \\ud800"}"#,
        ] {
            assert!(kept(text), "{text}");
        }
        let digits = "1".repeat(301);
        for text in [r#"{"a": 1e3}"#, r#"{"a": [2.5E-3]}"#, &format!("{{\"a\": {digits}}}")] {
            assert!(!kept(text), "{text}");
        }
        for text in [r#"{"a": [1e999]}"#, r#"{"a": "\ud800"}"#, r#"{"a": "\ude00\ud83d"}"#] {
            members(&Bytes::copy_from_slice(text.as_bytes()), 64).unwrap_err();
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_the_last_of_two_keys_wins() {
        let value = parse(b"\xef\xbb\xbf{\"a\": 1, \"a\": 2}", 64).unwrap();
        assert_eq!(value, serde_json::json!({ "a": 2 }));
        assert_eq!(parse(b"", 64).unwrap(), Value::Null);
    }
}
