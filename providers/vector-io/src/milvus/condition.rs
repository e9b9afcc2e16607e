//! Filters as expressions of Milvus. What callers write stands in none of them.

use super::{EXPIRES_AT, FACTS, NAME, NUMBERS};
use crate::{
    facts::{number_key, word},
    filters::cannot,
};
use chaski_api::{
    Result,
    retrieval::{Comparison, Filter, Operator, Scalar},
};
use chaski_provider::Timestamp;

/// The expression for what is asked for and has not expired.
pub(super) fn condition(filter: Option<&Filter>) -> Result<String> {
    let alive = format!("{EXPIRES_AT} > {}", Timestamp::now().0);
    Ok(match filter {
        None => alive,
        Some(filter) => format!("{alive} and {}", part(filter)?),
    })
}

fn part(filter: &Filter) -> Result<String> {
    let joined = |filters: &[Filter], join: &str| {
        let parts = filters.iter().map(part).collect::<Result<Vec<String>>>();
        parts.map(|parts| format!("({})", parts.join(join)))
    };
    match filter {
        Filter::And(filters) => joined(filters, " and "),
        Filter::Or(filters) => joined(filters, " or "),
        Filter::Compare(comparison) => compare(comparison),
    }
}

fn compare(comparison: &Comparison) -> Result<String> {
    let Comparison { key, operator, values } = comparison;
    let sign = match operator {
        Operator::Eq | Operator::In | Operator::Ne | Operator::Nin => {
            let words: Vec<String> =
                values.iter().map(|value| format!("\"{}\"", word(key, value))).collect();
            let any = format!("array_contains_any({FACTS}, [{}])", words.join(", "));
            let not = matches!(operator, Operator::Ne | Operator::Nin);
            return Ok(if not { format!("(not {any})") } else { any });
        }
        Operator::Gt => ">",
        Operator::Gte => ">=",
        Operator::Lt => "<",
        Operator::Lte => "<=",
    };
    let [Scalar::Number(number)] = values.as_slice() else {
        return Err(cannot(NAME, comparison));
    };
    let (key, number) = (number_key(key), number.as_f64().unwrap_or_default());
    Ok(format!("(array_contains({FACTS}, \"{key}\") and {NUMBERS}[\"{key}\"] {sign} {number:?})"))
}
