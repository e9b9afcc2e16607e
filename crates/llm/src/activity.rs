//! What a model is doing, in numbers.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long ago a step counts half, in seconds of computing.
const HALF_LIFE: f64 = 5.0;
/// The share of the latest request in the mean time of one.
const LATEST: f64 = 0.2;
/// When a caller who was refused should come again, while no request has been served.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause that a caller is told.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// What a model is doing, and has done since it was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Activity {
    /// Requests in the queue.
    pub waiting: usize,
    /// Requests that are being served.
    pub running: usize,
    /// Requests that were served, also those whose callers went away.
    pub served: u64,
    /// Tokens of prompts that were computed.
    pub prompt_tokens: u64,
    /// Tokens of prompts that were there from an earlier request.
    pub reused_tokens: u64,
    /// Tokens of answers.
    pub answer_tokens: u64,
    /// Requests that found the beginning of their prompt computed.
    pub reuses: u64,
    /// Times that a running request gave way to older ones, since the memory was full.
    pub paused: u64,
    /// Answers that are in one step, on average of late.
    pub batch: f64,
    /// Tokens of prompts a second, while prompts are read, of late.
    pub prompt_rate: f64,
    /// Tokens of answers a second, of all answers together, of late.
    pub answer_rate: f64,
    /// Tokens whose keys and values are in memory, and how many fit.
    pub cached: usize,
    pub cache_length: usize,
}

/// For people: `2 running, 1 waiting, 40 served; ...`. What has not happened is left out.
impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { running, waiting, served, .. } = self;
        write!(f, "{running} running, {waiting} waiting, {served} served")?;
        let read = self.prompt_tokens + self.reused_tokens;
        if let Some(reused) = (self.reused_tokens * 100).checked_div(read) {
            write!(f, ", {read} prompt tokens ({reused} % of them reused)")?;
            write!(f, " at {:.0} a second", self.prompt_rate)?;
        }
        if self.answer_tokens > 0 {
            write!(
                f,
                ", {} answer tokens at {:.0} a second",
                self.answer_tokens, self.answer_rate
            )?;
            write!(f, " in steps of {:.1}", self.batch)?;
        }
        if self.cache_length > 0 {
            write!(f, ", {} of {} tokens kept", self.cached, self.cache_length)?;
        }
        Ok(())
    }
}

/// A sum in which what is long past counts little.
#[derive(Debug, Default)]
struct Recent {
    amount: f64,
    seconds: f64,
}

impl Recent {
    fn add(&mut self, amount: f64, seconds: f64) {
        let kept = 0.5_f64.powf(seconds / HALF_LIFE);
        self.amount = self.amount * kept + amount;
        self.seconds = self.seconds * kept + seconds;
    }

    fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.amount / self.seconds } else { 0.0 }
    }
}

#[derive(Debug, Default)]
struct Counts {
    activity: Activity,
    prompts: Recent,
    answers: Recent,
    batch: Recent,
    /// The mean time that a request is served, in seconds.
    service: Option<f64>,
}

/// Counts what a worker does; read from other threads.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Counts>);

/// What a step of the worker did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Step {
    pub(crate) prompt_tokens: usize,
    pub(crate) answer_tokens: usize,
    pub(crate) took: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn activity(&self, waiting: usize) -> Activity {
        let counts = self.lock();
        Activity {
            waiting,
            batch: counts.batch.rate(),
            prompt_rate: counts.prompts.rate(),
            answer_rate: counts.answers.rate(),
            ..counts.activity
        }
    }

    /// A request begins, with so many tokens of its prompt there already.
    pub(crate) fn begun(&self, reused: usize) {
        let activity = &mut self.lock().activity;
        activity.reused_tokens += reused as u64;
        activity.reuses += u64::from(reused > 0);
    }

    pub(crate) fn paused(&self) {
        self.lock().activity.paused += 1;
    }

    pub(crate) fn stepped(&self, step: Step) {
        let mut counts = self.lock();
        let seconds = step.took.as_secs_f64();
        counts.activity.prompt_tokens += step.prompt_tokens as u64;
        counts.activity.answer_tokens += step.answer_tokens as u64;
        if step.answer_tokens > 0 {
            counts.answers.add(float(step.answer_tokens), seconds);
            counts.batch.add(float(step.answer_tokens) * seconds, seconds);
        }
        if step.prompt_tokens > step.answer_tokens {
            counts.prompts.add(float(step.prompt_tokens), seconds);
        }
    }

    /// The state after a step.
    pub(crate) fn state(&self, running: usize, cached: (usize, usize)) {
        let activity = &mut self.lock().activity;
        activity.running = running;
        (activity.cached, activity.cache_length) = cached;
    }

    pub(crate) fn served(&self, took: Duration) {
        let mut counts = self.lock();
        counts.activity.served += 1;
        let took = took.as_secs_f64();
        let mean = counts.service.unwrap_or(took);
        counts.service = Some(mean + LATEST * (took - mean));
    }

    /// How long `waiting` requests will take, when `parallel` of them are served at a time: in
    /// whole seconds, at least one.
    pub(crate) fn pause(&self, waiting: usize, parallel: usize) -> Duration {
        let Some(service) = self.lock().service else { return UNKNOWN_PAUSE };
        let seconds = (service * float(waiting) / float(parallel.max(1))).ceil().max(1.0);
        Duration::from_secs_f64(seconds.min(LONGEST_PAUSE.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_late() {
        let meter = Meter::default();
        let step = |answers, millis| {
            let took = Duration::from_millis(millis);
            meter.stepped(Step { prompt_tokens: 0, answer_tokens: answers, took });
        };
        for _ in 0..1000 {
            step(1, 100);
        }
        assert!((meter.activity(0).answer_rate - 10.0).abs() < 1e-6);
        for _ in 0..1000 {
            step(8, 100);
        }
        let activity = meter.activity(3);
        assert!((activity.answer_rate - 80.0).abs() < 0.1, "{activity:?}");
        assert!((activity.batch - 8.0).abs() < 0.1, "{activity:?}");
        assert_eq!((activity.waiting, activity.answer_tokens), (3, 9000));
    }

    #[test]
    fn an_activity_is_told_in_one_line() {
        assert_eq!(Activity::default().to_string(), "0 running, 0 waiting, 0 served");
        let activity = Activity {
            running: 2,
            waiting: 1,
            served: 40,
            prompt_tokens: 300,
            reused_tokens: 100,
            prompt_rate: 250.4,
            answer_tokens: 80,
            answer_rate: 99.6,
            batch: 1.75,
            cached: 350,
            cache_length: 8192,
            ..Activity::default()
        };
        assert_eq!(
            activity.to_string(),
            "2 running, 1 waiting, 40 served, 400 prompt tokens (25 % of them reused) at 250 a \
             second, 80 answer tokens at 100 a second in steps of 1.8, 350 of 8192 tokens kept"
        );
    }

    #[test]
    fn the_pause_is_the_time_that_the_queue_takes() {
        let meter = Meter::default();
        assert_eq!(meter.pause(8, 2), UNKNOWN_PAUSE);
        meter.served(Duration::from_millis(2500));
        assert_eq!(meter.pause(8, 2), Duration::from_secs(10));
        assert_eq!(meter.pause(0, 8), Duration::from_secs(1));
        assert_eq!(meter.pause(1_000_000, 1), LONGEST_PAUSE);
    }
}
