//! Reading JSON that strangers sent: bounded depth, and errors where Python's reader has them.

mod position;

use chaski_api::{Error, Issue, Result, Segment};
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
    if let Some(at) = too_deep(bytes, depth) {
        let character = characters(&bytes[..at]);
        let text = format!("JSON is nested more deeply than {depth} levels");
        return Err(invalid(character, text));
    }
    serde_json::from_slice(bytes).map_err(|error| explain(bytes, &error))
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

/// Where the nesting passes `limit`, if it does. Looks at brackets outside of strings only, so
/// that nothing is built for text that is refused.
fn too_deep(bytes: &[u8], limit: usize) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at + 1),
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return Some(at);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The place of the quote that ends the string whose text starts at `at`, or the end of the text.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
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
    fn a_byte_order_mark_is_skipped_and_the_last_of_two_keys_wins() {
        let value = parse(b"\xef\xbb\xbf{\"a\": 1, \"a\": 2}", 64).unwrap();
        assert_eq!(value, serde_json::json!({ "a": 2 }));
        assert_eq!(parse(b"", 64).unwrap(), Value::Null);
    }
}
