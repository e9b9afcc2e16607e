//! Jobs as they are kept.

use chaski_api::{Error, ErrorKind};
use chaski_store::{Cell, Column, Index, Record, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When something is due that is not.
const NEVER: i64 = i64::MAX;

static JOBS: Table = Table {
    name: "jobs",
    since: 2,
    columns: &[
        Column::text("kind", 2),
        Column::text("belongs_to", 2),
        Column::text("state", 2),
        Column::integer("due", 2),
        Column::integer("ended", 2),
    ],
    indexes: &[Index::wide(&["due"]), Index::narrow(&["belongs_to"]), Index::wide(&["ended"])],
};

/// The tables of jobs.
pub(crate) static TABLES: &[&Table] = &[&JOBS];

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobState {
    Waiting,
    Running,
    Done,
    Failed,
}

impl JobState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// Why a job failed, for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// One of OpenAI's codes: `server_error`, `unsupported_file`, `invalid_file`.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Whether another attempt may help.
    pub(crate) passing: bool,
}

impl Failure {
    pub(crate) fn lasting(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), passing: false }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let passing = match error.kind {
            ErrorKind::RateLimited { .. }
            | ErrorKind::Timeout
            | ErrorKind::Unavailable { .. }
            | ErrorKind::Conflict => true,
            ErrorKind::Upstream { status } => status.is_none_or(|status| status >= 500),
            ErrorKind::InvalidRequest
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::TooLarge
            | ErrorKind::Unsupported
            | ErrorKind::Internal => false,
        };
        if error.kind == ErrorKind::Internal {
            tracing::error!(target: "core", "a job failed: {}", error.chain());
            return Self::lasting("server_error", "a fault of the server");
        }
        Self { code: "server_error".to_owned(), message: error.message, passing }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// `job_...`.
    pub(crate) id: String,
    /// What work it is.
    pub(crate) kind: String,
    /// What it belongs to.
    pub(crate) group: String,
    pub(crate) state: JobState,
    /// What the work needs to know.
    pub(crate) input: Value,
    /// How many steps are done.
    pub(crate) done: i64,
    /// How many steps there are; 0 as long as nobody knows.
    pub(crate) total: i64,
    /// How often it was begun.
    pub(crate) attempts: i64,
    /// Who works on it.
    pub(crate) worker: String,
    /// When it can be begun, or its lease ends; in milliseconds since 1970.
    pub(crate) due: i64,
    /// When it ended.
    pub(crate) ended: Option<i64>,
    pub(crate) error: Option<Failure>,
}

impl Record for Job {
    const TABLE: &'static Table = &JOBS;

    fn id(&self) -> &str {
        &self.id
    }

    fn cells(&self) -> Vec<Cell> {
        let due = match self.state {
            JobState::Waiting | JobState::Running => self.due,
            JobState::Done | JobState::Failed => NEVER,
        };
        vec![
            self.kind.as_str().into(),
            self.group.as_str().into(),
            self.state.as_str().into(),
            due.into(),
            self.ended.unwrap_or(NEVER).into(),
        ]
    }
}
