//! Images of a request: those that it names by address are fetched and put into it, and all are
//! checked before an upstream sees them.

use base64::{Engine, engine::general_purpose::STANDARD};
use chaski_api::{Error, Result, openai::ChatRequest};
use chaski_upstream::{Fetched, Http};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The largest image.
const IMAGE_BYTES: usize = 20 * 1024 * 1024;
/// The most bytes of all images that are fetched for one request.
const ALL_BYTES: usize = 64 * 1024 * 1024;
/// The most images of one request that are fetched; each may take its time and its memory.
const MOST_IMAGES: usize = 16;
/// How many are fetched at once.
const AT_ONCE: usize = 4;
/// So much of an image in base64 tells what it is.
const HEAD: usize = 32;

const ACCEPTED: &str = "use a PNG, JPEG, GIF, WebP, BMP, TIFF or AVIF file";

/// Replaces the `http` and `https` addresses of images by `data:` URLs, and checks those that are
/// `data:` URLs already.
///
/// # Errors
/// `InvalidRequest` if an image may not or cannot be fetched, is too large, or is no image.
pub(crate) async fn inline(http: &Http, request: &mut ChatRequest) -> Result<()> {
    if !request.body.may_hold("messages", "image_url") {
        return Ok(());
    }
    let mut urls = Vec::new();
    for url in addresses(request) {
        let url = url.as_str().unwrap_or_default();
        if is_web_address(url) {
            urls.push(url.to_owned());
        } else {
            check(url).map_err(at_fault)?;
        }
    }
    if urls.len() > MOST_IMAGES {
        let count = urls.len();
        let message = format!("{count} images are to be fetched, but {MOST_IMAGES} are allowed");
        return Err(at_fault(Error::invalid(message)));
    }
    let total = AtomicUsize::new(0);
    let fetches: Vec<_> = urls.into_iter().map(|url| fetch(http, url, &total)).collect();
    let images: Vec<String> = stream::iter(fetches).buffered(AT_ONCE).try_collect().await?;
    let slots =
        addresses(request).into_iter().filter(|url| url.as_str().is_some_and(is_web_address));
    for (slot, image) in slots.zip(images) {
        *slot = image.into();
    }
    Ok(())
}

/// Whether a message has an image.
pub(crate) fn any(request: &mut ChatRequest) -> bool {
    request.body.may_hold("messages", "image_url") && !addresses(request).is_empty()
}

/// Takes the images out of messages whose addresses are `data:` URLs. Each becomes a part of the
/// type `image`, which has its number.
///
/// # Errors
/// `InvalidRequest` if a `data:` URL is not in base64.
pub(crate) fn take(messages: &mut [Value]) -> Result<Vec<Arc<[u8]>>> {
    let mut images = Vec::new();
    let parts = messages
        .iter_mut()
        .filter_map(|message| message.get_mut("content")?.as_array_mut())
        .flatten();
    for part in parts {
        let Some(image) = part.get("image_url") else { continue };
        let Some(url) = image.as_str().or_else(|| image["url"].as_str()) else { continue };
        let data = url.trim_start().split_once(";base64,").map(|(_, data)| data.trim_end());
        let bytes = data.and_then(|data| STANDARD.decode(data).ok()).ok_or_else(|| {
            at_fault(Error::invalid("the `data:` URL of an image is not in valid base64"))
        })?;
        *part = json!({ "type": "image", "image": images.len() });
        images.push(bytes.into());
    }
    Ok(images)
}

/// The places in the request that hold the address of an image.
fn addresses(request: &mut ChatRequest) -> Vec<&mut Value> {
    let messages = request.body.get_mut("messages").and_then(Value::as_array_mut);
    let parts = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message.get_mut("content")?.as_array_mut())
        .flatten();
    // Some servers, vLLM among them, take the address without an object around it too.
    let urls = parts.filter_map(|part| {
        let image = part.get_mut("image_url")?;
        if image.is_object() { image.get_mut("url") } else { Some(image) }
    });
    urls.filter(|url| url.is_string()).collect()
}

fn at_fault(error: Error) -> Error {
    error.with_param("messages")
}

fn is_web_address(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default().trim();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Checks an address that is not fetched: it must hold an image.
fn check(url: &str) -> Result<()> {
    let url = url.trim_start();
    let scheme = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if scheme.is_none() {
        return Err(Error::invalid(
            "the address of an image must begin with `https:`, `http:` or `data:`",
        ));
    }
    let data = url.split_once(',').filter(|(head, _)| head.ends_with(";base64"));
    let Some((_, data)) = data else {
        return Err(Error::invalid(
            "the `data:` URL of an image must be in base64: `data:image/png;base64,...`",
        ));
    };
    let head = &data.as_bytes()[..data.len().min(HEAD)];
    let head = &head[..head.len() / 4 * 4];
    let known = STANDARD.decode(head).ok().and_then(|bytes| kind(&bytes));
    if known.is_none() {
        let message = format!("the `data:` URL of an image holds none in base64; {ACCEPTED}");
        return Err(Error::invalid(message));
    }
    if data.len() / 4 * 3 > IMAGE_BYTES {
        let message = format!("an image has more than {IMAGE_BYTES} bytes; send a smaller one");
        return Err(Error::invalid(message));
    }
    Ok(())
}

async fn fetch(http: &Http, url: String, total: &AtomicUsize) -> Result<String> {
    let Fetched { body, .. } = http.fetch_guarded(&url, IMAGE_BYTES).await.map_err(at_fault)?;
    let Some(kind) = kind(&body) else {
        let message = format!("the document that was fetched for an image is none; {ACCEPTED}");
        return Err(at_fault(Error::invalid(message)));
    };
    if total.fetch_add(body.len(), Ordering::Relaxed) + body.len() > ALL_BYTES {
        let message = format!(
            "the images of the request have more than {ALL_BYTES} bytes together; send fewer or \
             smaller ones"
        );
        return Err(at_fault(Error::invalid(message)));
    }
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
