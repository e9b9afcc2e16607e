//! A fixed rotation that spreads what a vector says over all its numbers.
//!
//! Embeddings often hold much in a few places. After a rotation the numbers are alike in size, so
//! that eight bits each, or one, lose little; inner products stay what they were.

/// Turns vectors of one dimension.
pub(crate) struct Rotation {
    dimension: usize,
    width: usize,
    /// The largest power of two within `width`.
    block: usize,
    /// One list of signs for each round.
    signs: Vec<Vec<f32>>,
}

const ROUNDS: usize = 3;

/// A well mixed number for each state (the function known as splitmix64).
pub(crate) fn mix(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Rotation {
    pub(crate) fn new(dimension: usize) -> Self {
        let width = dimension.next_multiple_of(64);
        let block = if width.is_power_of_two() { width } else { width.next_power_of_two() / 2 };
        // The signs are part of the format: segments hold rotated vectors.
        let sign = |round: usize, place: usize| {
            if mix((round * width + place) as u64) & 1 == 0 { 1.0 } else { -1.0 }
        };
        let signs = (0..ROUNDS).map(|round| (0..width).map(|place| sign(round, place)).collect());
        Self { dimension, width, block, signs: signs.collect() }
    }

    /// How many numbers a rotated vector has: the dimension, up to a multiple of 64.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The rotated vector, times a factor.
    pub(crate) fn apply(&self, vector: &[f32], factor: f32) -> Vec<f32> {
        let mut turned = vec![0.0; self.width];
        for (out, number) in turned[..self.dimension].iter_mut().zip(vector) {
            *out = number * factor;
        }
        for signs in &self.signs {
            for (number, sign) in turned.iter_mut().zip(signs) {
                *number *= sign;
            }
            hadamard(&mut turned[..self.block]);
            if self.block < self.width {
                hadamard(&mut turned[self.width - self.block..]);
            }
        }
        turned
    }
}

/// The Walsh-Hadamard transform, scaled so that lengths stay.
fn hadamard(numbers: &mut [f32]) {
    let mut half = 1;
    while half < numbers.len() {
        for pair in numbers.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (one, other) in low.iter_mut().zip(high) {
                (*one, *other) = (*one + *other, *one - *other);
            }
        }
        half *= 2;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small power of two")]
    let scale = 1.0 / (numbers.len() as f32).sqrt();
    for number in numbers {
        *number *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(one, other)| one * other).sum()
    }

    #[test]
    fn inner_products_stay_and_one_number_becomes_many() {
        for dimension in [1, 2, 3, 64, 100, 384, 768, 1000] {
            let rotation = Rotation::new(dimension);
            let numbers = |seed: u64| -> Vec<f32> {
                (0..dimension)
                    .map(|place| {
                        (f32::from((mix(seed + place as u64) % 2001) as u16) - 1000.0) / 500.0
                    })
                    .collect()
            };
            let (one, other) = (numbers(1), numbers(1_000_000));
            let (a, b) = (rotation.apply(&one, 1.0), rotation.apply(&other, 2.0));
            let lengths = (dot(&one, &one) * dot(&other, &other)).sqrt();
            assert!((dot(&a, &b) - 2.0 * dot(&one, &other)).abs() < 1e-4 * lengths, "{dimension}");
        }
        let mut single = vec![0.0; 384];
        single[0] = 1.0;
        let turned = Rotation::new(384).apply(&single, 1.0);
        assert!(turned.iter().all(|number| number.abs() < 0.35));
    }
}
