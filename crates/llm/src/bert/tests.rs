//! The encoder against the definition of the network, and files that it leaves to llama.cpp.

use super::*;
use crate::{
    definition::states,
    gguf::{
        Header, Tensor,
        tiny::{self, Change},
    },
};
use std::path::PathBuf;

/// A tiny model in a folder that goes with it.
struct Model {
    _folder: tempfile::TempDir,
    path: PathBuf,
    tensors: Vec<Tensor>,
}

impl Model {
    fn new(change: Change) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let tensors = tiny::changed(&path, change).unwrap();
        Self { _folder: folder, path, tensors }
    }

    fn read(&self) -> crate::Result<Option<Encoder>> {
        Encoder::read(&self.path, &Header::read(&self.path)?, &mut |_| ())
    }

    fn encoder(&self) -> Encoder {
        self.read().unwrap().expect("an encoder")
    }

    /// The vectors of a text by the definition.
    fn states(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let tokens: Vec<usize> = tokens.iter().map(|token| *token as usize).collect();
        states(&self.tensors, &tokens, |x| f64::from(gelu_of(x)))
    }
}

/// The activation has a test of its own.
fn gelu_of(x: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "32 bits are compared")]
    gelu(x as f32)
}

fn assert_close(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 2e-5, "{what}: {found}, {expected}");
    }
}

fn mean(states: &[Vec<f64>]) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let count = states.len() as f64;
    (0..tiny::WIDTH).map(|at| states.iter().map(|state| state[at]).sum::<f64>() / count).collect()
}

/// Texts of lengths that fill tiles or not.
fn texts() -> Vec<Vec<u32>> {
    [2_u32, 3, 6, 7, 16, 17, 33, 64]
        .map(|length| (0..length).map(|at| 2 + (at * 7 + length) % 28).collect())
        .to_vec()
}

#[test]
fn vectors_are_those_of_the_definition_alone_and_among_others() {
    let model = Model::new(Change::Embeds(1));
    let (encoder, mut scratch) = (model.encoder(), Scratch::default());
    let texts = texts();
    let all: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let together = encoder.encode(&all, &mut scratch);
    for (text, vector) in texts.iter().zip(&together) {
        let expected = mean(&model.states(text));
        assert_close(vector, &expected, &format!("{} tokens together", text.len()));
        let alone = encoder.encode(&[text], &mut scratch);
        assert_close(&alone[0], &expected, &format!("{} tokens alone", text.len()));
    }
}

#[test]
fn a_model_that_looks_at_the_first_token_gives_its_vector() {
    let model = Model::new(Change::Embeds(2));
    let text = &texts()[4];
    let found = model.encoder().encode(&[text], &mut Scratch::default());
    assert_close(&found[0], &model.states(text)[0], "the first token");
}

#[test]
fn texts_without_tokens_and_tokens_that_do_not_exist_do_no_harm() {
    let encoder = Model::new(Change::Embeds(1)).encoder();
    let (plain, odd): (&[u32], &[u32]) = (&[2, 9, 3], &[2, 9, u32::MAX, 31, 3]);
    let long: Vec<u32> = (0..1000).map(|at| 2 + at % 28).collect();
    let found = encoder.encode(&[&[], plain, odd, &long], &mut Scratch::default());
    assert_eq!(found[0], vec![0.0; tiny::WIDTH]);
    assert!(found.iter().flatten().all(|number| number.is_finite()));
    // Beyond the last position nothing is read.
    let cut = encoder.encode(&[&long[..64]], &mut Scratch::default());
    assert_eq!(found[3], cut[0]);
    assert!(encoder.encode(&[], &mut Scratch::default()).is_empty());
}

#[test]
fn other_networks_and_ways_of_pooling_are_left_to_the_engine() {
    for change in [Change::Nothing, Change::Causal, Change::NoHead, Change::Embeds(3)] {
        assert!(Model::new(change).read().unwrap().is_none(), "{change:?}");
    }
}

/// The file with one byte sequence in place of another of the same length.
fn replaced(model: &Model, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(&model.path).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the bytes");
    bytes[at..at + to.len()].copy_from_slice(to);
    std::fs::write(&model.path, bytes).unwrap();
}

/// The place of a tensor in the list: its name, dimensions, lengths, and how it is stored.
fn entry(name: &str, lengths: [u64; 2], kind: u32) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes
}

#[test]
fn parts_of_other_names_shapes_or_forms_are_left_to_the_engine() {
    let name = "blk.1.ffn_up.weight";
    let known = entry(name, [16, 32], 0);
    for other in [
        entry("blk.1.ffn_xy.weight", [16, 32], 0),
        entry(name, [32, 16], 0),
        entry(name, [16, 31], 0),
        entry(name, [16, 0], 0),
        entry(name, [16, 32], 8),
    ] {
        let model = Model::new(Change::Embeds(1));
        replaced(&model, &known, &other);
        assert!(model.read().unwrap().is_none());
    }
}

#[test]
fn shapes_that_lie_end_in_an_error_and_take_no_memory() {
    for lengths in [[16, 1 << 40], [16, u64::MAX], [16, 33_000]] {
        let model = Model::new(Change::Embeds(1));
        let name = "blk.1.ffn_up.weight";
        replaced(&model, &entry(name, [16, 32], 0), &entry(name, lengths, 0));
        let error = model.read().unwrap_err().to_string();
        assert!(error.contains("`blk.1.ffn_up.weight` is shorter than its shape says"), "{error}");
    }
}
