//! Which server a tool group means, and with which credentials of the caller it is asked.

use super::config::ConfiguredServer;
use ::http::{HeaderMap, HeaderName, HeaderValue};
use chaski_api::{Error, Result, Secret, tools::ToolGroup};
use chaski_provider::{Context, ProviderData};
use chaski_upstream::Url;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What the endpoint of a group begins with that means a server of the configuration.
const NAMED: &str = "server:";
/// The key of the provider-data header with headers, by server.
pub(super) const HEADERS: &str = "mcp_headers";
/// The key of the provider-data header with bearer tokens, by server.
pub(super) const TOKENS: &str = "mcp_tokens";
/// Headers that belong to the protocol or to the connection.
const RESERVED: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A server, as a group gives it.
pub(super) struct Place<'a> {
    /// The endpoint of the group, which also is its key in the provider data.
    pub(super) uri: String,
    pub(super) server: Server<'a>,
}

#[derive(Clone)]
pub(super) enum Server<'a> {
    /// An address that a caller may have given.
    Anywhere(Url),
    /// One of the configuration, by its name.
    Configured(&'a str, &'a ConfiguredServer),
}

/// A web address.
///
/// # Errors
/// `InvalidRequest` for another one.
pub(super) fn address(text: &str) -> Result<Url> {
    let url = Url::parse(text.trim()).ok();
    let web = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = web.ok_or_else(|| {
        Error::invalid(
            "the endpoint of an MCP server begins with `http://` or `https://`, or is \
             `server:NAME` for a server of the configuration",
        )
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid(format!(
            "the address of an MCP server carries no credentials; give them in `{HEADERS}`"
        )));
    }
    Ok(url)
}

impl<'a> Place<'a> {
    /// The server of a group.
    ///
    /// # Errors
    /// `InvalidRequest` if the group names none, or one that is not there.
    pub(super) fn of(
        group: &ToolGroup,
        servers: &'a BTreeMap<String, ConfiguredServer>,
    ) -> Result<Self> {
        let endpoint = group
            .mcp_endpoint
            .as_ref()
            .ok_or_else(|| Error::invalid("mcp_endpoint is required").with_param("mcp_endpoint"))?;
        let uri = endpoint.uri.trim();
        let Some(name) = uri.strip_prefix(NAMED) else {
            let url = address(uri).map_err(|error| error.with_param("mcp_endpoint"))?;
            return Ok(Self { uri: url.to_string(), server: Server::Anywhere(url) });
        };
        let (name, server) = servers.get_key_value(name).ok_or_else(|| {
            let known: Vec<String> = servers.keys().map(|name| format!("`{name}`")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Error::invalid(format!(
                "the configuration has no MCP server `{}`; it has {known}",
                name.escape_debug()
            ))
            .with_param("mcp_endpoint")
        })?;
        Ok(Self { uri: uri.to_owned(), server: Server::Configured(name, server) })
    }

    /// What messages call it: without what stands behind the path, which may be a secret.
    pub(super) fn shown(&self) -> String {
        match &self.server {
            Server::Configured(name, _) => (*name).to_owned(),
            Server::Anywhere(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.set_fragment(None);
                url.to_string()
            }
        }
    }

    /// The headers of the caller for this server.
    ///
    /// # Errors
    /// `InvalidRequest` for a header that cannot be sent.
    pub(super) fn headers(&self, cx: &Context) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.given(&cx.provider_data, TOKENS) {
            let token = token.as_str().filter(|token| !token.is_empty()).ok_or_else(|| {
                Error::invalid(format!("`{TOKENS}` gives each server a text, its token"))
            })?;
            insert(&mut headers, "authorization", &format!("Bearer {token}"))?;
        }
        match self.given(&cx.provider_data, HEADERS) {
            None => {}
            Some(Value::Object(given)) => {
                for (name, value) in &given {
                    let value = value.as_str().ok_or_else(|| not_a_text(name))?;
                    insert(&mut headers, name, value)?;
                }
            }
            Some(_) => {
                return Err(Error::invalid(format!(
                    "`{HEADERS}` gives each server an object of headers and their values"
                )));
            }
        }
        Ok(headers)
    }

    /// What the caller gives for this server under `key`.
    fn given(&self, data: &ProviderData, key: &str) -> Option<Value> {
        let mut found = None;
        data.each(|name, value| {
            if name == key {
                found = value.as_object().and_then(|by_server| self.entry(by_server)).cloned();
            }
        });
        found
    }

    fn entry<'v>(&self, by_server: &'v Map<String, Value>) -> Option<&'v Value> {
        by_server.iter().find(|(uri, _)| self.is(uri)).map(|(_, value)| value)
    }

    /// Whether a key of the provider data means this server; a slash at its end does not matter.
    fn is(&self, uri: &str) -> bool {
        let Server::Anywhere(url) = &self.server else { return uri.trim() == self.uri };
        let bare = |url: &Url| {
            let path = url.path().trim_end_matches('/').to_owned();
            (url.origin(), path, url.query().map(str::to_owned))
        };
        address(uri).is_ok_and(|given| bare(&given) == bare(url))
    }
}

/// Headers of the configuration for a server.
///
/// # Errors
/// `InvalidRequest` for a header that cannot be sent.
pub(super) fn configured(given: &BTreeMap<String, Secret>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        insert(&mut headers, name, value.expose())?;
    }
    Ok(headers)
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<()> {
    let shown = name.escape_debug();
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::invalid(format!("`{shown}` is not the name of a header")))?;
    if RESERVED.contains(&name.as_str()) {
        return Err(Error::invalid(format!(
            "the header `{name}` belongs to the protocol; leave it out of `{HEADERS}`"
        )));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::invalid(format!("the value of `{name}` has characters that no header can have"))
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn not_a_text(name: &str) -> Error {
    Error::invalid(format!("the value of `{}` in `{HEADERS}` is not a text", name.escape_debug()))
}
