//! The threads that touch a database: one that writes, and a few that read.

use super::{Failed, apply};
use crate::relational::RowChange;
use rusqlite::{Connection, Error::SqliteFailure, ErrorCode, ffi};
use std::{io, sync::mpsc, thread};
use tokio::sync::oneshot;

/// Batches that wait while the writer is busy are written in one transaction, up to so many.
const GROUP: usize = 64;

pub(super) type Work = Box<dyn FnOnce(&Connection) + Send>;

/// A batch, and who waits for it.
pub(super) struct Write {
    pub(super) changes: Vec<RowChange>,
    pub(super) done: oneshot::Sender<Result<(), Failed>>,
}

impl Write {
    fn answer(self, outcome: Result<(), Failed>) {
        // A caller that has gone does not need it.
        drop(self.done.send(outcome));
    }
}

/// What the writer is asked for.
pub(super) enum Job {
    Write(Write),
    /// Of a database in memory, which belongs to its one connection.
    Read(Work),
}

/// A thread that reads until nobody can ask any more.
pub(super) fn reader(connection: Connection) -> io::Result<mpsc::Sender<Work>> {
    let (sender, jobs) = mpsc::channel::<Work>();
    thread::Builder::new().name("rows-reader".to_owned()).spawn(move || {
        while let Ok(work) = jobs.recv() {
            work(&connection);
        }
    })?;
    Ok(sender)
}

/// A thread that writes until nobody can ask any more, after it has done what it is to `begin` with.
pub(super) fn writer(
    mut connection: Connection,
    begin: impl FnOnce() + Send + 'static,
) -> io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel();
    thread::Builder::new().name("rows-writer".to_owned()).spawn(move || {
        begin();
        write_loop(&mut connection, &jobs);
    })?;
    Ok(sender)
}

fn write_loop(connection: &mut Connection, jobs: &mpsc::Receiver<Job>) {
    let mut next = None;
    while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
        let mut group = match job {
            Job::Write(write) => vec![write],
            Job::Read(work) => {
                work(connection);
                continue;
            }
        };
        while group.len() < GROUP {
            match jobs.try_recv() {
                Ok(Job::Write(write)) => group.push(write),
                Ok(read @ Job::Read(_)) => {
                    next = Some(read);
                    break;
                }
                Err(mpsc::TryRecvError::Empty | mpsc::TryRecvError::Disconnected) => break,
            }
        }
        write(connection, group);
    }
}

fn write(connection: &mut Connection, group: Vec<Write>) {
    match apply(connection, group.iter().flat_map(|write| &write.changes)) {
        Ok(()) => group.into_iter().for_each(|write| write.answer(Ok(()))),
        // Each batch by itself would wait as long as the group has.
        Err(Failed::Database(SqliteFailure(error, text))) if is_busy(error) => {
            for write in group {
                write.answer(Err(SqliteFailure(error, text.clone()).into()));
            }
        }
        Err(failed) if group.len() == 1 => {
            if let Some(only) = group.into_iter().next() {
                only.answer(Err(failed));
            }
        }
        // A batch that fails must not take the others of its group with it.
        Err(_) => {
            for write in group {
                let outcome = apply(connection, &write.changes);
                write.answer(outcome);
            }
        }
    }
}

/// Whether another process has the database.
fn is_busy(error: ffi::Error) -> bool {
    matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static WAITED: AtomicUsize = AtomicUsize::new(0);

    #[test]
    fn a_group_waits_once_for_a_database_that_another_process_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE t (n INTEGER); BEGIN IMMEDIATE").unwrap();
        let mut connection = Connection::open(&path).unwrap();
        let give_up = |_| {
            WAITED.fetch_add(1, Ordering::SeqCst);
            false
        };
        connection.busy_handler(Some(give_up)).unwrap();
        let mut answers = Vec::new();
        let group = (0..5).map(|_| {
            let (done, answer) = oneshot::channel();
            answers.push(answer);
            Write { changes: Vec::new(), done }
        });
        write(&mut connection, group.collect());
        assert_eq!(WAITED.load(Ordering::SeqCst), 1);
        for answer in answers {
            let Err(Failed::Database(error)) = answer.blocking_recv().unwrap() else {
                panic!("nothing was written")
            };
            assert_eq!(error.to_string(), "database is locked");
        }
    }
}
