//! The thread of a model: takes requests from the queue and computes their answers.
//!
//! It works in steps: each step puts the next tokens of all active answers into one batch,
//! computes it, and chooses a token for each answer whose prompt is read. Requests begin and end
//! at any step. When the memory is full, the youngest request gives way and is computed again
//! later.

use crate::{
    Error, Event, LoadOptions, Result, Sampling,
    activity::{Meter, Step},
    backend::backend,
    cache::{Cache, Memory},
    model::BATCH,
    plan::{Need, shares},
    queue::{Queue, Wanted},
    run::{Progress, Run},
    thoughts::Thinking,
    vision::{Picture, Vision},
};
use llama_cpp_2::{
    context::{LlamaContext, params::LlamaContextParams},
    llama_batch::LlamaBatch,
    model::LlamaModel,
    token::LlamaToken,
};
use llguidance::Matcher;
use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Sequences beside those of running requests, for texts that may be gone on with.
const REMEMBERED: u32 = 16;
/// The engine cannot tell more sequences apart.
const MOST_SEQUENCES: u32 = 256;

/// A request that waits.
pub(crate) struct Job {
    pub(crate) prompt: Vec<LlamaToken>,
    /// The images in the prompt, in the order of their places.
    pub(crate) pictures: Vec<Picture>,
    /// Whether answers may begin with thoughts.
    pub(crate) thinking: Thinking,
    pub(crate) sampling: Sampling,
    pub(crate) stop: Vec<String>,
    pub(crate) max_tokens: usize,
    pub(crate) logprobs: Option<usize>,
    pub(crate) prompt_logprobs: bool,
    pub(crate) choices: u32,
    pub(crate) matcher: Option<Matcher>,
    /// The tokens at the end that are kept for closing what a constrained answer has opened.
    pub(crate) shortest: usize,
    pub(crate) events: mpsc::UnboundedSender<Result<Event>>,
    pub(crate) asked: Instant,
    /// Keeps the model while the request is served.
    pub(crate) keep: Option<Box<dyn Send>>,
}

impl Wanted for Job {
    fn wanted(&self) -> bool {
        !self.events.is_closed()
    }
}

/// A request that is being served.
struct Active {
    run: Run,
    /// Where its tokens are in the memory.
    sequence: usize,
    /// Counts up from request to request.
    number: u64,
    began: Instant,
    reused: usize,
}

/// A request that has begun and waits for room.
struct Paused {
    run: Run,
    number: u64,
    began: Instant,
}

pub(crate) struct Worker<'m> {
    model: &'m LlamaModel,
    vision: Option<Arc<Vision>>,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    cache: Cache,
    parallel: usize,
    active: Vec<Active>,
    /// In the order of their numbers: they go before those in the queue.
    paused: VecDeque<Paused>,
    begun: u64,
    queue: Arc<Queue<Job>>,
    meter: Arc<Meter>,
}

impl Memory for LlamaContext<'_> {
    fn copy(&mut self, from: usize, to: usize, length: usize) {
        let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        self.copy_cache(number(from), number(to), number(length));
    }

    fn cut(&mut self, sequence: usize, keep: usize) -> bool {
        let (sequence, from) = (u32::try_from(sequence).ok(), u32::try_from(keep).ok());
        self.clear_kv_cache_seq(sequence, from, None).unwrap_or(false)
    }

    fn clear(&mut self) {
        // The cells are marked as free; their old contents are never looked at.
        _ = self.clear_kv_cache_seq(None, None, None);
    }
}

