//! What the reader of answers must know of the forms of a call before it has all of it.

use crate::call::{Builtin, Call};
use serde_json::{Map, Value};

/// Finds the bracket that closes the first one, going on where it was when more text comes.
#[derive(Debug, Default)]
pub(crate) struct Brackets {
    at: usize,
    depth: u32,
    quote: Option<u8>,
    escaped: bool,
}

impl Brackets {
    /// Starts inside a bracket that was read before.
    pub(crate) fn inside() -> Self {
        Self { depth: 1, ..Self::default() }
    }

    /// The place after the closing bracket. `text` must be what it was before, with more at its
    /// end. `quotes` are the characters that enclose texts.
    pub(crate) fn close(&mut self, text: &str, quotes: &[u8]) -> Option<usize> {
        for (index, byte) in text.bytes().enumerate().skip(self.at) {
            self.at = index + 1;
            match self.quote {
                Some(_) if self.escaped => self.escaped = false,
                Some(_) if byte == b'\\' => self.escaped = true,
                Some(quote) if byte == quote => self.quote = None,
                Some(_) => {}
                None if quotes.contains(&byte) => self.quote = Some(byte),
                None => match byte {
                    b'(' | b'[' | b'{' => self.depth += 1,
                    b')' | b']' | b'}' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return Some(self.at);
                        }
                    }
                    _ => {}
                },
            }
        }
        None
    }

    /// The text so far was taken away.
    pub(crate) fn taken(&mut self) {
        self.at = 0;
    }
}

/// What the beginning of a JSON object says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Nothing yet.
    More,
    /// A call of the tool with this name, whose arguments begin at this place.
    Call { name: String, at: usize },
    /// It may be a call; all of it must be seen.
    Whole,
    /// It is no call.
    Other,
}

/// Reads the beginning of a JSON object.
pub(crate) fn head(text: &str, offered: &[String]) -> Head {
    let mut name: Option<String> = None;
    let mut at = 1;
    let mut first = true;
    loop {
        at = blank(text, at);
        match text.as_bytes().get(at) {
            None => return Head::More,
            Some(b'}') => return Head::Whole,
            Some(b'"') => {}
            Some(_) => return Head::Other,
        }
        let unknown = if first { Head::Other } else { Head::Whole };
        let Some(after) = quoted(text, at) else {
            let may_be = KEYS.iter().any(|known| known.starts_with(&text[at + 1..]));
            return if may_be { Head::More } else { unknown };
        };
        // As it is written, so that it means the same when it has only begun.
        let key = &text[at + 1..after - 1];
        if !KEYS.contains(&key) {
            return unknown;
        }
        first = false;
        at = blank(text, after);
        match text.as_bytes().get(at) {
            None => return Head::More,
            Some(b':') => at = blank(text, at + 1),
            Some(_) => return Head::Other,
        }
        let Some(begin) = text.as_bytes().get(at) else { return Head::More };
        match key {
            "parameters" | "arguments" => {
                let Some(name) = name.filter(|name| Builtin::of(name).is_none()) else {
                    return Head::Whole;
                };
                if *begin != b'{' {
                    return Head::Whole;
                }
                return match text.as_bytes().get(blank(text, at + 1)) {
                    None => Head::More,
                    Some(b'"' | b'}') => Head::Call { name, at },
                    Some(_) => Head::Whole,
                };
            }
            "function" => return Head::Whole,
            _ if *begin != b'"' => return Head::Other,
            _ => {}
        }
        let Some((value, after)) = string(text, at) else { return Head::More };
        match key {
            "name" if !offered.contains(&value) => return Head::Other,
            "type" if value != "function" => return Head::Other,
            "name" => name = Some(value),
            _ => {}
        }
        at = blank(text, after);
        match text.as_bytes().get(at) {
            None => return Head::More,
            Some(b',') => at += 1,
            Some(b'}') => return Head::Whole,
            Some(_) => return Head::Other,
        }
    }
}

/// The keys of an object that is a call.
const KEYS: [&str; 6] = ["type", "id", "name", "function", "parameters", "arguments"];

fn blank(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start().len()
}

