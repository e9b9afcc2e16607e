//! Tavily: a search of the web for models.

#[cfg(test)]
mod tests;

use crate::search::{Facts, Service, hosted_search};
use chaski_api::{Result, Secret};
use chaski_upstream::{Request, Url};
use serde::Deserialize;
use serde_json::{Value, json};

const URL: &str = "https://api.tavily.com/search";

const DOCS: &str = "\
Searches the web with [Tavily](https://docs.tavily.com). Its tool is `web_search`, which takes `query`.

- `api_key` is used where it is set. Otherwise callers send their own in the header
  `X-LlamaStack-Provider-Data`: `{\"tavily_search_api_key\": \"...\"}`.
- The result is a JSON text: the `query`, and as `top_k` the first `max_results` results as Tavily gives them.
";

hosted_search! {
    provider TavilySearch as "remote::tavily-search", "Searches the web with Tavily.";
    /// The configuration of `remote::tavily-search`.
    config TavilySearchConfig with "${env.TAVILY_SEARCH_API_KEY:}" at URL;
    /// How many results a model is shown.
    count max_results;
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
