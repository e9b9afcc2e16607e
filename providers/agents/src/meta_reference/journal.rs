//! How turns are kept: a row for the turn, and an entry for each thing that happens in it.
//!
//! An entry is written before its event is sent. What it costs does not depend on how much has
//! happened before.

use super::{
    MetaReference,
    records::{StoredEntry, StoredTurn, TurnState, Usage},
};
use chaski_api::{Error, Result, agents::Step};
use chaski_store::{Batch, Condition, Database, Held, Order, Owner, RowError};
use std::collections::HashMap;

/// The most turns of a session that are read; the newest ones.
const TURNS: usize = 10_000;

/// A turn as it was read.
pub(super) struct Kept {
    pub(super) row: Held<StoredTurn>,
    entries: Vec<StoredEntry>,
}

impl Kept {
    /// The turn with its steps.
    pub(super) fn whole(self) -> StoredTurn {
        let mut turn = self.row.record;
        for entry in self.entries {
            turn.add(entry);
        }
        turn
    }
}

impl MetaReference {
    /// The turns of a session, the oldest first.
    pub(super) async fn turns(&self, owner: &Owner, session_id: &str) -> Result<Vec<Kept>> {
        let query = Database::query::<StoredTurn>(owner)
            .with(Condition::is("session", session_id))
            .limit(TURNS);
        let mut rows = self.database.list(query).await?.records;
        rows.reverse();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut entries: HashMap<String, Vec<StoredEntry>> = HashMap::new();
        for entry in self.entries(owner, session_id, None).await? {
            entries.entry(entry.turn_id.clone()).or_default().push(entry);
        }
        let kept = rows.into_iter().map(|row| {
            let entries = entries.remove(&row.record.turn.turn_id).unwrap_or_default();
            Kept { row, entries }
        });
        Ok(kept.collect())
    }

    /// A turn of a session.
    pub(super) async fn turn(
        &self,
        owner: &Owner,
        session_id: &str,
        turn_id: &str,
    ) -> Result<Option<Kept>> {
        let row = self.database.get::<StoredTurn>(owner, turn_id).await?;
        let Some(row) = row.filter(|row| row.record.turn.session_id == session_id) else {
            return Ok(None);
        };
        let entries = self.entries(owner, session_id, Some(turn_id)).await?;
        Ok(Some(Kept { row, entries }))
    }

    /// The entries of a session, or of a turn of it, the oldest first.
    async fn entries(
        &self,
        owner: &Owner,
        session_id: &str,
        turn_id: Option<&str>,
    ) -> Result<Vec<StoredEntry>> {
        let mut query = Database::query::<StoredEntry>(owner)
            .with(Condition::is("session", session_id))
            .order(Order::OldestFirst)
            .limit(usize::MAX);
        if let Some(turn_id) = turn_id {
            query = query.with(Condition::is("turn", turn_id));
        }
        let page = self.database.list(query).await?;
        Ok(page.records.into_iter().map(|held| held.record).collect())
    }
}

/// Where a turn under way is kept. Each change is made only if nobody else has changed or removed
/// the turn.
pub(super) struct Journal {
    database: Database,
    row: Held<StoredTurn>,
    entries: usize,
    /// Whether its session has shown the turn before.
    is_shown: bool,
}

impl Journal {
    /// Begins with a turn that has no steps yet.
    pub(super) async fn begin(database: Database, owner: Owner, turn: &StoredTurn) -> Result<Self> {
        database.insert(&owner, turn).await?;
        let row = Held::inserted(owner, turn.clone());
        Ok(Self { database, row, entries: 0, is_shown: false })
    }

    /// Goes on with a turn. `edit` changes it, and gives the step that happened meanwhile.
    pub(super) async fn resume(
        database: Database,
        kept: Kept,
        edit: impl FnOnce(&mut StoredTurn) -> Result<Option<Step>>,
    ) -> Result<(Self, StoredTurn, Option<Step>)> {
        let is_shown = kept.row.record.state != TurnState::Failed;
        let (row, entries) = (kept.row.clone(), kept.entries.len());
        let mut journal = Self { database, row, entries, is_shown };
        let mut turn = kept.whole();
        let news = edit(&mut turn)?;
        let mut batch = Batch::default();
        // Steps that version 1 of the schema wrote into the row become entries.
        for step in journal.row.record.turn.steps.iter().chain(&news) {
            let entry =
                StoredEntry { step: Some(step.clone()), ..StoredEntry::at(journal.entries, &turn) };
            batch = batch.insert(journal.row.owner(), &entry);
            journal.entries += 1;
        }
        turn.turn.steps.extend(news.clone());
        journal.replace(batch, turn.row()).await?;
        Ok((journal, turn, news))
    }

    /// Writes down that a step has ended.
    pub(super) async fn step(&mut self, turn: &StoredTurn, step: &Step) -> Result<()> {
        self.write(self.entry(turn, step)).await
    }

    /// Writes down which calls begin, and the step before them if that is not written yet.
    pub(super) async fn begun(
        &mut self,
        turn: &StoredTurn,
        step: Option<&Step>,
        calls: Vec<String>,
    ) -> Result<()> {
        let entry = StoredEntry::at(self.entries, turn);
        self.write(StoredEntry { step: step.cloned(), begun: calls, ..entry }).await
    }

    async fn write(&mut self, entry: StoredEntry) -> Result<()> {
        let batch = Batch::default().expect(&self.row).insert(self.row.owner(), &entry);
        self.database.apply(batch).await?;
        self.entries += 1;
        Ok(())
    }

    /// Writes down how the turn ended, and its last step if that is not written yet.
    pub(super) async fn end(&mut self, turn: &mut StoredTurn, step: Option<&Step>) -> Result<()> {
        let mut batch = Batch::default();
        if let Some(step) = step {
            batch = batch.insert(self.row.owner(), &self.entry(turn, step));
            self.entries += 1;
        }
        self.replace(batch, turn.row()).await
    }

    fn entry(&self, turn: &StoredTurn, step: &Step) -> StoredEntry {
        StoredEntry { step: Some(step.clone()), ..StoredEntry::at(self.entries, turn) }
    }

    /// Writes down how a turn ended that has no answer, and the time and the tokens that it has used.
    /// What a session has shown stays in it.
    pub(super) async fn end_without_answer(&self, state: TurnState, used: Usage) {
        // It has an answer already; only the caller does not know.
        if self.row.record.state != TurnState::Running {
            return;
        }
        let fails_in_sight = state == TurnState::Failed && self.is_shown;
        let state = if fails_in_sight { TurnState::Interrupted } else { state };
        let mut ended = StoredTurn { state, ..self.row.record.clone() };
        ended.usage.milliseconds = used.milliseconds;
        ended.usage.tokens = used.tokens;
        match self.database.replace(&self.row, &ended).await {
            // Its end was on its way when the caller left, or another process goes on with it.
            Ok(()) | Err(RowError::Changed { .. }) => {}
            Err(error) => {
                let (turn, error) = (ended.turn.turn_id, Error::from(error));
                tracing::warn!(target: "agents", turn, "the end of a turn cannot be kept: {}", error.chain());
            }
        }
    }

    async fn replace(&mut self, batch: Batch, row: StoredTurn) -> Result<()> {
        self.database.apply(batch.replace(&self.row, &row)).await?;
        self.row = self.row.replaced(row);
        Ok(())
    }
}
