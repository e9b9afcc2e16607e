//! Bing's search API, version 7.

#[cfg(test)]
mod tests;

use crate::search::{Facts, Service, hosted_search, limited_to, with_parameters};
use chaski_api::{Result, Secret};
use chaski_upstream::{Request, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const URL: &str = "https://api.bing.microsoft.com/v7.0/search";

const DOCS: &str = "\
Searches the web with version 7 of Bing's search API. Its tool is `web_search`, which takes `query`.

- `api_key` is used where it is set. Otherwise callers send their own in the header
  `X-LlamaStack-Provider-Data`: `{\"bing_search_api_key\": \"...\"}`.
- The result is a JSON text: the `query`, and as `top_k` the pages (`name`, `url`, `snippet`), followed by a list of
  news (`name`, `url`, `description`) where there are some. Bing is asked for `top_k` pages.
- Microsoft has retired this API in August 2025. `url` can name another service that speaks it.
";

hosted_search! {
    provider BingSearch as "remote::bing-search", "Searches the web with Bing's API.";
    /// The configuration of `remote::bing-search`.
    config BingSearchConfig with "${env.BING_SEARCH_API_KEY:}" at URL;
    /// How many pages Bing is asked for.
    count top_k;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    query_context: QueryContext,
    web_pages: Option<Found>,
    news: Option<Found>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryContext {
    original_query: String,
}

#[derive(Deserialize)]
struct Found {
    value: Vec<Map<String, Value>>,
}

impl Service for BingSearch {
    const FACTS: Facts = Facts {
        name: "Bing",
        key: "bing_search_api_key",
        key_title: "Bing Search API Key",
        tool: "web_search",
        description: "Search the web using Bing Search API",
        query: "The query to search for",
    };
    type Answer = Answer;

    fn request(&self, url: Url, key: &Secret, query: &str) -> Result<Request> {
        let count = self.top_k.to_string();
        let parameters =
            [("count", &*count), ("textDecorations", "True"), ("textFormat", "HTML"), ("q", query)];
        let url = with_parameters(url, &parameters);
        Request::get(Self::FACTS.name, url).secret("ocp-apim-subscription-key", key)
    }

    fn text(&self, _query: &str, answer: Answer) -> Result<String> {
        let pages = answer.web_pages.into_iter().flat_map(|found| found.value);
        let mut shown: Vec<Value> =
            pages.map(|page| limited_to(page, &["name", "url", "snippet"])).collect();
        if let Some(news) = answer.news {
            let news = news.value.into_iter();
            shown.push(news.map(|one| limited_to(one, &["name", "url", "description"])).collect());
        }
        Ok(json!({ "query": answer.query_context.original_query, "top_k": shown }).to_string())
    }
}
