//! The circuit breaker: an upstream that keeps failing is left alone for a little while.

use super::options::CircuitBreaker;
use chaski_api::{Error, ErrorKind};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Decides whether an upstream is called at all.
///
/// Closed, it lets everything through and watches the failures. Open, it refuses everything. After
/// a while one call goes through to see how things are (half open): its success closes the circuit,
/// its failure keeps it open, and if it takes long, the next one tries meanwhile.
#[derive(Debug)]
pub(super) struct Breaker {
    options: CircuitBreaker,
    /// Calls that were judged, since the beginning.
    calls: AtomicU64,
    /// Whether the circuit is open, to be read without the lock.
    tripped: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The last failures, as many as open the circuit: when each was, and how many calls had been
    /// judged by then.
    recent: VecDeque<(Instant, u64)>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// When the next call may try.
    until: Instant,
    /// What the last failure was.
    why: String,
}

/// The circuit is open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// How long until it may be tried again.
    pub(super) wait: Duration,
    /// What the last failure was.
    pub(super) why: String,
}

impl Refusal {
    pub(super) fn into_error(self, upstream: &str) -> Error {
        let kind = ErrorKind::Unavailable { retry_after: Some(self.wait) };
        Error::new(kind, format!("{upstream} is {}", self.state()))
    }

    /// The state in words, for messages and for the list of providers.
    pub(super) fn state(&self) -> String {
        let seconds = self.wait.as_secs_f32();
        let why = &self.why;
        format!("not called for {seconds:.1} seconds, because its last calls failed: {why}")
    }
}

impl Breaker {
    pub(super) fn new(options: CircuitBreaker) -> Self {
        Self {
            options,
            calls: AtomicU64::new(0),
            tripped: AtomicBool::new(false),
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the upstream is not called now, if it is not.
    pub(super) fn refusal(&self, now: Instant) -> Option<Refusal> {
        if !self.tripped.load(Ordering::Acquire) {
            return None;
        }
        let inner = self.inner();
        let open = inner.open.as_ref()?;
        let wait = open.until.saturating_duration_since(now);
        (!wait.is_zero()).then(|| Refusal { wait, why: open.why.clone() })
    }

    /// What keeps the circuit from being closed, whether or not the next call may try.
    pub(super) fn trouble(&self, now: Instant) -> Option<String> {
        if !self.tripped.load(Ordering::Acquire) {
            return None;
        }
        if let Some(refusal) = self.refusal(now) {
            return Some(refusal.state());
        }
        let inner = self.inner();
        let why = &inner.open.as_ref()?.why;
        Some(format!("the next call is a trial, because the last ones failed: {why}"))
    }

    /// Lets a call through, or refuses it.
    pub(super) fn admit(self: &Arc<Self>, now: Instant) -> Result<Ticket, Refusal> {
        let mut ticket = Ticket { breaker: Arc::clone(self), probe: false, since: now };
        if !self.tripped.load(Ordering::Acquire) {
            return Ok(ticket);
        }
        let mut inner = self.inner();
        let Some(open) = &mut inner.open else { return Ok(ticket) };
        let wait = open.until.saturating_duration_since(now);
        if !wait.is_zero() {
            return Err(Refusal { wait, why: open.why.clone() });
        }
        open.until = now + self.options.open;
        ticket.probe = true;
        Ok(ticket)
    }

    /// Notes a failure of a call that was let through.
    pub(super) fn failed(&self, now: Instant, why: &str) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut inner = self.inner();
        if inner.open.is_some() {
            // From a call that began before the circuit was opened.
            return;
        }
        let most = self.options.failures.max(1);
        while inner.recent.len() >= most {
            inner.recent.pop_front();
        }
        inner.recent.push_back((now, calls));
        let Some((first, calls_then)) = inner.recent.front().copied() else { return };
        let among = calls.saturating_sub(calls_then) + 1;
        let failures = u64::try_from(inner.recent.len()).unwrap_or(u64::MAX);
        let enough = inner.recent.len() >= most
            && now.duration_since(first) <= self.options.window
            && failures * 100 >= among * u64::from(self.options.failure_percent);
        if enough {
            self.open(&mut inner, now, why);
        }
    }

    fn open(&self, inner: &mut Inner, now: Instant, why: &str) {
        inner.recent.clear();
        inner.open = Some(Open { until: now + self.options.open, why: why.to_owned() });
        self.tripped.store(true, Ordering::Release);
    }

    fn close(&self) {
        let mut inner = self.inner();
        inner.recent.clear();
        inner.open = None;
        self.tripped.store(false, Ordering::Release);
    }
}

/// A call that was let through. It is judged once; dropping it says that the call was given up
/// before it could be judged.
#[derive(Debug)]
pub(super) struct Ticket {
    breaker: Arc<Breaker>,
    /// Whether the circuit was open, and this call is to find out whether it still has to be.
    probe: bool,
    since: Instant,
}

impl Ticket {
    pub(super) fn succeeded(mut self) {
        self.breaker.calls.fetch_add(1, Ordering::Relaxed);
        if std::mem::take(&mut self.probe) {
            self.breaker.close();
        }
    }

