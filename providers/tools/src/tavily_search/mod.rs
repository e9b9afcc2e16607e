//! Tavily: a search of the web for models.

#[cfg(test)]
mod tests;

use crate::search::{Facts, Searcher, Service, check_count};
use chaski_api::{Api, Reader, Result, Secret};
use chaski_provider::{Deps, Provider, ProviderConfig, Spec, ToolRuntimeProvider};
use chaski_upstream::{Request, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://api.tavily.com/search";

const DOCS: &str = "\
Searches the web with [Tavily](https://docs.tavily.com). Its tool is `web_search`, which takes `query`.

- `api_key` is used where it is set. Otherwise callers send their own in the header
  `X-LlamaStack-Provider-Data`: `{\"tavily_search_api_key\": \"...\"}`.
- The result is a JSON text: the `query`, and as `top_k` the first `max_results` results as Tavily gives them.
";

chaski_api::wire! {
    /// The configuration of `remote::tavily-search`.
    pub struct TavilySearchConfig {
        /// The key. Without one callers send their own.
        pub api_key: Option<Secret>,
        /// How many results a model is shown.
        pub max_results: i64 = 3,
        /// Another address of the service.
        pub url: String = URL.to_owned(),
    }
}

impl ProviderConfig for TavilySearchConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "api_key": "${env.TAVILY_SEARCH_API_KEY:}", "max_results": 3 })
    }

    fn validate(&self, reader: &mut Reader) {
        check_count(reader, "max_results", self.max_results);
    }
}

/// The provider `remote::tavily-search`.
pub(crate) struct TavilySearch {
    max_results: usize,
}

#[derive(Deserialize)]
pub(crate) struct Answer {
    query: Option<String>,
    results: Vec<Value>,
}

impl Service for TavilySearch {
    const FACTS: Facts = Facts {
        name: "Tavily",
        key: "tavily_search_api_key",
        key_title: "Search provider's API Key",
        tool: "web_search",
        description: "Search the web for information",
        query: "The query to search for",
    };
    type Answer = Answer;

    fn request(&self, url: Url, key: &Secret, query: &str) -> Result<Request> {
        let body = json!({ "api_key": key.expose(), "query": query });
        Ok(Request::post(Self::FACTS.name, url).json(body.to_string()))
    }

    fn text(&self, query: &str, mut answer: Answer) -> Result<String> {
        answer.results.truncate(self.max_results);
        let query = answer.query.as_deref().unwrap_or(query);
        Ok(json!({ "query": query, "top_k": answer.results }).to_string())
    }
}

impl Provider for TavilySearch {
    type Api = dyn ToolRuntimeProvider;
    type Config = TavilySearchConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[Self::FACTS.key],
        ..Spec::new(Api::ToolRuntime, "remote::tavily-search", "Searches the web with Tavily.")
    };

    async fn build(config: TavilySearchConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let max_results = usize::try_from(config.max_results).unwrap_or_default();
        Searcher::provider(deps, &config.url, config.api_key.as_ref(), Self { max_results })
    }
}
