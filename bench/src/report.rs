//! Rows, medians, and the files of a run: `results.json`, `README.md`, `latency.svg`.

use crate::{
    engine::{Engine, Speed},
    instructions::Count,
    load::{Kind, Outcome, Pace, QUESTION},
    machine::State,
    open_streams::OpenStreams,
    plot,
    relay::{BARE, DIRECT, Relay},
    server::ColdStart,
    upstream::EVENTS,
};
use anyhow::Result;
use serde::Serialize;
use std::{fs, path::Path, rc::Rc, time::Duration};

/// One cell of the measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) target: Rc<str>,
    pub(crate) kind: Kind,
    /// Connections, or requests a second where the rate is fixed.
    pub(crate) concurrency: Option<usize>,
    pub(crate) per_second: Option<u32>,
    pub(crate) prompt_bytes: usize,
    pub(crate) requests_per_second: f64,
    /// The rate as a share of that of the bare proxy in the same round.
    pub(crate) of_bare: Option<f64>,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) first_byte_p50_ms: f64,
    pub(crate) transit_p50_ms: Option<f64>,
    pub(crate) transit_p99_ms: Option<f64>,
    pub(crate) cpu_us_per_request: Option<f64>,
    pub(crate) cpu_us_per_event: Option<f64>,
    /// The share of its core that the server used.
    pub(crate) busy: Option<f64>,
    pub(crate) memory_mb: Option<f64>,
}

/// The value that `share` of the sorted values do not pass, in milliseconds.
pub(crate) fn quantile(values: &[u64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of requests are small, and the index is within the list"
    )]
    {
        let index = ((sorted.len() - 1) as f64 * share).round() as usize;
        sorted[index] as f64 / 1e6
    }
}

impl Row {
    pub(crate) fn new(
        target: Rc<str>,
        kind: Kind,
        pace: Pace,
        outcome: &Outcome,
        cost: Option<(Duration, f64)>,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are small")]
        let requests = outcome.whole.len() as f64;
        let (concurrency, per_second) = match pace {
            Pace::Closed { concurrency } => (Some(concurrency), None),
            Pace::Open { per_second } => (None, Some(per_second)),
            Pace::Count { .. } => (None, None),
        };
        let cpu = cost.map(|(cpu, _)| cpu.as_secs_f64() * 1e6 / requests);
        #[expect(clippy::cast_precision_loss, reason = "a small constant")]
        let events = EVENTS as f64;
        let transit = (!outcome.transit.is_empty()).then_some(&outcome.transit);
        Self {
            target,
            kind,
            concurrency,
            per_second,
            prompt_bytes: QUESTION,
            requests_per_second: requests / outcome.seconds,
            of_bare: None,
            p50_ms: quantile(&outcome.whole, 0.5),
            p99_ms: quantile(&outcome.whole, 0.99),
            first_byte_p50_ms: quantile(&outcome.first, 0.5),
            transit_p50_ms: transit.map(|values| quantile(values, 0.5)),
            transit_p99_ms: transit.map(|values| quantile(values, 0.99)),
            cpu_us_per_request: cpu,
            cpu_us_per_event: cpu.filter(|_| kind == Kind::Stream).map(|cpu| cpu / events),
            busy: cost.map(|(cpu, _)| cpu.as_secs_f64() / outcome.seconds),
            memory_mb: cost.map(|(_, memory)| memory),
        }
    }

    fn same_cell(&self, other: &Self) -> bool {
        let cell = |row: &Self| {
            (row.target.clone(), row.kind, row.concurrency, row.per_second, row.prompt_bytes)
        };
        cell(self) == cell(other)
    }
}

