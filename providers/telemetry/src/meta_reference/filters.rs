//! Filters of callers: how an attribute of a span is compared with a value.

use super::records::{Facts, mark};
use chaski_api::{
    Error, Result,
    telemetry::{QueryCondition, QueryConditionOp},
};
use chaski_provider::Attribute;
use serde_json::Value;
use std::cmp::Ordering;

/// The most filters of a question, and the most attributes that are asked for.
const MOST: usize = 100;

/// A value of an attribute, as far as it can be compared. A number is an integer where it is written
/// as one and has 64 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fact<'a> {
    Text(&'a str),
    Integer(i64),
    Real(f64),
    Truth(bool),
    /// Nothing, a list or an object.
    Other,
}

impl<'a> From<&'a Attribute> for Fact<'a> {
    fn from(value: &'a Attribute) -> Self {
        match value {
            Attribute::Text(text) => Self::Text(text),
            Attribute::Integer(number) => Self::Integer(*number),
            Attribute::Truth(truth) => Self::Truth(*truth),
        }
    }
}

impl<'a> From<&'a Value> for Fact<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Number(number) => number
                .as_i64()
                .map(Self::Integer)
                .or_else(|| number.as_f64().map(Self::Real))
                .unwrap_or(Self::Other),
            Value::Bool(truth) => Self::Truth(*truth),
            Value::Null | Value::Array(_) | Value::Object(_) => Self::Other,
        }
    }
}

impl Fact<'_> {
    /// How it is compared with another one. Values of different types are not equal, and neither is
    /// less.
    fn order(self, other: Fact<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(one), Fact::Text(two)) => Some(one.cmp(two)),
            (Self::Integer(one), Fact::Integer(two)) => Some(one.cmp(&two)),
            (Self::Real(one), Fact::Real(two)) => one.partial_cmp(&two),
            (Self::Integer(one), Fact::Real(two)) => mixed(one, two),
            (Self::Real(one), Fact::Integer(two)) => mixed(two, one).map(Ordering::reverse),
            (Self::Truth(one), Fact::Truth(two)) => Some(one.cmp(&two)),
            (
                Self::Text(_) | Self::Integer(_) | Self::Real(_) | Self::Truth(_) | Self::Other,
                Fact::Text(_) | Fact::Integer(_) | Fact::Real(_) | Fact::Truth(_) | Fact::Other,
            ) => None,
        }
    }
}

/// The exact order of an integer and a real number, of which not every one is one of the other kind.
fn mixed(integer: i64, real: f64) -> Option<Ordering> {
    /// One more than the greatest integer.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if real.is_nan() {
        None
    } else if real >= BEYOND {
        Some(Ordering::Less)
    } else if real < -BEYOND {
        Some(Ordering::Greater)
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "the number without its fraction fits")]
        let whole = real as i64;
        Some(integer.cmp(&whole).then(0.0.partial_cmp(&real.fract())?))
    }
}

/// A filter that can be asked.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    key: String,
    op: QueryConditionOp,
    value: Value,
}

impl Filter {
    /// The filters of a question.
    ///
    /// # Errors
    /// `InvalidRequest` for too many, and for a value that an operator cannot compare with.
    pub(super) fn all(conditions: Vec<QueryCondition>) -> Result<Vec<Self>> {
        few("attribute_filters", conditions.len())?;
        conditions.into_iter().map(Self::new).collect()
    }

    fn new(condition: QueryCondition) -> Result<Self> {
        let QueryCondition { key, op, value } = condition;
        let fits = match op {
            QueryConditionOp::Gt | QueryConditionOp::Lt => value.is_string() || value.is_number(),
            QueryConditionOp::Eq | QueryConditionOp::Ne => Fact::from(&value) != Fact::Other,
        };
        if fits {
            return Ok(Self { key, op, value });
        }
        let what = match op {
            QueryConditionOp::Gt | QueryConditionOp::Lt => "a text or a number",
            QueryConditionOp::Eq | QueryConditionOp::Ne => "a text, a number, `true` or `false`",
        };
        let text = format!("a filter with `{op}` compares with {what}, not with `{value}`");
        Err(Error::invalid(text).with_param("attribute_filters"))
    }

    /// Whether it is true of a span with these facts; never where the attribute is absent.
    pub(super) fn holds(&self, facts: &Facts) -> bool {
        let Some(fact) = facts.get(&self.key) else { return false };
        let order = fact.order(Fact::from(&self.value));
        match self.op {
            QueryConditionOp::Eq => order == Some(Ordering::Equal),
            QueryConditionOp::Ne => order != Some(Ordering::Equal),
            QueryConditionOp::Gt => order == Some(Ordering::Greater),
            QueryConditionOp::Lt => order == Some(Ordering::Less),
        }
    }

