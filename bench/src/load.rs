//! The load: as fast as so many connections can, or at a fixed rate whatever comes back.

use crate::upstream::{EVENTS, now};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, sync::Semaphore, task::LocalSet};

/// The most connections of a load at a fixed rate. Requests beyond them wait, and their time counts.
const CONNECTIONS: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Plain,
    Stream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// So many connections, each sending its next request when the last one is answered.
    Closed { concurrency: usize },
    /// So many requests a second, sent on time even when earlier ones are still open.
    Open { per_second: u32 },
    /// So many requests, one after another.
    Count { requests: usize },
}

/// What prompts are made of.
const TEXT: &str = "Tell me about foxes and dogs, \"in short\".\n";
/// The prompt of the usual request, in bytes: as long as a question.
pub(crate) const QUESTION: usize = TEXT.len();

/// The body of a request for `model` with a prompt of so many bytes. Both faces ask the same.
pub(crate) fn body(llama_stack: bool, model: &str, kind: Kind, prompt: usize) -> Bytes {
    let text = TEXT.repeat(prompt / QUESTION + 1);
    let messages = json!([{ "role": "user", "content": &text[..prompt] }]);
    let stream = kind == Kind::Stream;
    let name = if llama_stack { "model_id" } else { "model" };
    json!({ name: model, "messages": messages, "stream": stream }).to_string().into()
}

/// What came back, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    /// From sending a request to the end of its answer.
    pub(crate) whole: Vec<u64>,
    /// From sending a request to the first bytes of the body.
    pub(crate) first: Vec<u64>,
    /// From the sending of an event by the upstream to its arrival.
    pub(crate) transit: Vec<u64>,
}

#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) port: u16,
    pub(crate) path: Rc<str>,
    pub(crate) headers: Rc<[(String, String)]>,
    pub(crate) body: Bytes,
    pub(crate) kind: Kind,
    /// Whether all events come one by one; a peer may put several into one.
    pub(crate) exact: bool,
}

type Connection = SendRequest<Full<Bytes>>;

impl Load {
    pub(crate) async fn run(&self, pace: Pace, duration: Duration) -> Result<Outcome> {
        let local = LocalSet::new();
        let outcome = local
            .run_until(async {
                match pace {
                    Pace::Closed { concurrency } => self.closed(concurrency, duration).await,
                    Pace::Open { per_second } => self.open(per_second, duration).await,
                    Pace::Count { requests } => self.count(requests).await,
                }
            })
            .await?;
        ensure!(!outcome.whole.is_empty(), "no request was answered");
        Ok(outcome)
    }

    async fn closed(&self, concurrency: usize, duration: Duration) -> Result<Outcome> {
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let began = Instant::now();
        let mut workers = Vec::new();
        for _ in 0..concurrency {
            let (load, outcome) = (self.clone(), outcome.clone());
            workers.push(tokio::task::spawn_local(async move {
                let mut connection = load.connect().await?;
                while began.elapsed() < duration {
                    connection.ready().await?;
                    load.one(&mut connection, Instant::now(), &outcome).await?;
                }
                anyhow::Ok(())
            }));
        }
        for worker in workers {
            worker.await??;
        }
        Ok(finish(&outcome, began))
    }

    async fn open(&self, per_second: u32, duration: Duration) -> Result<Outcome> {
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let idle: Rc<RefCell<Vec<Connection>>> = Rc::default();
        let connections = Rc::new(Semaphore::new(CONNECTIONS));
        let began = Instant::now();
        let between = Duration::from_secs(1) / per_second;
        let mut due = began;
        let mut open = Vec::new();
        while began.elapsed() < duration {
            // The timer counts in milliseconds, which would send many at once and then nothing.
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            let sent = due;
            due += between;
            let (load, outcome, idle) = (self.clone(), outcome.clone(), idle.clone());
            let connections = Rc::clone(&connections);
            open.push(tokio::task::spawn_local(async move {
                let _one_of_them = connections.acquire().await?;
                let kept = idle.borrow_mut().pop();
                let mut connection = match kept {
                    Some(connection) => connection,
                    None => load.connect().await?,
                };
                load.one(&mut connection, sent, &outcome).await?;
                idle.borrow_mut().push(connection);
                anyhow::Ok(())
            }));
        }
        let sent_for = began.elapsed();
        for request in open {
            request.await??;
        }
        let mut outcome = finish(&outcome, began);
        outcome.seconds = sent_for.as_secs_f64();
        Ok(outcome)
    }

