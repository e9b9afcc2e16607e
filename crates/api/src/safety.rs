//! Shields, and what they find.

use serde_json::{Map, Value};

crate::wire! {
    /// The constant `type` of the record of a shield.
    pub enum ShieldTag { Shield = "shield" }

    /// A registered shield, as it is stored and as it is answered.
    pub struct Shield {
        /// The id that requests use; unique in this stack.
        pub identifier: String,
        /// The id that the provider uses.
        pub provider_resource_id: String,
        /// The provider instance that runs it.
        pub provider_id: String,
        /// Always `shield`.
        pub tag as "type": ShieldTag = ShieldTag::Shield,
        /// Settings of the shield.
        pub params: Option<Map<String, Value>>,
    }

    /// All registered shields.
    pub struct ShieldList {
        /// The shields, in the order of registration.
        pub data: Vec<Shield>,
    }

    /// How bad a violation is.
    pub enum ViolationLevel {
        /// Worth knowing.
        Info = "info",
        /// Goes on, with a warning.
        Warn = "warn",
        /// Must not go on.
        Error = "error",
    }

    /// What a shield found.
    pub struct SafetyViolation {
        /// How bad it is.
        pub violation_level: ViolationLevel,
        /// What the user is told in place of an answer.
        pub user_message: Option<String>,
        /// Free-form facts; `violation_type` names what was found.
        pub metadata: Map<String, Value> = Map::new(),
    }

    /// What a shield says about messages.
    pub struct RunShieldResponse {
        /// What it found; nothing if there is no objection.
        pub violation: Option<SafetyViolation>,
    }
}