    /// The mark that traces have which it can be true of, where there is one.
    pub(super) fn mark(&self) -> Option<u64> {
        match (self.op, &self.value) {
            (QueryConditionOp::Eq, Value::String(value)) => mark(&self.key, value),
            (
                QueryConditionOp::Eq
                | QueryConditionOp::Ne
                | QueryConditionOp::Gt
                | QueryConditionOp::Lt,
                _,
            ) => None,
        }
    }
}

/// Whether a list of a question is short enough.
///
/// # Errors
/// `InvalidRequest` where it is not.
pub(super) fn few(field: &'static str, count: usize) -> Result<()> {
    if count <= MOST {
        return Ok(());
    }
    Err(Error::invalid(format!("`{field}` has {count} entries; it may have {MOST}"))
        .with_param(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The operators that are true of an attribute and a value, in the order of the alphabet.
    fn true_of(fact: &Value, value: &Value) -> Vec<&'static str> {
        let facts = Facts::Any([("key".to_owned(), fact.clone())].into_iter().collect());
        let all = [
            ("eq", QueryConditionOp::Eq),
            ("gt", QueryConditionOp::Gt),
            ("lt", QueryConditionOp::Lt),
            ("ne", QueryConditionOp::Ne),
        ];
        let holds = |key: &str, op| {
            let condition = QueryCondition { key: key.to_owned(), op, value: value.clone() };
            Filter::new(condition).is_ok_and(|filter| filter.holds(&facts))
        };
        assert!(!all.iter().any(|(_, op)| holds("absent", *op)), "{value}");
        all.into_iter().filter(|(_, op)| holds("key", *op)).map(|(name, _)| name).collect()
    }

    #[test]
    fn values_of_a_type_are_compared_and_others_are_only_not_equal() {
        let (equal, more, less, other) = (
            ["eq"].as_slice(),
            ["gt", "ne"].as_slice(),
            ["lt", "ne"].as_slice(),
            ["ne"].as_slice(),
        );
        for (fact, value, expected) in [
            (json!("5"), json!("5"), equal),
            (json!("5"), json!("41"), more),
            (json!("Z"), json!("a"), less),
            (json!("é"), json!("z"), more),
            (json!(""), json!("x"), less),
            (json!(5), json!(5), equal),
            (json!(5), json!(5.0), equal),
            (json!(5.0), json!(5), equal),
            (json!(5), json!(4.5), more),
            (json!(5), json!(5.5), less),
            (json!(-5), json!(-5.5), more),
            (json!(5.5), json!(5), more),
            (json!(5.5), json!(5.25), more),
            (json!(-0.0), json!(0), equal),
            (json!(0), json!(-0.0), equal),
            // Between real numbers of this size there are many integers.
            (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992.0), more),
            (json!(9_007_199_254_740_992.0), json!(9_007_199_254_740_993_i64), less),
            (json!(i64::MAX), json!(9_223_372_036_854_775_808.0), less),
            (json!(i64::MIN), json!(-9_223_372_036_854_775_808.0), equal),
            (json!(i64::MIN), json!(-1e19), more),
            (json!(u64::MAX), json!(i64::MAX), more),
            (json!(i64::MAX), json!(u64::MAX), less),
            (json!(u64::MAX), json!(u64::MAX), equal),
            (json!(true), json!(true), equal),
            (json!(true), json!(false), other),
            (json!(true), json!(1), other),
            (json!(1), json!(true), other),
            (json!("5"), json!(5), other),
            (json!(5), json!("5"), other),
            (json!("true"), json!(true), other),
            (json!(null), json!("x"), other),
            (json!(null), json!(0), other),
            (json!(null), json!(false), other),
            (json!([5]), json!("[5]"), other),
            (json!({ "a": 5 }), json!(5), other),
        ] {
            assert_eq!(true_of(&fact, &value), expected, "{fact} and {value}");
        }
    }

    #[test]
    fn facts_of_this_server_are_compared_like_those_that_are_read() {
        let own = Facts::Own(vec![
            ("text", "x".into()),
            ("number", 5_i64.into()),
            ("truth", true.into()),
        ]);
        let text = serde_json::to_string(&own).unwrap();
        let read: Facts = serde_json::from_str(&text).unwrap();
        for name in ["text", "number", "truth", "absent"] {
            assert_eq!(own.get(name), read.get(name), "{name}");
        }
        assert_eq!(Facts::Any(own.into()), read);
    }
}
