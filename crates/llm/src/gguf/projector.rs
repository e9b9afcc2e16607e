//! Projectors: GGUF files that turn images into vectors for a language model.
//!
//! The engine trusts these files: where the shapes of their arrays do not fit together it ends the
//! process. So a file must name one of the kinds below and have exactly the arrays that the engine
//! reads for this kind, in the shapes and number formats that it computes with, before the engine
//! sees it.

use super::{
    Header,
    read::{self, Layout, Placed},
};
use crate::{Error, Result};
use std::{collections::BTreeMap, path::Path};

/// What is known of a usable projector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projector {
    /// The length of its vectors: that of the language model it was made for.
    pub width: u64,
    /// The memory that it takes, in bytes, with the buffers to encode one image.
    pub memory: u64,
}

/// A kind of projectors, by its name in the files.
struct Kind {
    name: &'static str,
    check: fn(&Shape, &mut Arrays<'_>) -> Checked<u64>,
}

const KINDS: &[Kind] = &[
    Kind { name: "gemma3", check: gemma3 },
    Kind { name: "idefics3", check: idefics3 },
    Kind { name: "mlp", check: mlp },
];

/// Why a file cannot be used.
type Checked<T> = Result<T, String>;

impl Projector {
    /// Reads the header of the projector at `path` and checks it.
    ///
    /// # Errors
    /// When the file is not a projector that can be used safely.
    pub fn read(path: &Path) -> Result<Self> {
        let (header, layout) = read::read(path)?;
        header.projector(&layout).map_err(|why| Error::Broken {
            message: format!("`{}` is not a usable projector: {why}", path.display()),
        })
    }
}

impl Header {
    fn projector(&self, layout: &Layout) -> Checked<Projector> {
        if !self.projects() {
            let architecture = self.architecture();
            return Err(format!("its architecture is `{architecture}`, not `clip`"));
        }
        self.check_values()?;
        let named = ["clip.projector_type", "clip.vision.projector_type"];
        let name = named.iter().find_map(|key| self.text(key)).unwrap_or("unknown");
        let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<_> = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
            format!("its kind is `{name}`, and those that can be run are {}", known.join(", "))
        })?;
        let shape = self.shape()?;
        let mut arrays = Arrays::new(layout, self.weight_bytes)?;
        encoder(&shape, &mut arrays)?;
        let width = (kind.check)(&shape, &mut arrays)?;
        arrays.end()?;
        // The vectors inside and those that come out, and an image in its largest size before it is
        // cut into tiles: in bytes, and in numbers.
        let side = shape.longest.unwrap_or_default().max(shape.image);
        let numbers = shape.patches() * (8 * shape.width + 2 * shape.hidden + width)
            + 3 * side * side
            + (3 * side * side).div_ceil(2);
        Ok(Projector { width, memory: self.weight_bytes.saturating_add(4 * numbers) })
    }

    /// The engine ends the process where a value that it reads is of another type.
    fn check_values(&self) -> Checked<()> {
        for (key, kind, name) in VALUES {
            if self.kinds.get(*key).is_some_and(|(found, _)| found != kind) {
                return Err(format!("`{key}` must be of the type {name}"));
            }
        }
        if self.number("clip.has_vision_encoder") != Some(1) {
            return Err("it has no encoder for images".to_owned());
        }
        for key in ["clip.has_audio_encoder", "clip.has_gen_audio_encoder"] {
            if self.number(key) == Some(1) {
                return Err(format!("`{key}` is set, and sounds are not read"));
            }
        }
        for key in ["clip.vision.image_grid_pinpoints", "clip.vision.feature_layer"] {
            if self.kinds.contains_key(key) {
                return Err(format!("`{key}` is set, which this engine does not run"));
            }
        }
        for key in ["clip.vision.image_mean", "clip.vision.image_std"] {
            let floats = self.kinds.get(key) == Some(&(LIST, Some(FLOAT)));
            if !floats || self.array_length(key) != Some(3) {
                return Err(format!("`{key}` must be a list of three 32-bit numbers"));
            }
        }
        Ok(())
    }

    /// A whole number that must be there, from `least` to `most`.
    fn within(&self, key: &str, least: u64, most: u64) -> Checked<u64> {
        let key = format!("clip.vision.{key}");
        let number = self.number(&key).filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("`{key}` must be a number from {least} to {most}"))
    }

    fn shape(&self) -> Checked<Shape> {
        if !self.kinds.contains_key("clip.vision.attention.layer_norm_epsilon") {
            return Err("`clip.vision.attention.layer_norm_epsilon` is missing".to_owned());
        }
        // What is only read for other kinds.
        self.within("projection_dim", 0, 0x7fff_ffff)?;
        let image = self.within("image_size", MOST_RATIO, 2048)?;
        let width = self.within("embedding_length", 1, 1 << 14)?;
        let heads = self.within("attention.head_count", 1, width)?;
        let shape = Shape {
            image,
            patch: self.within("patch_size", 1, image)?,
            width,
            hidden: self.within("feed_forward_length", 1, 1 << 17)?,
            // The engine has room for so many operations.
            layers: self.within("block_count", 1, 100)?,
            scale: self.number("clip.vision.projector.scale_factor"),
            longest: self.number("clip.vision.preproc_image_size"),
        };
        if width % heads != 0 {
            return Err(format!("{heads} heads do not share {width} numbers evenly"));
        }
        let implied = [("attention.head_count_kv", heads), ("attention.head_dim", width / heads)];
        for (key, value) in implied {
            let key = format!("clip.vision.{key}");
            if self.number(&key).is_some_and(|number| number != value) {
                return Err(format!("`{key}` must be {value}"));
            }
        }
        if shape.patches() > 1 << 14 {
            return Err(format!("an image has {} patches, which are too many", shape.patches()));
        }
        Ok(shape)
    }
}

