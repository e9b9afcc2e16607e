//! `SearXNG`: a search of the web that one runs oneself and that asks many others.

#[cfg(test)]
mod tests;

use crate::search::{ANSWER_BYTES, check_count, given_query, limited_to, with_parameters};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Reader, Result,
    tools::{Tool, ToolDef, ToolGroup, ToolInvocationResult, ToolParameter},
};
use chaski_provider::{
    Context, Deps, Lifecycle, Provider, ProviderConfig, Spec, ToolRuntime, ToolRuntimeProvider,
};
use chaski_upstream::{Http, Request, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const NAME: &str = "SearXNG";
const TOOL: &str = "web_search";
/// The key of the provider-data header with the address of a caller's own instance.
const URL_KEY: &str = "searxng_url";
/// What a model is shown of a result.
const FIELDS: &[&str] = &["title", "url", "content", "publishedDate"];

const DOCS: &str = "\
Searches the web with an instance of [SearXNG](https://docs.searxng.org), which needs no key. Its tool is `web_search`,
which takes `query`.

- `url` is the address of the instance. Its settings must list `json` among `search.formats`.
- Without `url` callers send the address of their own in the header `X-LlamaStack-Provider-Data`:
  `{\"searxng_url\": \"https://...\"}`. Private addresses of callers are refused unless `server.egress_allow` lists them.
- The result is a JSON text: the `query`, `answers` where the instance has some, and as `top_k` the first `max_results`
  results, each with `title`, `url` and `content`.
";

chaski_api::wire! {
    /// The configuration of `remote::searxng`.
    pub struct SearxngConfig {
        /// The address of the instance. Without one callers send that of their own.
        pub url: Option<String>,
        /// How many results a model is shown.
        pub max_results: i64 = 3,
        /// The language of the results, such as `en` or `es-PE`.
        pub language: Option<String>,
        /// The categories that are searched, with commas between them: `general,news`.
        pub categories: Option<String>,
    }
}

impl ProviderConfig for SearxngConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.SEARXNG_URL:}", "max_results": 3 })
    }

    fn validate(&self, reader: &mut Reader) {
        check_count(reader, "max_results", self.max_results);
    }
}

/// The provider `remote::searxng`.
pub(crate) struct Searxng {
    http: Http,
    /// For addresses of callers.
    guarded: Http,
    url: Option<Url>,
    max_results: usize,
    language: Option<String>,
    categories: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Map<String, Value>>,
    #[serde(default)]
    answers: Vec<Value>,
}

/// The address of an instance, as that of its search.
fn instance(text: &str) -> Result<Url> {
    let url = Url::parse(text.trim()).ok();
    let web = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url = web.ok_or_else(|| {
        Error::invalid(format!(
            "the `url` of {NAME} is not a web address; give that of an instance, such as \
             `http://localhost:8080`"
        ))
    })?;
    let path = url.path().trim_end_matches('/');
    if !path.ends_with("/search") {
        let path = format!("{path}/search");
        url.set_path(&path);
    }
    Ok(url)
}

impl Searxng {
    /// The instance of the configuration, or else the caller's, and the client for it.
    fn place(&self, cx: &Context) -> Result<(&Http, Url)> {
        if let Some(url) = &self.url {
            return Ok((&self.http, url.clone()));
        }
        let own = cx.provider_data.text(URL_KEY).ok_or_else(|| {
            Error::wants_key(format!(
                "Pass the address of an instance of {NAME} in the header \
                 X-LlamaStack-Provider-Data as {{ \"{URL_KEY}\": <address> }}"
            ))
        })?;
        Ok((&self.guarded, instance(own)?))
    }

    async fn answer(&self, cx: &Context, query: &str) -> Result<Answer> {
        let (http, url) = self.place(cx)?;
        let mut parameters = vec![("q", query), ("format", "json")];
        let settings = [("language", &self.language), ("categories", &self.categories)];
        for (name, value) in settings {
            parameters.extend(value.as_deref().map(|value| (name, value)));
        }
        let request = Request::get(NAME, with_parameters(url, &parameters))
            .text("accept", "application/json")?
            .deadline(cx.deadline)
            .trace(cx.spans.parent());
        let response = http.send(request).await?;
        if response.status().as_u16() == 403 {
            let message = format!(
                "{NAME} refuses JSON (status 403); add `json` to `search.formats` in its settings"
            );
            return Err(Error::new(ErrorKind::Upstream { status: Some(403) }, message));
        }
        let answered = response.success().await.map_err(|error| {
            let message = format!("{NAME} answered: {}", error.message);
            Error { message, ..error }
        })?;
        let body = answered.bytes(ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let message = format!("the answer of {NAME} does not have its form");
            Error::new(ErrorKind::Upstream { status: None }, message).caused_by(error)
        })
    }
}

#[async_trait]
impl ToolRuntime for Searxng {
    async fn tools(&self, _cx: &Context, _group: &ToolGroup) -> Result<Vec<ToolDef>> {
        let query = ToolParameter::required("query", "string", "The query to search for");
        Ok(vec![ToolDef {
            name: TOOL.to_owned(),
            description: Some("Search the web for information".to_owned()),
            parameters: Some(vec![query]),
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
        let query = given_query(TOOL, &arguments)?;
        let mut answer = self.answer(cx, query).await?;
        answer.results.truncate(self.max_results);
        let results: Vec<Value> =
            answer.results.into_iter().map(|result| limited_to(result, FIELDS)).collect();
        let mut shown = json!({ "query": query, "top_k": results });
        if !answer.answers.is_empty() {
            shown["answers"] = answer.answers.into();
        }
        Ok(ToolInvocationResult::text(shown.to_string()))
    }
}

#[async_trait]
impl Lifecycle for Searxng {}

impl Provider for Searxng {
    type Api = dyn ToolRuntimeProvider;
    type Config = SearxngConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[URL_KEY],
        ..Spec::new(Api::ToolRuntime, "remote::searxng", "Searches the web with SearXNG.")
    };

    async fn build(config: SearxngConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = config.url.as_deref().map(str::trim).filter(|url| !url.is_empty());
        Ok(Arc::new(Self {
            guarded: deps.http.for_addresses_of_callers(),
            http: deps.http,
            url: url.map(instance).transpose()?,
            max_results: usize::try_from(config.max_results).unwrap_or_default(),
            language: config.language.filter(|language| !language.is_empty()),
            categories: config.categories.filter(|categories| !categories.is_empty()),
        }))
    }
}
