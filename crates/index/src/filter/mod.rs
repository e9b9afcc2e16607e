//! Filters on metadata: a typed tree, held against values and never turned into text.

mod value;

use crate::{Error, Result};
use serde_json::{Map, Value as Json, json};
use std::cmp::Ordering;

pub(crate) use value::Value;

/// How deep conditions may be nested.
pub const MAX_DEPTH: usize = 16;
/// How many conditions and values a filter may have.
pub const MAX_SIZE: usize = 1024;

/// Which chunks may be found, by their metadata.
///
/// Numbers are compared with numbers, texts with texts, booleans with booleans; values of
/// different kinds are neither equal nor in an order. A list satisfies a condition if one of its
/// elements does. `Ne` and `Nin` are the opposites of `Eq` and `In`, so that they are satisfied
/// where the field is absent.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The field equals the value.
    Eq(String, Json),
    Ne(String, Json),
    Gt(String, Json),
    Gte(String, Json),
    Lt(String, Json),
    Lte(String, Json),
    /// The field equals one of the values.
    In(String, Vec<Json>),
    Nin(String, Vec<Json>),
    /// All of them; satisfied if there are none.
    And(Vec<Filter>),
    /// One of them; not satisfied if there are none.
    Or(Vec<Filter>),
}

/// A filter whose limits and values have been checked.
#[derive(Debug)]
pub(crate) enum Condition {
    Field { key: String, test: Test, negated: bool },
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// What the value of a field is held against.
#[derive(Debug)]
pub(crate) enum Test {
    OneOf(Vec<Value>),
    /// The orderings that satisfy, and to what.
    Ordered(&'static [Ordering], Value),
}

const COMPARISONS: [&str; 6] = ["eq", "ne", "gt", "gte", "lt", "lte"];

impl Filter {
    /// The field equals the value.
    pub fn eq(key: impl Into<String>, value: impl Into<Json>) -> Self {
        Self::Eq(key.into(), value.into())
    }

    /// Reads the form of OpenAI's API: `{"type": "eq", "key": "year", "value": 2024}`, with the
    /// types `eq`, `ne`, `gt`, `gte`, `lt`, `lte`, `in` and `nin`, and
    /// `{"type": "and", "filters": [...]}`, with `and` and `or`.
    ///
    /// # Errors
    /// The form is another, or a limit is passed; the message says where.
    pub fn from_json(json: &Json) -> Result<Self> {
        let filter = read(json, "filter", 0)?;
        filter.compile()?;
        Ok(filter)
    }

    /// The form that [`Filter::from_json`] reads.
    pub fn to_json(&self) -> Json {
        let field = |kind: &str, key: &str, value: Json| json!({ "type": kind, "key": key, "value": value });
        let group = |kind: &str, parts: &[Self]| json!({ "type": kind, "filters": parts.iter().map(Self::to_json).collect::<Vec<_>>() });
        match self {
            Self::Eq(key, value) => field("eq", key, value.clone()),
            Self::Ne(key, value) => field("ne", key, value.clone()),
            Self::Gt(key, value) => field("gt", key, value.clone()),
            Self::Gte(key, value) => field("gte", key, value.clone()),
            Self::Lt(key, value) => field("lt", key, value.clone()),
            Self::Lte(key, value) => field("lte", key, value.clone()),
            Self::In(key, values) => field("in", key, values.clone().into()),
            Self::Nin(key, values) => field("nin", key, values.clone().into()),
            Self::And(parts) => group("and", parts),
            Self::Or(parts) => group("or", parts),
        }
    }

    /// Whether metadata satisfies the filter.
    ///
    /// # Errors
    /// A limit is passed, or a value cannot be compared.
    pub fn matches(&self, metadata: &Map<String, Json>) -> Result<bool> {
        Ok(self.compile()?.matches(metadata))
    }

