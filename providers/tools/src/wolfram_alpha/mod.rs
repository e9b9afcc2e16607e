//! Wolfram Alpha: computed answers.

#[cfg(test)]
mod tests;

use crate::search::{Facts, Searcher, Service, with_parameters};
use chaski_api::{Api, Error, ErrorKind, Result, Secret};
use chaski_provider::{Deps, Provider, ProviderConfig, Spec, ToolRuntimeProvider};
use chaski_upstream::{Request, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const URL: &str = "https://api.wolframalpha.com/v2/query";

const DOCS: &str = "\
Computes answers with [Wolfram Alpha](https://products.wolframalpha.com/api/documentation). Its tool is
`wolfram_alpha`, which takes `query`.

- `api_key` is used where it is set. Otherwise callers send their own in the header
  `X-LlamaStack-Provider-Data`: `{\"wolfram_alpha_api_key\": \"...\"}`.
- The result is the JSON text of the answer without the facts about its making, and without what follows the pod
  `Result`.
";

chaski_api::wire! {
    /// The configuration of `remote::wolfram-alpha`.
    pub struct WolframAlphaConfig {
        /// The key (the AppID). Without one callers send their own.
        pub api_key: Option<Secret>,
        /// Another address of the service.
        pub url: String = URL.to_owned(),
    }
}

impl ProviderConfig for WolframAlphaConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "api_key": "${env.WOLFRAM_ALPHA_API_KEY:}" })
    }
}

/// The provider `remote::wolfram-alpha`.
pub(crate) struct WolframAlpha;

#[derive(Deserialize)]
pub(crate) struct Answer {
    queryresult: Map<String, Value>,
}

/// What an answer says about its making, of no use to a model.
const MAKING: &[&str] = &[
    "assumptions",
    "datatypes",
    "error",
    "host",
    "id",
    "numpods",
    "parsetimedout",
    "parsetiming",
    "recalculate",
    "related",
    "server",
    "timedout",
    "timedoutpods",
    "timing",
    "version",
];
/// The same of a pod.
const POD_MAKING: &[&str] =
    &["error", "expressiontypes", "id", "infos", "numsubpods", "position", "scanner", "states"];

/// What the service says went wrong: it does so with the status 200.
fn failure(result: &Map<String, Value>) -> Option<Error> {
    let said = result.get("error")?.as_object()?.get("msg").and_then(Value::as_str);
    let said = said.unwrap_or("an error without a message");
    Some(Error::new(ErrorKind::Upstream { status: None }, said))
}

impl Service for WolframAlpha {
    const FACTS: Facts = Facts {
        name: "Wolfram Alpha",
        key: "wolfram_alpha_api_key",
        key_title: "WolframAlpha API Key",
        tool: "wolfram_alpha",
        description: "Query WolframAlpha for computational knowledge",
        query: "The query to compute",
    };
    type Answer = Answer;

    fn request(&self, url: Url, key: &Secret, query: &str) -> Result<Request> {
        let parameters = [
            ("input", query),
            ("appid", key.expose()),
            ("format", "plaintext"),
            ("output", "json"),
        ];
        Ok(Request::get(Self::FACTS.name, with_parameters(url, &parameters)))
    }

    fn text(&self, _query: &str, answer: Answer) -> Result<String> {
        let mut result = answer.queryresult;
        if let Some(failure) = failure(&result) {
            return Err(failure);
        }
        result.retain(|name, _| !MAKING.contains(&name.as_str()));
        if let Some(Value::Array(pods)) = result.get_mut("pods") {
            let last = pods.iter().position(|pod| pod["title"] == "Result");
            pods.truncate(last.map_or(pods.len(), |last| last + 1));
            for pod in pods.iter_mut().filter_map(Value::as_object_mut) {
                pod.retain(|name, _| !POD_MAKING.contains(&name.as_str()));
            }
        }
        Ok(json!({ "queryresult": result }).to_string())
    }
}

impl Provider for WolframAlpha {
    type Api = dyn ToolRuntimeProvider;
    type Config = WolframAlphaConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[Self::FACTS.key],
        ..Spec::new(
            Api::ToolRuntime,
            "remote::wolfram-alpha",
            "Computes answers with Wolfram Alpha.",
        )
    };

    async fn build(config: WolframAlphaConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        Searcher::provider(deps, &config.url, config.api_key.as_ref(), Self)
    }
}