/// One row for each cell, with the medians of the figures of its rounds: rates that are given are
/// the same in each, and say nothing about the others.
pub(crate) fn medians(mut rows: Vec<Row>) -> Vec<Row> {
    let mut out = Vec::new();
    while let Some(first) = rows.first().cloned() {
        let (cell, rest): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.same_cell(&first));
        rows = rest;
        let figure = |of: fn(&Row) -> Option<f64>| {
            let mut values: Vec<f64> = cell.iter().filter_map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        out.push(Row {
            requests_per_second: figure(|row| Some(row.requests_per_second)).unwrap_or_default(),
            of_bare: figure(|row| row.of_bare),
            p50_ms: figure(|row| Some(row.p50_ms)).unwrap_or_default(),
            p99_ms: figure(|row| Some(row.p99_ms)).unwrap_or_default(),
            first_byte_p50_ms: figure(|row| Some(row.first_byte_p50_ms)).unwrap_or_default(),
            transit_p50_ms: figure(|row| row.transit_p50_ms),
            transit_p99_ms: figure(|row| row.transit_p99_ms),
            cpu_us_per_request: figure(|row| row.cpu_us_per_request),
            cpu_us_per_event: figure(|row| row.cpu_us_per_event),
            busy: figure(|row| row.busy),
            memory_mb: figure(|row| row.memory_mb),
            ..first
        });
    }
    out
}

/// Compares the rates of one round with that of the bare proxy, where they are not given. The machine
/// is not as fast in each round, but it is about the same within one.
pub(crate) fn beside_bare(mut round: Vec<Row>) -> Vec<Row> {
    let is_way = |row: &Row| row.concurrency.is_some() && ![DIRECT, BARE].contains(&&*row.target);
    let share = |row: &Row| {
        let bare = beside(&round, row, BARE).filter(|_| is_way(row))?;
        Some(row.requests_per_second / bare.requests_per_second)
    };
    let shares: Vec<_> = round.iter().map(share).collect();
    for (row, share) in round.iter_mut().zip(shares) {
        row.of_bare = share;
    }
    round
}

/// The medians of the upstream and of a way beside it, whose rate was another one in each round; the
/// rate that stands for them is the median too.
pub(crate) fn at_one_rate(rows: [Vec<Row>; 2]) -> Vec<Row> {
    let mut rates: Vec<u32> = rows[1].iter().filter_map(|row| row.per_second).collect();
    rates.sort_unstable();
    let per_second = rates.get(rates.len() / 2).copied();
    let rows =
        rows.map(|rows| medians(rows.into_iter().map(|row| Row { per_second, ..row }).collect()));
    rows.into_iter().flatten().collect()
}

/// Everything that one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) start: ColdStart,
    pub(crate) relay: Relay,
    pub(crate) open_streams: OpenStreams,
    pub(crate) instructions: Vec<Count>,
    pub(crate) peers: Vec<Row>,
    pub(crate) engine: Option<Engine>,
    /// Before and after.
    pub(crate) machine: [State; 2],
}

impl Results {
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("results.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(folder.join("README.md"), self.markdown())?;
        fs::write(folder.join("latency.svg"), plot::added_latency(&self.relay.full_speed))?;
        Ok(())
    }

