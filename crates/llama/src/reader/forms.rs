//! The forms in which a call may be written.

use super::{At, END_OF_FUNCTION, FUNCTION, HEAD, NAME, Reader};
use crate::{
    call::{Builtin, Call},
    python,
    scan::{self, Brackets, Head, QUERY},
};
use serde_json::{Map, Value};

impl Reader {
    pub(super) fn object(&mut self, lead: usize, whole: Option<Brackets>, last: bool) -> bool {
        let text = &self.held[lead..];
        let Some(mut brackets) = whole else {
            let begun = &text[..text.floor_char_boundary(HEAD)];
            return match scan::head(begun, &self.offered) {
                Head::More if !last && text.len() < HEAD => {
                    self.wait(At::Object { lead, whole: None })
                }
                Head::Call { name, at } => {
                    self.held.drain(..lead + at);
                    self.begin(&name);
                    self.go(At::Arguments { brackets: Brackets::default(), tag: false })
                }
                Head::Whole => self.go(At::Object { lead, whole: Some(Brackets::default()) }),
                Head::More | Head::Other => self.no_call(last),
            };
        };
        let Some(end) = brackets.close(text, b"\"") else {
            if last {
                return self.no_call(last);
            }
            return self.wait(At::Object { lead, whole: Some(brackets) });
        };
        let Some(call) = scan::object(&text[..end], &self.offered) else {
            return self.no_call(last);
        };
        self.held.drain(..lead + end);
        self.whole(&call);
        self.go(At::Between)
    }

    pub(super) fn arguments(&mut self, mut brackets: Brackets, tag: bool) -> bool {
        let end = brackets.close(&self.held, b"\"");
        let piece: String = self.held.drain(..end.unwrap_or(self.held.len())).collect();
        if !piece.is_empty() {
            self.give(&piece);
        }
        match end {
            None => {
                brackets.taken();
                self.wait(At::Arguments { brackets, tag })
            }
            Some(_) if tag => self.go(At::EndOfFunction),
            Some(_) => self.go(At::RestOfObject(Brackets::inside())),
        }
    }

    pub(super) fn rest_of_object(&mut self, mut brackets: Brackets) -> bool {
        let end = brackets.close(&self.held, b"\"");
        self.held.drain(..end.unwrap_or(self.held.len()));
        match end {
            None => {
                brackets.taken();
                self.wait(At::RestOfObject(brackets))
            }
            Some(_) => self.go(At::Between),
        }
    }

    pub(super) fn list(&mut self, open: Option<Brackets>, last: bool) -> bool {
        let text = self.held[1..].trim_start();
        let lead = self.held.len() - text.len();
        let first = open.is_none();
        let mut brackets = open.unwrap_or_default();
        let named = text.find(|c| !python::is_name(c));
        let begin = match named {
            None if !last && text.len() < NAME => return self.wait(At::List { open: None }),
            Some(end) if text[end..].starts_with('(') => end,
            _ => return self.no_call(last),
        };
        if first && !self.offers(&text[..begin]) {
            return self.no_call(last);
        }
        let Some(end) = brackets.close(&text[begin..], b"\"'") else {
            if last {
                return self.no_call(last);
            }
            return self.wait(At::List { open: Some(brackets) });
        };
        let end = begin + end;
        let Some((name, arguments)) = python::call(&text[..end]) else {
            return self.no_call(last);
        };
        self.held.drain(..lead + end);
        self.whole(&Call::new(name, arguments));
        self.go(At::InList)
    }

    pub(super) fn in_list(&mut self, last: bool) -> bool {
        let text = self.held.trim_start();
        let text = text.strip_prefix(',').map_or(text, str::trim_start);
        match text.chars().next() {
            None if last => {
                self.held.clear();
                self.wait(At::Text)
            }
            None => self.wait(At::InList),
            Some(']') => {
                let end = self.held.len() - text.len() + 1;
                self.held.drain(..end);
                self.go(At::Between)
            }
            Some(_) if self.held.trim_start().starts_with(',') => {
                self.trim();
                self.go(At::List { open: None })
            }
            Some(_) => self.go(At::Text),
        }
    }

