//! A worker by itself, for programs that use this crate without the binary `chaski`.

use std::{io, process::ExitCode};

fn main() -> ExitCode {
    match chaski_documents::isolated::serve(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
