//! The routers of the stack, for providers that use other APIs.

use crate::{Chat, Inference, Retrieval, Shields, Tools};
use chaski_api::{Error, Result};
use std::sync::{Arc, OnceLock, Weak};

/// The routers of the stack. The stack puts them in before it builds a provider, and the server adds the
/// chat. They do not keep the stack alive.
#[derive(Clone, Default)]
pub struct Routers(Arc<Slots>);

#[derive(Default)]
struct Slots {
    inference: OnceLock<Weak<dyn Inference>>,
    retrieval: OnceLock<Weak<dyn Retrieval>>,
    tools: OnceLock<Weak<dyn Tools>>,
    shields: OnceLock<Weak<dyn Shields>>,
    chat: OnceLock<Weak<dyn Chat>>,
}

/// Declares how a router is put in and got out.
macro_rules! slot {
    ($slot:ident, $set:ident, $router:ty, $api:literal, $doc:literal) => {
        #[doc = concat!("Puts it in: ", $doc, " That of the first call stays.")]
        pub fn $set(&self, router: &Arc<$router>) {
            let _first = self.0.$slot.set(Arc::downgrade(router));
        }

        #[doc = $doc]
        ///
        /// # Errors
        /// `Unavailable` if the stack has ended.
        pub fn $slot(&self) -> Result<Arc<$router>> {
            self.0.$slot.get().and_then(Weak::upgrade).ok_or_else(|| {
                Error::unavailable(concat!("`", $api, "` is not there: the stack has ended"))
            })
        }
    };
}

impl Routers {
    slot!(inference, set_inference, dyn Inference, "inference", "Inference over all providers.");
    slot!(retrieval, set_retrieval, dyn Retrieval, "vector_io", "All vector databases.");
    slot!(tools, set_tools, dyn Tools, "tool_runtime", "All tools.");
    slot!(chat, set_chat, dyn Chat, "inference", "Chat in Llama Stack's form.");
    slot!(shields, set_shields, dyn Shields, "safety", "All shields.");
}
