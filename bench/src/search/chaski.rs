//! The process that measures Chaski's own index.

use super::{FILTERED, Measured, Row, Shape};
use anyhow::{Context, Result};
use chaski_index::{Chunk, Filter, Index, Query, Settings};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::Path,
    time::Instant,
};

/// Chunks of one call.
const BATCH: usize = 1000;

fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    let kilobytes = line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1e3
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Asks all queries of one kind, one after the other.
fn run<'q>(
    index: &Index,
    shape: Shape,
    kind: &str,
    make: impl Fn(usize) -> Query<'q>,
) -> Result<Row> {
    let (mut times_ms, mut found) = (Vec::new(), Vec::new());
    for number in 0..shape.queries {
        let query = make(number).top(shape.k);
        let began = Instant::now();
        let hits = index.search(&query)?;
        times_ms.push(began.elapsed().as_secs_f64() * 1e3);
        found.push(hits.iter().map(|hit| hit.id.parse()).collect::<Result<_, _>>()?);
    }
    Ok(Row { kind: kind.to_owned(), times_ms, found })
}

/// Reads the data in the folder, measures, and prints the result.
#[expect(clippy::print_stdout, reason = "the result is for the process that started this one")]
pub(crate) fn measure(folder: &Path) -> Result<()> {
    let shape: Shape = serde_json::from_slice(&fs::read(folder.join("shape.json"))?)?;
    let Shape { chunks, dimension, .. } = shape;
    let place = tempfile::tempdir_in(folder)?;
    let path = place.path().join("index");
    let before = resident();
    let index = Index::create(&path, &Settings::new(dimension))?;
    let mut vectors = BufReader::new(File::open(folder.join("vectors.f32"))?);
    let mut texts = BufReader::new(File::open(folder.join("texts.txt"))?).lines();
    let (mut built, mut bytes) = (0.0, vec![0; dimension * 4]);
    for start in (0..chunks).step_by(BATCH) {
        let mut batch = Vec::with_capacity(BATCH);
        for number in start..(start + BATCH).min(chunks) {
            vectors.read_exact(&mut bytes)?;
            let text = texts.next().context("there are fewer texts than vectors")??;
            let chunk = Chunk::new(number.to_string(), text, numbers(&bytes));
            batch.push(chunk.with("tenth", number % 10));
        }
        let began = Instant::now();
        index.upsert(&batch)?;
        built += began.elapsed().as_secs_f64();
    }
    index.close()?;
    drop(index);
    let began = Instant::now();
    let index = Index::open(&path)?;
    let opened = began.elapsed().as_secs_f64();

    let queries = numbers(&fs::read(folder.join("queries.f32"))?);
    let queries: Vec<&[f32]> = queries.chunks_exact(dimension).collect();
    let texts = fs::read_to_string(folder.join("query-texts.txt"))?;
    let texts: Vec<&str> = texts.lines().collect();
    let tenth = Filter::eq("tenth", 3);
    let rows = vec![
        run(&index, shape, "vector", |number| Query::vector(queries[number]))?,
        run(&index, shape, "vector, exact", |number| Query {
            exact: true,
            ..Query::vector(queries[number])
        })?,
        run(&index, shape, FILTERED, |number| Query::vector(queries[number]).only(&tenth))?,
        run(&index, shape, "keyword", |number| Query::keyword(texts[number]))?,
        run(&index, shape, "hybrid", |number| Query::hybrid(queries[number], texts[number]))?,
    ];
    let memory = resident() - before;
    let way = "Chaski".to_owned();
    println!("{}", serde_json::to_string(&Measured { way, built, opened, memory, rows })?);
    Ok(())
}
