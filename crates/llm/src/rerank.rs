//! A loaded cross-encoder: a query and documents in, how well each of them fits out.

use crate::{
    Activity, Error, LoadOptions, Result,
    activity::{Meter, Step},
    backend::backend,
    gguf::{Facts, Header},
    lease::Lease,
    model::{fit, load_file},
    thread_priority,
};
use llama_cpp_2::{
    context::{
        LlamaContext,
        params::{LlamaContextParams, LlamaPoolingType},
    },
    llama_batch::LlamaBatch,
    model::LlamaModel,
    token::LlamaToken,
};
use std::{num::NonZeroU32, path::Path, sync::Arc, thread, time::Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// The tokens of a batch, and the most of a query together with a document: the original reads as
/// many of a pair. A pair is never split over two batches.
const BATCH: usize = 512;
/// The same for the engine.
const CONTEXT: u32 = 512;
/// The pairs of a batch.
const PAIRS: usize = 8;
/// The documents of a request that are worked on before the next request has its turn.
const TURN: usize = 32;

/// How well documents fit a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// One per document, in their order, from 0 to 1.
    pub scores: Vec<f32>,
    /// The tokens of all pairs, after they were cut.
    pub tokens: usize,
}

struct Job {
    query: Arc<str>,
    documents: Vec<String>,
    answer: oneshot::Sender<Result<Scores>>,
}

/// A loaded cross-encoder. Clones share it; it is unloaded when the last one is dropped.
#[derive(Clone)]
pub struct Reranker {
    facts: Arc<Facts>,
    memory: u64,
    queue: mpsc::Sender<Job>,
    meter: Arc<Meter>,
    /// Closed when the worker has ended and its memory is free.
    ended: watch::Receiver<()>,
    // Dropped after what it stands for.
    lease: Lease,
}

impl Reranker {
    /// Loads the GGUF file at `path`.
    ///
    /// # Errors
    /// When the file is not a usable cross-encoder, or does not fit into memory.
    pub async fn load(
        path: &Path,
        options: LoadOptions,
        progress: impl FnMut(f32) + Send + 'static,
    ) -> Result<Self> {
        let path = path.to_owned();
        let (ready, loaded) = oneshot::channel();
        let (queue, jobs) = mpsc::channel(options.queue_size.max(1));
        let meter = Arc::new(Meter::default());
        let counts = Arc::clone(&meter);
        let (alive, ended) = watch::channel(());
        let worker = move || {
            thread_priority::below_network();
            let start = || -> Result<(Arc<LlamaModel>, Facts, u64)> {
                let header = Header::read(&path)?;
                check(&header, &path)?;
                let memory = fit(&header, CONTEXT, &options)?;
                Ok((load_file(&path, &options, progress)?, header.facts(), memory))
            };
            match start() {
                Err(error) => _ = ready.send(Err(error)),
                Ok((model, facts, memory)) => match Worker::new(&model, &facts, &options) {
                    Err(error) => _ = ready.send(Err(error)),
                    Ok(worker) => {
                        if ready.send(Ok((facts, memory))).is_ok() {
                            worker.run(jobs, &counts);
                        }
                    }
                },
            }
            drop(alive);
        };
        thread::Builder::new().name("rerank".into()).spawn(worker).map_err(Error::engine)?;
        let (facts, memory) =
            loaded.await.unwrap_or_else(|_| Err(Error::engine("the worker ended")))?;
        Ok(Self { facts: Arc::new(facts), memory, queue, meter, ended, lease: Lease::new() })
    }

