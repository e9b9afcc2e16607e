//! The `server:` part of a run configuration.

use chaski_api::wire::{Above, AtLeast, Between};

chaski_api::wire! {
    /// Which headers of a request the authentication service gets to see.
    pub enum ForwardHeaders {
        /// All but those that hold credentials.
        Safe = "safe",
        /// All, as the reference does.
        All = "all",
        /// None.
        None = "none",
    }

    /// Bearer-token authentication by a service of yours.
    pub struct AuthConfig {
        /// The address that decides: it gets a `POST` with the token and the request, and answers
        /// 200 to let the caller in.
        pub endpoint: String,
        /// For how long a positive answer is remembered, in seconds; 0 asks every time.
        pub ttl_seconds: AtLeast<0> = Between(30),
        /// For how long a negative answer is remembered, in seconds; 0 asks every time.
        pub negative_ttl_seconds: AtLeast<0> = Between(5),
        /// How long to wait for the service, in seconds.
        pub timeout_seconds: Above<0> = Above(5.0),
        /// Which headers of the request the service gets to see.
        pub forward_headers: ForwardHeaders = ForwardHeaders::Safe,
    }

    /// What requests may cost.
    pub struct LimitsConfig {
        /// The largest body, in bytes.
        pub body_bytes: AtLeast<1> = Between(64 * 1024 * 1024),
        /// The largest head of a request, in bytes.
        pub header_bytes: AtLeast<8192> = Between(64 * 1024),
        /// The most headers of a request.
        pub headers: AtLeast<1> = Between(100),
        /// How long the head of a request may take to arrive, in seconds.
        pub header_seconds: Above<0> = Above(15.0),
        /// How long a body may pause while it arrives, in seconds.
        pub body_seconds: Above<0> = Above(30.0),
        /// How deeply JSON may be nested.
        pub json_depth: Between<1, 127> = Between(64),
        /// How long an answer may take to begin, in seconds.
        pub first_byte_seconds: Above<0> = Above(600.0),
        /// How long an answer may take as a whole, in seconds.
        pub total_seconds: Above<0> = Above(3600.0),
        /// The most requests at one time; the next ones are answered 503.
        pub concurrent_requests: AtLeast<1> = Between(1024),
        /// The most connections at one time; the next ones wait to be accepted.
        pub connections: AtLeast<1> = Between(8192),
    }

    /// The HTTP server.
    pub struct ServerConfig {
        /// The port to listen on.
        pub port: Between<1024, 65535> = Between(8321),
        /// The address to listen on. Unless given, loopback only where there is no
        /// authentication, else all addresses.
        pub host: Option<String>,
        /// Whether to leave out IPv6 addresses.
        pub disable_ipv6: bool = false,
        /// The certificate chain for TLS, a PEM file; needs `tls_keyfile`.
        pub tls_certfile: Option<String>,
        /// The private key for TLS, a PEM file; needs `tls_certfile`.
        pub tls_keyfile: Option<String>,
        /// Authentication; everybody is let in unless given.
        pub auth: Option<AuthConfig>,
        /// The origins whose web pages may call the server; `*` is any.
        pub cors_origins: Vec<String> = Vec::new(),
        /// Names that may stand in the `Host` header where only this machine is served without
        /// authentication, besides IP addresses, `localhost` and names without dots.
        pub allowed_hosts: Vec<String> = Vec::new(),
        /// What requests may cost.
        pub limits: LimitsConfig = LimitsConfig::default(),
        /// The version that clients of the Llama Stack API see; those of 0.1.x accept 0.1.x only.
        pub reported_version: String = "0.1.7".to_owned(),
        /// Whether clients of another version are refused.
        pub version_check: bool = true,
        /// Whether a request for a stream that fails before its first event is answered 200 with an
        /// error event, as the reference does, in place of the status of the failure.
        pub stream_errors_as_events: bool = false,
        /// How often a comment is sent in a stream that has no event to send, in seconds.
        pub keep_alive_seconds: AtLeast<1> = Between(15),
        /// How long streams may go on after the signal to stop, in seconds.
        pub shutdown_grace_seconds: AtLeast<0> = Between(30),
        /// Private addresses (`host:port`) that URLs given by callers may point to.
        pub egress_allow: Vec<String> = Vec::new(),
    }
}

/// The defaults of a structure whose fields all have one.
fn defaults<T: chaski_api::Wire>() -> T {
    T::from_json(serde_json::json!({})).expect("every field has a default")
}

impl Default for ServerConfig {
    fn default() -> Self {
        defaults()
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        defaults()
    }
}
