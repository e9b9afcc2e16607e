//! `chaski parse-document`: the hidden command that parses files in a process of its own.

use crate::failure::{Failure, Outcome};
use std::io;

/// Serves the parent process on the standard streams until it closes them.
pub(crate) fn run() -> Outcome {
    chaski_documents::isolated::serve(io::stdin().lock(), io::stdout().lock())
        .map_err(|error| Failure::failed(format!("cannot go on parsing documents: {error}")))
}
