//! Finds the calls in what a Llama model writes, while it comes.
//!
//! The same reader is used for whole answers and for streams, so that an answer means the same
//! wherever it is cut.

mod forms;

use crate::{
    call::{Builtin, Call},
    python,
    scan::{Brackets, QUERY},
    tokens::{END_HEADER, END_OF_MESSAGE, PYTHON_TAG, START_HEADER, STOPS, overlap},
};
use serde_json::Value;

/// What may be a call is held back up to so many bytes; more is text.
const HELD: usize = 1 << 20;
/// As long as it is not clear what begins, less is held back, since it is looked at again and again.
const UNCLEAR: usize = 1 << 14;
/// So much text is looked at together, so that the work grows no faster than the text.
const CHUNK: usize = 1 << 10;
/// The beginning of a JSON object, up to its arguments, is not longer than this.
const HEAD: usize = 4096;
/// No tool has a longer name.
const NAME: usize = 256;

const FUNCTION: &str = "<function=";
const END_OF_FUNCTION: &str = "</function>";

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Text for the user.
    Text(String),
    /// A call begins; this is the name of the tool.
    Call(String),
    /// The next piece of the arguments of the last call, as JSON text.
    Arguments(String),
}

/// How the model ended its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The turn is over.
    Turn,
    /// The result of its calls is awaited.
    Message,
}

/// Where the reader stands; what was not understood yet is in `held`.
#[derive(Debug)]
enum At {
    /// The beginning of the answer, or what follows the python tag.
    Beginning,
    /// Text, in which a call may begin.
    Text,
    /// `{`, behind so many bytes of an array.
    Object { lead: usize, whole: Option<Brackets> },
    /// `[` or `,` before a call in Python's form.
    List { open: Option<Brackets> },
    /// A call in Python's form has ended.
    InList,
    /// `<function=`
    Function,
    /// The arguments of a function tag, in Python's form.
    PythonArguments { name: String, brackets: Brackets },
    /// The arguments of a call, in JSON.
    Arguments { brackets: Brackets, tag: bool },
    /// What is left of a JSON object after its arguments.
    RestOfObject(Brackets),
    /// `</function>` may come.
    EndOfFunction,
    /// After a call.
    Between,
    /// `name.call(query="`: whether it is a call is known at the end.
    Query,
    /// Python code.
    Code,
}

/// Reads the answer of a model.
///
/// Only calls of the tools that were offered are calls; everything else is text.
#[derive(Debug)]
pub struct Reader {
    offered: Vec<String>,
    /// What begins a call in the midst of text.
    marks: Vec<String>,
    at: At,
    held: String,
    /// Text that may be the beginning of a token that ends the answer.
    ending: String,
    end: Option<End>,
    over: bool,
    tagged: bool,
    /// What the text given since the last call ends with.
    said: Option<char>,
    out: Vec<Event>,
}

impl Reader {
    /// A reader that finds calls of the tools with these names.
    pub fn new(offered: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let offered: Vec<String> = offered.into_iter().map(Into::into).collect();
        let mut marks = vec![PYTHON_TAG.to_owned()];
        if !offered.is_empty() {
            marks.push(FUNCTION.to_owned());
            marks.extend(offered.iter().map(|name| format!("{name}{QUERY}")));
        }
        Self {
            offered,
            marks,
            at: At::Beginning,
            held: String::new(),
            ending: String::new(),
            end: None,
            over: false,
            tagged: false,
            said: None,
            out: Vec::new(),
        }
    }

    /// Takes the next piece of the answer and gives what is certain now.
    pub fn push(&mut self, mut piece: &str) -> Vec<Event> {
        while !piece.is_empty() && !self.over {
            let (chunk, rest) = piece.split_at(piece.floor_char_boundary(CHUNK));
            piece = rest;
            self.ending.push_str(chunk);
            let found = STOPS.iter().filter_map(|stop| Some((self.ending.find(stop)?, *stop)));
            let certain = match found.min() {
                Some((at, stop)) => {
                    self.over = true;
                    self.end = Some(if stop == END_OF_MESSAGE { End::Message } else { End::Turn });
                    at
                }
                None => self.ending.len() - overlap(&self.ending, STOPS),
            };
            self.held.push_str(&self.ending[..certain]);
            self.ending.drain(..certain);
            while self.step(false) {}
            self.relieve();
        }
        std::mem::take(&mut self.out)
    }

