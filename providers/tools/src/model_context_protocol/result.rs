//! What tools of MCP servers answer, in the terms of Llama Stack.

use chaski_api::{
    inference::{ContentItem, ImageContentItem, InterleavedContent, TextContentItem, UrlOrData},
    tools::ToolInvocationResult,
};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Map, Value};

/// The key of the metadata with the parts that content cannot hold, in MCP's form.
const PARTS: &str = "mcp_content";
/// The key of the metadata with the structured content.
const STRUCTURED: &str = "structured_content";

/// Texts, images and texts of resources become content. Sounds and files are named there, and stand
/// in the metadata.
pub(super) fn invocation(result: CallToolResult) -> ToolInvocationResult {
    let mut metadata = Map::new();
    let mut items = Vec::new();
    let mut parts: Vec<Value> = Vec::new();
    for block in &result.content {
        let (item, complete) = item(block);
        items.push(item);
        if !complete {
            parts.extend(serde_json::to_value(block).ok());
        }
    }
    if !parts.is_empty() {
        metadata.insert(PARTS.to_owned(), parts.into());
    }
    if let Some(structured) = result.structured_content {
        if items.is_empty() {
            items.push(text(structured.to_string()));
        }
        metadata.insert(STRUCTURED.to_owned(), structured);
    }
    let failed = result.is_error.unwrap_or_default();
    let error_message = failed.then(|| {
        let texts: Vec<&str> = items.iter().filter_map(as_text).collect();
        if texts.is_empty() { "the tool failed".to_owned() } else { texts.join("\n") }
    });
    ToolInvocationResult {
        content: content(items),
        error_message,
        error_code: Some(i64::from(failed)),
        metadata: (!metadata.is_empty()).then_some(metadata),
    }
}

/// One text stays a text.
fn content(mut items: Vec<ContentItem>) -> InterleavedContent {
    match (items.pop(), items.is_empty()) {
        (None, _) => InterleavedContent::Text(String::new()),
        (Some(ContentItem::Text(TextContentItem { text })), true) => InterleavedContent::Text(text),
        (Some(item), _) => {
            items.push(item);
            InterleavedContent::Items(items)
        }
    }
}

/// A part as content, and whether nothing of it is lost.
fn item(block: &ContentBlock) -> (ContentItem, bool) {
    match block {
        ContentBlock::Text(part) => (text(part.text.clone()), true),
        ContentBlock::Image(part) => (image(&part.data), true),
        ContentBlock::Audio(part) => (text(format!("[audio, {}]", part.mime_type)), false),
        ContentBlock::Resource(part) => match &part.resource {
            ResourceContents::TextResourceContents { text: words, .. } => {
                (text(words.clone()), false)
            }
            ResourceContents::BlobResourceContents { mime_type, blob, .. }
                if mime_type.as_deref().is_some_and(|kind| kind.starts_with("image/")) =>
            {
                (image(blob), false)
            }
            ResourceContents::BlobResourceContents { uri, mime_type, .. } => {
                let kind = mime_type.as_deref().unwrap_or("unknown type");
                (text(format!("[file {uri}, {kind}]")), false)
            }
            _ => (text("[a resource of an unknown form]"), false),
        },
        ContentBlock::ResourceLink(link) => {
            let title = link.title.as_deref().unwrap_or(&link.name);
            let about = link.description.as_deref().map(|about| format!(": {about}"));
            (text(format!("[{title}]({}){}", link.uri, about.unwrap_or_default())), false)
        }
        _ => (text("[content of an unknown type]"), false),
    }
}

fn text(text: impl Into<String>) -> ContentItem {
    ContentItem::Text(TextContentItem { text: text.into() })
}

fn image(data: &str) -> ContentItem {
    let image = UrlOrData { url: None, data: Some(data.to_owned()) };
    ContentItem::Image(ImageContentItem { image })
}

fn as_text(item: &ContentItem) -> Option<&str> {
    match item {
        ContentItem::Text(item) => Some(&item.text),
        ContentItem::Image(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mapped(result: Value) -> Value {
        let result = serde_json::from_value(result).unwrap();
        serde_json::to_value(invocation(result)).unwrap()
    }

    #[test]
    fn one_text_is_the_content() {
        let result = json!({ "content": [{ "type": "text", "text": "42" }] });
        assert_eq!(
            mapped(result),
            json!({ "content": "42", "error_message": null, "error_code": 0, "metadata": null })
        );
    }

    #[test]
    fn every_kind_of_part_has_its_place() {
        let audio = json!({ "type": "audio", "data": "UklG", "mimeType": "audio/wav" });
        let file =
            json!({ "type": "resource", "resource": { "uri": "file:///a.bin", "blob": "AA==" } });
        let words =
            json!({ "type": "resource", "resource": { "uri": "memo://1", "text": "a memo" } });
        let link = json!({ "type": "resource_link", "uri": "https://a.example/b", "name": "b", "description": "a page" });
        let shown = mapped(json!({
            "content": [
                { "type": "text", "text": "see" },
                { "type": "image", "data": "iVBO", "mimeType": "image/png" },
                audio, file, words, link,
            ],
            "structuredContent": { "degrees": 21 },
        }));
        assert_eq!(
            shown["content"],
            json!([
                { "type": "text", "text": "see" },
                { "type": "image", "image": { "url": null, "data": "iVBO" } },
                { "type": "text", "text": "[audio, audio/wav]" },
                { "type": "text", "text": "[file file:///a.bin, unknown type]" },
                { "type": "text", "text": "a memo" },
                { "type": "text", "text": "[b](https://a.example/b): a page" },
            ])
        );
        assert_eq!(shown["metadata"]["mcp_content"], json!([audio, file, words, link]));
        assert_eq!(shown["metadata"]["structured_content"], json!({ "degrees": 21 }));
    }

    #[test]
    fn structured_content_alone_is_shown_as_json() {
        let shown = mapped(json!({ "content": [], "structuredContent": { "a": 1 } }));
        assert_eq!(shown["content"], r#"{"a":1}"#);
        assert_eq!(mapped(json!({ "content": [] }))["content"], "");
    }

    #[test]
    fn what_a_tool_calls_an_error_is_a_result_with_a_code() {
        let shown =
            mapped(json!({ "content": [{ "type": "text", "text": "no room" }], "isError": true }));
        assert_eq!(shown["content"], "no room");
        assert_eq!((&shown["error_code"], &shown["error_message"]), (&json!(1), &json!("no room")));
        let shown = mapped(json!({ "content": [], "isError": true }));
        assert_eq!(shown["error_message"], "the tool failed");
    }
}
