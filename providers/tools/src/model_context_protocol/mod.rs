//! Tools of MCP servers (Model Context Protocol): over streamable HTTP, the older transport of
//! server-sent events, or the standard input and output of a program of the configuration.

mod config;
mod failure;
mod http;
mod place;
mod process;
mod result;
mod session;
mod sessions;
mod sse;
#[cfg(test)]
mod tests;
mod tools;

use async_trait::async_trait;
use chaski_api::{
    Api, Result,
    tools::{Tool, ToolDef, ToolGroup, ToolInvocationResult},
};
use chaski_provider::{Context, Deps, Lifecycle, Provider, Spec, ToolRuntime, ToolRuntimeProvider};
use config::{ConfiguredServer, Limits, ModelContextProtocolConfig};
use place::Place;
use serde_json::{Map, Value};
use session::{Clients, Session};
use sessions::{Key, Lease, Sessions};
use std::{collections::BTreeMap, sync::Arc};

const DOCS: &str = "\
Offers the tools of [MCP](https://modelcontextprotocol.io) servers. A tool group names its server as `mcp_endpoint`:

- `https://...` is an address; streamable HTTP is spoken, or the older transport of server-sent events where the server
  speaks that. Private addresses are refused unless `server.egress_allow` lists them, and redirects are not followed.
- `server:NAME` is the server `NAME` of the configuration. Only these may be programs, which are spoken to through their
  standard input and output; no request can name a program. They are started with the environment variables of `env` and
  no others.

```yaml
config:
  servers:
    files: {command: /usr/bin/mcp-files, args: [/srv/documents]}
    issues: {url: http://10.0.0.5:9000/mcp, headers: {Authorization: Bearer ${env.ISSUES_TOKEN}}}
```

Callers give credentials in the header `X-LlamaStack-Provider-Data`, by server: headers as
`{\"mcp_headers\": {\"https://tools.example/mcp\": {\"X-Key\": \"...\"}}}`, bearer tokens as
`{\"mcp_tokens\": {\"https://tools.example/mcp\": \"...\"}}`. They go to that server and nowhere else. The credentials that
callers show to this server are never passed on.

- A session is kept open for calls of the same caller with the same credentials.
- Tools that a server shows to the credentials of a caller are shown to that caller alone. A group that is registered with
  credentials has, for everybody else, the tools that their own credentials show.
- The list of tools is asked for again when the server says that it has changed, and otherwise after a minute.
- Texts and images become content. What else a tool answers stands in `metadata`: `structured_content`, and as
  `mcp_content` the parts with sounds, files and links. `error_code` is 1 where the tool says that it failed.
- A message of a server has at most 8 MiB.
";

/// The provider `remote::model-context-protocol`.
pub(crate) struct ModelContextProtocol {
    servers: BTreeMap<String, ConfiguredServer>,
    clients: Clients,
    limits: Limits,
    sessions: Sessions,
}

impl ModelContextProtocol {
    fn new(config: ModelContextProtocolConfig, deps: Deps) -> Self {
        let limits = Limits::of(&config);
        let trusted = deps.http.adjusted(|options| options.connect_timeout = limits.connect);
        let clients = Clients { guarded: trusted.for_addresses_of_callers(), trusted };
        let sessions = Sessions::new(limits, deps.tasks);
        Self { servers: config.servers, clients, limits, sessions }
    }

    /// A session with the server of the group, for this caller alone.
    async fn session(&self, cx: &Context, group: &ToolGroup) -> Result<Lease> {
        let place = Place::of(group, &self.servers)?;
        let headers = place.headers(cx)?;
        let mut named: Vec<(String, Vec<u8>)> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        named.sort();
        let key = Key { uri: place.uri.clone(), owner: cx.owner(), headers: named };
        let open = Box::pin(Session::open(&self.clients, &place, &headers, self.limits));
        self.sessions.get(key, open).await
    }
}

#[async_trait]
impl ToolRuntime for ModelContextProtocol {
    async fn tools(&self, cx: &Context, group: &ToolGroup) -> Result<Vec<ToolDef>> {
        let session = self.session(cx, group).await?;
        Ok(session.tools(cx.deadline).await?.to_vec())
    }

    async fn invoke(
        &self,
        cx: &Context,
        group: &ToolGroup,
        tool: &Tool,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        let session = self.session(cx, group).await?;
        let answer = session.call(cx, &tool.provider_resource_id, arguments).await?;
        Ok(result::invocation(answer))
    }
}

#[async_trait]
impl Lifecycle for ModelContextProtocol {
    async fn shutdown(&self) {
        self.sessions.clear();
    }
}

impl Provider for ModelContextProtocol {
    type Api = dyn ToolRuntimeProvider;
    type Config = ModelContextProtocolConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[place::HEADERS, place::TOKENS],
        ..Spec::new(
            Api::ToolRuntime,
            "remote::model-context-protocol",
            "Offers the tools of MCP servers.",
        )
    };

    async fn build(config: ModelContextProtocolConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        Ok(Arc::new(Self::new(config, deps)))
    }
}
