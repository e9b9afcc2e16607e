//! Commands for developers: `tidy` checks the structure, `codegen` writes the reference pages.

mod codegen;
mod tidy;
mod tree;

use anyhow::{Result, bail};
use std::{env, process::ExitCode};
use tree::Tree;

const USAGE: &str = "\
usage: xtask COMMAND

  tidy              check the structure of the tree
  codegen           write docs/reference
  codegen --check   fail if docs/reference is not what codegen would write";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "warnings do not end the check")]
fn run(arguments: &[&str]) -> Result<String> {
    let tree = Tree::here()?;
    match arguments {
        ["tidy"] => {
            let report = tidy::run(&tree);
            for warning in &report.warnings {
                eprintln!("warning: {warning}");
            }
            if !report.problems.is_empty() {
                bail!("{}\n{} problems", report.problems.join("\n"), report.problems.len());
            }
            Ok(format!("tidy: {} checks, {} files", tidy::CHECKS.len(), tree.files().len()))
        }
        ["codegen"] => Ok(format!("codegen: {} files changed", codegen::write(&tree)?)),
        ["codegen", "--check"] => {
            let stale = codegen::stale(&tree);
            if !stale.is_empty() {
                bail!("out of date, run `make docs`:\n  {}", stale.join("\n  "));
            }
            Ok(format!("codegen: {} pages are current", codegen::pages().len()))
        }
        _ => bail!("{USAGE}"),
    }
}
