//! One adapter for all upstreams that speak OpenAI's API.

use chaski_api::{Reader, Schemas, Wire};
use chaski_upstream::Tls;
use serde::Serialize;
use serde_json::{Value, json};

/// `true`, `false`, or the path of a PEM file with certificate authorities.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TlsVerify {
    Switch(bool),
    File(String),
}

impl TlsVerify {
    /// Whom to trust.
    pub fn tls(&self) -> Tls {
        match self {
            Self::Switch(true) => Tls::Verified,
            Self::Switch(false) => Tls::Unverified,
            Self::File(path) => Tls::Authorities(path.into()),
        }
    }
}

impl Wire for TlsVerify {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        if let Some(text) = value.as_str() {
            let switch = bool::from_json(value.clone()).ok();
            return Some(match switch {
                Some(on) => Self::Switch(on),
                None if text.is_empty() => Self::Switch(true),
                None => Self::File(text.to_owned()),
            });
        }
        bool::read(value, reader).map(Self::Switch)
    }

    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": ["boolean", "string"] })
    }
}
