//! The registered shields, and running them.

use super::inspect::NoParameters;
use crate::{
    Api, EndpointSpec,
    inference::Message,
    safety::{RunShieldResponse, Shield, ShieldList},
};
use serde_json::{Map, Value};

crate::wire! {
    /// Which shield.
    pub struct ShieldRequest {
        /// The id; it may hold slashes.
        pub identifier: String,
    }

    /// A shield to register. An id that is registered already is updated.
    pub struct RegisterShieldRequest {
        /// The id that requests will use.
        pub shield_id: String,
        /// The id that the provider uses; `shield_id` unless given.
        pub provider_shield_id: Option<String>,
        /// The provider instance; may be left out where only one is configured.
        pub provider_id: Option<String>,
        /// Settings of the shield.
        pub params: Option<Map<String, Value>>,
    }

    /// Messages that a shield looks at.
    pub struct RunShieldRequest {
        /// The registered shield.
        pub shield_id: String,
        /// The messages, the oldest first.
        pub messages: Vec<Message>,
        /// Settings for this run.
        pub params: Option<Map<String, Value>>,
    }
}

endpoints! {
    like EndpointSpec::of(Api::Shields);

    ListShields(NoParameters) -> ShieldList =
        Get "/v1/shields", "list_shields", "All registered shields.";

    GetShield(ShieldRequest) -> Shield =
        Get "/v1/shields/{identifier:path}", "get_shield", "One registered shield.";

    RegisterShield(RegisterShieldRequest) -> Shield =
        Post "/v1/shields", "register_shield",
        "Registers a shield, or updates it; answers what is stored.";

    RunShield(RunShieldRequest) -> RunShieldResponse =
        Post "/v1/safety/run-shield", "run_shield",
        "What a shield says about messages.", api: Api::Safety;
}
