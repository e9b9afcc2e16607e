//! Brave Search: a search of the web with an index of its own.

#[cfg(test)]
mod tests;

use crate::search::{Facts, Service, hosted_search, limited_to, with_parameters};
use chaski_api::{Result, Secret};
use chaski_upstream::{Request, Url};
use serde::Deserialize;
use serde_json::{Map, Value};

const URL: &str = "https://api.search.brave.com/res/v1/web/search";

const DOCS: &str = "\
Searches the web with [Brave Search](https://api-dashboard.search.brave.com/app/documentation). Its tool is
`web_search`, which takes `query`.

- `api_key` is used where it is set. Otherwise callers send their own in the header
  `X-LlamaStack-Provider-Data`: `{\"brave_search_api_key\": \"...\"}`.
- The result has one line of JSON for each of the first `max_results` entries of Brave's own ranking: pages,
  questions with answers, infoboxes, videos, places and news, each with the fields that say what it is.
";

hosted_search! {
    provider BraveSearch as "remote::brave-search", "Searches the web with Brave Search.";
    /// The configuration of `remote::brave-search`.
    config BraveSearchConfig with "${env.BRAVE_SEARCH_API_KEY:}" at URL;
    /// How many results a model is shown.
    count max_results;
}

#[derive(Deserialize)]
pub(crate) struct Answer {
    #[serde(default)]
    mixed: Mixed,
    /// The results by their kinds.
    #[serde(flatten)]
    kinds: Map<String, Value>,
}

/// The ranking of results of different kinds.
#[derive(Default, Deserialize)]
struct Mixed {
    #[serde(default)]
    main: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(rename = "type")]
    kind: String,
    /// Which result of its kind stands here.
    index: Option<usize>,
}

/// What a model is shown of a kind of results.
struct Kind {
    /// Whether a place has one result, and not all results of the kind.
    one: bool,
    fields: &'static [&'static str],
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        let (one, fields): (bool, &[&str]) = match name {
            "web" => (true, &["type", "title", "url", "description", "date", "extra_snippets"]),
            "infobox" => (true, &["type", "title", "url", "description", "long_desc"]),
            "faq" => (false, &["type", "question", "answer", "title", "url"]),
            "videos" => (false, &["type", "url", "title", "description", "date"]),
            "news" => (false, &["type", "title", "url", "description"]),
            "locations" => (
                false,
                &[
                    "type",
                    "title",
                    "url",
                    "description",
                    "coordinates",
                    "postal_address",
                    "contact",
                    "rating",
                    "distance",
                    "zoom_level",
                ],
            ),
            _ => return None,
        };
        Some(Self { one, fields })
    }
}

impl Answer {
    /// What stands at a place; nothing if its kind is not shown or the answer does not have it.
    fn at(&self, place: &Place) -> Option<Value> {
        let kind = Kind::of(&place.kind)?;
        let results = self.kinds.get(&place.kind)?.get("results")?.as_array()?;
        let shown = |result: &Value| Some(limited_to(result.as_object()?.clone(), kind.fields));
        if kind.one {
            return results.get(place.index?).and_then(shown);
        }
        Some(results.iter().filter_map(shown).collect())
    }
}

impl Service for BraveSearch {
    const FACTS: Facts = Facts {
        name: "Brave Search",
        key: "brave_search_api_key",
        key_title: "Search provider's API Key",
        tool: "web_search",
        description: "Search the web for information",
        query: "The query to search for",
    };
    type Answer = Answer;

    fn request(&self, url: Url, key: &Secret, query: &str) -> Result<Request> {
        let url = with_parameters(url, &[("q", query)]);
        let request = Request::get(Self::FACTS.name, url).text("accept", "application/json")?;
        request.secret("x-subscription-token", key)
    }

    fn text(&self, _query: &str, answer: Answer) -> Result<String> {
        let places = answer.mixed.main.iter().take(self.max_results);
        let lines: Vec<String> =
            places.filter_map(|place| answer.at(place)).map(|shown| shown.to_string()).collect();
        Ok(lines.join("\n"))
    }
}
