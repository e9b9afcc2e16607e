//! `measure [COUNT [DIMENSION]]`: speed, recall and memory of an index with generated chunks.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "generated numbers need not be exact"
)]

use chaski_index::{Chunk, Filter, Index, Query, Settings};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn even(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        (-2.0 * self.even().max(1e-9).ln()).sqrt() * (std::f32::consts::TAU * self.even()).cos()
    }

    fn vector(&mut self, dimension: usize) -> Vec<f32> {
        (0..dimension).map(|_| self.normal()).collect()
    }
}

/// A word of an imagined language, the frequent ones short.
fn word(rank: usize) -> String {
    let mut rest = rank + 7;
    let mut word = String::new();
    while rest > 0 {
        word.push(char::from(b"bcdfglmnprst"[rest % 12]));
        word.push(char::from(b"aeiou"[rest / 12 % 5]));
        rest /= 60;
    }
    word
}

fn text(dice: &mut Dice, words: usize) -> String {
    // By Zipf's law among 50,000 words.
    let pick = |dice: &mut Dice| word((50_000f32.powf(dice.even()) - 1.0) as usize);
    (0..words).map(|_| pick(dice)).collect::<Vec<_>>().join(" ")
}

fn near(dice: &mut Dice, centres: &[Vec<f32>]) -> Vec<f32> {
    let centre = &centres[dice.next() as usize % centres.len()];
    centre.iter().map(|number| number + dice.normal() * 0.8).collect()
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}

/// The time that this thread has computed, in milliseconds: what else the machine does matters
/// less than for the time that passes.
fn computed() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    times.split(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let count = arguments.next().unwrap_or(100_000);
    let dimension = arguments.next().unwrap_or(384);
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("index");
    let mut dice = Dice(42);
    let centres: Vec<Vec<f32>> = (0..1000).map(|_| dice.vector(dimension)).collect();
    let index = Index::create(&path, &Settings::new(dimension)).unwrap();
    let mut inserting = Duration::ZERO;
    for start in (0..count).step_by(1000) {
        let chunks: Vec<Chunk> = (start..(start + 1000).min(count))
            .map(|number| {
                Chunk::new(
                    format!("chunk-{number:08}"),
                    text(&mut dice, 80),
                    near(&mut dice, &centres),
                )
                .with("tenth", number % 10)
                .with("document", format!("document-{}", number / 20))
            })
            .collect();
        let began = Instant::now();
        index.upsert(&chunks).unwrap();
        inserting += began.elapsed();
    }
    println!("insert: {:.0} chunks/s", count as f64 / inserting.as_secs_f64());
    println!("resident after inserting: {:.0} MB", resident());
    let began = Instant::now();
    index.compact().unwrap();
    println!("compact: {:.2} s; {:?}", began.elapsed().as_secs_f64(), index.stats());
    let began = Instant::now();
    drop(index);
    println!("close: {:.2} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let index = Index::open(&path).unwrap();
    println!("open: {:.3} s", began.elapsed().as_secs_f64());

    let queries: Vec<(Vec<f32>, String)> =
        (0..200).map(|_| (near(&mut dice, &centres), text(&mut dice, 6))).collect();
    let (one, rare) = (Filter::eq("tenth", 3), Filter::eq("document", "document-7"));
    let run = |name: &str, make: &dyn Fn(usize) -> Vec<String>| {
        let mut times = Vec::new();
        let before = computed();
        let found: Vec<Vec<String>> = (0..queries.len())
            .map(|number| {
                let began = Instant::now();
                let found = make(number);
                times.push(began.elapsed());
                found
            })
            .collect();
        let computed = (computed() - before) / queries.len() as f64;
        let p50 = quantile(&mut times, 0.5);
        let p99 = quantile(&mut times, 0.99);
        println!("{name}: p50 {p50:.2} ms, p99 {p99:.2} ms, computed {computed:.2} ms");
        found
    };
    let search = |query: Query<'_>| -> Vec<String> {
        index.search(&query).unwrap().into_iter().map(|hit| hit.id).collect()
    };
    let recall = |found: &[Vec<String>], exact: &[Vec<String>]| {
        let same = found.iter().zip(exact).map(|(found, exact)| {
            let found: HashSet<&String> = found.iter().collect();
            exact.iter().filter(|id| found.contains(id)).count()
        });
        same.sum::<usize>() as f64 / exact.iter().map(Vec::len).sum::<usize>() as f64
    };
    let vector = |number: usize| Query::vector(&queries[number].0);
    let found = run("vector", &|number| search(vector(number)));
    let exact = run("vector, exact", &|number| search(Query { exact: true, ..vector(number) }));
    println!("recall@10: {:.4}", recall(&found, &exact));
    let found = run("vector, one in ten", &|number| search(vector(number).only(&one)));
    let exact = run("vector, one in ten, exact", &|number| {
        search(Query { exact: true, ..vector(number).only(&one) })
    });
    println!("recall@10: {:.4}", recall(&found, &exact));
    run("vector, one document", &|number| search(vector(number).only(&rare)));
    run("keyword", &|number| search(Query::keyword(&queries[number].1)));
    run("hybrid", &|number| search(Query::hybrid(&queries[number].0, &queries[number].1)));
    println!(
        "resident: {:.0} MB, vectors {:.0} MB",
        resident(),
        (count * dimension * 4) as f64 / 1e6
    );
}
