//! `chaski model`: models on this machine.

mod checkpoints;
mod describe;
mod download;
mod list;
mod progress;
mod remove;

use crate::{
    args::ModelCommand,
    environment::{Environment, HF_ENDPOINT, HF_TOKEN},
    failure::{Failure, Outcome},
    output::Output,
};
use chaski_api::Secret;
use chaski_llama::Model;
use chaski_weights::{Checkpoints, Source, Store, size};
use std::io::{self, IsTerminal};

pub(crate) fn run(command: &ModelCommand, environment: &Environment, output: Output) -> Outcome {
    let store = Store::new(environment.weights_dir()?);
    let folder = Checkpoints::new(environment.checkpoints_dir()?);
    match command {
        ModelCommand::List { show_all, downloaded, search, table } => {
            let search = search.as_deref();
            let wanted = list::Wanted { show_all: *show_all, downloaded: *downloaded, search };
            list::run(&store, &folder, wanted, table.json, output)
        }
        ModelCommand::Pull { sources } => pull(&store, sources, environment, output),
        ModelCommand::Describe { model, table } => {
            describe::describe(&store, model.name(), table.json, output)
        }
        ModelCommand::PromptFormat(args) => describe::prompt_formats(args, output),
        ModelCommand::Download(args) => checkpoints::download(&folder, args, environment, output),
        ModelCommand::VerifyDownload(args) => checkpoints::verify(&folder, &args.model_id, output),
        ModelCommand::Remove { model, force } => {
            remove::run(&store, &folder, model.name(), *force, output)
        }
    }
}

/// The failure for a name that no model has.
fn unknown(name: &str) -> Failure {
    let failure = Failure::usage(format!(
        "Model {name} not found; try 'chaski model list' for a list of available models."
    ));
    match Model::nearest(name) {
        Some(near) => failure.hint(format!("did you mean `{}`?", near.descriptor)),
        None => failure,
    }
}

fn pull(store: &Store, sources: &[String], environment: &Environment, output: Output) -> Outcome {
    let sources: Vec<Source> =
        sources.iter().map(|text| text.parse()).collect::<Result<_, chaski_api::Error>>()?;
    let http = environment.http()?;
    let token = environment.get(HF_TOKEN).map(Secret::new);
    let base = environment.get(HF_ENDPOINT).unwrap_or(checkpoints::HUGGING_FACE);
    let client = download::Client::new(http, token, base)?;
    let store = store.clone().with_hugging_face(base);
    let progress = progress::Shown::new(io::stderr().is_terminal());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for source in &sources {
        let pulled = runtime.block_on(store.pull(&client, source, &progress));
        progress.finish();
        let pulled = pulled?;
        let what = format!("`{}` ({}, {})", pulled.name, pulled.kind.as_str(), size(pulled.bytes));
        output.line(&match &pulled.source {
            Some(from) => format!("{what} from {from} is at {}", pulled.path.display()),
            None => format!("{what} is at {} already", pulled.path.display()),
        })?;
    }
    Ok(())
}
