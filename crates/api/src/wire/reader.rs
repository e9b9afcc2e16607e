//! The place in a document that is being read, and the problems found.

use super::Wire;
use crate::error::{Issue, Segment};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Where the reader stands in a document, and the problems found so far.
#[derive(Debug, Default)]
pub struct Reader {
    path: Vec<Segment>,
    issues: Vec<Issue>,
}

impl Reader {
    /// A reader whose paths start with `root`, such as `body` or `query`.
    pub fn rooted(root: &'static str) -> Self {
        Self { path: vec![Segment::Key(Cow::Borrowed(root))], issues: Vec::new() }
    }

    /// Runs `read` one step deeper, at the key `key`.
    pub fn key<T>(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.step(Segment::Key(key.into()), read)
    }

    /// Runs `read` one step deeper, at the position `index` (from 0).
    pub fn index<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        self.step(Segment::Index(index), read)
    }

    fn step<T>(&mut self, segment: Segment, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let out = read(self);
        self.path.pop();
        out
    }

    /// Reports a problem at the current place; always gives nothing, for `return reader.issue(..)`.
    pub fn issue<T>(&mut self, kind: &'static str, msg: impl Into<String>) -> Option<T> {
        self.issues.push(Issue { loc: self.path.clone(), msg: msg.into(), kind });
        None
    }

    /// Whether a problem was found since `mark` was taken.
    pub fn failed_since(&self, mark: usize) -> bool {
        self.issues.len() > mark
    }

    /// The number of problems found so far.
    pub fn mark(&self) -> usize {
        self.issues.len()
    }

    /// The problems found since `mark`, taken out of the list.
    pub fn take_since(&mut self, mark: usize) -> Vec<Issue> {
        self.issues.split_off(mark)
    }

    /// Puts problems back that `take_since` took out.
    pub fn restore(&mut self, issues: Vec<Issue>) {
        self.issues.extend(issues);
    }

    /// The members of an object, or a problem.
    pub fn object(&mut self, value: Value) -> Option<Map<String, Value>> {
        match value {
            Value::Object(object) => Some(object),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => self.issue(
                "model_attributes_type",
                "Input should be a valid dictionary or object to extract fields from",
            ),
        }
    }

    /// Reads the member `name`; where it is absent, takes `default`, then what absence means.
    pub fn field<T: Wire>(
        &mut self,
        object: &mut Map<String, Value>,
        name: &'static str,
        default: Option<fn() -> T>,
    ) -> Option<T> {
        match object.get_mut(name).map(Value::take) {
            Some(value) => self.key(name, |reader| T::read(value, reader)),
            None => match default.map(|default| default()).or_else(T::absent) {
                Some(value) => Some(value),
                None => self.key(name, |reader| reader.issue("missing", "Field required")),
            },
        }
    }

    /// The outcome: the value, or all problems.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Issue>> {
        match value {
            Some(value) if self.issues.is_empty() => Ok(value),
            _ => Err(self.issues),
        }
    }
}
