//! The servers under measurement, each as a child process on a core of its own.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::{
    ffi::OsStr,
    fmt::Write,
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a server may take to answer; peers may compile themselves first.
const READY: Duration = Duration::from_mins(2);

pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in family(self.child.id()) {
            let _gone = Command::new("kill").args(["-9", &process.to_string()]).output();
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// How fast an empty server is there, and what it takes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ColdStart {
    /// From the start of the process to the first answer of `/v1/health`; median.
    pub(crate) milliseconds: f64,
    /// Resident memory two seconds later, in MB; median.
    pub(crate) idle_megabytes: f64,
    pub(crate) rounds: usize,
}

/// What a server in front of an upstream is set up with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// Asks for a token, and remembers what was decided for so many seconds.
    pub(crate) authentication: Option<u32>,
    /// Serves agents too.
    pub(crate) agents: bool,
    /// Keeps no traces; all others keep them as the template `starter` does.
    pub(crate) untraced: bool,
    /// Takes so many requests at a time in place of the usual number.
    pub(crate) requests: Option<usize>,
    /// Runs under this command.
    pub(crate) under: &'a [&'a str],
}

impl Server {
    /// The server with the models `m` and `endless` that the upstream on this port serves.
    pub(crate) async fn in_front_of(
        binary: &Path,
        upstream: u16,
        setup: Setup<'_>,
    ) -> Result<Self> {
        let folder = TempDir::new()?;
        let run = folder.path().join("run.yaml");
        let (mut apis, mut others) = (vec!["inference"], String::new());
        if setup.agents {
            apis.extend(["agents", "tool_runtime", "safety", "vector_io"]);
            others += &agents(&folder);
        }
        if !setup.untraced {
            apis.push("telemetry");
            others += &telemetry(&folder);
        }
        let mut text = format!(
            "version: '2'\nimage_name: bench\napis: [{}]\nproviders:\n  inference:\n  \
             - {{provider_id: up, provider_type: remote::vllm, config: {{url: 'http://127.0.0.1:{upstream}/v1'}}}}\n\
             {others}metadata_store: {{type: sqlite, db_path: '{}/registry.db'}}\n\
             models:\n- {{model_id: m, provider_id: up}}\n- {{model_id: endless, provider_id: up}}\nserver:\n  host: 127.0.0.1\n",
            apis.join(", "),
            folder.path().display()
        );
        if let Some(seconds) = setup.authentication {
            let _infallible = writeln!(
                text,
                "  auth: {{endpoint: 'http://127.0.0.1:{upstream}{}', ttl_seconds: {seconds}, negative_ttl_seconds: {seconds}}}",
                crate::upstream::AUTH
            );
        }
        if let Some(most) = setup.requests {
            let _infallible =
                writeln!(text, "  limits: {{concurrent_requests: {most}, connections: {most}}}");
        }
        fs::write(&run, text)?;
        let run = run.to_str().context("the folder has a plain name")?.to_owned();
        let command = chaski(binary, &run, &folder, pinned(), setup.under)?;
        Ok(Self::start(command, "/v1/health", folder).await?.0)
    }

    /// The default template with this model file; on all cores, as a user runs it.
    pub(crate) async fn with_model(binary: &Path, file: &Path) -> Result<Self> {
        Self::with_models(binary, &[file]).await
    }

    /// The default template with these model files; on all cores, as a user runs it.
    pub(crate) async fn with_models(binary: &Path, files: &[&Path]) -> Result<Self> {
        let folder = TempDir::new()?;
        for file in files {
            let name = file.file_name().context("a model file")?;
            std::os::unix::fs::symlink(fs::canonicalize(file)?, folder.path().join(name))?;
        }
        let command = chaski(binary, "starter", &folder, false, &[])?;
        Ok(Self::start(command, "/v1/health", folder).await?.0)
    }

