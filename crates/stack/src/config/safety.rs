//! The `safety:` part of a run configuration, and the shields of a model.

use chaski_api::wire::{AtLeast, Between};

chaski_api::wire! {
    /// What happens where a shield of a model cannot be asked.
    pub enum OnShieldFailure {
        /// The request is refused.
        Refuse = "refuse",
        /// It goes on as if the shield had no objection, and the failure is logged.
        Allow = "allow",
    }

    /// The shields of a model: what goes in and what comes out is judged by them, on every API.
    pub struct ModelShields {
        /// The shields that judge what the model is asked, before it is.
        pub input: Vec<String> = Vec::new(),
        /// The shields that judge what the model says, before anybody sees it.
        pub output: Vec<String> = Vec::new(),
        /// What happens where a shield cannot be asked.
        pub on_failure: OnShieldFailure = OnShieldFailure::Refuse,
        /// How many characters of a stream are judged together; they are held back until then.
        pub stream_window: Between<1, 1_000_000> = Between(200),
        /// How many characters before them are shown to the shield again.
        pub stream_context: AtLeast<0> = Between(1000),
    }

    /// Shields beyond those that a request names.
    pub struct SafetyConfig {
        /// The shield of `POST /v1/moderations` where a request names none. Unless given, the first shield
        /// that judges what is said, else the first against attacks, else the first of all.
        pub default_shield_id: Option<String>,
        /// The shields of every model that generates text and has no `shields` of its own, whoever
        /// registered it.
        pub shields: Option<ModelShields>,
    }
}
