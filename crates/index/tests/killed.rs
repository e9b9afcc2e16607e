//! What was acknowledged survives the death of the process at any instant.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use chaski_index::{Chunk, Filter, Index, Query, Settings};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const FOLDER: &str = "CHASKI_INDEX_TEST_FOLDER";
const FIRST: &str = "CHASKI_INDEX_TEST_FIRST";

/// Ids and the numbers of the steps that wrote them.
type Content = BTreeMap<String, usize>;

fn id(number: usize) -> String {
    format!("id-{:04}", number % 2000)
}

fn vector(step: usize) -> Vec<f32> {
    (0..8).map(|bit| if step >> bit & 1 == 1 { 1.0 } else { -1.0 }).collect()
}

/// Each step is one call; doing it again changes nothing.
fn apply(index: &Index, step: usize) {
    match step % 10 {
        3 => {
            let ids: Vec<String> = (step..step + 30).map(id).collect();
            index.delete(&ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        }
        7 => {
            index.delete_where(&Filter::eq("third", step % 3)).unwrap();
        }
        9 => index.compact().unwrap(),
        _ => {
            let chunk = |number: usize| {
                Chunk::new(id(number), format!("step{step} again"), vector(step))
                    .with("third", step % 3)
            };
            index.upsert(&(step * 60..step * 60 + 150).map(chunk).collect::<Vec<_>>()).unwrap();
        }
    }
}

/// What the same step does to the content that is expected.
fn expect(content: &mut Content, step: usize) {
    match step % 10 {
        3 => {
            for number in step..step + 30 {
                content.remove(&id(number));
            }
        }
        7 => content.retain(|_, writer| *writer % 3 != step % 3),
        9 => {}
        _ => content.extend((step * 60..step * 60 + 150).map(|number| (id(number), step))),
    }
}

/// The child of the next test: makes steps without end and says which are done.
#[test]
fn makes_steps_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "tells the child from an ordinary test run")]
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else { return };
    let index = Index::open_or_create(folder, &Settings::new(8)).unwrap();
    for step in first.parse().unwrap().. {
        apply(&index, step);
        let mut out = std::io::stdout();
        writeln!(out, "\ndone {step}").unwrap();
        out.flush().unwrap();
    }
}

fn content(index: &Index) -> Content {
    let mut content = Content::new();
    let mut after = None;
    loop {
        let chunks = index.list(after.as_deref(), 500, None).unwrap();
        let Some(last) = chunks.last() else { return content };
        after = Some(last.id.clone());
        for chunk in chunks {
            let step: String = chunk.text.chars().filter(char::is_ascii_digit).collect();
            let step = step.parse().unwrap();
            assert_eq!(chunk.vector, vector(step));
            content.insert(chunk.id, step);
        }
    }
}

/// Runs a child from a step on, kills it some time after so many steps, and answers the last
/// step that was acknowledged.
fn killed(folder: &Path, first: usize, steps: usize, delay: Duration) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "makes_steps_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let done = |line: String| line.strip_prefix("done ").map(|step| step.parse().unwrap());
    let mut last = lines.by_ref().filter_map(&done).nth(steps).unwrap();
    let until = Instant::now() + delay;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for step in lines.filter_map(done) {
        last = step;
    }
    last
}

#[test]
fn what_was_acknowledged_survives_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let mut expected = Content::new();
    let (mut next, mut dice) = (0usize, 12345u64);
    for round in 0..15 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let steps = usize::try_from(dice >> 33).unwrap() % 25;
        let delay = Duration::from_micros((dice >> 20) % 4000);
        let last = killed(&path, next, steps, delay);
        for step in next..=last {
            expect(&mut expected, step);
        }
        next = last + 1;

        let index = Index::open(&path).unwrap();
        let found = content(&index);
        if found != expected {
            // The step that was not acknowledged is there as a whole.
            expect(&mut expected, next);
            assert_eq!(found, expected, "round {round}, step {last}");
        }
        index.verify().unwrap();
        assert_eq!(index.len(), found.len());
        for (id, step) in found.iter().step_by(97) {
            let (text, near) = (format!("step{step}"), vector(*step));
            let hits = index.search(&Query::hybrid(&near, &text).top(2000)).unwrap();
            assert!(hits.iter().any(|hit| hit.id == *id), "{id} of step {step}");
            let same = hits.iter().filter(|hit| hit.keyword_score.is_some()).count();
            assert_eq!(same, found.values().filter(|writer| *writer == step).count());
        }
    }
    assert!(next > 50, "the children made {next} steps only");
}
