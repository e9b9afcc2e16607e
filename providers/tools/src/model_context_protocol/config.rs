//! The configuration of `remote::model-context-protocol`.

use chaski_api::{Reader, Secret, wire::Between};
use chaski_provider::ProviderConfig;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

chaski_api::wire! {
    /// An MCP server that the operator vouches for: a program, or an address.
    pub struct ConfiguredServer {
        /// The program to start, which is spoken to through its standard input and output.
        pub command: Option<String>,
        /// Its arguments.
        pub args: Vec<String> = Vec::new(),
        /// Its environment variables. Besides these it has `PATH` alone.
        pub env: BTreeMap<String, Secret> = BTreeMap::new(),
        /// The folder that it is started in; that of the server unless given.
        pub cwd: Option<String>,
        /// The address of a server, in place of a program. It may be a private one.
        pub url: Option<String>,
        /// Headers of every request to the address.
        pub headers: BTreeMap<String, Secret> = BTreeMap::new(),
    }

    /// The configuration of `remote::model-context-protocol`.
    pub struct ModelContextProtocolConfig {
        /// Servers by name, which tool groups give as `server:NAME`.
        pub servers: BTreeMap<String, ConfiguredServer> = BTreeMap::new(),
        /// Seconds for connecting to a server and for its introduction.
        pub connect_timeout: Between<1, 3600> = Between(10),
        /// Seconds for a list of tools, and for a call.
        pub call_timeout: Between<1, 86_400> = Between(60),
        /// Seconds after which a session that nobody uses is closed.
        pub idle_timeout: Between<1, 86_400> = Between(300),
        /// The most sessions at one time. A new one closes one that nobody uses.
        pub max_sessions: Between<1, 10_000> = Between(64),
    }
}

impl ProviderConfig for ModelContextProtocolConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }

    fn validate(&self, reader: &mut Reader) {
        for (name, server) in &self.servers {
            let problem = match (&server.command, &server.url) {
                (Some(_), Some(_)) => "has both `command` and `url`; give one of them",
                (None, None) => "has neither `command` nor `url`; give one of them",
                (Some(command), None) if command.trim().is_empty() => "has an empty `command`",
                (None, Some(url)) if super::place::address(url).is_err() => {
                    "has a `url` that does not begin with `http://` or `https://`"
                }
                (Some(_), None) if !server.headers.is_empty() => {
                    "is a program, which takes no `headers`; use `env`"
                }
                (Some(_), None) | (None, Some(_)) => continue,
            };
            // The reader keeps paths of names that are known at compile time.
            reader.key("servers", |reader| {
                reader.issue::<()>("server", format!("`{name}` {problem}"))
            });
        }
    }
}

/// How long things may take, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) call: Duration,
    pub(super) idle: Duration,
    pub(super) sessions: usize,
}

impl Limits {
    pub(super) fn of(config: &ModelContextProtocolConfig) -> Self {
        let seconds = |value: i64| Duration::from_secs(value.unsigned_abs());
        Self {
            connect: seconds(config.connect_timeout.0),
            call: seconds(config.call_timeout.0),
            idle: seconds(config.idle_timeout.0),
            sessions: usize::try_from(config.max_sessions.0).unwrap_or(usize::MAX),
        }
    }
}
