//! Reading documents: how fast they are read, and how fast `/v1/health` answers meanwhile.

use crate::{machine, report::quantile, server::Server};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    net,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// The documents where nobody says how many: small texts, and one PDF of so many megabytes.
const FILES: usize = 1000;
const MEGABYTES: usize = 100;
/// The sentences of a small text.
const SENTENCES: usize = 40;
/// A page of the PDF has so many lines of text, and an image of so many bytes.
const LINES: usize = 30;
const IMAGE: usize = 64 * 1024;
/// The time from one question for the health to the next.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the health of the idle server is asked for before.
const IDLE: Duration = Duration::from_secs(3);

/// Measures a server with this embedding model: `FILES [MEGABYTES]` say how much is read.
pub(crate) async fn measure(binary: &Path, model: &Path, amounts: &[String]) -> Result<()> {
    let amount = |at: usize, usual: usize| {
        amounts.get(at).map_or(Ok(usual), |text| text.parse().context("an amount is a number"))
    };
    let (files, megabytes) = (amount(0, FILES)?, amount(1, MEGABYTES)?);
    let server = Server::with_model(binary, model).await?;
    let mut connection = Connection::open(server.port).await?;
    let models = connection.ask(Method::GET, "/v1/models", "", Bytes::new()).await?;
    let models = models["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let embedding = models.iter().find(|model| model["model_type"] == "embedding");
    let embedding = text_of(embedding.context("the model does not embed")?, "id")?;
    // The first text loads the model.
    connection.post("/v1/embeddings", &json!({ "model": embedding, "input": "a text" })).await?;
    eprintln!("sending {files} files");
    let mut ids = Vec::new();
    for number in 0..files {
        ids.push(connection.send(&format!("{number}.txt"), text(number).into()).await?);
    }
    if megabytes > 0 {
        eprintln!("sending a PDF of {megabytes} MB");
        ids.push(connection.send("large.pdf", pdf(megabytes << 20)).await?);
    }

    let idle = Probe::start(server.port);
    tokio::time::sleep(IDLE).await;
    let idle = idle.end()?;
    let store = connection.post("/v1/vector_stores", &json!({ "name": "bench" })).await?;
    let store = format!("/v1/vector_stores/{}", text_of(&store, "id")?);
    eprintln!("reading");
    let cpu = server.cpu()?;
    let began = Instant::now();
    let busy = Probe::start(server.port);
    let batches = format!("{store}/file_batches");
    let batch = connection.post(&batches, &json!({ "file_ids": ids })).await?;
    let batch = format!("{batches}/{}", text_of(&batch, "id")?);
    let ended = loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let found = connection.ask(Method::GET, &batch, "", Bytes::new()).await?;
        if found["status"] != "in_progress" {
            break found;
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    let busy = busy.end()?;
    let cpu = server.cpu()?.saturating_sub(cpu).as_secs_f64();

    let counts = &ended["file_counts"];
    let read = counts["completed"].as_f64().unwrap_or_default();
    let bytes = connection.ask(Method::GET, &store, "", Bytes::new()).await?;
    let kilobytes = bytes["usage_bytes"].as_f64().unwrap_or_default() / 1000.0;
    let state = machine::State::now();
    eprintln!("{} cores, {}, load {}", state.cores, state.processor, state.load);
    eprintln!(
        "{read:.0} of {} files read in {seconds:.1} s: {:.1} files/s, {:.0} kB of text/s, {cpu:.1} s of CPU, {:.0} MB resident",
        ids.len(),
        read / seconds,
        kilobytes / seconds,
        server.memory()?,
    );
    for (when, times) in [("idle", &idle), ("while files are read", &busy)] {
        eprintln!(
            "health, {when}: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms, {} answers",
            quantile(times, 0.5),
            quantile(times, 0.99),
            quantile(times, 1.0),
            times.len(),
        );
    }
    ensure!(counts["failed"] == 0, "some files could not be read: {ended}");
    Ok(())
}

fn text_of<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no `{key}` in {value}"))
}

/// A connection to the server.
struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    async fn open(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        let (sender, driver) = handshake(TokioIo::new(socket)).await?;
        // It ends with the sender.
        drop(tokio::spawn(driver));
        Ok(Self(sender))
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))?;
        self.0.ready().await?;
        let answer = self.0.send_request(request).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&text));
        Ok(serde_json::from_slice(&text)?)
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Method::POST, path, "application/json", body.to_string().into()).await
    }

    /// Sends a file, and says its id.
    async fn send(&mut self, name: &str, content: Vec<u8>) -> Result<String> {
        let mut form = format!(
            "--XX-bench\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n\
             --XX-bench\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        )
        .into_bytes();
        form.extend(content);
        form.extend(b"\r\n--XX-bench--\r\n");
        let kind = "multipart/form-data; boundary=XX-bench";
        let file = self.ask(Method::POST, "/v1/files", kind, form.into()).await?;
        Ok(text_of(&file, "id")?.to_owned())
    }
}

/// Asks for the health at a fixed pace, on a thread of its own.
struct Probe {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<Vec<u64>>>,
}

impl Probe {
    fn start(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        Self { over, thread: thread::spawn(move || probe(port, &ends)) }
    }

