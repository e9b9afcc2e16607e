//! A loaded embedding model: texts in, vectors of length one out.
//!
//! Several threads work side by side, each on texts of its own, so that none waits for another
//! within a text. Requests take turns piece by piece.

mod counter;
mod engine;

use crate::{
    Activity, Error, LoadOptions, Result,
    activity::{Meter, Step},
    gguf::{Facts, Header},
    lease::Lease,
    model::fit,
    queue::{Queue, Refused, Wanted},
    thread_priority,
};
pub use counter::Counter;
use engine::{BATCH, Engine, Loaded};
use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Instant,
};
use tokio::sync::{oneshot, watch};

/// The texts of a request that a thread takes before the next request has its turn.
const PIECE: usize = 8;

/// A text to embed.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Text(String),
    /// Token ids, without those that mark beginning and end.
    Tokens(Vec<i32>),
}

/// The vectors of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// One per text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// The tokens of all texts, after they were cut.
    pub tokens: usize,
}

/// A request while threads work on it.
struct Work {
    inputs: Vec<Input>,
    state: Mutex<State>,
}

struct State {
    /// The first text that no thread has taken.
    next: usize,
    /// How many texts have their vectors.
    done: usize,
    found: Vectors,
    answer: Option<oneshot::Sender<Result<Vectors>>>,
    began: Option<Instant>,
}