    pub(super) fn function(&mut self, last: bool) -> bool {
        let Some(end) = self.held.find('>').filter(|end| *end < NAME) else {
            let name = self.held[FUNCTION.len()..].trim_start();
            let may_be = |offered: &String| offered.starts_with(name) || name.trim_end() == offered;
            if !last && self.held.len() < NAME && self.offered.iter().any(may_be) {
                return self.wait(At::Function);
            }
            return self.not_a_function();
        };
        let name = self.held[FUNCTION.len()..end].trim().to_owned();
        if !self.offers(&name) {
            return self.not_a_function();
        }
        let after = self.held[end + 1..].trim_start();
        let begin = self.held.len() - after.len();
        let inside = after.strip_prefix('{').map(|rest| rest.trim_start().chars().next());
        match inside {
            Some(None) if !last => self.wait(At::Function),
            Some(Some('"' | '}')) if Builtin::of(&name).is_none() => {
                self.held.drain(..begin);
                self.begin(&name);
                self.go(At::Arguments { brackets: Brackets::default(), tag: true })
            }
            Some(Some('"' | '\'' | '}')) => {
                self.go(At::PythonArguments { name, brackets: Brackets::default() })
            }
            None if after.starts_with(END_OF_FUNCTION) => {
                self.held.drain(..begin);
                self.begin(&name);
                self.give("{}");
                self.go(At::EndOfFunction)
            }
            None if !last && END_OF_FUNCTION.starts_with(after) => self.wait(At::Function),
            _ => self.not_a_function(),
        }
    }

    fn wait_for_python(&mut self, name: String, brackets: Brackets, last: bool) -> bool {
        if last {
            return self.not_a_function();
        }
        self.wait(At::PythonArguments { name, brackets })
    }

    /// Arguments that are all read before anything is said of them.
    pub(super) fn python_arguments(
        &mut self,
        name: String,
        mut brackets: Brackets,
        last: bool,
    ) -> bool {
        let begin = self.held.find('{').unwrap_or(self.held.len());
        let after = &self.held[begin..];
        let quotes: &[u8] = if json_quotes(after) { b"\"" } else { b"\"'" };
        let Some(end) = brackets.close(after, quotes) else {
            return self.wait_for_python(name, brackets, last);
        };
        let text = &after[..end];
        let object: Option<Map<String, Value>> = serde_json::from_str(text).ok().or_else(|| {
            let Value::Object(object) = python::value(text)? else { return None };
            Some(object)
        });
        let Some(object) = object else { return self.not_a_function() };
        self.held.drain(..begin + end);
        self.whole(&Call::new(name, object));
        self.go(At::EndOfFunction)
    }

    fn not_a_function(&mut self) -> bool {
        self.tagged = false;
        self.say(FUNCTION.len());
        self.go(At::Text)
    }

    pub(super) fn end_of_function(&mut self, last: bool) -> bool {
        self.trim();
        if self.held.starts_with(END_OF_FUNCTION) {
            self.held.drain(..END_OF_FUNCTION.len());
        } else if self.may_be(END_OF_FUNCTION, last) {
            return self.wait(At::EndOfFunction);
        }
        self.go(At::Between)
    }

    pub(super) fn query(&mut self, last: bool) -> bool {
        if !last {
            return self.wait(At::Query);
        }
        if let Some(calls) = scan::queries(&self.held, &self.offered) {
            self.held.clear();
            for call in &calls {
                self.whole(call);
            }
            return self.go(At::Between);
        }
        if self.tagged && self.offers_code() {
            self.begin(Builtin::CodeInterpreter.name());
            self.give("{\"code\":\"");
            return self.go(At::Code);
        }
        self.tagged = false;
        // The rest may hold a call all the same.
        let mark = self.held.find(QUERY).map_or(self.held.len(), |at| at + QUERY.len());
        self.say(mark);
        self.go(At::Text)
    }

    pub(super) fn code(&mut self, last: bool) -> bool {
        let end = self.held.trim_end().len();
        let piece: String = self.held.drain(..end).collect();
        self.give_quoted(piece);
        if last {
            self.held.clear();
            self.give("\"}");
        }
        self.wait(if last { At::Text } else { At::Code })
    }
}

/// Whether the object has its keys in double quotes.
fn json_quotes(text: &str) -> bool {
    text[1..].trim_start().starts_with('"')
}
