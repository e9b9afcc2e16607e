//! Images for a language model: a projector turns them into vectors, which stand in the prompt
//! where words have their tokens.
//!
//! The library of the engine for this, mtmd, ends the process where its input does not fit. So the
//! file is checked first ([`Projector`]), and images are decoded, measured and limited here.

use crate::{Error, LoadOptions, Result, gguf::Projector, model::BATCH, picture};
use llama_cpp_2::{
    context::LlamaContext,
    model::LlamaModel,
    mtmd::{
        MtmdBitmap, MtmdContext, MtmdContextParams, MtmdInputChunkType, MtmdInputChunks,
        MtmdInputText, mtmd_default_marker,
    },
    token::LlamaToken,
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    ffi::CString,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most images of a request.
pub(crate) const MOST_IMAGES: usize = 16;
/// So many images keep their tokens; others get new ones when they come again.
const MOST_NAMES: usize = 4096;

/// An image in a prompt.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// The place of its first token in the prompt.
    pub(crate) at: usize,
    /// How many places it takes.
    pub(crate) tokens: usize,
    /// Stands for the image in all its places. It is below zero, where no word has its token, and
    /// no two images have the same.
    pub(crate) token: LlamaToken,
    bytes: Arc<[u8]>,
}

pub(crate) struct Vision {
    /// Encodes one image at a time. Held while an image is decoded too, so that the pixels of one
    /// are in memory at most.
    context: Mutex<MtmdContext>,
    names: Mutex<Names>,
    /// Images of one request are measured at a time; requests that wait for it hold no thread.
    turns: Arc<Semaphore>,
    vocabulary: i32,
    // Dropped after the context, which points to it.
    _model: Arc<LlamaModel>,
}

/// The tokens that stand for images, by the hash of their bytes.
#[derive(Debug, Default)]
struct Names {
    known: HashMap<[u8; 32], i32>,
    last: i32,
}

impl Names {
    fn of(&mut self, bytes: &[u8]) -> LlamaToken {
        let hash = Sha256::digest(bytes).into();
        if let Some(token) = self.known.get(&hash) {
            return LlamaToken(*token);
        }
        if self.known.len() >= MOST_NAMES {
            self.known.clear();
        }
        // After two billion images, the first ones are long out of memory.
        self.last = self.last.checked_sub(1).unwrap_or(-1);
        self.known.insert(hash, self.last);
        LlamaToken(self.last)
    }
}

impl Vision {
    /// Loads the projector at `path` for `model`.
    ///
    /// # Errors
    /// When the file is not a usable projector, or was made for another model.
    pub(crate) fn load(
        path: &Path,
        model: &Arc<LlamaModel>,
        options: &LoadOptions,
    ) -> Result<Self> {
        let broken = |why: String| Error::Broken {
            message: format!("the projector `{}` cannot be used: {why}", path.display()),
        };
        let width = Projector::read(path)?.width;
        let wanted = u64::try_from(model.n_embd()).unwrap_or_default();
        if width != wanted {
            return Err(broken(format!(
                "its vectors have {width} numbers, and those of the model have {wanted}; use the \
                 projector that was made for this model"
            )));
        }
        let file = path.to_str().ok_or_else(|| broken("its path is not UTF-8".to_owned()))?;
        let parameters = MtmdContextParams {
            use_gpu: options.gpu_layers > 0,
            print_timings: false,
            n_threads: i32::try_from(options.batch_threads.max(1)).unwrap_or(1),
            media_marker: marker()?,
            image_min_tokens: -1,
            image_max_tokens: -1,
        };
        let context = MtmdContext::init_from_file(file, model, &parameters)
            .map_err(|error| broken(format!("{error}; the log at level `debug` says more")))?;
        if !context.support_vision() || context.decode_use_mrope() {
            return Err(broken("the model has places of more than one dimension".to_owned()));
        }
        let vision = Self {
            context: Mutex::new(context),
            names: Mutex::default(),
            turns: Arc::new(Semaphore::new(1)),
            vocabulary: model.vocab().n_tokens(),
            _model: Arc::clone(model),
        };
        // Images of all forms bring the same marks into the prompt.
        for (width, height) in [(64, 64), (64, 96)] {
            let sample = image::RgbImage::new(width, height);
            vision.cut(&vision.lock(), &sample).map_err(|error| broken(error.to_string()))?;
        }
        Ok(vision)
    }

    /// The right to measure the images of a request.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// Measures an image, to stand at the place `at` of a prompt.
    ///
    /// # Errors
    /// When the image cannot be read, or has too many pixels.
    pub(crate) fn picture(&self, bytes: Arc<[u8]>, at: usize) -> Result<Picture> {
        let tokens = {
            let context = self.lock();
            self.cut(&context, &picture::pixels(&bytes)?)?.total_tokens()
        };
        let token = self.names.lock().unwrap_or_else(PoisonError::into_inner).of(&bytes);
        Ok(Picture { at, tokens, token, bytes })
    }