    /// The reverse proxy beside this program, in front of the upstream.
    pub(crate) async fn bare_proxy(upstream: u16) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("bare-proxy");
        Self::other(&program, &[&upstream.to_string()], "/").await
    }

    /// Another server, whose `program` takes a port and then `arguments`.
    pub(crate) async fn other(program: &Path, arguments: &[&str], ready: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut command = command(program.as_os_str(), pinned(), &[]);
        command.arg(free_port()?.to_string()).args(arguments).env("HOME", folder.path());
        Ok(Self::start(command, ready, folder).await?.0)
    }

    async fn start(mut command: Command, ready: &str, folder: TempDir) -> Result<(Self, Duration)> {
        let port = command
            .get_args()
            .filter_map(OsStr::to_str)
            .find_map(|text| text.parse().ok().filter(|port| *port > 1024))
            .context("the command names its port")?;
        let log = fs::File::create(folder.path().join("log"))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir(folder.path());
        let began = Instant::now();
        let child = command.spawn().context("cannot start the server")?;
        let mut server = Self { port, child, folder };
        while !answers(port, ready).await {
            ensure!(began.elapsed() < READY, "the server does not answer: {}", server.log());
            ensure!(server.child.try_wait()?.is_none(), "the server left: {}", server.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok((server, began.elapsed()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// CPU time of the process and those it started, so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for process in family(self.child.id()) {
            // One that has left in the meantime counts in its parent.
            let Some(fields) = stat(process) else { continue };
            ticks += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        }
        // Linux counts in hundredths of a second towards programs.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory of the process and those it started, in MB.
    pub(crate) fn memory(&self) -> Result<f64> {
        let mut kilobytes = 0.0;
        for process in family(self.child.id()) {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmRSS:"));
            let resident = line.and_then(|line| line.split_whitespace().nth(1));
            kilobytes += resident.unwrap_or("0").parse::<f64>()?;
        }
        Ok(kilobytes / 1024.0)
    }

    /// Asks the server to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        for process in family(self.child.id()).into_iter().rev() {
            let _gone = Command::new("kill").arg(process.to_string()).status();
        }
        self.child.wait()?;
        Ok(())
    }
}

/// The providers of a configuration with agents.
fn agents(folder: &TempDir) -> String {
    format!(
        "  agents:\n  - provider_id: agents\n    provider_type: inline::meta-reference\n    config: \
         {{persistence_store: {{type: sqlite, db_path: '{}/agents.db'}}}}\n  tool_runtime: []\n  safety: []\n  \
         vector_io: []\n",
        folder.path().display()
    )
}

/// The provider of telemetry, as in the template `starter`.
fn telemetry(folder: &TempDir) -> String {
    format!(
        "  telemetry:\n  - provider_id: meta-reference\n    provider_type: inline::meta-reference\n    config: \
         {{service_name: llama-stack, sinks: 'console,sqlite', sqlite_db_path: '{}/trace_store.db'}}\n",
        folder.path().display()
    )
}

/// What Linux says about a process after its name: the state, the parent, and so on.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may hold spaces; the fields after it do not.
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// The process, and those that it started.
fn family(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let processes: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|child: u32| Some((child, stat(child)?.get(1)?.parse().ok()?)))
        .collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    found
}

/// Whether the server gets a core of its own; the first one is for the load and the upstream.
fn pinned() -> bool {
    crate::machine::cores() > 1
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A command, on the second core if `pinned`, and under other commands.
fn command(program: &OsStr, pinned: bool, under: &[&str]) -> Command {
    let pin: &[&str] = if pinned { &["taskset", "-c", "1"] } else { &[] };
    let words = pin.iter().chain(under).map(OsStr::new).chain([program]);
    let mut words = words.map(OsStr::to_owned);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn chaski(
    binary: &Path,
    run: &str,
    folder: &TempDir,
    pinned: bool,
    under: &[&str],
) -> Result<Command> {
    let binary = fs::canonicalize(binary)?;
    let mut command = command(binary.as_os_str(), pinned, under);
    command
        .args(["run", run, "--port", &free_port()?.to_string()])
        .env("CHASKI_CONFIG_DIR", folder.path())
        .env("CHASKI_WEIGHTS_DIR", folder.path())
        .env("SQLITE_STORE_DIR", folder.path())
        .env("CHASKI_LOG", "all=warning");
    Ok(command)
}

/// Whether `path` is answered; without a client library, so that it costs next to nothing. The
/// upstream, which a proxy asks, goes on meanwhile.
async fn answers(port: u16, path: &str) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        socket.read_exact(&mut head).await?;
        std::io::Result::Ok(head.starts_with(b"HTTP/1.1 2"))
    };
    timeout(Duration::from_secs(5), ask).await.is_ok_and(|answer| answer.unwrap_or(false))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Starts the default template several times, with nothing fetched and nothing stored.
pub(crate) async fn cold_starts(binary: &Path, rounds: usize) -> Result<ColdStart> {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let folder = TempDir::new()?;
        let command = chaski(binary, "starter", &folder, pinned(), &[])?;
        let (server, time) = Server::start(command, "/v1/health", folder).await?;
        times.push(time.as_secs_f64() * 1000.0);
        if memory.len() < 3 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            memory.push(server.memory()?);
        }
    }
    Ok(ColdStart { milliseconds: median(times), idle_megabytes: median(memory), rounds })
}
