//! What the metadata of chunks must say, in the form of OpenAI's vector stores.

use crate::wire::{Reader, Schemas, Wire};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Number, Value, json};
use std::cmp::Ordering;

crate::wire! {
    /// How the value of a key is compared.
    pub enum Operator {
        /// Equal.
        Eq = "eq",
        /// Not equal, or not there.
        Ne = "ne",
        /// Greater.
        Gt = "gt",
        /// Greater or equal.
        Gte = "gte",
        /// Less.
        Lt = "lt",
        /// Less or equal.
        Lte = "lte",
        /// One of several.
        In = "in",
        /// None of several, or not there.
        Nin = "nin",
    }
}

/// A value that is compared with.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    Text(String),
    Number(Number),
    Bool(bool),
}

impl Scalar {
    /// The value as one that can be compared with; nothing for a list, an object or null.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => Some(Self::Number(number.clone())),
            Value::Bool(truth) => Some(Self::Bool(*truth)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// How `value` compares with this one; nothing if they are of different kinds.
    fn compare(&self, value: &Value) -> Option<Ordering> {
        match (self, value) {
            (Self::Text(own), Value::String(text)) => Some(text.as_str().cmp(own)),
            (Self::Number(own), Value::Number(number)) => {
                number.as_f64()?.partial_cmp(&own.as_f64()?)
            }
            (Self::Bool(own), Value::Bool(truth)) => Some(truth.cmp(own)),
            _ => None,
        }
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The key of the metadata.
    pub key: String,
    pub operator: Operator,
    /// One value, or any number of them for `in` and `nin`.
    pub values: Vec<Scalar>,
}

/// What the metadata of a chunk must say.
///
/// A value of another kind than the one it is compared with is neither equal to it nor less or
/// greater. A key that is not there is as a value of another kind, so that `ne` and `nin` hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    Compare(Comparison),
    /// All of them hold.
    And(Vec<Filter>),
    /// At least one of them holds.
    Or(Vec<Filter>),
}

/// How deep filters may be nested.
const DEPTH: usize = 8;
/// The most comparisons of a filter, and the most values of `in` and `nin`.
const COMPARISONS: usize = 256;

impl Filter {
    /// The key has this value.
    pub fn eq(key: impl Into<String>, value: impl Into<Scalar>) -> Self {
        let values = vec![value.into()];
        Self::Compare(Comparison { key: key.into(), operator: Operator::Eq, values })
    }

    /// Whether it holds for this metadata.
    pub fn holds(&self, metadata: &Map<String, Value>) -> bool {
        match self {
            Self::Compare(comparison) => comparison.holds(metadata.get(&comparison.key)),
            Self::And(filters) => filters.iter().all(|filter| filter.holds(metadata)),
            Self::Or(filters) => filters.iter().any(|filter| filter.holds(metadata)),
        }
    }

    /// How deep it is nested, and how many comparisons it has.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Compare(comparison) => (1, comparison.values.len().max(1)),
            Self::And(filters) | Self::Or(filters) => {
                let sizes = filters.iter().map(Self::size);
                let (depth, count) =
                    sizes.fold((0, 0), |(depth, sum), (d, n)| (depth.max(d), sum + n));
                (depth + 1, count)
            }
        }
    }
}

impl Comparison {
    fn holds(&self, value: Option<&Value>) -> bool {
        let any = |fits: fn(Ordering) -> bool| {
            let value = value.unwrap_or(&Value::Null);
            self.values.iter().any(|own| own.compare(value).is_some_and(fits))
        };
        match self.operator {
            Operator::Eq | Operator::In => any(Ordering::is_eq),
            Operator::Ne | Operator::Nin => !any(Ordering::is_eq),
            Operator::Gt => any(Ordering::is_gt),
            Operator::Gte => any(Ordering::is_ge),
            Operator::Lt => any(Ordering::is_lt),
            Operator::Lte => any(Ordering::is_le),
        }
    }
}

/// What the tag of a filter says it is.
const COMPOUND: [&str; 2] = ["and", "or"];

