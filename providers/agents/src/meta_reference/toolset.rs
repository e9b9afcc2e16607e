//! The tools of a turn: which there are, and where each runs.

use chaski_api::{
    Error, Result,
    agents::{AgentConfig, AgentToolGroup},
    inference::ToolDefinition,
    tools::{Tool, ToolHost},
};
use chaski_provider::{Context, Tools};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The group of the RAG tool, whose names are no built-in ones of the models.
const RAG: &str = "builtin::rag";
/// What groups with names that Llama models know begin with.
const BUILT_IN: &str = "builtin";
/// The name under which Llama models know the search of the web.
const SEARCH_OF_MODELS: &str = "brave_search";
const SEARCH: &str = "web_search";

pub(super) const KNOWLEDGE_SEARCH: &str = "knowledge_search";
pub(super) const CODE_INTERPRETER: &str = "code_interpreter";

/// A tool that runs in the server, as a turn offers it.
#[derive(Debug, Clone)]
pub(super) struct ServerTool {
    /// Its registered name.
    pub(super) name: String,
    pub(super) host: ToolHost,
    /// What the agent and the turn add to every call.
    pub(super) args: Map<String, Value>,
}

/// The tools of a turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Toolset {
    /// What the model is told.
    pub(super) definitions: Vec<ToolDefinition>,
    /// The names of the tools of the client.
    client: Vec<String>,
    /// By the names that the model is told.
    server: HashMap<String, ServerTool>,
}

/// Where a call goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Client,
    Server(ServerTool),
    /// There is no such tool.
    Nowhere,
}

impl Toolset {
    /// The tools of the client, and those of the groups of the turn, or of the agent where the turn
    /// names none.
    ///
    /// # Errors
    /// `InvalidRequest` for a group or a tool that is not there, and for a name that two have.
    pub(super) async fn of(
        tools: &dyn Tools,
        cx: &Context,
        config: &AgentConfig,
        of_turn: &[AgentToolGroup],
    ) -> Result<Self> {
        let mut set = Self::default();
        for tool in config.client_tools.iter().flatten() {
            set.offer(tool.definition())?;
            set.client.push(tool.name.clone());
        }
        let of_agent = config.toolgroups.as_deref().unwrap_or_default();
        let wanted = if of_turn.is_empty() { of_agent } else { of_turn };
        if wanted.is_empty() {
            return Ok(set);
        }
        let known: Vec<String> = tools.groups().into_iter().map(|group| group.identifier).collect();
        let split = |name: &str| -> (String, Option<String>) {
            if known.iter().any(|known| known == name) {
                return (name.to_owned(), None);
            }
            match name.rsplit_once('/') {
                Some((group, tool)) => (group.to_owned(), Some(tool.to_owned())),
                None => (name.to_owned(), None),
            }
        };
        // The arguments of both lists count, those of the turn before those of the agent.
        let mut args: HashMap<String, Map<String, Value>> = HashMap::new();
        for group in of_agent.iter().chain(of_turn) {
            let given = group.args().cloned().unwrap_or_default();
            args.entry(split(group.name()).0).or_default().extend(given);
        }
        let mut seen: Vec<&str> = Vec::new();
        for group in wanted {
            if seen.contains(&group.name()) {
                continue;
            }
            seen.push(group.name());
            let (id, selected) = split(group.name());
            let of_group = tools.list(cx, Some(&id)).await;
            if of_group.is_empty() {
                return Err(if known.contains(&id) {
                    Error::unavailable(format!(
                        "the tool group `{id}` has no tools; is its provider available?"
                    ))
                } else {
                    Error::invalid(format!(
                        "Toolgroup {id} not found, available toolgroups: {}",
                        known.join(", ")
                    ))
                });
            }
            let given = args.get(&id).cloned().unwrap_or_default();
            set.add_group(&id, selected.as_deref(), of_group, &given)?;
        }
        Ok(set)
    }

    fn add_group(
        &mut self,
        id: &str,
        selected: Option<&str>,
        tools: Vec<Tool>,
        args: &Map<String, Value>,
    ) -> Result<()> {
        let built_in = id.starts_with(BUILT_IN) && id != RAG;
        let selected = selected.filter(|_| !built_in);
        if let Some(name) = selected
            && !tools.iter().any(|tool| tool.identifier == name)
        {
            let names: Vec<&str> = tools.iter().map(|tool| tool.identifier.as_str()).collect();
            return Err(Error::invalid(format!(
                "Tool {name} not found in toolgroup {id}. Available tools: {}",
                names.join(", ")
            )));
        }
        for tool in tools {
            if selected.is_some_and(|name| name != tool.identifier) {
                continue;
            }
            let mut definition = tool.definition();
            if built_in && tool.identifier == SEARCH {
                SEARCH_OF_MODELS.clone_into(&mut definition.tool_name);
            }
            let offered = definition.tool_name.clone();
            if self.server.get(&offered).is_some_and(|known| known.name == tool.identifier) {
                continue;
            }
            self.offer(definition)?;
            let server =
                ServerTool { name: tool.identifier, host: tool.tool_host, args: args.clone() };
            self.server.insert(offered, server);
        }
        Ok(())
    }

    fn offer(&mut self, definition: ToolDefinition) -> Result<()> {
        let name = &definition.tool_name;
        if self.definitions.iter().any(|known| known.tool_name == *name) {
            return Err(Error::invalid(format!("Tool {name} already exists")));
        }
        self.definitions.push(definition);
        Ok(())
    }

    /// Where a call of `name` goes.
    pub(super) fn target(&self, name: &str) -> Target {
        if self.client.iter().any(|known| known == name) {
            return Target::Client;
        }
        self.server.get(name).map_or(Target::Nowhere, |tool| Target::Server(tool.clone()))
    }

    /// Whether a tool of this name is offered.
    pub(super) fn has(&self, name: &str) -> bool {
        self.server.contains_key(name)
    }

    /// The names that are offered.
    pub(super) fn names(&self) -> String {
        let names = self.definitions.iter().map(|tool| format!("`{}`", tool.tool_name));
        names.collect::<Vec<_>>().join(", ")
    }
}
