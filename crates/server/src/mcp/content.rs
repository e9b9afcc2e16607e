//! What tools answer, in MCP's form.

use chaski_api::{
    inference::{ContentItem, InterleavedContent},
    tools::ToolInvocationResult,
};
use serde_json::{Value, json};

/// How files of pictures begin, in base64, and their media types.
const PICTURES: &[(&str, &str)] = &[
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("PHN2Zy", "image/svg+xml"),
];

/// The result of a call.
pub(super) fn result(answered: ToolInvocationResult) -> Value {
    let failed = answered.error_code.is_some_and(|code| code != 0)
        || (answered.error_code.is_none() && answered.error_message.is_some());
    let mut parts = match answered.content {
        InterleavedContent::Text(text) => vec![text_part(&text)],
        InterleavedContent::Item(item) => vec![part(&item)],
        InterleavedContent::Items(items) => items.iter().map(part).collect(),
    };
    if let Some(message) = answered.error_message.filter(|_| failed) {
        let told = parts.iter().any(|part| part["text"] == *message);
        if !told {
            parts.push(text_part(&message));
        }
    }
    let mut result = json!({ "content": parts, "isError": failed });
    let structured = answered.metadata.and_then(|mut known| known.remove("structured_content"));
    if let Some(structured @ Value::Object(_)) = structured {
        result["structuredContent"] = structured;
    }
    result
}

/// The result of a call that failed, for the model to read.
pub(super) fn failure(message: &str) -> Value {
    json!({ "content": [text_part(message)], "isError": true })
}

/// A text as the result of a call, with the same as data.
pub(super) fn told(text: &str, structured: &Value) -> Value {
    json!({ "content": [text_part(text)], "structuredContent": structured, "isError": false })
}

fn text_part(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn part(item: &ContentItem) -> Value {
    match item {
        ContentItem::Text(item) => text_part(&item.text),
        ContentItem::Image(item) => match (&item.image.url, &item.image.data) {
            (None, Some(data)) => {
                let known = PICTURES.iter().find(|(start, _)| data.starts_with(start));
                let media_type = known.map_or("application/octet-stream", |(_, kind)| kind);
                json!({ "type": "image", "data": data, "mimeType": media_type })
            }
            (Some(url), _) => text_part(&format!("[image]({})", url.uri)),
            (None, None) => text_part("[image]"),
        },
    }
}
