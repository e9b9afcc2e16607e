//! The routers of the stack, for providers that use other APIs.

use crate::{Inference, Retrieval};
use chaski_api::{Error, Result};
use std::sync::{Arc, OnceLock, Weak};

/// The routers of the stack. The stack puts them in before it builds a provider. They do not keep
/// the stack alive.
#[derive(Clone, Default)]
pub struct Routers(Arc<Slots>);

#[derive(Default)]
struct Slots {
    inference: OnceLock<Weak<dyn Inference>>,
    retrieval: OnceLock<Weak<dyn Retrieval>>,
}

impl Routers {
    /// Puts the routers in; those of the first call stay.
    pub fn set(&self, inference: &Arc<dyn Inference>, retrieval: &Arc<dyn Retrieval>) {
        let _first = self.0.inference.set(Arc::downgrade(inference));
        let _first = self.0.retrieval.set(Arc::downgrade(retrieval));
    }

    /// Inference over all providers.
    ///
    /// # Errors
    /// `Unavailable` if the stack has ended.
    pub fn inference(&self) -> Result<Arc<dyn Inference>> {
        self.0.inference.get().and_then(Weak::upgrade).ok_or_else(|| ended("inference"))
    }

    /// All vector databases.
    ///
    /// # Errors
    /// `Unavailable` if the stack has ended.
    pub fn retrieval(&self) -> Result<Arc<dyn Retrieval>> {
        self.0.retrieval.get().and_then(Weak::upgrade).ok_or_else(|| ended("vector_io"))
    }
}

fn ended(api: &str) -> Error {
    Error::unavailable(format!("`{api}` is not there: the stack has ended"))
}