    fn markdown(&self) -> String {
        let [before, after] = &self.machine;
        let Relay { full_speed, half_load, fixed_rate, large } = &self.relay;
        let mut out = Page::default();
        out.line("# Measurements");
        out.text(
            "Written by `make bench`. The same load goes to a fixed upstream directly, through a \
             bare proxy on the same HTTP library, and through Chaski, in one run and in turn; the \
             differences are what Chaski adds. Generator and upstream share one core, the server \
             has another, of which the column `Core` says how much was used. Each figure is the \
             median of its rounds; shares of the bare proxy are taken within a round, since the \
             machine is not as fast in each.",
        );
        out.text(
            "Chaski keeps traces everywhere, as the template `starter` does: spans go to SQLite and to \
             the log, whose level hides them; spans that come faster than they are written are \
             dropped and counted. Only the rows that say `no telemetry` are without. Nobody is \
             asked for a token but in the rows that name one: a decision is remembered there, or \
             the endpoint of authentication is asked at each request.",
        );
        out.text(&format!(
            "Machine: {} cores, {}, {} GB, Linux {}; load {} before and {} after.",
            before.cores,
            before.processor,
            before.memory_gigabytes,
            before.kernel,
            before.load,
            after.load
        ));
        out.heading("Start");
        out.text(&format!(
            "`chaski run starter`, nothing fetched: first answer after {:.0} ms, {:.1} MB \
             resident two seconds later (medians of {} and 3 starts).",
            self.start.milliseconds, self.start.idle_megabytes, self.start.rounds
        ));
        out.heading("At full speed");
        out.text(
            "The upstream answers at once; each connection sends its next request when the last \
             one is answered. With one server core, more connections mean waiting in line: the \
             rate and the CPU time are the figures to look at.",
        );
        out.text("![Latency added by Chaski](latency.svg)");
        out.table(full_speed, "Connections");
        out.heading("At half load");
        out.text(
            "Each way at half of what it did with 16 connections just before, and at most a third of \
             what the generator reaches, requests leaving on time whatever is still open, beside \
             the same rate straight to the upstream.",
        );
        out.table(half_load, "Requests/s");
        out.heading("At a fixed rate");
        out.text(
            "The upstream thinks for 50 ms, and pauses 10 ms between the 20 events of a stream. \
             Transit is the way of one event from the upstream to the client.",
        );
        out.table(fixed_rate, "Requests/s");
        out.heading("Large prompts");
        out.text("Four connections, plain answers.");
        for prompt in
            large.iter().map(|row| row.prompt_bytes).collect::<std::collections::BTreeSet<_>>()
        {
            out.text(&format!("{} kB:", prompt / 1000));
            let rows: Vec<Row> =
                large.iter().filter(|row| row.prompt_bytes == prompt).cloned().collect();
            out.table(&rows, "Connections");
        }
        out.heading("Open streams");
        let open = &self.open_streams;
        out.text(&format!(
            "{} streams open at the same time, {} of them on connections of their own and the rest on \
             shared ones of HTTP/2, because a process may open {} files here: {:.0} MB resident, \
             {:.0} MB before them; another request takes {:.2} ms meanwhile (median).",
            open.streams,
            open.streams - open.sharing,
            open.files,
            open.after_megabytes,
            open.before_megabytes,
            open.others_p50_ms
        ));
        if !self.instructions.is_empty() {
            out.heading("Instructions");
            out.text(
                "Of one request in the server, counted by callgrind, with those of writing its span.",
            );
            out.line("| Way | Kind | Instructions |");
            out.line("| --- | --- | ---: |");
            for count in &self.instructions {
                let (target, kind) = (&count.target, word(count.kind));
                out.line(&format!("| {target} | {kind} | {} |", count.per_request));
            }
            out.line("");
        }
        if !self.peers.is_empty() {
            out.heading("Other gateways");
            out.text("On the same upstream and the same core, in the same run, as they come.");
            out.table(&self.peers, "Connections");
        }
        if let Some(engine) = &self.engine {
            out.heading("The engine");
            out.text(&format!(
                "Tokens a second of `{}` with {} computing threads, the best of five rounds.",
                engine.model, engine.threads
            ));
            out.line("| | Prompt | Decode |");
            out.line("| --- | ---: | ---: |");
            for Speed { name, prompt, decode } in &engine.rows {
                out.line(&format!("| {name} | {prompt:.0} | {decode:.1} |"));
            }
        }
        out.0.join("\n").trim_end().to_owned() + "\n"
    }
}

