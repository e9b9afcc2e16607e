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

/// Tokens of the prompt, about, and of the answer.
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
    let bare = bare(file, threads)?;
    let server = Server::with_model(binary, file).await?;
    let mut through = Speed { name: "in Chaski, as a stream", prompt: 0.0, decode: 0.0 };
    // The first request loads the model.
    let _loaded = ask(&server, &model, 0).await?;
    for round in 1..=ROUNDS {
        let (prompt, decode) = ask(&server, &model, round).await?;
        through.prompt = through.prompt.max(prompt);
        through.decode = through.decode.max(decode);
    }
    Ok(Engine { model, threads, rows: vec![bare, through] })
}

fn bare(file: &Path, threads: usize) -> Result<Speed> {
    let program = std::env::current_exe()?.with_file_name("bare-loop");
    let output = Command::new(&program)
        .arg(file)
        .args([PROMPT.to_string(), DECODE.to_string(), threads.to_string()])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let value: Value = serde_json::from_slice(&output.stdout).context("the bare loop failed")?;
    let number = |key: &str| value[key].as_f64().context("the bare loop prints two numbers");
    Ok(Speed { name: "engine alone", prompt: number("prompt")?, decode: number("decode")? })
}

/// Prompt and decode speed of one streamed completion.
async fn ask(server: &Server, model: &str, round: usize) -> Result<(f64, f64)> {
    // Different from round to round at its beginning, so that nothing of it is remembered.
    let words: Vec<String> =
        (0..PROMPT / 2).map(|word| format!("{}", (word * 7 + round) % 97)).collect();
    let body = json!({
        "model": model,
        "prompt": format!("Round {round}: {}", words.join(" ")),
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
