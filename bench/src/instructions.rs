//! Instructions of one request, counted by Valgrind's callgrind: the same whatever else the
//! machine does, so that a small regression shows.

use crate::{
    load::{Kind, Pace, QUESTION},
    relay::{FACE, NATIVE, Target, UNTRACED},
    server::{Server, Setup},
    upstream::Upstream,
};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::{
    fs,
    path::Path,
    process::Command,
    rc::Rc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The requests of the two runs; what they differ by is divided by the difference.
const FEW: usize = 100;
const MANY: usize = 600;
/// How long the server may take to be ready.
const READY: Duration = Duration::from_mins(1);

/// The instructions of a way through the server.
#[derive(Debug, Serialize)]
pub(crate) struct Count {
    pub(crate) target: Rc<str>,
    pub(crate) kind: Kind,
    pub(crate) per_request: u64,
}

/// Nothing where Valgrind is not installed.
pub(crate) async fn measure(binary: &Path) -> Result<Vec<Count>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok(Vec::new());
    }
    let mut counts = Vec::new();
    for name in [FACE, UNTRACED, NATIVE] {
        for kind in [Kind::Plain, Kind::Stream] {
            let few = count(binary, name, kind, FEW).await?;
            let many = count(binary, name, kind, MANY).await?;
            let per_request = many.saturating_sub(few) / (MANY - FEW) as u64;
            counts.push(Count { target: name.into(), kind, per_request });
        }
    }
    Ok(counts)
}

/// The instructions of a server's whole life with so many requests.
async fn count(binary: &Path, name: &str, kind: Kind, requests: usize) -> Result<u64> {
    let folder = TempDir::new()?;
    let file = folder.path().join("callgrind.out");
    let out = format!("--callgrind-out-file={}", file.display());
    let under = ["valgrind", "--tool=callgrind", "--trace-children=no", &out];
    let upstream = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    let setup = Setup { under: &under, untraced: name == UNTRACED, ..Setup::default() };
    let server = Server::in_front_of(binary, upstream.port, setup).await?;
    let target =
        if name == NATIVE { Target::native(&server) } else { Target::through(name, &server) };
    let load = target.load(kind, QUESTION);
    // Under Valgrind the server needs a while to find its upstream.
    let until = Instant::now() + READY;
    while let Err(error) = load.run(Pace::Count { requests: 1 }, Duration::ZERO).await {
        ensure!(Instant::now() < until, "the server does not get ready: {error:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    load.run(Pace::Count { requests }, Duration::ZERO).await?;
    server.stop()?;
    let text = fs::read_to_string(&file).context("callgrind wrote nothing")?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals:"));
    let line = line.or_else(|| text.lines().find_map(|line| line.strip_prefix("summary:")));
    line.context("no sum in callgrind's file")?.trim().parse().context("no number")
}
