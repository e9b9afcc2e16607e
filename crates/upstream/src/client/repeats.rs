//! What whoever makes a call says about its repeats.

use std::{fmt, sync::Arc};

/// Hears of each repeat of a call.
pub trait CountRepeats: Send + Sync {
    /// An attempt has failed, and the next one is sent.
    fn repeated(&self);
}

/// Whether the failed attempts of a call are repeated, and who counts that. By default they are,
/// as often as the client says, and nobody does.
#[derive(Clone, Default)]
pub struct Repeats {
    are_off: bool,
    counter: Option<Arc<dyn CountRepeats>>,
}

impl Repeats {
    /// Repeats that `counter` hears of.
    pub fn counted(counter: Arc<dyn CountRepeats>) -> Self {
        Self { are_off: false, counter: Some(counter) }
    }

    /// The same without a repeat after a pause: for a call that somebody else answers where the
    /// first attempt fails.
    #[must_use]
    pub fn off(self) -> Self {
        Self { are_off: true, ..self }
    }

    /// Whether the first attempt decides.
    pub fn are_off(&self) -> bool {
        self.are_off
    }

    /// Notes a repeat.
    pub(crate) fn count(&self) {
        if let Some(counter) = &self.counter {
            counter.repeated();
        }
    }
}

impl fmt::Debug for Repeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeats").field("are_off", &self.are_off).finish_non_exhaustive()
    }
}
