//! What services that answer queries have in common: one tool, one key, one request per call.

mod hosted;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use hosted::hosted_search;

use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Reader, Result, Secret,
    tools::{Tool, ToolDef, ToolGroup, ToolInvocationResult, ToolParameter},
};
use chaski_provider::{Context, Deps, Lifecycle, ToolRuntime, ToolRuntimeProvider};
use chaski_upstream::{Http, Request, Url};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::{ops::RangeInclusive, sync::Arc};

/// How many results a configuration may ask for.
const COUNTS: RangeInclusive<i64> = 1..=100;
/// How much of an answer is read.
pub(crate) const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Longer queries do not fit into an address.
const QUERY_BYTES: usize = 16 * 1024;

/// What a service is called, and what models are told about its tool.
pub(crate) struct Facts {
    /// Its name in messages.
    pub name: &'static str,
    /// The name of the key in the provider-data header.
    pub key: &'static str,
    /// What the key is called where it is missing.
    pub key_title: &'static str,
    pub tool: &'static str,
    pub description: &'static str,
    /// What the parameter `query` means.
    pub query: &'static str,
}

/// A service that answers queries.
pub(crate) trait Service: Send + Sync + 'static {
    const FACTS: Facts;
    /// The JSON that it answers, as far as it is read.
    type Answer: DeserializeOwned;

    /// # Errors
    /// `InvalidRequest` if the key cannot be sent.
    fn request(&self, url: Url, key: &Secret, query: &str) -> Result<Request>;

    /// The text for the model; an empty one means that nothing was found.
    ///
    /// # Errors
    /// What the service says went wrong.
    fn text(&self, query: &str, answer: Self::Answer) -> Result<String>;
}

/// The tool of a service.
pub(crate) struct Searcher<S> {
    http: Http,
    url: Url,
    /// The key of the configuration; never empty.
    key: Option<Secret>,
    service: S,
}

impl<S: Service> Searcher<S> {
    /// A provider that sends its queries to `url`.
    ///
    /// # Errors
    /// `InvalidRequest` if `url` is no web address.
    pub(crate) fn provider(
        deps: Deps,
        url: &str,
        key: Option<&Secret>,
        service: S,
    ) -> Result<Arc<dyn ToolRuntimeProvider>> {
        Ok(Arc::new(Self::new(deps.http, url, key, service)?))
    }

    fn new(http: Http, url: &str, key: Option<&Secret>, service: S) -> Result<Self> {
        let parsed = Url::parse(url.trim()).ok();
        let web = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = web.ok_or_else(|| {
            let name = S::FACTS.name;
            Error::invalid(format!(
                "the `url` of {name} is not a web address; leave it out for that of the service"
            ))
        })?;
        Ok(Self { http, url, key: key.and_then(|key| given(key.expose())), service })
    }

    /// The key of the configuration, or else the caller's.
    fn key(&self, cx: &Context) -> Result<Secret> {
        let Facts { key, key_title, .. } = S::FACTS;
        let own = || cx.provider_data.text(key).and_then(given);
        self.key.clone().or_else(own).ok_or_else(|| {
            Error::wants_key(format!(
                "Pass {key_title} in the header X-LlamaStack-Provider-Data as \
                 {{ \"{key}\": <your api key>}}"
            ))
        })
    }

    async fn answer(&self, cx: &Context, key: &Secret, query: &str) -> Result<String> {
        let request = self.service.request(self.url.clone(), key, query)?;
        let request = request.deadline(cx.deadline).trace(cx.spans.parent());
        let response = self.http.send(request).await?.success().await?;
        let body = response.bytes(ANSWER_BYTES).await?;
        let answer = serde_json::from_slice(&body).map_err(|error| {
            let message = format!("the answer of {} does not have its form", S::FACTS.name);
            Error::new(ErrorKind::Upstream { status: None }, message).caused_by(error)
        })?;
        self.service.text(query, answer)
    }
}

/// A key without the space around it, unless nothing is left.
fn given(key: &str) -> Option<Secret> {
    let key = key.trim();
    (!key.is_empty()).then(|| Secret::new(key))
}

/// The error with the name of the service and without the key, which some services repeat and
/// which not only headers carry.
fn presentable(name: &str, key: &Secret, error: Error) -> Error {
    let message = error.message.replace(key.expose(), Secret::REDACTED);
    let message =
        if message.contains(name) { message } else { format!("{name} answered: {message}") };
    Error { message, ..error }
}

/// The address with these parameters added.
pub(crate) fn with_parameters(mut url: Url, parameters: &[(&str, &str)]) -> Url {
    url.query_pairs_mut().extend_pairs(parameters);
    url
}

/// Reports the setting `name` if it is no number of results.
pub(crate) fn check_count(reader: &mut Reader, name: &'static str, count: i64) {
    if !COUNTS.contains(&count) {
        let (least, most) = (COUNTS.start(), COUNTS.end());
        let text = format!("must be an integer from {least} to {most}, not {count}");
        reader.key(name, |reader| reader.issue::<()>("count", text));
    }
}

/// The query of a call.
///
/// # Errors
/// `InvalidRequest` if there is none, or if it does not fit into an address.
pub(crate) fn given_query<'a>(tool: &str, arguments: &'a Map<String, Value>) -> Result<&'a str> {
    let query = arguments.get("query").and_then(Value::as_str).ok_or_else(|| {
        Error::invalid(format!("`{tool}` was given no text `query`; say what to look for"))
    })?;
    if query.len() > QUERY_BYTES {
        let bytes = query.len();
        return Err(Error::invalid(format!(
            "the `query` for `{tool}` has {bytes} bytes; ask with at most {QUERY_BYTES}"
        )));
    }
    Ok(query)
}

/// Only the fields with these names, in the order in which they came.
pub(crate) fn limited_to(mut fields: Map<String, Value>, names: &[&str]) -> Value {
    fields.retain(|name, _| names.contains(&name.as_str()));
    fields.into()
}

#[async_trait]
impl<S: Service> ToolRuntime for Searcher<S> {
    async fn tools(&self, _cx: &Context, _group: &ToolGroup) -> Result<Vec<ToolDef>> {
        let facts = S::FACTS;
        Ok(vec![ToolDef {
            name: facts.tool.to_owned(),
            description: Some(facts.description.to_owned()),
            parameters: Some(vec![ToolParameter::required("query", "string", facts.query)]),
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
        let Facts { name, tool, .. } = S::FACTS;
        let key = self.key(cx)?;
        let query = given_query(tool, &arguments)?;
        let text = self.answer(cx, &key, query).await;
        let text = text.map_err(|error| presentable(name, &key, error))?;
        let nothing = || format!("{tool} tool found nothing.");
        Ok(ToolInvocationResult::text(if text.is_empty() { nothing() } else { text }))
    }
}

#[async_trait]
impl<S: Service> Lifecycle for Searcher<S> {}