    /// The memory that the GGUF file at `path` would take, in bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn memory_needed(path: &Path) -> Result<u64> {
        let path = path.to_owned();
        let read = move || Ok(Header::read(&path)?.memory_needed(CONTEXT, CONTEXT));
        tokio::task::spawn_blocking(read).await.map_err(Error::engine)?
    }

    /// The memory that the model takes, in bytes, as it was estimated before loading.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// What it is doing, and has done. Tokens of pairs are counted as those of prompts.
    pub fn activity(&self) -> Activity {
        self.meter.activity(self.queue.max_capacity() - self.queue.capacity())
    }

    /// Whether somebody beside this clone has the model.
    pub fn in_use(&self) -> bool {
        self.lease.shared()
    }

    /// Ready when nobody beside this clone has the model.
    pub fn idle(&self) -> impl Future<Output = ()> + Send + 'static {
        self.lease.alone()
    }

    /// Gives this clone up. The future is ready when the model is unloaded, which waits for all
    /// other clones.
    pub fn unload(self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.clone();
        drop(self);
        async move { while ended.changed().await.is_ok() {} }
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How well each of `documents` fits `query`. What is longer than the model reads is cut at its
    /// end, the longer of the two first. Requests with many documents take turns with others.
    /// Dropping the future ends the work after the batch at hand.
    ///
    /// # Errors
    /// When the queue is full, or the engine fails.
    pub async fn score(&self, query: &str, documents: Vec<String>) -> Result<Scores> {
        let mut all = Scores { scores: Vec::with_capacity(documents.len()), tokens: 0 };
        let query: Arc<str> = query.into();
        for (turn, documents) in documents.chunks(TURN).enumerate() {
            let (answer, scores) = oneshot::channel();
            let job = Job { query: Arc::clone(&query), documents: documents.to_vec(), answer };
            if turn == 0 {
                self.queue.try_send(job).map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => {
                        let waiting = self.queue.max_capacity();
                        Error::Busy { waiting, pause: self.meter.pause(waiting, 1) }
                    }
                    mpsc::error::TrySendError::Closed(_) => Error::Gone,
                })?;
            } else {
                // A request that was begun is not refused any more.
                self.queue.send(job).await.map_err(|_| Error::Gone)?;
            }
            let found = scores.await.unwrap_or(Err(Error::Gone))?;
            all.scores.extend(found.scores);
            all.tokens += found.tokens;
        }
        Ok(all)
    }
}

/// What can be told from the header alone, before the engine sees the file.
fn check(header: &Header, path: &Path) -> Result<()> {
    let why = if !header.ranks() {
        "is not a rerank model: it has no classification head"
    } else if header.arch_number("attention.causal") != Some(0) {
        "ranks by a prompt and not as a cross-encoder; use a model such as `bge-reranker-v2-m3`"
    } else if header.arch_array_length("classifier.output_labels").is_some_and(|labels| labels != 1)
    {
        "gives several scores to a document; use a model with one"
    } else {
        return Ok(());
    };
    Err(Error::Broken { message: format!("`{}` {why}", path.display()) })
}

struct Worker<'m> {
    model: &'m LlamaModel,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    /// The most tokens of a pair.
    most: usize,
    /// The tokens before the query, between it and the document, and at the end.
    marks: [Vec<LlamaToken>; 3],
}

