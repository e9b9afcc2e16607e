//! What a server is started with.

use chaski_upstream::Url;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The files for HTTPS, in PEM form.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub key: PathBuf,
    /// The certificate, followed by those that vouch for it.
    pub cert: PathBuf,
}

/// Which headers of a request the authentication service gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardHeaders {
    /// All but those that hold credentials.
    #[default]
    Safe,
    /// All.
    All,
    /// None.
    None,
}

/// Authentication by a service of the operator's.
#[derive(Debug, Clone)]
pub struct AuthOptions {
    /// Where tokens are decided on.
    pub endpoint: Url,
    /// For how long a positive answer is remembered; zero asks every time.
    pub ttl: Duration,
    /// For how long a negative answer is remembered; zero asks every time.
    pub negative_ttl: Duration,
    /// How long to wait for the service.
    pub timeout: Duration,
    pub forward_headers: ForwardHeaders,
}

impl AuthOptions {
    /// The defaults, for the service at `endpoint`.
    pub fn new(endpoint: Url) -> Self {
        Self {
            endpoint,
            ttl: Duration::from_mins(1),
            negative_ttl: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            forward_headers: ForwardHeaders::Safe,
        }
    }
}

/// What requests may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The largest head of a request, in bytes; at least 8192.
    pub header_bytes: usize,
    /// The most headers of a request.
    pub headers: usize,
    /// How long the head of a request may take to arrive.
    pub header_timeout: Duration,
    /// How long a body may pause while it arrives.
    pub body_timeout: Duration,
    /// How long a client may take nothing of an answer that is ready for it.
    pub write_timeout: Duration,
    /// How deeply JSON may be nested; at most 127.
    pub json_depth: usize,
    /// How long an answer may take to begin.
    pub first_byte_timeout: Duration,
    /// How long a request may take as a whole.
    pub total_timeout: Duration,
    /// The most requests at one time; the next ones are answered 503.
    pub concurrent_requests: usize,
    /// The most connections at one time; the next ones wait to be accepted.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 * 1024 * 1024,
            header_bytes: 64 * 1024,
            headers: 100,
            header_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_mins(1),
            json_depth: 64,
            first_byte_timeout: Duration::from_mins(10),
            total_timeout: Duration::from_hours(1),
            concurrent_requests: 1024,
            connections: 8192,
        }
    }
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The addresses to listen on; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// HTTPS, where given.
    pub tls: Option<TlsFiles>,
    /// Authentication; everybody is let in where it is not given.
    pub auth: Option<AuthOptions>,
    pub limits: Limits,
    /// The origins whose web pages may call the server; `*` is any.
    pub cors: Vec<String>,
    /// Names that may stand in `Host` where only this machine is served without authentication,
    /// besides IP addresses, `localhost` and names without dots.
    pub allowed_hosts: Vec<String>,
    /// The version that clients of the Llama Stack API see.
    pub version: String,
    /// Whether clients of another version are refused.
    pub version_check: bool,
    /// Whether a request for a stream that fails before its first event is answered 200 with an
    /// error event, as the reference does, in place of the status of the failure.
    pub stream_errors_as_events: bool,
    /// How often a comment is sent in a stream that has no event to send.
    pub keep_alive: Duration,
    /// How long answers may go on after the signal to stop.
    pub shutdown_grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tls: None,
            auth: None,
            limits: Limits::default(),
            cors: Vec::new(),
            allowed_hosts: Vec::new(),
            version: "0.1.7".to_owned(),
            version_check: true,
            stream_errors_as_events: false,
            keep_alive: Duration::from_secs(15),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}
