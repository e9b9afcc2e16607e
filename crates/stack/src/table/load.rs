//! How a provider model is doing: how many requests are under way, and whether it rests after a
//! failure. Read and written by every request, without locks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How a provider model is doing. All models that lead to it share this.
#[derive(Debug)]
pub(crate) struct Load {
    born: Instant,
    under_way: AtomicUsize,
    /// When it is tried first again, in milliseconds since `born`; 0 while it works.
    rests_until: AtomicU64,
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Load>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

impl Load {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            under_way: AtomicUsize::new(0),
            rests_until: AtomicU64::new(0),
        }
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// How many requests are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    fn now(&self) -> u64 {
        millis(self.born.elapsed())
    }

    /// Whether a request may try it before those that work. After a rest one request may, and the
    /// next one not before another `pause` is over, unless the first succeeds.
    pub(crate) fn admits(&self, pause: Duration) -> bool {
        // The clock is not looked at while everything works.
        self.rests_until.load(Relaxed) == 0 || self.admits_at(self.now(), pause)
    }

    fn admits_at(&self, now: u64, pause: Duration) -> bool {
        let until = self.rests_until.load(Relaxed);
        let next = end_of(now, pause);
        until == 0
            || now >= until
                && self.rests_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
    }

    /// Whether it rests.
    pub(crate) fn rests(&self) -> bool {
        let until = self.rests_until.load(Relaxed);
        until != 0 && self.now() < until
    }

    /// Lets it rest for `pause`.
    pub(crate) fn failed(&self, pause: Duration) {
        self.failed_at(self.now(), pause);
    }

    fn failed_at(&self, now: u64, pause: Duration) {
        if !pause.is_zero() {
            self.rests_until.store(end_of(now, pause), Relaxed);
        }
    }

    /// Ends a rest.
    pub(crate) fn works(&self) {
        if self.rests_until.load(Relaxed) != 0 {
            self.rests_until.store(0, Relaxed);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The end of a pause that begins at `now`; never 0, which means that there is none.
fn end_of(now: u64, pause: Duration) -> u64 {
    now.saturating_add(millis(pause)).max(1)
}

#[cfg(test)]
mod tests {
    use super::Load;
    use std::{sync::Arc, time::Duration};

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn after_a_failure_it_rests_and_then_one_request_tries_it() {
        let load = Load::new();
        assert!(load.admits(PAUSE) && load.admits(PAUSE));
        load.failed_at(500, PAUSE);
        assert!(!load.admits_at(10_499, PAUSE));
        assert!(load.admits_at(10_500, PAUSE), "one request tries it");
        assert!(!load.admits_at(10_501, PAUSE), "the others wait for what comes of it");
        load.works();
        assert!(load.admits(PAUSE) && load.admits(PAUSE));
    }

    #[test]
    fn a_trial_that_never_ends_is_followed_by_another() {
        let load = Load::new();
        load.failed_at(0, PAUSE);
        assert!(load.admits_at(10_000, PAUSE));
        assert!(!load.admits_at(19_999, PAUSE));
        assert!(load.admits_at(20_000, PAUSE));
        load.failed_at(20_000, PAUSE);
        assert!(!load.admits_at(29_999, PAUSE));
    }

    #[test]
    fn a_failure_lets_it_rest_by_the_clock() {
        let load = Load::new();
        load.failed(Duration::from_hours(1));
        assert!(load.rests() && !load.admits(PAUSE));
        load.works();
        load.failed(Duration::ZERO);
        assert!(load.admits(Duration::ZERO) && !load.rests());
    }

    #[test]
    fn requests_count_while_they_are_under_way() {
        let load = Arc::new(Load::new());
        let first = load.enter();
        let second = load.enter();
        assert_eq!(load.under_way(), 2);
        drop(first);
        assert_eq!(load.under_way(), 1);
        drop(second);
        assert_eq!(load.under_way(), 0);
    }
}