    async fn count(&self, requests: usize) -> Result<Outcome> {
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let began = Instant::now();
        let mut connection = self.connect().await?;
        for _ in 0..requests {
            self.one(&mut connection, Instant::now(), &outcome).await?;
        }
        Ok(finish(&outcome, began))
    }

    async fn connect(&self) -> Result<Connection> {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
        socket.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(socket)).await?;
        tokio::task::spawn_local(driver);
        Ok(connection)
    }

    /// One request, whose times count from the moment `sent`.
    async fn one(
        &self,
        connection: &mut Connection,
        sent: Instant,
        outcome: &RefCell<Outcome>,
    ) -> Result<()> {
        let mut request = Request::post(&*self.path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in &*self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body.clone()))?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let (mut first, mut events, mut text) = (None, 0, Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            first.get_or_insert_with(|| nanos(sent));
            if self.kind == Kind::Stream {
                let arrived = now();
                for stamp in stamps(&data) {
                    outcome.borrow_mut().transit.push(arrived.saturating_sub(stamp));
                    events += 1;
                }
            }
            if !status.is_success() {
                text.extend_from_slice(&data);
            }
        }
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&text));
        }
        if self.kind == Kind::Stream {
            ensure!(!self.exact || events == EVENTS, "{events} events of {EVENTS} came");
        }
        let mut outcome = outcome.borrow_mut();
        outcome.whole.push(nanos(sent));
        outcome.first.push(first.context("the answer was empty")?);
        Ok(())
    }
}

fn finish(outcome: &Rc<RefCell<Outcome>>, began: Instant) -> Outcome {
    let mut outcome = std::mem::take(&mut *outcome.borrow_mut());
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The times that events carry: `"t123 "`, in whatever JSON the face puts around it.
fn stamps(data: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    for (at, _) in data.windows(2).enumerate().filter(|(_, pair)| *pair == br#""t"#) {
        let digits: Vec<u8> =
            data[at + 2..].iter().copied().take_while(u8::is_ascii_digit).collect();
        let ends_well = data.get(at + 2 + digits.len()) == Some(&b' ');
        if let (true, Some(stamp)) =
            (ends_well, std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok()))
        {
            found.push(stamp);
        }
    }
    found
}

/// Prompt and answer tokens, from the event of a stream that has them.
pub(crate) fn usage(events: &str) -> Option<(f64, f64)> {
    let values = events.lines().filter_map(|line| line.strip_prefix("data: "));
    values.filter_map(|text| serde_json::from_str::<serde_json::Value>(text).ok()).find_map(
        |event| {
            let usage = event.get("usage")?;
            Some((usage["prompt_tokens"].as_f64()?, usage["completion_tokens"].as_f64()?))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_found_in_the_last_event() {
        let events = "data: {\"choices\":[],\"usage\":null}\n\ndata: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        assert_eq!(usage(events), Some((5.0, 2.0)));
    }

    #[test]
    fn times_are_found_in_both_faces() {
        assert_eq!(stamps(br#"data: {"delta":{"content":"t12 "}}"#), [12]);
        assert_eq!(stamps(br#"{"event":{"delta":{"type":"text","text":"t7 "}}}"#), [7]);
        assert!(stamps(br#"{"type":"text"}"#).is_empty());
    }
}
