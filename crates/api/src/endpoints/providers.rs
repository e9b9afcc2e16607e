//! The configured providers.

use super::inspect::NoParameters;
use crate::{
    Api, EndpointSpec,
    inspect::{ProviderInfo, ProviderList},
};

crate::wire! {
    /// Which provider.
    pub struct InspectProviderRequest {
        /// The provider's id; the first one that has it, over all APIs.
        pub provider_id: String,
    }
}

endpoints! {
    like EndpointSpec::of(Api::Providers);

    ListProviders(NoParameters) -> ProviderList =
        Get "/v1/providers", "list_providers",
        "All configured providers, with health; secrets are redacted.";

    InspectProvider(InspectProviderRequest) -> ProviderInfo =
        Get "/v1/providers/{provider_id}", "inspect_provider", "One configured provider.";
}
