//! `chaski-bench BINARY FOLDER [MODEL.gguf]`: measures the server against a fixed upstream, directly and through
//! it in the same run, and writes a table, the numbers and a plot into the folder.
//!
//! `chaski-bench engine BINARY FOLDER PYTHON MODEL.gguf...`: measures the engine under load, and its
//! embeddings beside Sentence Transformers where the interpreter PYTHON exists.
//!
//! The generator and the upstream share this process and one core; the server has another core.
#![expect(clippy::print_stderr, reason = "a program for a terminal, which shows what it does")]

mod engine;
mod engine_load;
mod load;
mod machine;
mod plot;
mod report;
mod server;
mod upstream;

use anyhow::{Context, Result};
use load::{Kind, Load, Outcome, Pace};
use report::{Results, Row};
use server::Server;
use std::{env, path::Path, time::Duration};
use upstream::Upstream;

/// How long each cell of a table is measured.
const CELL: Duration = Duration::from_secs(4);
/// The rounds of the table at full speed; the median of each cell counts.
const ROUNDS: usize = 3;
/// How long the upstream waits before it answers, in the tables at a fixed rate.
const THINKING: Duration = Duration::from_millis(50);
/// The pause between the events of a stream, in the tables at a fixed rate.
const BETWEEN_EVENTS: Duration = Duration::from_millis(10);

/// Whom the load goes to.
struct Target {
    name: &'static str,
    port: u16,
    path: &'static str,
    /// Whether the body is Llama Stack's in place of OpenAI's.
    llama_stack: bool,
}

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
    let fast = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    let mut full_speed = Vec::new();
    {
        let server = Server::in_front_of(binary, fast.port).await?;
        for round in 0..ROUNDS {
            for kind in [Kind::Plain, Kind::Stream] {
                for concurrency in [1, 16, 64] {
                    for target in targets(fast.port, server.port) {
                        eprintln!(
                            "round {} of {ROUNDS}: {} {kind:?} at {concurrency}",
                            round + 1,
                            target.name
                        );
                        let pace = Pace::Closed { concurrency };
                        full_speed.push(measure(&server, &target, kind, pace).await?);
                    }
                }
            }
        }
    }

    let slow = Upstream::start(THINKING, BETWEEN_EVENTS).await?;
    let mut fixed_rate = Vec::new();
    {
        let server = Server::in_front_of(binary, slow.port).await?;
        for (kind, rate) in [(Kind::Plain, 50), (Kind::Plain, 500), (Kind::Stream, 20)] {
            for target in targets(slow.port, server.port) {
                eprintln!("{} {kind:?} at {rate} a second", target.name);
                let pace = Pace::Open { per_second: rate };
                fixed_rate.push(measure(&server, &target, kind, pace).await?);
            }
        }
    }

    let after = machine::State::now();
    let results = Results {
        start,
        full_speed: report::medians(full_speed),
        fixed_rate,
        engine,
        machine: [before, after],
    };
    results.write(folder).context("cannot write the results")
}

fn targets(upstream: u16, server: u16) -> [Target; 3] {
    let openai = "/v1/chat/completions";
    [
        Target { name: "direct", port: upstream, path: openai, llama_stack: false },
        Target { name: "OpenAI face", port: server, path: openai, llama_stack: false },
        Target {
            name: "Llama Stack face",
            port: server,
            path: "/v1/inference/chat-completion",
            llama_stack: true,
        },
    ]
}

async fn measure(server: &Server, target: &Target, kind: Kind, pace: Pace) -> Result<Row> {
    let body = load::body(target.llama_stack, kind);
    let load = Load { port: target.port, path: target.path, body, kind };
    load.run(pace, CELL / 4).await?;
    let cpu = server.cpu()?;
    let outcome: Outcome = load.run(pace, CELL).await?;
    let cpu = server.cpu()?.saturating_sub(cpu);
    let through = target.port == server.port;
    Ok(Row::new(target.name, kind, pace, &outcome, through.then_some((cpu, server.memory()?))))
}
