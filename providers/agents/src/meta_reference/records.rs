//! Agents, sessions and turns as they are kept.

use chaski_api::{
    Issue, Wire,
    agents::{Agent, AgentToolGroup, Session, Step, Turn},
    inference::{ToolCall, ToolConfig},
};
use chaski_store::{Cell, Column, Index, Record, Schema, Table};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

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
static ENTRIES: Table = Table {
    name: "agent_turn_entries",
    since: 2,
    columns: &[Column::text("session", 2), Column::text("turn", 2)],
    indexes: &[Index::narrow(&["session", "turn"])],
};

/// The tables of agents.
pub(super) const SCHEMA: Schema =
    Schema { version: 2, tables: &[&AGENTS, &SESSIONS, &TURNS, &ENTRIES] };

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
    /// The caller left before it ended, or it failed when it was gone on with.
    Interrupted,
    /// It ended with an error, which the caller was told, before its session showed it.
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

/// How much a turn has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Usage {
    /// How often the model was asked.
    pub(super) iterations: i64,
    /// The calls of tools that were made, those of the client not counted.
    pub(super) calls: i64,
    /// The tokens of all inferences.
    pub(super) tokens: i64,
    /// The time, without that in which the client is waited for.
    #[serde(default)]
    pub(super) milliseconds: i64,
}

impl Usage {
    /// The more of both, of each.
    fn max(self, other: Self) -> Self {
        Self {
            iterations: self.iterations.max(other.iterations),
            calls: self.calls.max(other.calls),
            tokens: self.tokens.max(other.tokens),
            milliseconds: self.milliseconds.max(other.milliseconds),
        }
    }
}

/// A turn with what is needed to go on with it. Its steps are entries of their own, so that a step
/// costs the same however many there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredTurn {
    pub(super) agent_id: String,
    /// In the row without steps, unless it was written by version 1 of the schema.
    pub(super) turn: Turn,
    pub(super) state: TurnState,
    /// What the turn was given in place of what the agent has.
    pub(super) toolgroups: Vec<AgentToolGroup>,
    pub(super) tool_config: Option<ToolConfig>,
    /// Files of the turn for the code interpreter, by name.
    pub(super) files: Map<String, Value>,
    #[serde(flatten)]
    pub(super) usage: Usage,
    /// The calls that the client is to answer.
    pub(super) pending: Vec<ToolCall>,
    /// The ids of calls that began. One without an answer is never run again.
    pub(super) begun: BTreeSet<String>,
    /// What calls are answered whose arguments cannot be read, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) unparsed: BTreeMap<String, String>,
}

impl StoredTurn {
    /// What is kept in the row.
    pub(super) fn row(&mut self) -> Self {
        let steps = std::mem::take(&mut self.turn.steps);
        let row = self.clone();
        self.turn.steps = steps;
        row
    }

    /// Takes in what happened after the row was written.
    pub(super) fn add(&mut self, entry: StoredEntry) {
        // The row may be newer: it is written once more when the turn breaks off.
        self.usage = self.usage.max(entry.usage);
        self.begun.extend(entry.begun);
        self.unparsed.extend(entry.unparsed);
        self.turn.steps.extend(entry.step);
    }
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

/// What happened next in a turn: a step ended, or calls of tools began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredEntry {
    /// Made of the turn and the place, so that there is one entry at each place.
    pub(super) id: String,
    pub(super) session_id: String,
    pub(super) turn_id: String,
    #[serde(deserialize_with = "step")]
    pub(super) step: Option<Step>,
    /// The ids of the calls that began.
    pub(super) begun: Vec<String>,
    /// What the turn has used so far.
    pub(super) usage: Usage,
    /// What calls of the turn so far are answered whose arguments cannot be read, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) unparsed: BTreeMap<String, String>,
}

fn step<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Step>, D::Error> {
    let Some(value) = Option::<Value>::deserialize(deserializer)? else { return Ok(None) };
    let problems = |issues: Vec<Issue>| {
        let issues: Vec<String> = issues.iter().map(ToString::to_string).collect();
        D::Error::custom(issues.join("; "))
    };
    Step::from_json(value).map(Some).map_err(problems)
}

impl StoredEntry {
    /// The entry of a turn at `place`, counted from 0.
    pub(super) fn at(place: usize, turn: &StoredTurn) -> Self {
        let Turn { session_id, turn_id, .. } = &turn.turn;
        Self {
            id: format!("{turn_id}/{place}"),
            session_id: session_id.clone(),
            turn_id: turn_id.clone(),
            step: None,
            begun: Vec::new(),
            usage: turn.usage,
            unparsed: turn.unparsed.clone(),
        }
    }
}

impl Record for StoredEntry {
    const TABLE: &'static Table = &ENTRIES;

    fn id(&self) -> &str {
        &self.id
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.session_id.as_str().into(), self.turn_id.as_str().into()]
    }
}
