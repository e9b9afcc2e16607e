//! The keys that requests are signed with.

use chaski_api::{Error, ErrorKind, Result, Secret};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// Credentials are renewed this long before they expire, so that none expires on the way.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(5);

/// The keys that requests are signed with.
#[derive(Debug, Clone, PartialEq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// Temporary credentials have one.
    pub session_token: Option<Secret>,
    /// When they stop working; nothing if they never do.
    pub expires: Option<Timestamp>,
}

impl Credentials {
    /// Keys of a configuration; nothing if one of the two is not given.
    pub(super) fn lasting(
        access_key_id: Option<&str>,
        secret_access_key: Option<&str>,
        session_token: Option<&str>,
    ) -> Option<Self> {
        let given = |text: Option<&str>| {
            let text = text.map(str::trim).filter(|text| !text.is_empty())?;
            Some(text.to_owned())
        };
        Some(Self {
            access_key_id: given(access_key_id)?,
            secret_access_key: Secret::new(given(secret_access_key)?),
            session_token: given(session_token).map(Secret::new),
            expires: None,
        })
    }

    /// The same with an end, as RFC 3339 writes it; without one they never expire.
    ///
    /// # Errors
    /// `Upstream` if the end is no time; `service` is who said it.
    pub(super) fn expiring(self, service: &str, end: Option<&str>) -> Result<Self> {
        let expires = end.map(str::parse).transpose().map_err(|error: jiff::Error| {
            let message = format!("{service} sent credentials whose end is not a time");
            Error::new(ErrorKind::Upstream { status: None }, message).caused_by(error)
        })?;
        Ok(Self { expires, ..self })
    }

    /// Whether new ones should be fetched now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now + RENEW_BEFORE >= expires)
    }

    /// Whether they still work.
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// What the endpoints for credentials of containers and machines answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    code: Option<String>,
    message: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

/// Reads the answer of an endpoint for credentials; `service` names it in messages.
///
/// # Errors
/// `Upstream` if there are no credentials in it. Nothing of the document is in the message but
/// what it says about its failure.
pub(super) fn read(service: &str, text: &[u8]) -> Result<Credentials> {
    let broken = |what: String| {
        Error::new(ErrorKind::Upstream { status: None }, format!("{service} {what}"))
    };
    let document: Document = serde_json::from_slice(text)
        .map_err(|_| broken("sent credentials that cannot be understood".to_owned()))?;
    if let Some(code) = document.code.filter(|code| code != "Success") {
        let message = document.message.unwrap_or_default();
        return Err(broken(format!("gave no credentials: `{code}` {message}")));
    }
    let (key, secret) = (document.access_key_id, document.secret_access_key);
    let credentials =
        Credentials::lasting(key.as_deref(), secret.as_deref(), document.token.as_deref());
    credentials
        .ok_or_else(|| broken("sent a document without credentials".to_owned()))?
        .expiring(service, document.expiration.as_deref())
}