    pub(super) fn failed(mut self, now: Instant, why: &str) {
        if std::mem::take(&mut self.probe) {
            let mut inner = self.breaker.inner();
            self.breaker.open(&mut inner, now, why);
        } else {
            self.breaker.failed(now, why);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.probe
            && let Some(open) = &mut self.breaker.inner().open
        {
            // The next call takes its place.
            open.until = self.since;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(failures: usize, failure_percent: u32) -> Arc<Breaker> {
        let (window, open) = (Duration::from_secs(10), Duration::from_secs(2));
        Arc::new(Breaker::new(CircuitBreaker { failures, failure_percent, window, open }))
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &Arc<Breaker>, now: Instant, times: usize) {
        for _ in 0..times {
            breaker.admit(now).unwrap().failed(now, "no connection");
        }
    }

    #[test]
    fn enough_failures_open_the_circuit_and_a_trial_closes_it() {
        let (breaker, mut now) = (breaker(3, 50), Instant::now());
        fail(&breaker, now, 2);
        assert_eq!(breaker.refusal(now), None);
        fail(&breaker, now, 1);
        let refusal = breaker.admit(now).unwrap_err();
        assert_eq!(refusal.wait, 2 * SECOND);
        assert_eq!(
            refusal.into_error("provider `a` (vLLM)").message,
            "provider `a` (vLLM) is not called for 2.0 seconds, because its last calls failed: \
             no connection"
        );
        now += 2 * SECOND;
        let trial = breaker.admit(now).unwrap();
        assert!(breaker.admit(now).is_err(), "one trial at a time");
        assert!(breaker.trouble(now).is_some(), "half open is not closed");
        trial.succeeded();
        assert_eq!(breaker.trouble(now), None);
        assert!(breaker.admit(now).is_ok());
    }

    #[test]
    fn a_trial_that_fails_keeps_the_circuit_open() {
        let (breaker, mut now) = (breaker(1, 1), Instant::now());
        fail(&breaker, now, 1);
        for _ in 0..3 {
            now += 2 * SECOND;
            breaker.admit(now).unwrap().failed(now, "still none");
            let refusal = breaker.admit(now).unwrap_err();
            assert_eq!((refusal.wait, refusal.why.as_str()), (2 * SECOND, "still none"));
        }
    }

    #[test]
    fn a_trial_that_is_given_up_or_takes_long_makes_room_for_the_next() {
        let (breaker, mut now) = (breaker(1, 1), Instant::now());
        fail(&breaker, now, 1);
        now += 2 * SECOND;
        drop(breaker.admit(now).unwrap());
        let slow = breaker.admit(now).unwrap();
        assert!(breaker.admit(now).is_err());
        now += 2 * SECOND;
        breaker.admit(now).unwrap().succeeded();
        assert_eq!(breaker.trouble(now), None);
        slow.failed(now, "late");
        assert!(breaker.refusal(now).is_some(), "the later news counts");
    }

    #[test]
    fn old_failures_and_few_among_many_calls_do_not_open_it() {
        let (breaker, mut now) = (breaker(3, 50), Instant::now());
        for _ in 0..10 {
            fail(&breaker, now, 1);
            now += 6 * SECOND;
        }
        assert_eq!(breaker.refusal(now), None);
        now += 10 * SECOND;
        for _ in 0..100 {
            fail(&breaker, now, 1);
            for _ in 0..2 {
                breaker.admit(now).unwrap().succeeded();
            }
        }
        assert_eq!(breaker.refusal(now), None);
        fail(&breaker, now, 2);
        assert!(breaker.refusal(now).is_some());
    }

    #[test]
    fn news_of_calls_from_before_change_nothing_once_it_is_open() {
        let (breaker, now) = (breaker(1, 1), Instant::now());
        let (good, bad) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        fail(&breaker, now, 1);
        good.succeeded();
        bad.failed(now + SECOND, "late");
        assert_eq!(breaker.admit(now + SECOND).unwrap_err().wait, SECOND);
    }
}
