//! The command line of Chaski: the only place that knows the stack and every concrete provider.
//!
//! Start reading at [`main`]; each command is a module.

mod args;
mod boot;
mod chat;
mod config;
mod environment;
mod failure;
mod knowledge;
mod lists;
mod logging;
mod model;
mod output;
mod parse_document;
mod run;
mod source;

pub use args::command;
pub use environment::{VARIABLES, Variable};

use args::{Cli, Command, ModelCommand, StackCommand};
use clap::FromArgMatches;
use environment::Environment;
use failure::{Failure, Outcome};
use output::Output;
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Runs the command that the command line names. 0: done, 1: failed, 2: not understood.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = &failure.message {
                note("error", message);
            }
            if let Some(hint) = &failure.hint {
                note("hint", hint);
            }
            ExitCode::from(failure.exit)
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let environment = Environment::capture();
    let output = Output::detect();
    match cli.command {
        None => help(&[], output),
        Some(Command::Run(args)) => run::run(&args, environment),
        Some(Command::Config { command: None }) => help(&["config"], output),
        Some(Command::Config { command: Some(command) }) => {
            config::run(&command, environment, output)
        }
        Some(Command::ListApis(args)) => lists::apis(&args, output),
        Some(Command::ListProviders(args)) => lists::providers(&args, output),
        Some(Command::ListTemplates(args)) => lists::templates(&args, output),
        Some(Command::Model { command: None }) => help(&["model"], output),
        Some(Command::Model { command: Some(command) }) => {
            model::run(&command, &environment, output)
        }
        Some(Command::Download(args)) => {
            model::run(&ModelCommand::Download(args), &environment, output)
        }
        Some(Command::VerifyDownload(args)) => {
            model::run(&ModelCommand::VerifyDownload(args), &environment, output)
        }
        Some(Command::ParseDocument) => parse_document::run(),
        Some(Command::RunConfined { policy }) => Err(chaski_sandbox::run_confined(&policy).into()),
        Some(Command::Chat(args)) => chat::run(&args, &environment, output),
        Some(Command::Ingest(args)) => knowledge::ingest(&args, &environment, output),
        Some(Command::Search(args)) => knowledge::search(&args, &environment, output),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "chaski", &mut script);
            output.bytes(&script)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command()).render(&mut page)?;
            output.bytes(&page)
        }
        Some(Command::Stack { command: None }) => help(&["stack"], output),
        Some(Command::Stack { command: Some(StackCommand::Run(args)) }) => {
            run::check_pairs(&args.run.env)?;
            run::run(&args.run, environment)
        }
        Some(Command::Stack { command: Some(StackCommand::ListApis(args)) }) => {
            lists::apis(&args, output)
        }
        Some(Command::Stack { command: Some(StackCommand::ListProviders(args)) }) => {
            lists::providers(&args, output)
        }
    }
}

/// Prints what can be written at this place of the command line.
fn help(path: &[&str], output: Output) -> Outcome {
    let mut root = command();
    root.build();
    let mut at = &mut root;
    for name in path {
        at = at
            .find_subcommand_mut(name)
            .ok_or_else(|| Failure::failed(format!("there is no command `{name}`")))?;
    }
    let text = at.render_help();
    if output.terminal {
        output.text(&text.ansi().to_string())
    } else {
        output.text(&text.to_string())
    }
}

/// Prints a line for the user beside the output: `error: ...`.
pub(crate) fn note(label: &str, text: &str) {
    let mut out = io::stderr().lock();
    // Nothing can be said about a standard error stream that is closed.
    let _ = if out.is_terminal() && Environment::capture().get(environment::NO_COLOR).is_none() {
        let colour = match label {
            "error" => "31",
            "warning" => "33",
            _ => "36",
        };
        writeln!(out, "\u{1b}[1;{colour}m{label}:\u{1b}[0m {text}")
    } else {
        writeln!(out, "{label}: {text}")
    };
}
