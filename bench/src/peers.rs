//! Other gateways on the same load, where `make bench-peers` has installed them.
//!
//! A peer is a folder with `peer.json`, and `start.sh PORT UPSTREAM`, which becomes the gateway.

use crate::{
    load::{Kind, Pace, QUESTION},
    relay::Target,
    report::{self, Row},
    server::Server,
    upstream::Upstream,
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const ROUNDS: usize = 3;

/// How a peer is asked.
#[derive(Debug, Deserialize)]
pub(crate) struct Peer {
    /// Its name and version in the table.
    pub(crate) name: String,
    path: String,
    /// A path that answers once it is up.
    ready: String,
    model: String,
    /// Whether it takes Llama Stack's body.
    llama_stack: bool,
    /// Whether streams are measured.
    streams: bool,
    /// Whether it has agents, with the model.
    #[serde(default)]
    pub(crate) agents: bool,
    /// Headers of requests; `UPSTREAM` in them is the upstream's port.
    headers: BTreeMap<String, String>,
}

/// The peers in a folder, with their own folders.
pub(crate) fn installed(folder: &Path) -> Result<Vec<(PathBuf, Peer)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let folder = entry?.path();
        let Ok(text) = fs::read_to_string(folder.join("peer.json")) else { continue };
        let peer = serde_json::from_str(&text)
            .with_context(|| format!("{}/peer.json", folder.display()))?;
        found.push((folder, peer));
    }
    Ok(found)
}

/// A peer in front of the upstream. One that does not start is named, and there is nothing.
pub(crate) async fn started(folder: &Path, peer: &Peer, upstream: u16) -> Option<Server> {
    let upstream = upstream.to_string();
    Server::other(&folder.join("start.sh"), &[&upstream], &peer.ready)
        .await
        .inspect_err(|error| eprintln!("{} is left out: {error:#}", peer.name))
        .ok()
}

/// The rows of all peers that start and answer. One that does not is named and left out.
pub(crate) async fn measure(folder: &Path) -> Result<Vec<Row>> {
    let upstream = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    let mut rows = Vec::new();
    for (folder, peer) in installed(folder)? {
        let Some(server) = started(&folder, &peer, upstream.port).await else { continue };
        match measure_one(&peer, &server, upstream.port).await {
            Ok(measured) => rows.extend(measured),
            Err(error) => eprintln!("{} is left out: {error:#}", peer.name),
        }
    }
    Ok(report::medians(rows))
}

async fn measure_one(peer: &Peer, server: &Server, upstream: u16) -> Result<Vec<Row>> {
    let port = upstream.to_string();
    let headers = peer.headers.iter();
    let headers = headers.map(|(name, value)| (name.clone(), value.replace("UPSTREAM", &port)));
    let target = Target {
        name: peer.name.as_str().into(),
        path: peer.path.as_str().into(),
        headers: headers.collect(),
        model: peer.model.as_str().into(),
        llama_stack: peer.llama_stack,
        port: server.port,
        server: Some(server),
        exact: false,
    };
    let kinds: &[Kind] = if peer.streams { &[Kind::Plain, Kind::Stream] } else { &[Kind::Plain] };
    let mut rows = Vec::new();
    for _ in 0..ROUNDS {
        for kind in kinds {
            for concurrency in [1, 16] {
                let pace = Pace::Closed { concurrency };
                rows.push(target.measure(*kind, pace, QUESTION).await?);
            }
        }
    }
    Ok(rows)
}
