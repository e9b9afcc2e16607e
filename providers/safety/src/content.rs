//! What is in messages, for shields that look at texts or images.

use chaski_api::inference::{ContentItem, InterleavedContent, Message, ToolCall, UrlOrData};

fn content(message: &Message) -> &InterleavedContent {
    match message {
        Message::User(message) => &message.content,
        Message::System(message) => &message.content,
        Message::Tool(message) => &message.content,
        Message::Assistant(message) => &message.content,
    }
}

fn items(message: &Message) -> &[ContentItem] {
    match content(message) {
        InterleavedContent::Text(_) => &[],
        InterleavedContent::Item(item) => std::slice::from_ref(item),
        InterleavedContent::Items(items) => items,
    }
}

/// The texts of a message, and the calls of tools in it with their arguments, a line each.
pub(crate) fn words(message: &Message) -> String {
    let mut lines = match content(message) {
        InterleavedContent::Text(text) => text.clone(),
        InterleavedContent::Item(_) | InterleavedContent::Items(_) => {
            let texts = items(message).iter().filter_map(|item| match item {
                ContentItem::Text(text) => Some(text.text.as_str()),
                ContentItem::Image(_) => None,
            });
            texts.collect::<Vec<_>>().join(" ")
        }
    };
    if let Message::Assistant(message) = message {
        for call in message.tool_calls.iter().flatten() {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(&written(call));
        }
    }
    lines
}

fn written(call: &ToolCall) -> String {
    let arguments = serde_json::to_string(&call.arguments).unwrap_or_default();
    format!("{}({arguments})", call.tool_name)
}

/// The images of a message.
pub(crate) fn images(message: &Message) -> impl Iterator<Item = &UrlOrData> {
    items(message).iter().filter_map(|item| match item {
        ContentItem::Image(image) => Some(&image.image),
        ContentItem::Text(_) => None,
    })
}
