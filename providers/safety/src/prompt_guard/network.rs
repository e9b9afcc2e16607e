//! The network that tells attacks from other texts by their vectors.
//!
//! Two hidden layers of 256 and 128 units over a vector of `all-MiniLM-L6-v2`. The weights are those
//! of the crate `jailguard` 0.1.2 (`models/neural_binary_200k.json`, MIT OR Apache-2.0), rounded to
//! 16 bits (bfloat16, little-endian), layer by layer: the weights by row, then the biases.

/// The length of the vectors.
pub(super) const INPUTS: usize = 384;
/// The units of each layer.
const LAYERS: [usize; 3] = [256, 128, 1];
const WEIGHTS: &[u8] = include_bytes!("network.bf16");

struct Layer {
    /// The weights of each unit, one after another.
    weights: Vec<f32>,
    biases: Vec<f32>,
}

/// The network.
pub(super) struct Network(Vec<Layer>);

impl Network {
    pub(super) fn new() -> Self {
        let mut numbers = WEIGHTS.chunks_exact(2).map(|bytes| {
            let high = u16::from_le_bytes([bytes[0], bytes[1]]);
            f32::from_bits(u32::from(high) << 16)
        });
        let mut inputs = INPUTS;
        let layers = LAYERS.map(|units| {
            let weights = numbers.by_ref().take(inputs * units).collect();
            inputs = units;
            Layer { weights, biases: numbers.by_ref().take(units).collect() }
        });
        Self(layers.into())
    }

    /// How likely the text with this vector is an attack, from 0 to 1; nothing if the vector is not
    /// one of the embedding model.
    pub(super) fn score(&self, vector: &[f32]) -> Option<f32> {
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        if vector.len() != INPUTS || !length.is_finite() || length <= 0.0 {
            return None;
        }
        let mut values: Vec<f32> = vector.iter().map(|number| number / length).collect();
        for (index, layer) in self.0.iter().enumerate() {
            let last = index + 1 == self.0.len();
            let rows = layer.weights.chunks_exact(values.len()).zip(&layer.biases);
            let units = rows.map(|(row, bias)| {
                let sum = row.iter().zip(&values).map(|(a, b)| a * b).sum::<f32>() + bias;
                if last { sum } else { sum.max(0.0) }
            });
            values = units.collect();
        }
        values.first().map(|sum| 1.0 / (1.0 + (-sum).exp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_fill_the_layers() {
        let mut inputs = INPUTS;
        let count = LAYERS.iter().map(|units| {
            let count = (inputs + 1) * units;
            inputs = *units;
            count
        });
        assert_eq!(WEIGHTS.len(), 2 * count.sum::<usize>());
    }

    #[test]
    fn scores_are_those_of_the_published_network() {
        let network = Network::new();
        // By the network with all of its bits.
        for (step, expected) in [(1, 0.001_527), (7, 0.042_629), (11, 0.000_370)] {
            let vector: Vec<f32> =
                (0..384_u16).map(|index| f32::from((index * step * step) % 17) - 8.0).collect();
            let score = network.score(&vector).unwrap();
            assert!((score - expected).abs() < expected / 50.0, "{step}: {score}");
        }
    }

    #[test]
    fn a_vector_of_another_model_has_no_score() {
        let network = Network::new();
        assert_eq!(network.score(&[1.0; 383]), None);
        assert_eq!(network.score(&[0.0; INPUTS]), None);
        assert_eq!(network.score(&[f32::NAN; INPUTS]), None);
    }
}
