//! The providers of datasets, one folder each, and their table.

mod localfs;

use chaski_provider::{DatasetIoProvider, Entry};

/// All providers of datasets of this build.
pub const ALL: &[Entry<dyn DatasetIoProvider>] = &[Entry::of::<localfs::LocalFs>()];