/// The longer side of an image may be so many times the shorter one, for both to stay above zero
/// when the image is made smaller.
pub(crate) const MOST_RATIO: u64 = 32;

/// The longest side of an image before it is cut into tiles.
const MOST_SIDE: u64 = 4096;

/// The longest vectors.
const MOST_WIDTH: u64 = 1 << 16;

const NUMBER: u32 = 4;
const FLOAT: u32 = 6;
const FLAG: u32 = 7;
const TEXT: u32 = 8;
const LIST: u32 = 9;

/// The values that the engine reads, and their types.
const VALUES: &[(&str, u32, &str)] = &[
    ("general.name", TEXT, "string"),
    ("general.description", TEXT, "string"),
    ("clip.projector_type", TEXT, "string"),
    ("clip.vision.projector_type", TEXT, "string"),
    ("clip.vision.mm_patch_merge_type", TEXT, "string"),
    ("clip.has_vision_encoder", FLAG, "bool"),
    ("clip.has_audio_encoder", FLAG, "bool"),
    ("clip.has_gen_audio_encoder", FLAG, "bool"),
    ("clip.use_gelu", FLAG, "bool"),
    ("clip.use_silu", FLAG, "bool"),
    ("clip.vision.attention.layer_norm_epsilon", FLOAT, "float32"),
    ("clip.vision.embedding_length", NUMBER, "uint32"),
    ("clip.vision.attention.head_count", NUMBER, "uint32"),
    ("clip.vision.attention.head_count_kv", NUMBER, "uint32"),
    ("clip.vision.attention.head_dim", NUMBER, "uint32"),
    ("clip.vision.feed_forward_length", NUMBER, "uint32"),
    ("clip.vision.block_count", NUMBER, "uint32"),
    ("clip.vision.projection_dim", NUMBER, "uint32"),
    ("clip.vision.image_size", NUMBER, "uint32"),
    ("clip.vision.patch_size", NUMBER, "uint32"),
    ("clip.vision.projector.scale_factor", NUMBER, "uint32"),
    ("clip.vision.preproc_image_size", NUMBER, "uint32"),
    ("clip.minicpmv_version", 5, "int32"),
    ("clip.minicpmv_query_num", NUMBER, "uint32"),
];

/// The sizes of the encoder.
struct Shape {
    /// The side of an image, in pixels, and of a patch of it.
    image: u64,
    patch: u64,
    /// The length of the vectors inside, and of those between the two halves of a layer.
    width: u64,
    hidden: u64,
    layers: u64,
    scale: Option<u64>,
    longest: Option<u64>,
}

impl Shape {
    /// The patches along one side.
    fn side(&self) -> u64 {
        self.image / self.patch
    }

    fn patches(&self) -> u64 {
        self.side() * self.side()
    }

