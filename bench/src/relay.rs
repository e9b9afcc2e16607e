//! What relaying costs: the same load to the upstream itself, through a bare proxy, and through
//! the server by each of its ways.

use crate::{
    load::{self, Kind, Load, Outcome, Pace, QUESTION},
    report::{self, Row},
    server::{Server, Setup},
    upstream::Upstream,
};
use anyhow::Result;
use serde::Serialize;
use std::{iter, path::Path, rc::Rc, time::Duration};

/// How long each cell of a table is measured.
const CELL: Duration = Duration::from_millis(1100);
/// How long a cell at half load is measured, so that work in the background falls into each as much.
const LONG_CELL: Duration = Duration::from_secs(3);
/// The rounds of a table; the median of each cell counts.
const ROUNDS: usize = 5;
/// The rounds of a look, which is to be short.
const ROUNDS_OF_A_LOOK: usize = 1;
/// How long the upstream waits before it answers, in the table at a fixed rate.
const THINKING: Duration = Duration::from_millis(50);
/// The pause between the events of a stream, in the table at a fixed rate.
const BETWEEN_EVENTS: Duration = Duration::from_millis(10);
/// The prompts of the table of large requests, in bytes.
const LARGE: [usize; 2] = [100_000, 1_000_000];

pub(crate) const OPENAI: &str = "/v1/chat/completions";
pub(crate) const LLAMA_STACK: &str = "/v1/inference/chat-completion";
const TOKEN: &[(&str, &str)] = &[("authorization", "Bearer bench-token")];

pub(crate) const DIRECT: &str = "direct";
pub(crate) const BARE: &str = "bare proxy";
pub(crate) const FACE: &str = "OpenAI face";
pub(crate) const NATIVE: &str = "Llama Stack face";
pub(crate) const UNTRACED: &str = "OpenAI face, no telemetry";
const REMEMBERED: &str = "OpenAI face, token remembered";
const ASKED: &str = "OpenAI face, token asked each time";
const NATIVE_REMEMBERED: &str = "Llama Stack face, token remembered";
const NATIVE_ASKED: &str = "Llama Stack face, token asked each time";

/// The tables of this part.
#[derive(Debug, Serialize)]
pub(crate) struct Relay {
    pub(crate) full_speed: Vec<Row>,
    pub(crate) half_load: Vec<Row>,
    pub(crate) fixed_rate: Vec<Row>,
    pub(crate) large: Vec<Row>,
}

/// Whom the load goes to.
pub(crate) struct Target<'a> {
    pub(crate) name: Rc<str>,
    pub(crate) path: Rc<str>,
    pub(crate) headers: Rc<[(String, String)]>,
    pub(crate) model: Rc<str>,
    /// Whether the body is Llama Stack's in place of OpenAI's.
    pub(crate) llama_stack: bool,
    pub(crate) port: u16,
    /// Whose CPU time and memory count; nobody's where the load goes to the upstream itself.
    pub(crate) server: Option<&'a Server>,
    /// Whether events come one by one.
    pub(crate) exact: bool,
}

impl<'a> Target<'a> {
    fn direct(upstream: u16) -> Self {
        Self {
            name: DIRECT.into(),
            path: OPENAI.into(),
            headers: Rc::new([]),
            model: "m".into(),
            llama_stack: false,
            port: upstream,
            server: None,
            exact: true,
        }
    }

    pub(crate) fn through(name: &str, server: &'a Server) -> Self {
        let port = server.port;
        Self { name: name.into(), server: Some(server), ..Self::direct(port) }
    }

    pub(crate) fn native(server: &'a Server) -> Self {
        let path = LLAMA_STACK.into();
        Self { path, llama_stack: true, ..Self::through(NATIVE, server) }
    }

    fn with_token(self, name: &str) -> Self {
        let headers = TOKEN.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { name: name.into(), headers: headers.collect(), ..self }
    }

    pub(crate) fn load(&self, kind: Kind, prompt: usize) -> Load {
        Load {
            port: self.port,
            path: Rc::clone(&self.path),
            headers: Rc::clone(&self.headers),
            body: load::body(self.llama_stack, &self.model, kind, prompt),
            kind,
            exact: self.exact,
        }
    }

