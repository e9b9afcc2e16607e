//! Rows in SQLite: one file, write-ahead logging, one writer thread and a few readers.

mod threads;

use super::{
    Among, Cell, Condition, Order, Owner, Place, Relational, Row, RowChange, RowError, Rows,
    Schema, Scope, Select, Table, Tallied, Tally, Test, schema,
};
use crate::{StoreError, in_background, sqlite::connect};
use async_trait::async_trait;
use rusqlite::{
    Connection, OptionalExtension, Transaction, TransactionBehavior, params_from_iter,
    types::{ToSqlOutput, Value, ValueRef},
};
use std::{
    fmt::{Display, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};
use threads::{Job, Work, Write};
use tokio::sync::oneshot;

/// Reader threads per file.
const READERS: usize = 2;
/// The pages that the log of a database in the background gathers before they are copied into the
/// database. That takes the disk longer than anything else, and waits for it three times; seldom and
/// together is less in all, since the same pages change again and again.
const BACKGROUND_LOG: usize = 4000;
/// The counter of insertions, which never gives a number twice.
const COUNTER: &str = "INTEGER PRIMARY KEY AUTOINCREMENT";

/// What the changes of a database are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Requests,
    Background,
}

/// Tables of rows in a SQLite file.
pub struct SqliteRows {
    name: Arc<str>,
    writer: mpsc::Sender<Job>,
    /// None for a database in memory, which belongs to its one connection.
    readers: Vec<mpsc::Sender<Work>>,
    next_reader: AtomicUsize,
}

impl SqliteRows {
    /// Opens or creates the file, with its parent folders, and brings its tables up to date.
    /// `:memory:` is a database in memory. A change reaches the disk before it is acknowledged.
    ///
    /// This does a little disk work; it belongs to the start of the process.
    ///
    /// # Errors
    /// The file cannot be created, is not a database, or was written by a newer version.
    pub fn open(path: impl AsRef<Path>, schema: &Schema) -> Result<Self, StoreError> {
        Self::open_for(path.as_ref(), schema, Use::Requests)
    }

    /// Opens a database for whose changes no request waits, as [`SqliteRows::open`] does otherwise.
    /// They survive the end of the process; those of the last moments may be lost when the machine
    /// dies. Requests go first where there is too little of a processor.
    ///
    /// # Errors
    /// Those of [`SqliteRows::open`].
    pub fn open_in_background(path: impl AsRef<Path>, schema: &Schema) -> Result<Self, StoreError> {
        Self::open_for(path.as_ref(), schema, Use::Background)
    }

    fn open_for(path: &Path, schema: &Schema, used: Use) -> Result<Self, StoreError> {
        let name: Arc<str> = path.display().to_string().into();
        let failed = |cause: &dyn Display| failure("open", &name, cause);
        let in_memory = path.as_os_str() == ":memory:";
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|cause| failed(&cause))?;
        }
        let mut connection = connect(path).map_err(|cause| failed(&cause))?;
        // File systems without shared memory refuse WAL; the older mode works there.
        let _: String = connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .map_err(|cause| failed(&cause))?;
        migrate(&mut connection, schema).map_err(|cause| failed(&cause))?;

        if used == Use::Background {
            let relaxed = format!(
                "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = {BACKGROUND_LOG}"
            );
            connection.execute_batch(&relaxed).map_err(|cause| failed(&cause))?;
        }
        let begin = move || {
            if used == Use::Background {
                in_background();
            }
        };
        let writer = threads::writer(connection, begin).map_err(|cause| failed(&cause))?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..if in_memory { 0 } else { READERS } {
            let connection = connect(path).map_err(|cause| failed(&cause))?;
            readers.push(threads::reader(connection).map_err(|cause| failed(&cause))?);
        }
        Ok(Self { name, writer, readers, next_reader: AtomicUsize::new(0) })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, RowError> {
        let (done, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            // A caller that has gone does not need the answer.
            drop(done.send(work(connection)));
        });
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let sent = match self.readers.len() {
            0 => self.writer.send(Job::Read(work)).is_ok(),
            readers => self.readers[turn % readers].send(work).is_ok(),
        };
        self.answered("read", sent, answer).await
    }

    /// What a thread answers that was asked, if it was `sent` the question.
    async fn answered<T>(
        &self,
        action: &'static str,
        sent: bool,
        answer: oneshot::Receiver<Result<T, Failed>>,
    ) -> Result<T, RowError> {
        let outcome = if sent { answer.await.ok() } else { None };
        let ended = || RowError::from(failure(action, &self.name, &"its thread has ended"));
        outcome.ok_or_else(ended)?.map_err(|failed| match failed {
            Failed::Row(error) => error,
            Failed::Database(cause) => failure(action, &self.name, &cause).into(),
        })
    }
}

