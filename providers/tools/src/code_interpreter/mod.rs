//! The code interpreter: Python that models write, run in confined processes.

mod render;
#[cfg(test)]
mod tests;
mod turns;

use async_trait::async_trait;
use chaski_api::{
    Api, Error, Reader, Result, Wire,
    inspect::{HealthStatus, ProviderHealth},
    retrieval::RagSource,
    tools::{Tool, ToolDef, ToolGroup, ToolInvocationResult, ToolParameter},
};
use chaski_provider::{
    Context, Cpu, Deps, Lifecycle, Provider, ProviderConfig, Spec, ToolRuntime,
    ToolRuntimeProvider, data_url,
};
use chaski_sandbox::{Interpreter, InterpreterOptions, Job, Launcher, Limits, Python, Status};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::OnceCell;
use turns::{CALLS_OF_SESSION, Turns};

const DOCS: &str = "\
Runs the Python code of models with the tool `code_interpreter`, which takes `code`. It needs Linux and a Python on the
server, and no container, no network and no privileges.

**What the code can reach.** Each process gives up, before it becomes Python, all that code is not to have:

| | |
| --- | --- |
| Files | Landlock leaves the libraries of Python and of the system to read, and a folder of its own to write. Whether there is a file of a name can still be asked. |
| Network | None: seccomp refuses sockets. |
| Processes | None: it starts no others, and signals and traces none. Threads are counted. |
| System calls | A list of those that computing needs. All others are refused. |
| Resources | `memory_mb` of address space, `timeout_seconds` for a call (and 30 times that of processor time for a session), 32 MiB for a file, `folder_mb` for all files. |
| Identity | No variables of the environment; a user of its own where the server is root; namespaces where there are any. |

Where the kernel has no Landlock (Linux 5.13 and newer have it) or no seccomp, nothing is run, and the health of the
provider says so.

**Sessions.** Code that agents run finds the variables and files of earlier calls of its session; so does a call with a
`session_id` among its arguments. Sessions belong to the caller, and the calls of one run one after another: at most 32
run or wait, and more are refused. A call that takes too long, or takes down its process, ends the state of its session,
and the result says so. Without a session each call has a process of its own. Documents of a turn, whatever their media
type, are in the working folder, byte for byte; so is what the argument `files` has by its names: a text, or
`{\"uri\": \"data:...\"}` with a `data:` URL.

**Results** begin with `completed`, `timeout` or `error`; what was printed, the value of a last expression, and
exceptions follow. Files that the code made or changed are listed, short texts among them are shown, and up to 4
images are part of the content. Figures of matplotlib become images by `plt.show()`, or at the end of the code.

The files themselves are `attachments` in the `metadata` of the answer: a list of objects with `name`, `mime_type`,
`bytes` and `content`, which is a text, an image (`{\"type\": \"image\", ...}`) or `{\"uri\": \"data:...\"}`. Of the files
of a call 8 MiB together are returned; the others have no `content`, and the text names them. In turns of agents they are
the `output_attachments`.

**Packages** are those of `python`, which may be that of a virtual environment.

**Why not WebAssembly.** CPython for WASI is not in the registries of Python and JavaScript packages (Pyodide is, and
needs a JavaScript engine), so a fresh machine would have to fetch it from elsewhere. It could not import what is
installed and compiled, such as NumPy and matplotlib, and its runtime is a compiler that would become part of the
binary. A confined process of the Python that is there starts in 35 to 55 ms on two cores and holds 9 MB; the next call
of its session takes less than a millisecond.
";

chaski_api::wire! {
    /// The configuration of `inline::code-interpreter`.
    pub struct CodeInterpreterConfig {
        /// The Python, by its path or its name in the folders of the `PATH`: version 3.9 or newer.
        pub python: String = "python3".to_owned(),
        /// The most seconds of a call.
        pub timeout_seconds: i64 = 20,
        /// The most MiB of address space of a process.
        pub memory_mb: i64 = 1024,
        /// The most MiB of the files of a process together.
        pub folder_mb: i64 = 128,
        /// The most bytes that are returned of each output stream; the middle of longer ones is left out.
        pub max_output_bytes: i64 = 65536,
        /// Sessions that keep a process, and calls that run at one time. More calls wait; a new session takes the
        /// place of the one that has waited longest.
        pub max_sessions: i64 = 8,
        /// The seconds for which a session without a call keeps its process.
        pub idle_seconds: i64 = 600,
    }
}

