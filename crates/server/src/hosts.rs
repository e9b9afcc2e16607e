//! The guard against web pages that reach a server on the user's own machine.
//!
//! A page can make its own name resolve to 127.0.0.1, and can send requests that need no consent of
//! the server. Both are told by headers that pages cannot set.

use crate::cors;
use chaski_api::{Error, ErrorKind, Result};
use http::{HeaderMap, Method, Uri, header, uri::Authority};
use std::net::{IpAddr, SocketAddr};

/// Refuses a foreign `Host` where only this machine is served.
///
/// Names that the public name service cannot give out are let in: addresses, `localhost` and names
/// without dots.
pub(crate) fn check_host(
    uri: &Uri,
    headers: &HeaderMap,
    local: SocketAddr,
    allowed: &[String],
) -> Result<()> {
    if !local.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let Some(authority) = authority(uri, headers) else { return Ok(()) };
    let authority = authority.map_err(|()| refused("this `Host`"))?;
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let known = bare.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || name.ends_with(".localhost")
        || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name));
    if known { Ok(()) } else { Err(refused(&format!("the host `{name}`"))) }
}

fn refused(what: &str) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        format!(
            "{what} is not served here, since without authentication only this machine is; use \
             `localhost` or an address"
        ),
    )
}

/// Where the request says it goes; nothing where it does not say.
pub(crate) fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Result<Authority, ()>> {
    if let Some(authority) = uri.authority() {
        return Some(Ok(authority.clone()));
    }
    let host = headers.get(header::HOST)?;
    Some(host.to_str().ok().and_then(|host| host.parse().ok()).ok_or(()))
}

/// Refuses changes that the page of another origin asks for, unless that origin is allowed.
pub(crate) fn check_origin(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    allowed: &[String],
) -> Result<()> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let changes = matches!(*method, Method::POST | Method::DELETE);
    if !changes || cors::allowed_origin(headers, allowed).is_some() {
        return Ok(());
    }
    let here = authority(uri, headers).and_then(Result::ok);
    let same = here.is_some_and(|here| {
        let after_scheme = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        after_scheme.is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(here.as_str()))
    });
    if same {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Forbidden,
        "web pages of this origin are not allowed to call the server; allow it in \
         `server.cors_origins`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn host(host: &str, local: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        let uri = Uri::from_static("/v1/models");
        check_host(&uri, &headers, local.parse().unwrap(), &["my.box".to_owned()]).is_ok()
    }

    #[test]
    fn foreign_names_are_refused_where_only_this_machine_is_served() {
        let here = "127.0.0.1:8321";
        for name in
            ["localhost:8321", "127.0.0.1", "[::1]:8321", "chaski", "a.localhost", "MY.box:1"]
        {
            assert!(host(name, here), "{name}");
        }
        for name in ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "my.box.evil"] {
            assert!(!host(name, here), "{name}");
            assert!(!host(name, "[::1]:8321"), "{name}");
            assert!(host(name, "192.168.1.5:8321"), "{name}");
        }
        for name in ["a/b", "a?b", "a#b", "a\\b", "user@evil.example", "", "a b"] {
            assert!(!host(name, here), "{name}");
        }
    }

    fn origin(method: &Method, origin: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:8321"));
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        let allowed = ["https://ui.example".to_owned()];
        check_origin(method, &Uri::from_static("/v1/models"), &headers, &allowed).is_ok()
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        assert!(origin(&Method::POST, "http://localhost:8321"));
        assert!(origin(&Method::POST, "https://ui.example"));
        assert!(origin(&Method::GET, "https://evil.example"));
        for name in
            ["https://evil.example", "null", "http://localhost:9", "https://ui.example.evil"]
        {
            assert!(!origin(&Method::POST, name), "{name}");
            assert!(!origin(&Method::DELETE, name), "{name}");
        }
    }
}
