//! The vectors of a segment, small enough to be scanned: eight bits a number, and one.
//!
//! Both forms only choose candidates: the score of a hit comes from the vector as it was given.
//! For the eight bits it is known how far the value may be off.

use super::{
    bytes::{Plain, Sink, Source},
    rotation::Rotation,
};
use crate::{Metric, bitmap::Bitmap};

/// From so many vectors on, a segment has signs.
pub(crate) const SIGNS_FROM: usize = 4096;
/// The largest number of a query in 16 bits: small enough that sums of products fit 32 bits.
const QUERY_MAX: f32 = 1023.0;
/// Bits of a number of a query that meets signs.
const PLANES: usize = 4;
/// Vectors whose signs lie side by side, so that they meet a query together.
const BESIDE: usize = 4;
/// The share of the square of a vector that its signs lose: 1 - 2 / pi for numbers that are spread
/// normally, as a rotation makes them.
const SIGNS_LOSE: f32 = 0.363;

/// The rotated vectors in eight bits.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Vectors {
    width: usize,
    codes: Vec<i8>,
    facts: Vec<Fact>,
    signs: Option<Signs>,
}

/// What is known of a vector beside its code.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Fact {
    /// What one step of the code is worth.
    scale: f32,
    /// The length of the vector, squared.
    squares: f32,
    /// The length of the difference between the vector and its code.
    rest: f32,
}

/// For each vector whether its numbers are greater than those of the centre.
#[derive(Debug, PartialEq)]
struct Signs {
    centre: Vec<f32>,
    /// `width / 64` words for each vector, those of four vectors side by side.
    words: Vec<[u64; BESIDE]>,
    /// Factor of a vector and the number of its set bits.
    facts: Vec<(f32, f32)>,
    /// The greatest factor.
    greatest: f32,
}

impl Signs {
    fn new(centre: Vec<f32>, words: Vec<[u64; BESIDE]>, facts: Vec<(f32, f32)>) -> Self {
        let greatest = facts.iter().fold(0f32, |greatest, (factor, _)| greatest.max(*factor));
        Self { centre, words, facts, greatest }
    }
}

impl Plain for Fact {
    const SIZE: usize = 12;
    fn put(&self, out: &mut Vec<u8>) {
        for number in [self.scale, self.squares, self.rest] {
            number.put(out);
        }
    }
    fn take(bytes: &[u8]) -> Option<Self> {
        let ((scale, squares), rest) = Plain::take(bytes)?;
        Some(Self { scale, squares, rest })
    }
}

/// A query in the forms that meet the vectors.
pub(crate) struct Target {
    metric: Metric,
    turned: Vec<f32>,
    /// The length of the query, squared.
    squares: f32,
    /// In 16 bits, what a step is worth, and the length of what is lost.
    code: Vec<i16>,
    step: f32,
    rest: f32,
    /// In four bits for signs, bit by bit: `PLANES` words for each word of signs.
    planes: Vec<[u64; PLANES]>,
    plane_low: f32,
    plane_step: f32,
    sum: f32,
}

/// The factor with which a vector is encoded: by the cosine all have the length one.
pub(crate) fn factor(metric: Metric, vector: &[f32]) -> f32 {
    match metric {
        Metric::Cosine => 1.0 / dot(vector, vector).sqrt(),
        Metric::Dot | Metric::L2 => 1.0,
    }
}

/// The inner product, in an order that is always the same.
pub(crate) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let (one_parts, one_rest) = one.as_chunks::<16>();
    let (other_parts, other_rest) = other.as_chunks::<16>();
    for (one, other) in one_parts.iter().zip(other_parts) {
        for lane in 0..16 {
            lanes[lane] += one[lane] * other[lane];
        }
    }
    let rest: f32 = one_rest.iter().zip(other_rest).map(|(one, other)| one * other).sum();
    lanes.iter().sum::<f32>() + rest
}

fn length(vector: impl Iterator<Item = f32>) -> f32 {
    vector.map(|number| number * number).sum::<f32>().sqrt()
}

