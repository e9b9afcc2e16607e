//! What answers say, and what stands in the place of an answer that a shield objects to.

use super::{AT_ONCE, Asked, Guard};
use chaski_api::{
    Error, ErrorKind, Result, Wire,
    openai::{
        ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatMessage, THINKING_BLOCKS,
        TextChoice, TextCompletion, Usage,
    },
};
use chaski_provider::Payload;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Why an answer ended that a shield objected to.
const FILTERED: &str = "content_filter";

/// What an answer, or an event of one, adds to one of the choices.
pub(super) struct Piece {
    pub(super) choice: i64,
    pub(super) text: String,
    /// Whether a part of a call is among it.
    pub(super) calls: bool,
    /// Whether nothing follows.
    pub(super) ended: bool,
}

/// The pieces of an answer, or of an event of one, from everything that it says: in the fields that
/// this server knows and in those that it does not.
///
/// # Errors
/// `Upstream` if it cannot be understood.
pub(super) fn pieces<T: Wire>(payload: &Payload<T>) -> Result<Vec<Piece>> {
    let answer: Value = match payload {
        Payload::Raw(text) => serde_json::from_slice(text).map_err(|error| {
            let kind = ErrorKind::Upstream { status: None };
            Error::new(kind, "the upstream sent an answer that cannot be understood")
                .caused_by(error)
        })?,
        Payload::Value(value) => serde_json::to_value(value).map_err(Error::internal)?,
    };
    let choices = answer.get("choices").and_then(Value::as_array);
    Ok(choices.into_iter().flatten().map(piece).collect())
}

fn piece(choice: &Value) -> Piece {
    let mut piece = Piece {
        choice: choice.get("index").and_then(Value::as_i64).unwrap_or_default(),
        text: String::new(),
        calls: false,
        ended: choice.get("finish_reason").is_some_and(|reason| !reason.is_null()),
    };
    let said = ["delta", "message"].into_iter().find_map(|name| choice.get(name)?.as_object());
    for (name, value) in said.into_iter().flatten() {
        match (name.as_str(), value) {
            ("role", _) => {}
            ("tool_calls", Value::Array(calls)) => {
                let functions = calls.iter().filter_map(|call| call.get("function"));
                for function in functions {
                    write_call(function, &mut piece.text);
                }
                piece.calls |= !calls.is_empty();
            }
            ("function_call", Value::Object(_)) => {
                write_call(value, &mut piece.text);
                piece.calls = true;
            }
            // Signatures and encrypted thoughts are nothing to read.
            (THINKING_BLOCKS, Value::Array(blocks)) => {
                for thinking in blocks.iter().filter_map(|block| block.get("thinking")) {
                    write_texts(thinking, &mut piece.text);
                }
            }
            _ => write_texts(value, &mut piece.text),
        }
    }
    piece.text.push_str(choice.get("text").and_then(Value::as_str).unwrap_or_default());
    piece
}

