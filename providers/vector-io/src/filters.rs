//! Filters without the empty parts that stores do not take.

use chaski_api::{
    Error,
    retrieval::{Comparison, Filter, Operator},
};

/// What is left of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    /// It holds for everything.
    All,
    /// It holds for nothing.
    Nothing,
    /// It has no empty lists in it.
    Some(Filter),
}

/// A filter holds for nothing.
#[derive(Debug)]
pub(crate) struct Impossible;

impl Plain {
    pub(crate) fn of(filter: Option<&Filter>) -> Self {
        filter.map_or(Self::All, plain)
    }

    /// The filter, if there is one to ask for.
    ///
    /// # Errors
    /// No chunk can meet it.
    pub(crate) fn possible(self) -> Result<Option<Filter>, Impossible> {
        match self {
            Self::All => Ok(None),
            Self::Nothing => Err(Impossible),
            Self::Some(filter) => Ok(Some(filter)),
        }
    }
}

fn plain(filter: &Filter) -> Plain {
    match filter {
        Filter::Compare(Comparison { operator, values, .. }) if values.is_empty() => match operator
        {
            Operator::Ne | Operator::Nin => Plain::All,
            Operator::Eq
            | Operator::Gt
            | Operator::Gte
            | Operator::Lt
            | Operator::Lte
            | Operator::In => Plain::Nothing,
        },
        Filter::Compare(_) => Plain::Some(filter.clone()),
        Filter::And(filters) => {
            joined(filters, (&Plain::Nothing, &Plain::All), Plain::All, Filter::And)
        }
        Filter::Or(filters) => {
            joined(filters, (&Plain::All, &Plain::Nothing), Plain::Nothing, Filter::Or)
        }
    }
}

/// `decides` makes the whole what it is, and `idle` changes nothing; `empty` is what is left of no
/// parts at all.
fn joined(
    filters: &[Filter],
    (decides, idle): (&Plain, &Plain),
    empty: Plain,
    join: fn(Vec<Filter>) -> Filter,
) -> Plain {
    let parts: Vec<Plain> = filters.iter().map(plain).collect();
    if parts.contains(decides) {
        return decides.clone();
    }
    let mut left: Vec<Filter> = parts
        .into_iter()
        .filter(|part| part != idle)
        .filter_map(|part| match part {
            Plain::Some(filter) => Some(filter),
            Plain::All | Plain::Nothing => None,
        })
        .collect();
    match left.len() {
        0 => empty,
        1 => Plain::Some(left.remove(0)),
        _ => Plain::Some(join(left)),
    }
}

/// Says that a store cannot compare in this way.
pub(crate) fn cannot(store: &str, comparison: &Comparison) -> Error {
    let Comparison { key, operator, .. } = comparison;
    Error::unsupported(format!(
        "{store} compares only numbers by `{operator}`; the filter compares `{key}` with something else"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;
    use serde_json::{Value, json};

    fn left(filter: Value) -> Plain {
        Plain::of(Some(&Filter::from_json(filter).unwrap()))
    }

    #[test]
    fn empty_parts_disappear() {
        let one = json!({ "type": "eq", "key": "a", "value": 1 });
        let none = json!({ "type": "in", "key": "a", "value": [] });
        let all = json!({ "type": "nin", "key": "a", "value": [] });
        let and = |filters: &[&Value]| json!({ "type": "and", "filters": filters });
        let or = |filters: &[&Value]| json!({ "type": "or", "filters": filters });
        let alone = Plain::Some(Filter::eq("a", chaski_api::retrieval::Scalar::Number(1.into())));
        assert_eq!(Plain::of(None), Plain::All);
        assert_eq!(left(and(&[])), Plain::All);
        assert_eq!(left(or(&[])), Plain::Nothing);
        assert_eq!(left(and(&[&one, &none])), Plain::Nothing);
        assert_eq!(left(and(&[&one, &all])), alone);
        assert_eq!(left(or(&[&one, &none])), alone);
        assert_eq!(left(or(&[&one, &all])), Plain::All);
        assert_eq!(left(and(&[&or(&[]), &all])), Plain::Nothing);
        assert!(matches!(left(or(&[&one, &one])), Plain::Some(Filter::Or(_))));
    }
}
