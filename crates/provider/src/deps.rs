//! The services that providers are given.

use crate::{Cpu, Documents, Routers};
use chaski_upstream::Http;
use std::{
    collections::BTreeMap,
    fmt,
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
    /// Where short work that computes runs: decoding, cutting, searching.
    pub cpu: Cpu,
    /// Where documents are read that strangers sent.
    pub documents: Documents,
    /// The environment variables that the provider declares.
    pub environment: Environment,
    /// Work that outlives a request.
    pub tasks: Tasks,
    /// The routers of the other APIs.
    pub routers: Routers,
}

/// Values of environment variables. A provider gets those that its [`crate::Spec`] declares.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, String>>);

impl Environment {
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self(Arc::new(values))
    }

    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Only the variables with these names.
    #[must_use]
    pub fn limited_to(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        Self::new(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// All values by their names.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        BTreeMap::clone(&self.0)
    }
}

/// Values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
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
