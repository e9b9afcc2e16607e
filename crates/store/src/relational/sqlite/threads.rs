//! The threads that touch a database: one that writes, and a few that read.

use super::{Failed, apply};
use crate::relational::RowChange;
use rusqlite::Connection;
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

/// A thread that writes until nobody can ask any more.
pub(super) fn writer(mut connection: Connection) -> io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel();
    thread::Builder::new()
        .name("rows-writer".to_owned())
        .spawn(move || write_loop(&mut connection, &jobs))?;
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
    // A batch that fails must not take the others of its group with it.
    let together =
        group.len() > 1 && apply(connection, group.iter().flat_map(|write| &write.changes)).is_ok();
    for Write { changes, done } in group {
        let outcome = if together { Ok(()) } else { apply(connection, &changes) };
        // A caller that has gone does not need the answer.
        drop(done.send(outcome));
    }
}
