//! The binary `chaski`.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaski_cli::main()
}
