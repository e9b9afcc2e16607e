//! What providers have in common whose services are those of Amazon Web Services.

use crate::{Deps, ProviderConfig};
use chaski_api::{
    Reader, Secret,
    wire::{Above, AtLeast, Between},
};
use chaski_upstream::{
    Http,
    aws::{ServiceOptions, Sources},
};
use serde_json::{Value, json};
use std::time::Duration;

/// How AWS's tools may repeat calls; the names that the reference accepts.
const RETRY_MODES: &[&str] = &["legacy", "standard", "adaptive"];
/// Longer limits are as good as none.
const LONGEST: Duration = Duration::from_hours(24 * 365);

chaski_api::wire! {
    /// The configuration of a provider whose service is one of AWS.
    pub struct AwsConfig {
        /// The id of an access key; without one, credentials are looked for.
        pub aws_access_key_id: Option<Secret>,
        /// The secret of the access key.
        pub aws_secret_access_key: Option<Secret>,
        /// The session token of temporary credentials.
        pub aws_session_token: Option<Secret>,
        /// The region, such as `us-east-1`.
        pub region_name: Option<String>,
        /// The profile in `~/.aws/config` and `~/.aws/credentials` to take credentials and region from.
        pub profile_name: Option<String>,
        /// How often a call is tried, the first time included; as often as calls of other
        /// providers by default.
        pub total_max_attempts: Option<AtLeast<1>>,
        /// `legacy`, `standard` or `adaptive`; accepted, and all the same here.
        pub retry_mode: Option<String>,
        /// How long connecting may take, in seconds; as long as for other providers by default.
        pub connect_timeout: Option<Above<0>>,
        /// How long an answer may take to begin and may pause, in seconds; as long as those of other
        /// providers by default.
        pub read_timeout: Option<Above<0>>,
        /// How long sessions of roles last, in seconds.
        pub session_ttl: Option<Between<900, 43200>> = Some(Between(3600)),
        /// Another address of the service, such as that of a VPC endpoint.
        pub endpoint_url: Option<String>,
    }
}

impl ProviderConfig for AwsConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }

    fn validate(&self, reader: &mut Reader) {
        if self.aws_access_key_id.is_some() != self.aws_secret_access_key.is_some() {
            let (given, missing) = match self.aws_access_key_id {
                Some(_) => ("aws_access_key_id", "aws_secret_access_key"),
                None => ("aws_secret_access_key", "aws_access_key_id"),
            };
            reader.key(missing, |reader| {
                reader.issue::<()>("missing", format!("Field required with `{given}`"))
            });
        }
        if let Some(mode) = &self.retry_mode
            && !RETRY_MODES.contains(&mode.as_str())
        {
            let accepted = chaski_api::wire::alternatives(RETRY_MODES);
            reader.key("retry_mode", |reader| {
                reader.issue::<()>("enum", format!("Input should be {accepted}"))
            });
        }
    }
}

/// An API of a service.
#[derive(Debug, Clone, Copy)]
pub struct AwsApi {
    /// The name in messages.
    pub name: &'static str,
    /// The name in signatures: `bedrock`.
    pub signing_name: &'static str,
    /// The first label of its host: `bedrock-runtime`.
    pub host: &'static str,
    /// The variable for another address of this API.
    pub endpoint_variable: &'static str,
    /// The variable for a key that is sent in place of a signature, where the API takes one.
    pub key_variable: Option<&'static str>,
}

impl AwsConfig {
    /// The client with the time limits of the configuration.
    pub fn http(&self, deps: &Deps) -> Http {
        match self.connect_timeout.map(seconds) {
            Some(limit) => deps.http.adjusted(|options| options.connect_timeout = limit),
            None => deps.http.clone(),
        }
    }

    /// How an API of the service is called; `endpoint` is another address of it.
    pub fn service(&self, deps: &Deps, api: AwsApi, endpoint: Option<String>) -> ServiceOptions {
        let retries = self.total_max_attempts.map(|attempts| attempts.0 - 1);
        let retries = retries.map(|retries| u32::try_from(retries).unwrap_or(u32::MAX));
        ServiceOptions {
            name: api.name,
            signing_name: api.signing_name,
            host: api.host,
            endpoint_variable: api.endpoint_variable,
            key_variable: api.key_variable,
            endpoint,
            region: self.region_name.clone(),
            sources: Sources {
                access_key_id: self.aws_access_key_id.clone(),
                secret_access_key: self.aws_secret_access_key.clone(),
                session_token: self.aws_session_token.clone(),
                profile: self.profile_name.clone().filter(|name| !name.is_empty()),
                session_lifetime: self
                    .session_ttl
                    .and_then(|seconds| u64::try_from(seconds.0).ok().map(Duration::from_secs)),
                variables: deps.environment.to_map(),
            },
            retries: retries.unwrap_or_else(|| deps.http.retries()),
            read_timeout: self.read_timeout.map(seconds),
        }
    }
}

fn seconds(limit: Above<0>) -> Duration {
    Duration::try_from_secs_f64(limit.0).unwrap_or(Duration::MAX).min(LONGEST)
}
