//! Credentials of roles from AWS's Security Token Service (API version 2011-06-15).

use super::{Credentials, signature};
use crate::{Http, Request};
use bytes::Bytes;
use chaski_api::{Error, ErrorKind, Result};
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use std::time::Duration;
use url::{Url, form_urlencoded};

const NAME: &str = "AWS's token service";
const ANSWER_BYTES: usize = 256 * 1024;
const LIMIT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 2;

/// A role to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub arn: String,
    pub session_name: String,
    pub external_id: Option<String>,
    /// How long its credentials are to last; as long as the role says where it is not given.
    pub lifetime: Option<Duration>,
}

impl Role {
    fn parameters(&self, action: &'static str) -> Vec<(&'static str, String)> {
        let mut parameters = vec![
            ("Action", action.to_owned()),
            ("Version", "2011-06-15".to_owned()),
            ("RoleArn", self.arn.clone()),
            ("RoleSessionName", self.session_name.clone()),
        ];
        if let Some(lifetime) = self.lifetime {
            parameters.push(("DurationSeconds", lifetime.as_secs().to_string()));
        }
        parameters
    }
}

/// The service in one region.
#[derive(Debug)]
pub(super) struct TokenService {
    pub http: Http,
    pub url: Url,
    pub region: String,
}

impl TokenService {
    /// Takes a role with the credentials of another principal.
    ///
    /// # Errors
    /// What the service answers, or that it does not.
    pub(super) async fn assume(&self, role: &Role, from: &Credentials) -> Result<Credentials> {
        let mut parameters = role.parameters("AssumeRole");
        if let Some(id) = &role.external_id {
            parameters.push(("ExternalId", id.clone()));
        }
        self.call(&parameters, Some(from)).await
    }

    /// Takes a role with a token of an identity provider.
    ///
    /// # Errors
    /// What the service answers, or that it does not.
    pub(super) async fn assume_with_token(&self, role: &Role, token: &str) -> Result<Credentials> {
        let mut parameters = role.parameters("AssumeRoleWithWebIdentity");
        parameters.push(("WebIdentityToken", token.to_owned()));
        self.call(&parameters, None).await
    }

    async fn call(
        &self,
        parameters: &[(&'static str, String)],
        credentials: Option<&Credentials>,
    ) -> Result<Credentials> {
        let body =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let body = Bytes::from(body);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, form)]);
        if let Some(credentials) = credentials {
            let signed = signature::Signed {
                method: &Method::POST,
                url: &self.url,
                headers: &headers,
                body: &body,
                region: &self.region,
                service: "sts",
                time: Timestamp::now(),
            };
            headers = signature::headers(&signed, credentials)?;
        }
        let request = Request::post(NAME, self.url.clone())
            .json(body)
            .headers(&headers)
            .first_byte_timeout(LIMIT)
            .read_timeout(LIMIT)
            .retries(RETRIES);
        let response = self.http.send(request).await?;
        let status = response.status();
        let answer = response.bytes(ANSWER_BYTES).await?;
        let answer = String::from_utf8_lossy(&answer);
        if !status.is_success() {
            let code = element(&answer, "Code").unwrap_or_default();
            let message = element(&answer, "Message").unwrap_or_default();
            let kind = ErrorKind::Upstream { status: Some(status.as_u16()) };
            let status = status.as_u16();
            let message = format!("{NAME} answered with status {status}: `{code}` {message}");
            return Err(Error::new(kind, message.trim_end()).with_code(code));
        }
        let part = |name: &str| element(&answer, name);
        let (key, secret) = (part("AccessKeyId"), part("SecretAccessKey"));
        let token = part("SessionToken");
        Credentials::lasting(key.as_deref(), secret.as_deref(), token.as_deref())
            .ok_or_else(|| {
                let message = format!("{NAME} sent an answer without credentials");
                Error::new(ErrorKind::Upstream { status: None }, message)
            })?
            .expiring(NAME, part("Expiration").as_deref())
    }
}

/// The text of the first XML element with this name. The service's answers are flat, so that no
/// more of XML is needed.
fn element(text: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = text.find(&open)? + open.len();
    let end = start + text[start..].find(&close)?;
    let plain = text[start..end].trim();
    let plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(plain.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&"))
}
