//! Content of messages in OpenAI's form.

use chaski_api::{
    Error, Result,
    inference::{
        CompletionMessage, ContentItem, ImageContentItem, InterleavedContent, Message, ToolCall,
        UserMessage,
    },
};
use serde_json::{Value, json};

/// The messages of a chat, each with its content as a list of parts.
pub(super) fn messages(messages: &[Message]) -> Result<Vec<Value>> {
    messages.iter().map(message).collect()
}

fn message(message: &Message) -> Result<Value> {
    Ok(match message {
        Message::User(user) => json!({ "role": "user", "content": user_parts(user)? }),
        Message::System(system) => {
            json!({ "role": "system", "content": parts(&system.content)? })
        }
        Message::Tool(tool) => json!({
            "role": "tool",
            "tool_call_id": tool.call_id,
            "content": parts(&tool.content)?,
        }),
        Message::Assistant(answer) => assistant(answer)?,
    })
}

fn assistant(answer: &CompletionMessage) -> Result<Value> {
    let calls = answer.tool_calls.as_deref().unwrap_or_default();
    if calls.is_empty() {
        return Ok(json!({ "role": "assistant", "content": parts(&answer.content)? }));
    }
    // Beside calls, OpenAI's API has null for "no text" and refuses empty parts.
    let empty = matches!(&answer.content, InterleavedContent::Text(text) if text.is_empty());
    let content = if empty { Value::Null } else { parts(&answer.content)?.into() };
    let calls: Vec<Value> = calls.iter().map(call).collect();
    Ok(json!({ "role": "assistant", "content": content, "tool_calls": calls }))
}

fn call(call: &ToolCall) -> Value {
    json!({
        "id": call.call_id,
        "type": "function",
        "function": {
            "name": call.tool_name,
            "arguments": Value::Object(call.arguments.clone()).to_string(),
        },
    })
}

/// The content, and after an empty line the text that is for the model only.
fn user_parts(user: &UserMessage) -> Result<Vec<Value>> {
    let Some(context) = &user.context else { return parts(&user.content) };
    if let (InterleavedContent::Text(text), InterleavedContent::Text(context)) =
        (&user.content, context)
    {
        return Ok(vec![text_part(&format!("{text}\n\n{context}"))]);
    }
    let mut all = parts(&user.content)?;
    all.push(text_part("\n\n"));
    all.extend(parts(context)?);
    Ok(all)
}

fn parts(content: &InterleavedContent) -> Result<Vec<Value>> {
    match content {
        InterleavedContent::Text(text) => Ok(vec![text_part(text)]),
        InterleavedContent::Item(item) => Ok(vec![part(item)?]),
        InterleavedContent::Items(items) => items.iter().map(part).collect(),
    }
}

fn part(item: &ContentItem) -> Result<Value> {
    match item {
        ContentItem::Text(text) => Ok(text_part(&text.text)),
        ContentItem::Image(image) => {
            Ok(json!({ "type": "image_url", "image_url": { "url": address(image)? } }))
        }
    }
}

fn text_part(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// The address of an image; one given by value becomes a `data:` address.
fn address(item: &ImageContentItem) -> Result<String> {
    if let Some(url) = &item.image.url {
        let known = ["https:", "http:", "data:"];
        let scheme = url.uri.find(':').map_or("", |end| &url.uri[..=end]).to_ascii_lowercase();
        return if known.contains(&scheme.as_str()) {
            Ok(url.uri.clone())
        } else {
            Err(Error::invalid(
                "the address of an image must begin with `https:`, `http:` or `data:`",
            ))
        };
    }
    let Some(data) = &item.image.data else {
        return Err(Error::invalid("an image needs `url` or `data`"));
    };
    let Some(media_type) = media_type(data) else {
        return Err(Error::invalid(
            "`image.data` must be a PNG, JPEG, GIF, WebP or BMP file in base64",
        ));
    };
    Ok(format!("data:{media_type};base64,{data}"))
}

/// What an image file is, from its first bytes in base64.
fn media_type(data: &str) -> Option<&'static str> {
    const SIGNATURES: &[(&str, &str)] = &[
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("Qk", "image/bmp"),
    ];
    SIGNATURES.iter().find(|(start, _)| data.starts_with(start)).map(|(_, name)| *name)
}

