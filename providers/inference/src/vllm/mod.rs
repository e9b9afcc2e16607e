//! vLLM, and other servers that speak OpenAI's API with vLLM's additions.

use crate::openai_compatible::TlsVerify;
use async_trait::async_trait;
use chaski_api::{Api, Result, Secret, models::Model, wire::AtLeast};
use chaski_provider::{
    Deps, Hosts, Inference, InferenceProvider, Lifecycle, Provider, ProviderConfig, Spec,
};
use serde_json::{Value, json};
use std::sync::Arc;

chaski_api::wire! {
    /// The configuration of `remote::vllm`.
    pub struct VllmConfig {
        /// The URL of the server with `/v1` at the end.
        pub url: Option<String>,
        /// The most tokens to generate where a request does not say.
        pub max_tokens: AtLeast<1> = chaski_api::wire::Between(4096),
        /// What is sent as the bearer token.
        pub api_token: Option<Secret> = Some(Secret::new("fake")),
        /// `true`, `false`, or the path of a PEM file with certificate authorities.
        pub tls_verify: TlsVerify = TlsVerify::Switch(true),
        /// Whether the models that the server lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for VllmConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "url": "${env.VLLM_URL}",
            "max_tokens": "${env.VLLM_MAX_TOKENS:4096}",
            "api_token": "${env.VLLM_API_TOKEN:fake}",
            "tls_verify": "${env.VLLM_TLS_VERIFY:true}",
        })
    }
}

/// The provider `remote::vllm`.
pub struct Vllm;

struct Served;

impl Inference for Served {}
#[async_trait]
impl Hosts<Model> for Served {}
#[async_trait]
impl Lifecycle for Served {}

impl Provider for Vllm {
    type Api = dyn InferenceProvider;
    type Config = VllmConfig;
    const SPEC: Spec = Spec::new(Api::Inference, "remote::vllm", "A vLLM server.");

    async fn build(_config: VllmConfig, _deps: Deps) -> Result<Arc<Self::Api>> {
        Ok(Arc::new(Served))
    }
}