/// Why a statement did not do what it should.
enum Failed {
    Row(RowError),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<RowError> for Failed {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

fn failure(action: &'static str, store: &Arc<str>, cause: &dyn Display) -> StoreError {
    StoreError { action, store: store.to_string(), cause: cause.to_string().into() }
}

fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), String> {
    let failed = |cause: rusqlite::Error| cause.to_string();
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: u32 = transaction
        .query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))
        .map_err(failed)?;
    if found > schema.version {
        return Err(format!(
            "it was written by a newer version of this program (schema {found}, this one knows {})",
            schema.version
        ));
    }
    if found < schema.version {
        for statement in schema::migration(schema, found, COUNTER) {
            transaction.execute(&statement, []).map_err(failed)?;
        }
        transaction.pragma_update(None, "user_version", schema.version).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

impl rusqlite::ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

/// The part of a statement behind `WHERE`, with its parameters.
struct Clause {
    text: String,
    parameters: Vec<Cell>,
}

impl Clause {
    fn new(table: &Table, scope: &Scope, conditions: &[Condition]) -> Self {
        let mut clause = Self { text: "1 = 1".to_owned(), parameters: Vec::new() };
        if let Scope::Of(Owner { tenant, principal }) = scope {
            // SQLite takes an index of two columns for a better one than an index of one. Few rows have
            // the same id of something else, and all rows of a table may have the same owner: the plus
            // keeps the index of owners out of the choice.
            let columns = if conditions.iter().any(|condition| condition.is_narrow(table)) {
                ["+tenant", "+owner"]
            } else {
                ["tenant", "owner"]
            };
            clause.compare(columns[0], "=", tenant.as_str());
            clause.compare(columns[1], "=", principal.as_str());
        }
        for Condition { column, test } in conditions {
            match test {
                Test::Is(value) => clause.compare(column, "=", value.clone()),
                Test::IsNot(value) => clause.compare(column, "<>", value.clone()),
                Test::AtMost(value) => clause.compare(column, "<=", *value),
                Test::MoreThan(value) => clause.compare(column, ">", *value),
                Test::OneOf(values) => {
                    let marks = vec!["?"; values.len()].join(", ");
                    let _infallible = write!(clause.text, " AND {column} IN ({marks})");
                    clause.parameters.extend(values.iter().cloned());
                }
                Test::Among(Among { table, column: other, conditions }) => {
                    let inner = Self::new(table, scope, conditions);
                    let _infallible = write!(
                        clause.text,
                        " AND {column} IN (SELECT {other} FROM {} WHERE {})",
                        table.name, inner.text
                    );
                    clause.parameters.extend(inner.parameters);
                }
            }
        }
        clause
    }

    fn compare(&mut self, column: &str, operator: &str, value: impl Into<Cell>) {
        let _infallible = write!(self.text, " AND {column} {operator} ?");
        self.parameters.push(value.into());
    }
}

fn select(connection: &Connection, select: &Select) -> Result<Rows, Failed> {
    let mut clause = Clause::new(select.table, &select.scope, &select.conditions);
    let (anchor, before) = match &select.place {
        Place::Start => (None, false),
        Place::After(id) => (Some(id), false),
        Place::Before(id) => (Some(id), true),
    };
    let ascending = (select.order == Order::OldestFirst) != before;
    let name = select.table.name;
    if let Some(id) = anchor {
        let mut place = Clause::new(select.table, &select.scope, &[]);
        place.compare("id", "=", id.as_str());
        let seq: Option<i64> = connection
            .prepare_cached(&format!("SELECT seq FROM {name} WHERE {}", place.text))?
            .query_row(params_from_iter(&place.parameters), |row| row.get(0))
            .optional()?;
        let Some(seq) = seq else { return Err(RowError::NoPlace { id: id.clone() }.into()) };
        clause.compare("seq", if ascending { ">" } else { "<" }, seq);
    }
    let limit = i64::try_from(select.limit).unwrap_or(i64::MAX - 1);
    clause.parameters.push((limit + 1).into());
    clause.parameters.push(i64::try_from(select.offset).unwrap_or(i64::MAX).into());
    let direction = if ascending { "ASC" } else { "DESC" };
    let statement = format!(
        "SELECT id, tenant, owner, version, body FROM {name} WHERE {} \
         ORDER BY seq {direction} LIMIT ? OFFSET ?",
        clause.text
    );
    let mut rows: Vec<Row> = connection
        .prepare_cached(&statement)?
        .query_map(params_from_iter(&clause.parameters), |row| {
            Ok(Row {
                id: row.get(0)?,
                owner: Owner { tenant: row.get(1)?, principal: row.get(2)? },
                version: row.get(3)?,
                body: row.get(4)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let has_more = rows.len() > select.limit;
    rows.truncate(select.limit);
    if before {
        rows.reverse();
    }
    Ok(Rows { rows, has_more })
}

fn tally(connection: &Connection, tally: &Tally) -> Result<Vec<Tallied>, Failed> {
    let Tally { table, scope, conditions, by, sum } = tally;
    let clause = Clause::new(table, scope, conditions);
    let statement = format!(
        "SELECT {by}, COUNT(*), SUM({sum}) FROM {} WHERE {} GROUP BY {by} ORDER BY {by}",
        table.name, clause.text
    );
    let tallied = connection
        .prepare_cached(&statement)?
        .query_map(params_from_iter(&clause.parameters), |row| {
            let value = row.get_ref(0)?;
            let value = match value.as_i64() {
                Ok(number) => Cell::Integer(number),
                Err(_) => Cell::Text(value.as_str()?.to_owned()),
            };
            Ok(Tallied { value, rows: row.get(1)?, sum: row.get(2)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(tallied)
}

/// Makes all changes, or none.
fn apply<'a>(
    connection: &mut Connection,
    changes: impl IntoIterator<Item = &'a RowChange>,
) -> Result<(), Failed> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for change in changes {
        make(&transaction, change)?;
    }
    Ok(transaction.commit()?)
}

fn make(transaction: &Transaction<'_>, change: &RowChange) -> Result<(), Failed> {
    let names = |table: &Table| table.columns.iter().map(|column| column.name).collect::<Vec<_>>();
    match change {
        RowChange::Insert { table, owner, id, cells, body } => {
            let mut columns = vec!["id", "tenant", "owner", "version", "body"];
            columns.extend(names(table));
            let marks = vec!["?"; columns.len()].join(", ");
            let statement =
                format!("INSERT INTO {} ({}) VALUES ({marks})", table.name, columns.join(", "));
            let fixed = [
                Cell::from(id.as_str()),
                Cell::from(owner.tenant.as_str()),
                Cell::from(owner.principal.as_str()),
                Cell::from(1),
                Cell::from(body.as_str()),
            ];
            let parameters = params_from_iter(fixed.iter().chain(cells));
            match transaction.prepare_cached(&statement)?.execute(parameters) {
                Ok(_) => Ok(()),
                Err(error)
                    if error.sqlite_error_code()
                        == Some(rusqlite::ErrorCode::ConstraintViolation) =>
                {
                    Err(RowError::Exists { id: id.clone() }.into())
                }
                Err(error) => Err(error.into()),
            }
        }
        RowChange::Replace { table, owner, id, version, cells, body } => {
            let clause = exactly(table, owner, id, *version);
            let sets = names(table).into_iter().map(|name| format!(", {name} = ?"));
            let statement = format!(
                "UPDATE {} SET version = version + 1, body = ?{} WHERE {}",
                table.name,
                sets.collect::<String>(),
                clause.text
            );
            let body = Cell::from(body.as_str());
            let parameters = std::iter::once(&body).chain(cells).chain(&clause.parameters);
            let changed =
                transaction.prepare_cached(&statement)?.execute(params_from_iter(parameters))?;
            one(changed, id)
        }
        RowChange::Expect { table, owner, id, version } => {
            let clause = exactly(table, owner, id, *version);
            let statement = format!("SELECT COUNT(*) FROM {} WHERE {}", table.name, clause.text);
            let found: u32 = transaction
                .prepare_cached(&statement)?
                .query_row(params_from_iter(&clause.parameters), |row| row.get(0))?;
            one(usize::from(found == 1), id)
        }
        RowChange::Remove { table, owner, id, version } => {
            let clause = exactly(table, owner, id, *version);
            let statement = format!("DELETE FROM {} WHERE {}", table.name, clause.text);
            let parameters = params_from_iter(&clause.parameters);
            one(transaction.prepare_cached(&statement)?.execute(parameters)?, id)
        }
        RowChange::Clear { table, scope, conditions } => {
            let clause = Clause::new(table, scope, conditions);
            let statement = format!("DELETE FROM {} WHERE {}", table.name, clause.text);
            transaction
                .prepare_cached(&statement)?
                .execute(params_from_iter(&clause.parameters))?;
            Ok(())
        }
    }
}

/// The row called `id`, as it was in `version`.
fn exactly(table: &Table, owner: &Owner, id: &str, version: i64) -> Clause {
    let conditions = [Condition::is("id", id), Condition::is("version", version)];
    Clause::new(table, &Scope::from(owner), &conditions)
}

fn one(changed: usize, id: &str) -> Result<(), Failed> {
    if changed == 1 { Ok(()) } else { Err(RowError::Changed { id: id.to_owned() }.into()) }
}

#[async_trait]
impl Relational for SqliteRows {
    async fn select(&self, question: Select) -> Result<Rows, RowError> {
        self.read(move |connection| select(connection, &question)).await
    }

    async fn tally(&self, question: Tally) -> Result<Vec<Tallied>, RowError> {
        self.read(move |connection| tally(connection, &question)).await
    }

    async fn apply(&self, changes: Vec<RowChange>) -> Result<(), RowError> {
        let (done, answer) = oneshot::channel();
        let sent = self.writer.send(Job::Write(Write { changes, done })).is_ok();
        self.answered("write", sent, answer).await
    }
}

#[cfg(test)]
mod tests;