    /// Takes for text what was held back too long.
    fn relieve(&mut self) {
        let clear = matches!(
            self.at,
            At::Object { whole: Some(_), .. }
                | At::List { open: Some(_) }
                | At::PythonArguments { .. }
                | At::Query
        );
        if self.held.len() <= if clear { HELD } else { UNCLEAR } {
            return;
        }
        if matches!(self.at, At::Code) {
            // Blanks at the end of code.
            let piece = std::mem::take(&mut self.held);
            self.give_quoted(piece);
        } else {
            self.tagged = false;
            self.at = At::Text;
            self.say(self.held.len());
        }
    }

    /// Gives the rest of the answer, and how the model ended it, if it said so.
    pub fn finish(mut self) -> (Vec<Event>, Option<End>) {
        if !self.over {
            self.held.push_str(&self.ending);
        }
        while self.step(true) {}
        (self.out, self.end)
    }

    /// Goes on as far as `held` allows; whether anything was done.
    fn step(&mut self, last: bool) -> bool {
        match std::mem::replace(&mut self.at, At::Text) {
            At::Beginning => self.beginning(last),
            At::Text => self.text(last),
            At::Object { lead, whole } => self.object(lead, whole, last),
            At::List { open } => self.list(open, last),
            At::InList => self.in_list(last),
            At::Function => self.function(last),
            At::PythonArguments { name, brackets } => self.python_arguments(name, brackets, last),
            At::Arguments { brackets, tag } => self.arguments(brackets, tag),
            At::RestOfObject(brackets) => self.rest_of_object(brackets),
            At::EndOfFunction => self.end_of_function(last),
            At::Between => self.between(last),
            At::Query => self.query(last),
            At::Code => self.code(last),
        }
    }

    /// Waits for more text at this place; at the end there is no more.
    fn wait(&mut self, at: At) -> bool {
        self.at = at;
        false
    }

    fn go(&mut self, at: At) -> bool {
        self.at = at;
        true
    }

    fn say(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let rest = self.held.split_off(bytes);
        let said = std::mem::replace(&mut self.held, rest);
        self.said = said.chars().next_back();
        if let Some(Event::Text(text)) = self.out.last_mut() {
            text.push_str(&said);
        } else {
            self.out.push(Event::Text(said));
        }
    }

    fn begin(&mut self, name: &str) {
        self.tagged = false;
        self.said = None;
        self.out.push(Event::Call(name.to_owned()));
    }

    fn give(&mut self, arguments: &str) {
        match self.out.last_mut() {
            Some(Event::Arguments(before)) => before.push_str(arguments),
            _ => self.out.push(Event::Arguments(arguments.to_owned())),
        }
    }

    /// A piece of a text in the arguments.
    fn give_quoted(&mut self, piece: String) {
        if !piece.is_empty() {
            let quoted = Value::from(piece).to_string();
            self.give(&quoted[1..quoted.len() - 1]);
        }
    }

    fn whole(&mut self, call: &Call) {
        self.begin(&call.name);
        self.give(&Value::from(call.arguments.clone()).to_string());
    }

    fn trim(&mut self) {
        let blank = self.held.len() - self.held.trim_start().len();
        self.held.drain(..blank);
    }

    fn offers(&self, name: &str) -> bool {
        self.offered.iter().any(|offered| offered == name)
    }

    fn offers_code(&self) -> bool {
        self.offers(Builtin::CodeInterpreter.name())
    }

    /// Whether `held` may become `text`, or is it already.
    fn may_be(&self, text: &str, last: bool) -> bool {
        self.held.starts_with(text) || (!last && text.starts_with(self.held.as_str()))
    }

