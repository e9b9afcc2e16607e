//! Llama Stack's own routes for inference, `/v1/inference/...`, for servers without OpenAI's.

mod answer;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod request;
mod stream;

use super::{NAME, face};
use crate::head::{Head, usage_wanted};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chaski_api::{
    Error, ErrorKind, Result, Secret, Wire,
    inference::EmbeddingsResponse,
    openai::{ChatRequest, Embedding, EmbeddingList, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{ChatReply, Payload, Reply, TextReply};
use chaski_upstream::{Http, Request, Response, Url, openai::Call};
use http::{HeaderValue, header};
use serde_json::{Value, json};

/// The largest answer that is not a stream.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// A server that has Llama Stack's routes only.
#[derive(Clone)]
pub(super) struct Native {
    http: Http,
    base: Url,
    key: Option<Secret>,
}

impl Native {
    pub(super) fn new(http: Http, base: &Url, key: Option<Secret>) -> Self {
        Self { http, base: base.clone(), key }
    }

    /// # Errors
    /// What the server answers, or that it does not; `InvalidRequest` and `Unsupported` for what
    /// its routes have no form for.
    pub(super) async fn chat(&self, call: Call<'_>, request: &ChatRequest) -> Result<ChatReply> {
        let body = request::chat(request)?;
        let response = self.post("/v1/inference/chat-completion", call, &body).await?;
        read_chat(response, request).await
    }

    /// # Errors
    /// As of [`Self::chat`].
    pub(super) async fn completion(
        &self,
        call: Call<'_>,
        request: &TextCompletionRequest,
    ) -> Result<TextReply> {
        let body = request::completion(request)?;
        let response = self.post("/v1/inference/completion", call, &body).await?;
        let head = Head::of_text(request.model());
        if request.stream() {
            let translator =
                stream::Text::new(head, usage_wanted(request.body.get("stream_options")));
            return Ok(Reply::Stream(stream::events(response, translator)?));
        }
        let answer = answer::completion(&head, read(response).await?);
        Ok(Reply::Full(Payload::Value(answer)))
    }

    /// # Errors
    /// As of [`Self::chat`].
    pub(super) async fn embeddings(
        &self,
        call: Call<'_>,
        request: &EmbeddingRequest,
    ) -> Result<EmbeddingList> {
        let body = request::embeddings(request)?;
        let response = self.post("/v1/inference/embeddings", call, &body).await?;
        let answer: EmbeddingsResponse = read(response).await?;
        let in_base64 = request.body.get("encoding_format") == Some(&json!("base64"));
        let data = (0..).zip(answer.embeddings).map(|(index, vector)| Embedding {
            object: "embedding".to_owned(),
            index,
            embedding: if in_base64 { base64(&vector).into() } else { json!(vector) },
        });
        Ok(EmbeddingList {
            object: "list".to_owned(),
            data: data.collect(),
            model: request.model().to_owned(),
            usage: None,
        })
    }

    async fn post(&self, path: &str, call: Call<'_>, body: &Value) -> Result<Response> {
        let request = Request::post(NAME, face::at(&self.base, path))
            .json(Bytes::from(body.to_string()))
            .header(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))
            .retries(self.http.retries())
            .deadline(call.deadline)
            .trace(call.trace)
            .repeats(call.repeats);
        let request = face::equipped(request, self.key.as_ref(), call)?;
        self.http.send(request).await?.success().await
    }
}

/// The answer in a response to this request.
async fn read_chat(response: Response, request: &ChatRequest) -> Result<ChatReply> {
    let head = Head::of_chat(request.model());
    if request.stream() {
        let translator = stream::Chat::new(head, usage_wanted(request.body.get("stream_options")));
        return Ok(Reply::Stream(stream::events(response, translator)?));
    }
    let answer = answer::chat(head, read(response).await?);
    Ok(Reply::Full(Payload::Value(answer)))
}

/// Little-endian 32-bit floats, as OpenAI writes them.
#[expect(clippy::cast_possible_truncation, reason = "OpenAI's form holds 32-bit floats")]
fn base64(vector: &[f64]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

async fn read<T: Wire>(response: Response) -> Result<T> {
    Payload::<T>::Raw(response.bytes(ANSWER_BYTES).await?).into_value().map_err(|error| {
        let source = error.source;
        Error { source, ..broken("sent an answer that cannot be understood") }
    })
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, format!("{NAME} {what}"))
}
