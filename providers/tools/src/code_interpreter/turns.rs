//! Whose turn it is to run code: the calls of a session come one after another, and wait without a
//! thread, so that they keep nobody else waiting.

use chaski_api::{Error, ErrorKind, Result};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most calls of a session that are running or waiting.
pub(super) const CALLS_OF_SESSION: usize = 32;

/// The lines in which calls wait; clones are the same.
#[derive(Clone)]
pub(super) struct Turns {
    lines: Arc<Mutex<HashMap<Key, Line>>>,
    /// The most calls of an owner that are running or waiting.
    calls_of_owner: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Owner(String),
    Session(String),
}

struct Line {
    calls: usize,
    turn: Arc<Semaphore>,
}

/// A place in a line, given up when it is dropped.
struct Place {
    turns: Turns,
    key: Key,
}

/// The right to run a call. Held until it has ended, whoever waits for it.
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    _places: [Option<Place>; 2],
}

impl Turns {
    pub(super) fn new(calls_of_owner: usize) -> Self {
        Self { lines: Arc::default(), calls_of_owner }
    }

    /// Waits until no other call of the session runs.
    ///
    /// # Errors
    /// `RateLimited` if too many calls of the owner or of the session wait.
    pub(super) async fn take(&self, owner: &str, session: Option<&str>) -> Result<Turn> {
        let (of_owner, _) =
            self.join(Key::Owner(owner.to_owned()), self.calls_of_owner, "of this caller")?;
        let Some(session) = session else {
            return Ok(Turn { _permit: None, _places: [Some(of_owner), None] });
        };
        let key = Key::Session(session.to_owned());
        let (of_session, turn) = self.join(key, CALLS_OF_SESSION, "of this session")?;
        let permit = turn.acquire_owned().await;
        let permit = permit.map_err(|_| Error::internal("a turn was refused"))?;
        Ok(Turn { _permit: Some(permit), _places: [Some(of_owner), Some(of_session)] })
    }

    fn join(&self, key: Key, most: usize, whose: &str) -> Result<(Place, Arc<Semaphore>)> {
        let mut lines = self.lock();
        let line = lines
            .entry(key.clone())
            .or_insert_with(|| Line { calls: 0, turn: Arc::new(Semaphore::new(1)) });
        if line.calls >= most {
            let message = format!("{most} calls {whose} run or wait; try again when one has ended");
            return Err(Error::new(ErrorKind::RateLimited { retry_after: None }, message));
        }
        line.calls += 1;
        let turn = Arc::clone(&line.turn);
        drop(lines);
        Ok((Place { turns: self.clone(), key }, turn))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.turns.lock();
        if let Some(line) = lines.get_mut(&self.key) {
            line.calls -= 1;
            if line.calls == 0 {
                lines.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn calls_of_a_session_take_turns_and_others_do_not_wait() {
        let turns = Turns::new(100);
        let first = turns.take("me", Some("s")).await.unwrap();
        let mut second = Box::pin(turns.take("me", Some("s")));
        assert!((&mut second).now_or_never().is_none());
        assert!(turns.take("me", Some("t")).now_or_never().is_some());
        assert!(turns.take("me", None).now_or_never().is_some());
        drop(first);
        second.await.unwrap();
        assert!(turns.lock().is_empty(), "nothing is remembered of calls that have ended");
    }

    #[tokio::test]
    async fn calls_that_would_wait_too_long_are_refused() {
        let turns = Turns::new(CALLS_OF_SESSION + 1);
        let running = turns.take("me", Some("s")).await.unwrap();
        let mut waiting: Vec<_> =
            (1..CALLS_OF_SESSION).map(|_| Box::pin(turns.take("me", Some("s")))).collect();
        for call in &mut waiting {
            assert!(call.now_or_never().is_none());
        }
        let refused = turns.take("me", Some("s")).await.err().unwrap();
        assert_eq!(refused.kind, ErrorKind::RateLimited { retry_after: None });
        assert!(refused.message.starts_with("32 calls of this session"), "{}", refused.message);
        let other = turns.take("me", None).await.unwrap();
        let refused = turns.take("me", None).await.err().unwrap();
        assert!(refused.message.starts_with("33 calls of this caller"), "{}", refused.message);
        assert!(turns.take("you", None).await.is_ok());
        // Whoever leaves makes room.
        drop((waiting, other));
        assert!(turns.take("me", None).await.is_ok());
        drop(running);
        assert!(turns.lock().is_empty());
    }
}
