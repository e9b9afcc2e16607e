//! Filters in Qdrant's form.

use super::{EXPIRES_AT, METADATA, NAME};
use crate::filters::cannot;
use chaski_api::{
    Error, Result,
    retrieval::{Comparison, Filter, Operator, Scalar},
};
use chaski_provider::Timestamp;
use serde_json::{Value, json};

/// The condition for what is asked for and has not expired.
pub(super) fn condition(filter: Option<&Filter>) -> Result<Value> {
    let must: Vec<Value> = filter.map(part).transpose()?.into_iter().collect();
    Ok(json!({ "must": must, "must_not": [expired()] }))
}

/// The condition for what has expired.
pub(super) fn expired() -> Value {
    json!({ "key": EXPIRES_AT, "range": { "lte": Timestamp::now().0 } })
}

fn part(filter: &Filter) -> Result<Value> {
    let all = |filters: &[Filter]| filters.iter().map(part).collect::<Result<Vec<Value>>>();
    Ok(match filter {
        Filter::And(filters) => json!({ "must": all(filters)? }),
        Filter::Or(filters) => json!({ "should": all(filters)? }),
        Filter::Compare(comparison) => compare(comparison)?,
    })
}

fn compare(comparison: &Comparison) -> Result<Value> {
    let Comparison { key, operator, values } = comparison;
    let key = path(key)?;
    // Numbers are kept with a fraction, and those Qdrant compares by ranges only.
    let equal = |value: &Scalar| match value {
        Scalar::Text(text) => json!({ "key": key, "match": { "value": text } }),
        Scalar::Bool(truth) => json!({ "key": key, "match": { "value": truth } }),
        Scalar::Number(number) => {
            let number = number.as_f64();
            json!({ "key": key, "range": { "gte": number, "lte": number } })
        }
    };
    let any: Vec<Value> = values.iter().map(equal).collect();
    Ok(match operator {
        Operator::Eq | Operator::In => json!({ "should": any }),
        Operator::Ne | Operator::Nin => json!({ "must_not": any }),
        Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
            let [Scalar::Number(number)] = values.as_slice() else {
                return Err(cannot(NAME, comparison));
            };
            json!({ "key": key, "range": { operator.as_str(): number } })
        }
    })
}

/// A key of the metadata in a payload. In quotes, so that dots and brackets in it mean nothing.
fn path(key: &str) -> Result<String> {
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    if !key.is_empty() && key.chars().all(plain) {
        return Ok(format!("{METADATA}.{key}"));
    }
    if key.is_empty() || key.contains(['"', '\\']) {
        return Err(Error::unsupported(format!(
            "{NAME} has no filters for the key `{key}`; use one without quotes and backslashes"
        )));
    }
    Ok(format!("{METADATA}.\"{key}\""))
}