    /// The times of all answers, in nanoseconds.
    fn end(self) -> Result<Vec<u64>> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| anyhow::bail!("the probe panicked"))
    }
}

fn probe(port: u16, over: &AtomicBool) -> Result<Vec<u64>> {
    let mut socket = net::TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    let mut answers = BufReader::new(socket.try_clone()?);
    let mut times = Vec::new();
    let mut due = Instant::now();
    while !over.load(Ordering::Relaxed) || times.is_empty() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // From the moment it was due or sent, whichever is later: the sleep of this thread is not
        // the server's, but a late answer delays the next question.
        let sent = Instant::now();
        socket.write_all(b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        answer(&mut answers)?;
        times.push(u64::try_from(sent.elapsed().as_nanos())?);
        due = (due + PAUSE).max(Instant::now());
    }
    Ok(times)
}

/// Reads one answer.
fn answer(answers: &mut impl BufRead) -> Result<()> {
    let (mut length, mut line) = (0, String::new());
    for number in 0.. {
        line.clear();
        ensure!(answers.read_line(&mut line)? > 0, "the server closed the connection");
        ensure!(number > 0 || line.starts_with("HTTP/1.1 200"), "the health is {line}");
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    Ok(answers.read_exact(&mut body)?)
}

/// Numbers that look random and are the same in every run.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

const WORDS: [&str; 16] = [
    "river", "engine", "letter", "garden", "number", "winter", "market", "signal", "forest",
    "window", "record", "planet", "bridge", "copper", "island", "theory",
];

fn sentence(noise: &mut impl Iterator<Item = u64>) -> String {
    let words = noise.take(12).map(|number| WORDS[usize::try_from(number % 16).unwrap_or(0)]);
    words.collect::<Vec<_>>().join(" ")
}

fn text(number: usize) -> String {
    let mut noise = noise(number as u64 + 1);
    (0..SENTENCES).fold(format!("Document {number}\n\n"), |mut text, line| {
        let _infallible = writeln!(text, "Line {line}: {}.\n", sentence(&mut noise));
        text
    })
}

/// A PDF of about so many bytes: pages of text, each with an image that cannot be made smaller.
fn pdf(bytes: usize) -> Vec<u8> {
    let pages = bytes / (IMAGE + LINES * 100) + 1;
    let mut noise = noise(7);
    let mut out = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    let mut object = |out: &mut Vec<u8>, head: String, stream: Option<&[u8]>| {
        places.push(out.len());
        out.extend(format!("{} 0 obj\n{head}\n", places.len()).into_bytes());
        if let Some(stream) = stream {
            out.extend(b"stream\n");
            out.extend(stream);
            out.extend(b"\nendstream\n");
        }
        out.extend(b"endobj\n");
    };
    object(&mut out, "<</Type/Catalog/Pages 2 0 R>>".to_owned(), None);
    let kids: Vec<String> = (0..pages).map(|page| format!("{} 0 R", 4 + 3 * page)).collect();
    let kids = kids.join(" ");
    object(&mut out, format!("<</Type/Pages/Count {pages}/Kids[{kids}]>>"), None);
    let font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>";
    object(&mut out, font.to_owned(), None);
    for page in 0..pages {
        let (content, image) = (5 + 3 * page, 6 + 3 * page);
        let head = format!(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {content} 0 R/Resources\
             <</Font<</F 3 0 R>>/XObject<</I {image} 0 R>>>>>>"
        );
        object(&mut out, head, None);
        let lines = (0..LINES).fold(String::new(), |mut lines, line| {
            let _infallible =
                writeln!(lines, "(Page {page}, line {line}: {}.) Tj T*", sentence(&mut noise));
            lines
        });
        let drawn =
            format!("BT /F 10 Tf 14 TL 40 740 Td\n{lines}ET\nq 400 0 0 200 40 40 cm /I Do Q\n");
        object(&mut out, format!("<</Length {}>>", drawn.len()), Some(drawn.as_bytes()));
        let pixels: Vec<u8> = noise.by_ref().take(IMAGE / 8).flat_map(u64::to_le_bytes).collect();
        let head = format!(
            "<</Type/XObject/Subtype/Image/Width 256/Height 256/ColorSpace/DeviceGray\
             /BitsPerComponent 8/Length {}>>",
            pixels.len()
        );
        object(&mut out, head, Some(&pixels));
    }
    let start = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", places.len() + 1).into_bytes());
    for place in &places {
        out.extend(format!("{place:010} 00000 n \n").into_bytes());
    }
    let size = places.len() + 1;
    let end = format!("trailer\n<</Size {size}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n");
    out.extend(end.into_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::{answer, pdf};

    #[test]
    fn a_pdf_is_as_large_as_asked() {
        let file = pdf(1 << 20);
        assert!((1 << 20..2 << 20).contains(&file.len()), "{}", file.len());
        assert!(file.starts_with(b"%PDF") && file.ends_with(b"%%EOF\n"));
    }

    #[test]
    fn answers_are_read_one_by_one() {
        let two = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n";
        let mut answers = two.as_bytes();
        assert!(answer(&mut answers).is_ok() && answer(&mut answers).is_ok());
        assert!(answer(&mut answers).is_err());
        assert!(answer(&mut &b"HTTP/1.1 503 No\r\n\r\n"[..]).is_err());
    }
}