/// A page in Markdown.
#[derive(Default)]
struct Page(Vec<String>);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }

    fn heading(&mut self, title: &str) {
        self.0.extend([format!("## {title}"), String::new()]);
    }

    fn text(&mut self, text: &str) {
        self.0.extend([text.to_owned(), String::new()]);
    }

    fn table(&mut self, rows: &[Row], load: &str) {
        self.0.extend(table(rows, load));
        self.0.push(String::new());
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Plain => "plain",
        Kind::Stream => "stream",
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

fn table(rows: &[Row], load: &str) -> Vec<String> {
    let mut out = vec![
        format!(
            "| Way | Kind | {load} | Answered/s | of bare proxy | p50 ms | p99 ms | Added p50 ms | \
             Added p99 ms | First byte p50 ms | Transit p50/p99 ms | CPU µs/request | CPU µs/event | Core | \
             RSS MB |"
        ),
        format!("| --- | --- |{}", " ---: |".repeat(13)),
    ];
    for row in rows {
        let direct = beside(rows, row, DIRECT).filter(|_| &*row.target != DIRECT);
        let added = |own: f64, of: fn(&Row) -> f64| cell(direct.map(|direct| own - of(direct)), 2);
        let percent = |share: Option<f64>| {
            share.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share))
        };
        let load = row.concurrency.map(|number| number.to_string());
        let load = load.or(row.per_second.map(|number| number.to_string())).unwrap_or_default();
        let transit = match (row.transit_p50_ms, row.transit_p99_ms) {
            (Some(p50), Some(p99)) => format!("{p50:.2} / {p99:.2}"),
            _ => String::new(),
        };
        out.push(format!(
            "| {} | {} | {load} | {:.0} | {} | {:.2} | {:.2} | {} | {} | {:.2} | {transit} | {} | {} | {} | {} |",
            row.target,
            word(row.kind),
            row.requests_per_second,
            percent(row.of_bare),
            row.p50_ms,
            row.p99_ms,
            added(row.p50_ms, |row| row.p50_ms),
            added(row.p99_ms, |row| row.p99_ms),
            row.first_byte_p50_ms,
            cell(row.cpu_us_per_request, 0),
            cell(row.cpu_us_per_event, 1),
            percent(row.busy),
            cell(row.memory_mb, 1),
        ));
    }
    out
}

/// The row of the same load by another way.
pub(crate) fn beside<'a>(rows: &'a [Row], row: &Row, way: &str) -> Option<&'a Row> {
    let wanted = Row { target: way.into(), ..row.clone() };
    rows.iter().find(|other| other.same_cell(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: &'static str, rate: f64) -> Row {
        let outcome =
            Outcome { seconds: 1.0, whole: vec![1_000_000], first: vec![1], transit: vec![] };
        let row =
            Row::new(target.into(), Kind::Plain, Pace::Closed { concurrency: 1 }, &outcome, None);
        Row { requests_per_second: rate, ..row }
    }

    #[test]
    fn each_cell_keeps_its_median_round() {
        let rows = vec![row("a", 3.0), row("b", 7.0), row("a", 1.0), row("a", 2.0)];
        let medians = medians(rows);
        let rates: Vec<_> =
            medians.iter().map(|row| (&*row.target, row.requests_per_second)).collect();
        assert_eq!(rates, [("a", 2.0), ("b", 7.0)]);
    }

    #[test]
    fn rates_are_compared_within_their_round() {
        let round = |pace: f64| vec![row(BARE, 10.0 * pace), row("a", 8.0 * pace)];
        let rows = [1.0, 3.0, 2.0].into_iter().flat_map(|pace| beside_bare(round(pace)));
        let medians = medians(rows.collect());
        let shares: Vec<_> = medians.iter().map(|row| (&*row.target, row.of_bare)).collect();
        assert_eq!(shares, [(BARE, None), ("a", Some(0.8))]);
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let rounds = [(1.0, 30.0), (2.0, 10.0), (3.0, 20.0)];
        let rows = rounds.map(|(rate, p99_ms)| Row { p99_ms, ..row("a", rate) });
        let [median] = &medians(rows.to_vec())[..] else { panic!("one cell") };
        assert!((median.requests_per_second - 2.0).abs() < f64::EPSILON);
        assert!((median.p99_ms - 20.0).abs() < f64::EPSILON);
    }

    #[test]
    fn quantiles_are_values_of_the_list() {
        let values: Vec<u64> = (1..=100).map(|number| number * 1_000_000).collect();
        assert!((quantile(&values, 0.5) - 51.0).abs() < 1.0);
        assert!((quantile(&values, 0.99) - 99.0).abs() < 1.0);
        assert!((quantile(&[5_000_000], 0.99) - 5.0).abs() < f64::EPSILON);
    }
}
