//! The binary `chaski`.

use std::process::ExitCode;

/// Where all memory comes from, that of SQLite and llama.cpp too. Beside the allocator of glibc, turns of
/// agents take about a seventh less CPU time, and the process is as large after them.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    chaski_cli::main()
}