    pub(crate) async fn measure(&self, kind: Kind, pace: Pace, prompt: usize) -> Result<Row> {
        self.measure_for(CELL, kind, pace, prompt).await
    }

    async fn measure_for(
        &self,
        duration: Duration,
        kind: Kind,
        pace: Pace,
        prompt: usize,
    ) -> Result<Row> {
        eprintln!("{}: {kind:?}, {pace:?}, {prompt} bytes", self.name);
        let load = self.load(kind, prompt);
        load.run(pace, CELL / 4).await?;
        let before = self.server.map(Server::cpu).transpose()?;
        let outcome: Outcome = load.run(pace, duration).await?;
        let cost = match (self.server, before) {
            (Some(server), Some(before)) => {
                Some((server.cpu()?.saturating_sub(before), server.memory()?))
            }
            _ => None,
        };
        let row = Row::new(Rc::clone(&self.name), kind, pace, &outcome, cost);
        Ok(Row { prompt_bytes: prompt, ..row })
    }
}

/// Chaski in front of an upstream in each of the ways it is set up, and the bare proxy.
struct Ways {
    bare: Server,
    plain: Server,
    untraced: Server,
    remembering: Server,
    asking: Server,
}

impl Ways {
    async fn started(binary: &Path, upstream: u16) -> Result<Self> {
        let start = |setup| Server::in_front_of(binary, upstream, setup);
        let authentication = |seconds| Setup { authentication: Some(seconds), ..roomy() };
        Ok(Self {
            bare: Server::bare_proxy(upstream).await?,
            plain: start(roomy()).await?,
            untraced: start(Setup { untraced: true, ..roomy() }).await?,
            remembering: start(authentication(600)).await?,
            asking: start(authentication(0)).await?,
        })
    }

    fn targets(&self) -> [Target<'_>; 8] {
        [
            Target::through(BARE, &self.bare),
            Target::through(FACE, &self.plain),
            Target::through(UNTRACED, &self.untraced),
            Target::through(FACE, &self.remembering).with_token(REMEMBERED),
            Target::through(FACE, &self.asking).with_token(ASKED),
            Target::native(&self.plain),
            Target::native(&self.remembering).with_token(NATIVE_REMEMBERED),
            Target::native(&self.asking).with_token(NATIVE_ASKED),
        ]
    }
}

/// Shows the rate and the CPU time of all ways, at one concurrency, and how long plain answers take at half of
/// that rate.
pub(crate) async fn look(binary: &Path) -> Result<()> {
    let upstream = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    let ways = Ways::started(binary, upstream.port).await?;
    let targets: Vec<_> = iter::once(Target::direct(upstream.port)).chain(ways.targets()).collect();
    let mut rows = Vec::new();
    for _ in 0..ROUNDS_OF_A_LOOK {
        for kind in [Kind::Plain, Kind::Stream] {
            rows.extend(round(&targets, kind, Pace::Closed { concurrency: 16 }, QUESTION).await?);
        }
    }
    let full_speed = report::medians(rows);
    let half_load = at_half_load(&targets, &[Kind::Plain], ROUNDS_OF_A_LOOK).await?;
    for row in full_speed.iter().chain(&half_load) {
        let Row { target, kind, p50_ms, p99_ms, .. } = row;
        let (cpu, rate) = (row.cpu_us_per_request.unwrap_or_default(), row.requests_per_second);
        eprintln!(
            "{target:40} {kind:?}: {rate:.0}/s, {cpu:.1} µs of CPU a request, {p50_ms:.2} and \
             {p99_ms:.2} ms (p50 and p99)"
        );
    }
    Ok(())
}

