//! Images of a request: all are checked before an upstream sees them. Those that it names by address
//! are fetched and put into it, unless the upstream is the service of a vendor, which fetches them.

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
/// So many characters of an address are shown in messages.
const SHOWN: usize = 48;

const ACCEPTED: &str = "use a PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF or HEIC file";

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
    for url in given(request) {
        if is_web_address(url) {
            urls.push(url.to_owned());
        } else {
            holds_image(url).map_err(at_fault)?;
        }
    }
    let images = fetched(http, urls).await?;
    let slots = slots(request).into_iter().filter(|url| url.as_str().is_some_and(is_web_address));
    for (slot, Image { media_type, data }) in slots.zip(images) {
        *slot = format!("data:{media_type};base64,{data}").into();
    }
    Ok(())
}

/// An image that was fetched.
pub(crate) struct Image {
    pub(crate) media_type: String,
    /// The bytes in base64.
    pub(crate) data: String,
}

/// Fetches the images of a request, in this order.
///
/// # Errors
/// `InvalidRequest` if one may not or cannot be fetched, or is no image, or if they are too many or
/// too large.
pub(crate) async fn fetched(http: &Http, urls: Vec<String>) -> Result<Vec<Image>> {
    if urls.len() > MOST_IMAGES {
        let count = urls.len();
        let message = format!("{count} images are to be fetched, but {MOST_IMAGES} are allowed");
        return Err(at_fault(Error::invalid(message)));
    }
    let total = AtomicUsize::new(0);
    let fetches: Vec<_> = urls.into_iter().map(|url| fetch(http, url, &total)).collect();
    stream::iter(fetches).buffered(AT_ONCE).try_collect().await
}

/// Checks the images of a request for an upstream that is sent them as they came and knows itself
/// which kinds it takes: the request is not changed.
///
/// # Errors
/// `InvalidRequest` if an address is none of the web, or a `data:` URL is not in base64 or too large.
pub(crate) fn check(request: &ChatRequest) -> Result<()> {
    if !request.body.may_hold("messages", "image_url") {
        return Ok(());
    }
    let mut urls = given(request).filter(|url| !is_web_address(url));
    urls.try_for_each(|url| holds_base64(url).map_err(at_fault))
}

/// Whether a message has an image.
pub(crate) fn any(request: &ChatRequest) -> bool {
    request.body.may_hold("messages", "image_url") && given(request).next().is_some()
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

/// The addresses of the images in the request.
fn given(request: &ChatRequest) -> impl Iterator<Item = &str> {
    let messages = request.body.get("messages").and_then(Value::as_array);
    let parts = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message.get("content")?.as_array())
        .flatten();
    // Some servers, vLLM among them, take the address without an object around it too.
    parts.filter_map(|part| {
        let image = part.get("image_url")?;
        if image.is_object() { image.get("url")?.as_str() } else { image.as_str() }
    })
}

/// The places of those addresses, in the same order.
fn slots(request: &mut ChatRequest) -> Vec<&mut Value> {
    let messages = request.body.get_mut("messages").and_then(Value::as_array_mut);
    let parts = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message.get_mut("content")?.as_array_mut())
        .flatten();
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

/// The beginning of an address, for messages.
fn shown(url: &str) -> String {
    let mut shown: String = url.chars().take(SHOWN).collect();
    if shown.len() < url.len() {
        shown.push_str("...");
    }
    shown
}

/// What follows the head of a `data:` URL in base64, if it is not too long.
fn data(url: &str) -> Result<&str> {
    let url = url.trim();
    let scheme = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if scheme.is_none() {
        return Err(Error::invalid(format!(
            "the address of an image is `{}`, but it must begin with `https:`, `http:` or `data:`",
            shown(url)
        )));
    }
    let data = url.split_once(',').filter(|(head, _)| head.ends_with(";base64"));
    let Some((_, data)) = data else {
        return Err(Error::invalid(format!(
            "the `data:` URL of an image is `{}`, but it must be in base64: \
             `data:image/png;base64,...`",
            shown(url)
        )));
    };
    if data.len() / 4 * 3 > IMAGE_BYTES {
        let message = format!("an image has more than {IMAGE_BYTES} bytes; send a smaller one");
        return Err(Error::invalid(message));
    }
    Ok(data)
}

/// Checks an address that is not fetched: it must hold an image.
fn holds_image(url: &str) -> Result<()> {
    let head = data(url)?.as_bytes();
    let head = &head[..head.len().min(HEAD)];
    let head = &head[..head.len() / 4 * 4];
    let known = STANDARD.decode(head).ok().and_then(|bytes| kind(&bytes));
    if known.is_none() {
        let shown = shown(url);
        let message = format!("`{shown}` holds no image in base64; {ACCEPTED}");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Checks an address that is not fetched: it must hold something in base64.
fn holds_base64(url: &str) -> Result<()> {
    // Some vendors take a mark behind the data: `#transform=inline` of Fireworks.
    let text = data(url)?.split('#').next().unwrap_or_default();
    let letters = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // One letter alone holds less than a byte.
    if letters.is_empty() || letters.len() % 4 == 1 || !letters.as_bytes().iter().all(is_letter) {
        return Err(Error::invalid(format!(
            "`{}` is not in valid base64; encode the file with the letters, digits, `+` and `/` of \
             RFC 4648",
            shown(url)
        )));
    }
    Ok(())
}

async fn fetch(http: &Http, url: String, total: &AtomicUsize) -> Result<Image> {
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
    Ok(Image { media_type: format!("image/{kind}"), data: STANDARD.encode(&body) })
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
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.first_chunk::<4>()? {
            b"avif" => "avif",
            b"heic" | b"heix" | b"mif1" => "heic",
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
