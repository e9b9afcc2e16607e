//! What requests of Anthropic's own form name by address, for servers that are to fetch nothing.

use crate::images;
use chaski_api::{Error, Result, openai::Body};
use chaski_upstream::Http;
use serde_json::{Value, json};

/// Replaces the addresses of images by what is there.
///
/// # Errors
/// `InvalidRequest` if an image may not or cannot be fetched, is too large, or is no image, and for
/// documents at addresses.
pub(super) async fn inline(http: &Http, body: &mut Body) -> Result<()> {
    if !body.may_hold("messages", "url") {
        return Ok(());
    }
    let mut urls = Vec::new();
    for Source { source, is_image } in sources(body) {
        if !is_image {
            let message = "documents at addresses are only for Anthropic's own service; send the \
                           document itself";
            return Err(Error::invalid(message).with_param("messages"));
        }
        urls.push(source["url"].as_str().unwrap_or_default().to_owned());
    }
    let images = images::fetched(http, urls).await?;
    for (Source { source, .. }, image) in sources(body).into_iter().zip(images) {
        *source = json!({
            "type": "base64", "media_type": image.media_type, "data": image.data,
        });
    }
    Ok(())
}

/// Where something is that a request names by its address.
struct Source<'a> {
    source: &'a mut Value,
    /// Whether it is that of an image in place of a document.
    is_image: bool,
}

/// All in a request.
fn sources(body: &mut Body) -> Vec<Source<'_>> {
    let mut found = Vec::new();
    let messages = body.get_mut("messages").and_then(Value::as_array_mut);
    for message in messages.into_iter().flatten() {
        if let Some(content) = message.get_mut("content") {
            add(content, &mut found);
        }
    }
    found
}

/// Those in a list of blocks, and in the lists that these have inside.
fn add<'a>(blocks: &'a mut Value, found: &mut Vec<Source<'a>>) {
    for block in blocks.as_array_mut().into_iter().flatten() {
        let kind = block["type"].as_str().unwrap_or_default();
        let (is_image, is_result) = (kind == "image", kind == "tool_result");
        if is_result {
            if let Some(content) = block.get_mut("content") {
                add(content, found);
            }
        } else if (is_image || kind == "document")
            && let Some(source) = block.get_mut("source")
        {
            if source["type"] == "url" {
                found.push(Source { source, is_image });
            } else if let Some(content) = source.get_mut("content") {
                add(content, found);
            }
        }
    }
}
