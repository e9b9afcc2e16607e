//! Filters in Weaviate's form. What callers write stands in none of them.

use super::{EXPIRES_AT, FACTS, NAME};
use crate::{
    facts::{number_key, word},
    filters::cannot,
};
use chaski_api::{
    Result,
    retrieval::{Comparison, Filter, Operator, Scalar},
};
use chaski_provider::Timestamp;
use serde_json::{Value, json};
use std::collections::HashSet;

/// A filter, and the properties with numbers that it compares.
pub(crate) struct Condition {
    filter: Option<Filter>,
    pub(super) numbers: Vec<String>,
}

impl Condition {
    /// # Errors
    /// `Unsupported` if Weaviate cannot compare in that way.
    pub(super) fn new(filter: Option<&Filter>) -> Result<Self> {
        let mut numbers = Vec::new();
        if let Some(filter) = filter {
            compared(filter, &mut numbers)?;
        }
        Ok(Self { filter: filter.cloned(), numbers })
    }

    pub(super) fn is_all(&self) -> bool {
        self.filter.is_none()
    }

    /// The condition for what is asked for and has not expired, where the class has these
    /// properties with numbers: Weaviate knows no others.
    pub(super) fn write(&self, known: &HashSet<String>) -> Value {
        let now = Timestamp::now().0;
        let alive = json!({ "path": [EXPIRES_AT], "operator": "GreaterThan", "valueNumber": now });
        match &self.filter {
            None => alive,
            Some(filter) => joined("And", vec![alive, part(filter, known)]),
        }
    }
}

/// The condition for what has expired.
pub(super) fn expired() -> Value {
    let now = Timestamp::now().0;
    json!({ "path": [EXPIRES_AT], "operator": "LessThanEqual", "valueNumber": now })
}

/// Joins conditions, of which there is at least one.
pub(super) fn joined(operator: &str, mut parts: Vec<Value>) -> Value {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    json!({ "operator": operator, "operands": parts })
}

fn compared(filter: &Filter, numbers: &mut Vec<String>) -> Result<()> {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => {
            filters.iter().try_for_each(|filter| compared(filter, numbers))
        }
        Filter::Compare(comparison) if sign(comparison.operator).is_some() => {
            if !matches!(comparison.values.as_slice(), [Scalar::Number(_)]) {
                return Err(cannot(NAME, comparison));
            }
            numbers.push(number_key(&comparison.key));
            Ok(())
        }
        Filter::Compare(_) => Ok(()),
    }
}

/// How an order is called; nothing for equality.
fn sign(operator: Operator) -> Option<&'static str> {
    match operator {
        Operator::Gt => Some("GreaterThan"),
        Operator::Gte => Some("GreaterThanEqual"),
        Operator::Lt => Some("LessThan"),
        Operator::Lte => Some("LessThanEqual"),
        Operator::Eq | Operator::Ne | Operator::In | Operator::Nin => None,
    }
}

fn part(filter: &Filter, known: &HashSet<String>) -> Value {
    let all = |filters: &[Filter]| filters.iter().map(|filter| part(filter, known)).collect();
    match filter {
        Filter::And(filters) => joined("And", all(filters)),
        Filter::Or(filters) => joined("Or", all(filters)),
        Filter::Compare(comparison) => compare(comparison, known),
    }
}

fn compare(comparison: &Comparison, known: &HashSet<String>) -> Value {
    let Comparison { key, operator, values } = comparison;
    let fact = |operator: &str, word: &str| json!({ "path": [FACTS], "operator": operator, "valueText": word });
    let facts = |operator| values.iter().map(|value| fact(operator, &word(key, value))).collect();
    match sign(*operator) {
        Some(sign) => {
            let key = number_key(key);
            let number = match values.first() {
                Some(Scalar::Number(number)) if known.contains(&key) => number.as_f64(),
                _ => None,
            };
            match number {
                Some(number) => json!({ "path": [key], "operator": sign, "valueNumber": number }),
                // No chunk has a number there, and none has this fact.
                None => fact("Equal", "none"),
            }
        }
        None if matches!(operator, Operator::Ne | Operator::Nin) => {
            joined("And", facts("NotEqual"))
        }
        None => joined("Or", facts("Equal")),
    }
}
