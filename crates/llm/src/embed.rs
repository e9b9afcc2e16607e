//! A loaded embedding model: texts in, vectors of length one out.

use crate::{
    Error, LoadOptions, Result,
    backend::backend,
    gguf::{Facts, Header},
    model::{fit, load_file},
};
use llama_cpp_2::{
    context::{LlamaContext, params::LlamaContextParams},
    llama_batch::LlamaBatch,
    model::LlamaModel,
    token::LlamaToken,
};
use std::{num::NonZeroU32, path::Path, sync::Arc, thread};
use tokio::sync::{mpsc, oneshot};

/// The tokens of a batch; a text is never split over two.
const BATCH: usize = 512;
/// The texts of a batch. More would only compare tokens of different texts with each other.
const TEXTS: usize = 8;
/// The texts of a request that are worked on before the next request has its turn.
const TURN: usize = 32;

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

struct Job {
    inputs: Vec<Input>,
    answer: oneshot::Sender<Result<Vectors>>,
}

/// A loaded embedding model. Clones share it; it is unloaded when the last one is dropped.
#[derive(Clone)]
pub struct Embedder {
    facts: Arc<Facts>,
    memory: u64,
    queue: mpsc::Sender<Job>,
}

impl Embedder {
    /// Loads the GGUF file at `path`. Of each text `max_tokens` tokens are read, with the two that
    /// mark its beginning and its end.
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
        let (ready, loaded) = oneshot::channel();
        let (queue, jobs) = mpsc::channel(options.queue_size.max(1));
        let worker = move || {
            let start = || -> Result<(Arc<LlamaModel>, Facts, u64)> {
                let header = Header::read(&path)?;
                if !header.embeds() {
                    return Err(Error::Broken {
                        message: format!("`{}` is not an embedding model", path.display()),
                    });
                }
                let context = u32::try_from(BATCH).unwrap_or(u32::MAX);
                let memory = fit(&header, context, &options)?;
                Ok((load_file(&path, &options, progress)?, header.facts(), memory))
            };
            match start() {
                Err(error) => _ = ready.send(Err(error)),
                Ok((model, facts, memory)) => {
                    let most = max_tokens.min(facts.context_length as usize).clamp(3, BATCH);
                    match Worker::new(&model, options.threads, most) {
                        Err(error) => _ = ready.send(Err(error)),
                        Ok(worker) => {
                            if ready.send(Ok((facts, memory))).is_ok() {
                                worker.run(jobs);
                            }
                        }
                    }
                }
            }
        };
        thread::Builder::new().name("embed".into()).spawn(worker).map_err(Error::engine)?;
        let (facts, memory) =
            loaded.await.unwrap_or_else(|_| Err(Error::engine("the worker ended")))?;
        Ok(Self { facts: Arc::new(facts), memory, queue })
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The length of the vectors.
    pub fn dimensions(&self) -> usize {
        self.facts.embedding_length as usize
    }

    /// The memory that the model takes, in bytes, as it was estimated before loading.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The vectors of `inputs`. Requests with many texts take turns with others. Dropping the future
    /// ends the work after the batch at hand.
    ///
    /// # Errors
    /// When a token id does not exist, or the queue is full.
    pub async fn embed(&self, inputs: Vec<Input>) -> Result<Vectors> {
        let mut all = Vectors { vectors: Vec::with_capacity(inputs.len()), tokens: 0 };
        for (turn, inputs) in inputs.chunks(TURN).enumerate() {
            let (answer, vectors) = oneshot::channel();
            let job = Job { inputs: inputs.to_vec(), answer };
            if turn == 0 {
                self.queue.try_send(job).map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => {
                        Error::Busy { waiting: self.queue.max_capacity() }
                    }
                    mpsc::error::TrySendError::Closed(_) => Error::Gone,
                })?;
            } else {
                // A request that was begun is not refused any more.
                self.queue.send(job).await.map_err(|_| Error::Gone)?;
            }
            let found = vectors.await.unwrap_or(Err(Error::Gone))?;
            all.vectors.extend(found.vectors);
            all.tokens += found.tokens;
        }
        Ok(all)
    }
}

struct Worker<'m> {
    model: &'m LlamaModel,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    most: usize,
}

impl<'m> Worker<'m> {
    fn new(model: &'m LlamaModel, threads: usize, most: usize) -> Result<Self> {
        let threads = i32::try_from(threads.max(1)).unwrap_or(1);
        let size = u32::try_from(BATCH).unwrap_or(u32::MAX);
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(size))
            .with_n_batch(size)
            .with_n_ubatch(size)
            .with_n_seq_max(u32::try_from(TEXTS).unwrap_or(1))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_embeddings(true)
            .with_no_perf(true);
        let context = model.new_context(backend()?, parameters).map_err(Error::engine)?;
        Ok(Self { model, context, batch: LlamaBatch::new(BATCH, 1), most })
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(mut job) = jobs.blocking_recv() {
            let result = self.vectors(&job.inputs, &mut job.answer);
            if let Some(result) = result.transpose() {
                _ = job.answer.send(result);
            }
        }
    }

    /// The vectors; nothing when nobody waits for them any more.
    fn vectors(
        &mut self,
        inputs: &[Input],
        answer: &mut oneshot::Sender<Result<Vectors>>,
    ) -> Result<Option<Vectors>> {
        let mut found = Vectors { vectors: Vec::with_capacity(inputs.len()), tokens: 0 };
        let mut group: Vec<Vec<LlamaToken>> = Vec::new();
        let mut size = 0;
        for input in inputs {
            let tokens = self.tokens(input)?;
            if group.len() == TEXTS || size + tokens.len() > BATCH {
                if answer.is_closed() {
                    return Ok(None);
                }
                self.compute(&group, &mut found.vectors)?;
                group.clear();
                size = 0;
            }
            size += tokens.len();
            found.tokens += tokens.len();
            group.push(tokens);
        }
        self.compute(&group, &mut found.vectors)?;
        Ok(Some(found))
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

    fn compute(&mut self, group: &[Vec<LlamaToken>], vectors: &mut Vec<Vec<f32>>) -> Result<()> {
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
            let vector = self.context.embeddings_seq_ith(sequence).map_err(Error::engine)?;
            let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            #[expect(clippy::cast_possible_truncation, reason = "the numbers have 32 bits")]
            let scale = if norm > 0.0 { (1.0 / norm) as f32 } else { 0.0 };
            vectors.push(vector.iter().map(|x| x * scale).collect());
        }
        Ok(())
    }
}
