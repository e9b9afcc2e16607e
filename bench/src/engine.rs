//! The speed of a model in the server, against the bare loop of the engine on the same file.

use crate::{load, machine, server::Server};
use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// Tokens of the prompt and of the answer.
const PROMPT: usize = 512;
const DECODE: usize = 128;
const ROUNDS: usize = 5;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Engine {
    pub(crate) model: String,
    pub(crate) threads: usize,
    pub(crate) rows: Vec<Speed>,
}

/// Tokens a second; the best of the rounds, as little as possible disturbed by others.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Speed {
    pub(crate) name: &'static str,
    pub(crate) prompt: f64,
    pub(crate) decode: f64,
}

/// Measures the GGUF file `file`, in the bare loop beside this program and in the server.
pub(crate) async fn measure(binary: &Path, file: &Path) -> Result<Engine> {
    let model = file.file_stem().and_then(|name| name.to_str()).context("a model file")?.to_owned();
    // The server leaves one core to the network; the loop gets the same.
    let threads = machine::cores().saturating_sub(1).max(1);
    let server = Server::with_model(binary, file).await?;
    let mut alone = Speed { name: "engine alone", prompt: 0.0, decode: 0.0 };
    let mut through = Speed { name: "in Chaski, as a stream", prompt: 0.0, decode: 0.0 };
    // The first request loads the model.
    let _loaded = ask(&server, &model, 0).await?;
    // In turn, so that what else the machine does meets both.
    for round in 1..=ROUNDS {
        alone.keep_best(bare(file, threads)?);
        through.keep_best(ask(&server, &model, round).await?);
    }
    Ok(Engine { model, threads, rows: vec![alone, through] })
}

impl Speed {
    fn keep_best(&mut self, (prompt, decode): (f64, f64)) {
        self.prompt = self.prompt.max(prompt);
        self.decode = self.decode.max(decode);
    }
}

fn bare(file: &Path, threads: usize) -> Result<(f64, f64)> {
    let program = std::env::current_exe()?.with_file_name("bare-loop");
    let output = Command::new(&program)
        .arg(file)
        .args([PROMPT.to_string(), DECODE.to_string(), threads.to_string()])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let value: Value = serde_json::from_slice(&output.stdout).context("the bare loop failed")?;
    let number = |key: &str| value[key].as_f64().context("the bare loop prints two numbers");
    Ok((number("prompt")?, number("decode")?))
}

/// Prompt and decode speed of one streamed completion.
async fn ask(server: &Server, model: &str, round: usize) -> Result<(f64, f64)> {
    // Different from round to round at its beginning, so that nothing of it is remembered.
    let tokens: Vec<usize> = (0..PROMPT).map(|at| 100 + at % 50 + round).collect();
    let body = json!({
        "model": model,
        "prompt": tokens,
        // No token that ends the answer.
        "logit_bias": { "0": -100, "1": -100, "2": -100 },
        "max_tokens": DECODE,
        "temperature": 0,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    let socket = TcpStream::connect(("127.0.0.1", server.port)).await?;
    socket.set_nodelay(true)?;
    let (mut connection, driver) = handshake(TokioIo::new(socket)).await?;
    let driver = tokio::spawn(driver);
    let request = Request::post("/v1/completions")
        .header(header::HOST, "bench")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let sent = Instant::now();
    let mut body = connection.send_request(request).await?.into_body();
    let (mut first, mut last, mut text) = (None, sent.elapsed(), Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            last = sent.elapsed();
            first.get_or_insert(last);
            text.extend_from_slice(&data);
        }
    }
    driver.abort();
    let text = String::from_utf8_lossy(&text);
    let usage = load::usage(&text).with_context(|| format!("no usage in the answer: {text}"))?;
    let first: Duration = first.context("the answer was empty")?;
    let seconds = |time: Duration| time.as_secs_f64().max(1e-9);
    Ok((usage.0 / seconds(first), (usage.1 - 1.0) / seconds(last.saturating_sub(first))))
}
