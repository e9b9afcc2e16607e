//! What computes the vectors of texts: an encoder of this crate, or llama.cpp for all other models.

use crate::{
    Error, LoadOptions, Result,
    backend::backend,
    bert::{Encoder, Scratch},
    gguf::Header,
    model::{load_file, load_vocabulary},
};
use llama_cpp_2::{
    context::{LlamaContext, params::LlamaContextParams},
    llama_batch::LlamaBatch,
    model::LlamaModel,
    token::LlamaToken,
};
use std::{num::NonZeroU32, path::Path, sync::Arc};

/// The tokens of a batch; a text is never split over two.
pub(super) const BATCH: usize = 512;
/// What llama.cpp computes together. More tokens would only compare those of different texts with
/// each other.
const TOGETHER: Together = Together { tokens: 64, texts: TEXTS };
/// What encoders of this crate do, which compare only tokens of one text: enough to read the weights
/// seldom.
const TOGETHER_ENCODED: Together = Together { tokens: 128, texts: usize::MAX };
/// The texts of a batch of llama.cpp at most.
const TEXTS: usize = 16;

/// How much is computed together at most, where no single text is larger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Together {
    pub(super) tokens: usize,
    pub(super) texts: usize,
}

/// What the workers share.
pub(super) struct Loaded {
    /// Only what turns texts into tokens, where there is an encoder.
    pub(super) model: Arc<LlamaModel>,
    encoder: Option<Encoder>,
}

impl Loaded {
    pub(super) fn read(
        path: &Path,
        header: &Header,
        options: &LoadOptions,
        mut progress: impl FnMut(f32) + 'static,
    ) -> Result<Self> {
        // Encoders are computed on the processor only.
        let elsewhere =
            cfg!(any(feature = "cuda", feature = "metal", feature = "rocm", feature = "vulkan"))
                && options.gpu_layers > 0;
        let encoder = if elsewhere { None } else { Encoder::read(path, header, &mut progress)? };
        let model = match encoder {
            Some(_) => load_vocabulary(path)?,
            None => load_file(path, options, progress)?,
        };
        Ok(Self { model, encoder })
    }

    /// Whether the vocabulary is loaded apart from the weights.
    pub(super) fn is_apart(&self) -> bool {
        self.encoder.is_some()
    }
}

/// What computes vectors.
pub(super) enum Engine<'m> {
    LlamaCpp { context: Box<LlamaContext<'m>>, batch: LlamaBatch<'static> },
    Encoder { encoder: &'m Encoder, scratch: Box<Scratch> },
}

impl<'m> Engine<'m> {
    pub(super) fn new(loaded: &'m Loaded) -> Result<Self> {
        match &loaded.encoder {
            Some(encoder) => Ok(Self::Encoder { encoder, scratch: Box::default() }),
            None => Self::llama_cpp(&loaded.model),
        }
    }

    fn llama_cpp(model: &'m LlamaModel) -> Result<Self> {
        let size = u32::try_from(BATCH).unwrap_or(u32::MAX);
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(size))
            .with_n_batch(size)
            .with_n_ubatch(size)
            .with_n_seq_max(u32::try_from(TEXTS).unwrap_or(1))
            .with_n_threads(1)
            .with_n_threads_batch(1)
            .with_embeddings(true)
            .with_no_perf(true);
        let context = model.new_context(backend()?, parameters).map_err(Error::engine)?;
        Ok(Self::LlamaCpp { context: Box::new(context), batch: LlamaBatch::new(BATCH, 1) })
    }

    pub(super) fn together(&self) -> Together {
        match self {
            Self::LlamaCpp { .. } => TOGETHER,
            Self::Encoder { .. } => TOGETHER_ENCODED,
        }
    }

    /// Adds the vectors of the texts in `group`, with length one.
    pub(super) fn compute(
        &mut self,
        group: &[Vec<LlamaToken>],
        vectors: &mut Vec<Vec<f32>>,
    ) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        match self {
            Self::Encoder { encoder, scratch } => {
                let ids = |text: &Vec<LlamaToken>| -> Vec<u32> {
                    text.iter().filter_map(|token| u32::try_from(token.0).ok()).collect()
                };
                let texts: Vec<Vec<u32>> = group.iter().map(ids).collect();
                let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
                vectors.extend(encoder.encode(&texts, scratch).iter().map(|vector| unit(vector)));
            }
            Self::LlamaCpp { context, batch } => {
                batch.clear();
                for (sequence, tokens) in (0..).zip(group) {
                    for (position, token) in (0..).zip(tokens) {
                        batch.add(*token, position, &[sequence], true).map_err(Error::engine)?;
                    }
                }
                context.encode(batch).map_err(Error::engine)?;
                for (sequence, _) in (0..).zip(group) {
                    let vector = context.embeddings_seq_ith(sequence).map_err(Error::engine)?;
                    vectors.push(unit(vector));
                }
            }
        }
        Ok(())
    }
}

/// The vector with length one; zero stays as it is.
fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "the numbers have 32 bits")]
    let scale = if norm > 0.0 { (1.0 / norm) as f32 } else { 0.0 };
    vector.iter().map(|x| x * scale).collect()
}
