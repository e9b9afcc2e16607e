//! OpenAI's models on Azure, by deployment.

#[cfg(test)]
mod tests;

use crate::hosted::{Catalogue, Hosted};
use chaski_api::{Api, Error, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::{
    Url,
    openai::{Dialect, Settings},
};
use serde_json::{Value, json};
use std::sync::Arc;

const KEY: &str = "azure_api_key";
const API_VERSION: &str = "2024-10-21";

const DIALECT: Dialect = Dialect {
    name: "Azure OpenAI",
    key_header: ("api-key", ""),
    provider_data: Some(KEY),
    chat_path: Some("/openai/deployments/{model}/chat/completions"),
    completions_path: Some("/openai/deployments/{model}/completions"),
    embeddings_path: Some("/openai/deployments/{model}/embeddings"),
    models_path: Some("/openai/models"),
    model_prefix: Some("azure/"),
    // Deployments are mostly named like their models.
    completion_tokens_models: &["o1", "o3", "o4", "gpt-5"],
    left_out: &["top_k", "min_p", "repetition_penalty"],
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    hosts: &[
        ".openai.azure.com",
        ".cognitiveservices.azure.com",
        ".services.ai.azure.com",
        ".api.cognitive.microsoft.com",
        ".openai.azure.us",
        ".openai.azure.cn",
    ],
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the deployments of an [Azure OpenAI](https://learn.microsoft.com/azure/ai-services/openai/reference)
resource.

- A model is a deployment: its `provider_model_id` is the name of the deployment, with or without `azure/` in
  front. Deployments cannot be listed with a key, so each is declared in the run configuration or registered.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"azure_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- `max_tokens` is sent as `max_completion_tokens` to deployments named like a reasoning model, and the
  sampling parameters that Azure refuses (`top_k`, `min_p`, `repetition_penalty`) are left out.
";

chaski_api::wire! {
    /// The configuration of `remote::azure`.
    pub struct AzureConfig {
        /// The URL of the resource: `https://my-resource.openai.azure.com`.
        pub url: String = String::new(),
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// The version of the API.
        pub api_version: String = API_VERSION.to_owned(),
    }
}

impl ProviderConfig for AzureConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "url": "${env.AZURE_API_BASE}",
            "api_key": "${env.AZURE_API_KEY}",
            "api_version": "${env.AZURE_API_VERSION:2024-10-21}",
        })
    }
}

/// The provider `remote::azure`.
pub(crate) struct Azure;

impl Provider for Azure {
    type Api = dyn InferenceProvider;
    type Config = AzureConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        streams_calls: true,
        ..Spec::new(Api::Inference, "remote::azure", "OpenAI's models on Azure.")
    };

    async fn build(config: AzureConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let base = config.url.trim().trim_end_matches('/');
        let base = base.strip_suffix("/openai").unwrap_or(base);
        let mut url = Url::parse(base).map_err(|_| {
            Error::unavailable(
                "Azure OpenAI has no `url` in the run configuration; \
                 set one such as `https://my-resource.openai.azure.com`",
            )
        })?;
        url.query_pairs_mut().append_pair("api-version", config.api_version.trim());
        let settings = Settings { url: url.into(), key: config.api_key, ..Settings::default() };
        // The list of a resource holds the models that may be deployed, not those that are.
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, Some(false))
    }
}
