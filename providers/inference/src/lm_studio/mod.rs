//! LM Studio.

#[cfg(test)]
mod tests;

use crate::hosted::{Catalogue, Hosted, at_version};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "http://localhost:1234";

const DIALECT: Dialect = Dialect {
    name: "LM Studio",
    renamed: &[("max_completion_tokens", "max_tokens"), ("repetition_penalty", "repeat_penalty")],
    float_vectors: true,
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    embedders: &[("text-embedding-nomic-embed-text-v1.5", 768, 2048)],
    // The names of its embedding models begin so; of others the length of the vectors is not known.
    others: &["text-embedding-"],
    listed_only: true,
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [LM Studio](https://lmstudio.ai/docs/developer/openai-compat) on this or another machine.

- A model must be there to be registered. It need not be loaded: LM Studio does that with the first request.
- Without models of this provider in the run configuration, those that LM Studio lists are registered;
  `refresh_models` switches that on or off.
- `repetition_penalty` is sent as `repeat_penalty`.
- Images at addresses are fetched by this server and sent as data; private addresses are refused unless
  `server.egress_allow` lists them.
";

chaski_api::wire! {
    /// The configuration of `remote::lm-studio`.
    pub struct LmStudioConfig {
        /// The URL of the server; `/v1` is added unless it ends so.
        pub url: String = URL.to_owned(),
        /// A key, for servers behind a proxy that asks for one.
        pub api_key: Option<Secret>,
        /// Whether the models that LM Studio lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for LmStudioConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.LM_STUDIO_URL:http://localhost:1234}" })
    }
}

/// The provider `remote::lm-studio`.
pub(crate) struct LmStudio;

impl Provider for LmStudio {
    type Api = dyn InferenceProvider;
    type Config = LmStudioConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        streams_calls: true,
        ..Spec::new(Api::Inference, "remote::lm-studio", "Models of LM Studio.")
    };

    async fn build(config: LmStudioConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = at_version(&config.url, "/v1");
        let settings = Settings { url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
