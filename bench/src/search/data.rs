//! Generated chunks and queries, the same in every run, and the true hits.

use super::Shape;
use anyhow::Result;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

/// The chunks that each query should find, by number.
pub(super) struct Truth {
    pub(super) all: Vec<Vec<usize>>,
    /// Among those whose number ends in three.
    pub(super) filtered: Vec<Vec<usize>>,
}

/// Numbers that look like chance (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll() >> 33).unwrap_or_default() % sides
    }

    /// From 0 to 1.
    fn even(&mut self) -> f32 {
        f32::from(u16::try_from(self.roll() >> 48).unwrap_or_default()) / 65_536.0
    }

    fn normal(&mut self) -> f32 {
        (-2.0 * self.even().max(1e-5).ln()).sqrt() * (std::f32::consts::TAU * self.even()).cos()
    }

    /// A unit vector near one of the centres, or anywhere.
    fn vector(&mut self, dimension: usize, centres: &[Vec<f32>]) -> Vec<f32> {
        let centre = (!centres.is_empty()).then(|| &centres[self.below(centres.len())]);
        let mut vector: Vec<f32> = (0..dimension)
            .map(|place| match centre {
                // As far from its centre as the vectors of texts on one subject.
                Some(centre) => centre[place] + 0.8 * self.normal(),
                None => self.normal(),
            })
            .collect();
        if centre.is_some() {
            let length = dot(&vector, &vector).sqrt();
            for number in &mut vector {
                *number /= length;
            }
        }
        vector
    }

    /// Words of an imagined language, chosen by Zipf's law among 50,000.
    fn text(&mut self, words: usize) -> String {
        let mut text = String::new();
        for _ in 0..words {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 49,999"
            )]
            let mut rest = 50_000f32.powf(self.even()) as usize + 6;
            while rest > 0 {
                text.push(char::from(b"bcdfglmnprst"[rest % 12]));
                text.push(char::from(b"aeiou"[rest / 12 % 5]));
                rest /= 60;
            }
            text.push(' ');
        }
        text
    }
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for (one, other) in one.as_chunks::<16>().0.iter().zip(other.as_chunks::<16>().0) {
        for lane in 0..16 {
            lanes[lane] += one[lane] * other[lane];
        }
    }
    lanes.iter().sum()
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Writes the files that every way reads; answers what it should find.
pub(super) fn make(folder: &Path, shape: Shape) -> Result<Truth> {
    let Shape { chunks, dimension, queries, k } = shape;
    let mut dice = Dice(42);
    let centres: Vec<Vec<f32>> = (0..1000).map(|_| dice.vector(dimension, &[])).collect();
    let asked: Vec<Vec<f32>> = (0..queries).map(|_| dice.vector(dimension, &centres)).collect();
    fs::write(folder.join("shape.json"), serde_json::to_string(&shape)?)?;
    fs::write(
        folder.join("queries.f32"),
        asked.iter().flat_map(|one| bytes(one)).collect::<Vec<_>>(),
    )?;
    let texts: Vec<String> = (0..queries).map(|_| dice.text(6)).collect();
    fs::write(folder.join("query-texts.txt"), texts.join("\n") + "\n")?;

    let create = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
    let (mut vectors, mut texts) = (create("vectors.f32")?, create("texts.txt")?);
    let mut best: Vec<[Vec<(f32, usize)>; 2]> = vec![[Vec::new(), Vec::new()]; queries];
    for number in 0..chunks {
        let vector = dice.vector(dimension, &centres);
        vectors.write_all(&bytes(&vector))?;
        writeln!(texts, "{}", dice.text(80))?;
        for (best, query) in best.iter_mut().zip(&asked) {
            let score = dot(query, &vector);
            keep(&mut best[0], k, score, number);
            if number % 10 == 3 {
                keep(&mut best[1], k, score, number);
            }
        }
    }
    vectors.flush()?;
    texts.flush()?;
    let numbers = |list: usize| {
        let each = best.iter().map(|best| best[list].iter().map(|(_, number)| *number).collect());
        each.collect()
    };
    Ok(Truth { all: numbers(0), filtered: numbers(1) })
}

/// Puts a score into a sorted list of the best.
fn keep(best: &mut Vec<(f32, usize)>, k: usize, score: f32, number: usize) {
    if best.len() == k && best.last().is_some_and(|(least, _)| *least >= score) {
        return;
    }
    let place = best.partition_point(|(other, _)| *other >= score);
    best.insert(place, (score, number));
    best.truncate(k);
}
