//! Servers of Hugging Face's Text Generation Inference, run by oneself or by Hugging Face.

use crate::{
    adapter::{LISTING, Vendor, offered_model},
    llama_models,
};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    models::{Model, ModelType},
    openai::Body,
};
use chaski_upstream::openai::{Call, Connection, Dialect, JsonSchema};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

/// Text Generation Inference speaks OpenAI's API after `/v1`, and its own beside it.
pub(crate) const DIALECT: Dialect = Dialect {
    name: "Text Generation Inference",
    chat_path: Some("/v1/chat/completions"),
    completions_path: Some("/v1/completions"),
    embeddings_path: None,
    models_path: None,
    renamed: &[("max_completion_tokens", "max_tokens")],
    json_schema: JsonSchema::Grammar,
    lowest_temperature: 0.001,
    ..Dialect::OPENAI
};

/// What a server says about its model.
#[derive(Debug, Clone, Deserialize)]
struct Info {
    model_id: String,
    /// The tokens that fit into a prompt and its answer together.
    max_total_tokens: Option<i64>,
}

/// A server, which has one model.
#[derive(Default)]
pub(crate) struct TextGeneration {
    refresh_models: Option<bool>,
    /// How long prompt and answer may be together; asked once.
    most: OnceCell<Option<i64>>,
}

impl TextGeneration {
    pub(crate) fn new(refresh_models: Option<bool>) -> Self {
        Self { refresh_models, most: OnceCell::new() }
    }

    async fn info(&self, upstream: &Connection, call: Call<'_>) -> Result<Info> {
        let text = upstream.ask(call, "/info", LISTING).await?;
        let info: Info =
            serde_json::from_slice(&text).map_err(|error| unclear().caused_by(error))?;
        // Whoever asks first, the answer is for all.
        let _known = self.most.set(info.max_total_tokens);
        Ok(info)
    }

    /// The most tokens that the answer may have; nothing if the server does not tell.
    async fn room(
        &self,
        upstream: &Connection,
        call: Call<'_>,
        body: &Body,
        asked: Option<i64>,
    ) -> Result<Option<i64>> {
        let most = match self.most.get() {
            Some(most) => *most,
            None => self.info(upstream, call).await?.max_total_tokens,
        };
        let Some(most) = most else { return Ok(None) };
        // A token has at least one byte: what surely fits need not be counted.
        let bytes = i64::try_from(body.to_bytes().len()).unwrap_or(i64::MAX);
        if asked.is_some_and(|asked| asked.saturating_add(bytes) < most) {
            return Ok(None);
        }
        let counted = match tokens(upstream, call, body).await {
            // Older servers do not count.
            Err(Error { kind: ErrorKind::Upstream { status: Some(404 | 405) }, .. }) => None,
            counted => counted?,
        };
        Ok(counted.map(|prompt| most - prompt - 1).filter(|room| *room > 0))
    }
}

/// How many tokens the prompt of a chat or a completion has; nothing if it cannot be counted.
async fn tokens(upstream: &Connection, call: Call<'_>, body: &Body) -> Result<Option<i64>> {
    let (path, body) = match body.get("prompt") {
        None => ("/chat_tokenize", body.clone()),
        Some(prompt @ Value::String(_)) => {
            let mut text = Body::default();
            text.insert("inputs".to_owned(), prompt.clone());
            ("/tokenize", text)
        }
        Some(_) => return Ok(None),
    };
    let text = upstream.tell(call, path, &body).await?;
    let counted: Value =
        serde_json::from_slice(&text).map_err(|error| unclear().caused_by(error))?;
    let list = counted.get("tokenize_response").unwrap_or(&counted).as_array();
    Ok(list.and_then(|tokens| i64::try_from(tokens.len()).ok()))
}

fn unclear() -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, format!("{} sent an answer that cannot be understood", DIALECT.name))
}

#[async_trait]
impl Vendor for TextGeneration {
    async fn on_register(&self, upstream: &Connection, model: Model) -> Result<Model> {
        let mut model = llama_models::resolve(model, &[])?;
        let served = self.info(upstream, Call::default()).await?.model_id;
        let id = &model.provider_resource_id;
        if *id != served && llama_models::repository(id) != Some(&served) {
            return Err(Error::invalid(format!(
                "Model {id} is not being served by {}. Available models: {served}",
                DIALECT.name
            )));
        }
        model.provider_resource_id = served;
        Ok(model)
    }

    async fn offered(&self, upstream: &Connection) -> Result<Option<Vec<Model>>> {
        if self.refresh_models == Some(false) {
            return Ok(None);
        }
        let info = self.info(upstream, Call::default()).await?;
        let mut metadata = Map::new();
        if let Some(length) = info.max_total_tokens {
            metadata.insert("context_length".to_owned(), length.into());
        }
        let id = info.model_id;
        Ok(Some(vec![offered_model(id.clone(), id, ModelType::Llm, metadata)]))
    }

    /// Fits the limit of the answer into what the server can hold, which refuses the request else.
    async fn prepare(&self, upstream: &Connection, call: Call<'_>, body: &mut Body) -> Result<()> {
        let limit = |name: &str| body.get(name).and_then(Value::as_i64);
        let asked = limit("max_tokens").or_else(|| limit("max_completion_tokens"));
        if let Some(room) = self.room(upstream, call, body, asked).await?
            && asked.is_none_or(|asked| asked > room)
        {
            body.shift_remove("max_completion_tokens");
            body.insert("max_tokens".to_owned(), room.into());
        }
        Ok(())
    }

    async fn check(&self, upstream: &Connection) -> Result<()> {
        upstream.ask(Call::default(), "/health", LISTING).await.map(drop)
    }
}
