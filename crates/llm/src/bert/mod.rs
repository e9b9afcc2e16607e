//! BERT encoders on the processor: token ids of texts in, one vector per text out.
//!
//! They are computed here, and not by llama.cpp, because embedding is what ingestion waits for:
//! products in tiles, over weights that are stored for them once, take about two thirds of the time.
//! Only the plain form with 32- or 16-bit numbers is read; all other models are left to llama.cpp.
//!
//! Source of the network: Devlin and others, "BERT: Pre-training of Deep Bidirectional Transformers"
//! (2018).

mod matrix;
mod numbers;
mod read;
#[cfg(test)]
mod tests;

use matrix::{Columns, Rows, product};
use numbers::{Norm, gelu, softmax};
use std::ops::Range;

/// How the vectors of the tokens of a text become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Mean,
    /// That of the first token.
    First,
}

/// A product with learned weights, plus a learned number for each column.
#[derive(Debug)]
struct Linear {
    weights: Columns,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    output_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// A loaded encoder.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The length of a vector.
    width: usize,
    heads: usize,
    /// A vector for each token of the vocabulary.
    words: Vec<f32>,
    /// A vector for each position in a text; that of the kind of the text is added already.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    pooling: Pooling,
}

/// Memory that is used again for each batch.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A vector for each token of all texts, and what attention and the inner layer make of it.
    states: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    hidden: Vec<f32>,
    scores: Vec<f32>,
    left: Rows,
    right: Columns,
}

impl Encoder {
    /// The vectors of `texts`, which are token ids with the marks of beginning and end, in their
    /// order and of any length. Ids that do not exist, and tokens beyond the last position, are left
    /// out.
    pub(crate) fn encode(&self, texts: &[&[u32]], scratch: &mut Scratch) -> Vec<Vec<f32>> {
        let ranges = self.embed(texts, &mut scratch.states);
        for layer in &self.layers {
            self.layer(layer, &ranges, scratch);
        }
        ranges.into_iter().map(|range| self.pool(&scratch.states, range)).collect()
    }

    /// Puts the vectors of all tokens into `states`; gives which of them belong to each text.
    fn embed(&self, texts: &[&[u32]], states: &mut Vec<f32>) -> Vec<Range<usize>> {
        states.clear();
        let mut ranges = Vec::with_capacity(texts.len());
        for text in texts {
            let begin = states.len() / self.width;
            for (token, position) in text.iter().zip(self.positions.chunks_exact(self.width)) {
                let start = (*token as usize).saturating_mul(self.width);
                let Some(word) = self.words.get(start..start.saturating_add(self.width)) else {
                    continue;
                };
                let at = states.len();
                states.extend(word.iter().zip(position).map(|(word, position)| word + position));
                self.norm.apply(&mut states[at..]);
            }
            ranges.push(begin..states.len() / self.width);
        }
        ranges
    }

    fn layer(&self, layer: &Layer, ranges: &[Range<usize>], scratch: &mut Scratch) {
        let Scratch { states, queries, keys, values, hidden, scores, left, right } = scratch;
        left.fill(self.width, states.chunks_exact(self.width));
        layer.query.apply(left, queries);
        layer.key.apply(left, keys);
        layer.value.apply(left, values);
        // What a head finds takes the place of its queries, which nobody else reads.
        for range in ranges {
            for head in 0..self.heads {
                let length = self.width / self.heads;
                let part = Part { range, begin: head * length, length, width: self.width };
                part.attend(queries, keys, values, scores, left, right);
            }
        }
        left.fill(self.width, queries.chunks_exact(self.width));
        layer.output.add(left, states, &layer.output_norm);
        left.fill(self.width, states.chunks_exact(self.width));
        layer.up.apply(left, hidden);
        for number in &mut *hidden {
            *number = gelu(*number);
        }
        left.fill(layer.up.weights.count(), hidden.chunks_exact(layer.up.weights.count()));
        layer.down.add(left, states, &layer.norm);
    }

    fn pool(&self, states: &[f32], range: Range<usize>) -> Vec<f32> {
        let count = match self.pooling {
            Pooling::Mean => range.len(),
            Pooling::First => range.len().min(1),
        };
        let mut sum = vec![0.0; self.width];
        for state in states.chunks_exact(self.width).skip(range.start).take(count) {
            for (sum, number) in sum.iter_mut().zip(state) {
                *sum += number;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a text has far less than 2^24 tokens")]
        let share = 1.0 / count.max(1) as f32;
        for number in &mut sum {
            *number *= share;
        }
        sum
    }
}

impl Linear {
    /// Puts the outputs for the rows of `left` into `out`.
    fn apply(&self, left: &Rows, out: &mut Vec<f32>) {
        let columns = self.weights.count();
        out.clear();
        out.resize(left.count() * columns, 0.0);
        product(left, &self.weights, |row, column, numbers| {
            let out = &mut out[row * columns + column..][..numbers.len()];
            let bias = &self.bias[column..][..numbers.len()];
            for ((out, number), bias) in out.iter_mut().zip(numbers).zip(bias) {
                *out = number + bias;
            }
        });
    }

    /// Adds the outputs for the rows of `left` to the rows of `out`, and normalises these.
    fn add(&self, left: &Rows, out: &mut [f32], norm: &Norm) {
        let columns = self.weights.count();
        product(left, &self.weights, |row, column, numbers| {
            let out = &mut out[row * columns + column..][..numbers.len()];
            let bias = &self.bias[column..][..numbers.len()];
            for ((out, number), bias) in out.iter_mut().zip(numbers).zip(bias) {
                *out += number + bias;
            }
        });
        out.chunks_exact_mut(columns).for_each(|row| norm.apply(row));
    }
}

/// The numbers of one text that one head looks at.
struct Part<'a> {
    range: &'a Range<usize>,
    /// The first number of the head in each vector, and how many it has.
    begin: usize,
    length: usize,
    width: usize,
}

impl Part<'_> {
    fn rows<'m>(&self, matrix: &'m [f32]) -> impl ExactSizeIterator<Item = &'m [f32]> + use<'m> {
        let (begin, end) = (self.begin, self.begin + self.length);
        let rows = &matrix[self.range.start * self.width..self.range.end * self.width];
        rows.chunks_exact(self.width).map(move |row| &row[begin..end])
    }

    /// Puts into the rows of `queries` the mean of `values`, weighted by how well the keys fit.
    fn attend(
        &self,
        queries: &mut [f32],
        keys: &[f32],
        values: &[f32],
        scores: &mut Vec<f32>,
        left: &mut Rows,
        right: &mut Columns,
    ) {
        let count = self.range.len();
        if count == 0 {
            return;
        }
        left.fill(self.length, self.rows(queries));
        right.fill_columns(self.length, self.rows(keys));
        scores.clear();
        scores.resize(count * count, 0.0);
        product(left, right, |row, column, numbers| {
            scores[row * count + column..][..numbers.len()].copy_from_slice(numbers);
        });
        #[expect(clippy::cast_precision_loss, reason = "a head has far less than 2^24 numbers")]
        let scale = 1.0 / (self.length as f32).sqrt();
        scores.chunks_exact_mut(count).for_each(|row| softmax(row, scale));
        left.fill(count, scores.chunks_exact(count));
        right.fill_rows(self.length, self.rows(values));
        product(left, right, |row, column, numbers| {
            let at = (self.range.start + row) * self.width + self.begin + column;
            queries[at..][..numbers.len()].copy_from_slice(numbers);
        });
    }
}