/// Writes every text in a value.
fn write_texts(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(text),
        Value::Array(values) => {
            for value in values {
                write_texts(value, out);
            }
        }
        Value::Object(members) => {
            for value in members.values() {
                write_texts(value, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn write_call(function: &Value, out: &mut String) {
    let text = |name: &str| function.get(name).and_then(Value::as_str).unwrap_or_default();
    if !text("name").is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(text("name"));
        out.push('(');
    }
    match function.get("arguments") {
        Some(Value::String(arguments)) => out.push_str(arguments),
        None | Some(Value::Null) => {}
        // Some upstreams do not write them as a text.
        Some(arguments) => out.push_str(&arguments.to_string()),
    }
}

/// An event of a stream that can be judged.
pub(super) trait Spoken: Wire + Clone + Send + Unpin + 'static {
    /// What is left without the choices that `keep` does not want; nothing if that was all of it.
    fn kept(self, keep: impl Fn(i64) -> bool) -> Option<Self>;

    /// An event with the head of this one and nothing in it.
    fn head(&self) -> Self;

    /// An event of a stream that has none yet.
    fn begun(model: &str) -> Self;

    /// The last event of a choice, with what the user is told; `first` says that none came before.
    fn ending(head: &Self, choice: i64, text: &str, first: bool) -> Self;

    /// The last event of all.
    fn spent(head: &Self) -> Self;

    /// The stream in place of an answer.
    fn refused(model: &str, choices: usize, text: &str, usage: bool) -> Vec<Self> {
        let head = Self::begun(model);
        let endings = indexes(choices).map(|choice| Self::ending(&head, choice, text, true));
        endings.chain(usage.then(|| Self::spent(&head))).collect()
    }
}

/// An answer at once that can be judged.
pub(super) trait Answered: Wire + Clone + Send + Sync + 'static {
    /// Replaces a choice by what the user is told.
    fn refuse(&mut self, choice: i64, text: &str);
    /// What stands in place of an answer.
    fn refused(model: &str, choices: usize, text: &str) -> Self;
}

fn indexes(choices: usize) -> impl Iterator<Item = i64> {
    (0_i64..).take(choices.max(1))
}

/// The answer, with the choices replaced that a shield objects to. One without them goes on as it
/// came.
///
/// # Errors
/// Those of the shields, and `Upstream` if the answer cannot be understood.
pub(super) async fn judged<F: Answered>(
    payload: Payload<F>,
    guard: &Guard,
    asked: &[Asked],
    choices: usize,
) -> Result<Payload<F>> {
    let verdicts: Vec<_> = pieces(&payload)?
        .into_iter()
        .filter(|piece| !piece.text.is_empty())
        .filter_map(|piece| Some((question(asked, choices, piece.choice)?, piece)))
        .map(|(asked, piece)| async move {
            let objection = guard.objection_to_answer(asked, piece.text).await?;
            Ok::<_, Error>((piece.choice, objection))
        })
        .collect();
    let verdicts: Vec<_> = stream::iter(verdicts).buffered(AT_ONCE).try_collect().await?;
    let objections: Vec<_> =
        verdicts.into_iter().filter_map(|(choice, text)| Some((choice, text?))).collect();
    if objections.is_empty() {
        return Ok(payload);
    }
    let mut answer = payload.into_value()?;
    for (choice, text) in objections {
        answer.refuse(choice, &text);
    }
    Ok(Payload::Value(answer))
}

/// The conversation that a choice is an answer to: there are as many answers to each.
pub(super) fn question(asked: &[Asked], choices: usize, choice: i64) -> Option<&Asked> {
    let each = (choices / asked.len().max(1)).max(1);
    let index = usize::try_from(choice).unwrap_or_default() / each;
    asked.get(index).or(asked.last())
}

fn refusal(text: &str) -> ChatMessage {
    let role = Some("assistant".to_owned());
    ChatMessage { role, refusal: Some(text.to_owned()), ..ChatMessage::empty() }
}

fn nothing() -> Usage {
    Usage::of(0, 0)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Answered for ChatCompletion {
    fn refuse(&mut self, choice: i64, text: &str) {
        for found in self.choices.iter_mut().filter(|found| found.index == choice) {
            found.message = refusal(text);
            found.logprobs = None;
            found.finish_reason = Some(FILTERED.to_owned());
        }
    }

    fn refused(model: &str, choices: usize, text: &str) -> Self {
        let choice = |index| ChatChoice {
            index,
            message: refusal(text),
            logprobs: None,
            finish_reason: Some(FILTERED.to_owned()),
        };
        Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            object: "chat.completion".to_owned(),
            created: now(),
            model: model.to_owned(),
            choices: indexes(choices).map(choice).collect(),
            usage: Some(nothing()),
        }
    }
}

impl Spoken for ChatChunk {
    fn kept(mut self, keep: impl Fn(i64) -> bool) -> Option<Self> {
        let none = self.choices.is_empty();
        self.choices.retain(|choice| keep(choice.index));
        (none || !self.choices.is_empty()).then_some(self)
    }

    fn head(&self) -> Self {
        Self {
            id: self.id.clone(),
            object: self.object.clone(),
            created: self.created,
            model: self.model.clone(),
            choices: Vec::new(),
            usage: None,
        }
    }

    fn begun(model: &str) -> Self {
        Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            object: "chat.completion.chunk".to_owned(),
            created: now(),
            model: model.to_owned(),
            choices: Vec::new(),
            usage: None,
        }
    }

    fn ending(head: &Self, choice: i64, text: &str, first: bool) -> Self {
        let mut delta = refusal(text);
        if !first {
            delta.role = None;
        }
        let choice = ChatChunkChoice {
            index: choice,
            delta,
            logprobs: None,
            finish_reason: Some(FILTERED.to_owned()),
        };
        Self { choices: vec![choice], ..head.head() }
    }

    fn spent(head: &Self) -> Self {
        Self { usage: Some(nothing()), ..head.head() }
    }
}

fn ended(choice: i64, text: &str) -> TextChoice {
    // This API has no place for a refusal but the text.
    let finish_reason = Some(FILTERED.to_owned());
    TextChoice { index: choice, text: text.to_owned(), logprobs: None, finish_reason }
}

impl Answered for TextCompletion {
    fn refuse(&mut self, choice: i64, text: &str) {
        for found in self.choices.iter_mut().filter(|found| found.index == choice) {
            *found = ended(choice, text);
        }
    }

    fn refused(model: &str, choices: usize, text: &str) -> Self {
        let choices = indexes(choices).map(|choice| ended(choice, text)).collect();
        Self { choices, usage: Some(nothing()), ..Self::begun(model) }
    }
}

impl Spoken for TextCompletion {
    fn kept(mut self, keep: impl Fn(i64) -> bool) -> Option<Self> {
        let none = self.choices.is_empty();
        self.choices.retain(|choice| keep(choice.index));
        (none || !self.choices.is_empty()).then_some(self)
    }

    fn head(&self) -> Self {
        let (id, object, model) = (self.id.clone(), self.object.clone(), self.model.clone());
        Self { id, object, model, created: self.created, choices: Vec::new(), usage: None }
    }

    fn begun(model: &str) -> Self {
        Self {
            id: format!("cmpl-{}", Uuid::new_v4().simple()),
            object: "text_completion".to_owned(),
            created: now(),
            model: model.to_owned(),
            choices: Vec::new(),
            usage: None,
        }
    }

    fn ending(head: &Self, choice: i64, text: &str, _first: bool) -> Self {
        Self { choices: vec![ended(choice, text)], ..Spoken::head(head) }
    }

    fn spent(head: &Self) -> Self {
        Self { usage: Some(nothing()), ..Spoken::head(head) }
    }
}
