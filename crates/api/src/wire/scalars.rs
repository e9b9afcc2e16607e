//! Texts, numbers, truth values and secrets.

use super::{Reader, Schemas, Wire};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Number, Value, json};
use std::fmt;

impl Wire for String {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::String(text) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => reader.issue("string_type", "Input should be a valid string"),
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string" })
    }
}

impl Wire for bool {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        const UNCLEAR: &str = "Input should be a valid boolean, unable to interpret input";
        match value {
            Value::Bool(value) => Some(value),
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => Some(false),
                Some(1.0) => Some(true),
                _ => reader.issue("bool_parsing", UNCLEAR),
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "1" | "on" | "t" | "true" | "y" | "yes" => Some(true),
                "0" | "off" | "f" | "false" | "n" | "no" => Some(false),
                _ => reader.issue("bool_parsing", UNCLEAR),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => {
                reader.issue("bool_type", "Input should be a valid boolean")
            }
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "boolean" })
    }
}

impl Wire for i64 {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().or_else(|| {
                let float = number.as_f64().filter(|float| float.abs() < 9e15);
                match float {
                    Some(float) if float.fract() == 0.0 =>
                    {
                        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
                        Some(float as Self)
                    }
                    Some(_) => reader.issue(
                        "int_from_float",
                        "Input should be a valid integer, got a number with a fractional part",
                    ),
                    None => reader.issue("int_parsing_size", "Input should be a 64-bit integer"),
                }
            }),
            Value::String(text) => text.trim().parse().ok().or_else(|| {
                reader.issue(
                    "int_parsing",
                    "Input should be a valid integer, unable to parse string as an integer",
                )
            }),
            Value::Bool(value) => Some(Self::from(value)),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                reader.issue("int_type", "Input should be a valid integer")
            }
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "integer" })
    }
}

impl Wire for f64 {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => {
                text.trim().parse().ok().filter(|number: &Self| number.is_finite()).or_else(|| {
                    reader.issue(
                        "float_parsing",
                        "Input should be a valid number, unable to parse string as a number",
                    )
                })
            }
            Value::Bool(value) => Some(if value { 1.0 } else { 0.0 }),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                reader.issue("float_type", "Input should be a valid number")
            }
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "number" })
    }
}

/// A number, whole or not.
impl Wire for Number {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::Number(number) => Some(number),
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => reader.issue("float_type", "Input should be a valid number"),
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "number" })
    }
}

impl Wire for Value {
    fn read(value: Value, _: &mut Reader) -> Option<Self> {
        Some(value)
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({})
    }
}

/// Nothing: the answer of an operation without a value, `null` on the wire.
impl Wire for () {
    fn read(_: Value, _: &mut Reader) -> Option<Self> {
        Some(())
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "null" })
    }
}

/// An integer from `MIN` to `MAX`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Between<const MIN: i64, const MAX: i64>(pub i64);

/// An integer of at least `MIN`.
pub type AtLeast<const MIN: i64> = Between<MIN, { i64::MAX }>;

impl<const MIN: i64, const MAX: i64> Wire for Between<MIN, MAX> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match i64::read(value, reader)? {
            number if number < MIN => reader.issue(
                "greater_than_equal",
                format!("Input should be greater than or equal to {MIN}"),
            ),
            number if number > MAX => reader
                .issue("less_than_equal", format!("Input should be less than or equal to {MAX}")),
            number => Some(Self(number)),
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        let mut schema = json!({ "type": "integer", "minimum": MIN });
        if MAX != i64::MAX {
            schema["maximum"] = json!(MAX);
        }
        schema
    }
}

/// A number greater than `MIN`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Above<const MIN: i64>(pub f64);

impl<const MIN: i64> Wire for Above<MIN> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let number = f64::read(value, reader)?;
        #[expect(clippy::cast_precision_loss, reason = "the bounds are small constants")]
        if number > MIN as f64 {
            Some(Self(number))
        } else {
            reader.issue("greater_than", format!("Input should be greater than {MIN}"))
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "number", "exclusiveMinimum": MIN })
    }
}

/// A number of at least `MIN`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct AtLeastNumber<const MIN: i64>(pub f64);

impl<const MIN: i64> Wire for AtLeastNumber<MIN> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let number = f64::read(value, reader)?;
        #[expect(clippy::cast_precision_loss, reason = "the bounds are small constants")]
        if number >= MIN as f64 {
            Some(Self(number))
        } else {
            reader.issue(
                "greater_than_equal",
                format!("Input should be greater than or equal to {MIN}"),
            )
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "number", "minimum": MIN })
    }
}

/// A key, a token or a password: never printed, never serialised.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What is written in place of a secret.
    pub const REDACTED: &'static str = "********";

    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the request that needs it and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::REDACTED)
    }
}

impl Wire for Secret {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        String::read(value, reader).map(Self)
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string", "format": "password" })
    }
}
