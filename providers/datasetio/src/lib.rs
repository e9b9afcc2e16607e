//! The providers of datasets, one folder each, and their table.

mod huggingface;
mod localfs;

use chaski_provider::{DatasetIoProvider, Entry};

/// All providers of datasets of this build.
pub const ALL: &[Entry<dyn DatasetIoProvider>] =
    &[Entry::of::<huggingface::HuggingFace>(), Entry::of::<localfs::LocalFs>()];
