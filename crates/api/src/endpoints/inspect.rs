//! Health, version and routes.

use crate::{
    Api, EndpointSpec,
    inspect::{HealthInfo, ProviderSummaryList, RouteList, UsageList, VersionInfo},
};

crate::wire! {
    /// No parameters.
    pub struct NoParameters {}
}

endpoints! {
    like EndpointSpec::of(Api::Inspect);

    Health(NoParameters) -> HealthInfo =
        Get "/v1/health", "health",
        "Whether the server answers; checks nothing else.", public: true;

    Live(NoParameters) -> HealthInfo =
        Get "/livez", "live", "Whether the process is alive, for an orchestrator.", public: true;

    Ready(NoParameters) -> HealthInfo =
        Get "/readyz", "ready",
        "Whether the server takes new work: 503 while it starts or shuts down.", public: true;

    Version(NoParameters) -> VersionInfo =
        Get "/v1/version", "version",
        "The version that clients check theirs against.", public: true;

    ListRoutes(NoParameters) -> RouteList =
        Get "/v1/inspect/routes", "list_routes", "All routes, with their providers.";

    ListProviderSummaries(NoParameters) -> ProviderSummaryList =
        Get "/v1/inspect/providers", "list_providers",
        "All providers, without their configuration.";

    ListUsage(NoParameters) -> UsageList =
        Get "/v1/inspect/usage", "list_usage",
        "Requests, tokens and costs by model and provider, since the start of the server.";
}
