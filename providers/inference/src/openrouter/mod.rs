//! OpenRouter.

#[cfg(test)]
mod tests;

use crate::hosted::{Catalogue, Hosted};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://openrouter.ai/api/v1";
const KEY: &str = "openrouter_api_key";

const DIALECT: Dialect = Dialect {
    name: "OpenRouter",
    provider_data: Some(KEY),
    renamed: &[("max_completion_tokens", "max_tokens")],
    float_vectors: true,
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue { service: URL, dated: true, ..Catalogue::EMPTY };

const DOCS: &str = "\
Serves the models that [OpenRouter](https://openrouter.ai/docs) routes to.

- Models are named as OpenRouter names them: `meta-llama/llama-3.3-70b-instruct`.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"openrouter_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Requests are sent as they come, with OpenRouter's own fields such as `provider` and `transforms`.
- The list has hundreds of models. `refresh_models: true` registers all of them; by default only those of the
  run configuration, and those that are registered by request, are served.
";

chaski_api::wire! {
    /// The configuration of `remote::openrouter`.
    pub struct OpenRouterConfig {
        /// The URL of the API.
        pub url: String = URL.to_owned(),
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// Whether the models that OpenRouter lists are registered.
        pub refresh_models: bool = false,
    }
}

impl ProviderConfig for OpenRouterConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "api_key": "${env.OPENROUTER_API_KEY}" })
    }
}

/// The provider `remote::openrouter`.
pub(crate) struct OpenRouter;

impl Provider for OpenRouter {
    type Api = dyn InferenceProvider;
    type Config = OpenRouterConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        streams_calls: true,
        ..Spec::new(Api::Inference, "remote::openrouter", "Models of many vendors by OpenRouter.")
    };

    async fn build(config: OpenRouterConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let settings = Settings { url: config.url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, Some(config.refresh_models))
    }
}