/// The text of content for an operation that takes only text; items are joined by spaces.
pub(super) fn plain_text(content: &InterleavedContent, operation: &str) -> Result<String> {
    match content {
        InterleavedContent::Text(text) => Ok(text.clone()),
        InterleavedContent::Item(item) => item_text(item, operation),
        InterleavedContent::Items(items) => {
            let texts: Result<Vec<String>> =
                items.iter().map(|item| item_text(item, operation)).collect();
            Ok(texts?.join(" "))
        }
    }
}

/// The text of an item for an operation that takes only text.
pub(super) fn item_text(item: &ContentItem, operation: &str) -> Result<String> {
    match item {
        ContentItem::Text(text) => Ok(text.text.clone()),
        ContentItem::Image(_) => {
            Err(Error::invalid(format!("{operation} take text only, not images")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;

    fn translated(value: Value) -> Result<Vec<Value>> {
        messages(&Vec::<Message>::from_json(value).expect("the messages are well formed"))
    }

    #[test]
    fn every_content_becomes_a_list_of_parts() {
        let out = translated(json!([
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [
                { "type": "image", "image": { "url": { "uri": "https://a/b.png" } } },
                { "type": "text", "text": "what is it?" },
            ] },
        ]));
        assert_eq!(
            out.unwrap(),
            [
                json!({ "role": "system", "content": [{ "type": "text", "text": "be brief" }] }),
                json!({ "role": "user", "content": [
                    { "type": "image_url", "image_url": { "url": "https://a/b.png" } },
                    { "type": "text", "text": "what is it?" },
                ] }),
            ]
        );
    }

    #[test]
    fn context_follows_the_content_after_an_empty_line() {
        let out = translated(json!([{ "role": "user", "content": "q", "context": "c" }])).unwrap();
        assert_eq!(out[0]["content"], json!([{ "type": "text", "text": "q\n\nc" }]));
        let item = json!({ "type": "text", "text": "q" });
        let out = translated(json!([{ "role": "user", "content": item, "context": "c" }])).unwrap();
        assert_eq!(out[0]["content"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn tool_calls_and_their_answers_keep_their_ids() {
        let out = translated(json!([
            { "role": "assistant", "content": "", "stop_reason": "end_of_turn", "tool_calls": [
                { "call_id": "c1", "tool_name": "add", "arguments": { "a": 1 } },
            ] },
            { "role": "tool", "call_id": "c1", "content": "2" },
        ]))
        .unwrap();
        assert_eq!(
            out[0],
            json!({ "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "add", "arguments": "{\"a\":1}" } },
            ] })
        );
        assert_eq!(
            out[1],
            json!({ "role": "tool", "tool_call_id": "c1", "content": [{ "type": "text", "text": "2" }] })
        );
    }

    #[test]
    fn images_by_value_become_data_addresses_and_files_are_refused() {
        let image = |image: Value| {
            let content = json!({ "type": "image", "image": image });
            translated(json!([{ "role": "user", "content": content }]))
                .map(|out| out[0]["content"][0]["image_url"]["url"].clone())
        };
        assert_eq!(
            image(json!({ "data": "iVBORw0KGgoAAAA" })).unwrap(),
            "data:image/png;base64,iVBORw0KGgoAAAA"
        );
        assert_eq!(
            image(json!({ "data": "iVBORw0KGgoAAAA", "url": { "uri": "http://x/" } })).unwrap(),
            "http://x/"
        );
        for refused in [
            json!({ "data": "AAAA" }),
            json!({}),
            json!({ "url": { "uri": "file:///etc/passwd" } }),
            json!({ "url": { "uri": "no address" } }),
        ] {
            assert!(image(refused.clone()).is_err(), "{refused}");
        }
    }

    #[test]
    fn texts_of_items_are_joined_by_spaces() {
        let content = InterleavedContent::from_json(json!([
            { "type": "text", "text": "a" }, { "type": "text", "text": "b" },
        ]))
        .unwrap();
        assert_eq!(plain_text(&content, "completions").unwrap(), "a b");
    }
}
