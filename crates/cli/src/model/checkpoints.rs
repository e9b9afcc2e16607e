//! `chaski model download` and `chaski model verify-download`.

use super::{download::Client, progress, unknown};
use crate::{
    args::{DownloadArgs, DownloadSource},
    environment::{Environment, HF_ENDPOINT, HF_TOKEN},
    failure::{Failure, Outcome, USAGE},
    output::Output,
};
use chaski_api::Secret;
use chaski_llama::{CHECKLIST, Model};
use chaski_weights::{
    Checkpoints,
    checkpoints::{Checked, Finding, Manifest, Plan, Transfer, hugging_face, meta},
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

/// The address of Hugging Face where the environment names no mirror.
pub(super) const HUGGING_FACE: &str = "https://huggingface.co";

pub(super) fn download(
    checkpoints: &Checkpoints,
    args: &DownloadArgs,
    environment: &Environment,
    output: Output,
) -> Outcome {
    let base = environment.get(HF_ENDPOINT).unwrap_or(HUGGING_FACE);
    let token = args.hf_token.as_deref().filter(|token| !token.trim().is_empty());
    let token = token.or_else(|| environment.get(HF_TOKEN)).map(Secret::new);
    let client = Client::new(environment.http()?, token, base)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = progress::Shown::new(io::stderr().is_terminal());
    let transfer = Transfer { parallel: args.max_parallel.into(), ..Transfer::default() };
    // As in the reference, the code is that of a wrong command line, whatever went wrong.
    let failed = |failure: Failure| Failure {
        exit: USAGE,
        message: failure.message.map(|message| format!("Download failed: {message}")),
        ..failure
    };
    let fetch = |plan: &Plan| -> Outcome {
        let fetched = runtime.block_on(checkpoints.download(&client, plan, transfer, &progress));
        progress.finish();
        finished(checkpoints, plan, &fetched.map_err(|error| failed(error.into()))?, output)
    };
    if let Some(path) = &args.manifest_file {
        return manifest(path).map_err(failed)?.iter().try_for_each(fetch);
    }
    // Every name is looked up before anything is fetched.
    let models: Vec<&Model> = args
        .model_id
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
        .map(|name| Model::find(name).ok_or_else(|| missing(name)))
        .collect::<Outcome<_>>()?;
    if models.is_empty() {
        return Err(Failure::usage("Please provide a model id")
            .hint("`--model-id NAME`; `chaski model list` shows the names"));
    }
    for model in models {
        let plan = match args.source {
            DownloadSource::Meta => meta(model, &link(args, model)?).map_err(Failure::from),
            DownloadSource::Huggingface => runtime
                .block_on(hugging_face(&client, base, model, &args.ignore_patterns))
                .map_err(Failure::from),
        };
        fetch(&plan.map_err(failed)?)?;
    }
    Ok(())
}

fn missing(name: &str) -> Failure {
    Failure { message: Some(format!("Model {name} not found")), ..unknown(name) }
}

/// The link from Meta's mail.
fn link(args: &DownloadArgs, model: &Model) -> Outcome<String> {
    if let Some(link) = &args.meta_url {
        return Ok(link.clone());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("there is no link to download `{}`", model.descriptor))
            .hint(
                "ask for one at https://www.llama.com/llama-downloads/ and pass it as `--meta-url`, \
                 or take `--source huggingface`",
            ));
    }
    let mut ask = io::stderr().lock();
    write!(ask, "The link from Meta's mail for {}: ", model.descriptor)?;
    ask.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

fn manifest(path: &Path) -> Outcome<Vec<Plan>> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("`{}`: {error}", path.display())))?;
    let manifest = Manifest::read(&text)?;
    let stated = &manifest.expires_on;
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let expires =
        stated.parse::<Timestamp>().ok().or_else(|| utc(stated.parse().ok()?)).ok_or_else(
            || Failure::failed(format!("`{stated}` is no time such as `2030-01-31T12:00:00Z`")),
        )?;
    if expires < Timestamp::now() {
        return Err(Failure::failed(format!("Manifest URLs have expired on {stated}")));
    }
    Ok(manifest.plans()?)
}

/// What is said after a download; files with a list of checksums are checked.
fn finished(checkpoints: &Checkpoints, plan: &Plan, folder: &Path, output: Output) -> Outcome {
    let folder_text = folder.display();
    output.line(&format!("Successfully downloaded {} to {folder_text}", plan.name))?;
    if !folder.join(CHECKLIST).is_file() {
        return Ok(());
    }
    output.line(&format!("Checking the files against {}", folder.join(CHECKLIST).display()))?;
    verify(checkpoints, &plan.name, output)
}

pub(super) fn verify(checkpoints: &Checkpoints, name: &str, output: Output) -> Outcome {
    let mut told = Ok(());
    let checked = checkpoints.verify(name, |checked| {
        if told.is_ok() {
            told = tell(checked, output);
        }
    });
    let checked = checked.map_err(|error| Failure::usage(error.message))?;
    told?;
    let bad = checked.iter().filter(|checked| checked.finding != Finding::Verified).count();
    if bad == 0 {
        return output.line("All files verified successfully!");
    }
    Err(Failure::failed(format!("{bad} of {} files are not what they should be", checked.len()))
        .hint("delete those files and start the download again"))
}

fn tell(checked: &Checked, output: Output) -> Outcome {
    let file = &checked.file;
    output.line(&match &checked.finding {
        Finding::Verified => format!("\u{2713} {file}: Verified"),
        Finding::Missing => format!("\u{274c} {file}: File not found"),
        Finding::Mismatch { expected, got } => {
            format!("\u{274c} {file}: Hash mismatch\n   Expected: {expected}\n   Got:      {got}")
        }
    })
}
