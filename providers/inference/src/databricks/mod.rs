//! Databricks model serving.

#[cfg(test)]
mod tests;

use crate::{
    hosted::{Catalogue, Hosted},
    llama_models::Alias,
    raw_prompt::{PromptFormat, rendered},
};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const KEY: &str = "databricks_api_token";
/// Where the models are in a workspace.
const ENDPOINTS: &str = "/serving-endpoints";

const DIALECT: Dialect = Dialect {
    name: "Databricks",
    provider_data: Some(KEY),
    chat_path: Some("/serving-endpoints/chat/completions"),
    completions_path: Some("/serving-endpoints/completions"),
    embeddings_path: Some("/serving-endpoints/embeddings"),
    models_path: Some("/api/2.0/serving-endpoints"),
    renamed: &[("max_completion_tokens", "max_tokens")],
    // Usage comes in every event of a stream.
    left_out: &["stream_options", "min_p", "repetition_penalty"],
    float_vectors: true,
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    aliases: &[
        Alias::repository("databricks-meta-llama-3-1-70b-instruct", "Llama3.1-70B-Instruct"),
        Alias::repository("databricks-meta-llama-3-1-405b-instruct", "Llama3.1-405B-Instruct"),
    ],
    embedders: &[("databricks-bge-large-en", 1024, 512), ("databricks-gte-large-en", 1024, 8192)],
    chat_kinds: &["llm/v1/chat", "llm/v1/completions"],
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of a [Databricks](https://docs.databricks.com/machine-learning/model-serving) workspace.

- `url` is that of the workspace: `https://adb-1234.5.azuredatabricks.net`. Models are called by the names of
  their serving endpoints.
- The names of Meta's Llama models are accepted too: `meta-llama/Llama-3.1-70B-Instruct` and
  `Llama3.1-70B-Instruct` mean `databricks-meta-llama-3-1-70b-instruct`.
- A caller's own token is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"databricks_api_token\": \"...\"}` and wins over `api_token` of the configuration.
- Without models of this provider in the run configuration, the chat and completion endpoints of the
  workspace are registered; `refresh_models` switches that on or off.
- Images at addresses are fetched by this server and sent as data; private addresses are refused unless
  `server.egress_allow` lists them.
- `prompt_format: llama` is for a server that only continues text: chats are written as prompts of Llama models,
  and the calls that the model writes are read.
";

chaski_api::wire! {
    /// The configuration of `remote::databricks`.
    pub struct DatabricksConfig {
        /// The URL of the workspace; `/serving-endpoints` at its end means the same.
        pub url: String = String::new(),
        /// The token, used where a caller sends none of its own.
        pub api_token: Option<Secret>,
        /// Whether the endpoints of the workspace are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
        /// `llama` writes chats as prompts of Llama models, for a server that only continues text.
        /// By default chats are sent as chats.
        pub prompt_format: Option<PromptFormat>,
    }
}

impl ProviderConfig for DatabricksConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.DATABRICKS_URL}", "api_token": "${env.DATABRICKS_API_TOKEN}" })
    }
}

/// The provider `remote::databricks`.
pub(crate) struct Databricks;

impl Provider for Databricks {
    type Api = dyn InferenceProvider;
    type Config = DatabricksConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        ..Spec::new(Api::Inference, "remote::databricks", "Models of a Databricks workspace.")
    };

    async fn build(config: DatabricksConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = config.url.trim().trim_end_matches('/');
        let url = url.strip_suffix(ENDPOINTS).unwrap_or(url).to_owned();
        let settings = Settings { url, key: config.api_token, ..Settings::default() };
        let provider =
            Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)?;
        Ok(rendered(provider, config.prompt_format, None))
    }
}
