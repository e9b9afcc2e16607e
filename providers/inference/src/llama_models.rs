//! What vendors call Meta's Llama models.

use chaski_api::{
    Error, Result,
    models::{Model, ModelType},
};
use serde_json::Value;

/// The Llama models that generate text.
fn generators() -> impl Iterator<Item = &'static chaski_llama::Model> {
    chaski_llama::MODELS.iter().filter(|model| model.architecture.is_some())
}

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
    let known = |model: &&chaski_llama::Model| model.descriptor == name || model.repository == name;
    generators().find(known).map(|model| model.repository)
}

/// Replaces another name of a model by the vendor's, and checks `metadata.llama_model`.
///
/// Of several vendor's names for a Llama model the last one is taken. Models that no table knows
/// keep their name, and so do models that do not generate.
///
/// # Errors
/// `InvalidRequest` if `llama_model` names no Llama model, or another one than the table.
pub(crate) fn resolve(mut model: Model, aliases: &[Alias]) -> Result<Model> {
    if model.model_type != ModelType::Llm {
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
    if generators().any(|model| model.repository == name) {
        return Ok(());
    }
    let mut all: Vec<&str> = Vec::new();
    for model in generators() {
        if !all.contains(&model.repository) {
            all.push(model.repository);
        }
    }
    Err(Error::invalid(format!(
        "Invalid llama_model '{name}' specified in metadata. Must be one of: {}",
        all.join(", ")
    )))
}
