//! The engine in the server under load: requests side by side, prompts with a common beginning,
//! and embeddings beside Sentence Transformers.

use crate::{load, machine, server::Server};
use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// Tokens of each prompt and each answer, side by side.
const PROMPT: usize = 64;
const ANSWER: usize = 96;
/// Tokens that prompts have in common, and those that they have not.
const COMMON: usize = 1000;
const OWN: usize = 16;
const ROUNDS: usize = 3;
/// The embedding model, as the default template calls it.
const EMBEDDER: &str = "all-MiniLM-L6-v2";
/// The texts to embed, and how many come in a request.
const TEXTS: usize = 320;
const TOGETHER: usize = 32;
/// Requests for embeddings at the same time.
const CLIENTS: usize = 2;

/// What one model does.
#[derive(Debug, Serialize)]
struct Model {
    name: String,
    side_by_side: Vec<SideBySide>,
    prefix: Prefix,
}

/// So many requests at once; of the rounds the one with the most tokens a second.
#[derive(Debug, Clone, Copy, Serialize)]
struct SideBySide {
    requests: usize,
    /// Tokens of all answers, by the time from the first request to the last token.
    tokens_per_second: f64,
    /// The mean time to the first token.
    first_token_ms: f64,
}

/// The time to the first token; medians.
#[derive(Debug, Clone, Copy, Serialize)]
struct Prefix {
    cold_ms: f64,
    repeated_ms: f64,
}

