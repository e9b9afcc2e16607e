//! Functions of numbers, without branches, so that several are computed at a time.

/// Sums are kept side by side in so many parts.
const PARTS: usize = 16;

/// The exponential function, for numbers that are not above 88. Relative error below 3e-7.
fn exponential(x: f32) -> f32 {
    /// Added and taken away, it rounds to whole numbers, which are then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// The logarithm of 2 in two parts: products of whole numbers with the first are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.0);
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let whole = rounded - ROUND;
    let rest = whole.mul_add(-LN_2_LOW, whole.mul_add(-LN_2_HIGH, x));
    let mut sum = 1.0 / 720.0;
    for term in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = rest.mul_add(sum, term);
    }
    // The exponent of a number of 32 bits counts from 127 and begins at bit 23.
    sum * f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
}

/// The activation of BERT: `x` times the share of the normal distribution below it (Hendrycks and
/// Gimpel, "Gaussian Error Linear Units", 2016), in its exact form. The error function is that of
/// Abramowitz and Stegun, 7.1.26, with an error below 1.5e-7.
pub(super) fn gelu(x: f32) -> f32 {
    let z = (x * std::f32::consts::FRAC_1_SQRT_2).abs();
    let t = 1.0 / 0.327_591_1_f32.mul_add(z, 1.0);
    let mut sum = 1.061_405_4_f32;
    for term in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        sum = t.mul_add(sum, term);
    }
    let erf = (t * sum).mul_add(-exponential(-z * z), 1.0);
    0.5 * x * (1.0 + erf.copysign(x))
}

/// Joins the numbers of a row, beginning with `start`; in which order is left open.
fn joined(row: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut parts = [start; PARTS];
    let (whole, rest) = row.as_chunks::<PARTS>();
    for numbers in whole {
        for (part, number) in parts.iter_mut().zip(numbers) {
            *part = join(*part, *number);
        }
    }
    for (part, number) in parts.iter_mut().zip(rest) {
        *part = join(*part, *number);
    }
    parts.into_iter().fold(start, &join)
}

fn total(row: &[f32]) -> f32 {
    joined(row, 0.0, |sum, number| sum + number)
}

fn total_of_squares(row: &[f32]) -> f32 {
    let mut parts = [0.0_f32; PARTS];
    let (whole, rest) = row.as_chunks::<PARTS>();
    for numbers in whole.iter().map(<[f32; PARTS]>::as_slice).chain([rest]) {
        for (part, number) in parts.iter_mut().zip(numbers) {
            *part = number.mul_add(*number, *part);
        }
    }
    total(&parts)
}

/// Makes weights of scores: exponentials of `scale` times the numbers, with a sum of 1.
pub(super) fn softmax(row: &mut [f32], scale: f32) {
    let largest = joined(row, f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
    for number in &mut *row {
        *number = exponential((*number - largest) * scale);
    }
    let factor = 1.0 / total(row);
    for number in row {
        *number *= factor;
    }
}

/// The weights and the shifts of a normalisation.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weights: Vec<f32>,
    pub(super) shifts: Vec<f32>,
    /// Added to the variance.
    pub(super) epsilon: f32,
}

impl Norm {
    /// Gives the row a mean of 0 and a variance of 1, then the learned ones (Ba and others, "Layer
    /// Normalization", 2016).
    pub(super) fn apply(&self, row: &mut [f32]) {
        #[expect(clippy::cast_precision_loss, reason = "a row has far less than 2^24 numbers")]
        let count = row.len() as f32;
        let mean = total(row) / count;
        for number in &mut *row {
            *number -= mean;
        }
        let factor = 1.0 / (total_of_squares(row) / count + self.epsilon).sqrt();
        let learned = self.weights.iter().zip(&self.shifts);
        for (number, (weight, shift)) in row.iter_mut().zip(learned) {
            *number = (*number * factor).mul_add(*weight, *shift);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_exact_to_the_last_digits() {
        for step in -8_700..=8_800_i16 {
            let x = f32::from(step) / 100.0;
            let (found, expected) = (f64::from(exponential(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 3e-7, "{x}: {found}, {expected}");
        }
        assert!(exponential(-1e30) < 1e-37);
    }

    /// The integral of the normal distribution by Simpson's rule.
    fn share_below(x: f64) -> f64 {
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let step = x / 2000.0;
        let inner: f64 = (1..2000_i32)
            .map(|at| density(f64::from(at) * step) * if at % 2 == 1 { 4.0 } else { 2.0 })
            .sum();
        0.5 + step / 3.0 * (density(0.0) + inner + density(x))
    }

    #[test]
    fn the_activation_is_the_number_times_the_share_below_it() {
        for step in -600..=600_i16 {
            let x = f32::from(step) / 100.0;
            let expected = f64::from(x) * share_below(f64::from(x));
            assert!((f64::from(gelu(x)) - expected).abs() < 1e-6, "{x}: {}, {expected}", gelu(x));
        }
    }

    #[test]
    fn weights_sum_to_one_and_keep_their_ratios() {
        let mut row: Vec<f32> = (0..37_u8).map(|at| f32::from(at) * 2.0).collect();
        softmax(&mut row, 0.5);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((row[36] / row[35] - std::f32::consts::E).abs() < 1e-5);
    }

    #[test]
    fn a_row_gets_the_learned_mean_and_variance() {
        let norm = Norm { weights: vec![2.0; 20], shifts: vec![1.0; 20], epsilon: 1e-12 };
        let mut row: Vec<f32> = (0..20_u8).map(|at| 100.0 + f32::from(at)).collect();
        norm.apply(&mut row);
        let mean = row.iter().sum::<f32>() / 20.0;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 20.0;
        assert!((mean - 1.0).abs() < 1e-5 && (variance - 4.0).abs() < 1e-4, "{mean} {variance}");
    }
}
