//! Ids of traces and spans: those of this server are numbers, programs may choose any text.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    cmp::Ordering,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};
use uuid::{Uuid, fmt::Simple};

/// An id. A text of so many hexadecimal digits in lower case is the same as its number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Id<const DIGITS: usize> {
    Number(u128),
    Text(Arc<str>),
}

pub(super) type TraceId = Id<32>;
pub(super) type SpanId = Id<16>;

impl<const DIGITS: usize> Id<DIGITS> {
    /// A short form; different ids rarely have the same.
    pub(super) fn key(&self) -> u64 {
        let number = match self {
            Self::Number(number) => u64::try_from(*number).ok(),
            Self::Text(_) => None,
        };
        number.unwrap_or_else(|| {
            let mut hasher = DefaultHasher::new();
            self.hash(&mut hasher);
            hasher.finish()
        })
    }

    /// The text of a number, written into `buffer`. There is one for each span, and the formatter
    /// takes its time.
    pub(super) fn digits(number: u128, buffer: &mut [u8; Simple::LENGTH]) -> &str {
        &Uuid::from_u128(number).simple().encode_lower(buffer)[Simple::LENGTH - DIGITS..]
    }

    /// The order of the texts.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            // All numbers have the same number of digits.
            (Self::Number(one), Self::Number(two)) => one.cmp(two),
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            (Self::Number(_), Self::Text(_)) | (Self::Text(_), Self::Number(_)) => {
                self.to_string().cmp(&other.to_string())
            }
        }
    }
}

impl<const DIGITS: usize> From<u128> for Id<DIGITS> {
    fn from(number: u128) -> Self {
        Self::Number(number)
    }
}

impl<const DIGITS: usize> From<&str> for Id<DIGITS> {
    fn from(text: &str) -> Self {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_number = text.len() == DIGITS && text.bytes().all(is_digit);
        let number = is_number.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map_or_else(|| Self::Text(text.into()), Self::Number)
    }
}

impl<const DIGITS: usize> fmt::Display for Id<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:0DIGITS$x}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl<const DIGITS: usize> Serialize for Id<DIGITS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => {
                serializer.serialize_str(Self::digits(*number, &mut [0; Simple::LENGTH]))
            }
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de, const DIGITS: usize> Deserialize<'de> for Id<DIGITS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const DIGITS: usize>;

        impl<const DIGITS: usize> de::Visitor<'_> for Visitor<DIGITS> {
            type Value = Id<DIGITS>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(Visitor::<DIGITS>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_as_a_number_and_as_a_text() {
        let number: SpanId = SpanId::from(0x00f0_67aa_0ba9_02b7_u128);
        assert_eq!(number, SpanId::from("00f067aa0ba902b7"));
        assert_eq!(number.key(), 0x00f0_67aa_0ba9_02b7);
        for text in
            ["00f067aa0ba902b7", "00F067AA0BA902B7", "f067aa0ba902b7", "+0f067aa0ba902b7", "é", ""]
        {
            let id = SpanId::from(text);
            assert_eq!(matches!(id, Id::Number(_)), text == "00f067aa0ba902b7", "{text}");
            assert_eq!(id.to_string(), text);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<SpanId>(&json).unwrap(), id);
        }
        assert_ne!(SpanId::from("a").key(), SpanId::from("b").key());
    }

    #[test]
    fn ids_are_in_the_order_of_their_texts() {
        let mut ids: Vec<TraceId> = ["b", "0af7651916cd43dd8448eb211c80319c", "0", "a"]
            .into_iter()
            .chain(["0000000000000000000000000000000f"])
            .map(TraceId::from)
            .collect();
        ids.sort_by(TraceId::order);
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut sorted = texts.clone();
        sorted.sort();
        assert_eq!(texts, sorted);
    }
}