    /// So many patches along each side become one.
    fn merged(&self, usual: Option<u64>, least: u64) -> Checked<u64> {
        let scale = self.scale.or(usual).filter(|scale| (least..=self.side()).contains(scale));
        let even = scale.filter(|scale| self.side().is_multiple_of(*scale));
        even.ok_or_else(|| {
            let side = self.side();
            format!(
                "`clip.vision.projector.scale_factor` must divide {side} and be at least {least}"
            )
        })
    }
}

/// How the numbers of an array may be stored.
#[derive(Clone, Copy)]
enum Form {
    /// In 32 bits: what is added or multiplied number by number.
    Exact,
    /// In 32 or 16 bits.
    Half,
    /// In 32 or 16 bits, also in the other form of 16 bits.
    Plain,
    /// In any form, also in blocks: what is multiplied as a matrix.
    Matrix,
}

impl Form {
    fn takes(self, kind: u32) -> bool {
        match self {
            Self::Exact => kind == 0,
            Self::Half => kind <= 1,
            Self::Plain => matches!(kind, 0 | 1 | 30),
            Self::Matrix => BLOCKS.iter().any(|(known, ..)| *known == kind),
        }
    }
}

/// The number formats: how many numbers are in a block, and the bytes that it takes.
const BLOCKS: &[(u32, u64, u64)] = &[
    (0, 1, 4),
    (1, 1, 2),
    (2, 32, 18),
    (3, 32, 20),
    (6, 32, 22),
    (7, 32, 24),
    (8, 32, 34),
    (10, 256, 84),
    (11, 256, 110),
    (12, 256, 144),
    (13, 256, 176),
    (14, 256, 210),
    (30, 1, 2),
];

/// The arrays of a file; each is taken once.
struct Arrays<'a> {
    left: BTreeMap<&'a str, &'a Placed>,
    /// The bytes behind the header.
    size: u64,
}

impl<'a> Arrays<'a> {
    fn new(layout: &'a Layout, size: u64) -> Checked<Self> {
        let mut left = BTreeMap::new();
        for tensor in &layout.tensors {
            if left.insert(tensor.name.as_str(), tensor).is_some() {
                return Err(format!("it has `{}` twice", tensor.name));
            }
        }
        Ok(Self { left, size })
    }

    /// The sizes of an array, without those at the end that are one.
    fn sizes(&self, name: &str) -> Option<Vec<u64>> {
        let mut sizes = self.left.get(name)?.shape.clone();
        while sizes.len() > 1 && sizes.last() == Some(&1) {
            sizes.pop();
        }
        Some(sizes)
    }

    /// One of the sizes of a matrix, which the other arrays do not tell.
    fn size(&self, name: &str, at: usize) -> Checked<u64> {
        let sizes = self.sizes(name).ok_or_else(|| format!("`{name}` is missing"))?;
        let size = sizes.get(at).filter(|size| (1..=MOST_WIDTH).contains(*size));
        size.copied()
            .ok_or_else(|| format!("`{name}` has the sizes {sizes:?}, which are not usable"))
    }

    /// An array that may be there.
    fn optional(&mut self, name: &str, sizes: &[u64], form: Form) -> Checked<()> {
        let Some(found) = self.sizes(name) else { return Ok(()) };
        if found != sizes {
            return Err(format!("`{name}` has the sizes {found:?}, and must have {sizes:?}"));
        }
        let Some(Placed { kind, offset, .. }) = self.left.remove(name) else { return Ok(()) };
        let block = BLOCKS.iter().find(|(known, ..)| known == kind);
        let Some((_, numbers, bytes)) = block.filter(|_| form.takes(*kind)) else {
            return Err(format!(
                "the numbers of `{name}` have the format {kind}, which cannot be used here"
            ));
        };
        if !sizes[0].is_multiple_of(*numbers) {
            return Err(format!("the rows of `{name}` do not end at the end of a block"));
        }
        let length = sizes.iter().product::<u64>() / numbers * bytes;
        if offset.saturating_add(length) > self.size {
            return Err(format!("it ends before the end of `{name}`"));
        }
        Ok(())
    }

    /// An array that must be there.
    fn required(&mut self, name: &str, sizes: &[u64], form: Form) -> Checked<()> {
        if !self.left.contains_key(name) {
            return Err(format!("`{name}` is missing"));
        }
        self.optional(name, sizes, form)
    }

    /// The weights of a norm, and what is added, which may be missing.
    fn norm(&mut self, name: &str, width: u64) -> Checked<()> {
        self.optional(&format!("{name}.weight"), &[width], Form::Exact)?;
        self.optional(&format!("{name}.bias"), &[width], Form::Exact)
    }

