//! What a run configuration declares.

use crate::config::RunConfig;
use chaski_provider::Resource;
use std::collections::HashSet;

/// A kind of resource that a run configuration can declare.
pub(crate) trait Declared: Resource {
    /// Whether shields of models rely on it: requests may not change it then.
    const RELIED_ON: bool = false;

    /// The ids of those that have shields which another name for the same would not have.
    fn alone_shielded(_: &RunConfig) -> HashSet<String> {
        HashSet::new()
    }

    /// The resources that a checked configuration declares. `hosts` are the ids of the providers
    /// that may have them, in the order of the configuration.
    fn declared(config: &RunConfig, hosts: &[&str]) -> Vec<Self>;
}

/// The only one, if there is exactly one.
pub(super) fn only<'a>(hosts: &[&'a str]) -> Option<&'a str> {
    match hosts {
        [only] => Some(only),
        _ => None,
    }
}
