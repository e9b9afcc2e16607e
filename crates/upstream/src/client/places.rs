//! How many requests an upstream is given at one time, and how many wait for their turn.

use chaski_api::{Error, ErrorKind};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When to come back where all places are taken.
const PAUSE: Duration = Duration::from_secs(1);

/// The places of an upstream.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
}

/// A place, free again when this is dropped.
pub(super) type Place = OwnedSemaphorePermit;

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// As many wait as may.
    Full,
    /// None became free in this time.
    Late(Duration),
}

impl Places {
    /// `places` requests at one time, and `most_waiting` more that wait.
    pub(super) fn new(places: usize, most_waiting: usize) -> Self {
        let most = places.clamp(1, Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(most));
        Self { most, free, waiting: AtomicUsize::new(0), most_waiting }
    }

    /// Takes a place, in the order of asking. Dropping the future gives the turn to the next.
    pub(super) async fn enter(&self, patience: Duration) -> Result<Place, NoPlace> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(place);
        }
        let turn = Turn(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most_waiting {
            return Err(NoPlace::Full);
        }
        let place = tokio::time::timeout(patience, Arc::clone(&self.free).acquire_owned()).await;
        drop(turn);
        // The semaphore is never closed.
        place.ok().and_then(Result::ok).ok_or(NoPlace::Late(patience))
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.most.saturating_sub(self.free.available_permits())
    }

    pub(super) fn refusal(&self, upstream: &str, why: NoPlace) -> Error {
        let (places, waiting) = (self.most, self.most_waiting);
        let message = match why {
            NoPlace::Full => format!(
                "{upstream} has {places} requests in flight and {waiting} waiting, and is given no \
                 more: try again, or raise `network.concurrent_requests` or `waiting_requests`"
            ),
            NoPlace::Late(patience) => format!(
                "{upstream} had {places} requests in flight for {:.1} seconds and no place became \
                 free: try again, or raise `network.concurrent_requests` or `waiting_seconds`",
                patience.as_secs_f32()
            ),
        };
        Error::new(ErrorKind::Unavailable { retry_after: Some(PAUSE) }, message)
    }
}

/// A request that waits, counted until it does not.
struct Turn<'a>(&'a AtomicUsize);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn the_next_waits_until_a_place_is_free() {
        let places = Places::new(1, 1);
        let first = places.enter(LONG).await.unwrap();
        let mut second = Box::pin(places.enter(LONG));
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(places.enter(LONG).await.unwrap_err(), NoPlace::Full);
        assert_eq!(places.taken(), 1);
        drop(first);
        let second = second.await.unwrap();
        drop(second);
        assert_eq!(places.taken(), 0);
    }

    #[tokio::test]
    async fn whoever_gives_up_makes_room_for_another_to_wait() {
        let places = Places::new(1, 1);
        let first = places.enter(LONG).await.unwrap();
        for _ in 0..3 {
            let mut waiting = Box::pin(places.enter(LONG));
            assert!((&mut waiting).now_or_never().is_none());
            drop(waiting);
        }
        let brief = Duration::from_millis(20);
        assert_eq!(places.enter(brief).await.unwrap_err(), NoPlace::Late(brief));
        drop(first);
        assert!(places.enter(LONG).await.is_ok());
    }
}