impl Work {
    fn new(inputs: Vec<Input>, answer: oneshot::Sender<Result<Vectors>>) -> Self {
        let found = Vectors { vectors: vec![Vec::new(); inputs.len()], tokens: 0 };
        let state = State { next: 0, done: 0, found, answer: Some(answer), began: None };
        Self { inputs, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next texts; whether there are more.
    fn claim(&self) -> (std::ops::Range<usize>, bool) {
        let mut state = self.lock();
        state.began.get_or_insert_with(Instant::now);
        let begin = state.next;
        state.next = self.inputs.len().min(begin + PIECE);
        (begin..state.next, state.next < self.inputs.len())
    }

    /// Takes the vectors of the texts from `begin` on. Gives when the request was begun, if it is
    /// complete with them.
    fn complete(&self, begin: usize, vectors: Vec<Vec<f32>>, tokens: usize) -> Option<Instant> {
        let mut state = self.lock();
        state.done += vectors.len();
        state.found.tokens += tokens;
        for (place, vector) in state.found.vectors[begin..].iter_mut().zip(vectors) {
            *place = vector;
        }
        if state.done < self.inputs.len() {
            return None;
        }
        let found = Vectors {
            vectors: std::mem::take(&mut state.found.vectors),
            tokens: state.found.tokens,
        };
        // Nobody may be listening any more.
        _ = state.answer.take()?.send(Ok(found));
        state.began
    }

    fn fail(&self, error: Error) {
        if let Some(answer) = self.lock().answer.take() {
            _ = answer.send(Err(error));
        }
    }
}

impl Wanted for Arc<Work> {
    fn wanted(&self) -> bool {
        self.lock().answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }
}

/// A loaded embedding model. Clones share it; it is unloaded when the last one is dropped.
#[derive(Clone)]
pub struct Embedder {
    shared: Arc<Shared>,
    // Dropped after what it stands for.
    lease: Lease,
}

struct Shared {
    facts: Facts,
    /// The workers have it.
    loaded: Weak<Loaded>,
    memory: u64,
    workers: usize,
    queue: Arc<Queue<Arc<Work>>>,
    meter: Arc<Meter>,
    /// Closed when the workers have ended and their memory is free.
    ended: watch::Receiver<()>,
}

/// When the last user is gone, the workers end.
impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Embedder {
    /// Loads the GGUF file at `path`. Of each text `max_tokens` tokens are read, with the two that
    /// mark its beginning and its end. As many texts are computed side by side as
    /// `options.batch_threads` says.
    ///
    /// # Errors
    /// When the file is not a usable embedding model, or does not fit into memory.
    pub async fn load(
        path: &Path,
        max_tokens: usize,
        options: LoadOptions,
        progress: impl FnMut(f32) + Send + 'static,
    ) -> Result<Self> {
        let path = path.to_owned();
        let queue = Arc::new(Queue::new(options.queue_size));
        let meter = Arc::new(Meter::default());
        let workers = options.batch_threads.max(1);
        let start = move || -> Result<(Arc<Loaded>, Facts, u64)> {
            let header = Header::read(&path)?;
            if !header.embeds() {
                return Err(Error::Broken {
                    message: format!("`{}` is not an embedding model", path.display()),
                });
            }
            let memory = fit(&header, context(workers), &options)?;
            let loaded = Loaded::read(&path, &header, &options, progress)?;
            Ok((Arc::new(loaded), header.facts(), memory))
        };
        let loaded = tokio::task::spawn_blocking(start).await.map_err(Error::engine)?;
        let (model, facts, memory) = loaded?;
        let most = max_tokens.min(facts.context_length as usize).clamp(3, BATCH);
        let (alive, ended) = watch::channel(());
        let alive = Arc::new(alive);
        let loaded = Arc::downgrade(&model);
        let shared = Shared { facts, loaded, memory, workers, queue, meter, ended };
        for _ in 0..workers {
            let (queue, meter) = (Arc::clone(&shared.queue), Arc::clone(&shared.meter));
            let (model, alive) = (Arc::clone(&model), Arc::clone(&alive));
            let (ready, started) = oneshot::channel();
            let work = move || {
                thread_priority::below_network();
                match Worker::new(&model, most, queue, meter) {
                    Err(error) => _ = ready.send(Err(error)),
                    Ok(worker) => {
                        if ready.send(Ok(())).is_ok() {
                            worker.run();
                        }
                    }
                }
                drop(model);
                drop(alive);
            };
            thread::Builder::new().name("embed".into()).spawn(work).map_err(Error::engine)?;
            started.await.unwrap_or_else(|_| Err(Error::engine("the worker ended")))?;
        }
        Ok(Self { shared: Arc::new(shared), lease: Lease::new() })
    }

    pub fn facts(&self) -> &Facts {
        &self.shared.facts
    }

    /// The length of the vectors.
    pub fn dimensions(&self) -> usize {
        self.shared.facts.embedding_length as usize
    }

    /// The memory that the model takes, in bytes, as it was estimated before loading.
    pub fn memory(&self) -> u64 {
        self.shared.memory
    }

    /// What counts tokens as this model does.
    ///
    /// # Errors
    /// When the model has ended.
    pub fn counter(&self) -> Result<Counter> {
        let loaded = self.shared.loaded.upgrade().ok_or(Error::Gone)?;
        let model = (!loaded.is_apart()).then(|| self.clone());
        Ok(Counter::new(Arc::clone(&loaded.model), model))
    }

    /// What it is doing, and has done. Tokens of texts are counted as those of prompts.
    pub fn activity(&self) -> Activity {
        self.shared.meter.activity(self.shared.queue.waiting())
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
        let mut ended = self.shared.ended.clone();
        drop(self);
        async move { while ended.changed().await.is_ok() {} }
    }

    /// The memory that the GGUF file at `path` would take, in bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn memory_needed(path: &Path, options: &LoadOptions) -> Result<u64> {
        let (path, workers) = (path.to_owned(), options.batch_threads.max(1));
        let read =
            move || Ok(Header::read(&path)?.memory_needed(context(workers), context(workers)));
        tokio::task::spawn_blocking(read).await.map_err(Error::engine)?
    }

    /// The vectors of `inputs`, for `caller`. Callers take turns, also while they have many texts.
    /// Dropping the future ends the work after the texts at hand.
    ///
    /// # Errors
    /// When a token id does not exist, or the queue is full.
    pub async fn embed(&self, caller: Arc<str>, inputs: Vec<Input>) -> Result<Vectors> {
        if inputs.is_empty() {
            return Ok(Vectors { vectors: Vec::new(), tokens: 0 });
        }
        let (answer, vectors) = oneshot::channel();
        let work = Arc::new(Work::new(inputs, answer));
        let shared = &self.shared;
        shared.queue.push(caller, work).map_err(|refused| match refused {
            Refused::Full { waiting } => {
                Error::Busy { waiting, pause: shared.meter.pause(waiting, shared.workers) }
            }
            Refused::Closed => Error::Gone,
        })?;
        vectors.await.unwrap_or(Err(Error::Gone))
    }
}

/// The tokens that so many workers compute at a time.
fn context(workers: usize) -> u32 {
    u32::try_from(BATCH * workers).unwrap_or(u32::MAX)
}

struct Worker<'m> {
    model: &'m LlamaModel,
    engine: Engine<'m>,
    most: usize,
    queue: Arc<Queue<Arc<Work>>>,
    meter: Arc<Meter>,
}