#[derive(Debug, Clone, Serialize)]
struct Embeddings {
    who: String,
    texts_per_second: f64,
    /// Answers of the health route meanwhile.
    health_p50_ms: Option<f64>,
    health_p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Results {
    machine: [machine::State; 2],
    models: Vec<Model>,
    embeddings: Vec<Embeddings>,
}

/// Measures the chat models among `files` and the embedding model, the latter beside the Python
/// program `peer` if there is one, and writes `engine.md` and `engine.json` into `folder`.
pub(crate) async fn measure(
    binary: &Path,
    folder: &Path,
    files: &[&Path],
    peer: Option<&Path>,
) -> Result<()> {
    let before = machine::State::now();
    let server = Server::with_models(binary, files).await?;
    let (mut models, mut embeddings) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.file_stem().and_then(|name| name.to_str()).context("a model file")?;
        if name.contains("minilm") {
            embeddings = embed(&server, EMBEDDER, peer).await?;
        } else {
            models.push(chat(&server, name).await?);
        }
    }
    let results = Results { machine: [before, machine::State::now()], models, embeddings };
    fs::create_dir_all(folder)?;
    fs::write(folder.join("engine.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    fs::write(folder.join("engine.md"), results.markdown())?;
    Ok(())
}

async fn chat(server: &Server, name: &str) -> Result<Model> {
    // The first request loads the model.
    _ = complete(server, name, &tokens(1, 8), 2).await?;
    let mut side_by_side: Vec<SideBySide> = Vec::new();
    let mut seed = 100;
    for round in 0..ROUNDS {
        for (index, requests) in [1, 2, 4, 8, 16].into_iter().enumerate() {
            let began = Instant::now();
            let answers = (0..requests).map(|_| {
                seed += 1;
                let prompt = tokens(seed, PROMPT);
                async move { complete(server, name, &prompt, ANSWER).await }
            });
            let answers = try_join_all(answers).await?;
            let seconds = began.elapsed().as_secs_f64();
            let firsts = answers.iter().map(|answer| millis(answer.first)).sum::<f64>();
            let tokens = answers.iter().map(|answer| answer.tokens).sum::<f64>();
            let row = SideBySide {
                requests,
                tokens_per_second: tokens / seconds,
                first_token_ms: firsts / float(requests),
            };
            if round == 0 {
                side_by_side.push(row);
            } else if row.tokens_per_second > side_by_side[index].tokens_per_second {
                side_by_side[index] = row;
            }
        }
    }
    let (mut cold, mut repeated) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let common = tokens(10_000 + round, COMMON);
        for (times, own) in [(&mut cold, 1), (&mut repeated, 2)] {
            let prompt: Vec<usize> = common.iter().copied().chain(tokens(own, OWN)).collect();
            times.push(millis(complete(server, name, &prompt, 2).await?.first));
        }
    }
    let prefix = Prefix { cold_ms: median(&cold), repeated_ms: median(&repeated) };
    Ok(Model { name: name.to_owned(), side_by_side, prefix })
}

/// Tokens that look random and begin differently for each `seed`.
fn tokens(seed: usize, count: usize) -> Vec<usize> {
    (0..count).map(|at| 1000 + (seed * 7919 + at * 104_729 + at * at * 31) % 20_000).collect()
}

/// The answer to one request.
struct Answer {
    first: Duration,
    tokens: f64,
    text: Vec<u8>,
}

async fn complete(server: &Server, model: &str, prompt: &[usize], most: usize) -> Result<Answer> {
    let body = json!({
        "model": model,
        "prompt": prompt,
        // No token that ends the answer.
        "logit_bias": { "0": -100, "1": -100, "2": -100, "151643": -100, "151645": -100 },
        "max_tokens": most,
        "temperature": 0,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    let mut answer = post(server.port, "/v1/completions", &body).await?;
    let text = String::from_utf8_lossy(&answer.text);
    let usage = load::usage(&text).with_context(|| format!("no usage in the answer: {text}"))?;
    answer.tokens = usage.1;
    Ok(answer)
}

async fn post(port: u16, path: &str, body: &Value) -> Result<Answer> {
    let request = Request::post(path)
        .header(header::HOST, "bench")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    send(port, request).await
}

async fn send(port: u16, request: Request<Full<Bytes>>) -> Result<Answer> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let (mut connection, driver) = handshake(TokioIo::new(socket)).await?;
    let driver = tokio::spawn(driver);
    let sent = Instant::now();
    let response = connection.send_request(request).await?;
    let ok = response.status().is_success();
    let mut body = response.into_body();
    let (mut first, mut text) = (None, Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            first.get_or_insert(sent.elapsed());
            text.extend_from_slice(&data);
        }
    }
    driver.abort();
    anyhow::ensure!(ok, "the server refused: {}", String::from_utf8_lossy(&text));
    Ok(Answer { first: first.context("the answer was empty")?, tokens: 0.0, text })
}

/// Texts of 10 to 110 words, always the same.
fn texts() -> Vec<String> {
    const WORDS: [&str; 16] = [
        "river", "bridge", "window", "engine", "market", "letter", "garden", "winter", "signal",
        "copper", "history", "measure", "village", "question", "shadow", "journey",
    ];
    let text = |index: usize| {
        let words = (0..10 + index * 37 % 101).map(|at| WORDS[(index * 7 + at * at * 3 + at) % 16]);
        words.collect::<Vec<_>>().join(" ")
    };
    (0..TEXTS).map(text).collect()
}

async fn embed(server: &Server, name: &str, peer: Option<&Path>) -> Result<Vec<Embeddings>> {
    let texts = texts();
    let body = |texts: &[String]| json!({ "model": name, "input": texts });
    // The first request loads the model.
    _ = post(server.port, "/v1/embeddings", &body(&texts[..TOGETHER])).await?;
    let mut rows: Vec<Embeddings> = Vec::new();
    // In turn, so that what else the machine does meets both; the best round counts.
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let work = async {
            let clients = (0..CLIENTS).map(|client| {
                let texts = &texts;
                async move {
                    for batch in texts.chunks(TOGETHER).skip(client).step_by(CLIENTS) {
                        post(server.port, "/v1/embeddings", &body(batch)).await?;
                    }
                    anyhow::Ok(())
                }
            });
            try_join_all(clients).await?;
            anyhow::Ok(began.elapsed().as_secs_f64())
        };
        let (seconds, health) = beside_health(server.port, work).await?;
        keep_best(
            &mut rows,
            Embeddings {
                who: "Chaski, over HTTP".to_owned(),
                texts_per_second: float(TEXTS) / seconds,
                health_p50_ms: Some(quantile(&health, 0.5)),
                health_p99_ms: Some(quantile(&health, 0.99)),
            },
        );
        if let Some(peer) = peer {
            keep_best(&mut rows, python(peer, &texts)?);
        }
    }
    Ok(rows)
}

