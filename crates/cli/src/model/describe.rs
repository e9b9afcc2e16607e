//! `chaski model describe` and `chaski model prompt-format`.

use super::unknown;
use crate::{
    args::PromptFormatArgs,
    failure::{Failure, Outcome},
    output::Output,
};
use chaski_llama::{MODELS, Model, prompt_format};
use chaski_weights::{Catalogue, Described, Store, Weights, size};
use serde::Serialize;
use serde_json::{Value, json, ser::PrettyFormatter};

pub(super) fn describe(store: &Store, name: &str, as_json: bool, output: Output) -> Outcome {
    if let Some(model) = Model::find(name) {
        return llama(model, as_json, output);
    }
    let known = Catalogue::find(name);
    let local = store.describe(name);
    let (known, local) = match (known, local) {
        (None, Err(error)) if error.kind == chaski_api::ErrorKind::NotFound => {
            return Err(unknown(name));
        }
        (None, Err(error)) => return Err(error.into()),
        (known, local) => (known, local.ok()),
    };
    weights(name, known, local.as_ref(), as_json, output)
}

fn weights(
    name: &str,
    known: Option<&Weights>,
    local: Option<&Described>,
    as_json: bool,
    output: Output,
) -> Outcome {
    if as_json {
        let catalogue = known.map(|weights| {
            json!({
                "name": weights.name,
                "aliases": weights.aliases,
                "kind": weights.kind,
                "summary": weights.summary,
                "bytes": weights.bytes,
                "licence": weights.licence,
                "sha256": weights.sha256(),
                "note": weights.note,
            })
        });
        return output.json(&json!({ "catalogue": catalogue, "file": local }));
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut put = |label: &str, text: String| rows.push(vec![label.to_owned(), text]);
    if let Some(weights) = known {
        put("Summary", weights.summary.to_owned());
        put("Kind", weights.kind.as_str().to_owned());
        put("Other names", weights.aliases.join(", "));
        put("Licence", weights.licence.to_owned());
        put("Download", size(weights.bytes));
        if let Some(sha256) = weights.sha256() {
            put("SHA-256 of the download", sha256.to_owned());
        }
        if let Some(note) = weights.note {
            put("Note", note.to_owned());
        }
    }
    match local {
        Some(local) => {
            put("File", local.path.display().to_string());
            put("File size", size(local.bytes));
            if let Some(source) = &local.source {
                put("Fetched from", source.clone());
            }
            put("Memory", format!("{} with {} tokens", size(local.memory), local.context));
            let facts = serde_json::to_value(&local.facts).map_err(Failure::failed)?;
            for (label, value) in facts.as_object().into_iter().flatten() {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                put(&label.replace('_', " "), text);
            }
        }
        None => put("File", format!("not here; fetch it with `chaski model pull {name}`")),
    }
    let title = known.map_or(name, |weights| weights.name);
    output.table(&["Model", title], &rows)
}

fn llama(model: &Model, as_json: bool, output: Output) -> Outcome {
    let params = serde_json::to_value(model.architecture).map_err(Failure::failed)?;
    // Meta recommends the same for all its models that generate text.
    let sampling = json!({ "type": "top_p", "temperature": 1.0, "top_p": 0.9 });
    let sampling = if model.architecture.is_some() { sampling } else { Value::Null };
    if as_json {
        return output.json(&json!({
            "name": model.descriptor,
            "repository": model.repository,
            "description": model.description(),
            "context_length": model.context,
            "weights_format": model.weights.as_str(),
            "params": params,
            "recommended_sampling_params": { "strategy": sampling },
        }));
    }
    let mut rows = vec![
        ["Hugging Face ID", model.repository].map(str::to_owned).to_vec(),
        vec!["Description".to_owned(), model.description()],
        vec!["Context Length".to_owned(), format!("{} tokens", model.context_in_thousands())],
        ["Weights format", model.weights.as_str()].map(str::to_owned).to_vec(),
    ];
    for (label, value) in [("Model params.json", params), ("Recommended sampling params", sampling)]
    {
        if !value.is_null() {
            rows.push(vec![label.to_owned(), indented(&value)?]);
        }
    }
    output.table(&["Model", model.descriptor], &rows)
}

/// JSON with four blanks for each level.
fn indented(value: &Value) -> Outcome<String> {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    value.serialize(&mut serializer).map_err(Failure::failed)?;
    String::from_utf8(text).map_err(Failure::failed)
}

pub(super) fn prompt_formats(args: &PromptFormatArgs, output: Output) -> Outcome {
    let Some(name) = &args.model_name else {
        let described = MODELS.iter().filter(|model| prompt_format(model).is_some());
        let rows: Vec<_> = described.map(|model| vec![model.descriptor.to_owned()]).collect();
        return output.table(&["Model Descriptor(ID)"], &rows);
    };
    let model = Model::find(name);
    if let Some(page) = model.and_then(prompt_format) {
        return output.text(&page);
    }
    let failure = Failure::usage(format!(
        "{name} is not a valid Model. Choose one from the list of valid models. Run \
         `chaski model prompt-format --list` to see them."
    ));
    Err(match Model::nearest(name).filter(|_| model.is_none()) {
        Some(near) => failure.hint(format!("did you mean `{}`?", near.descriptor)),
        None => failure,
    })
}