fn read_at(value: Value, reader: &mut Reader, depth: usize) -> Option<Filter> {
    let mut object = reader.object(value)?;
    let Some(tag) = object.get("type").cloned() else {
        let message = "Unable to extract tag using discriminator 'type'";
        return reader.issue("union_tag_not_found", message);
    };
    let tag = tag.as_str().unwrap_or_default();
    if COMPOUND.contains(&tag) {
        if depth == DEPTH {
            return reader.issue("too_deep", format!("Filters may be nested {DEPTH} deep"));
        }
        let filters = object.get_mut("filters").map(Value::take);
        let filters = reader.key("filters", |reader| match filters {
            Some(Value::Array(filters)) => {
                let read = filters.into_iter().enumerate().map(|(index, filter)| {
                    reader.index(index, |reader| read_at(filter, reader, depth + 1))
                });
                // All are read, so that every problem is reported.
                read.collect::<Vec<_>>().into_iter().collect::<Option<Vec<Filter>>>()
            }
            Some(_) => reader.issue("list_type", "Input should be a valid list"),
            None => reader.issue("missing", "Field required"),
        })?;
        return Some(if tag == "and" { Filter::And(filters) } else { Filter::Or(filters) });
    }
    let Some(operator) = Operator::parse(tag) else {
        let known = Operator::ALL.iter().map(|operator| operator.as_str()).chain(COMPOUND);
        let known: Vec<&str> = known.collect();
        let message = format!("Input should be {}", crate::wire::alternatives(&known));
        return reader.key("type", |reader| reader.issue("enum", message));
    };
    let key = reader.field::<String>(&mut object, "key", None);
    let value = object.get_mut("value").map(Value::take);
    let values = reader.key("value", |reader| match (operator, value) {
        (_, None) => reader.issue("missing", "Field required"),
        (Operator::In | Operator::Nin, Some(Value::Array(values))) => {
            let all = values.iter().map(Scalar::of).collect::<Option<Vec<Scalar>>>();
            all.or_else(|| {
                let message = "Input should be a list of strings, numbers and booleans";
                reader.issue("scalar_type", message)
            })
        }
        (Operator::In | Operator::Nin, Some(_)) => {
            reader.issue("list_type", "Input should be a valid list")
        }
        (Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte, Some(Value::Bool(_))) => {
            let message = "Booleans have no order; compare them by `eq` or `ne`";
            reader.issue("scalar_type", message)
        }
        (_, Some(value)) => Scalar::of(&value).map(|value| vec![value]).or_else(|| {
            reader.issue("scalar_type", "Input should be a string, a number or a boolean")
        }),
    });
    Some(Filter::Compare(Comparison { key: key?, operator, values: values? }))
}

