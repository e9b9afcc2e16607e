//! The configured providers.

use super::inspect::NoParameters;
use crate::{
    Api, Described, Endpoint, EndpointSpec, Method,
    inspect::{ProviderInfo, ProviderList},
};

crate::wire! {
    /// Which provider.
    pub struct InspectProviderRequest {
        /// The provider's id; the first one that has it, over all APIs.
        pub provider_id: String,
    }
}

pub struct ListProviders;
impl Endpoint for ListProviders {
    type Request = NoParameters;
    type Response = ProviderList;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::Providers,
        Method::Get,
        "/v1/providers",
        "list_providers",
        "All configured providers, with health; secrets are redacted.",
    );
}

pub struct InspectProvider;
impl Endpoint for InspectProvider {
    type Request = InspectProviderRequest;
    type Response = ProviderInfo;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::Providers,
        Method::Get,
        "/v1/providers/{provider_id}",
        "inspect_provider",
        "One configured provider.",
    );
}

pub const ALL: &[Described] =
    &[Described::of::<ListProviders>(), Described::of::<InspectProvider>()];