fn greatest(vector: &[f32]) -> f32 {
    vector.iter().fold(0.0, |greatest, number| number.abs().max(greatest))
}

/// The inner product of a query of 16 bits and a code of eight.
#[inline]
fn dot_code(query: &[i16], code: &[i8]) -> i32 {
    // In this form the compiler multiplies and adds sixteen numbers at a time.
    query.iter().zip(code).map(|(query, code)| i32::from(*query) * i32::from(*code)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "the sums have fewer digits than an f32 holds well")]
fn float(number: i32) -> f32 {
    number as f32
}

#[expect(clippy::cast_possible_truncation, reason = "the caller keeps the number in the range")]
fn whole(number: f32) -> i32 {
    number.round() as i32
}

impl Target {
    pub(crate) fn new(rotation: &Rotation, metric: Metric, query: &[f32]) -> Self {
        let turned = rotation.apply(query, factor(metric, query));
        let step = greatest(&turned) / QUERY_MAX;
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        let code: Vec<i16> = turned
            .iter()
            .map(|number| i16::try_from(whole(number * inverse)).unwrap_or_default())
            .collect();
        let rest =
            length(turned.iter().zip(&code).map(|(number, code)| number - f32::from(*code) * step));

        let low = turned.iter().copied().fold(f32::INFINITY, f32::min);
        let high = turned.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let plane_step = (high - low) / float((1 << PLANES) - 1);
        let inverse = if plane_step > 0.0 { 1.0 / plane_step } else { 0.0 };
        let mut planes = vec![[0; PLANES]; turned.len() / 64];
        for (place, number) in turned.iter().enumerate() {
            let level = whole((number - low) * inverse);
            for (bit, plane) in planes[place / 64].iter_mut().enumerate() {
                *plane |= u64::from(level >> bit & 1 == 1) << (place % 64);
            }
        }
        Self {
            metric,
            squares: dot(&turned, &turned),
            sum: turned.iter().sum(),
            turned,
            code,
            step,
            rest,
            planes,
            plane_low: low,
            plane_step,
        }
    }

    /// The rank of a vector with this inner product: greater is nearer.
    #[inline]
    fn rank(&self, product: f32, squares: f32) -> f32 {
        match self.metric {
            Metric::Cosine | Metric::Dot => product,
            Metric::L2 => 2.0 * product - squares,
        }
    }

    /// The rank of a vector by the query, both as they were given.
    pub(crate) fn exact(&self, query: &[f32], vector: &[f32]) -> f32 {
        let product = dot(query, vector);
        match self.metric {
            Metric::Cosine => {
                let lengths = (dot(query, query) * dot(vector, vector)).sqrt();
                (product / lengths).clamp(-1.0, 1.0)
            }
            Metric::Dot => product,
            Metric::L2 => {
                let squares: f32 = query
                    .iter()
                    .zip(vector)
                    .map(|(one, other)| (one - other) * (one - other))
                    .sum();
                self.squares - squares
            }
        }
    }

    /// The share of a margin that so many standard deviations are.
    pub(crate) fn deviation(&self, deviations: f32) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "at most the dimension")]
        let width = self.turned.len() as f32;
        (deviations / width.sqrt()).min(1.0)
    }

    /// The score that belongs to a rank.
    pub(crate) fn score(&self, rank: f32) -> f32 {
        match self.metric {
            Metric::Cosine | Metric::Dot => rank,
            Metric::L2 => 1.0 / (1.0 + (self.squares - rank).max(0.0).sqrt()),
        }
    }
}

impl Vectors {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    fn len(&self) -> usize {
        self.facts.len()
    }

    /// Adds a rotated vector.
    pub(crate) fn push(&mut self, turned: &[f32]) {
        let scale = greatest(turned) / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let start = self.codes.len();
        self.codes.extend(
            turned.iter().map(|number| i8::try_from(whole(number * inverse)).unwrap_or_default()),
        );
        let code = &self.codes[start..];
        let rest =
            length(turned.iter().zip(code).map(|(number, code)| number - f32::from(*code) * scale));
        self.facts.push(Fact { scale, squares: dot(turned, turned), rest });
    }