/// Half of what each way can do, on its own and straight to the upstream at the same rate, which is one
/// at which the generator is not busy itself. The first target is the upstream. What the ways can do is
/// measured just before, since the machine is not always as fast.
async fn at_half_load(targets: &[Target<'_>], kinds: &[Kind], rounds: usize) -> Result<Vec<Row>> {
    let ways = targets.iter().filter(|target| target.server.is_some());
    let cells: Vec<_> =
        kinds.iter().flat_map(|kind| ways.clone().map(|way| (*kind, way))).collect();
    let mut rows: Vec<[Vec<Row>; 2]> = cells.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    for _ in 0..rounds {
        for ((kind, way), rows) in cells.iter().zip(&mut rows) {
            let most = Pace::Closed { concurrency: 16 };
            let generator = targets[0].measure(*kind, most, QUESTION).await?.requests_per_second;
            let most = way.measure(*kind, most, QUESTION).await?.requests_per_second;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate of requests is small and above zero"
            )]
            let per_second = (most / 2.0).min(generator / 3.0).max(1.0) as u32;
            let pace = Pace::Open { per_second };
            for (target, rows) in [&targets[0], *way].into_iter().zip(rows.iter_mut()) {
                rows.push(target.measure_for(LONG_CELL, *kind, pace, QUESTION).await?);
            }
        }
    }
    Ok(rows.into_iter().flat_map(report::at_one_rate).collect())
}

/// Sends requests of all kinds on all ways, and lets the servers end by themselves, which is when a program
/// that counts what it does writes that down.
pub(crate) async fn train(binary: &Path) -> Result<()> {
    let upstream = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    let ways = Ways::started(binary, upstream.port).await?;
    for way in ways.targets().iter().filter(|way| &*way.name != BARE) {
        for kind in [Kind::Plain, Kind::Stream] {
            let pace = Pace::Closed { concurrency: 16 };
            way.measure(kind, pace, QUESTION).await?;
        }
        way.measure(Kind::Plain, Pace::Closed { concurrency: 4 }, LARGE[0]).await?;
    }
    [ways.plain, ways.untraced, ways.remembering, ways.asking]
        .map(Server::stop)
        .into_iter()
        .collect()
}

/// A server that refuses nobody: requests at a fixed rate pile up while the machine does something else.
fn roomy() -> Setup<'static> {
    Setup { requests: Some(20_000), ..Setup::default() }
}

/// Each target once, at the same load.
async fn round(targets: &[Target<'_>], kind: Kind, pace: Pace, prompt: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::with_capacity(targets.len());
    for target in targets {
        rows.push(target.measure(kind, pace, prompt).await?);
    }
    Ok(report::beside_bare(rows))
}

pub(crate) async fn measure(binary: &Path) -> Result<Relay> {
    let fast = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    let ways = Ways::started(binary, fast.port).await?;
    let targets: Vec<_> = iter::once(Target::direct(fast.port)).chain(ways.targets()).collect();
    let mut full_speed = Vec::new();
    for _ in 0..ROUNDS {
        for kind in [Kind::Plain, Kind::Stream] {
            for concurrency in [1, 16, 64] {
                let pace = Pace::Closed { concurrency };
                full_speed.extend(round(&targets, kind, pace, QUESTION).await?);
            }
        }
    }
    let full_speed = report::medians(full_speed);
    let half_load = at_half_load(&targets, &[Kind::Plain, Kind::Stream], ROUNDS).await?;

    let mut large = Vec::new();
    let without_token: Vec<_> =
        targets.into_iter().filter(|target| target.headers.is_empty()).collect();
    for _ in 0..ROUNDS {
        for prompt in LARGE {
            let pace = Pace::Closed { concurrency: 4 };
            large.extend(round(&without_token, Kind::Plain, pace, prompt).await?);
        }
    }
    let large = report::medians(large);
    drop(without_token);
    drop(ways);

    let slow = Upstream::start(THINKING, BETWEEN_EVENTS).await?;
    let plain = Server::in_front_of(binary, slow.port, roomy()).await?;
    let bare = Server::bare_proxy(slow.port).await?;
    let targets = [
        Target::direct(slow.port),
        Target::through(BARE, &bare),
        Target::through(FACE, &plain),
        Target::native(&plain),
    ];
    let mut fixed_rate = Vec::new();
    for _ in 0..ROUNDS {
        for (kind, per_second) in [(Kind::Plain, 50), (Kind::Plain, 500), (Kind::Stream, 20)] {
            fixed_rate.extend(round(&targets, kind, Pace::Open { per_second }, QUESTION).await?);
        }
    }
    Ok(Relay { full_speed, half_load, fixed_rate: report::medians(fixed_rate), large })
}
