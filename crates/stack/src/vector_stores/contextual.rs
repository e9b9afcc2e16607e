//! Contextual chunking: a sentence of a model before each chunk says where it belongs.

use super::VectorStores;
use chaski_api::{
    Error, Result,
    models::ModelType,
    openai::{Body, ChatRequest, ContextualSettings},
};
use chaski_documents::Chunk;
use chaski_provider::{Context, Reply};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use std::{ops::Range, sync::Arc};

/// What stands for the texts in a prompt.
const DOCUMENT: &str = "{{WHOLE_DOCUMENT}}";
const CHUNK: &str = "{{CHUNK_CONTENT}}";

/// The most of a document that a model is shown, in bytes; of a longer one, what is around the chunk.
const SHOWN: usize = 24 * 1024;
/// The most tokens of an answer.
const ANSWER: i64 = 120;

const PROMPT: &str = "Here is a document:\n<document>\n{{WHOLE_DOCUMENT}}\n</document>\n\nHere is a \
                      piece of it:\n<piece>\n{{CHUNK_CONTENT}}\n</piece>\n\nSay in one or two short \
                      sentences what the piece is about and where in the document it belongs, so \
                      that it is found by a search. Answer with these sentences only.";

/// The sentences of the chunks in `range`, in their order.
pub(super) async fn sentences(
    stores: &VectorStores,
    cx: &Context,
    settings: &ContextualSettings,
    pieces: &Arc<[Chunk]>,
    range: Range<usize>,
) -> Result<Vec<String>> {
    let model = chat_model(stores, settings.model_id.as_deref())?;
    let at_once = usize::try_from(settings.max_concurrency.0).unwrap_or(1);
    let prompt = settings.context_prompt.as_deref().unwrap_or(PROMPT);
    stream::iter(range)
        .map(|index| {
            let text = filled(prompt, &around(pieces, index), &pieces[index].text);
            ask(stores, cx, &model, text, ANSWER)
        })
        .buffered(at_once)
        .try_collect()
        .await
}

/// The model that is named, or the first that chats.
pub(super) fn chat_model(stores: &VectorStores, named: Option<&str>) -> Result<String> {
    if let Some(model) = named {
        return Ok(model.to_owned());
    }
    let mut models = stores.0.models.list().into_iter();
    let first = models.find(|model| model.model_type == ModelType::Llm);
    first
        .map(|model| model.identifier)
        .ok_or_else(|| Error::invalid("there is no chat model for this; register one"))
}

/// What a model says to a prompt.
pub(super) async fn ask(
    stores: &VectorStores,
    cx: &Context,
    model: &str,
    prompt: String,
    tokens: i64,
) -> Result<String> {
    let mut body = Body::default();
    body.insert("model".to_owned(), model.into());
    body.insert("messages".to_owned(), json!([{ "role": "user", "content": prompt }]));
    body.insert("max_tokens".to_owned(), tokens.into());
    body.insert("temperature".to_owned(), 0.into());
    let answer = match stores.0.inference.chat(cx, ChatRequest { body }).await? {
        Reply::Full(answer) => answer.into_value()?,
        Reply::Stream(_) => return Err(Error::internal("a chat was streamed unasked")),
    };
    let answer = answer.choices.into_iter().next();
    let text = answer.and_then(|choice| choice.message.content).unwrap_or_default();
    Ok(text.trim().to_owned())
}

/// A prompt with the texts in their places. What the texts say is no place.
fn filled(prompt: &str, document: &str, chunk: &str) -> String {
    let mut text = String::with_capacity(prompt.len() + document.len() + chunk.len());
    let mut rest = prompt;
    loop {
        let next = [(DOCUMENT, document), (CHUNK, chunk)]
            .into_iter()
            .filter_map(|(place, inside)| Some((rest.find(place)?, place, inside)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, place, inside)) = next else { break };
        text.push_str(&rest[..at]);
        text.push_str(inside);
        rest = &rest[at + place.len()..];
    }
    text + rest
}

/// The text around a chunk, as much as a model is shown.
fn around(pieces: &[Chunk], index: usize) -> String {
    let (mut first, mut last) = (index, index);
    let mut size = pieces[index].text.len();
    loop {
        let before = first.checked_sub(1).filter(|at| size + pieces[*at].text.len() <= SHOWN);
        if let Some(at) = before {
            size += pieces[at].text.len();
            first = at;
        }
        let after = pieces.get(last + 1).filter(|piece| size + piece.text.len() <= SHOWN);
        if let Some(piece) = after {
            size += piece.text.len();
            last += 1;
        }
        if before.is_none() && after.is_none() {
            break;
        }
    }
    let texts: Vec<&str> = pieces[first..=last].iter().map(|piece| piece.text.as_str()).collect();
    texts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn texts_come_into_their_places_and_make_no_new_ones() {
        let prompt = "{{CHUNK_CONTENT}} of {{WHOLE_DOCUMENT}}, {{CHUNK_CONTENT}}!";
        assert_eq!(filled(prompt, "{{CHUNK_CONTENT}}", "a"), "a of {{CHUNK_CONTENT}}, a!");
        assert_eq!(filled("{{ other }} {% x %}", "d", "c"), "{{ other }} {% x %}");
    }
}
