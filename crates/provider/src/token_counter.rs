//! Counting tokens of texts without asking a model.

use std::{fmt, sync::Arc};

/// Counts the tokens of a text as a model reads it, without those that mark its beginning and its end.
/// Clones share what they count with.
///
/// Counting computes, with an effort that grows with the text, and is for threads that may.
#[derive(Clone)]
pub struct TokenCounter(Arc<dyn Fn(&str) -> usize + Send + Sync>);

impl TokenCounter {
    pub fn new(count: impl Fn(&str) -> usize + Send + Sync + 'static) -> Self {
        Self(Arc::new(count))
    }

    /// The tokens of a text.
    pub fn count(&self, text: &str) -> usize {
        (self.0)(text)
    }
}

impl fmt::Debug for TokenCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCounter").finish_non_exhaustive()
    }
}
