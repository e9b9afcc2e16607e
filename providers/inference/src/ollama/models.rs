//! Ollama's own API for the models that it holds.

use crate::adapter::{LISTING, offered_model};
use chaski_api::{
    Error, ErrorKind, Result,
    models::{Model, ModelType},
};
use chaski_upstream::{Http, Request, Url};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub(super) const NAME: &str = "Ollama";
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// A model has gigabytes, and Ollama answers when it has all of them.
const PULLING: Duration = Duration::from_hours(1);
/// How many models are asked about at once.
const AT_ONCE: usize = 4;

#[derive(Debug, Deserialize)]
struct Tags {
    #[serde(default)]
    models: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    name: String,
    #[serde(default)]
    digest: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Show {
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    model_info: Map<String, Value>,
}

/// The models that an Ollama server holds.
pub(super) struct Library {
    http: Http,
    base: String,
    tags: Url,
    show: Url,
    running: Url,
    pull: Url,
    /// What is known about models, by name and digest, so that each is asked about once.
    known: Mutex<HashMap<(String, String), Show>>,
}

impl Library {
    /// # Errors
    /// `InvalidRequest` if the URL cannot be used.
    pub(super) fn new(http: Http, url: &str) -> Result<Self> {
        let at = |path: &str| address(url, path);
        Ok(Self {
            http,
            base: url.to_owned(),
            tags: at("/api/tags")?,
            show: at("/api/show")?,
            running: at("/api/ps")?,
            pull: at("/api/pull")?,
            known: Mutex::default(),
        })
    }

    /// The address of another part of Ollama's API.
    ///
    /// # Errors
    /// `InvalidRequest` if the URL cannot be used.
    pub(super) fn at(&self, path: &str) -> Result<Url> {
        address(&self.base, path)
    }

    pub(super) async fn check(&self) -> Result<()> {
        self.get(self.running.clone()).await.map(drop)
    }

    /// The names of the models, with their tags.
    pub(super) async fn names(&self) -> Result<Vec<String>> {
        Ok(self.list().await?.into_iter().map(|tag| tag.name).collect())
    }

    /// The models with what is known about them.
    pub(super) async fn models(&self) -> Result<Vec<Model>> {
        let tags = self.list().await?;
        stream::iter(tags).map(|tag| self.model(tag)).buffered(AT_ONCE).try_collect().await
    }

    /// Has Ollama download a model, and waits until it has.
    pub(super) async fn pull(&self, name: &str) -> Result<()> {
        tracing::info!(target: "inference", model = name, "Ollama downloads a model");
        let body = json!({ "model": name, "stream": false });
        let answer = self.post(self.pull.clone(), &body, PULLING).await?;
        match answer.get("error").and_then(Value::as_str) {
            Some(message) => Err(Error::invalid(message)),
            None => Ok(()),
        }
    }

    async fn list(&self) -> Result<Vec<Tag>> {
        let answer = self.get(self.tags.clone()).await?;
        let tags: Tags =
            serde_json::from_value(answer).map_err(|error| unclear().caused_by(error))?;
        Ok(tags.models)
    }

    async fn model(&self, tag: Tag) -> Result<Model> {
        let show = self.about(&tag).await?;
        let number = |ending: &str| {
            show.model_info.iter().find(|(key, _)| key.ends_with(ending)).map(|(_, value)| value)
        };
        let mut metadata = Map::new();
        if let Some(length) = number(".context_length") {
            metadata.insert("context_length".to_owned(), length.clone());
        }
        // Servers that do not tell capabilities tell how the model pools its vectors.
        let embeds = show.capabilities.iter().any(|capability| capability == "embedding")
            || (show.capabilities.is_empty() && number(".pooling_type").is_some());
        let dimension = number(".embedding_length").filter(|_| embeds);
        let model_type = match dimension {
            Some(dimension) => {
                metadata.insert("embedding_dimension".to_owned(), dimension.clone());
                ModelType::Embedding
            }
            None => ModelType::Llm,
        };
        Ok(offered_model(tag.name.clone(), tag.name, model_type, metadata))
    }

    async fn about(&self, tag: &Tag) -> Result<Show> {
        let key = (tag.name.clone(), tag.digest.clone());
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(show) = known().get(&key) {
            return Ok(show.clone());
        }
        let body = json!({ "model": tag.name });
        let answer = match self.post(self.show.clone(), &body, LISTING).await {
            // The model was removed after the list was made.
            Err(Error { kind: ErrorKind::Upstream { status: Some(404) }, .. }) => {
                return Ok(Show::default());
            }
            answer => answer?,
        };
        let show: Show =
            serde_json::from_value(answer).map_err(|error| unclear().caused_by(error))?;
        known().insert(key, show.clone());
        Ok(show)
    }

    async fn get(&self, url: Url) -> Result<Value> {
        self.ask(Request::get(NAME, url), LISTING).await
    }

    async fn post(&self, url: Url, body: &Value, limit: Duration) -> Result<Value> {
        self.ask(Request::post(NAME, url).json(body.to_string()), limit).await
    }

    async fn ask(&self, request: Request, limit: Duration) -> Result<Value> {
        let request = request.first_byte_timeout(limit).read_timeout(limit);
        let answer = self.http.send(request).await?.success().await?;
        let body = answer.bytes(ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| unclear().caused_by(error))
    }
}

pub(super) fn unclear() -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, "Ollama sent an answer that cannot be understood")
}

fn address(base: &str, path: &str) -> Result<Url> {
    Url::parse(&format!("{base}{path}")).map_err(|_| {
        let example = super::URL;
        Error::invalid(format!(
            "the URL of Ollama is not a web address; use one such as `{example}`"
        ))
    })
}