    /// To be called after the last vector.
    pub(crate) fn finish(&mut self) {
        self.codes.shrink_to_fit();
        self.facts.shrink_to_fit();
        if self.len() >= SIGNS_FROM {
            self.signs = Some(self.make_signs());
        }
    }

    fn code(&self, position: usize) -> &[i8] {
        &self.codes[position * self.width..(position + 1) * self.width]
    }

    fn make_signs(&self) -> Signs {
        let mut centre = vec![0f32; self.width];
        let coded = self.codes.chunks_exact(self.width).zip(&self.facts);
        for (code, fact) in coded.clone() {
            for (sum, code) in centre.iter_mut().zip(code) {
                *sum += f32::from(*code) * fact.scale;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a mean need not be exact")]
        let share = 1.0 / self.len() as f32;
        for sum in &mut centre {
            *sum *= share;
        }

        let each = self.width / 64;
        let mut words = vec![[0; BESIDE]; self.len().div_ceil(BESIDE) * each];
        let mut facts = Vec::with_capacity(self.len());
        for (position, (code, fact)) in coded.enumerate() {
            let (mut squares, mut sizes, mut ones) = (0f32, 0f32, 0u32);
            let numbers = code.chunks_exact(64).zip(centre.chunks_exact(64));
            for (at, (code, centre)) in numbers.enumerate() {
                let mut word = 0u64;
                for (place, (code, centre)) in code.iter().zip(centre).enumerate() {
                    let number = f32::from(*code) * fact.scale - centre;
                    word |= u64::from(number > 0.0) << place;
                    squares += number * number;
                    sizes += number.abs();
                }
                ones += word.count_ones();
                words[position / BESIDE * each + at][position % BESIDE] = word;
            }
            // The best multiple of the signs for this vector.
            let factor = if sizes > 0.0 { squares / sizes } else { 0.0 };
            #[expect(clippy::cast_precision_loss, reason = "at most the dimension")]
            facts.push((factor, ones as f32));
        }
        Signs::new(centre, words, facts)
    }

    /// Calls with position, rank and how far the rank may be off, for the positions of the set.
    #[inline]
    pub(crate) fn scan(
        &self,
        target: &Target,
        set: &Bitmap,
        mut visit: impl FnMut(usize, f32, f32),
    ) {
        set.each(|position| {
            let (rank, margin) = self.near(target, position);
            visit(position, rank, margin);
        });
    }

    /// The rank by the code and its margin.
    #[inline]
    pub(crate) fn near(&self, target: &Target, position: usize) -> (f32, f32) {
        let fact = self.facts[position];
        let product =
            float(dot_code(&target.code, self.code(position))) * (fact.scale * target.step);
        let (query, vector) = (target.squares.sqrt(), fact.squares.sqrt());
        // What the code of the vector loses, what the code of the query loses, and rounding.
        let mut margin =
            query * fact.rest + target.rest * (vector + fact.rest) + 1e-5 * query * vector;
        if target.metric == Metric::L2 {
            margin = 2.0 * margin + 1e-5 * (target.squares + fact.squares);
        }
        (target.rank(product, fact.squares), margin)
    }

    /// How far ranks by signs are off by one standard deviation, at the most of all vectors;
    /// nothing if there are no signs.
    pub(crate) fn sign_deviation(&self, target: &Target) -> Option<f32> {
        let signs = self.signs.as_ref()?;
        #[expect(clippy::cast_precision_loss, reason = "at most the dimension")]
        let width = self.width as f32;
        // What the signs lose of the vector, and the four bits of the query.
        let lost = SIGNS_LOSE * target.squares + width * target.plane_step.powi(2) / 12.0;
        let deviation = signs.greatest * lost.sqrt();
        Some(if target.metric == Metric::L2 { 2.0 * deviation } else { deviation })
    }

    /// Calls with position and a rough rank for the positions of the set.
    #[inline]
    pub(crate) fn scan_signs(
        &self,
        target: &Target,
        set: &Bitmap,
        mut visit: impl FnMut(usize, f32),
    ) {
        let Some(signs) = &self.signs else { return };
        let at_centre = dot(&signs.centre, &target.turned);
        let each = target.planes.len();
        for (block, words) in signs.words.chunks_exact(each).enumerate() {
            let mut wanted = set.four(block);
            if wanted == 0 {
                continue;
            }
            // In this form the compiler counts the bits of four words at a time.
            let mut levels = [0u64; BESIDE];
            for (words, planes) in words.iter().zip(&target.planes) {
                for (bit, plane) in planes.iter().enumerate() {
                    for (level, word) in levels.iter_mut().zip(words) {
                        *level += u64::from((word & plane).count_ones()) << bit;
                    }
                }
            }
            while wanted != 0 {
                let place = wanted.trailing_zeros() as usize;
                wanted &= wanted - 1;
                let position = block * BESIDE + place;
                let (factor, ones) = signs.facts[position];
                #[expect(clippy::cast_precision_loss, reason = "at most 15 times the dimension")]
                let level = levels[place] as f32;
                let where_set = target.plane_step * level + target.plane_low * ones;
                let product = at_centre + factor * (2.0 * where_set - target.sum);
                visit(position, target.rank(product, self.facts[position].squares));
            }
        }
    }

    /// The vectors of several segments as those of one; see `Postings::merge`.
    pub(crate) fn merge(parts: &[(&Self, &[Option<u32>])], width: usize) -> Self {
        let mut merged = Self::new(width);
        let rows = parts.iter().flat_map(|(_, places)| *places).flatten().count();
        merged.codes.reserve_exact(rows * width);
        merged.facts.reserve_exact(rows);
        for (part, places) in parts {
            for (position, place) in places.iter().enumerate() {
                if place.is_some() {
                    merged.codes.extend_from_slice(part.code(position));
                    merged.facts.push(part.facts[position]);
                }
            }
        }
        merged.finish();
        merged
    }

    pub(crate) fn memory(&self) -> usize {
        let signs = self.signs.as_ref();
        self.codes.capacity()
            + self.facts.capacity() * size_of::<Fact>()
            + signs
                .map_or(0, |signs| signs.words.capacity() * 8 * BESIDE + signs.facts.capacity() * 8)
    }

    pub(crate) fn write(&self, sink: &mut Sink) {
        sink.list(&self.codes);
        sink.list(&self.facts);
        sink.number(usize::from(self.signs.is_some()));
        if let Some(Signs { centre, words, facts, .. }) = &self.signs {
            sink.list(centre);
            sink.list(words.as_flattened());
            sink.list(facts);
        }
    }

    /// Of a segment of so many vectors.
    pub(crate) fn read(source: &mut Source<'_>, rows: usize, width: usize) -> Option<Self> {
        let codes: Vec<i8> = source.list()?;
        let facts: Vec<Fact> = source.list()?;
        let signs = if source.number()? == 0 {
            None
        } else {
            let (centre, words): (_, Vec<u64>) = (source.list()?, source.list()?);
            let (words, rest) = words.as_chunks();
            if !rest.is_empty() {
                return None;
            }
            Some(Signs::new(centre, words.to_vec(), source.list()?))
        };
        let sizes = codes.len() == rows.checked_mul(width)? && facts.len() == rows;
        let signs_fit = signs.as_ref().is_none_or(|signs| {
            let Signs { centre, words, facts, .. } = signs;
            let blocks = rows.div_ceil(BESIDE);
            centre.len() == width && words.len() == blocks * (width / 64) && facts.len() == rows
        });
        (sizes && signs_fit).then_some(Self { width, codes, facts, signs })
    }
}

#[cfg(test)]
mod tests;