    pub(crate) fn compile(&self) -> Result<Condition> {
        compile(self, 0, &mut 0)
    }
}

fn read(json: &Json, path: &str, depth: usize) -> Result<Filter> {
    let refused = |problem: String| Error::invalid(format!("{path}: {problem}"));
    if depth > MAX_DEPTH {
        return Err(refused(format!("nested more than {MAX_DEPTH} deep; use a flatter filter")));
    }
    let member = |name: &str| {
        json.get(name).ok_or_else(|| refused(format!("`{name}` is missing in `{}`", short(json))))
    };
    let kind = member("type")?;
    let kind = kind
        .as_str()
        .ok_or_else(|| refused(format!("the type `{}` is not a text", short(kind))))?;
    if let "and" | "or" = kind {
        let Some(parts) = member("filters")?.as_array() else {
            return Err(refused("`filters` is not a list".to_owned()));
        };
        let parts = parts
            .iter()
            .enumerate()
            .map(|(index, part)| read(part, &format!("{path}.filters[{index}]"), depth + 1))
            .collect::<Result<_>>()?;
        return Ok(if kind == "and" { Filter::And(parts) } else { Filter::Or(parts) });
    }
    let known = COMPARISONS.contains(&kind) || kind == "in" || kind == "nin";
    if !known {
        return Err(refused(format!(
            "the type `{kind}` is not known; use one of `{}`, `in`, `nin`, `and`, `or`",
            COMPARISONS.join("`, `")
        )));
    }
    let Some(key) = member("key")?.as_str().map(str::to_owned) else {
        return Err(refused("`key` is not a text".to_owned()));
    };
    let value = member("value")?.clone();
    let values = |value: Json| match value.as_array() {
        Some(values) => Ok(values.clone()),
        None => Err(refused(format!("`{kind}` needs a list, not `{}`", short(&value)))),
    };
    Ok(match kind {
        "eq" => Filter::Eq(key, value),
        "ne" => Filter::Ne(key, value),
        "gt" => Filter::Gt(key, value),
        "gte" => Filter::Gte(key, value),
        "lt" => Filter::Lt(key, value),
        "lte" => Filter::Lte(key, value),
        "in" => Filter::In(key, values(value)?),
        _ => Filter::Nin(key, values(value)?),
    })
}

/// The beginning of a value, for messages.
fn short(json: &Json) -> String {
    let text = json.to_string();
    let mut start: String = text.chars().take(60).collect();
    if start.len() < text.len() {
        start.push_str("...");
    }
    start
}

fn compile(filter: &Filter, depth: usize, size: &mut usize) -> Result<Condition> {
    if depth > MAX_DEPTH {
        return Err(Error::invalid(format!(
            "the filter is nested more than {MAX_DEPTH} deep; use a flatter one"
        )));
    }
    let mut grow = |by: usize| {
        *size += by;
        if *size > MAX_SIZE {
            return Err(Error::invalid(format!(
                "the filter has more than {MAX_SIZE} conditions and values; use a smaller one"
            )));
        }
        Ok(())
    };
    let scalar = |key: &str, json: &Json| match Value::from_json(json) {
        Some(value @ (Value::Bool(_) | Value::Number(_) | Value::Text(_))) => Ok(value),
        _ => Err(Error::invalid(format!(
            "`{}`, which `{key}` is compared with, is not a text, a number or a boolean",
            short(json)
        ))),
    };
    let one_of = |key: &str, values: &[Json], negated| {
        let values = values.iter().map(|value| scalar(key, value)).collect::<Result<_>>()?;
        Ok(Condition::Field { key: key.to_owned(), test: Test::OneOf(values), negated })
    };
    let ordered = |key: &str, orderings, value: &Json| {
        let value = scalar(key, value)?;
        if let Value::Bool(_) = value {
            return Err(Error::invalid(format!(
                "booleans have no order; compare `{key}` by `eq` or `ne`"
            )));
        }
        let test = Test::Ordered(orderings, value);
        Ok(Condition::Field { key: key.to_owned(), test, negated: false })
    };
    match filter {
        Filter::Eq(key, value) => {
            grow(1)?;
            one_of(key, std::slice::from_ref(value), false)
        }
        Filter::Ne(key, value) => {
            grow(1)?;
            one_of(key, std::slice::from_ref(value), true)
        }
        Filter::In(key, values) => {
            grow(1 + values.len())?;
            one_of(key, values, false)
        }
        Filter::Nin(key, values) => {
            grow(1 + values.len())?;
            one_of(key, values, true)
        }
        Filter::Gt(key, value) => {
            grow(1)?;
            ordered(key, &[Ordering::Greater], value)
        }
        Filter::Gte(key, value) => {
            grow(1)?;
            ordered(key, &[Ordering::Greater, Ordering::Equal], value)
        }
        Filter::Lt(key, value) => {
            grow(1)?;
            ordered(key, &[Ordering::Less], value)
        }
        Filter::Lte(key, value) => {
            grow(1)?;
            ordered(key, &[Ordering::Less, Ordering::Equal], value)
        }
        Filter::And(parts) => {
            grow(1)?;
            let parts = parts.iter().map(|part| compile(part, depth + 1, size));
            Ok(Condition::All(parts.collect::<Result<_>>()?))
        }
        Filter::Or(parts) => {
            grow(1)?;
            let parts = parts.iter().map(|part| compile(part, depth + 1, size));
            Ok(Condition::Any(parts.collect::<Result<_>>()?))
        }
    }
}

impl Condition {
    pub(crate) fn matches(&self, metadata: &Map<String, Json>) -> bool {
        match self {
            Self::Field { key, test, negated } => {
                let value = metadata.get(key).and_then(Value::from_json);
                value.is_some_and(|value| test.accepts(&value)) != *negated
            }
            Self::All(parts) => parts.iter().all(|part| part.matches(metadata)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(metadata)),
        }
    }
}

impl Test {
    pub(crate) fn accepts(&self, value: &Value) -> bool {
        if let Value::List(elements) = value {
            return elements.iter().any(|element| self.accepts(element));
        }
        match self {
            Self::OneOf(values) => values.iter().any(|wanted| wanted.same(value)),
            Self::Ordered(orderings, bound) => {
                value.order(bound).is_some_and(|ordering| orderings.contains(&ordering))
            }
        }
    }
}

#[cfg(test)]
mod tests;
