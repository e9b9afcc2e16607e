//! Where credentials come from, in the order of AWS's own tools, and their renewal.

use super::{
    Credentials, credentials,
    profiles::{self, Profile, Profiles},
    sts::{Role, TokenService},
};
use crate::{Http, Request};
use chaski_api::{Error, Result, Secret};
use http::{HeaderName, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::Mutex;
use url::{Host, Url};

/// The environment variables that matter here, with their values.
pub const VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_BEDROCK",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "AWS_ENDPOINT_URL_STS",
    "HOME",
];

const CONTAINER: &str = "the container's credentials endpoint";
const CONTAINER_HOST: &str = "http://169.254.170.2";
const MACHINE: &str = "the machine's metadata service";
const MACHINE_HOST: &str = "http://169.254.169.254";
const SESSION_NAME: &str = "chaski";
const ANSWER_BYTES: usize = 64 * 1024;
/// These endpoints are next to the process: one that does not answer soon is not there.
const LIMIT: Duration = Duration::from_secs(2);
/// The most profiles between one and the keys that it goes back to.
const MOST_STEPS: usize = 8;
/// How long working credentials are used on after their renewal failed.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// The values of environment variables.
#[derive(Clone, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    #[cfg(test)]
    pub(super) fn new<const N: usize>(values: [(&str, &str); N]) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(values.map(owned).into())
    }

    /// The value of a variable; an empty one counts as not set.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

impl From<BTreeMap<String, String>> for Variables {
    fn from(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }
}

/// Where credentials may come from.
#[derive(Clone, Default)]
pub struct Sources {
    pub access_key_id: Option<Secret>,
    pub secret_access_key: Option<Secret>,
    pub session_token: Option<Secret>,
    /// The profile of the configuration; then no other source is asked.
    pub profile: Option<String>,
    /// How long sessions of roles are to last.
    pub session_lifetime: Option<Duration>,
    /// The values of [`VARIABLES`].
    pub variables: BTreeMap<String, String>,
}

/// Finds credentials, keeps them, and renews them before they expire.
pub(super) struct Chain {
    http: Http,
    given: Option<Credentials>,
    profile: Option<String>,
    session_lifetime: Option<Duration>,
    variables: Variables,
    token_service: TokenService,
    kept: RwLock<Option<Kept>>,
    renewing: Mutex<()>,
}

#[derive(Clone)]
struct Kept {
    credentials: Arc<Credentials>,
    /// Set after a renewal that failed.
    not_before: Option<Timestamp>,
}

