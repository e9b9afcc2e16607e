//! The network of the tiny models by its definition, in 64-bit numbers, for tests.

use crate::gguf::{Tensor, tiny};

/// Vectors times the matrix `name`, with its bias.
pub(crate) fn linear(model: &[Tensor], name: &str, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let weights = numbers(model, &format!("{name}.weight"));
    let bias = numbers(model, &format!("{name}.bias"));
    let row = |vector: &Vec<f64>| {
        let width = vector.len();
        let dot = |row: &[f64]| row.iter().zip(vector).map(|(a, b)| a * b).sum::<f64>();
        weights.chunks(width).zip(&bias).map(|(row, bias)| dot(row) + bias).collect()
    };
    vectors.iter().map(row).collect()
}

fn normed(model: &[Tensor], name: &str, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let weights = numbers(model, &format!("{name}.weight"));
    let bias = numbers(model, &format!("{name}.bias"));
    let one = |vector: &Vec<f64>| {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let length = vector.len() as f64;
        let mean = vector.iter().sum::<f64>() / length;
        let variance = vector.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / length;
        let scale = 1.0 / (variance + 1e-12).sqrt();
        let scaled = vector.iter().map(|x| (x - mean) * scale);
        scaled.zip(&weights).zip(&bias).map(|((x, weight), bias)| x * weight + bias).collect()
    };
    vectors.iter().map(one).collect()
}

fn numbers(model: &[Tensor], name: &str) -> Vec<f64> {
    let tensor = model.iter().find(|tensor| tensor.name == name).unwrap();
    tensor.data.iter().copied().map(f64::from).collect()
}

fn sum(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn attention(q: &[Vec<f64>], k: &[Vec<f64>], v: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = tiny::WIDTH / tiny::HEADS;
    let mut out = vec![vec![0.0; tiny::WIDTH]; q.len()];
    for head in 0..tiny::HEADS {
        let part = head * width..(head + 1) * width;
        for (at, query) in q.iter().enumerate() {
            let dot = |key: &Vec<f64>| {
                let products = query[part.clone()].iter().zip(&key[part.clone()]);
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let scale = (width as f64).sqrt();
                (products.map(|(a, b)| a * b).sum::<f64>() / scale).exp()
            };
            let shares: Vec<f64> = k.iter().map(dot).collect();
            let total: f64 = shares.iter().sum();
            for (share, value) in shares.iter().zip(v) {
                for place in part.clone() {
                    out[at][place] += share / total * value[place];
                }
            }
        }
    }
    out
}

/// The vectors of the tokens after the last layer.
pub(crate) fn states(
    model: &[Tensor],
    tokens: &[usize],
    activation: impl Fn(f64) -> f64,
) -> Vec<Vec<f64>> {
    let row = |name: &str, at: usize| {
        numbers(model, name)[at * tiny::WIDTH..(at + 1) * tiny::WIDTH].to_vec()
    };
    let place = |(position, token): (usize, &usize)| {
        let parts = [
            row("token_embd.weight", *token),
            row("token_types.weight", 0),
            row("position_embd.weight", position),
        ];
        (0..tiny::WIDTH).map(|at| parts.iter().map(|part| part[at]).sum()).collect()
    };
    let embedded: Vec<Vec<f64>> = tokens.iter().enumerate().map(place).collect();
    let mut state = normed(model, "token_embd_norm", &embedded);
    for layer in 0..tiny::LAYERS {
        let part = |name: &str| format!("blk.{layer}.{name}");
        let [q, k, v] =
            ["attn_q", "attn_k", "attn_v"].map(|name| linear(model, &part(name), &state));
        let mixed = linear(model, &part("attn_output"), &attention(&q, &k, &v));
        state = normed(model, &part("attn_output_norm"), &sum(&state, &mixed));
        let mut wide = linear(model, &part("ffn_up"), &state);
        for x in wide.iter_mut().flatten() {
            *x = activation(*x);
        }
        let narrow = linear(model, &part("ffn_down"), &wide);
        state = normed(model, &part("layer_output_norm"), &sum(&state, &narrow));
    }
    state
}
