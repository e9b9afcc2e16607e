//! Agents, sessions and turns as they are kept.

use chaski_api::{
    agents::{Agent, AgentToolGroup, Session, Turn},
    inference::{ToolCall, ToolConfig},
};
use chaski_store::{Cell, Column, Index, Record, Schema, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

static AGENTS: Table = Table { name: "agents", since: 1, columns: &[], indexes: &[] };
static SESSIONS: Table = Table {
    name: "agent_sessions",
    since: 1,
    columns: &[Column::text("agent", 1)],
    indexes: &[Index::narrow(&["agent"])],
};
static TURNS: Table = Table {
    name: "agent_turns",
    since: 1,
    columns: &[Column::text("agent", 1), Column::text("session", 1), Column::text("state", 1)],
    indexes: &[Index::narrow(&["session"]), Index::narrow(&["agent"])],
};

/// The tables of agents.
pub(super) const SCHEMA: Schema = Schema { version: 1, tables: &[&AGENTS, &SESSIONS, &TURNS] };

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredAgent {
    pub(super) agent: Agent,
}

impl Record for StoredAgent {
    const TABLE: &'static Table = &AGENTS;

    fn id(&self) -> &str {
        &self.agent.agent_id
    }

    fn cells(&self) -> Vec<Cell> {
        Vec::new()
    }
}

/// A session, without its turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredSession {
    pub(super) agent_id: String,
    pub(super) session: Session,
    /// The vector database of its documents, once there is one.
    pub(super) vector_db: Option<String>,
}

impl Record for StoredSession {
    const TABLE: &'static Table = &SESSIONS;

    fn id(&self) -> &str {
        &self.session.session_id
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.agent_id.as_str().into()]
    }
}

/// How far a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TurnState {
    /// It goes on, or the process that it went on in has died.
    Running,
    /// Tools of the client are to answer.
    AwaitingInput,
    Complete,
    /// The caller left before it ended.
    Interrupted,
    /// It ended with an error, which the caller was told.
    Failed,
}

impl TurnState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::AwaitingInput => "awaiting_input",
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// A turn with what is needed to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredTurn {
    pub(super) agent_id: String,
    pub(super) turn: Turn,
    pub(super) state: TurnState,
    /// What the turn was given in place of what the agent has.
    pub(super) toolgroups: Vec<AgentToolGroup>,
    pub(super) tool_config: Option<ToolConfig>,
    /// Files of the turn for the code interpreter, by name.
    pub(super) files: serde_json::Map<String, serde_json::Value>,
    /// How often the model was asked.
    pub(super) iterations: i64,
    /// The calls of tools, those of the client not counted.
    pub(super) calls: i64,
    /// The tokens of all inferences.
    pub(super) tokens: i64,
    /// The calls that the client is to answer.
    pub(super) pending: Vec<ToolCall>,
    /// The ids of calls that began. One without an answer is never run again.
    pub(super) begun: BTreeSet<String>,
}

impl Record for StoredTurn {
    const TABLE: &'static Table = &TURNS;

    fn id(&self) -> &str {
        &self.turn.turn_id
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.agent_id.as_str().into(),
            self.turn.session_id.as_str().into(),
            self.state.as_str().into(),
        ]
    }
}