impl<'m> Worker<'m> {
    fn new(model: &'m LlamaModel, facts: &Facts, options: &LoadOptions) -> Result<Self> {
        let threads = i32::try_from(options.batch_threads.max(1)).unwrap_or(1);
        let size = CONTEXT;
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(size))
            .with_n_batch(size)
            .with_n_ubatch(size)
            .with_n_seq_max(u32::try_from(PAIRS).unwrap_or(1))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_embeddings(true)
            .with_pooling_type(LlamaPoolingType::Rank)
            .with_no_perf(true);
        let context = model.new_context(backend()?, parameters).map_err(Error::engine)?;
        let most = (facts.context_length as usize).clamp(16, BATCH);
        Ok(Self { model, context, batch: LlamaBatch::new(BATCH, 1), most, marks: marks(model) })
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>, meter: &Meter) {
        while let Some(mut job) = jobs.blocking_recv() {
            let began = Instant::now();
            let result = self.scores(&job.query, &job.documents, &mut job.answer);
            if let Ok(Some(Scores { tokens, .. })) = &result {
                let took = began.elapsed();
                meter.stepped(Step { prompt_tokens: *tokens, answer_tokens: 0, took });
                meter.served(took);
            }
            if let Some(result) = result.transpose() {
                _ = job.answer.send(result);
            }
        }
    }

    /// The scores; nothing when nobody waits for them any more.
    fn scores(
        &mut self,
        query: &str,
        documents: &[String],
        answer: &mut oneshot::Sender<Result<Scores>>,
    ) -> Result<Option<Scores>> {
        let mut found = Scores { scores: Vec::with_capacity(documents.len()), tokens: 0 };
        let query = self.tokens(query);
        let mut group: Vec<Vec<LlamaToken>> = Vec::new();
        let mut size = 0;
        for document in documents {
            let pair = self.pair(&query, &self.tokens(document));
            if group.len() == PAIRS || size + pair.len() > BATCH {
                if answer.is_closed() {
                    return Ok(None);
                }
                self.compute(&group, &mut found.scores)?;
                group.clear();
                size = 0;
            }
            size += pair.len();
            found.tokens += pair.len();
            group.push(pair);
        }
        self.compute(&group, &mut found.scores)?;
        Ok(Some(found))
    }

    fn tokens(&self, text: &str) -> Vec<LlamaToken> {
        // No token is longer, so that the rest would be cut anyway.
        let end = text.floor_char_boundary(text.len().min(self.most * 256));
        self.model.vocab().tokenize(&text.as_bytes()[..end], false, false)
    }

    fn pair(&self, query: &[LlamaToken], document: &[LlamaToken]) -> Vec<LlamaToken> {
        let [first, between, last] = &self.marks;
        let room = self.most - first.len() - between.len() - last.len();
        let (of_query, of_document) = shares(query.len(), document.len(), room);
        [first, &query[..of_query], between, &document[..of_document], last].concat()
    }

    fn compute(&mut self, group: &[Vec<LlamaToken>], scores: &mut Vec<f32>) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        self.batch.clear();
        for (sequence, tokens) in (0..).zip(group) {
            for (position, token) in (0..).zip(tokens) {
                self.batch.add(*token, position, &[sequence], true).map_err(Error::engine)?;
            }
        }
        self.context.encode(&mut self.batch).map_err(Error::engine)?;
        for (sequence, _) in (0..).zip(group) {
            let outputs = self.context.embeddings_seq_ith(sequence).map_err(Error::engine)?;
            let score = outputs.first().copied().filter(|score| score.is_finite());
            let score = score.ok_or_else(|| Error::engine("the model gives no usable score"))?;
            scores.push(1.0 / (1.0 + (-score).exp()));
        }
        Ok(())
    }
}

/// What stands around the two texts of a pair, as models of this kind are trained with it:
/// `[CLS] query [SEP] document [SEP]` in BERT, `<s> query </s></s> document </s>` in `RoBERTa`.
fn marks(model: &LlamaModel) -> [Vec<LlamaToken>; 3] {
    let vocabulary = model.vocab();
    let mut first = vocabulary.tokenize(b"", true, false);
    let last = first.split_off(first.len().min(1));
    let mut between = last.clone();
    if vocabulary.should_add_eos() {
        between.extend_from_slice(&last);
    }
    [first, between, last]
}

/// How many of `query` and `document` tokens are kept where there is room for so many: the longer
/// one is cut down to the other first, then both.
fn shares(query: usize, document: usize, room: usize) -> (usize, usize) {
    if query + document <= room {
        (query, document)
    } else if query <= room / 2 {
        (query, room - query)
    } else if document <= room / 2 {
        (room - document, document)
    } else {
        (room / 2, room - room / 2)
    }
}

#[cfg(test)]
mod tests;
