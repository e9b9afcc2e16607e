//! Agents side by side: each turn asks the model, gets a call of a tool, is given the tool's answer, and asks
//! the model again. The reference does the same turns where it is installed.

use crate::{
    machine, peers,
    server::{Server, Setup},
    upstream::Upstream,
};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinHandle};

/// Agents that have a turn at the same time.
const AGENTS: usize = 200;
/// A server that fails with so many is asked again with fewer.
const FEWER: [usize; 4] = [AGENTS, 50, 10, 1];
/// Turns of each agent, one after another: many are a second or two of work for Chaski, one is a minute
/// of work for the reference.
const TURNS: usize = 20;
const TURNS_OF_PEER: usize = 1;

/// What one server did.
#[derive(Debug, Serialize)]
struct Row {
    who: String,
    /// Those that have a turn at the same time.
    agents: usize,
    turns: usize,
    turns_per_second: f64,
    cpu_milliseconds_per_turn: f64,
    /// Resident memory before the first turn and after the last, in MB.
    before_megabytes: f64,
    after_megabytes: f64,
}

#[derive(Debug, Serialize)]
struct Results {
    machine: [machine::State; 2],
    rows: Vec<Row>,
}

/// Measures `binary`, and the reference among the peers, and writes `agents.md` and `agents.json` into
/// `folder`.
pub(crate) async fn measure(binary: &Path, folder: &Path, peers: &Path) -> Result<()> {
    let before = machine::State::now();
    machine::pin_to_first_core();
    let upstream = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    let mut rows = Vec::new();
    for (name, setup) in setups() {
        let server = Server::in_front_of(binary, upstream.port, setup).await?;
        rows.push(run(name, &server, AGENTS, TURNS).await?);
    }
    for (folder, peer) in peers::installed(peers)? {
        if !peer.agents {
            continue;
        }
        for agents in FEWER {
            let Some(server) = peers::started(&folder, &peer, upstream.port).await else { break };
            match run(&peer.name, &server, agents, TURNS_OF_PEER).await {
                Ok(row) => {
                    rows.push(row);
                    break;
                }
                Err(error) => eprintln!("{} fails with {agents} agents: {error:#}", peer.name),
            }
        }
    }
    let results = Results { machine: [before, machine::State::now()], rows };
    fs::create_dir_all(folder)?;
    fs::write(folder.join("agents.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    fs::write(folder.join("agents.md"), results.markdown())?;
    Ok(())
}

/// Chaski as the reference is set up, which keeps no traces here, and as users get it.
fn setups() -> [(&'static str, Setup<'static>); 2] {
    let setup = |untraced| Setup { agents: true, untraced, ..Setup::default() };
    [("Chaski", setup(true)), ("Chaski, traces kept", setup(false))]
}

/// Makes turns in both ways, and lets the servers end by themselves, which is when a program that counts
/// what it does writes that down.
pub(crate) async fn train(binary: &Path) -> Result<()> {
    let upstream = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    for (name, setup) in setups() {
        let server = Server::in_front_of(binary, upstream.port, setup).await?;
        run(name, &server, AGENTS, TURNS).await?;
        server.stop()?;
    }
    Ok(())
}

/// The turns of all agents on a server.
async fn run(who: &str, server: &Server, count: usize, turns: usize) -> Result<Row> {
    // One that is not counted, so that everything is loaded.
    Agent::made(server.port).await?.turn().await?;
    // One after another: the reference refuses some of many that come at once.
    let mut agents = Vec::new();
    for _ in 0..count {
        agents.push(Agent::made(server.port).await?);
    }
    let (before_megabytes, cpu, began) = (server.memory()?, server.cpu()?, Instant::now());
    try_join_all(agents.into_iter().map(async |mut agent| {
        for _ in 0..turns {
            agent.turn().await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), server.cpu()?.saturating_sub(cpu));
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let done = (count * turns) as f64;
    Ok(Row {
        who: who.to_owned(),
        agents: count,
        turns: count * turns,
        turns_per_second: done / seconds,
        cpu_milliseconds_per_turn: cpu.as_secs_f64() * 1000.0 / done,
        before_megabytes,
        after_megabytes: server.memory()?,
    })
}

/// An agent, and the connection of its user.
struct Agent {
    connection: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    path: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Agent {
    async fn made(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(socket)).await?;
        let driver = tokio::spawn(async move {
            let _ended = driver.await;
        });
        let mut agent = Self { connection, driver, path: "/v1/agents".to_owned() };
        let tool = json!({
            "name": "get_weather", "description": "The weather of a city.",
            "parameters": [{
                "name": "city", "parameter_type": "string", "description": "The city.",
                "required": true,
            }],
        });
        let config = json!({
            "model": "m", "instructions": "Answer in one sentence.", "client_tools": [tool],
            "enable_session_persistence": true,
            "sampling_params": { "strategy": { "type": "greedy" } },
        });
        let made = agent.post("", &json!({ "agent_config": config })).await?;
        agent.path = format!("/v1/agents/{}", text(&made, "agent_id")?);
        Ok(agent)
    }

    /// A session with one turn: the question, the call, the answer of the tool, the answer.
    async fn turn(&mut self) -> Result<()> {
        let session = self.post("/session", &json!({ "session_name": "bench" })).await?;
        let turns = format!("/session/{}/turn", text(&session, "session_id")?);
        let question = json!({
            "messages": [{ "role": "user", "content": "What is the weather in Quito?" }],
            "stream": true,
        });
        let events = self.send(&turns, &question).await?;
        let waiting = ending(&events, "turn_awaiting_input")?;
        let call = &waiting["output_message"]["tool_calls"][0];
        let answer = json!({
            "tool_responses": [{
                "call_id": text(call, "call_id")?, "tool_name": "get_weather", "content": "Sunny.",
            }],
            "stream": true,
        });
        let resume = format!("{turns}/{}/resume", text(&waiting, "turn_id")?);
        let turn = ending(&self.send(&resume, &answer).await?, "turn_complete")?;
        let said = text(&turn["output_message"], "content")?;
        ensure!(said.starts_with('t'), "the answer of the model is not in the turn: {turn}");
        Ok(())
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        Ok(serde_json::from_slice(&self.send(path, body).await?)?)
    }

    async fn send(&mut self, path: &str, body: &Value) -> Result<Vec<u8>> {
        let request = Request::post(format!("{}{path}", self.path))
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        self.connection.ready().await?;
        let answer = self.connection.send_request(request).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes().to_vec();
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&text));
        Ok(text)
    }
}

/// A text in an answer.
fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no `{key}` in {value}"))
}

/// The turn in the event of this type.
fn ending(events: &[u8], wanted: &str) -> Result<Value> {
    let events = String::from_utf8_lossy(events);
    events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .find_map(|mut event| {
            let payload = &mut event["event"]["payload"];
            (payload["event_type"] == wanted).then(|| payload["turn"].take())
        })
        .with_context(|| format!("no `{wanted}` in {events}"))
}

impl Results {
    fn markdown(&self) -> String {
        let [before, after] = &self.machine;
        let mut out = vec![
            "# Agents side by side".to_owned(),
            String::new(),
            format!(
                "Machine: {} cores, {}, Linux {}; load {} before and {} after. Written by `make bench`.",
                before.cores, before.processor, before.kernel, before.load, after.load
            ),
            String::new(),
            format!(
                "{AGENTS} agents at the same time, or as many as a server bears. A turn is a new \
                 session, a question, a call of a tool of the client, its answer, and the answer of \
                 the model; all events are streamed and everything is kept in SQLite. Traces have a span for \
                 each step and each call of the model; the reference keeps none here. The model is \
                 the fixed upstream; the server has one core."
            ),
            String::new(),
            "| Server | Agents | Turns | Turns/s | CPU ms a turn | Memory before, MB | after, MB |"
                .to_owned(),
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |".to_owned(),
        ];
        out.extend(self.rows.iter().map(|row| {
            format!(
                "| {} | {} | {} | {:.1} | {:.2} | {:.0} | {:.0} |",
                row.who,
                row.agents,
                row.turns,
                row.turns_per_second,
                row.cpu_milliseconds_per_turn,
                row.before_megabytes,
                row.after_megabytes
            )
        }));
        if let [ours, _traced, others @ ..] = &self.rows[..] {
            out.push(String::new());
            out.extend(others.iter().map(|other| {
                format!(
                    "{} does {:.0} times the turns of {}.",
                    ours.who,
                    ours.turns_per_second / other.turns_per_second,
                    other.who
                )
            }));
        }
        out.join("\n") + "\n"
    }
}
