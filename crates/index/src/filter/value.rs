//! Values of metadata as far as filters can compare them.

use serde_json::{Number, Value as Json};
use std::cmp::Ordering;

/// A value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    /// Of scalars.
    List(Vec<Value>),
}

fn scalar(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) => Value::Number(value.clone()),
        Json::String(value) => Value::Text(value.as_str().into()),
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
    })
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// Integers exactly, others as 64-bit numbers.
fn order(one: &Number, other: &Number) -> Option<Ordering> {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

impl Value {
    /// Null and objects are no values for filters; neither are lists in lists.
    pub(crate) fn from_json(json: &Json) -> Option<Self> {
        match json.as_array() {
            Some(elements) => Some(Self::List(elements.iter().filter_map(scalar).collect())),
            None => scalar(json),
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(value) => Json::Number(value.clone()),
            Self::Text(value) => Json::String(value.to_string()),
            Self::List(elements) => elements.iter().map(Self::to_json).collect(),
        }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Number(one), Self::Number(other)) => order(one, other) == Some(Ordering::Equal),
            (Self::Text(one), Self::Text(other)) => one == other,
            _ => false,
        }
    }

    /// The order of two numbers or two texts.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => order(one, other),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}
