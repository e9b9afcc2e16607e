//! The names of Meta's Llama models, and what vendors call them.

use chaski_api::{
    Error, Result,
    models::{Model, ModelType},
};
use serde_json::Value;

/// The short name of a model, and its repository on Hugging Face.
const LLAMA_MODELS: &[(&str, &str)] = &[
    ("Llama-2-7b", "meta-llama/Llama-2-7b"),
    ("Llama-2-13b", "meta-llama/Llama-2-13b"),
    ("Llama-2-70b", "meta-llama/Llama-2-70b"),
    ("Llama-2-7b-chat", "meta-llama/Llama-2-7b-chat"),
    ("Llama-2-13b-chat", "meta-llama/Llama-2-13b-chat"),
    ("Llama-2-70b-chat", "meta-llama/Llama-2-70b-chat"),
    ("Llama-3-8B", "meta-llama/Llama-3-8B"),
    ("Llama-3-70B", "meta-llama/Llama-3-70B"),
    ("Llama-3-8B-Instruct", "meta-llama/Llama-3-8B-Instruct"),
    ("Llama-3-70B-Instruct", "meta-llama/Llama-3-70B-Instruct"),
    ("Llama3.1-8B", "meta-llama/Llama-3.1-8B"),
    ("Llama3.1-70B", "meta-llama/Llama-3.1-70B"),
    ("Llama3.1-405B:bf16-mp8", "meta-llama/Llama-3.1-405B"),
    ("Llama3.1-405B", "meta-llama/Llama-3.1-405B-FP8"),
    ("Llama3.1-405B:bf16-mp16", "meta-llama/Llama-3.1-405B"),
    ("Llama3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"),
    ("Llama3.1-70B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"),
    ("Llama3.1-405B-Instruct:bf16-mp8", "meta-llama/Llama-3.1-405B-Instruct"),
    ("Llama3.1-405B-Instruct", "meta-llama/Llama-3.1-405B-Instruct-FP8"),
    ("Llama3.1-405B-Instruct:bf16-mp16", "meta-llama/Llama-3.1-405B-Instruct"),
    ("Llama3.2-1B", "meta-llama/Llama-3.2-1B"),
    ("Llama3.2-3B", "meta-llama/Llama-3.2-3B"),
    ("Llama3.2-11B-Vision", "meta-llama/Llama-3.2-11B-Vision"),
    ("Llama3.2-90B-Vision", "meta-llama/Llama-3.2-90B-Vision"),
    ("Llama3.2-1B-Instruct", "meta-llama/Llama-3.2-1B-Instruct"),
    ("Llama3.2-3B-Instruct", "meta-llama/Llama-3.2-3B-Instruct"),
    ("Llama3.2-1B-Instruct:int4-qlora-eo8", "meta-llama/Llama-3.2-1B-Instruct-QLORA_INT4_EO8"),
    (
        "Llama3.2-1B-Instruct:int4-spinquant-eo8",
        "meta-llama/Llama-3.2-1B-Instruct-SpinQuant_INT4_EO8",
    ),
    ("Llama3.2-3B-Instruct:int4-qlora-eo8", "meta-llama/Llama-3.2-3B-Instruct-QLORA_INT4_EO8"),
    (
        "Llama3.2-3B-Instruct:int4-spinquant-eo8",
        "meta-llama/Llama-3.2-3B-Instruct-SpinQuant_INT4_EO8",
    ),
    ("Llama3.2-11B-Vision-Instruct", "meta-llama/Llama-3.2-11B-Vision-Instruct"),
    ("Llama3.2-90B-Vision-Instruct", "meta-llama/Llama-3.2-90B-Vision-Instruct"),
    ("Llama3.3-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
    ("Llama-Guard-3-11B-Vision", "meta-llama/Llama-Guard-3-11B-Vision"),
    ("Llama-Guard-3-1B:int4", "meta-llama/Llama-Guard-3-1B-INT4"),
    ("Llama-Guard-3-1B", "meta-llama/Llama-Guard-3-1B"),
    ("Llama-Guard-3-8B", "meta-llama/Llama-Guard-3-8B"),
    ("Llama-Guard-3-8B:int8", "meta-llama/Llama-Guard-3-8B-INT8"),
    ("Llama-Guard-2-8B", "meta-llama/Llama-Guard-2-8B"),
];

/// What a vendor calls a model, and the other names for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alias {
    /// The vendor's name.
    pub id: &'static str,
    /// The short name of the Llama model that it is.
    pub llama_model: Option<&'static str>,
    /// Other names that are accepted.
    pub others: &'static [&'static str],
    /// Whether the repository of the Llama model is such a name.
    repository: bool,
}

impl Alias {
    /// A Llama model, known by its short name.
    pub(crate) const fn llama(id: &'static str, llama_model: &'static str) -> Self {
        Self { id, llama_model: Some(llama_model), others: &[], repository: false }
    }

    /// A Llama model, known by its short name and its repository on Hugging Face.
    pub(crate) const fn repository(id: &'static str, llama_model: &'static str) -> Self {
        Self { repository: true, ..Self::llama(id, llama_model) }
    }

    pub(crate) const fn or(self, others: &'static [&'static str]) -> Self {
        Self { others, ..self }
    }

    fn is(&self, name: &str) -> bool {
        self.id == name
            || self.llama_model == Some(name)
            || self.others.contains(&name)
            || (self.repository && self.llama_model.and_then(repository) == Some(name))
    }
}

/// The repository on Hugging Face of the Llama model with this short name or repository.
pub(crate) fn repository(name: &str) -> Option<&'static str> {
    let mut rows = LLAMA_MODELS.iter();
    rows.find(|(short, repository)| *short == name || *repository == name).map(|(_, repo)| *repo)
}

/// Replaces another name of a model by the vendor's, and checks `metadata.llama_model`.
///
/// Of several vendor's names for a Llama model the last one is taken. Models that no table knows
/// keep their name, and so do embedding models.
///
/// # Errors
/// `InvalidRequest` if `llama_model` names no Llama model, or another one than the table.
pub(crate) fn resolve(mut model: Model, aliases: &[Alias]) -> Result<Model> {
    if model.model_type == ModelType::Embedding {
        return Ok(model);
    }
    let id = &model.provider_resource_id;
    let alias = aliases.iter().rev().find(|alias| alias.is(id));
    let known = match alias {
        Some(alias) => alias.llama_model.and_then(repository),
        None => repository(id),
    };
    match (model.metadata.get("llama_model"), known) {
        (None | Some(Value::Null), _) => {}
        (Some(Value::String(stated)), Some(known)) if repository(stated) == Some(known) => {}
        (Some(stated), Some(known)) => {
            return Err(Error::invalid(format!(
                "the metadata of model `{id}` says that `llama_model` is {stated}, but it is `{known}`"
            )));
        }
        (Some(stated), None) => check_repository(stated)?,
    }
    if let Some(alias) = alias {
        alias.id.clone_into(&mut model.provider_resource_id);
    }
    Ok(model)
}

fn check_repository(stated: &Value) -> Result<()> {
    let name = stated.as_str().map_or_else(|| stated.to_string(), str::to_owned);
    if LLAMA_MODELS.iter().any(|(_, repository)| *repository == name) {
        return Ok(());
    }
    let mut all: Vec<&str> = Vec::new();
    for (_, repository) in LLAMA_MODELS {
        if !all.contains(repository) {
            all.push(repository);
        }
    }
    Err(Error::invalid(format!(
        "Invalid llama_model '{name}' specified in metadata. Must be one of: {}",
        all.join(", ")
    )))
}
