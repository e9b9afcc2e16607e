//! Connections that wait for the next request.

use super::connection::Connection;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// How long a connection is kept that nobody uses.
pub(super) const IDLE: Duration = Duration::from_secs(90);

/// The connections that nobody uses, by where they go; the one used last is the last.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    /// Few: a client speaks to one upstream or to the addresses of one.
    places: Vec<(Arc<str>, Vec<Waiting>)>,
    /// Whether a task closes those that nobody uses.
    swept: bool,
}

#[derive(Debug)]
struct Waiting {
    connection: Box<Connection>,
    since: Instant,
}

/// Where a connection goes when its answer has ended.
#[derive(Debug)]
pub(super) struct Home {
    pool: Weak<Pool>,
    place: Arc<str>,
}

impl Pool {
    /// An open connection to `place` if there is one, and where it goes after its use.
    pub(super) fn take(self: &Arc<Self>, place: &str) -> (Home, Option<Box<Connection>>) {
        let mut idle = self.lock();
        let known = idle.places.iter_mut().find(|(name, _)| **name == *place);
        let pool = Arc::downgrade(self);
        let Some((name, kept)) = known else {
            return (Home { pool, place: place.into() }, None);
        };
        let home = Home { pool, place: Arc::clone(name) };
        let mut open = None;
        while let Some(waiting) = kept.pop() {
            if waiting.is_usable(IDLE) {
                open = Some(waiting.connection);
                break;
            }
        }
        (home, open)
    }

    /// Closes what nobody has used for so long, or what the other side has closed; whether anything is
    /// left.
    pub(super) fn sweep(&self, idle_for: Duration) -> bool {
        let mut idle = self.lock();
        for (_, kept) in &mut idle.places {
            kept.retain(|waiting| waiting.is_usable(idle_for));
        }
        idle.places.retain(|(_, kept)| !kept.is_empty());
        idle.swept = !idle.places.is_empty();
        idle.swept
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_usable(&self, idle_for: Duration) -> bool {
        self.since.elapsed() < idle_for && self.connection.is_idle()
    }
}

impl Home {
    /// Keeps the connection for the next request, unless there is something unexpected in it.
    pub(super) fn give(self, mut connection: Box<Connection>) {
        let Some(pool) = self.pool.upgrade() else { return };
        if !connection.is_clean() {
            return;
        }
        let mut idle = pool.lock();
        let waiting = Waiting { connection, since: Instant::now() };
        match idle.places.iter_mut().find(|(name, _)| *name == self.place) {
            Some((_, kept)) => kept.push(waiting),
            None => idle.places.push((self.place, vec![waiting])),
        }
        if !idle.swept {
            idle.swept = true;
            drop(idle);
            let pool = Arc::downgrade(&pool);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(IDLE / 3).await;
                    if !pool.upgrade().is_some_and(|pool| pool.sweep(IDLE)) {
                        return;
                    }
                }
            });
        }
    }
}
