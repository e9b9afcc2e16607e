//! From the `server:` part of a run configuration to what the server is started with.

use super::serve::Setup;
use crate::{
    environment::{Environment, NO_VERSION_CHECK},
    failure::{Failure, Outcome},
};
use chaski_server::{AuthOptions, ForwardHeaders, Limits, ServerOptions};
use chaski_stack::config::{self, AuthConfig, LimitsConfig, ServerConfig};
use std::time::Duration;

pub(super) fn options(
    setup: &Setup,
    server: &ServerConfig,
    environment: &Environment,
) -> Outcome<ServerOptions> {
    Ok(ServerOptions {
        listen: setup.listen.clone(),
        tls: setup.tls.clone(),
        auth: server.auth.as_ref().map(auth).transpose()?,
        limits: limits(&server.limits),
        cors: server.cors_origins.clone(),
        allowed_hosts: server.allowed_hosts.clone(),
        version: server.reported_version.clone(),
        version_check: server.version_check && environment.get(NO_VERSION_CHECK).is_none(),
        stream_errors_as_events: server.stream_errors_as_events,
        keep_alive: whole_seconds(server.keep_alive_seconds.0),
        shutdown_grace: whole_seconds(server.shutdown_grace_seconds.0),
    })
}

fn auth(auth: &AuthConfig) -> Outcome<AuthOptions> {
    let endpoint = auth.endpoint.parse().map_err(|error| {
        Failure::failed(format!("server.auth.endpoint: `{}` is no URL: {error}", auth.endpoint))
    })?;
    Ok(AuthOptions {
        endpoint,
        ttl: whole_seconds(auth.ttl_seconds.0),
        negative_ttl: whole_seconds(auth.negative_ttl_seconds.0),
        timeout: seconds(auth.timeout_seconds.0),
        forward_headers: match auth.forward_headers {
            config::ForwardHeaders::Safe => ForwardHeaders::Safe,
            config::ForwardHeaders::All => ForwardHeaders::All,
            config::ForwardHeaders::None => ForwardHeaders::None,
        },
    })
}

fn limits(limits: &LimitsConfig) -> Limits {
    Limits {
        body_bytes: count(limits.body_bytes.0),
        header_bytes: count(limits.header_bytes.0),
        headers: count(limits.headers.0),
        header_timeout: seconds(limits.header_seconds.0),
        body_timeout: seconds(limits.body_seconds.0),
        json_depth: count(limits.json_depth.0),
        first_byte_timeout: seconds(limits.first_byte_seconds.0),
        total_timeout: seconds(limits.total_seconds.0),
        concurrent_requests: count(limits.concurrent_requests.0),
        connections: count(limits.connections.0),
        ..Limits::default()
    }
}

/// The configuration allows no negative number here.
fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn whole_seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// A year where the number is larger than a clock can count.
fn seconds(seconds: f64) -> Duration {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    Duration::try_from_secs_f64(seconds).unwrap_or(YEAR).min(YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_be_larger_than_any_clock() {
        assert_eq!(seconds(1.5), Duration::from_millis(1500));
        assert_eq!(seconds(1e300), Duration::from_hours(24 * 365));
        assert_eq!(seconds(f64::NAN), Duration::from_hours(24 * 365));
    }
}
