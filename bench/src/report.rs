//! Rows, medians, and the files of a run: `results.json`, `README.md`, `latency.svg`.

use crate::{
    engine::{Engine, Speed},
    load::{Kind, Outcome, Pace},
    machine::State,
    plot,
    server::ColdStart,
};
use anyhow::Result;
use serde::Serialize;
use std::{fs, path::Path, time::Duration};

/// One cell of the measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) target: &'static str,
    pub(crate) kind: Kind,
    /// Connections, or requests a second where the rate is fixed.
    pub(crate) concurrency: Option<usize>,
    pub(crate) per_second: Option<u32>,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) first_byte_p50_ms: f64,
    pub(crate) transit_p50_ms: Option<f64>,
    pub(crate) transit_p99_ms: Option<f64>,
    pub(crate) cpu_us_per_request: Option<f64>,
    pub(crate) memory_mb: Option<f64>,
}

/// The value that `share` of the sorted values do not pass, in milliseconds.
fn quantile(values: &[u64], share: f64) -> f64 {
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
        target: &'static str,
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
        };
        let transit = (!outcome.transit.is_empty()).then_some(&outcome.transit);
        Self {
            target,
            kind,
            concurrency,
            per_second,
            requests_per_second: requests / outcome.seconds,
            p50_ms: quantile(&outcome.whole, 0.5),
            p99_ms: quantile(&outcome.whole, 0.99),
            first_byte_p50_ms: quantile(&outcome.first, 0.5),
            transit_p50_ms: transit.map(|values| quantile(values, 0.5)),
            transit_p99_ms: transit.map(|values| quantile(values, 0.99)),
            cpu_us_per_request: cost.map(|(cpu, _)| cpu.as_secs_f64() * 1e6 / requests),
            memory_mb: cost.map(|(_, memory)| memory),
        }
    }

    fn same_cell(&self, other: &Self) -> bool {
        (self.target, self.kind, self.concurrency, self.per_second)
            == (other.target, other.kind, other.concurrency, other.per_second)
    }
}

/// One row for each cell: the one whose rate is the median of the rounds.
pub(crate) fn medians(mut rows: Vec<Row>) -> Vec<Row> {
    let mut out = Vec::new();
    while let Some(first) = rows.first().cloned() {
        let (mut cell, rest): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.same_cell(&first));
        rows = rest;
        cell.sort_by(|a, b| a.requests_per_second.total_cmp(&b.requests_per_second));
        let middle = cell.len() / 2;
        out.push(cell.swap_remove(middle));
    }
    out
}

/// Everything that one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) start: ColdStart,
    pub(crate) full_speed: Vec<Row>,
    pub(crate) fixed_rate: Vec<Row>,
    pub(crate) engine: Option<Engine>,
    /// Before and after.
    pub(crate) machine: [State; 2],
}

impl Results {
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("results.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(folder.join("README.md"), self.markdown())?;
        fs::write(folder.join("latency.svg"), plot::added_latency(&self.full_speed))?;
        Ok(())
    }

