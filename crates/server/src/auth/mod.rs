//! Authentication: a service of the operator's decides on tokens.
//!
//! It is asked before anything of a request is read but its head, and its answers are remembered
//! for a while. Whatever goes wrong with it, nobody is let in.

mod credentials;
mod question;

use crate::options::AuthOptions;
use bytes::Bytes;
use chaski_api::{Error, ErrorKind, Result};
use chaski_provider::Principal;
use chaski_upstream::{Http, Request};
use http::StatusCode;
use moka::{Expiry, future::Cache};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use credentials::shown as credentials_shown;
pub(crate) use question::Question;

/// The most memory for remembered decisions, in bytes.
const REMEMBERED: u64 = 16 * 1024 * 1024;
/// The largest answer of the service, in bytes.
const ANSWER: usize = 64 * 1024;

/// The client of the authentication service.
pub(crate) struct Authentication {
    options: AuthOptions,
    http: Http,
    /// By everything that the decision may depend on; see [`Question::key`].
    decisions: Cache<[u8; 32], Decision>,
}

/// What the service decided.
#[derive(Clone)]
enum Decision {
    In(Arc<Principal>),
    Out {
        /// Whether the service said so; one that fails is asked again.
        said: bool,
    },
}

struct Lifetimes {
    positive: Duration,
    negative: Duration,
}

impl Expiry<[u8; 32], Decision> for Lifetimes {
    fn expire_after_create(
        &self,
        _key: &[u8; 32],
        decision: &Decision,
        _now: Instant,
    ) -> Option<Duration> {
        Some(match decision {
            Decision::In(_) => self.positive,
            Decision::Out { said: true } => self.negative,
            Decision::Out { said: false } => Duration::ZERO,
        })
    }
}

fn weight(decision: &Decision) -> u32 {
    let own = match decision {
        Decision::In(principal) => {
            principal.id.len() + Value::from(principal.attributes.clone()).to_string().len()
        }
        Decision::Out { .. } => 0,
    };
    u32::try_from(own + 256).unwrap_or(u32::MAX)
}

impl Authentication {
    pub(crate) fn new(options: AuthOptions, http: &Http) -> Self {
        let http = http.adjusted(|client| client.connect_timeout = options.timeout);
        let lifetimes = Lifetimes { positive: options.ttl, negative: options.negative_ttl };
        let decisions = Cache::builder()
            .max_capacity(REMEMBERED)
            .weigher(|_key, decision| weight(decision))
            .expire_after(lifetimes)
            .build();
        Self { options, http, decisions }
    }

    /// Who sends the request.
    ///
    /// # Errors
    /// `Unauthenticated` if the caller is not let in, `Unavailable` if the service cannot say.
    pub(crate) async fn check(&self, question: Question<'_>) -> Result<Arc<Principal>> {
        let token = credentials::token(question.headers)?;
        let forward = self.options.forward_headers;
        let decision = if self.options.ttl.is_zero() && self.options.negative_ttl.is_zero() {
            Box::pin(self.ask(&token, &question)).await?
        } else {
            let key = question.key(&token, forward);
            if let Some(decision) = self.decisions.get(&key).await {
                decision
            } else {
                // Those who ask the same while the service is asked wait for its answer. To wait takes
                // 6 KB, which requests without a question do not move about.
                Box::pin(self.decisions.try_get_with(key, self.ask(&token, &question)))
                    .await
                    .map_err(|error: Arc<Error>| no_decision(error.chain()))?
            }
        };
        match decision {
            Decision::In(principal) => Ok(principal),
            Decision::Out { .. } => {
                Err(Error::new(ErrorKind::Unauthenticated, "Authentication failed"))
            }
        }
    }

    async fn ask(&self, token: &str, question: &Question<'_>) -> Result<Decision> {
        let body = question.body(token, self.options.forward_headers);
        let request = Request::post("the authentication service", self.options.endpoint.clone())
            .json(body)
            .deadline(Some(Instant::now() + self.options.timeout))
            .first_byte_timeout(self.options.timeout)
            .read_timeout(self.options.timeout);
        let answer = self.http.send(request).await.map_err(|error| no_decision(error.chain()))?;
        let status = answer.status();
        if status != StatusCode::OK {
            tracing::warn!(target: "server", status = status.as_u16(), "authentication failed");
            return Ok(Decision::Out { said: status.is_client_error() });
        }
        let body = answer.bytes(ANSWER).await.map_err(|error| no_decision(error.chain()))?;
        principal(&body, token).map(|principal| Decision::In(Arc::new(principal)))
    }
}

/// The service did not decide.
fn no_decision(cause: String) -> Error {
    Error::unavailable("the authentication service cannot be asked").caused_by(cause)
}

/// Who the service says the caller is. Where it does not say, it is the holder of the token, under
/// a name that does not give the token away.
fn principal(body: &Bytes, token: &str) -> Result<Principal> {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let attributes = match &value["attributes"] {
        Value::Object(attributes) => attributes.clone(),
        Value::Null => Map::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(no_decision("`attributes` of its answer is not an object".to_owned()));
        }
    };
    let id = match &value["principal"] {
        Value::String(id) if !id.is_empty() => id.clone(),
        Value::Null => holder_of(token),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            return Err(no_decision("`principal` of its answer is not a name".to_owned()));
        }
    };
    Ok(Principal { id, attributes })
}

fn holder_of(token: &str) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(token.as_bytes());
    digest.iter().take(16).fold("token-".to_owned(), |mut name, byte| {
        let _infallible = write!(name, "{byte:02x}");
        name
    })
}