    fn beginning(&mut self, last: bool) -> bool {
        self.trim();
        if self.held.is_empty() && !(last && self.tagged) {
            return self.wait(At::Beginning);
        }
        if !self.tagged && self.may_be(START_HEADER, last) {
            let header = &self.held[..self.held.floor_char_boundary(NAME)];
            if let Some(at) = header.find(END_HEADER) {
                self.held.drain(..at + END_HEADER.len());
                return self.go(At::Beginning);
            }
            if !last && self.held.len() < NAME {
                return self.wait(At::Beginning);
            }
        }
        if self.held.starts_with(PYTHON_TAG) {
            self.held.drain(..PYTHON_TAG.len());
            self.tagged = true;
            return self.go(At::Beginning);
        }
        if self.may_be(PYTHON_TAG, last) {
            return self.wait(At::Beginning);
        }
        match self.held.chars().next() {
            Some('{') if !self.offered.is_empty() => self.go(At::Object { lead: 0, whole: None }),
            Some('[') if !self.offered.is_empty() => {
                let after = self.held[1..].trim_start();
                match after.chars().next() {
                    None if !last => self.wait(At::Beginning),
                    Some('{') => {
                        let lead = self.held.len() - after.len();
                        self.go(At::Object { lead, whole: None })
                    }
                    Some(first) if python::is_word(first) => self.go(At::List { open: None }),
                    _ => self.no_call(last),
                }
            }
            _ => self.no_call(last),
        }
    }

    /// What is held is neither JSON nor a list: text, or code if the tag stands before it.
    fn no_call(&mut self, last: bool) -> bool {
        if !self.tagged {
            return self.go(At::Text);
        }
        let marks = || self.marks.iter().map(String::as_str).filter(|mark| *mark != PYTHON_TAG);
        if marks().any(|mark| self.held.starts_with(mark)) {
            let at = if self.held.starts_with(FUNCTION) { At::Function } else { At::Query };
            return self.go(at);
        }
        if !last && marks().any(|mark| mark.starts_with(self.held.as_str())) {
            return self.wait(At::Beginning);
        }
        if !self.offers_code() {
            self.tagged = false;
            return self.go(At::Text);
        }
        self.begin(Builtin::CodeInterpreter.name());
        self.give("{\"code\":\"");
        self.go(At::Code)
    }

    fn text(&mut self, last: bool) -> bool {
        let found = self.marks.iter().filter_map(|mark| {
            let place = |(at, _): &(usize, &str)| {
                // `xf.call(` is no call of `f`, even if `x` was given before.
                let before = self.held[..*at].chars().next_back().or(self.said);
                !mark.ends_with(QUERY) || !before.is_some_and(python::is_name)
            };
            Some((self.held.match_indices(mark.as_str()).find(place)?.0, mark.as_str()))
        });
        if let Some((at, mark)) = found.min_by_key(|(at, _)| *at) {
            let next = match mark {
                PYTHON_TAG => At::Beginning,
                FUNCTION => At::Function,
                _ => At::Query,
            };
            self.say(at);
            return self.go(next);
        }
        let kept =
            if last { 0 } else { overlap(&self.held, self.marks.iter().map(String::as_str)) };
        self.say(self.held.len() - kept);
        self.wait(At::Text)
    }

    /// Drops what stands between calls, and looks for another.
    fn between(&mut self, last: bool) -> bool {
        let separator = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | ']' | '}');
        let blank = self.held.len() - self.held.trim_start_matches(separator).len();
        self.held.drain(..blank);
        if self.held.is_empty() {
            return self.wait(At::Between);
        }
        if self.held.starts_with('{') {
            return self.go(At::Object { lead: 0, whole: None });
        }
        if self.held.starts_with(PYTHON_TAG) {
            self.held.drain(..PYTHON_TAG.len());
            self.tagged = true;
            return self.go(At::Beginning);
        }
        if self.may_be(PYTHON_TAG, last) {
            return self.wait(At::Between);
        }
        self.go(At::Text)
    }
}
