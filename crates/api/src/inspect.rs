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

    /// How a provider instance is doing, and why.
    pub struct ProviderHealth {
        /// The state in one word.
        pub status: HealthStatus,
        /// The reason, where it is not `OK`.
        pub message: Option<String>,
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
}
