//! Calls of tools whose arguments cannot be read, and the text in which events tell of them.

use std::{fmt, fmt::Write as _};

/// A call as a model wrote it, whose arguments are no JSON object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnparsedToolCall {
    pub call_id: String,
    pub tool_name: String,
    pub arguments: String,
}

/// `call_id='c' tool_name='f' arguments='{"broken": '`: what the event of a call that failed holds.
impl fmt::Display for UnparsedToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [id, name, arguments] =
            [&self.call_id, &self.tool_name, &self.arguments].map(|text| quoted(text));
        write!(f, "call_id={id} tool_name={name} arguments={arguments}")
    }
}

impl UnparsedToolCall {
    /// The call that a text tells of, if it has the form of [`fmt::Display`].
    pub fn from_text(text: &str) -> Option<Self> {
        let (call_id, rest) = unquoted(text.strip_prefix("call_id=")?)?;
        let (tool_name, rest) = unquoted(rest.strip_prefix(" tool_name=")?)?;
        let (arguments, rest) = unquoted(rest.strip_prefix(" arguments=")?)?;
        rest.is_empty().then_some(Self { call_id, tool_name, arguments })
    }
}

/// `'text'`, as Python's `repr` writes a string.
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other == quote => {
                out.push('\\');
                out.push(quote);
            }
            other if other.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", other as u32);
            }
            other => out.push(other),
        }
    }
    out.push(quote);
    out
}

/// The text of a string that [`quoted`] has written, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut characters = text.chars();
    let quote = characters.next().filter(|first| matches!(first, '\'' | '"'))?;
    let mut out = String::new();
    loop {
        match characters.next()? {
            end if end == quote => return Some((out, characters.as_str())),
            '\\' => out.push(match characters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'x' => {
                    let (code, rest) = characters.as_str().split_at_checked(2)?;
                    characters = rest.chars();
                    char::from(u8::from_str_radix(code, 16).ok()?)
                }
                other => other,
            }),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_repr_quotes_them() {
        assert_eq!(quoted("a"), "'a'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("it's \"it\""), "'it\\'s \"it\"'");
        assert_eq!(quoted("a\\\n\u{1}"), "'a\\\\\\n\\x01'");
    }

    #[test]
    fn the_text_of_a_call_is_read_as_it_was_written() {
        for arguments in
            ["", "{\"broken\": ", "it's", "it's \"it\"", "\\'\n\r\t\u{1}\u{7f}é", "' x"]
        {
            let call = UnparsedToolCall {
                call_id: "c 1".to_owned(),
                tool_name: "don't".to_owned(),
                arguments: arguments.to_owned(),
            };
            assert_eq!(UnparsedToolCall::from_text(&call.to_string()), Some(call), "{arguments:?}");
        }
        let other =
            ["", "call_id='c' tool_name='f'", "call_id='c' tool_name='f' arguments='{' more"];
        for text in
            other.into_iter().chain(["call_id='\\xé' tool_name='f' arguments=''", "call_id='"])
        {
            assert_eq!(UnparsedToolCall::from_text(text), None, "{text}");
        }
    }
}
