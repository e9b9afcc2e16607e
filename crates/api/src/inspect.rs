//! Health, version, routes and providers.

use crate::wire;
use serde_json::{Map, Value};

wire! {
    /// Whether the server answers.
    pub struct HealthInfo {
        /// `OK`.
        pub status: String,
    }

    /// The version that clients check theirs against.
    pub struct VersionInfo {
        /// Three numbers with dots.
        pub version: String,
    }

    /// One route.
    pub struct RouteInfo {
        /// The path, with parameters in braces.
        pub route: String,
        /// The HTTP method, in lower case.
        pub method: String,
        /// The types of the providers configured for the API that owns the route.
        pub provider_types: Vec<String>,
    }

    /// All routes.
    pub struct RouteList {
        /// One entry per method and path.
        pub data: Vec<RouteInfo>,
    }

    /// How a provider instance is doing.
    pub enum HealthStatus {
        /// It serves.
        Ok = "OK",
        /// It is starting, for example loading a model.
        Starting = "Starting",
        /// It is configured but cannot serve now; it is retried in the background.
        Degraded = "Degraded",
        /// This build does not contain the provider type.
        Unavailable = "Unavailable",
        /// Switched off in the configuration.
        Disabled = "Disabled",
    }

    /// What a model in this process does, and has done since it was loaded.
    pub struct ModelActivity {
        /// The name of its file, without the ending.
        pub model: String,
        /// The memory that it takes, in bytes.
        pub memory_bytes: i64,
        /// Requests in the queue.
        pub waiting: i64,
        /// Requests that are being served.
        pub running: i64,
        /// Requests that were served, also those whose callers went away.
        pub served: i64,
        /// Times that a running request gave way to older ones, since the memory was full.
        pub paused: i64,
        /// Tokens of prompts that were computed.
        pub prompt_tokens: i64,
        /// Tokens of prompts that were there from earlier requests.
        pub cached_prompt_tokens: i64,
        /// Requests that found the beginning of their prompt computed.
        pub cache_hits: i64,
        /// Tokens of answers.
        pub completion_tokens: i64,
        /// Answers that are computed in one step, on average of late.
        pub batch_size: f64,
        /// Tokens of prompts a second, while prompts are read, of late.
        pub prompt_tokens_per_second: f64,
        /// Tokens of answers a second, of all answers together, of late.
        pub completion_tokens_per_second: f64,
        /// Tokens that are kept in memory.
        pub cache_used: i64,
        /// Tokens that fit there.
        pub cache_length: i64,
    }

    /// How a provider instance is doing, and why.
    pub struct ProviderHealth {
        /// The state in one word.
        pub status: HealthStatus,
        /// The reason, where it is not `OK`; of models in this process also what they do, for people.
        pub message: Option<String>,
        /// What the loaded models in this process do, in numbers.
        pub models: Option<Vec<ModelActivity>>,
    }

    /// One configured provider instance.
    pub struct ProviderInfo {
        /// The API that it serves.
        pub api: String,
        /// Its name in this stack.
        pub provider_id: String,
        /// Its type, such as `remote::vllm`.
        pub provider_type: String,
        /// Its configuration after substitution, with everything secret replaced by asterisks.
        pub config: Map<String, Value>,
        /// How it is doing.
        pub health: ProviderHealth,
    }

    /// All configured provider instances.
    pub struct ProviderList {
        /// In the order of the configuration.
        pub data: Vec<ProviderInfo>,
    }

    /// One configured provider instance, without its configuration.
    pub struct ProviderSummary {
        /// The API that it serves.
        pub api: String,
        /// Its name in this stack.
        pub provider_id: String,
        /// Its type, such as `remote::vllm`.
        pub provider_type: String,
    }

    /// All configured provider instances, without their configuration.
    pub struct ProviderSummaryList {
        /// In the order of the configuration.
        pub data: Vec<ProviderSummary>,
    }

    /// What the requests for one model took at one provider, since the start of the server.
    pub struct ModelUsage {
        /// The model that requests name.
        pub model_id: String,
        /// The provider instance.
        pub provider_id: String,
        /// The provider's name of the model.
        pub provider_model_id: String,
        /// Requests given to the provider, and each repeat of a call that failed.
        pub requests: i64,
        /// Those of them that failed, or whose stream broke off.
        pub failures: i64,
        /// Tokens of prompts, as the provider counted them. Streams of OpenAI's API count where
        /// the request asks for it with `stream_options.include_usage`, or the model has a `cost`.
        pub prompt_tokens: i64,
        /// Tokens of answers, as the provider counted them.
        pub completion_tokens: i64,
        /// What they cost, for models with a `cost`.
        pub cost: Option<f64>,
        /// The currency of the cost.
        pub currency: Option<String>,
        /// Requests under way at the provider for its model, whatever model they named here.
        pub under_way: i64,
        /// Whether it failed a while ago and is tried last.
        pub resting: bool,
    }

    /// What requests took.
    pub struct UsageList {
        /// An entry for each model and each of its targets, in the order of registration.
        pub data: Vec<ModelUsage>,
    }
}

impl ProviderHealth {
    /// The health of a provider that has no models in this process.
    pub const fn new(status: HealthStatus, message: Option<String>) -> Self {
        Self { status, message, models: None }
    }
}
