//! A loaded chat model: requests in, events out. The thread of its worker does the computing.

use crate::{
    Activity, Constraint, Error, Event, Events, Prompt, Request, Result,
    activity::Meter,
    backend::backend,
    gguf::{Facts, Header, Projector},
    grammar::Grammars,
    lease::Lease,
    memory::available_memory,
    prompt::{Reader, Text},
    queue::{Queue, Refused},
    template::Template,
    thoughts::{OPEN, Thinking},
    thread_priority,
    vision::Vision,
    worker::{Job, Worker},
};
use llama_cpp_2::{
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Instant,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

/// How a model is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// The most tokens of a prompt and its answer together; nothing means what the model was
    /// trained for, but not more than 8192.
    pub context_length: Option<u32>,
    /// The most tokens of all requests together that are kept in memory; nothing means as many as
    /// one request may have.
    pub cache_length: Option<u32>,
    /// Threads that compute, when there is one token to compute.
    pub threads: usize,
    /// Threads that compute, when there are several: prompts, and answers side by side.
    pub batch_threads: usize,
    /// Layers on the graphics card, in builds that can use one.
    pub gpu_layers: u32,
    /// Requests that wait at most; further ones are refused.
    pub queue_size: usize,
    /// Answers that are generated at the same time.
    pub parallel: u32,
    /// Refuse to load a model that needs more memory than is free.
    pub check_memory: bool,
    /// The GGUF file that turns images into vectors for the model.
    pub projector: Option<PathBuf>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            context_length: None,
            cache_length: None,
            threads: default_threads(),
            batch_threads: default_batch_threads(),
            gpu_layers: 999,
            queue_size: 64,
            parallel: DEFAULT_PARALLEL,
            check_memory: true,
            projector: None,
        }
    }
}

/// The threads that compute when nothing is said: one core is left for the network.
pub fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// The threads that compute batches when nothing is said. A batch can do without a core for a
/// moment, and the network goes before it.
pub fn default_batch_threads() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The answers that are generated at the same time when nothing is said.
pub const DEFAULT_PARALLEL: u32 = 8;
/// The context when nothing is said, if the model was trained for more.
pub const DEFAULT_CONTEXT: u32 = 8192;
/// The tokens that are computed at a time.
pub(crate) const BATCH: u32 = 512;

/// A loaded chat model. Clones share it; it is unloaded when the last one is dropped.
#[derive(Clone)]
pub struct TextModel {
    shared: Arc<Shared>,
    // Dropped after what it stands for.
    lease: Lease,
}

struct Shared {
    model: Arc<LlamaModel>,
    vision: Option<Arc<Vision>>,
    template: Option<Template>,
    /// Whether the model may think before it answers a chat.
    thinks: bool,
    grammars: Grammars,
    facts: Facts,
    context: usize,
    memory: u64,
    parallel: usize,
    queue: Arc<Queue<Job>>,
    meter: Arc<Meter>,
    /// Closed when the worker has ended and its memory is free.
    worker: watch::Receiver<()>,
}