/// What the numbers may be.
const NUMBERS: &[(&str, RangeInclusive<i64>)] = &[
    ("timeout_seconds", 1..=3600),
    ("memory_mb", 128..=1_048_576),
    ("folder_mb", 1..=1_048_576),
    ("max_output_bytes", 100..=1_048_576),
    ("max_sessions", 1..=256),
    ("idle_seconds", 1..=86400),
];

const MIB: u64 = 1024 * 1024;

/// How much processor time the calls of a session may use together, in times of one call.
const CALLS: u64 = 30;

impl CodeInterpreterConfig {
    fn number(&self, name: &str) -> i64 {
        match name {
            "timeout_seconds" => self.timeout_seconds,
            "memory_mb" => self.memory_mb,
            "folder_mb" => self.folder_mb,
            "max_output_bytes" => self.max_output_bytes,
            "max_sessions" => self.max_sessions,
            _ => self.idle_seconds,
        }
    }

    fn options(&self) -> InterpreterOptions {
        let seconds = self.timeout_seconds.unsigned_abs();
        InterpreterOptions {
            limits: Limits {
                time: Duration::from_secs(seconds),
                memory_bytes: self.memory_mb.unsigned_abs() * MIB,
                cpu_seconds: seconds * CALLS,
                folder_bytes: self.folder_mb.unsigned_abs() * MIB,
                output_bytes: usize::try_from(self.max_output_bytes).unwrap_or_default(),
                ..Limits::default()
            },
            sessions: self.sessions(),
            idle: Duration::from_secs(self.idle_seconds.unsigned_abs()),
        }
    }

    fn sessions(&self) -> usize {
        usize::try_from(self.max_sessions).unwrap_or(1)
    }
}

impl ProviderConfig for CodeInterpreterConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }

    fn validate(&self, reader: &mut Reader) {
        for (name, range) in NUMBERS {
            let number = self.number(name);
            if !range.contains(&number) {
                let (least, most) = (range.start(), range.end());
                let text = format!("must be an integer from {least} to {most}, not {number}");
                reader.key(*name, |reader| reader.issue::<()>("count", text));
            }
        }
    }
}

/// What the provider has of this machine.
struct Machine {
    config: CodeInterpreterConfig,
    /// Threads that wait for processes, one for each call.
    threads: Cpu,
    /// Who waits for a thread.
    turns: Turns,
    /// The processes, once it is known that this machine can confine them.
    interpreter: OnceCell<Arc<Interpreter>>,
    /// Why it cannot, when that was tried last.
    failure: Mutex<Option<String>>,
}

/// The provider `inline::code-interpreter`.
pub(crate) struct CodeInterpreter(Arc<Machine>);

impl Provider for CodeInterpreter {
    type Api = dyn ToolRuntimeProvider;
    type Config = CodeInterpreterConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::ToolRuntime,
            "inline::code-interpreter",
            "Runs Python code in confined processes.",
        )
    };

    async fn build(config: CodeInterpreterConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let machine = Arc::new(Machine {
            threads: Cpu::new(config.sessions()),
            turns: Turns::new(config.sessions().saturating_mul(CALLS_OF_SESSION)),
            config,
            interpreter: OnceCell::new(),
            failure: Mutex::default(),
        });
        deps.tasks.spawn(end_the_idle(Arc::clone(&machine)));
        Ok(Arc::new(Self(machine)))
    }
}

/// How often it is looked for processes that have waited too long.
const SWEEP: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(15);

async fn end_the_idle(machine: Arc<Machine>) {
    let pause = (machine.config.options().idle / 4).clamp(*SWEEP.start(), *SWEEP.end());
    loop {
        tokio::time::sleep(pause).await;
        if let Some(interpreter) = machine.interpreter.get().cloned() {
            // Processes end in milliseconds, but their folders may be large.
            let _ = tokio::task::spawn_blocking(move || interpreter.sweep()).await;
        }
    }
}

/// The name of the tool.
const TOOL: &str = "code_interpreter";

/// Bytes of the id of a session at most.
const SESSION_BYTES: usize = 256;

chaski_api::wire! {
    /// What the tool takes, beyond what its parameters tell a model.
    struct Arguments {
        /// The code.
        code: String,
        /// The session whose variables and files it finds.
        session_id: Option<String>,
        /// What it finds as files, by their names.
        files: Option<BTreeMap<String, RagSource>>,
    }
}

