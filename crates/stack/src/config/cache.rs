//! The `response_cache:` part of a run configuration.

use chaski_api::wire::{Above, AtLeast, Between};

chaski_api::wire! {
    /// Answers that are remembered and given again to the same request of the same caller.
    pub struct ResponseCacheConfig {
        /// For how long an answer is remembered, in seconds.
        pub ttl_seconds: Above<0> = Above(300.0),
        /// The most answers.
        pub max_entries: AtLeast<1> = Between(10_000),
        /// The most bytes of all answers together.
        pub max_bytes: Between<1024, 1_099_511_627_776> = Between(64 * 1024 * 1024),
        /// The longest answer that is remembered, in bytes.
        pub max_answer_bytes: Between<1, 1_073_741_824> = Between(1024 * 1024),
        /// Whether answers are remembered that a model would give differently each time: those to
        /// requests with a `temperature` above 0, or without one, and without a `seed`.
        pub sampled: bool = false,
    }
}
