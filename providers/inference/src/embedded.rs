//! Models that the reference runs in its own process on graphics cards, run by the engine of
//! `inline::llama-cpp` from GGUF files.

use crate::{llama_cpp::LlamaCpp, llama_models};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    inspect::ProviderHealth,
    models::{Model, ModelType},
    openai::{Body, ChatRequest, TextCompletionRequest},
};
use chaski_llm::LoadOptions;
use chaski_provider::{ChatReply, Context, Deps, Hosts, Inference, Lifecycle, TextReply};
use chaski_weights::{Kind, Store};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How a provider of the reference is mapped.
pub(crate) struct Mapping {
    pub(crate) provider_type: &'static str,
    /// The model that must be there, if the configuration names one.
    pub(crate) model: Option<String>,
    /// A GGUF file, or a folder with GGUF files in place of the weights folder.
    pub(crate) files: Option<PathBuf>,
    /// The seed of requests that bring none.
    pub(crate) seed: Option<i64>,
    /// The most tokens of answers to requests that do not say.
    pub(crate) max_tokens: Option<i64>,
    pub(crate) options: LoadOptions,
}

pub(crate) struct Embedded {
    engine: LlamaCpp,
    mapping: Mapping,
    store: Store,
}

impl Embedded {
    pub(crate) fn new(mapping: Mapping, deps: &Deps) -> Self {
        let dir = mapping.files.clone().unwrap_or_else(|| deps.weights_dir.clone());
        let engine = LlamaCpp::with_options(Store::new(&dir), mapping.options.clone(), deps);
        let embedded = Self { engine, store: Store::new(dir), mapping };
        tracing::warn!(target: "inference", "{}", embedded.notice());
        embedded
    }

    /// What differs from the reference, in one sentence.
    fn notice(&self) -> String {
        format!(
            "`{}` runs GGUF files with llama.cpp in this process, in place of PyTorch or vLLM: \
             settings of graphics cards have no effect",
            self.mapping.provider_type
        )
    }

    /// The GGUF file of the model called `name`.
    fn file(&self, name: &str) -> Result<PathBuf> {
        if let Some(file) = self.mapping.files.as_deref().filter(|path| is_gguf(path)) {
            return if file.is_file() { Ok(file.to_owned()) } else { Err(self.missing(name)) };
        }
        if let Ok(path) = self.store.path(name) {
            return Ok(path);
        }
        let wanted = plain(name.rsplit('/').next().unwrap_or(name));
        let files = self.store.list()?.into_iter().filter(|file| file.kind == Kind::Chat);
        let mut fitting: Vec<_> = files.filter(|file| is_file_of(&file.name, &wanted)).collect();
        // The one with the plain name first.
        fitting.sort_by_key(|file| (file.name.len(), file.name.clone()));
        fitting.into_iter().next().map(|file| file.path).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> Error {
        let short = name.rsplit('/').next().unwrap_or(name);
        if let Some(file) = self.mapping.files.as_deref().filter(|path| is_gguf(path)) {
            return Error::not_found(format!(
                "there is no file `{}`, which `checkpoint_dir` names for `{name}`",
                file.display()
            ));
        }
        Error::not_found(format!(
            "there is no GGUF file of `{name}` in `{}`; put `{short}.gguf` there, or fetch one with \
             `chaski model pull hf://OWNER/REPOSITORY/{short}-Q4_K_M.gguf`",
            self.store.dir().display()
        ))
    }

    /// What the configuration says where the request does not.
    fn complete(&self, body: &mut Body) {
        let absent = |body: &Body, field: &str| body.get(field).is_none_or(Value::is_null);
        if let Some(seed) = self.mapping.seed.filter(|_| absent(body, "seed")) {
            body.insert("seed".to_owned(), seed.into());
        }
        if let Some(most) = self.mapping.max_tokens
            && absent(body, "max_tokens")
            && absent(body, "max_completion_tokens")
        {
            body.insert("max_tokens".to_owned(), most.into());
        }
    }
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// A name without what its spellings differ in: `Llama-3.2-1B` and `Llama3.2-1B` are the same.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = kept.map(|c| c.to_ascii_lowercase()).collect();
    plain.strip_prefix("meta").map(str::to_owned).unwrap_or(plain)
}

/// Whether a file is of the model with the plain name `wanted`: what may follow it is the kind of
/// numbers, such as `Q4_K_M`.
fn is_file_of(file: &str, wanted: &str) -> bool {
    let file = plain(file);
    let rest = file.strip_prefix(wanted).filter(|_| !wanted.is_empty());
    let kinds = ["q", "iq", "f16", "f32", "bf16", "fp16", "mxfp4"];
    rest.is_some_and(|rest| rest.is_empty() || kinds.iter().any(|kind| rest.starts_with(kind)))
}

#[async_trait]
impl Inference for Embedded {
    async fn chat(&self, cx: &Context, mut request: ChatRequest) -> Result<ChatReply> {
        self.complete(&mut request.body);
        let path = self.file(request.model())?;
        self.engine.chat_with(path, cx, request).await
    }

    async fn completion(
        &self,
        cx: &Context,
        mut request: TextCompletionRequest,
    ) -> Result<TextReply> {
        self.complete(&mut request.body);
        let path = self.file(request.model())?;
        self.engine.completion_with(path, cx, request).await
    }
}

#[async_trait]
impl Hosts<Model> for Embedded {
    async fn on_register(&self, model: Model) -> Result<Model> {
        if model.model_type == ModelType::Embedding {
            return Err(Error::invalid(format!(
                "`{}` serves models that generate text; register embedding models with \
                 `inline::sentence-transformers`",
                self.mapping.provider_type
            )));
        }
        let model = llama_models::resolve(model, &[])?;
        self.file(&model.provider_resource_id)
            .map_err(|error| Error::new(ErrorKind::InvalidRequest, error.message))?;
        Ok(model)
    }
}

#[async_trait]
impl Lifecycle for Embedded {
    async fn check(&self) -> Result<()> {
        match &self.mapping.model {
            Some(model) => self.file(model).map(drop).map_err(|e| Error::unavailable(e.message)),
            None => Ok(()),
        }
    }

    fn health(&self) -> ProviderHealth {
        let health = self.engine.health();
        let message = match &health.message {
            Some(message) => format!("{}; {message}", self.notice()),
            None => self.notice(),
        };
        ProviderHealth { message: Some(message), ..health }
    }

    async fn shutdown(&self) {
        self.engine.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_any_spelling_of_its_model() {
        for (name, file, found) in [
            ("Llama3.2-1B-Instruct", "Llama-3.2-1B-Instruct", true),
            ("Llama-3.2-1B-Instruct", "Llama-3.2-1B-Instruct-Q4_K_M", true),
            ("Llama3.2-1B-Instruct", "llama-3.2-1b-instruct.IQ4_XS", true),
            ("Llama3.1-8B-Instruct", "Meta-Llama-3.1-8B-Instruct-f16", true),
            ("Llama3.2-1B", "Llama-3.2-1B-Instruct", false),
            ("Llama3.2-1B-Instruct", "Llama-3.2-1B", false),
            ("Llama3.2-1B", "Llama-3.2-11B", false),
            ("", "Llama-3.2-1B", false),
            ("..", "Llama-3.2-1B", false),
        ] {
            assert_eq!(is_file_of(file, &plain(name)), found, "{name}: {file}");
        }
    }
}