    fn markdown(&self) -> String {
        let [before, after] = &self.machine;
        let mut out =
            vec![
            "# Measurements".to_owned(),
            String::new(),
            "Written by `make bench`. The same load goes to a fixed upstream directly and through \
             Chaski, in one run; the differences are what Chaski adds. Generator and upstream \
             share one core, the server has another."
                .to_owned(),
            String::new(),
            format!(
                "Machine: {} cores, {}, {} GB, Linux {}; load {} before and {} after.",
                before.cores, before.processor, before.memory_gigabytes, before.kernel, before.load,
                after.load
            ),
            String::new(),
            "## Start".to_owned(),
            String::new(),
            format!(
                "`chaski run starter`, nothing fetched: first answer after {:.0} ms, {:.1} MB \
                 resident two seconds later (medians of {} and 3 starts).",
                self.start.milliseconds, self.start.idle_megabytes, self.start.rounds
            ),
            String::new(),
            "## At full speed".to_owned(),
            String::new(),
            "The upstream answers at once; each connection sends its next request when the last \
             one is answered. With one server core, more connections mean waiting in line: the \
             rate and the CPU time are the figures to look at."
                .to_owned(),
            String::new(),
            "![Latency added by Chaski](latency.svg)".to_owned(),
            String::new(),
        ];
        out.extend(table(&self.full_speed, "Connections"));
        out.extend([
            String::new(),
            "## At a fixed rate".to_owned(),
            String::new(),
            "The upstream thinks for 50 ms, and pauses 10 ms between the 20 events of a stream. \
             Requests leave on time, whatever is still open. Transit is the way of one event from \
             the upstream to the client."
                .to_owned(),
            String::new(),
        ]);
        out.extend(table(&self.fixed_rate, "Requests/s"));
        if let Some(engine) = &self.engine {
            out.extend([
                String::new(),
                "## The engine".to_owned(),
                String::new(),
                format!(
                    "Tokens a second of `{}` with {} computing threads, the best of five rounds.",
                    engine.model, engine.threads
                ),
                String::new(),
                "| | Prompt | Decode |".to_owned(),
                "| --- | ---: | ---: |".to_owned(),
            ]);
            for Speed { name, prompt, decode } in &engine.rows {
                out.push(format!("| {name} | {prompt:.0} | {decode:.1} |"));
            }
        }
        out.join("\n") + "\n"
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

fn table(rows: &[Row], load: &str) -> Vec<String> {
    let mut out = vec![
        format!(
            "| Target | Kind | {load} | Answered/s | p50 ms | p99 ms | Added p50 ms | Added p99 ms \
             | First byte p50 ms | Transit p50/p99 ms | CPU µs/request | RSS MB |"
        ),
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
            .to_owned(),
    ];
    for row in rows {
        let direct = direct(rows, row);
        let added = |own: f64, of: fn(&Row) -> f64| {
            cell(direct.filter(|_| row.target != "direct").map(|direct| own - of(direct)), 2)
        };
        let kind = match row.kind {
            Kind::Plain => "plain",
            Kind::Stream => "stream",
        };
        let load = row
            .concurrency
            .map(|number| number.to_string())
            .or(row.per_second.map(|number| number.to_string()))
            .unwrap_or_default();
        let transit = match (row.transit_p50_ms, row.transit_p99_ms) {
            (Some(p50), Some(p99)) => format!("{p50:.2} / {p99:.2}"),
            _ => String::new(),
        };
        out.push(format!(
            "| {} | {kind} | {load} | {:.0} | {:.2} | {:.2} | {} | {} | {:.2} | {transit} | {} | {} |",
            row.target,
            row.requests_per_second,
            row.p50_ms,
            row.p99_ms,
            added(row.p50_ms, |row| row.p50_ms),
            added(row.p99_ms, |row| row.p99_ms),
            row.first_byte_p50_ms,
            cell(row.cpu_us_per_request, 0),
            cell(row.memory_mb, 1),
        ));
    }
    out
}

/// The row of the same load sent to the upstream itself.
pub(crate) fn direct<'a>(rows: &'a [Row], row: &Row) -> Option<&'a Row> {
    let wanted = Row { target: "direct", ..row.clone() };
    rows.iter().find(|other| other.same_cell(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: &'static str, rate: f64) -> Row {
        let outcome =
            Outcome { seconds: 1.0, whole: vec![1_000_000], first: vec![1], transit: vec![] };
        let row = Row::new(target, Kind::Plain, Pace::Closed { concurrency: 1 }, &outcome, None);
        Row { requests_per_second: rate, ..row }
    }

    #[test]
    fn each_cell_keeps_its_median_round() {
        let rows = vec![row("a", 3.0), row("b", 7.0), row("a", 1.0), row("a", 2.0)];
        let medians = medians(rows);
        let rates: Vec<_> =
            medians.iter().map(|row| (row.target, row.requests_per_second)).collect();
        assert_eq!(rates, [("a", 2.0), ("b", 7.0)]);
    }

    #[test]
    fn quantiles_are_values_of_the_list() {
        let values: Vec<u64> = (1..=100).map(|number| number * 1_000_000).collect();
        assert!((quantile(&values, 0.5) - 51.0).abs() < 1.0);
        assert!((quantile(&values, 0.99) - 99.0).abs() < 1.0);
        assert!((quantile(&[5_000_000], 0.99) - 5.0).abs() < f64::EPSILON);
    }
}
