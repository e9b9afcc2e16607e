//! Reads an encoder from a GGUF file.

use super::{Columns, Encoder, Layer, Linear, Norm, Pooling};
use crate::{
    Result,
    gguf::{Header, Numbers},
};
use std::path::Path;

/// `bert.pooling_type` in the numbering of llama.cpp.
const MEAN: u64 = 1;
const FIRST: u64 = 2;

impl Encoder {
    /// Reads the model in the file at `path`, and tells how far it is, from 0 to 1. `None` where the
    /// file holds another kind of network, or one with parts or numbers that are not known here.
    ///
    /// # Errors
    /// When the file cannot be read or is too short.
    pub(crate) fn read(
        path: &Path,
        header: &Header,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Option<Self>> {
        if header.architecture() != "bert" || header.arch_number("attention.causal") != Some(0) {
            return Ok(None);
        }
        let pooling = match header.arch_number("pooling_type") {
            Some(MEAN) => Pooling::Mean,
            Some(FIRST) => Pooling::First,
            _ => return Ok(None),
        };
        let number = |key| header.arch_number(key).and_then(|number| usize::try_from(number).ok());
        let sizes = (number("embedding_length"), number("attention.head_count"));
        let (Some(width), Some(heads)) = sizes else { return Ok(None) };
        let (Some(count), Some(epsilon)) =
            (number("block_count"), header.arch_float("attention.layer_norm_epsilon"))
        else {
            return Ok(None);
        };
        if width == 0 || heads == 0 || width % heads != 0 {
            return Ok(None);
        }
        let file = Numbers::open(path)?;
        let mut source = Source { file, read: 0, progress, width, epsilon };
        // Tensors that this code does not know would change what the others mean.
        if source.file.count() != 5 + 16 * count {
            return Ok(None);
        }
        source.encoder(heads, count, pooling)
    }
}

struct Source<'a> {
    file: Numbers,
    /// The tensors that have been read.
    read: usize,
    progress: &'a mut dyn FnMut(f32),
    width: usize,
    epsilon: f32,
}

/// Leaves the function where a part is not of the expected form.
macro_rules! known {
    ($part:expr) => {
        match $part? {
            Some(part) => part,
            None => return Ok(None),
        }
    };
}

impl Source<'_> {
    fn encoder(
        &mut self,
        heads: usize,
        layers: usize,
        pooling: Pooling,
    ) -> Result<Option<Encoder>> {
        let width = self.width;
        let words = known!(self.rows("token_embd.weight", width));
        let kinds = known!(self.rows("token_types.weight", width));
        let mut positions = known!(self.rows("position_embd.weight", width));
        // All tokens of a text are of the first kind.
        for position in positions.chunks_exact_mut(width) {
            for (number, kind) in position.iter_mut().zip(&kinds) {
                *number += kind;
            }
        }
        let norm = known!(self.norm("token_embd_norm"));
        let mut all = Vec::new();
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let up = known!(self.linear(&name("ffn_up"), width));
            let hidden = up.weights.count();
            all.push(Layer {
                query: known!(self.square(&name("attn_q"))),
                key: known!(self.square(&name("attn_k"))),
                value: known!(self.square(&name("attn_v"))),
                output: known!(self.square(&name("attn_output"))),
                output_norm: known!(self.norm(&name("attn_output_norm"))),
                up,
                down: known!(self.narrowing(&name("ffn_down"), hidden)),
                norm: known!(self.norm(&name("layer_output_norm"))),
            });
        }
        Ok(Some(Encoder { width, heads, words, positions, norm, layers: all, pooling }))
    }

    /// The numbers of a tensor with rows of `length`, at least one.
    fn rows(&mut self, name: &str, length: usize) -> Result<Option<Vec<f32>>> {
        let numbers = self
            .file
            .numbers(name)?
            .filter(|(shape, _)| shape.first().is_some_and(|first| *first == length as u64));
        self.read += 1;
        #[expect(clippy::cast_precision_loss, reason = "a share that is shown")]
        (self.progress)(self.read as f32 / self.file.count() as f32);
        Ok(numbers.map(|(_, numbers)| numbers).filter(|numbers| !numbers.is_empty()))
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Option<Vec<f32>>> {
        Ok(self.rows(name, length)?.filter(|numbers| numbers.len() == length))
    }

    fn norm(&mut self, name: &str) -> Result<Option<Norm>> {
        let weights = known!(self.vector(&format!("{name}.weight"), self.width));
        let shifts = known!(self.vector(&format!("{name}.bias"), self.width));
        Ok(Some(Norm { weights, shifts, epsilon: self.epsilon }))
    }

    fn linear(&mut self, name: &str, depth: usize) -> Result<Option<Linear>> {
        let rows = known!(self.rows(&format!("{name}.weight"), depth));
        let mut weights = Columns::default();
        weights.fill_columns(depth, rows.chunks_exact(depth));
        let bias = known!(self.vector(&format!("{name}.bias"), weights.count()));
        Ok(Some(Linear { weights, bias }))
    }

    /// A product that gives vectors of the length of those of tokens.
    fn narrowing(&mut self, name: &str, depth: usize) -> Result<Option<Linear>> {
        let width = self.width;
        Ok(self.linear(name, depth)?.filter(|linear| linear.weights.count() == width))
    }

    fn square(&mut self, name: &str) -> Result<Option<Linear>> {
        self.narrowing(name, self.width)
    }
}