/// A file that comes with a call: its name, and what is in it.
fn given((name, source): (String, RagSource)) -> Result<(String, Vec<u8>)> {
    let wrong = |why: &str| {
        let shown: String = name.chars().take(80).collect();
        let shown = shown.escape_debug();
        Error::invalid(format!("the file `{shown}` in `files` is wrong: {why}"))
            .with_param("kwargs")
    };
    let content = match source {
        RagSource::Url(url) => data_url(&url.uri).map_err(|error| wrong(&error.message))?.1.into(),
        RagSource::Content(content) => content
            .texts("\n")
            .ok_or_else(|| wrong("it must be a text, or have a `data:` URL in `uri`"))?
            .into_bytes(),
    };
    Ok((name, content))
}

/// Tells the thread of a call that nobody waits for it any more.
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Machine {
    /// The processes. The first caller finds out whether they can be confined, and on which Python.
    async fn interpreter(&self) -> Result<&Arc<Interpreter>> {
        let (program, options) = (self.config.python.clone(), self.config.options());
        let start = || async move {
            let start = move || {
                let python = Python::find(&program)?;
                let interpreter = Interpreter::new(Launcher::this_program()?, python, options)?;
                let job = Job { code: "print(1)".to_owned(), files: Vec::new() };
                let tried = interpreter.run(None, &job, &AtomicBool::new(false))?;
                if tried.status != Status::Completed || tried.stdout.text != "1\n" {
                    return Err(Error::unavailable(format!(
                        "`{program}` does not run code: {} {}",
                        tried.notes.join("; "),
                        tried.stderr.text.trim()
                    )));
                }
                Ok(Arc::new(interpreter))
            };
            self.threads.run(start).await?
        };
        let outcome = self.interpreter.get_or_try_init(start).await;
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) =
            outcome.as_ref().err().map(|error| error.message.clone());
        outcome
    }
}

#[async_trait]
impl ToolRuntime for CodeInterpreter {
    async fn tools(&self, _cx: &Context, _group: &ToolGroup) -> Result<Vec<ToolDef>> {
        Ok(vec![ToolDef {
            name: TOOL.to_owned(),
            description: Some("Execute code".to_owned()),
            parameters: Some(vec![ToolParameter::required(
                "code",
                "string",
                "The code to execute",
            )]),
            metadata: None,
        }])
    }

    async fn invoke(
        &self,
        cx: &Context,
        _group: &ToolGroup,
        _tool: &Tool,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        let arguments = Arguments::from_json(arguments.into()).map_err(|issues| {
            let issues: Vec<String> = issues.iter().map(ToString::to_string).collect();
            let message = format!("the arguments of `{TOOL}` are wrong: {}", issues.join("; "));
            Error::invalid(message).with_param("kwargs")
        })?;
        if arguments.session_id.as_ref().is_some_and(|session| session.len() > SESSION_BYTES) {
            let message = format!("`session_id` must have at most {SESSION_BYTES} bytes");
            return Err(Error::invalid(message).with_param("kwargs"));
        }
        let interpreter = Arc::clone(self.0.interpreter().await?);
        // Whoever names the session of another finds one of their own.
        let owner = cx.owner();
        let session = arguments
            .session_id
            .map(|session| json!([owner.tenant, owner.principal, session]).to_string());
        let owner = json!([owner.tenant, owner.principal]).to_string();
        let files = arguments.files.unwrap_or_default().into_iter();
        let files = files.map(given).collect::<Result<Vec<_>>>()?;
        let job = Job { code: arguments.code, files };
        let cancelled = Arc::new(AtomicBool::new(false));
        let _caller = Caller(Arc::clone(&cancelled));
        let turn = self.0.turns.take(&owner, session.as_deref()).await?;
        let run = move || {
            let outcome = interpreter.run(session.as_deref(), &job, &cancelled);
            drop(turn);
            outcome
        };
        Ok(render::result(self.0.threads.run(run).await??))
    }
}

#[async_trait]
impl Lifecycle for CodeInterpreter {
    /// Tries whether the machine can run code, without waiting: the tool is there at once, and the
    /// first call waits.
    async fn check(&self) -> Result<()> {
        if !self.0.interpreter.initialized() {
            let machine = Arc::clone(&self.0);
            tokio::spawn(async move { machine.interpreter().await.map(|_| ()) });
        }
        Ok(())
    }

    fn health(&self) -> ProviderHealth {
        let message = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = message.is_some();
        let status = if failed { HealthStatus::Degraded } else { HealthStatus::Ok };
        ProviderHealth::new(status, message)
    }

    async fn shutdown(&self) {
        if let Some(interpreter) = self.0.interpreter.get().cloned() {
            let _ = tokio::task::spawn_blocking(move || interpreter.close()).await;
        }
    }
}
