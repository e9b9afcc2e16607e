//! Points in time.

use super::{Reader, Schemas, Wire};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// A point in time, on the wire a text of RFC 3339 in UTC with microseconds.
///
/// It is read from such a text, from one without a time zone (which counts as UTC), and from seconds
/// or milliseconds since 1970, as Pydantic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

/// From this number on a number means milliseconds, as for Pydantic.
const MILLISECONDS: f64 = 2e10;

impl Time {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(Timestamp::UNIX_EPOCH);

    /// The time so many microseconds after the beginning of 1970; nothing if that is beyond the
    /// calendar.
    pub fn from_micros(micros: i64) -> Option<Self> {
        Timestamp::from_microsecond(micros).ok().map(Self)
    }

    /// Microseconds since the beginning of 1970.
    pub fn micros(self) -> i64 {
        self.0.as_microsecond()
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Some(Self(timestamp));
        }
        if let Ok(number) = text.parse::<f64>() {
            return Self::from_number(number);
        }
        let civil: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok().map(Self)
    }

    fn from_number(number: f64) -> Option<Self> {
        let seconds = if number.abs() >= MILLISECONDS { number / 1e3 } else { number };
        let micros = (seconds * 1e6).round();
        #[expect(clippy::cast_possible_truncation, reason = "what is too large is refused next")]
        (micros.abs() < 9e18).then(|| Self::from_micros(micros as i64)).flatten()
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Wire for Time {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let read = match &value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => number.as_f64().and_then(Self::from_number),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return reader.issue("datetime_type", "Input should be a valid datetime");
            }
        };
        read.or_else(|| {
            reader.issue("datetime_from_date_parsing", "Input should be a valid datetime or date")
        })
    }

    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::Time;
    use crate::wire::Wire;
    use serde_json::{Value, json};

    #[test]
    fn times_are_read_in_the_forms_of_the_reference_and_written_in_one() {
        let check = |given: Value, written: &str| {
            let time = Time::from_json(given.clone()).unwrap_or_else(|e| panic!("{given}: {e:?}"));
            assert_eq!(serde_json::to_value(time).unwrap(), json!(written), "{given}");
        };
        check(json!("2025-01-01T00:00:00.000000+00:00"), "2025-01-01T00:00:00.000000Z");
        check(json!("2025-01-01T02:00:00.5+02:00"), "2025-01-01T00:00:00.500000Z");
        check(json!("2025-01-01T00:00:00.123456"), "2025-01-01T00:00:00.123456Z");
        check(json!("2025-01-01 00:00:00Z"), "2025-01-01T00:00:00.000000Z");
        check(json!(1_735_689_600), "2025-01-01T00:00:00.000000Z");
        check(json!(1_735_689_600.25), "2025-01-01T00:00:00.250000Z");
        check(json!(1_735_689_600_250_i64), "2025-01-01T00:00:00.250000Z");
        check(json!("1735689600"), "2025-01-01T00:00:00.000000Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for given in [json!("soon"), json!(""), json!(null), json!([]), json!(1e300), json!("nan")]
        {
            let issues = Time::from_json(given.clone()).expect_err("no time");
            assert!(issues[0].kind.starts_with("datetime_"), "{given}: {issues:?}");
        }
    }
}
