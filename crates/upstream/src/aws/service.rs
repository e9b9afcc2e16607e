//! Calls to a service of AWS.

use super::{
    Credentials, Sources,
    chain::{Chain, Variables},
    profiles::{self, Profiles},
    signature::{self, Signed},
    sts::TokenService,
};
use crate::{Http, Repeats, Request, Response, TraceParent, client::secret_header};
use bytes::Bytes;
use chaski_api::{Error, ErrorKind, Result, Secret};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::{Duration, Instant};
use url::Url;

/// What stands in a path as it is (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The error codes that other credentials may help against.
const EXPIRED: &[&str] = &["ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException"];

/// What a service needs to be called.
pub struct ServiceOptions {
    /// The name in messages.
    pub name: &'static str,
    /// The name in signatures: `bedrock`.
    pub signing_name: &'static str,
    /// The first label of its host: `bedrock-runtime`.
    pub host: &'static str,
    /// The variable for another address of this service.
    pub endpoint_variable: &'static str,
    /// The variable for a key that is sent in place of a signature, where the service takes one.
    pub key_variable: Option<&'static str>,
    /// Another address of the service.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub sources: Sources,
    /// How often a failed call is repeated.
    pub retries: u32,
    /// For the head of the answer, and between two pieces of it, in place of the client's limits.
    pub read_timeout: Option<Duration>,
}

/// A request to a service, before it is signed.
struct Call<'a> {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    deadline: Option<Instant>,
    /// Not signed, since proxies on the way may be part of the trace.
    trace: Option<&'a TraceParent>,
    repeats: Option<&'a Repeats>,
}

/// A service of AWS in one region.
#[derive(Debug)]
pub struct Service {
    http: Http,
    name: &'static str,
    signing_name: &'static str,
    endpoint: Url,
    region: String,
    key: Option<HeaderValue>,
    chain: Chain,
    retries: u32,
    read_timeout: Option<Duration>,
}

impl Service {
    /// Reads the files of profiles; nothing is sent yet.
    ///
    /// # Errors
    /// `Unavailable` if no region is known, or an address or a file cannot be used.
    pub async fn new(http: Http, options: ServiceOptions) -> Result<Self> {
        let variables = Variables::from(options.sources.variables.clone());
        let region = region(&options, &variables).await?;
        let endpoint = options.endpoint.as_deref().map(str::trim).filter(|url| !url.is_empty());
        let at = |host: &str, variable: &str, given: Option<&str>| {
            let given = given
                .or_else(|| variables.get(variable))
                .or_else(|| variables.get("AWS_ENDPOINT_URL"));
            match given {
                Some(url) => endpoint_url(url),
                None => endpoint_url(&format!("https://{host}.{region}.{}", domain(&region))),
            }
        };
        let token_service = TokenService {
            http: http.clone(),
            url: at("sts", "AWS_ENDPOINT_URL_STS", None)?,
            region: region.clone(),
        };
        let key = options.key_variable.and_then(|name| variables.get(name));
        // What the configuration says is meant even where the environment has such a key.
        let sources = &options.sources;
        let key = key.filter(|_| sources.access_key_id.is_none() && sources.profile.is_none());
        let key = key.map(|key| secret_header("Bearer ", &Secret::new(key))).transpose()?;
        Ok(Self {
            endpoint: at(options.host, options.endpoint_variable, endpoint)?,
            chain: Chain::new(http.clone(), options.sources, token_service),
            http,
            name: options.name,
            signing_name: options.signing_name,
            region,
            key,
            retries: options.retries,
            read_timeout: options.read_timeout,
        })
    }

    /// Whether there is something to authenticate with. The service itself is not asked.
    ///
    /// # Errors
    /// Why there are no credentials.
    pub async fn check(&self) -> Result<()> {
        if self.key.is_some() {
            return Ok(());
        }
        self.chain.credentials().await.map(drop)
    }

    /// Sends a JSON body; the path is given by its segments, in plain text. `trace` is the span that
    /// the call belongs to, `repeats` is about attempts that fail.
    ///
    /// # Errors
    /// What the service answers, with its code, or that it does not answer.
    pub async fn post(
        &self,
        path: &[&str],
        body: Bytes,
        deadline: Option<Instant>,
        trace: Option<&TraceParent>,
        repeats: Option<&Repeats>,
    ) -> Result<Response> {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        let url = self.at(path)?;
        let method = Method::POST;
        self.call(Call { method, url, headers, body, deadline, trace, repeats }).await
    }

