//! Tiny projectors: vision transformers of two layers for images of 32 times 32 pixels.

use super::Random;
use crate::{
    Result,
    gguf::{Tensor, Value, write},
};
use std::{fs::File, io::BufWriter, path::Path};

const IMAGE: u32 = 32;
const PATCH: usize = 8;
const PATCHES: usize = 16;
const WIDTH: usize = 32;
const HIDDEN: usize = 64;
const LAYERS: u32 = 2;
/// The patches that become one, along each side.
const SCALE: usize = 2;

/// The kinds of projectors that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectorKind {
    /// 16 tokens for an image.
    Mlp,
    /// 4 tokens for an image, and 4 for each of its tiles.
    Idefics3,
    /// 4 tokens for an image, which see each other.
    Gemma3,
}

/// Writes a projector for models whose vectors have `width` numbers. `change` may break it.
///
/// # Errors
/// When the file cannot be written.
pub fn projector(
    path: &Path,
    kind: ProjectorKind,
    width: usize,
    change: impl FnOnce(&mut Vec<(&'static str, Value)>, &mut Vec<Tensor>),
) -> Result<()> {
    let name = match kind {
        ProjectorKind::Mlp => "mlp",
        ProjectorKind::Idefics3 => "idefics3",
        ProjectorKind::Gemma3 => "gemma3",
    };
    let number = |number: usize| Value::Number(u32::try_from(number).unwrap_or_default());
    let mut metadata = vec![
        ("general.architecture", Value::Text("clip".into())),
        ("general.name", Value::Text("tiny-projector".into())),
        ("clip.projector_type", Value::Text(name.into())),
        ("clip.has_vision_encoder", Value::Flag(true)),
        ("clip.use_gelu", Value::Flag(true)),
        ("clip.vision.image_size", Value::Number(IMAGE)),
        ("clip.vision.patch_size", number(PATCH)),
        ("clip.vision.embedding_length", number(WIDTH)),
        ("clip.vision.feed_forward_length", number(HIDDEN)),
        ("clip.vision.projection_dim", number(width)),
        ("clip.vision.block_count", Value::Number(LAYERS)),
        ("clip.vision.attention.head_count", Value::Number(2)),
        ("clip.vision.attention.layer_norm_epsilon", Value::Float(1e-5)),
        ("clip.vision.image_mean", Value::Floats(vec![0.5; 3])),
        ("clip.vision.image_std", Value::Floats(vec![0.5; 3])),
    ];
    if kind != ProjectorKind::Mlp {
        metadata.push(("clip.vision.projector.scale_factor", number(SCALE)));
        metadata.push(("clip.vision.preproc_image_size", Value::Number(2 * IMAGE)));
    }
    let mut tensors = tensors(kind, width);
    change(&mut metadata, &mut tensors);
    File::create(path)
        .and_then(|file| write(&mut BufWriter::new(file), &metadata, &tensors))
        .map_err(crate::Error::engine)
}

fn tensors(kind: ProjectorKind, width: usize) -> Vec<Tensor> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut all = Vec::new();
    let mut add = |name: &str, shape: &[usize], centre: f32| {
        all.push(random.tensor(name, shape, centre));
    };
    let class = usize::from(kind == ProjectorKind::Mlp);
    add("v.patch_embd.weight", &[WIDTH, 3, PATCH, PATCH], 0.0);
    if class > 0 {
        add("v.class_embd", &[WIDTH], 0.0);
    }
    add("v.position_embd.weight", &[PATCHES + class, WIDTH], 0.0);
    let mut layer = |name: &str, shape: &[usize], centre: f32| {
        add(&format!("{name}.weight"), shape, centre);
        add(&format!("{name}.bias"), &shape[..1], 0.0);
    };
    for block in 0..LAYERS {
        for part in ["attn_q", "attn_k", "attn_v", "attn_out"] {
            layer(&format!("v.blk.{block}.{part}"), &[WIDTH, WIDTH], 0.0);
        }
        layer(&format!("v.blk.{block}.ln1"), &[WIDTH], 1.0);
        layer(&format!("v.blk.{block}.ln2"), &[WIDTH], 1.0);
        layer(&format!("v.blk.{block}.ffn_up"), &[HIDDEN, WIDTH], 0.0);
        layer(&format!("v.blk.{block}.ffn_down"), &[WIDTH, HIDDEN], 0.0);
    }
    layer("v.post_ln", &[WIDTH], 1.0);
    match kind {
        ProjectorKind::Mlp => {
            layer("mm.0", &[HIDDEN, WIDTH], 0.0);
            layer("mm.2", &[width, HIDDEN], 0.0);
        }
        ProjectorKind::Idefics3 => {
            add("mm.model.fc.weight", &[width, SCALE * SCALE * WIDTH], 0.0);
        }
        ProjectorKind::Gemma3 => {
            add("mm.soft_emb_norm.weight", &[WIDTH], 1.0);
            add("mm.input_projection.weight", &[WIDTH, width], 0.0);
        }
    }
    all
}
