//! A launcher by itself, for programs that use this crate without the binary `chaski`.

use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    let policy = std::env::args().next_back().unwrap_or_default();
    let error = chaski_sandbox::run_confined(&policy);
    // Nothing can be said about a standard error stream that is closed.
    let _ = writeln!(std::io::stderr(), "error: {}", error.message);
    ExitCode::FAILURE
}
