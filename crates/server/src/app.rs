//! What handlers work with.

use crate::ServerOptions;
use chaski_stack::Stack;
use std::{ops::Deref, sync::Arc};

/// The stack and the settings of the server; clones are the same.
#[derive(Clone)]
pub(crate) struct App(Arc<State>);

/// What all requests share.
pub(crate) struct State {
    pub(crate) stack: Arc<Stack>,
    pub(crate) options: ServerOptions,
}

impl App {
    pub(crate) fn new(stack: Arc<Stack>, options: ServerOptions) -> Self {
        Self(Arc::new(State { stack, options }))
    }
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}