impl<'m> Worker<'m> {
    /// A worker with a memory of `cells` tokens.
    pub(crate) fn new(
        model: &'m LlamaModel,
        vision: Option<Arc<Vision>>,
        options: &LoadOptions,
        cells: u32,
        queue: Arc<Queue<Job>>,
        meter: Arc<Meter>,
    ) -> Result<Self> {
        // The state of a recurrent model stands for a whole text, and cannot be had for a part.
        let shares = !model.is_recurrent() && !model.is_hybrid();
        let parallel = options.parallel.clamp(1, MOST_SEQUENCES);
        let remembered = if shares { REMEMBERED } else { 0 };
        let sequences = (parallel + remembered).min(MOST_SEQUENCES);
        let threads = |threads: usize| i32::try_from(threads.max(1)).unwrap_or(1);
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(cells))
            .with_n_batch(BATCH)
            .with_n_ubatch(BATCH)
            .with_n_seq_max(sequences)
            .with_kv_unified(true)
            .with_n_threads(threads(options.threads))
            .with_n_threads_batch(threads(options.batch_threads))
            .with_no_perf(true);
        let context = model.new_context(backend()?, parameters).map_err(Error::engine)?;
        // The engine rounds up.
        let cells = context.n_ctx();
        Ok(Self {
            model,
            vision,
            context,
            batch: LlamaBatch::new(BATCH as usize, 1),
            cache: Cache::new(cells, sequences as usize, shares),
            parallel: parallel as usize,
            active: Vec::new(),
            paused: VecDeque::new(),
            begun: 0,
            queue,
            meter,
        })
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            while self.active.len() < self.parallel {
                let Some(paused) = self.next() else {
                    if self.active.is_empty() {
                        return;
                    }
                    break;
                };
                if let Some(paused) = self.admit(paused) {
                    self.paused.push_front(paused);
                    break;
                }
            }
            self.step();
            self.meter.state(self.active.len() + self.paused.len(), self.cache.room());
        }
    }

    /// The next request to begin; waits for one when there is nothing else to do. Nothing when
    /// none is there, or will be.
    fn next(&mut self) -> Option<Paused> {
        if let Some(paused) = self.paused.pop_front() {
            return Some(paused);
        }
        let job = if self.active.is_empty() { self.queue.wait() } else { self.queue.take() };
        let (_, job) = job?;
        let run = Run::new(job);
        self.begun += 1;
        Some(Paused { run, number: self.begun, began: Instant::now() })
    }

    /// Begins a request; gives it back when there is no room for it yet.
    fn admit(&mut self, paused: Paused) -> Option<Paused> {
        let Paused { mut run, number, began } = paused;
        if !run.wanted() {
            return None;
        }
        if self.active.is_empty() && run.repeatable() {
            // Where tokens are in the memory changes the last digits too.
            self.cache.clear(&mut self.context);
        }
        let (tokens, most) = (run.tokens(), run.reusable());
        let owed: usize = self.active.iter().map(|active| active.run.owed()).sum();
        if !self.active.is_empty() && !self.cache.fits(tokens, most, owed) {
            return Some(Paused { run, number, began });
        }
        let Some(place) = self.cache.take(tokens, most, &mut self.context) else {
            return Some(Paused { run, number, began });
        };
        run.set_computed(place.shared);
        self.meter.begun(place.shared);
        let (sequence, reused) = (place.sequence, place.shared);
        self.active.push(Active { run, sequence, number, began, reused });
        None
    }

    fn step(&mut self) {
        let began = Instant::now();
        for index in (0..self.active.len()).rev() {
            if !self.active[index].run.wanted() {
                self.end(index);
            }
        }
        let image_tokens = self.compute_image();
        let Step { prompt_tokens, answer_tokens, .. } = self.fill_batch();
        let prompt_tokens = prompt_tokens + image_tokens;
        if self.batch.n_tokens() > 0
            && let Err(error) = self.context.decode(&mut self.batch)
        {
            tracing::error!(target: "inference", "The engine failed: {error}");
            for active in self.active.drain(..) {
                self.cache.give_back(active.sequence, &mut self.context);
                active.run.fail(Error::engine(&error));
            }
            self.cache.clear(&mut self.context);
            return;
        }
        for index in (0..self.active.len()).rev() {
            let active = &mut self.active[index];
            match active.run.advance(self.model, &self.context) {
                Progress::Reading | Progress::Answering => {}
                Progress::NextChoice { keep } => {
                    let sequence = active.sequence;
                    if !self.cache.cut(sequence, keep, &mut self.context) {
                        self.active[index].run.set_computed(0);
                    }
                }
                Progress::Done => self.end(index),
            }
        }
        self.meter.stepped(Step { prompt_tokens, answer_tokens, took: began.elapsed() });
    }

    /// Ends the request at `index`, which is complete or not wanted any more.
    fn end(&mut self, index: usize) {
        let Active { run, sequence, began, reused, .. } = self.active.swap_remove(index);
        self.cache.give_back(sequence, &mut self.context);
        let took = began.elapsed();
        self.meter.served(took);
        let (prompt, answer) = run.counts();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            target: "inference",
            prompt,
            reused,
            answer,
            waited_ms = milliseconds(began.duration_since(run.asked())),
            took_ms = milliseconds(took),
            "Served a request of the model"
        );
    }

    /// How many tokens of each request come into the next batch. Requests give way until there is
    /// room for all of them.
    fn plan(&mut self) -> Vec<usize> {
        loop {
            let needs: Vec<Need> = self
                .active
                .iter()
                .map(|Active { run, .. }| Need {
                    tokens: run.ready(),
                    answers: run.answers(),
                    scored: run.scores_prompt(),
                })
                .collect();
            // A small context has smaller batches, and the engine ends the process for a larger one.
            let shares = shares(&needs, self.context.n_batch().min(BATCH) as usize);
            if self.active.len() <= 1 || self.cache.available(shares.iter().sum()) {
                return shares;
            }
            let numbers = self.active.iter().map(|active| active.number).enumerate();
            if let Some((youngest, _)) = numbers.max_by_key(|(_, number)| *number) {
                self.pause(youngest);
            }
        }
    }

    /// Computes the next image of the oldest request that has come to one, and gives its tokens.
    /// One in each step, so that others go on between the images of a request.
    fn compute_image(&mut self) -> usize {
        let waiting = self.active.iter().enumerate().filter_map(|(index, active)| {
            Some((active.number, index, active.run.picture()?.clone()))
        });
        let oldest = waiting.min_by_key(|(number, ..)| *number);
        let Some((number, mut index, picture)) = oldest else { return 0 };
        while self.active.len() > 1 && !self.cache.available(picture.tokens) {
            let numbers = self.active.iter().map(|active| active.number).enumerate();
            let Some((youngest, found)) = numbers.max_by_key(|(_, number)| *number) else { break };
            self.pause(youngest);
            if found == number {
                return 0;
            }
            let place = self.active.iter().position(|active| active.number == number);
            index = place.unwrap_or(index);
        }
        let sequence = self.active[index].sequence;
        let pushed = (0..picture.tokens)
            .all(|_| self.cache.push(sequence, picture.token, &mut self.context).is_some());
        let computed = match &self.vision {
            Some(vision) if pushed => vision.compute(&picture, sequence, &mut self.context),
            Some(_) => Err(Error::engine("there is no room for an image")),
            None => Err(Error::engine("there is no projector")),
        };
        if let Err(error) = computed {
            tracing::error!(target: "inference", "An image was not computed: {error}");
            let Active { run, sequence, .. } = self.active.swap_remove(index);
            self.cache.cut(sequence, 0, &mut self.context);
            self.cache.give_back(sequence, &mut self.context);
            run.fail(error);
            return 0;
        }
        self.active[index].run.set_computed(picture.at + picture.tokens);
        picture.tokens
    }

    /// Makes room: the request at `index` is computed again later.
    fn pause(&mut self, index: usize) {
        let Active { mut run, sequence, number, began, .. } = self.active.swap_remove(index);
        self.cache.cut(sequence, 0, &mut self.context);
        self.cache.give_back(sequence, &mut self.context);
        run.set_computed(0);
        self.meter.paused();
        tracing::debug!(target: "inference", "A request waits for room in the memory");
        let place = self.paused.partition_point(|paused| paused.number < number);
        self.paused.insert(place, Paused { run, number, began });
    }

    /// Puts the next tokens of all active answers into the batch.
    fn fill_batch(&mut self) -> Step {
        self.batch.clear();
        let shares = self.plan();
        let mut step = Step::default();
        for (active, share) in self.active.iter_mut().zip(shares) {
            let Active { run, sequence, .. } = active;
            let answers = run.answers();
            let label = i32::try_from(*sequence).unwrap_or_default();
            let tokens = run.next_tokens(share);
            if answers {
                step.answer_tokens += tokens.len();
            } else {
                step.prompt_tokens += tokens.len();
            }
            for (token, scored) in tokens {
                let row = self.batch.n_tokens();
                // There is room: the plan has seen to it.
                let Some(at) = self.cache.push(*sequence, token, &mut self.context) else { break };
                let position = i32::try_from(at).unwrap_or(i32::MAX);
                if self.batch.add(token, position, &[label], scored).is_err() {
                    break;
                }
                if scored {
                    run.scored_at(at, row);
                }
            }
        }
        step
    }
}

/// However the worker ends, nobody goes on waiting for it.
impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