impl Wire for Filter {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let filter = read_at(value, reader, 1)?;
        let (_, comparisons) = filter.size();
        if comparisons > COMPARISONS {
            let message =
                format!("A filter may compare with {COMPARISONS} values, not {comparisons}");
            return reader.issue("too_long", message);
        }
        Some(filter)
    }

    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named("Filter", |schemas| {
            let operator = Operator::schema(schemas);
            let scalar = json!({ "type": ["string", "number", "boolean"] });
            let this = schemas.named("Filter", |_| Value::Null);
            json!({
                "description": "What the metadata of a chunk must say: a comparison, or several joined by `and` or `or`.",
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {
                            "type": operator,
                            "key": { "type": "string", "description": "The key of the metadata." },
                            "value": {
                                "description": "What is compared with; a list for `in` and `nin`.",
                                "anyOf": [scalar, { "type": "array", "items": scalar }],
                            },
                        },
                        "required": ["type", "key", "value"],
                    },
                    {
                        "type": "object",
                        "properties": {
                            "type": { "type": "string", "enum": COMPOUND },
                            "filters": { "type": "array", "items": this },
                        },
                        "required": ["type", "filters"],
                    },
                ],
            })
        })
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Compare(Comparison { key, operator, values }) => {
                map.serialize_entry("type", operator)?;
                map.serialize_entry("key", key)?;
                match (operator, values.as_slice()) {
                    (Operator::In | Operator::Nin, values) => {
                        map.serialize_entry("value", values)?;
                    }
                    (_, [value, ..]) => map.serialize_entry("value", value)?,
                    (_, []) => {}
                }
            }
            Self::And(filters) => {
                map.serialize_entry("type", "and")?;
                map.serialize_entry("filters", filters)?;
            }
            Self::Or(filters) => {
                map.serialize_entry("type", "or")?;
                map.serialize_entry("filters", filters)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(filter: &Value, metadata: Value) -> bool {
        let Value::Object(metadata) = metadata else { panic!("metadata is an object") };
        Filter::from_json(filter.clone()).unwrap().holds(&metadata)
    }

    #[test]
    fn comparisons_hold_for_values_of_their_kind() {
        let compare =
            |operator: &str, value: Value| json!({ "type": operator, "key": "n", "value": value });
        for (operator, value, expected) in [
            ("eq", json!(2), true),
            ("eq", json!(2.0), true),
            ("eq", json!("2"), false),
            ("ne", json!(2), false),
            ("ne", json!("2"), true),
            ("gt", json!(1), true),
            ("gt", json!(2), false),
            ("gte", json!(2), true),
            ("lt", json!(2), false),
            ("lt", json!("z"), false),
            ("lte", json!(2), true),
            ("in", json!([1, 2]), true),
            ("in", json!([]), false),
            ("nin", json!([1, "2"]), true),
        ] {
            assert_eq!(
                holds(&compare(operator, value.clone()), json!({ "n": 2 })),
                expected,
                "{operator} {value}"
            );
        }
        assert!(holds(&compare("gt", json!("a")), json!({ "n": "b" })));
    }

    #[test]
    fn a_key_that_is_not_there_is_not_equal_to_anything() {
        for (operator, expected) in [("eq", false), ("ne", true), ("lt", false), ("gte", false)] {
            let filter = json!({ "type": operator, "key": "n", "value": 1 });
            assert_eq!(holds(&filter, json!({})), expected, "{operator}");
            assert_eq!(holds(&filter, json!({ "n": null })), expected, "{operator}");
        }
        assert!(holds(&json!({ "type": "nin", "key": "n", "value": [1] }), json!({})));
    }

    #[test]
    fn filters_are_joined() {
        let one = json!({ "type": "eq", "key": "a", "value": true });
        let two = json!({ "type": "eq", "key": "b", "value": "x" });
        let and = json!({ "type": "and", "filters": [one, two] });
        let or = json!({ "type": "or", "filters": [one, two] });
        for (metadata, by_and, by_or) in [
            (json!({ "a": true, "b": "x" }), true, true),
            (json!({ "a": true }), false, true),
            (json!({}), false, false),
        ] {
            assert_eq!(holds(&and, metadata.clone()), by_and, "{metadata}");
            assert_eq!(holds(&or, metadata.clone()), by_or, "{metadata}");
        }
        assert!(holds(&json!({ "type": "and", "filters": [] }), json!({})));
        assert!(!holds(&json!({ "type": "or", "filters": [] }), json!({})));
    }

    #[test]
    fn what_is_no_filter_is_named_with_its_place() {
        let nested = |depth: usize| {
            let leaf = json!({ "type": "eq", "key": "a", "value": 1 });
            (1..depth).fold(leaf, |inner, _| json!({ "type": "and", "filters": [inner] }))
        };
        assert!(Filter::from_json(nested(DEPTH)).is_ok());
        let many: Vec<i32> = (0..300).collect();
        for (filter, message) in [
            (json!([]), "Input should be a valid dictionary or object to extract fields from"),
            (json!({ "key": "a" }), "Unable to extract tag using discriminator 'type'"),
            (
                json!({ "type": "like", "key": "a", "value": 1 }),
                "type: Input should be 'eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'and' or 'or'",
            ),
            (json!({ "type": "eq", "value": 1 }), "key: Field required"),
            (json!({ "type": "eq", "key": 1, "value": 1 }), "key: Input should be a valid string"),
            (json!({ "type": "eq", "key": "a" }), "value: Field required"),
            (
                json!({ "type": "eq", "key": "a", "value": [1] }),
                "value: Input should be a string, a number or a boolean",
            ),
            (
                json!({ "type": "gt", "key": "a", "value": true }),
                "value: Booleans have no order; compare them by `eq` or `ne`",
            ),
            (
                json!({ "type": "in", "key": "a", "value": 1 }),
                "value: Input should be a valid list",
            ),
            (json!({ "type": "and" }), "filters: Field required"),
            (
                json!({ "type": "or", "filters": [1] }),
                "filters[0]: Input should be a valid dictionary or object to extract fields from",
            ),
            (
                json!({ "type": "in", "key": "a", "value": many }),
                "A filter may compare with 256 values, not 300",
            ),
        ] {
            let issues = Filter::from_json(filter.clone()).unwrap_err();
            assert_eq!(issues[0].to_string(), message, "{filter}");
        }
        let issues = Filter::from_json(nested(DEPTH + 1)).unwrap_err();
        assert!(issues[0].msg.contains("nested 8 deep"), "{issues:?}");
    }

    #[test]
    fn a_filter_is_written_as_it_was_read() {
        let filter = json!({ "type": "or", "filters": [
            { "type": "gte", "key": "a", "value": 1 },
            { "type": "nin", "key": "b", "value": ["x", true] },
        ] });
        let read = Filter::from_json(filter.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), filter);
    }
}
