//! Moderations: the verdicts of a shield in OpenAI's form.

use chaski_api::{
    Error, Result,
    inference::{
        ContentItem, ImageContentItem, InterleavedContent, Message, TextContentItem, Url,
        UrlOrData, UserMessage,
    },
    openai::{
        ModerationInput, ModerationInputType, ModerationPart, ModerationRequest,
        ModerationResponse, ModerationResult,
    },
    safety::ViolationLevel,
};
use chaski_provider::Context;
use chaski_stack::Stack;
use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

/// The most inputs of a request.
const MOST: usize = 1000;
/// How many are judged at once.
const AT_ONCE: usize = 4;

/// Judges each input with the shield that the request means.
///
/// # Errors
/// `InvalidRequest` without an input or a shield, `NotFound` for one that is not registered, and
/// those of the shield.
pub(crate) async fn moderation(
    stack: &Stack,
    cx: &Context,
    request: ModerationRequest,
) -> Result<ModerationResponse> {
    let safety = stack.config.safety.as_ref();
    let default = safety.and_then(|safety| safety.default_shield_id.as_deref());
    let shield = stack.shields.meant(request.model.as_deref(), default)?;
    let inputs = inputs(request.input)?;
    let shield = shield.as_ref();
    let verdicts = inputs.into_iter().map(|input| judged(stack, cx, shield, input));
    let verdicts: Vec<_> = verdicts.collect();
    let results = stream::iter(verdicts).buffered(AT_ONCE).try_collect().await?;
    let id = format!("modr-{}", Uuid::new_v4().simple());
    Ok(ModerationResponse { id, model: shield.to_owned(), results })
}

fn inputs(input: ModerationInput) -> Result<Vec<InterleavedContent>> {
    let inputs: Vec<InterleavedContent> = match input {
        ModerationInput::Text(text) => vec![text.into()],
        ModerationInput::Texts(texts) => texts.into_iter().map(Into::into).collect(),
        ModerationInput::Parts(parts) => {
            vec![InterleavedContent::Items(parts.into_iter().map(item).collect())]
        }
    };
    let wrong = |message: String| Err(Error::invalid(message).with_param("input"));
    match inputs.len() {
        0 => wrong("`input` is empty; give it a text".to_owned()),
        count if count > MOST => {
            wrong(format!("`input` has {count} texts; send at most {MOST} at once"))
        }
        _ => Ok(inputs),
    }
}

fn item(part: ModerationPart) -> ContentItem {
    match part {
        ModerationPart::Text(part) => ContentItem::Text(TextContentItem { text: part.text }),
        ModerationPart::Image(part) => {
            let url = Some(Url { uri: part.image_url.url });
            ContentItem::Image(ImageContentItem { image: UrlOrData { url, data: None } })
        }
    }
}

/// The kinds of input in a content.
fn kinds(content: &InterleavedContent) -> Vec<ModerationInputType> {
    let (mut text, mut image) = (false, false);
    match content {
        InterleavedContent::Text(_) => text = true,
        InterleavedContent::Item(item) => note(item, &mut text, &mut image),
        InterleavedContent::Items(items) => {
            for item in items {
                note(item, &mut text, &mut image);
            }
        }
    }
    let found = [(text, ModerationInputType::Text), (image, ModerationInputType::Image)];
    found.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind).collect()
}

fn note(item: &ContentItem, text: &mut bool, image: &mut bool) {
    match item {
        ContentItem::Text(_) => *text = true,
        ContentItem::Image(_) => *image = true,
    }
}

async fn judged(
    stack: &Stack,
    cx: &Context,
    shield: &str,
    content: InterleavedContent,
) -> Result<ModerationResult> {
    let kinds = kinds(&content);
    let message = Message::User(UserMessage { content, context: None });
    let verdict = stack.safety.moderate(cx, shield, &[message]).await;
    let (answer, categories) = verdict.map_err(|error| {
        let param =
            error.param.as_deref().map(|param| if param == "shield" { "model" } else { param });
        let param = param.map(str::to_owned);
        Error { param, ..error }
    })?;
    let mut result = ModerationResult::of(&categories, &kinds);
    if let Some(violation) = answer.violation {
        result.flagged = violation.violation_level != ViolationLevel::Info;
        result.user_message = violation.user_message;
        result.metadata = violation.metadata;
    }
    Ok(result)
}
