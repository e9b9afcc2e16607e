//! The server under measurement, as a child process on a core of its own.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
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

impl Server {
    /// The server with one model that the upstream on this port serves.
    pub(crate) async fn in_front_of(binary: &Path, upstream: u16) -> Result<Self> {
        let folder = TempDir::new()?;
        let run = folder.path().join("run.yaml");
        let text = format!(
            "version: '2'\nimage_name: bench\napis: [inference]\nproviders:\n  inference:\n  \
             - {{provider_id: up, provider_type: remote::vllm, config: {{url: 'http://127.0.0.1:{upstream}/v1'}}}}\n\
             metadata_store: {{type: sqlite, db_path: '{}/registry.db'}}\n\
             models:\n- {{model_id: m, provider_id: up}}\n",
            folder.path().display()
        );
        fs::write(&run, text)?;
        let run = run.to_str().context("the folder has a plain name")?.to_owned();
        let (server, _) = Self::start(binary, &run, folder).await?;
        Ok(server)
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
        let (server, _) = Self::start_on(binary, "starter", folder, false).await?;
        Ok(server)
    }

    async fn start(binary: &Path, run: &str, folder: TempDir) -> Result<(Self, Duration)> {
        // Pinned to the second core; the first one is for the load and the upstream.
        Self::start_on(binary, run, folder, crate::machine::cores() > 1).await
    }

    async fn start_on(
        binary: &Path,
        run: &str,
        folder: TempDir,
        pinned: bool,
    ) -> Result<(Self, Duration)> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = if pinned {
            let mut command = Command::new("taskset");
            command.args(["-c", "1"]).arg(binary);
            command
        } else {
            Command::new(binary)
        };
        let log = fs::File::create(folder.path().join("log"))?;
        command
            .args(["run", run, "--port", &port.to_string()])
            .env("CHASKI_CONFIG_DIR", folder.path())
            .env("CHASKI_WEIGHTS_DIR", folder.path())
            .env("SQLITE_STORE_DIR", folder.path())
            .env("CHASKI_LOG", "all=warning")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let began = Instant::now();
        let child = command.spawn().context("cannot start the server")?;
        let mut server = Self { port, child, _folder: folder };
        while !healthy(port) {
            ensure!(began.elapsed() < Duration::from_secs(20), "the server does not answer");
            ensure!(server.child.try_wait()?.is_none(), "the server left");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok((server, began.elapsed()))
    }

    /// CPU time of the process so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name of the program may hold spaces; the fields after it do not.
        let (_, fields) = stat.rsplit_once(')').context("an unknown form of /proc/*/stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // Linux counts in hundredths of a second towards programs.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory, in MB.
    pub(crate) fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        let kilobytes: f64 = kilobytes.context("no VmRSS")?.parse()?;
        Ok(kilobytes / 1024.0)
    }
}

/// Whether `/v1/health` answers; without a client library, so that it costs next to nothing.
fn healthy(port: u16) -> bool {
    use std::io::{Read, Write};
    let ask = || -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(b"GET /v1/health HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        socket.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Starts the default template several times, with nothing fetched and nothing stored.
pub(crate) async fn cold_starts(binary: &Path, rounds: usize) -> Result<ColdStart> {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (server, time) = Server::start(binary, "starter", TempDir::new()?).await?;
        times.push(time.as_secs_f64() * 1000.0);
        if memory.len() < 3 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            memory.push(server.memory()?);
        }
    }
    Ok(ColdStart { milliseconds: median(times), idle_megabytes: median(memory), rounds })
}
