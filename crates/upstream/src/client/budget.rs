//! The retry budget: repeating calls must not become the load that keeps an upstream down.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::time::Instant;

/// The balance is counted in hundredths of a retry.
const RETRY: i64 = 100;
/// What there is at the start, and what time alone brings back: one retry a second up to this.
const FLOOR: i64 = 10 * RETRY;
/// The most that calls save up.
const MOST: i64 = 100 * RETRY;

/// Every call pays in a share of a retry, every retry takes out a whole one.
#[derive(Debug)]
pub(super) struct RetryBudget {
    percent: i64,
    balance: AtomicI64,
    since: Instant,
    /// Up to which second time has paid in.
    paid: AtomicU64,
}

impl RetryBudget {
    /// A budget of `percent` retries in a hundred calls.
    pub(super) fn new(percent: u32) -> Self {
        Self {
            percent: percent.into(),
            balance: AtomicI64::new(FLOOR),
            since: Instant::now(),
            paid: AtomicU64::new(0),
        }
    }

    /// Notes a call.
    pub(super) fn called(&self) {
        self.add(self.percent, MOST);
    }

    /// Whether there is a retry left; it is taken then.
    pub(super) fn take(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.since).as_secs();
        let paid = self.paid.fetch_max(now, Ordering::Relaxed);
        let seconds = i64::try_from(now.saturating_sub(paid)).unwrap_or(i64::MAX);
        self.add(seconds.saturating_mul(RETRY), FLOOR);
        let take = |balance: i64| (balance >= RETRY).then(|| balance - RETRY);
        self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn add(&self, amount: i64, most: i64) {
        let add = |balance: i64| {
            let more = balance.saturating_add(amount).min(most);
            (more > balance).then_some(more)
        };
        // Nothing is added where there is enough.
        let _enough = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn taken(budget: &RetryBudget, now: Instant) -> usize {
        std::iter::repeat_with(|| budget.take(now)).take_while(|taken| *taken).count()
    }

    #[test]
    fn retries_are_a_share_of_the_calls_beyond_the_first_few() {
        let budget = RetryBudget::new(20);
        let now = budget.since;
        assert_eq!(taken(&budget, now), 10);
        (0..100).for_each(|_| budget.called());
        assert_eq!(taken(&budget, now), 20);
        (0..100_000).for_each(|_| budget.called());
        assert_eq!(taken(&budget, now), 100);
    }

    #[test]
    fn time_brings_back_the_first_few_and_no_more() {
        let budget = RetryBudget::new(0);
        assert_eq!(taken(&budget, budget.since), 10);
        let now = budget.since + Duration::from_secs(3);
        assert_eq!(taken(&budget, now), 3);
        assert_eq!(taken(&budget, now + Duration::from_hours(1)), 10);
    }
}