/// When the last user is gone, the worker ends.
impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl TextModel {
    /// Loads the GGUF file at `path`. `progress` hears of shares from 0 to 1.
    ///
    /// # Errors
    /// When the file is not a usable chat model, or does not fit into memory.
    pub async fn load(
        path: &Path,
        options: LoadOptions,
        progress: impl FnMut(f32) + Send + 'static,
    ) -> Result<Self> {
        let path = path.to_owned();
        let (ready, loaded) = oneshot::channel();
        let queue = Arc::new(Queue::new(options.queue_size));
        let meter = Arc::new(Meter::default());
        let parallel = options.parallel.max(1) as usize;
        let (alive, worker_ended) = watch::channel(());
        let parts = (Arc::clone(&queue), Arc::clone(&meter));
        let worker = move || {
            thread_priority::below_network();
            let start = || -> Result<Loaded> {
                let header = Header::read(&path)?;
                if !header.generates() {
                    return Err(Error::Broken {
                        message: format!("`{}` does not generate text", path.display()),
                    });
                }
                let facts = header.facts();
                let context = context_length(&options, &facts);
                let cells = cache_length(&options, context);
                let memory = fit(&header, cells, &options)?;
                let model = load_file(&path, &options, progress)?;
                let projector = options.projector.as_deref();
                let vision = projector.map(|path| Vision::load(path, &model, &options));
                let vision = vision.transpose()?.map(Arc::new);
                Ok(Loaded { model, vision, facts, context, memory, cells })
            };
            match start() {
                Err(error) => _ = ready.send(Err(error)),
                Ok(loaded) => {
                    let (held, vision) = (Arc::clone(&loaded.model), loaded.vision.clone());
                    let (queue, meter) = parts;
                    match Worker::new(&held, vision, &options, loaded.cells, queue, meter) {
                        Err(error) => _ = ready.send(Err(error)),
                        Ok(worker) => {
                            if ready.send(Ok(loaded)).is_ok() {
                                worker.run();
                            }
                        }
                    }
                }
            }
            drop(alive);
        };
        thread::Builder::new().name("llm".into()).spawn(worker).map_err(Error::engine)?;
        let Loaded { model, vision, facts, context, memory, .. } =
            loaded.await.unwrap_or_else(|_| Err(Error::engine("the worker ended")))?;
        let template = model.chat_template(None).ok().and_then(|text| text.to_string().ok());
        let text = |token: LlamaToken| {
            let text = model.vocab().text(token).map(|text| text.to_string_lossy().into_owned());
            text.unwrap_or_default()
        };
        let special = (text(model.vocab().bos()), text(model.vocab().eos()));
        let template =
            template.map(|template| Template::new(&template, special.0, special.1)).transpose()?;
        let thinks = template.as_ref().is_some_and(Template::knows_thoughts)
            || model.vocab().tokenize(OPEN.as_bytes(), false, true).len() == 1;
        let grammars = Grammars::default();
        let context = context as usize;
        let worker = worker_ended;
        let shared = Shared {
            model,
            vision,
            template,
            thinks,
            grammars,
            facts,
            context,
            memory,
            parallel,
            queue,
            meter,
            worker,
        };
        Ok(Self { shared: Arc::new(shared), lease: Lease::new() })
    }

    pub fn facts(&self) -> &Facts {
        &self.shared.facts
    }

    /// The most tokens of a prompt and its answer together.
    pub fn context_length(&self) -> usize {
        self.shared.context
    }

    /// Whether the model can see images.
    pub fn sees(&self) -> bool {
        self.shared.vision.is_some()
    }

    /// The memory that the model takes, in bytes, as it was estimated before loading.
    pub fn memory(&self) -> u64 {
        self.shared.memory
    }

    /// What it is doing, and has done.
    pub fn activity(&self) -> Activity {
        self.shared.meter.activity(self.shared.queue.waiting())
    }

    /// Whether somebody beside this clone has the model, or a request is being served.
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
        let mut worker = self.shared.worker.clone();
        drop(self);
        async move { while worker.changed().await.is_ok() {} }
    }

    /// The memory that the GGUF file at `path` would take, in bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn memory_needed(path: &Path, options: &LoadOptions) -> Result<u64> {
        let (path, options) = (path.to_owned(), options.clone());
        let read = move || {
            let header = Header::read(&path)?;
            let context = context_length(&options, &header.facts());
            memory(&header, cache_length(&options, context), &options)
        };
        tokio::task::spawn_blocking(read).await.map_err(Error::engine)?
    }

    /// Puts a request into the queue. Callers take turns, and the requests of each are served in
    /// the order in which they came.
    ///
    /// # Errors
    /// When the request cannot be served as it stands, or the queue is full.
    pub async fn generate(&self, request: Request) -> Result<Events> {
        let shared = Arc::clone(&self.shared);
        let caller = Arc::clone(&request.caller);
        let turn = self.turn(&request.prompt).await;
        // Rendering, tokenising, measuring images and compiling a grammar compute.
        let preparing = move || {
            let prepared = shared.prepare(request);
            drop(turn);
            prepared
        };
        let prepared = tokio::task::spawn_blocking(preparing).await;
        let (mut job, receiver) = prepared.map_err(Error::engine)??;
        // The model must not be unloaded while it works for somebody.
        job.keep = Some(Box::new(self.clone()));
        self.shared.queue.push(caller, job).map_err(|refused| match refused {
            Refused::Full { waiting } => Error::Busy {
                waiting,
                pause: self.shared.meter.pause(waiting, self.shared.parallel),
            },
            Refused::Closed => Error::Gone,
        })?;
        Ok(Events::new(receiver))
    }

    /// How many tokens a prompt has.
    ///
    /// # Errors
    /// When the prompt cannot be rendered, or is far too long.
    pub async fn count(&self, prompt: Prompt) -> Result<usize> {
        let shared = Arc::clone(&self.shared);
        let turn = self.turn(&prompt).await;
        let counting = move || {
            let read = shared.read(&prompt);
            drop(turn);
            read.map(|text| text.tokens.len())
        };
        tokio::task::spawn_blocking(counting).await.map_err(Error::engine)?
    }

    /// The right to measure the images of a prompt, if it has any.
    async fn turn(&self, prompt: &Prompt) -> Option<OwnedSemaphorePermit> {
        let vision = self.shared.vision.as_deref()?;
        let shown = matches!(prompt, Prompt::Chat(chat) if !chat.images.is_empty());
        if shown { vision.turn().await } else { None }
    }

    /// The text of a prompt.
    pub fn detokenize(&self, tokens: &[i32]) -> String {
        let tokens: Vec<LlamaToken> = tokens.iter().copied().map(LlamaToken).collect();
        let bytes = self.shared.model.vocab().detokenize(&tokens, false, true);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

type Prepared = (Job, mpsc::UnboundedReceiver<Result<Event>>);

impl Shared {
    fn prepare(&self, request: Request) -> Result<Prepared> {
        let Text { tokens: prompt, pictures, thinking } = self.read(&request.prompt)?;
        if request.prompt_logprobs && !pictures.is_empty() {
            let why = "the log probabilities of a prompt with images cannot be had";
            return Err(Error::invalid("logprobs", why));
        }
        let room = self.context.saturating_sub(prompt.len());
        if room == 0 {
            return Err(Error::TooLong { tokens: prompt.len(), limit: self.context });
        }
        let (events, receiver) = mpsc::unbounded_channel();
        let matcher = self.grammars.compile(&self.model, &request.constraint)?;
        // A constraint leaves no place for thoughts.
        let thinks = matches!(request.constraint, Constraint::None);
        let job = Job {
            prompt,
            pictures,
            thinking: if thinks { thinking } else { Thinking::Never },
            max_tokens: request.max_tokens.unwrap_or(room).min(room),
            sampling: request.sampling,
            stop: request.stop,
            logprobs: request.logprobs,
            prompt_logprobs: request.prompt_logprobs,
            choices: request.choices.max(1),
            matcher,
            shortest: request.constraint.shortest(),
            events,
            asked: Instant::now(),
            keep: None,
        };
        Ok((job, receiver))
    }
}

impl Shared {
    fn read(&self, prompt: &Prompt) -> Result<Text> {
        let reader = Reader {
            model: &self.model,
            template: self.template.as_ref(),
            thinks: self.thinks,
            vision: self.vision.as_deref(),
            context: self.context,
        };
        reader.read(prompt)
    }
}

/// A model when its worker begins.
struct Loaded {
    model: Arc<LlamaModel>,
    vision: Option<Arc<Vision>>,
    facts: Facts,
    context: u32,
    memory: u64,
    cells: u32,
}

fn context_length(options: &LoadOptions, facts: &Facts) -> u32 {
    let trained = if facts.context_length == 0 { DEFAULT_CONTEXT } else { facts.context_length };
    options.context_length.unwrap_or(trained.min(DEFAULT_CONTEXT)).max(16)
}

/// The tokens of all requests together: at least one of the longest fits.
fn cache_length(options: &LoadOptions, context: u32) -> u32 {
    options.cache_length.unwrap_or(context).max(context)
}

/// The memory that the model takes with so many tokens in it, and its projector.
fn memory(header: &Header, cells: u32, options: &LoadOptions) -> Result<u64> {
    let projector = options.projector.as_deref().map(Projector::read).transpose()?;
    let more = projector.map_or(0, |projector| projector.memory);
    Ok(header.memory_needed(cells, BATCH).saturating_add(more))
}

/// The memory that the model will take with so many tokens in it; refused where that is not free.
pub(crate) fn fit(header: &Header, cells: u32, options: &LoadOptions) -> Result<u64> {
    let needed = memory(header, cells, options)?;
    match available_memory() {
        Some(available) if options.check_memory && needed > available => {
            Err(Error::NoMemory { needed, available })
        }
        _ => Ok(needed),
    }
}

pub(crate) fn load_file(
    path: &Path,
    options: &LoadOptions,
    mut progress: impl FnMut(f32) + 'static,
) -> Result<Arc<LlamaModel>> {
    let parameters = LlamaModelParams::default()
        .with_n_gpu_layers(options.gpu_layers)
        .with_progress_callback(move |share| {
            progress(share);
            true
        });
    load_with(path, &parameters)
}

/// Loads what turns texts into tokens, without the learned numbers.
pub(crate) fn load_vocabulary(path: &Path) -> Result<Arc<LlamaModel>> {
    load_with(path, &LlamaModelParams::default().with_vocab_only(true))
}

fn load_with(path: &Path, parameters: &LlamaModelParams) -> Result<Arc<LlamaModel>> {
    let model = LlamaModel::load_from_file(backend()?, path, parameters);
    model.map(Arc::new).map_err(|error| Error::Broken {
        message: format!(
            "`{}` cannot be loaded: {error}; the log at level `debug` says more",
            path.display()
        ),
    })
}
