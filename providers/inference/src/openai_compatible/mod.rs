//! Any server that speaks OpenAI's API.

#[cfg(test)]
mod tests;

use crate::{
    adapter::TlsVerify,
    hosted::{Catalogue, Hosted},
    raw_prompt::{PromptFormat, rendered},
};
use chaski_api::{Api, Result, Secret, wire::AtLeast};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Rerank, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const KEY: &str = "openai_compatible_api_key";

const DIALECT: Dialect = Dialect {
    name: "the OpenAI-compatible server",
    provider_data: Some(KEY),
    request_id: Some("x-request-id"),
    rerank: Some(Rerank::STANDARD),
    ..Dialect::OPENAI
};

const DOCS: &str = "\
Serves the models of any server or service that speaks OpenAI's API at a URL of its own.

- Requests are sent as they come, with the fields that OpenAI does not know.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"openai_compatible_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Any model can be registered. Without models of this provider in the run configuration, those that the
  server lists are registered; `refresh_models` switches that on or off. Servers without a list work too.
- Images at addresses are fetched by this server and sent as data; private addresses are refused unless
  `server.egress_allow` lists them.
- `tls_verify: false` accepts any certificate; a path names a PEM file with the authorities to trust.
- A model that ranks documents is registered with the model type `rerank`; `/rerank` after the URL is asked.
- `prompt_format: llama` is for a server that only continues text: chats are written as prompts of Llama models,
  and the calls that the model writes are read.
";

chaski_api::wire! {
    /// The configuration of `remote::openai-compatible`.
    pub struct OpenAiCompatibleConfig {
        /// The URL of the API, up to what stands before `/chat/completions`.
        pub url: String = String::new(),
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// The most tokens to generate where a request does not say; by default the server decides.
        pub max_tokens: Option<AtLeast<1>>,
        /// `true`, `false`, or the path of a PEM file with certificate authorities.
        pub tls_verify: TlsVerify = TlsVerify::Switch(true),
        /// Whether the models that the server lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
        /// `llama` writes chats as prompts of Llama models, for a server that only continues text.
        /// By default chats are sent as chats.
        pub prompt_format: Option<PromptFormat>,
    }
}

impl ProviderConfig for OpenAiCompatibleConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "url": "${env.OPENAI_COMPATIBLE_URL}",
            "api_key": "${env.OPENAI_COMPATIBLE_API_KEY:}",
        })
    }
}

/// The provider `remote::openai-compatible`.
pub(crate) struct OpenAiCompatible;

impl Provider for OpenAiCompatible {
    type Api = dyn InferenceProvider;
    type Config = OpenAiCompatibleConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        streams_calls: true,
        ..Spec::new(
            Api::Inference,
            "remote::openai-compatible",
            "Models of any server that speaks OpenAI's API.",
        )
    };

    async fn build(config: OpenAiCompatibleConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let settings = Settings {
            url: config.url,
            tls: config.tls_verify.tls(),
            key: config.api_key,
            max_tokens: config.max_tokens.map(|most| most.0),
            ..Settings::default()
        };
        let max_tokens = settings.max_tokens;
        let provider =
            Hosted::provider(deps, &DIALECT, &Catalogue::EMPTY, settings, config.refresh_models)?;
        Ok(rendered(provider, config.prompt_format, max_tokens))
    }
}
