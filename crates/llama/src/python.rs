//! The part of Python's syntax in which models write calls: keyword arguments that are literals.

use serde_json::{Map, Number, Value};

/// How deep lists and objects may lie in each other.
const DEPTH: u32 = 64;

/// The value in Python's words: `True`, `None`, `{"a": 1}`.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        // The escapes of JSON mean the same in Python.
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let member =
                |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), literal(value));
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// JSON with a blank after commas and colons, as Python writes it.
pub(crate) fn json(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let member =
                |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), json(value));
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Reads `name(key=literal, ...)`; nothing if the text is anything else.
pub(crate) fn call(text: &str) -> Option<(String, Map<String, Value>)> {
    let mut reader = Reader::new(text);
    let name = reader.path()?.to_owned();
    reader.expect('(')?;
    let mut arguments = Map::new();
    loop {
        if reader.take(')') {
            break;
        }
        let key = reader.name()?.to_owned();
        reader.expect('=')?;
        let value = reader.value(DEPTH)?;
        arguments.insert(key, value);
        if !reader.take(',') {
            reader.expect(')')?;
            break;
        }
    }
    reader.at_end().then_some((name, arguments))
}

/// Reads a literal; nothing if the text is anything else.
pub(crate) fn value(text: &str) -> Option<Value> {
    let mut reader = Reader::new(text);
    let value = reader.value(DEPTH)?;
    reader.at_end().then_some(value)
}

/// Reads a text in double quotes with escapes; the quotes are not part of `text`.
pub(crate) fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut out = String::new();
    while let Some(character) = characters.next() {
        if character == '\\' {
            escape(&mut characters, &mut out);
        } else {
            out.push(character);
        }
    }
    out
}

/// Reads what follows a backslash.
fn escape(characters: &mut std::str::Chars<'_>, out: &mut String) {
    let Some(kind) = characters.next() else {
        out.push('\\');
        return;
    };
    let plain = match kind {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        '0' => '\0',
        '\\' | '\'' | '"' => kind,
        // A backslash at the end of a line joins the lines.
        '\n' => return,
        'x' | 'u' | 'U' => {
            let length = match kind {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            if let Some(character) = hexadecimal(characters, length) {
                out.push(character);
                return;
            }
            out.push('\\');
            kind
        }
        _ => {
            out.push('\\');
            kind
        }
    };
    out.push(plain);
}

/// A character by its number; two halves of a surrogate pair count as one.
fn hexadecimal(characters: &mut std::str::Chars<'_>, length: usize) -> Option<char> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let first = number(characters.as_str().get(..length)?)?;
    let rest = &characters.as_str()[length..];
    if let Some(character) = char::from_u32(first) {
        *characters = rest.chars();
        return Some(character);
    }
    let second = number(rest.strip_prefix("\\u")?.get(..4)?)?;
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let character = char::decode_utf16(pair).next()?.ok()?;
    *characters = rest[6..].chars();
    Some(character)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn at_end(&mut self) -> bool {
        self.blank();
        self.rest.is_empty()
    }

    fn take(&mut self, character: char) -> bool {
        self.blank();
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, character: char) -> Option<()> {
        self.take(character).then_some(())
    }

    fn while_in(&mut self, accepted: impl Fn(char) -> bool) -> &'a str {
        self.blank();
        let end = self.rest.find(|c| !accepted(c)).unwrap_or(self.rest.len());
        let (found, rest) = self.rest.split_at(end);
        self.rest = rest;
        found
    }

    /// The name of an argument.
    fn name(&mut self) -> Option<&'a str> {
        let name = self.while_in(is_word);
        (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(name)
    }

    /// The name of a function; tools may have names with dots and dashes.
    fn path(&mut self) -> Option<&'a str> {
        let name = self.while_in(is_name);
        (!name.is_empty()).then_some(name)
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        self.blank();
        match self.rest.chars().next()? {
            '"' | '\'' => {
                let mut text = self.text()?;
                // Texts side by side are one.
                loop {
                    self.blank();
                    if !self.rest.starts_with(['"', '\'']) {
                        return Some(text.into());
                    }
                    text.push_str(&self.text()?);
                }
            }
            '[' => self.items(']', depth).map(|(items, _)| items.into()),
            '(' => {
                let (mut items, comma) = self.items(')', depth)?;
                // Without a comma the brackets only group.
                if items.len() == 1 && !comma { items.pop() } else { Some(items.into()) }
            }
            '{' => self.object(depth),
            '0'..='9' | '-' | '+' | '.' => self.number(),
            _ => match self.name()? {
                "True" | "true" => Some(true.into()),
                "False" | "false" => Some(false.into()),
                "None" | "null" => Some(Value::Null),
                _ => None,
            },
        }
    }

    fn items(&mut self, close: char, depth: u32) -> Option<(Vec<Value>, bool)> {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        let mut comma = false;
        while !self.take(close) {
            items.push(self.value(depth)?);
            comma = self.take(',');
            if !comma {
                self.expect(close)?;
                break;
            }
        }
        Some((items, comma))
    }

    fn object(&mut self, depth: u32) -> Option<Value> {
        self.expect('{')?;
        let mut members = Map::new();
        while !self.take('}') {
            let key = match self.value(depth)? {
                Value::String(key) => key,
                key @ (Value::Number(_) | Value::Bool(_) | Value::Null) => key.to_string(),
                Value::Array(_) | Value::Object(_) => return None,
            };
            self.expect(':')?;
            members.insert(key, self.value(depth)?);
            if !self.take(',') {
                self.expect('}')?;
                break;
            }
        }
        Some(members.into())
    }

    fn number(&mut self) -> Option<Value> {
        let text = self.while_in(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
        let plain = text.replace('_', "");
        let plain = plain.strip_prefix('+').unwrap_or(&plain);
        if let Ok(number) = plain.parse::<i64>() {
            return Some(number.into());
        }
        if let Ok(number) = plain.parse::<u64>() {
            return Some(number.into());
        }
        // Words that Rust takes for numbers, such as `inf`, do not begin like one.
        Number::from_f64(plain.parse().ok()?).map(Value::Number)
    }

    /// A text in single, double or triple quotes.
    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let triple: String = [quote; 3].iter().collect();
        let (open, close) = match self.rest.strip_prefix(triple.as_str()) {
            Some(rest) => (rest, triple),
            None => (&self.rest[1..], quote.to_string()),
        };
        let mut characters = open.chars();
        let mut out = String::new();
        loop {
            if let Some(rest) = characters.as_str().strip_prefix(close.as_str()) {
                self.rest = rest;
                return Some(out);
            }
            match characters.next()? {
                '\\' => escape(&mut characters, &mut out),
                character => out.push(character),
            }
        }
    }
}

pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether the character can be part of the name of a tool.
pub(crate) fn is_name(character: char) -> bool {
    is_word(character) || matches!(character, '.' | '-' | ':' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn literals_are_read() {
        for (text, expected) in [
            ("1", json!(1)),
            ("-1.5e3", json!(-1500.0)),
            ("1_000", json!(1000)),
            (".5", json!(0.5)),
            ("'it\\'s'", json!("it's")),
            ("\"a\\n\\u00e9\\x41\\ud83d\\ude00\"", json!("a\n\u{e9}A\u{1f600}")),
            ("\"\"\"three \"quoted\" words\"\"\"", json!("three \"quoted\" words")),
            ("'a' \"b\"", json!("ab")),
            ("[1, 'x', None, True,]", json!([1, "x", null, true])),
            ("(1, 2)", json!([1, 2])),
            ("(1)", json!(1)),
            ("(1,)", json!([1])),
            ("{'a': {'b': [False]}, 1: 2}", json!({ "a": { "b": [false] }, "1": 2 })),
            ("true", json!(true)),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_literal_is_not_read() {
        for text in
            ["x", "1+2", "f(1)", "'open", "[1", "{1}", "1 2", "", "inf", "-inf", "nan", "{[]: 1}"]
        {
            assert_eq!(value(text), None, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(value(&deep), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let values = [
            json!({ "a": [1, 2.5, null, true], "quote\"": "new\nline \\ \u{1f600} 'single'" }),
            json!([[], {}, "", -7]),
        ];
        for value in values {
            assert_eq!(super::value(&literal(&value)), Some(value.clone()), "{value}");
            assert_eq!(serde_json::from_str::<Value>(&json(&value)).unwrap(), value);
        }
        assert_eq!(json(&json!({ "a": [1, 2], "b": {} })), r#"{"a": [1, 2], "b": {}}"#);
        assert_eq!(literal(&json!({ "a": [true, null] })), r#"{"a": [True, None]}"#);
    }

    #[test]
    fn a_call_has_keyword_arguments_only() {
        assert_eq!(
            call("f(a=1, b='x',)").unwrap().1,
            *json!({ "a": 1, "b": "x" }).as_object().unwrap()
        );
        assert_eq!(call("m.f ( )").unwrap(), ("m.f".to_owned(), Map::new()));
        for text in ["f(1)", "f(a=x)", "f(a=1+2)", "f(a=1", "f", "f(a=1) g", "f(a=1 b=2)", "(a=1)"]
        {
            assert!(call(text).is_none(), "{text}");
        }
    }
}
