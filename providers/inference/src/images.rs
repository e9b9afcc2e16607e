//! Images that a request names by address, fetched and put into the request.

use base64::{Engine, engine::general_purpose::STANDARD};
use chaski_api::{Error, Result, openai::ChatRequest};
use chaski_upstream::{Fetched, Http};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

/// The largest image.
const IMAGE_BYTES: usize = 20 * 1024 * 1024;
/// The most images of one request that are fetched; each may take its time and its memory.
const MOST_IMAGES: usize = 16;
/// How many are fetched at once.
const AT_ONCE: usize = 4;

/// Replaces the `http` and `https` addresses of images by `data:` URLs.
///
/// # Errors
/// `InvalidRequest` if an image may not or cannot be fetched, is too large, or is no image.
pub(crate) async fn inline(http: &Http, request: &mut ChatRequest) -> Result<()> {
    if !request.body.may_hold("messages", "image_url") {
        return Ok(());
    }
    let urls: Vec<String> = addresses(request)
        .into_iter()
        .map(|url| url.as_str().unwrap_or_default().to_owned())
        .collect();
    if urls.len() > MOST_IMAGES {
        let count = urls.len();
        let message = format!("{count} images are to be fetched, but {MOST_IMAGES} are allowed");
        return Err(Error::invalid(message).with_param("messages"));
    }
    let fetches: Vec<_> = urls.into_iter().map(|url| fetch(http, url)).collect();
    let images: Vec<String> = stream::iter(fetches).buffered(AT_ONCE).try_collect().await?;
    for (slot, image) in addresses(request).into_iter().zip(images) {
        *slot = image.into();
    }
    Ok(())
}

/// The places in the request that hold the address of an image to be fetched.
fn addresses(request: &mut ChatRequest) -> Vec<&mut Value> {
    let messages = request.body.get_mut("messages").and_then(Value::as_array_mut);
    let parts = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message.get_mut("content")?.as_array_mut())
        .flatten();
    let urls = parts.filter_map(|part| part.get_mut("image_url")?.get_mut("url"));
    urls.filter(|url| url.as_str().is_some_and(is_web_address)).collect()
}

fn is_web_address(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default().trim();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

async fn fetch(http: &Http, url: String) -> Result<String> {
    let at_fault = |error: Error| error.with_param("messages");
    let Fetched { body, .. } = http.fetch_guarded(&url, IMAGE_BYTES).await.map_err(at_fault)?;
    let Some(kind) = kind(&body) else {
        let accepted = "use a PNG, JPEG, GIF, WebP, BMP, TIFF or AVIF file";
        return Err(at_fault(Error::invalid(format!(
            "the document that was fetched for an image is none; {accepted}"
        ))));
    };
    Ok(format!("data:image/{kind};base64,{}", STANDARD.encode(&body)))
}

/// The kind of an image, by its first bytes: what servers say about it is not to be relied on.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xff, 0xd8, 0xff, ..] => "jpeg",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "webp",
        [b'B', b'M', ..] => "bmp",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "tiff",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f', ..] => "avif",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