    /// A matrix from vectors of length `from` to those of length `to`, and what is added.
    fn linear(&mut self, name: &str, from: u64, to: u64) -> Checked<()> {
        self.required(&format!("{name}.weight"), &[from, to], Form::Matrix)?;
        self.optional(&format!("{name}.bias"), &[to], Form::Exact)
    }

    /// There must be nothing more: the engine computes otherwise where it finds other arrays.
    fn end(&self) -> Checked<()> {
        match self.left.keys().next() {
            Some(name) => Err(format!("it has `{name}`, which is not known of this kind")),
            None => Ok(()),
        }
    }
}

/// The part that all kinds have in common: a vision transformer.
fn encoder(shape: &Shape, arrays: &mut Arrays<'_>) -> Checked<()> {
    let Shape { patch, width, hidden, .. } = *shape;
    arrays.required("v.patch_embd.weight", &[patch, patch, 3, width], Form::Half)?;
    arrays.optional("v.patch_embd.bias", &[width], Form::Exact)?;
    arrays.norm("v.pre_ln", width)?;
    arrays.norm("v.post_ln", width)?;
    for layer in 0..shape.layers {
        let name = |part: &str| format!("v.blk.{layer}.{part}");
        for part in ["attn_q", "attn_k", "attn_v", "attn_out"] {
            arrays.linear(&name(part), width, width)?;
        }
        arrays.norm(&name("ln1"), width)?;
        arrays.norm(&name("ln2"), width)?;
        // Older files have the names of these two the wrong way round.
        let (mut up, mut down) = (name("ffn_up"), name("ffn_down"));
        if arrays
            .sizes(&format!("{down}.weight"))
            .is_some_and(|sizes| sizes.first() == Some(&width))
        {
            std::mem::swap(&mut up, &mut down);
        }
        arrays.linear(&up, width, hidden)?;
        arrays.linear(&down, hidden, width)?;
    }
    Ok(())
}

/// Two layers between the vectors, as in `LLaVA` 1.5.
fn mlp(shape: &Shape, arrays: &mut Arrays<'_>) -> Checked<u64> {
    let width = shape.width;
    let class = arrays.sizes("v.class_embd").is_some();
    arrays.optional("v.class_embd", &[width], Form::Exact)?;
    let places = shape.patches() + u64::from(class);
    arrays.required("v.position_embd.weight", &[width, places], Form::Half)?;
    arrays.optional("v.image_newline", &[width], Form::Exact)?;
    let (between, to) = (arrays.size("mm.0.weight", 1)?, arrays.size("mm.2.weight", 1)?);
    for (name, from, to) in [("mm.0", width, between), ("mm.2", between, to)] {
        arrays.required(&format!("{name}.bias"), &[to], Form::Exact)?;
        arrays.linear(name, from, to)?;
    }
    Ok(to)
}

/// Several patches become one, and one matrix, as in `SmolVLM`.
fn idefics3(shape: &Shape, arrays: &mut Arrays<'_>) -> Checked<u64> {
    let (least, most) = (shape.image, MOST_SIDE.min(8 * shape.image));
    if !shape.longest.is_some_and(|longest| (least..=most).contains(&longest)) {
        return Err(format!(
            "`clip.vision.preproc_image_size` must be a number from {least} to {most}; make the \
             file again with a newer llama.cpp where it is missing"
        ));
    }
    let scale = shape.merged(None, 2)?;
    arrays.required("v.position_embd.weight", &[shape.width, shape.patches()], Form::Exact)?;
    let name = "mm.model.fc.weight";
    let to = arrays.size(name, 1)?;
    arrays.required(name, &[shape.width * scale * scale, to], Form::Matrix)?;
    Ok(to)
}

/// The mean of several patches, a norm, and one matrix, as in Gemma 3.
fn gemma3(shape: &Shape, arrays: &mut Arrays<'_>) -> Checked<u64> {
    shape.merged(Some(4), 1)?;
    arrays.required("v.position_embd.weight", &[shape.width, shape.patches()], Form::Exact)?;
    arrays.required("mm.soft_emb_norm.weight", &[shape.width], Form::Exact)?;
    let name = "mm.input_projection.weight";
    let to = arrays.size(name, 0)?;
    arrays.required(name, &[to, shape.width], Form::Plain)?;
    Ok(to)
}

#[cfg(test)]
mod tests;
