//! Optional values, lists and maps.

use super::{Reader, Schemas, Wire};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl<T: Wire> Wire for Option<T> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::read(value, reader).map(Some) }
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [T::schema(schemas), { "type": "null" }] })
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let Value::Array(items) = value else {
            return reader.issue("list_type", "Input should be a valid list");
        };
        let mut read = Self::with_capacity(items.len());
        let mut complete = true;
        for (index, item) in items.into_iter().enumerate() {
            match reader.index(index, |reader| T::read(item, reader)) {
                Some(item) => read.push(item),
                None => complete = false,
            }
        }
        complete.then_some(read)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": T::schema(schemas) })
    }
}

fn members(value: Value, reader: &mut Reader) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            reader.issue("dict_type", "Input should be a valid dictionary")
        }
    }
}

impl<T: Wire> Wire for BTreeMap<String, T> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let mut read = Self::new();
        let mut complete = true;
        for (key, value) in members(value, reader)? {
            match reader.key(key.clone(), |reader| T::read(value, reader)) {
                Some(value) => drop(read.insert(key, value)),
                None => complete = false,
            }
        }
        complete.then_some(read)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "object", "additionalProperties": T::schema(schemas) })
    }
}

/// A free-form object; the order of its members is kept.
impl Wire for Map<String, Value> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        members(value, reader)
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "object", "additionalProperties": true })
    }
}

/// A `T` whose absence of form is reported as that of a dictionary, as the reference does for
/// parameters that it takes as free-form objects.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Dict<T>(pub T);

impl<T: Wire> Wire for Dict<T> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        T::read(Value::Object(members(value, reader)?), reader).map(Self)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }
}
