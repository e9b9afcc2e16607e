//! How a process takes from itself what code is not to have, before it becomes Python.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod identity;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod system_calls;

use crate::{Limits, Python, folder::Folder};
use chaski_api::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What Python runs.
#[cfg(target_os = "linux")]
const DRIVER: &str = include_str!("../driver.py");

/// What is left to a process: the argument of the launcher, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// The process that starts it and that it ends with.
    parent: u32,
    /// The program, and the file that its name leads to.
    program: PathBuf,
    file: PathBuf,
    /// What may be read, with all that is in it.
    libraries: Vec<PathBuf>,
    /// What may be written.
    work: PathBuf,
    temporary: PathBuf,
    memory_bytes: u64,
    cpu_seconds: u64,
    threads: u64,
    open_files: u64,
    file_bytes: u64,
}

impl Policy {
    pub(crate) fn new(python: &Python, folder: &Folder, limits: &Limits) -> Self {
        Self {
            parent: std::process::id(),
            program: python.program.clone(),
            file: python.file.clone(),
            libraries: python.libraries.clone(),
            work: folder.work(),
            temporary: folder.temporary(),
            memory_bytes: limits.memory_bytes,
            cpu_seconds: limits.cpu_seconds,
            threads: limits.threads,
            open_files: limits.open_files,
            file_bytes: limits.file_bytes,
        }
    }

    /// As an argument of the launcher.
    pub(crate) fn argument(&self) -> Result<String> {
        let failed = |error| Error::internal("a policy is no JSON").caused_by(error);
        serde_json::to_string(self).map_err(failed)
    }
}

/// Confines this process as its policy says, and replaces it by Python. The process must be one
/// that an [`crate::Interpreter`] started, and must have one thread. Returns only what went wrong;
/// the process must end then.
#[must_use]
pub fn run_confined(policy: &str) -> Error {
    let policy = match serde_json::from_str::<Policy>(policy) {
        Ok(policy) => policy,
        Err(error) => {
            return Error::invalid(format!(
                "the policy is not one that the server writes: {error}"
            ));
        }
    };
    become_python(&policy)
}

#[cfg(target_os = "linux")]
fn become_python(policy: &Policy) -> Error {
    match linux::become_python(policy) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

#[cfg(not(target_os = "linux"))]
fn become_python(_: &Policy) -> Error {
    Error::unsupported("code is confined by Landlock and seccomp, which only Linux has")
}
