//! The text of a page of the web, for models.

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Result,
    tools::{Tool, ToolDef, ToolGroup, ToolInvocationResult, ToolParameter},
    wire::Between,
};
use chaski_documents::{Hints, Limits};
use chaski_provider::{
    Context, Deps, DocumentFile, Documents, Lifecycle, Provider, ProviderConfig, Spec, ToolRuntime,
    ToolRuntimeProvider,
};
use chaski_upstream::{Http, Request, Url};
use serde_json::{Map, Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const TOOL: &str = "web_fetch";
/// How many redirects are followed. Each leads to an address that is checked like the first.
const REDIRECTS: u32 = 5;
/// The longest address that is fetched.
const URL_BYTES: usize = 4096;
/// What no text comes out of, by the first part of the media type.
const NO_TEXT: &[&str] = &["audio/", "font/", "image/", "video/", "model/"];
/// What is for programs.
const BINARY: &[&str] =
    &["application/octet-stream", "application/zip", "application/gzip", "application/wasm"];

const DOCS: &str = "\
Fetches pages of the web for models. Its tool is `web_fetch`, which takes `url`, and as `start` the character to begin at.

- The text of HTML, PDF, office documents, JSON and plain text comes back, at most `max_characters` at once; the end
  says where to go on.
- Only `http` and `https` are fetched, and only public addresses: private ones, also behind names and redirects, are
  refused unless `server.egress_allow` lists them. No credentials are sent.
- A page has at most `max_bytes` bytes and comes within `timeout` seconds.
";

chaski_api::wire! {
    /// The configuration of `inline::web-fetch`.
    pub struct WebFetchConfig {
        /// The most bytes of a page.
        pub max_bytes: Between<1, 268_435_456> = Between(8 * 1024 * 1024),
        /// The most characters of its text that a model is shown at once.
        pub max_characters: Between<100, 10_000_000> = Between(20_000),
        /// Seconds for a page to come, redirects included.
        pub timeout: Between<1, 600> = Between(20),
    }
}

impl ProviderConfig for WebFetchConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }
}

/// The provider `inline::web-fetch`.
pub(crate) struct WebFetch {
    http: Http,
    documents: Documents,
    max_bytes: usize,
    max_characters: usize,
    timeout: Duration,
}

impl WebFetch {
    async fn page(&self, cx: &Context, url: Url) -> Result<String> {
        let latest = Instant::now() + self.timeout;
        let deadline = cx.deadline.map_or(latest, |deadline| deadline.min(latest));
        let request = Request::get("the page", url)
            .text("accept", "text/html, text/plain, application/json;q=0.9, */*;q=0.5")?
            .redirects(REDIRECTS)
            .deadline(Some(deadline));
        let response = self.http.send(request).await?;
        let status = response.status();
        if !status.is_success() {
            let kind = ErrorKind::Upstream { status: Some(status.as_u16()) };
            return Err(Error::new(
                kind,
                format!("it was answered with status {}", status.as_u16()),
            ));
        }
        let media_type = response.media_type();
        let is_binary = BINARY.contains(&media_type.as_str());
        if is_binary || NO_TEXT.iter().any(|start| media_type.starts_with(start)) {
            return Err(Error::invalid(format!("there is no text in `{media_type}`")));
        }
        let stated = response.headers().get("content-type");
        let stated = stated.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.bytes(self.max_bytes).await?;
        let media_type = stated.filter(|stated| !stated.is_empty());
        let hints = Hints { media_type, ..Hints::default() };
        let limits = Limits {
            input_bytes: self.max_bytes as u64,
            time: deadline.saturating_duration_since(Instant::now()),
            ..Limits::default()
        };
        let text = self
            .documents
            .read(DocumentFile::Bytes(body), hints, limits, |document| {
                Ok(document.text().to_owned())
            })
            .await?;
        text.map_err(|error| {
            if error.kind == chaski_documents::ErrorKind::Worker {
                Error::internal("no process for reading documents").caused_by(error)
            } else {
                Error::invalid(error.message)
            }
        })
    }

    /// The part of a text from the character `start` on.
    fn part(&self, text: &str, start: usize) -> String {
        let Some((from, _)) = text.char_indices().nth(start) else {
            return if start == 0 {
                "The page has no text.".to_owned()
            } else {
                format!("The page has only {} characters.", text.chars().count())
            };
        };
        let rest = &text[from..];
        match rest.char_indices().nth(self.max_characters) {
            None => rest.to_owned(),
            Some((end, _)) => {
                let next = start + self.max_characters;
                format!("{}\n\n[The page goes on: call again with `start` {next}.]", &rest[..end])
            }
        }
    }
}

/// The address of a page.
fn address(given: Option<&Value>) -> Result<Url> {
    let text = given.and_then(Value::as_str).ok_or_else(|| {
        Error::invalid(format!("`{TOOL}` was given no text `url`; say which page to fetch"))
    })?;
    if text.len() > URL_BYTES {
        let bytes = text.len();
        return Err(Error::invalid(format!(
            "the `url` for `{TOOL}` has {bytes} bytes; at most {URL_BYTES} are fetched"
        )));
    }
    let url = Url::parse(text.trim()).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        Error::invalid(format!(
            "the `url` for `{TOOL}` is not a web address; begin with `http://` or `https://`"
        ))
    })
}

/// The error with the page that it is about, without what stands behind its path.
fn named(url: &Url, error: Error) -> Error {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // The guard refuses addresses with credentials, and a message must not repeat them.
    let _cannot_fail_with_a_host = (shown.set_username(""), shown.set_password(None));
    Error { message: format!("`{shown}` cannot be fetched: {}", error.message), ..error }
}

#[async_trait]
impl ToolRuntime for WebFetch {
    async fn tools(&self, _cx: &Context, _group: &ToolGroup) -> Result<Vec<ToolDef>> {
        let url = ToolParameter::required("url", "string", "The address of the page");
        let start = ToolParameter {
            required: false,
            default: Some(0.into()),
            ..ToolParameter::required("start", "integer", "The character of its text to begin at")
        };
        Ok(vec![ToolDef {
            name: TOOL.to_owned(),
            description: Some("Fetch a page of the web and read its text".to_owned()),
            parameters: Some(vec![url, start]),
            metadata: None,
        }])
    }

    async fn invoke(
        &self,
        cx: &Context,
        _group: &ToolGroup,
        _tool: &Tool,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        let url = address(arguments.get("url"))?;
        let start = match arguments.get("start") {
            None | Some(Value::Null) => 0,
            Some(start) => {
                start.as_u64().and_then(|start| usize::try_from(start).ok()).ok_or_else(|| {
                    Error::invalid(format!(
                        "the `start` for `{TOOL}` is not a number of characters"
                    ))
                })?
            }
        };
        let text = self.page(cx, url.clone()).await.map_err(|error| named(&url, error))?;
        Ok(ToolInvocationResult::text(self.part(&text, start)))
    }
}

#[async_trait]
impl Lifecycle for WebFetch {}

impl Provider for WebFetch {
    type Api = dyn ToolRuntimeProvider;
    type Config = WebFetchConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(Api::ToolRuntime, "inline::web-fetch", "Fetches pages of the web as text.")
    };

    async fn build(config: WebFetchConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let count = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
        Ok(Arc::new(Self {
            http: deps.http.for_addresses_of_callers(),
            documents: deps.documents,
            max_bytes: count(config.max_bytes.0),
            max_characters: count(config.max_characters.0),
            timeout: Duration::from_secs(config.timeout.0.unsigned_abs()),
        }))
    }
}
