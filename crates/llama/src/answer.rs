//! A whole answer: its text and its calls.

use crate::{
    call::Call,
    reader::{End, Event, Reader},
    tokens::{END_HEADER, PYTHON_TAG, START_HEADER, STOPS},
};

/// What a model answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text for the user, without tokens and calls.
    pub text: String,
    pub calls: Vec<Call>,
    /// How the model ended the answer, if it said so.
    pub end: Option<End>,
}

/// The text and the calls of an answer. `offered` are the names of the tools.
///
/// Where the arguments of a call are broken off or no JSON, there are no calls and the answer is
/// text as it stands.
pub fn parse<S: AsRef<str>>(text: &str, offered: &[S]) -> Answer {
    let mut reader = Reader::new(offered.iter().map(|name| name.as_ref().to_owned()));
    let mut events = reader.push(text);
    let (rest, end) = reader.finish();
    events.extend(rest);
    let mut said = String::new();
    let mut calls: Vec<(String, String)> = Vec::new();
    for event in events {
        match event {
            Event::Text(text) => said.push_str(&text),
            Event::Call(name) => calls.push((name, String::new())),
            Event::Arguments(piece) => {
                if let Some((_, arguments)) = calls.last_mut() {
                    arguments.push_str(&piece);
                }
            }
        }
    }
    let read = |(name, arguments): (String, String)| {
        let arguments = serde_json::from_str(&arguments).ok()?;
        Some(Call { name, arguments })
    };
    match calls.into_iter().map(read).collect::<Option<Vec<Call>>>() {
        Some(calls) => Answer { text: said, calls, end },
        None => Answer { text: plain(text).to_owned(), calls: Vec::new(), end },
    }
}

/// The answer without the tokens around it.
fn plain(text: &str) -> &str {
    let mut text = text.trim_start();
    if text.starts_with(START_HEADER)
        && let Some((_, rest)) = text.split_once(END_HEADER)
    {
        text = rest.trim_start();
    }
    text = text.strip_prefix(PYTHON_TAG).map_or(text, str::trim_start);
    let ends = STOPS.iter().filter_map(|stop| text.find(stop));
    &text[..ends.min().unwrap_or(text.len())]
}
