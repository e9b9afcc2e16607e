//! The server of llama.cpp.

#[cfg(test)]
mod tests;

use crate::hosted::{Catalogue, Hosted, at_version};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Rerank, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "http://localhost:8080";

const DIALECT: Dialect = Dialect {
    name: "llama.cpp's server",
    renamed: &[("max_completion_tokens", "max_tokens"), ("repetition_penalty", "repeat_penalty")],
    float_vectors: true,
    rerank: Some(Rerank::STANDARD),
    ..Dialect::OPENAI
};

const DOCS: &str = "\
Serves the model of a running [`llama-server`](https://github.com/ggml-org/llama.cpp/tree/master/tools/server)
of llama.cpp. To run models in this process, without a server beside it, use `inline::llama-cpp`.

- The server answers with the model it was started with, whatever name a request has; any name can be
  registered.
- Without models of this provider in the run configuration, those that the server lists are registered;
  `refresh_models` switches that on or off.
- `repetition_penalty` is sent as `repeat_penalty`. Tools need a server that was started with `--jinja`,
  embeddings one with `--embeddings`.
- While the server loads its model, the provider counts as unavailable.
- Images at addresses are fetched by this server and sent as data; private addresses are refused unless
  `server.egress_allow` lists them.
- A server that was started with `--rerank` is registered with the model type `rerank`; its scores are the raw
  outputs of the model.
";

chaski_api::wire! {
    /// The configuration of `remote::llama-cpp-server`.
    pub struct LlamaCppServerConfig {
        /// The URL of the server; `/v1` is added unless it ends so.
        pub url: String = URL.to_owned(),
        /// The key that the server was started with, if it was.
        pub api_key: Option<Secret>,
        /// Whether the models that the server lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for LlamaCppServerConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.LLAMA_CPP_SERVER_URL:http://localhost:8080}" })
    }
}

/// The provider `remote::llama-cpp-server`.
pub(crate) struct LlamaCppServer;

impl Provider for LlamaCppServer {
    type Api = dyn InferenceProvider;
    type Config = LlamaCppServerConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        streams_calls: true,
        ..Spec::new(
            Api::Inference,
            "remote::llama-cpp-server",
            "The model of a server of llama.cpp.",
        )
    };

    async fn build(config: LlamaCppServerConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = at_version(&config.url, "/v1");
        let settings = Settings { url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &Catalogue::EMPTY, settings, config.refresh_models)
    }
}
