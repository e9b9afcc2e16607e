//! Vectors by `InvokeModel`, whose bodies differ by vendor.

use super::{NAME, broken, read};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chaski_api::{
    Error, Result,
    openai::{Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage},
};
use chaski_provider::Context;
use chaski_upstream::aws::Service;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many texts are embedded at once where each needs a call of its own.
const AT_ONCE: usize = 4;
/// The most texts that Cohere's models take in one call.
const COHERE_TEXTS: usize = 96;

/// The vectors of some texts, and the tokens of the texts where they were counted.
struct Vectors {
    vectors: Vec<Vec<f32>>,
    tokens: i64,
}

/// How the models of a vendor are asked for vectors.
struct Family {
    /// What the ids of its models contain.
    part: &'static str,
    /// How many texts fit into one call.
    texts: usize,
    body: fn(&[String], &EmbeddingRequest) -> Value,
    vectors: fn(Value) -> Option<Vectors>,
}

/// The first whose part fits counts.
const FAMILIES: &[Family] = &[
    Family {
        part: "amazon.titan-embed-image",
        texts: 1,
        body: |texts, request| {
            let mut body = json!({ "inputText": texts[0] });
            if let Some(length) = given(request, "dimensions") {
                body["embeddingConfig"] = json!({ "outputEmbeddingLength": length });
            }
            body
        },
        vectors: titan,
    },
    Family {
        part: "amazon.titan-embed",
        texts: 1,
        body: |texts, request| {
            let mut body = json!({ "inputText": texts[0] });
            if let Some(length) = given(request, "dimensions") {
                body["dimensions"] = length.clone();
            }
            body
        },
        vectors: titan,
    },
    Family {
        part: "cohere.embed",
        texts: COHERE_TEXTS,
        body: |texts, request| {
            // Cohere's models must be told what the texts are for.
            let query = given(request, "task_type").is_some_and(|task| task == "query");
            let task = if query { "search_query" } else { "search_document" };
            let mut body = json!({ "texts": texts, "input_type": task });
            if let Some(end) = given(request, "text_truncation").and_then(Value::as_str) {
                body["truncate"] = end.to_ascii_uppercase().into();
            }
            if let Some(length) = given(request, "dimensions") {
                body["output_dimension"] = length.clone();
            }
            body
        },
        vectors: cohere,
    },
];

/// A field of a request; nothing if it is null.
fn given<'a>(request: &'a EmbeddingRequest, name: &str) -> Option<&'a Value> {
    request.body.get(name).filter(|value| !value.is_null())
}

/// One vector (Amazon Titan Embeddings, response).
fn titan(answer: Value) -> Option<Vectors> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        embedding: Vec<f32>,
        #[serde(default)]
        input_text_token_count: i64,
    }
    let answer: Answer = serde_json::from_value(answer).ok()?;
    Some(Vectors { vectors: vec![answer.embedding], tokens: answer.input_text_token_count })
}

/// A vector per text (Cohere Embed, response): a list, or lists by the type of their numbers.
fn cohere(mut answer: Value) -> Option<Vectors> {
    let mut embeddings = answer.get_mut("embeddings")?.take();
    if let Some(floats) = embeddings.get_mut("float") {
        embeddings = floats.take();
    }
    Some(Vectors { vectors: serde_json::from_value(embeddings).ok()?, tokens: 0 })
}

pub(super) async fn embed(
    service: &Service,
    cx: &Context,
    request: &EmbeddingRequest,
) -> Result<EmbeddingList> {
    let model = request.model();
    let family = FAMILIES.iter().find(|family| model.contains(family.part)).ok_or_else(|| {
        let known = "the models of Amazon Titan and of Cohere do, such as \
                     `amazon.titan-embed-text-v2:0`";
        Error::invalid(format!("model `{model}` does not support embeddings at {NAME}; {known}"))
            .with_param("model")
    })?;
    let texts = texts(request.body.get("input"))?;
    let calls: Vec<_> =
        texts.chunks(family.texts).map(|texts| ask(service, cx, family, request, texts)).collect();
    let parts: Vec<Vectors> = stream::iter(calls).buffered(AT_ONCE).try_collect().await?;
    let tokens = parts.iter().map(|part| part.tokens).sum();
    let in_base64 = request.body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let vectors = parts.into_iter().flat_map(|part| part.vectors);
    let data = (0..).zip(vectors).map(|(index, vector)| Embedding {
        object: "embedding".to_owned(),
        index,
        embedding: if in_base64 { base64(&vector).into() } else { json!(vector) },
    });
    Ok(EmbeddingList {
        object: "list".to_owned(),
        data: data.collect(),
        model: model.to_owned(),
        usage: Some(EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens }),
    })
}

async fn ask(
    service: &Service,
    cx: &Context,
    family: &Family,
    request: &EmbeddingRequest,
    texts: &[String],
) -> Result<Vectors> {
    let body = Bytes::from((family.body)(texts, request).to_string());
    let path = ["model", request.model(), "invoke"];
    let (trace, repeats) = (cx.spans.parent(), Some(&cx.repeats));
    let response = service.post(&path, body, cx.deadline, trace, repeats).await?;
    let answer = (family.vectors)(read(response).await?)
        .ok_or_else(|| broken("sent vectors that cannot be understood"))?;
    if answer.vectors.len() != texts.len() {
        let (found, asked) = (answer.vectors.len(), texts.len());
        return Err(broken(&format!("sent {found} vectors for {asked} texts")));
    }
    Ok(answer)
}

fn texts(input: Option<&Value>) -> Result<Vec<String>> {
    let wrong = || {
        Error::invalid(format!("`input` must be a text or a list of texts for {NAME}"))
            .with_param("input")
    };
    let texts = match input {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>().ok_or_else(wrong)?
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            return Err(wrong());
        }
    };
    Ok(texts)
}

/// Little-endian 32-bit floats, as OpenAI writes them.
fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
