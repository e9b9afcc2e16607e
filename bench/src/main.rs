//! `chaski-bench BINARY FOLDER [MODEL.gguf]`: measures the server against a fixed upstream, directly, through it,
//! through a bare proxy, and through other gateways where they are installed, all in one run; writes tables, the
//! numbers and a plot into the folder.
//!
//! `chaski-bench engine BINARY FOLDER PYTHON MODEL.gguf...`: measures the engine under load, and its
//! embeddings beside Sentence Transformers where the interpreter PYTHON exists.
//!
//! `chaski-bench ingest BINARY MODEL.gguf [FILES [MEGABYTES]]`: reads so many small files and a PDF of that
//! size into a vector store with this embedding model, and says how fast `/v1/health` answers meanwhile.
//!
//! `chaski-bench agents BINARY FOLDER`: measures turns of many agents at the same time, and those of the
//! reference where it is installed.
//!
//! `chaski-bench look BINARY`: the CPU time of a request on all ways, in two minutes, for whoever
//! works on the relay.
//!
//! `chaski-bench train BINARY`: does a little of everything that is to be fast, for a binary that counts which of
//! its code that runs.
//!
//! `chaski-bench search FOLDER [PYTHON [CHUNKS]]`: measures the search index, beside faiss and sqlite-vec where the
//! interpreter PYTHON has them, with 100,000 chunks unless told otherwise.
//!
//! `chaski-bench quality FOLDER PAGES MODEL.gguf [RERANKER.gguf]`: measures how well passages are found, with the pages
//! of Python's documentation below PAGES.
//!
//! The generator and the upstream share this process and one core; the server has another core.
#![expect(clippy::print_stderr, reason = "a program for a terminal, which shows what it does")]

mod agents;
mod engine;
mod engine_load;
mod ingest;
mod instructions;
mod load;
mod machine;
mod open_streams;
mod peers;
mod plot;
mod quality;
mod relay;
mod report;
mod search;
mod server;
mod upstream;

use anyhow::{Context, Result};
use report::Results;
use std::{env, path::Path};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [command, binary, folder, python, models @ ..] = &arguments[..]
        && command == "engine"
    {
        let files: Vec<&Path> = models.iter().map(Path::new).collect();
        let peer = Some(Path::new(python)).filter(|python| python.exists());
        return engine_load::measure(Path::new(binary), Path::new(folder), &files, peer).await;
    }
    if let [command, binary, model, amounts @ ..] = &arguments[..]
        && command == "ingest"
    {
        return ingest::measure(Path::new(binary), Path::new(model), amounts).await;
    }
    if let [command, binary, folder] = &arguments[..]
        && command == "agents"
    {
        let peers = env::current_dir()?.join("bench/peers");
        return agents::measure(Path::new(binary), Path::new(folder), &peers).await;
    }
    if let [command, binary] = &arguments[..]
        && command == "look"
    {
        machine::pin_to_first_core();
        return relay::look(Path::new(binary)).await;
    }
    if let [command, binary] = &arguments[..]
        && command == "train"
    {
        relay::train(Path::new(binary)).await?;
        return agents::train(Path::new(binary)).await;
    }
    match &arguments[..] {
        [command, folder, rest @ ..] if command == "search" && rest.len() < 3 => {
            let python = rest.first().map(Path::new).filter(|python| python.exists());
            let chunks = rest.get(1).map_or(Ok(search::USUAL), |text| text.parse())?;
            return search::measure(Path::new(folder), python, chunks);
        }
        [command, folder, pages, model, rest @ ..] if command == "quality" && rest.len() < 2 => {
            let [folder, pages, model] = [folder, pages, model].map(Path::new);
            return quality::measure(folder, pages, model, rest.first().map(Path::new)).await;
        }
        [command, data] if command == "search-chaski" => {
            return search::measure_chaski(Path::new(data));
        }
        _ => {}
    }
    let (binary, folder, model) = match &arguments[..] {
        [binary, folder] => (Path::new(binary), Path::new(folder), None),
        [binary, folder, model] => (Path::new(binary), Path::new(folder), Some(Path::new(model))),
        _ => anyhow::bail!("usage: chaski-bench BINARY FOLDER [MODEL.gguf]"),
    };
    let before = machine::State::now();

    eprintln!("cold start and idle memory");
    let start = server::cold_starts(binary, 10).await?;

    let engine = match model {
        Some(file) => {
            eprintln!("the engine");
            Some(engine::measure(binary, file).await?)
        }
        None => None,
    };
    // From here on the first core is for the load and the upstream, the second for the server.
    machine::pin_to_first_core();
    let relay = relay::measure(binary).await?;
    eprintln!("many open streams");
    let open_streams = open_streams::measure(binary).await?;
    eprintln!("instructions");
    let instructions = instructions::measure(binary).await?;
    let peers = peers::measure(&env::current_dir()?.join("bench/peers")).await?;

    let machine = [before, machine::State::now()];
    let results = Results { start, relay, open_streams, instructions, peers, engine, machine };
    results.write(folder).context("cannot write the results")
}
