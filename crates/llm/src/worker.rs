//! The thread of a model: takes requests from the queue and computes their answers.
//!
//! It works in steps: each step puts the next tokens of all active answers into one batch,
//! computes it, and chooses a token for each answer whose prompt is read.

use crate::{
    Error, Event, LoadOptions, Result, Sampling,
    backend::backend,
    model::BATCH,
    run::{Progress, Run},
};
use llama_cpp_2::{
    context::{LlamaContext, params::LlamaContextParams},
    llama_batch::LlamaBatch,
    model::LlamaModel,
    token::LlamaToken,
};
use llguidance::Matcher;
use std::{num::NonZeroU32, sync::Arc};
use tokio::sync::mpsc;

/// The scores of so many prompt tokens are kept at a time: each takes the whole vocabulary.
const SCORED_AT_A_TIME: usize = 32;

/// A request that waits.
pub(crate) struct Job {
    pub(crate) prompt: Vec<LlamaToken>,
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
    /// Keeps the model while the request is served.
    pub(crate) keep: Option<Arc<dyn Send + Sync>>,
}

/// A place for one answer in the context.
#[derive(Default)]
struct Slot {
    /// The tokens whose keys and values are in the context.
    cached: Vec<LlamaToken>,
    run: Option<Run>,
}

pub(crate) struct Worker<'m> {
    model: &'m LlamaModel,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    slots: Vec<Slot>,
}

impl<'m> Worker<'m> {
    pub(crate) fn new(model: &'m LlamaModel, options: &LoadOptions, context: u32) -> Result<Self> {
        let parallel = options.parallel.max(1);
        let threads = i32::try_from(options.threads.max(1)).unwrap_or(1);
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(context.saturating_mul(parallel)))
            .with_n_batch(BATCH)
            .with_n_ubatch(BATCH)
            .with_n_seq_max(parallel)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_no_perf(true);
        let context = model.new_context(backend()?, parameters).map_err(Error::engine)?;
        Ok(Self {
            model,
            context,
            batch: LlamaBatch::new(BATCH as usize, 1),
            slots: (0..parallel).map(|_| Slot::default()).collect(),
        })
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            while let Some(free) = self.slots.iter().position(|slot| slot.run.is_none()) {
                let idle = self.slots.iter().all(|slot| slot.run.is_none());
                let job = if idle { jobs.blocking_recv() } else { jobs.try_recv().ok() };
                match job {
                    Some(job) if job.events.is_closed() => {}
                    Some(job) => self.admit(free, job),
                    None if idle => return,
                    None => break,
                }
            }
            self.step();
        }
    }

    /// Gives the place `index` to a request. What it shares with the last one stays computed.
    fn admit(&mut self, index: usize, job: Job) {
        let slot = &mut self.slots[index];
        // The last token is computed again, since its scores are needed. A seed asks for the same
        // answer each time, and results differ in the last digits with the size of the batch.
        let afresh = job.sampling.seed.is_some() || job.prompt_logprobs;
        let most = if afresh { 0 } else { job.prompt.len().saturating_sub(1) };
        let pairs = slot.cached.iter().zip(&job.prompt);
        let shared = pairs.take(most).take_while(|(cached, token)| cached == token).count();
        slot.run = Some(Run::new(job, shared));
        self.forget(index, shared);
    }

    /// Removes what is computed of the place `index` from the position `keep` on.
    fn forget(&mut self, index: usize, keep: usize) {
        let slot = &mut self.slots[index];
        if slot.cached.len() == keep {
            return;
        }
        let (sequence, from) = (u32::try_from(index).ok(), u32::try_from(keep).ok());
        let removed = self.context.clear_kv_cache_seq(sequence, from, None).unwrap_or(false);
        if removed {
            slot.cached.truncate(keep);
        } else {
            // Some kinds of models cannot forget a part.
            _ = self.context.clear_kv_cache_seq(sequence, None, None);
            slot.cached.clear();
            if let Some(run) = &mut slot.run {
                run.rewind();
            }
        }
    }

    fn step(&mut self) {
        self.fill_batch();
        if self.batch.n_tokens() > 0
            && let Err(error) = self.context.decode(&mut self.batch)
        {
            for index in 0..self.slots.len() {
                if let Some(run) = self.slots[index].run.take() {
                    run.fail(Error::engine(&error));
                }
                self.slots[index].cached.clear();
            }
            self.context.clear_kv_cache();
            return;
        }
        for index in 0..self.slots.len() {
            let Some(run) = &mut self.slots[index].run else { continue };
            match run.advance(self.model, &self.context) {
                Progress::Reading | Progress::Answering => {}
                Progress::NextChoice { keep } => self.forget(index, keep),
                Progress::Done => self.slots[index].run = None,
            }
        }
    }

    /// Puts the next tokens of all active answers into the batch. One token per answer comes
    /// first, so that a long prompt does not hold up the others.
    fn fill_batch(&mut self) {
        self.batch.clear();
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        order.sort_by_key(|index| self.slots[*index].run.as_ref().map_or(0, Run::waiting));
        for index in order {
            let slot = &mut self.slots[index];
            let Some(run) = &mut slot.run else { continue };
            let used = usize::try_from(self.batch.n_tokens()).unwrap_or_default();
            let mut room = (BATCH as usize).saturating_sub(used);
            if run.scores_prompt() {
                room = room.min(SCORED_AT_A_TIME);
            }
            let sequence = i32::try_from(index).unwrap_or_default();
            for (token, scored) in run.next_tokens(room) {
                let row = self.batch.n_tokens();
                let position = i32::try_from(slot.cached.len()).unwrap_or(i32::MAX);
                if self.batch.add(token, position, &[sequence], scored).is_err() {
                    break;
                }
                slot.cached.push(token);
                if scored {
                    run.scored_at(row);
                }
            }
        }
    }
}