    /// Asks for what is at a path, given like that of [`Self::post`], with these parameters.
    ///
    /// # Errors
    /// Like [`Self::post`].
    pub async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        deadline: Option<Instant>,
    ) -> Result<Response> {
        let mut url = self.at(path)?;
        let encoded = |text| utf8_percent_encode(text, RESERVED).to_string();
        let pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        url.set_query((!pairs.is_empty()).then(|| pairs.join("&")).as_deref());
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let (method, trace, repeats) = (Method::GET, None, None);
        self.call(Call { method, url, headers, body, deadline, trace, repeats }).await
    }

    async fn call(&self, mut call: Call<'_>) -> Result<Response> {
        if let Some(key) = &self.key {
            call.headers.insert(header::AUTHORIZATION, key.clone());
            return self.send(&call, &call.headers).await?.0;
        }
        let credentials = self.chain.credentials().await?;
        let signed = self.signed(&call, &credentials)?;
        let (outcome, expired) = self.send(&call, &signed).await?;
        if !expired || !self.chain.forget(&credentials) {
            return outcome;
        }
        let renewed = self.chain.credentials().await?;
        if renewed == credentials {
            return outcome;
        }
        let signed = self.signed(&call, &renewed)?;
        if let Some(repeats) = call.repeats {
            repeats.count();
        }
        self.send(&call, &signed).await?.0
    }

    fn at(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.endpoint.clone();
        let mut text = url.path().trim_end_matches('/').to_owned();
        for segment in path {
            if matches!(*segment, "" | "." | "..") {
                return Err(Error::invalid(format!("`{segment}` is not a name at {}", self.name)));
            }
            text.push('/');
            text.extend(utf8_percent_encode(segment, RESERVED));
        }
        url.set_path(&text);
        Ok(url)
    }

    fn signed(&self, call: &Call<'_>, credentials: &Credentials) -> Result<HeaderMap> {
        let signed = Signed {
            method: &call.method,
            url: &call.url,
            headers: &call.headers,
            body: &call.body,
            region: &self.region,
            service: self.signing_name,
            time: Timestamp::now(),
        };
        signature::headers(&signed, credentials)
    }

    /// The successful answer or the error, and whether other credentials may help.
    async fn send(&self, call: &Call<'_>, headers: &HeaderMap) -> Result<(Result<Response>, bool)> {
        let mut request = Request::new(self.name, call.method.clone(), call.url.clone());
        if call.method == Method::POST {
            request = request.json(call.body.clone());
        }
        request = request.headers(headers).retries(self.retries);
        request = request.deadline(call.deadline).trace(call.trace).repeats(call.repeats);
        if let Some(limit) = self.read_timeout {
            request = request.first_byte_timeout(limit).read_timeout(limit);
        }
        let response = self.http.send(request).await?;
        if response.status().is_success() {
            return Ok((Ok(response), false));
        }
        let code = error_code(response.headers());
        let refused = matches!(response.status(), StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST);
        let expired = refused && code.as_deref().is_some_and(|code| EXPIRED.contains(&code));
        let outcome = response.success().await.map_err(|error| match code {
            Some(code) => error.with_code(code),
            None => error,
        });
        Ok((outcome, expired))
    }
}

/// The code of an error, from the header that carries it: `ValidationException:http://...`.
fn error_code(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-amzn-errortype")?.to_str().ok()?;
    let code = value.split(':').next().unwrap_or_default().trim();
    (!code.is_empty()).then(|| code.to_owned())
}

async fn region(options: &ServiceOptions, variables: &Variables) -> Result<String> {
    let given = options.region.as_deref().map(str::trim).filter(|region| !region.is_empty());
    let variable = || variables.get("AWS_REGION").or_else(|| variables.get("AWS_DEFAULT_REGION"));
    let region = if let Some(region) = given.or_else(variable) {
        region.to_owned()
    } else {
        let profiles = Profiles::load(variables).await?;
        let name = profiles::chosen(options.sources.profile.as_deref(), variables);
        let region = profiles.get(name).and_then(|profile| profile.get("region"));
        let missing = || {
            Error::unavailable(format!(
                "no AWS region is known for {}; set `region_name` in the configuration of the \
                 provider, such as `us-east-1`, or the environment variable `AWS_REGION`",
                options.name
            ))
        };
        region.ok_or_else(missing)?.to_owned()
    };
    // It becomes part of the name of a host.
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.chars().all(fits) && region.len() < 64 {
        return Ok(region);
    }
    Err(Error::new(
        ErrorKind::Unavailable { retry_after: None },
        format!("`{region}` is not an AWS region; use one such as `us-east-1`"),
    ))
}

/// The domain of the services of a region.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn endpoint_url(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        let example = "use one such as `https://bedrock-runtime.us-east-1.amazonaws.com`";
        Error::unavailable(format!("an AWS endpoint is not a web address; {example}"))
    })
}
