//! How many files the process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than a server needs. Some systems say that there is no limit, and take none.
const MOST: u64 = 65_536;

/// Asks for as many open files as the process may have: connections, and the indexes of vector
/// databases, need more than the usual limit of programs in a terminal.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(MOST, |most| most.min(MOST));
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(target: "core", "the limit of open files cannot be raised to {wanted}: {error}");
    }
}