impl Kept {
    fn is_fresh(&self, now: Timestamp) -> bool {
        let waits = self.not_before.is_some_and(|time| now < time);
        !self.credentials.is_due(now) || (waits && self.credentials.is_valid(now))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Chain {
    pub(super) fn new(http: Http, sources: Sources, token_service: TokenService) -> Self {
        let text = |secret: &Option<Secret>| secret.as_ref().map(|it| it.expose().to_owned());
        let given = Credentials::lasting(
            text(&sources.access_key_id).as_deref(),
            text(&sources.secret_access_key).as_deref(),
            text(&sources.session_token).as_deref(),
        );
        Self {
            http,
            given,
            profile: sources.profile,
            session_lifetime: sources.session_lifetime,
            variables: sources.variables.into(),
            token_service,
            kept: RwLock::default(),
            renewing: Mutex::default(),
        }
    }

    /// Credentials that work now.
    ///
    /// # Errors
    /// `Unavailable` if there are none anywhere, and what the source that should have them says.
    pub(super) async fn credentials(&self) -> Result<Arc<Credentials>> {
        let now = Timestamp::now();
        let kept = self.kept();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh(now)) {
            return Ok(Arc::clone(&kept.credentials));
        }
        // While one call renews credentials that still work, the others go on with them.
        let usable = kept.filter(|kept| kept.credentials.is_valid(now));
        let _turn = match &usable {
            Some(kept) => match self.renewing.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(Arc::clone(&kept.credentials)),
            },
            None => self.renewing.lock().await,
        };
        if let Some(kept) = self.kept().filter(|kept| kept.is_fresh(Timestamp::now())) {
            return Ok(kept.credentials);
        }
        match (self.find().await, usable) {
            (Ok(found), _) => Ok(self.keep(Arc::new(found), None)),
            (Err(error), Some(kept)) => {
                tracing::warn!(target: "core", "AWS credentials were not renewed: {}", error.chain());
                Ok(self.keep(kept.credentials, Some(Timestamp::now() + PAUSE)))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Forgets credentials that were refused. Says whether others may be found.
    pub(super) fn forget(&self, refused: &Credentials) -> bool {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|kept| *kept.credentials == *refused) {
            *kept = None;
        }
        self.given.is_none()
    }

    fn kept(&self) -> Option<Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(
        &self,
        credentials: Arc<Credentials>,
        not_before: Option<Timestamp>,
    ) -> Arc<Credentials> {
        let kept = Kept { credentials: Arc::clone(&credentials), not_before };
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        credentials
    }

    async fn find(&self) -> Result<Credentials> {
        if let Some(given) = &self.given {
            return Ok(given.clone());
        }
        if let Some(name) = &self.profile {
            return self.of_named_profile(name).await;
        }
        if let Some(found) = self.of_variables() {
            return Ok(found);
        }
        if let Some(name) = profiles::named(&self.variables) {
            return self.of_named_profile(name).await;
        }
        if let Some(found) = self.of_web_identity().await? {
            return Ok(found);
        }
        let profiles = Profiles::load(&self.variables).await?;
        let default = profiles::chosen(None, &self.variables);
        if profiles.get(default).is_some()
            && let Some(found) = self.of_profile(&profiles, default).await?
        {
            return Ok(found);
        }
        if let Some(found) = self.of_container().await? {
            return Ok(found);
        }
        self.of_machine().await.map_err(|error| {
            let message = "there are no AWS credentials; set `aws_access_key_id` and \
                `aws_secret_access_key` in the configuration of the provider, the environment \
                variables `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a profile in \
                `~/.aws/credentials`, or give the machine or the container a role";
            Error::unavailable(message).caused_by(error)
        })
    }

    fn of_variables(&self) -> Option<Credentials> {
        let value = |name: &str| self.variables.get(name);
        Credentials::lasting(
            value("AWS_ACCESS_KEY_ID"),
            value("AWS_SECRET_ACCESS_KEY"),
            value("AWS_SESSION_TOKEN"),
        )
    }

    async fn of_web_identity(&self) -> Result<Option<Credentials>> {
        let value = |name: &str| self.variables.get(name);
        let (Some(file), Some(arn)) = (value("AWS_WEB_IDENTITY_TOKEN_FILE"), value("AWS_ROLE_ARN"))
        else {
            return Ok(None);
        };
        let role = self.role(arn, value("AWS_ROLE_SESSION_NAME"));
        let token = read(file).await?;
        self.token_service.assume_with_token(&role, token.trim()).await.map(Some)
    }

    async fn of_named_profile(&self, name: &str) -> Result<Credentials> {
        let profiles = Profiles::load(&self.variables).await?;
        if profiles.get(name).is_none() {
            let message = format!(
                "there is no AWS profile `{name}`; profiles are sections of `~/.aws/config` and \
                 `~/.aws/credentials`"
            );
            return Err(Error::unavailable(message));
        }
        self.of_profile(&profiles, name).await?.ok_or_else(|| {
            Error::unavailable(format!("the AWS profile `{name}` has no credentials and no role"))
        })
    }

    /// The credentials of a profile: its own, or those of its role, taken with the credentials of
    /// another profile or source; nothing if it has neither.
    async fn of_profile(&self, profiles: &Profiles, start: &str) -> Result<Option<Credentials>> {
        let mut roles: Vec<Role> = Vec::new();
        let mut name = start;
        let base = loop {
            let profile = profiles.get(name).ok_or_else(|| {
                Error::unavailable(format!(
                    "the AWS profile `{start}` refers to `{name}`, which does not exist"
                ))
            })?;
            let returns = profile.get("source_profile") == Some(name) && !roles.is_empty();
            let Some(arn) = profile.get("role_arn").filter(|_| !returns) else {
                break own(name, profile)?;
            };
            let role = self.role_of(profile, arn);
            if let Some(file) = profile.get("web_identity_token_file") {
                let token = read(file).await?;
                break Some(self.token_service.assume_with_token(&role, token.trim()).await?);
            }
            roles.push(role);
            if let Some(source) = profile.get("credential_source") {
                break self.of_source(name, source).await?;
            }
            name = profile.get("source_profile").ok_or_else(|| {
                Error::unavailable(format!(
                    "the AWS profile `{name}` has a `role_arn`; add a `source_profile`, a \
                     `credential_source` or a `web_identity_token_file`"
                ))
            })?;
            if roles.len() > MOST_STEPS {
                let message = format!("the AWS profile `{start}` goes back to no credentials");
                return Err(Error::unavailable(message));
            }
        };
        let Some(mut credentials) = base else {
            if roles.is_empty() {
                return Ok(None);
            }
            let message =
                format!("the AWS profile `{name}` has no credentials to take a role with");
            return Err(Error::unavailable(message));
        };
        for role in roles.iter().rev() {
            credentials = self.token_service.assume(role, &credentials).await?;
        }
        Ok(Some(credentials))
    }

    async fn of_source(&self, profile: &str, source: &str) -> Result<Option<Credentials>> {
        match source {
            "Environment" => Ok(self.of_variables()),
            "EcsContainer" => self.of_container().await,
            "Ec2InstanceMetadata" => self.of_machine().await.map(Some),
            other => Err(Error::unavailable(format!(
                "the AWS profile `{profile}` has the `credential_source` `{other}`; use \
                 `Environment`, `EcsContainer` or `Ec2InstanceMetadata`"
            ))),
        }
    }

    fn role(&self, arn: &str, session_name: Option<&str>) -> Role {
        Role {
            arn: arn.to_owned(),
            session_name: session_name.unwrap_or(SESSION_NAME).to_owned(),
            external_id: None,
            lifetime: self.session_lifetime,
        }
    }

    fn role_of(&self, profile: &Profile, arn: &str) -> Role {
        let seconds = profile.get("duration_seconds").and_then(|text| text.parse().ok());
        Role {
            external_id: profile.get("external_id").map(str::to_owned),
            lifetime: seconds.map(Duration::from_secs).or(self.session_lifetime),
            ..self.role(arn, profile.get("role_session_name"))
        }
    }

    async fn of_container(&self) -> Result<Option<Credentials>> {
        let value = |name: &str| self.variables.get(name);
        let relative = value("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let full = value("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        let address = match (relative, full) {
            (Some(path), _) => format!("{CONTAINER_HOST}{path}"),
            (None, Some(address)) => address.to_owned(),
            (None, None) => return Ok(None),
        };
        let url = Url::parse(&address).ok().filter(is_near).ok_or_else(|| {
            Error::unavailable(
                "`AWS_CONTAINER_CREDENTIALS_FULL_URI` must be an `https` address, or one of this \
                 machine",
            )
        })?;
        let mut request = Request::get(CONTAINER, url);
        let token = match value("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(read(file).await?),
            None => value("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
        };
        if let Some(token) = token {
            let token = crate::client::secret_header("", &Secret::new(token))?;
            request = request.header(header::AUTHORIZATION, token);
        }
        let text = self.fetch(request.retries(2)).await?;
        credentials::read(CONTAINER, &text).map(Some)
    }

    /// The credentials of the role of a virtual machine, by version 2 of its metadata service.
    async fn of_machine(&self) -> Result<Credentials> {
        const LIFETIME: HeaderName =
            HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
        const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
        let disabled = self.variables.get("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(Error::unavailable(format!("{MACHINE} is switched off")));
        }
        let base = self.variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(MACHINE_HOST);
        let at = |path: &str| {
            let url = Url::parse(&format!("{}/latest/{path}", base.trim_end_matches('/')));
            url.map_err(|_| Error::unavailable(format!("the address of {MACHINE} is not one")))
        };
        let request = Request::new(MACHINE, Method::PUT, at("api/token")?)
            .header(LIFETIME, HeaderValue::from_static("21600"));
        let token = self.fetch(request).await?;
        let token = Secret::new(String::from_utf8_lossy(&token));
        let token = crate::client::secret_header("", &token)?;
        let get = |path: &str| {
            Ok::<_, Error>(Request::get(MACHINE, at(path)?).header(TOKEN, token.clone()))
        };
        let roles = "meta-data/iam/security-credentials/";
        let role = self.fetch(get(roles)?).await?;
        let role = String::from_utf8_lossy(&role);
        let role = role.lines().next().unwrap_or_default().trim();
        let text = self.fetch(get(&format!("{roles}{role}"))?).await?;
        credentials::read(MACHINE, &text)
    }

    async fn fetch(&self, request: Request) -> Result<bytes::Bytes> {
        let request = request.first_byte_timeout(LIMIT).read_timeout(LIMIT);
        self.http.send(request).await?.success().await?.bytes(ANSWER_BYTES).await
    }
}

/// The keys that stand in a profile; nothing if there are none.
fn own(name: &str, profile: &Profile) -> Result<Option<Credentials>> {
    let own = Credentials::lasting(
        profile.get("aws_access_key_id"),
        profile.get("aws_secret_access_key"),
        profile.get("aws_session_token"),
    );
    let unsupported = profile.first_of("credential_process").or_else(|| profile.first_of("sso_"));
    match (own, unsupported) {
        (Some(own), _) => Ok(Some(own)),
        (None, None) => Ok(None),
        (None, Some(setting)) => Err(Error::unavailable(format!(
            "the AWS profile `{name}` gets its credentials by `{setting}`, which is not supported; \
             put them into the environment, with `aws configure export-credentials` for example"
        ))),
    }
}

/// Whether credentials may be asked for at the address: nobody must read them on the way.
fn is_near(url: &Url) -> bool {
    let near = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => {
            address.is_loopback() || matches!(address.octets(), [169, 254, 170, 2 | 23])
        }
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]
        }
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && near)
}

async fn read(path: &str) -> Result<String> {
    tokio::fs::read_to_string(path)
        .await
        .map_err(|error| Error::unavailable(format!("cannot read `{path}`: {error}")))
}