/// However a worker ends, nobody goes on waiting for it.
impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl<'m> Worker<'m> {
    fn new(
        loaded: &'m Loaded,
        most: usize,
        queue: Arc<Queue<Arc<Work>>>,
        meter: Arc<Meter>,
    ) -> Result<Self> {
        Ok(Self { model: &loaded.model, engine: Engine::new(loaded)?, most, queue, meter })
    }
    /// Works until the queue is closed and empty.
    fn run(mut self) {
        while let Some((caller, work)) = self.queue.wait() {
            let (piece, more) = work.claim();
            if more {
                // Other threads, and other requests, go on meanwhile.
                self.queue.put_back(caller, Arc::clone(&work));
            }
            let begin = piece.start;
            let began = Instant::now();
            match self.vectors(&work.inputs[piece]) {
                Err(error) => work.fail(error),
                Ok(Vectors { vectors, tokens }) => {
                    let took = began.elapsed();
                    self.meter.stepped(Step { prompt_tokens: tokens, answer_tokens: 0, took });
                    if let Some(begun) = work.complete(begin, vectors, tokens) {
                        self.meter.served(begun.elapsed());
                    }
                }
            }
        }
    }

    fn vectors(&mut self, inputs: &[Input]) -> Result<Vectors> {
        let mut found = Vectors { vectors: Vec::with_capacity(inputs.len()), tokens: 0 };
        let mut group: Vec<Vec<LlamaToken>> = Vec::new();
        let mut size = 0;
        let together = self.engine.together();
        for input in inputs {
            let tokens = self.tokens(input)?;
            if group.len() == together.texts || size + tokens.len() > together.tokens {
                self.engine.compute(&group, &mut found.vectors)?;
                group.clear();
                size = 0;
            }
            size += tokens.len();
            found.tokens += tokens.len();
            group.push(tokens);
        }
        self.engine.compute(&group, &mut found.vectors)?;
        Ok(found)
    }

    /// The tokens of a text, cut as the original cuts them: the mark of the end stays.
    fn tokens(&self, input: &Input) -> Result<Vec<LlamaToken>> {
        let vocabulary = self.model.vocab();
        let mut tokens = match input {
            Input::Text(text) => {
                // No token is longer, so that the rest would be cut anyway.
                let end = text.floor_char_boundary(text.len().min(self.most * 256));
                vocabulary.tokenize(&text.as_bytes()[..end], true, false)
            }
            Input::Tokens(ids) => {
                if let Some(id) = ids.iter().find(|id| !(0..vocabulary.n_tokens()).contains(id)) {
                    return Err(Error::invalid("input", format!("there is no token `{id}`")));
                }
                let marks = vocabulary.tokenize(b"", true, false);
                let (first, last) = marks.split_at(marks.len().min(1));
                let ids = ids.iter().copied().map(LlamaToken);
                first.iter().copied().chain(ids).chain(last.iter().copied()).collect()
            }
        };
        if tokens.len() > self.most
            && let Some(end) = tokens.pop()
        {
            tokens.truncate(self.most - 1);
            tokens.push(end);
        }
        Ok(tokens)
    }
}
