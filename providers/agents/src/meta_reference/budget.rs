//! The bounds of a turn: inferences, calls of tools, tokens and time.

use super::{
    records::Usage,
    run::{Run, said},
    watch::Repetition,
};
use chaski_api::{
    agents::AgentConfig,
    inference::{AnswerMessage, StopReason},
};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How often the model is asked, unless the agent says so.
const INFERENCES: i64 = 10;

/// The time of a turn. That in which it waits for its caller does not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    began: Instant,
    /// What was used before, in milliseconds.
    before: i64,
    /// When there is no time left, if the time is bounded.
    end: Option<Instant>,
}

impl Clock {
    /// Begins to count for a turn that has used something before.
    pub(super) fn start(config: &AgentConfig, used: Usage) -> Self {
        let (began, before) = (Instant::now(), used.milliseconds);
        let seconds = config.budget.as_ref().and_then(|budget| budget.seconds.as_ref());
        let end = seconds.and_then(|most| {
            let left = most.0.saturating_mul(1000).saturating_sub(before);
            began.checked_add(Duration::from_millis(u64::try_from(left).unwrap_or_default()))
        });
        Self { began, before, end }
    }

    /// What the turn has used, in milliseconds.
    pub(super) fn used(&self) -> i64 {
        let now = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.before.saturating_add(now)
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// What `work` gives, unless the time is over before.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.end {
            Some(end) => timeout_at(end, work).await.ok(),
            None => Some(work.await),
        }
    }
}

impl Run {
    /// Whether a bound of the turn is reached, so that no more calls are made.
    pub(super) fn is_spent(&self) -> bool {
        let most = self.config.max_infer_iters.as_ref().map_or(INFERENCES, |most| most.0);
        self.stored.usage.iterations >= most
            || self.has_no_tokens()
            || self.calls_left() == 0
            || self.clock.is_over()
            || Repetition::of(&self.stored.turn).is_endless()
    }

    /// The end of the turn, if a budget forbids that the model is asked. Where only the calls of tools
    /// are used up, it is asked once more, for its answer.
    pub(super) fn exhausted(&self) -> Option<AnswerMessage> {
        let budget = self.config.budget.as_ref()?;
        let (most, of) = if self.has_no_tokens() {
            (budget.tokens.as_ref()?.0, "tokens")
        } else if self.clock.is_over() {
            (budget.seconds.as_ref()?.0, "seconds")
        } else {
            return None;
        };
        let words = format!("The turn ends here: its budget of {most} {of} is used up.");
        Some(said(words, StopReason::EndOfTurn))
    }

    fn has_no_tokens(&self) -> bool {
        let most = self.config.budget.as_ref().and_then(|budget| budget.tokens.as_ref());
        most.is_some_and(|most| self.stored.usage.tokens >= most.0)
    }

    /// How many calls of tools the turn may still make.
    pub(super) fn calls_left(&self) -> usize {
        let most = self.config.budget.as_ref().and_then(|budget| budget.tool_calls.as_ref());
        most.map_or(usize::MAX, |most| {
            usize::try_from(most.0.saturating_sub(self.stored.usage.calls)).unwrap_or_default()
        })
    }

    /// Notes how much time the turn has used.
    pub(super) fn note_time(&mut self) {
        self.stored.usage.milliseconds = self.clock.used();
    }
}
