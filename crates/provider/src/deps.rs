//! The services that providers are given.

use chaski_upstream::Http;
use std::{
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::task::JoinSet;

/// The services of the process that providers are given. Passed, never global.
#[derive(Clone)]
pub struct Deps {
    /// The client for everything outbound.
    pub http: Http,
    /// Where model weights are.
    pub weights_dir: PathBuf,
    /// CPU threads for computing; the network threads never compute.
    pub compute_threads: usize,
    /// Work that outlives a request.
    pub tasks: Tasks,
}

/// Work in the background, ended together with the stack.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Runs `work` until it ends or the stack shuts down.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(mut set) = self.0.lock() {
            // Finished tasks are collected here, so that the set does not grow.
            while set.try_join_next().is_some() {}
            set.spawn(work);
        }
    }

    /// Ends all work at its next await point.
    pub fn abort_all(&self) {
        if let Ok(mut set) = self.0.lock() {
            set.abort_all();
        }
    }
}
