//! A session with an MCP server: its introduction, its tools, and calls of them.

use super::{
    config::Limits,
    failure::{self, Phase},
    http::Client,
    place::{self, Place, Server},
    process,
    sse::SseTransport,
    tools,
};
use ::http::HeaderMap;
use chaski_api::{Error, ErrorKind, Result, tools::ToolDef};
use chaski_provider::Context;
use chaski_upstream::{Http, Url};
use rmcp::{
    ClientHandler, RoleClient, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation,
        PaginatedRequestParams, RequestParamsMeta,
    },
    service::{NotificationContext, RunningService},
};
use serde_json::{Map, Value};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{process::Child, sync::Mutex};

/// The most tools of a server, and the most pages that it may list them on.
const TOOLS: usize = 1000;
const PAGES: usize = 100;
/// How long a list counts where the server announces changes, and where it does not.
const ANNOUNCED: Duration = Duration::from_mins(10);
const UNANNOUNCED: Duration = Duration::from_mins(1);

/// What the server is told about this client, and what it is listened to for.
struct Listener {
    /// Whether the list of tools has changed since it was asked for.
    changed: Arc<AtomicBool>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let this = Implementation::new("chaski", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), this)
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.changed.store(true, Ordering::SeqCst);
    }
}

type Running = RunningService<RoleClient, Listener>;

struct Listed {
    at: Instant,
    tools: Arc<Vec<ToolDef>>,
}

/// An open session.
pub(super) struct Session {
    running: Running,
    /// What messages call the server, and the endpoint that groups give.
    name: String,
    uri: String,
    limits: Limits,
    changed: Arc<AtomicBool>,
    listed: Mutex<Option<Listed>>,
    /// Ends with the session.
    _process: Option<Child>,
}

/// The clients that servers are spoken to with.
#[derive(Clone)]
pub(super) struct Clients {
    /// For addresses of the configuration.
    pub(super) trusted: Http,
    /// For addresses of callers.
    pub(super) guarded: Http,
}

impl Session {
    /// Connects to a server and exchanges introductions.
    ///
    /// # Errors
    /// Those of the server, with its name and the phase.
    pub(super) async fn open(
        clients: &Clients,
        place: &Place<'_>,
        headers: &HeaderMap,
        limits: Limits,
    ) -> Result<Self> {
        let name = place.shown();
        let changed = Arc::new(AtomicBool::new(false));
        let opened = tokio::time::timeout(
            limits.connect,
            connect(clients, place, headers, limits, &changed),
        );
        let (running, process) = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err((phase, error))) => return Err(failure::named(&name, phase, error)),
            Err(_) => {
                let late = failure::late(limits.connect);
                return Err(failure::named(&name, Phase::Initialize, late));
            }
        };
        let (listed, uri) = (Mutex::new(None), place.uri.clone());
        Ok(Self { running, name, uri, limits, changed, listed, _process: process })
    }

    /// Whether nothing can be asked any more.
    pub(super) fn is_over(&self) -> bool {
        self.running.is_closed() || self.running.peer().is_transport_closed()
    }

    /// The tools of the server: those of the last list, unless it has changed or is old.
    pub(super) async fn tools(&self, deadline: Option<Instant>) -> Result<Arc<Vec<ToolDef>>> {
        let mut listed = self.listed.lock().await;
        if let Some(known) = &*listed
            && !self.changed.load(Ordering::SeqCst)
            && known.at.elapsed() < self.age()
        {
            return Ok(Arc::clone(&known.tools));
        }
        // Whoever asks may leave before the answer; what is known is old all the same.
        *listed = None;
        // A change that comes from now on concerns the next list.
        self.changed.store(false, Ordering::SeqCst);
        let tools = self.within(deadline, self.list()).await;
        let tools = tools.map_err(|error| failure::named(&self.name, Phase::ListTools, error))?;
        let tools = Arc::new(tools);
        *listed = Some(Listed { at: Instant::now(), tools: Arc::clone(&tools) });
        Ok(tools)
    }

    /// How long a list counts.
    fn age(&self) -> Duration {
        let info = self.running.peer().peer_info();
        let tools = info.and_then(|info| info.capabilities.tools.clone());
        let announced = tools.and_then(|tools| tools.list_changed).unwrap_or_default();
        if announced { ANNOUNCED } else { UNANNOUNCED }
    }

    async fn list(&self) -> Result<Vec<ToolDef>> {
        let mut found = Vec::new();
        let mut cursor = None;
        for _page in 0..PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.running.peer().list_tools(Some(page)).await;
            let page = page.map_err(|error| failure::of_service(&error))?;
            found.extend(page.tools.iter().map(|tool| tools::definition(tool, &self.uri)));
            if found.len() > TOOLS {
                return Err(failure::upstream(format!("it has more than {TOOLS} tools")));
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(found);
            }
        }
        Err(failure::upstream(format!("its list of tools has more than {PAGES} pages")))
    }

    /// Calls a tool. The server learns of the trace in the message, whatever the transport.
    pub(super) async fn call(
        &self,
        cx: &Context,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<CallToolResult> {
        let mut call = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        if let Some(parent) = cx.spans.parent() {
            call.set_traceparent(&parent.to_string());
            if let Some(state) = &parent.state {
                call.set_tracestate(state);
            }
        }
        let answer = async {
            let answer = self.running.peer().call_tool(call).await;
            answer.map_err(|error| failure::of_service(&error))
        };
        let answer = self.within(cx.deadline, answer).await;
        answer.map_err(|error| failure::named(&self.name, Phase::Call, error))
    }

    /// Gives up when the limit of the configuration or the caller's has passed. The server is told.
    async fn within<T>(
        &self,
        deadline: Option<Instant>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let limit = patience.map_or(self.limits.call, |patience| patience.min(self.limits.call));
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(failure::late(limit)))
    }
}

