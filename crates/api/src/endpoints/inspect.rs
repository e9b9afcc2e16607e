//! Health, version and routes.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Method,
    inspect::{HealthInfo, ProviderSummaryList, RouteList, UsageList, VersionInfo},
};

crate::wire! {
    /// No parameters.
    pub struct NoParameters {}
}

const fn get(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    public: bool,
) -> EndpointSpec {
    let spec = EndpointSpec::new(Api::Inspect, Method::Get, path, operation, summary);
    EndpointSpec { public, ..spec }
}

pub struct Health;
impl Endpoint for Health {
    type Request = NoParameters;
    type Response = HealthInfo;
    type Event = ();
    const SPEC: EndpointSpec =
        get("/v1/health", "health", "Whether the server answers; checks nothing else.", true);
}

pub struct Live;
impl Endpoint for Live {
    type Request = NoParameters;
    type Response = HealthInfo;
    type Event = ();
    const SPEC: EndpointSpec =
        get("/livez", "live", "Whether the process is alive, for an orchestrator.", true);
}

pub struct Ready;
impl Endpoint for Ready {
    type Request = NoParameters;
    type Response = HealthInfo;
    type Event = ();
    const SPEC: EndpointSpec = get(
        "/readyz",
        "ready",
        "Whether the server takes new work: 503 while it starts or shuts down.",
        true,
    );
}

pub struct Version;
impl Endpoint for Version {
    type Request = NoParameters;
    type Response = VersionInfo;
    type Event = ();
    const SPEC: EndpointSpec =
        get("/v1/version", "version", "The version that clients check theirs against.", true);
}

pub struct ListRoutes;
impl Endpoint for ListRoutes {
    type Request = NoParameters;
    type Response = RouteList;
    type Event = ();
    const SPEC: EndpointSpec =
        get("/v1/inspect/routes", "list_routes", "All routes, with their providers.", false);
}

pub struct ListProviderSummaries;
impl Endpoint for ListProviderSummaries {
    type Request = NoParameters;
    type Response = ProviderSummaryList;
    type Event = ();
    const SPEC: EndpointSpec = get(
        "/v1/inspect/providers",
        "list_providers",
        "All providers, without their configuration.",
        false,
    );
}

pub struct ListUsage;
impl Endpoint for ListUsage {
    type Request = NoParameters;
    type Response = UsageList;
    type Event = ();
    const SPEC: EndpointSpec = get(
        "/v1/inspect/usage",
        "list_usage",
        "Requests, tokens and costs by model and provider, since the start of the server.",
        false,
    );
}

pub const ALL: &[Described] = &[
    Described::of::<Health>(),
    Described::of::<Live>(),
    Described::of::<Ready>(),
    Described::of::<Version>(),
    Described::of::<ListRoutes>(),
    Described::of::<ListProviderSummaries>(),
    Described::of::<ListUsage>(),
];
