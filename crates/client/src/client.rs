//! Calls over HTTP.

use crate::{Error, Events, Result, address, error};
use bytes::Bytes;
use chaski_api::{Endpoint, EndpointSpec, Method, Secret, Wire};
use chaski_upstream::{Http, Request, Response};
use http::{HeaderName, HeaderValue, header};
use serde_json::{Map, Value};
use std::{fmt::Write as _, time::Duration};
use url::Url;

/// How the server is called in messages.
const SERVICE: &str = "the server";
const PROVIDER_DATA: HeaderName = HeaderName::from_static("x-chaski-provider-data");
/// The largest error answer that is read.
const ERROR_BYTES: usize = 64 * 1024;

/// How a server is called.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// Credentials for providers, by the names that the providers declare. Never printed.
    pub provider_data: Map<String, Value>,
    /// How long to wait for the head of an answer; that of a stream comes with its first event.
    pub timeout: Duration,
    /// How long to wait between two pieces of an answer.
    pub read_timeout: Duration,
    /// How often a call is repeated that was not answered, or answered that another try may help.
    pub retries: u32,
    /// The largest answer, or the largest event of a stream, in bytes.
    pub max_bytes: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            api_key: None,
            provider_data: Map::new(),
            timeout: Duration::from_mins(10),
            read_timeout: Duration::from_mins(5),
            retries: 0,
            max_bytes: 256 << 20,
        }
    }
}

/// A client of one server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    base: Url,
    timeout: Duration,
    read_timeout: Duration,
    retries: u32,
    max_bytes: usize,
    api_key: Option<Secret>,
    provider_data: Option<HeaderValue>,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8321`. Nothing is sent yet.
    ///
    /// # Errors
    /// `Request` if `base` is not an address of a web server.
    pub fn new(http: Http, base: &str, options: ClientOptions) -> Result<Self> {
        let refuse = |reason: &dyn std::fmt::Display| {
            Error::Request(format!("`{base}` is not the address of a server: {reason}"))
        };
        let url = Url::parse(base).map_err(|error| refuse(&error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse(&"it must begin with `http://` or `https://`"));
        }
        Ok(Self {
            http,
            base: url,
            timeout: options.timeout,
            read_timeout: options.read_timeout,
            retries: options.retries,
            max_bytes: options.max_bytes,
            api_key: options.api_key,
            provider_data: provider_data(options.provider_data)?,
        })
    }

    /// Calls an endpoint and waits for the whole answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn call<E: Endpoint>(&self, request: E::Request) -> Result<E::Response> {
        let response = self.send::<E>(&request, false).await?;
        self.answer(response).await
    }

    /// Calls an endpoint that streams. Dropping the stream cancels the call.
    ///
    /// # Errors
    /// See [`Error`]; errors that happen later are the last item of the stream.
    pub async fn stream<E: Endpoint>(&self, request: E::Request) -> Result<Events<E::Event>> {
        let spec = E::SPEC;
        if !spec.streams {
            return Err(Error::Request(format!("`{}` does not stream", spec.operation)));
        }
        let response = self.send::<E>(&request, true).await?;
        let media_type = response.media_type();
        if media_type != "text/event-stream" {
            return Err(Error::Answer(format!("it is `{media_type}` in place of a stream")));
        }
        Ok(Events::new(response.stream(), spec.face, self.max_bytes))
    }

    async fn send<E: Endpoint>(&self, request: &E::Request, stream: bool) -> Result<Response> {
        self.send_fields(&E::SPEC, fields(serde_json::to_value(request))?, stream).await
    }

    /// Sends a request with these members.
    pub(crate) async fn send_fields(
        &self,
        spec: &EndpointSpec,
        mut fields: Map<String, Value>,
        stream: bool,
    ) -> Result<Response> {
        let url = address::of(&self.base, spec, &mut fields)?;
        let request = match spec.method {
            Method::Get => Request::get(SERVICE, url),
            Method::Delete => Request::new(SERVICE, http::Method::DELETE, url),
            Method::Post => {
                if spec.streams {
                    fields.insert("stream".to_owned(), stream.into());
                }
                Request::post(SERVICE, url).json(Value::Object(fields).to_string())
            }
        };
        let accept = if stream { "text/event-stream" } else { "application/json" };
        self.dispatch(request, accept).await
    }

    /// Sends a form, and reads the answer.
    pub(crate) async fn send_form<T: Wire>(
        &self,
        spec: &EndpointSpec,
        mut fields: Map<String, Value>,
        media_type: &str,
        form: Bytes,
    ) -> Result<T> {
        let url = address::of(&self.base, spec, &mut fields)?;
        let media_type = HeaderValue::from_str(media_type)
            .map_err(|_| Error::Request("the media type cannot stand in a header".to_owned()))?;
        let request =
            Request::post(SERVICE, url).json(form).header(header::CONTENT_TYPE, media_type);
        let response = self.dispatch(request, "application/json").await?;
        self.answer(response).await
    }

    /// The answer as it is.
    pub(crate) async fn fetch(
        &self,
        spec: &EndpointSpec,
        mut fields: Map<String, Value>,
    ) -> Result<Bytes> {
        let url = address::of(&self.base, spec, &mut fields)?;
        let response = self.dispatch(Request::get(SERVICE, url), "*/*").await?;
        response.bytes(self.max_bytes).await.map_err(Error::Transport)
    }

    pub(crate) async fn answer<T: Wire>(&self, response: Response) -> Result<T> {
        let body = response.bytes(self.max_bytes).await.map_err(Error::Transport)?;
        let value: Value = serde_json::from_slice(&body)
            .map_err(|error| Error::Answer(format!("it is not JSON: {error}")))?;
        read(value)
    }

    async fn dispatch(&self, request: Request, accept: &'static str) -> Result<Response> {
        let mut request = request
            .header(header::ACCEPT, HeaderValue::from_static(accept))
            .first_byte_timeout(self.timeout)
            .read_timeout(self.read_timeout)
            .retries(self.retries);
        if let Some(key) = &self.api_key {
            request = request.bearer(key).map_err(|error| Error::Request(error.message))?;
        }
        if let Some(data) = &self.provider_data {
            request = request.header(PROVIDER_DATA, data.clone());
        }
        let response = self.http.send(request).await.map_err(Error::Transport)?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }
}

/// The members of a request.
pub(crate) fn fields(request: serde_json::Result<Value>) -> Result<Map<String, Value>> {
    match request {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(Error::Request(format!("the request is not JSON: {error}"))),
    }
}

/// The header with credentials for providers; JSON that is ASCII only, as headers must be.
fn provider_data(data: Map<String, Value>) -> Result<Option<HeaderValue>> {
    if data.is_empty() {
        return Ok(None);
    }
    let mut text = String::new();
    let mut units = [0; 2];
    for character in Value::Object(data).to_string().chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::Request("the provider data cannot stand in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

async fn refused(response: Response) -> Error {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    // The status says enough if the rest cannot be read.
    let body = response.bytes(ERROR_BYTES).await.unwrap_or_default();
    Error::Status { status: status.as_u16(), message: error::message(&body), retry_after }
}

/// The value as the endpoint declares it.
pub(crate) fn read<T: Wire>(value: Value) -> Result<T> {
    T::from_json(value).map_err(|issues| {
        let issues: Vec<String> = issues.iter().map(ToString::to_string).collect();
        Error::Answer(issues.join("; "))
    })
}