type Connected = Result<(Running, Option<Child>), (Phase, Error)>;

async fn connect(
    clients: &Clients,
    place: &Place<'_>,
    headers: &HeaderMap,
    limits: Limits,
    changed: &Arc<AtomicBool>,
) -> Connected {
    let at_connect = |error| (Phase::Connect, error);
    let (http, url, mut all) = match &place.server {
        Server::Anywhere(url) => (&clients.guarded, url.clone(), HeaderMap::new()),
        Server::Configured(name, server) => {
            if let Some(command) = &server.command {
                let (child, pipes) = process::start(name, command, server).map_err(at_connect)?;
                let running = Listener { changed: Arc::clone(changed) }.serve(pipes).await;
                let running = running.map_err(|error| failure::not_initialized(&error))?;
                return Ok((running, Some(child)));
            }
            let url = place::address(server.url.as_deref().unwrap_or_default());
            let own = place::configured(&server.headers).map_err(at_connect)?;
            (&clients.trusted, url.map_err(at_connect)?, own)
        }
    };
    for (name, value) in headers {
        all.insert(name.clone(), value.clone());
    }
    let client = Client::new(http.clone(), &place.shown(), all, limits.call);
    let first_by_events = url.path().trim_end_matches('/').ends_with("/sse");
    let first = over(first_by_events, &client, &url, changed).await;
    match first {
        Ok(running) => Ok((running, None)),
        Err((phase, error)) if speaks_otherwise(&error) => {
            // The server may speak the other transport. If it does not, the first error tells more.
            match over(!first_by_events, &client, &url, changed).await {
                Ok(running) => Ok((running, None)),
                Err(_) => Err((phase, error)),
            }
        }
        Err(failure) => Err(failure),
    }
}

async fn over(
    by_events: bool,
    client: &Client,
    url: &Url,
    changed: &Arc<AtomicBool>,
) -> Result<Running, (Phase, Error)> {
    let listener = Listener { changed: Arc::clone(changed) };
    let running = if by_events {
        let transport = SseTransport::open(client.clone(), url).await;
        let transport = transport.map_err(|error| {
            let reached = matches!(error.kind, ErrorKind::Upstream { .. });
            (if reached { Phase::Initialize } else { Phase::Connect }, error)
        })?;
        listener.serve(transport).await
    } else {
        listener.serve(client.clone().transport(url)).await
    };
    running.map_err(|error| failure::not_initialized(&error))
}

/// Whether the error is what a server of the other transport answers.
fn speaks_otherwise(error: &Error) -> bool {
    let ErrorKind::Upstream { status } = error.kind else { return false };
    status.is_none_or(|status| (400..500).contains(&status) && !matches!(status, 401 | 403 | 429))
}