    /// Encodes an image and computes it in a sequence of the engine, from its place on.
    ///
    /// # Errors
    /// When the engine fails.
    pub(crate) fn compute(
        &self,
        picture: &Picture,
        sequence: usize,
        engine: &mut LlamaContext<'_>,
    ) -> Result<()> {
        let number = |number: usize| i32::try_from(number).map_err(Error::engine);
        let mut context = self.lock();
        let chunks = self.cut(&context, &picture::pixels(&picture.bytes)?)?;
        let (at, end) = (number(picture.at)?, number(picture.at + picture.tokens)?);
        let sequence = number(sequence)?;
        // The engine would end the process for a larger batch, or for a part of an image whose tokens
        // see each other.
        let batch = engine.n_batch().min(BATCH);
        if context.decode_use_non_causal() && picture.tokens > batch as usize {
            let why =
                format!("an image has {} tokens, and {batch} can be computed", picture.tokens);
            return Err(Error::engine(why));
        }
        let batch = batch.cast_signed();
        let reached = chunks
            .eval_chunks(&mut context, engine, at, sequence, batch, false)
            .map_err(Error::engine)?;
        if reached != end {
            return Err(Error::engine(format!("an image ended at {reached}, not at {end}")));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, MtmdContext> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts an image into the pieces that are encoded, with the marks before and behind them.
    fn cut(&self, context: &MtmdContext, image: &image::RgbImage) -> Result<MtmdInputChunks> {
        let bitmap = MtmdBitmap::from_image_data(image.width(), image.height(), image.as_raw());
        let bitmap = bitmap.map_err(Error::engine)?;
        let text = mtmd_default_marker().to_owned();
        let text = MtmdInputText { text, add_special: false, parse_special: true };
        let chunks = context.tokenize(text, &[&bitmap]).map_err(Error::engine)?;
        let same = i32::try_from(chunks.total_tokens()).ok() == Some(chunks.total_positions());
        if !same || chunks.is_empty() {
            return Err(Error::engine("images have places of more than one dimension"));
        }
        for index in 0..chunks.len() {
            let Some(chunk) = chunks.get(index) else { continue };
            let whole = chunk.chunk_type() == MtmdInputChunkType::Image;
            if whole && context.decode_use_non_causal() && chunk.n_tokens() > BATCH as usize {
                let tokens = chunk.n_tokens();
                return Err(Error::engine(format!("an image has {tokens} tokens, over {BATCH}")));
            }
            let marks = chunk.text_tokens().unwrap_or_default();
            if !marks.iter().all(|mark| (0..self.vocabulary).contains(&mark.0)) {
                return Err(Error::engine(
                    "the vocabulary of the model lacks the marks that go around images",
                ));
            }
        }
        Ok(chunks)
    }
}

fn marker() -> Result<CString> {
    CString::new(mtmd_default_marker()).map_err(Error::engine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gguf::tiny::{
            self,
            ProjectorKind::{Gemma3, Mlp},
        },
        model::load_file,
        tests::weights,
    };

    /// Encodes an image with whatever the projector computes.
    fn encode(vision: &Vision) {
        let mut context = vision.lock();
        let chunks = vision.cut(&context, &image::RgbImage::new(50, 40)).unwrap();
        let images = (0..chunks.len()).filter_map(|index| chunks.get(index));
        for chunk in images.filter(|chunk| chunk.chunk_type() == MtmdInputChunkType::Image) {
            context.encode_chunk(&chunk).unwrap();
        }
    }

    /// A file that the engine could not take would end the process of this test.
    #[test]
    fn projectors_with_random_faults_end_in_an_error_or_run() {
        let options = LoadOptions::default();
        let model = load_file(&weights("smollm2-135m-instruct"), &options, |_| ()).unwrap();
        let mut state = 7_u64;
        let mut random = move |most: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            usize::try_from(state >> 33).unwrap() % most
        };
        let (mut refused, mut run) = (0, 0);
        for kind in [Mlp, Gemma3] {
            let file = tempfile::NamedTempFile::new().unwrap();
            tiny::projector(file.path(), kind, 576, |_, _| {}).unwrap();
            let whole = std::fs::read(file.path()).unwrap();
            let name = b"weight";
            let last = whole.windows(name.len()).rposition(|window| window == name).unwrap();
            for _ in 0..250 {
                let mut bytes = whole.clone();
                let at = random(last + 40);
                match random(3) {
                    0 => bytes[at] ^= 1 << random(8),
                    1 => bytes[at] = 0,
                    _ => bytes[at..at + 4].fill(u8::try_from(random(256)).unwrap()),
                }
                std::fs::write(file.path(), bytes).unwrap();
                match Vision::load(file.path(), &model, &options) {
                    Ok(vision) => {
                        encode(&vision);
                        run += 1;
                    }
                    Err(error) => {
                        assert!(matches!(error, Error::Broken { .. }), "{error}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 100 && run > 10, "{refused} {run}");
    }

    #[test]
    fn images_have_tokens_of_their_own_that_they_keep() {
        let mut names = Names::default();
        let mut tokens = Vec::new();
        for image in 0..MOST_NAMES {
            tokens.push(names.of(&image.to_le_bytes()));
        }
        assert!(tokens.iter().all(|token| token.0 < 0));
        assert_eq!(names.of(&0_usize.to_le_bytes()), tokens[0]);
        // One too many: the others get new tokens, which nobody had.
        let next = names.of(b"another");
        assert!(!tokens.contains(&next));
        let again = names.of(&0_usize.to_le_bytes());
        assert!(!tokens.contains(&again) && again != next);
        assert_eq!(names.known.len(), 2);
        names.last = i32::MIN;
        assert_eq!(names.of(b"the last").0, -1);
    }
}