/// The place after the JSON text that begins at `at`.
fn quoted(text: &str, at: usize) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(at + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// The JSON text that begins at `at`, and the place after it.
fn string(text: &str, at: usize) -> Option<(String, usize)> {
    let after = quoted(text, at)?;
    Some((serde_json::from_str(&text[at..after]).ok()?, after))
}

/// The call that a JSON object is: with `parameters` or `arguments`, alone or inside `function`.
pub(crate) fn object(text: &str, offered: &[String]) -> Option<Call> {
    let mut fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let name = match fields.remove("function") {
        Some(Value::Object(function)) => {
            fields = function;
            fields.remove("name")
        }
        Some(name @ Value::String(_)) => Some(name),
        _ => fields.remove("name"),
    };
    let Some(Value::String(name)) = name else { return None };
    let arguments = match fields.remove("parameters").or_else(|| fields.remove("arguments")) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(Value::String(text)) => serde_json::from_str(&text).ok()?,
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_)) => return None,
    };
    offered.contains(&name).then(|| Call::new(name, arguments))
}

/// What stands in a call of a built-in tool between its name and the question.
pub(crate) const QUERY: &str = ".call(query=\"";

/// The calls `name.call(query="...")` that are all of `text`.
pub(crate) fn queries(text: &str, offered: &[String]) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, body) = begins_query(rest, offered)?;
        let mut ends = body.match_indices("\")").map(|(at, _)| at);
        let last = |at: &usize| {
            let after = body[at + 2..].trim_start();
            after.is_empty() || begins_query(after, offered).is_some()
        };
        let end = ends.find(last)?;
        let query = crate::python::unescaped(&body[..end]);
        let arguments = Map::from_iter([("query".to_owned(), query.into())]);
        calls.push(Call { name: name.to_owned(), arguments });
        rest = body[end + 2..].trim_start();
    }
    Some(calls)
}

fn begins_query<'a>(text: &'a str, offered: &'a [String]) -> Option<(&'a str, &'a str)> {
    offered.iter().find_map(|name| {
        let body = text.strip_prefix(name.as_str())?.strip_prefix(QUERY)?;
        Some((name.as_str(), body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Vec<String> {
        ["f", "brave_search"].map(str::to_owned).to_vec()
    }

    #[test]
    fn the_beginning_of_an_object_says_whether_it_is_a_call() {
        let check = |text: &str, expected: Head| {
            assert_eq!(head(text, &offered()), expected, "{text}");
        };
        check("{", Head::More);
        check(r#"{"na"#, Head::More);
        check(r#"{"name": "f", "param"#, Head::More);
        check(r#"{"name": "f", "parameters": {"#, Head::More);
        check(
            r#"{"type": "function", "name": "f", "parameters": {"a"#,
            Head::Call { name: "f".into(), at: 48 },
        );
        check(r#"{"name": "f", "arguments": {}"#, Head::Call { name: "f".into(), at: 27 });
        check(r#"{"name": "f", "arguments": "{"#, Head::Whole);
        check(r#"{"name": "brave_search", "parameters": {"q"#, Head::Whole);
        check(r#"{"parameters": {"a": 1}, "name"#, Head::Whole);
        check(r#"{"type": "function", "function": {"#, Head::Whole);
        check(r#"{"name": "other"#, Head::More);
        check(r#"{"name": "other","#, Head::Other);
        check(r#"{"answer"#, Head::Other);
        check(r#"{"name": "f", "descr"#, Head::Whole);
        check(r#"{"name": "f", "description": "#, Head::Whole);
        check(r#"{"n\u0061me"#, Head::Other);
        check(r#"{"type": "object","#, Head::Other);
        check("{x", Head::Other);
    }

    #[test]
    fn brackets_in_texts_do_not_count() {
        let mut brackets = Brackets::default();
        assert_eq!(brackets.close(r#"{"a": "}\""#, b"\""), None);
        assert_eq!(brackets.close(r#"{"a": "}\"", "b": []} x"#, b"\""), Some(21));
    }

    #[test]
    fn queries_end_where_nothing_or_another_follows() {
        let read = |text: &str| {
            let calls = queries(text, &offered())?;
            Some(calls.iter().map(|call| call.arguments["query"].clone()).collect::<Vec<_>>())
        };
        assert_eq!(read(r#"f.call(query="a \"b\" ("c")")"#).unwrap(), [r#"a "b" ("c")"#]);
        assert_eq!(
            read("f.call(query=\"a\")\nbrave_search.call(query=\"b\")").unwrap(),
            ["a", "b"]
        );
        assert!(read(r#"f.call(query="a") is how"#).is_none());
        assert!(read(r#"g.call(query="a")"#).is_none());
    }
}
