//! How a download tells what it does.

/// Listens to a download. Calls come from the task that downloads and must return at once.
pub trait Progress: Send + Sync {
    /// A new step: what happens now, and how many bytes it will move, where that is known.
    fn step(&self, _what: &str, _total: Option<u64>) {}

    /// So many bytes of the step are done, counted from its beginning.
    fn at(&self, _bytes: u64) {}

    /// Something the user should read: where a file comes from, why a place was skipped.
    fn note(&self, _text: &str) {}
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
