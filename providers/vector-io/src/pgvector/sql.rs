//! Statements with their parameters: nothing that a caller gives is ever part of the text.

use tokio_postgres::types::{ToSql, Type};

/// A value that stands apart from the text of a statement.
#[derive(Debug, Clone)]
pub(super) enum Parameter {
    Text(String),
    Texts(Vec<String>),
    Number(i64),
    Numbers(Vec<Option<i64>>),
    /// Numbers of vectors.
    Floats(Vec<f32>),
}

impl Parameter {
    pub(super) fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(text) => (text, Type::TEXT),
            Self::Texts(texts) => (texts, Type::TEXT_ARRAY),
            Self::Number(number) => (number, Type::INT8),
            Self::Numbers(numbers) => (numbers, Type::INT8_ARRAY),
            Self::Floats(floats) => (floats, Type::FLOAT4_ARRAY),
        }
    }
}

impl From<&str> for Parameter {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Parameter {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) parameters: Vec<Parameter>,
}

impl Sql {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), parameters: Vec::new() }
    }

    /// What stands in the text for a value.
    pub(super) fn bind(&mut self, value: impl Into<Parameter>) -> String {
        self.parameters.push(value.into());
        format!("${}", self.parameters.len())
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }
}
