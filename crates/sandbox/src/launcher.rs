//! The command that confines itself and becomes Python.

use chaski_api::{Error, Result};
use std::{env, ffi::OsString, path::PathBuf};

/// The name of the hidden command of the binary `chaski` that calls [`crate::run_confined`].
pub const RUN_CONFINED: &str = "run-confined";

/// A command that calls [`crate::run_confined`] with its last argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Launcher {
    pub fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments }
    }

    /// The running program with its command [`RUN_CONFINED`].
    ///
    /// # Errors
    /// The program cannot find itself.
    pub fn this_program() -> Result<Self> {
        let program = env::current_exe().map_err(|error| {
            Error::unavailable(
                "this program cannot find itself, to run code in processes of their own",
            )
            .caused_by(error)
        })?;
        Ok(Self::new(program, [RUN_CONFINED]))
    }
}