fn keep_best(rows: &mut Vec<Embeddings>, row: Embeddings) {
    match rows.iter_mut().find(|known| known.who == row.who) {
        Some(known) if known.texts_per_second < row.texts_per_second => *known = row,
        Some(_) => {}
        None => rows.push(row),
    }
}

/// Does `work`, and asks for the health of the server meanwhile: the times, in milliseconds.
async fn beside_health<T>(
    port: u16,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, Vec<f64>)> {
    let mut times = Vec::new();
    let ask = async {
        loop {
            let request = Request::get("/v1/health").header(header::HOST, "bench");
            let began = Instant::now();
            send(port, request.body(Full::default())?).await?;
            times.push(millis(began.elapsed()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done: Result<T> = tokio::select! {
        done = work => done,
        failed = ask => failed,
    };
    Ok((done?, times))
}

/// Sentence Transformers on the same texts, by the Python interpreter `python`.
fn python(python: &Path, texts: &[String]) -> Result<Embeddings> {
    let mut child = Command::new(python)
        .args(["scripts/bench-embeddings.py", &TOGETHER.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", python.display()))?;
    let mut input = child.stdin.take().context("a pipe")?;
    input.write_all(serde_json::to_string(texts)?.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let value: Value = serde_json::from_slice(&output.stdout).context("the peer failed")?;
    let seconds = value["seconds"].as_f64().context("the peer prints its time")?;
    let who = value["who"].as_str().context("the peer prints its name")?.to_owned();
    let texts_per_second = float(texts.len()) / seconds;
    Ok(Embeddings { who, texts_per_second, health_p50_ms: None, health_p99_ms: None })
}

impl Results {
    fn markdown(&self) -> String {
        let [before, after] = &self.machine;
        let mut out = vec![
            "# The engine under load".to_owned(),
            String::new(),
            format!(
                "Machine: {} cores, {}, Linux {}; load {} before and {} after. Written by \
                 `make bench`.",
                before.cores, before.processor, before.kernel, before.load, after.load
            ),
        ];
        for model in &self.models {
            out.extend([
                String::new(),
                format!("## {}", model.name),
                String::new(),
                format!(
                    "Streamed completions at the same time, each with {PROMPT} tokens of its own \
                     and {ANSWER} of the answer; prompts are part of the time. One answer is \
                     computed by all cores but one, several by all. The best of {ROUNDS} rounds."
                ),
                String::new(),
                "| Requests | Tokens/s of all | Times one | First token ms |".to_owned(),
                "| ---: | ---: | ---: | ---: |".to_owned(),
            ]);
            let one = model.side_by_side.first().map_or(1.0, |row| row.tokens_per_second);
            for row in &model.side_by_side {
                out.push(format!(
                    "| {} | {:.1} | {:.2} | {:.0} |",
                    row.requests,
                    row.tokens_per_second,
                    row.tokens_per_second / one,
                    row.first_token_ms
                ));
            }
            let Prefix { cold_ms, repeated_ms } = model.prefix;
            out.extend([
                String::new(),
                format!(
                    "First token of a prompt with {COMMON} tokens and {OWN} more: {cold_ms:.0} ms; \
                     of another with the same {COMMON}: {repeated_ms:.0} ms ({:.1} %).",
                    repeated_ms / cold_ms * 100.0
                ),
            ]);
        }
        if !self.embeddings.is_empty() {
            out.extend([
                String::new(),
                "## Embeddings".to_owned(),
                String::new(),
                format!(
                    "all-MiniLM-L6-v2 on {TEXTS} texts of 10 to 110 words, {TOGETHER} in a request \
                     or batch. The best of {ROUNDS} rounds, in turn."
                ),
                String::new(),
                "| | Texts/s | Health p50/p99 ms meanwhile |".to_owned(),
                "| --- | ---: | ---: |".to_owned(),
            ]);
            for row in &self.embeddings {
                let health = match (row.health_p50_ms, row.health_p99_ms) {
                    (Some(p50), Some(p99)) => format!("{p50:.1} / {p99:.1}"),
                    _ => String::new(),
                };
                out.push(format!("| {} | {:.1} | {health} |", row.who, row.texts_per_second));
            }
        }
        out.join("\n") + "\n"
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn float(count: usize) -> f64 {
    count as f64
}

fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the index is within the list"
    )]
    let index = (float(sorted.len().saturating_sub(1)) * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}
