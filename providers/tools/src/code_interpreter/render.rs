//! What a call brought, as the content that a model is told.

use base64::{Engine, prelude::BASE64_STANDARD};
use chaski_api::{
    inference::{
        ContentItem, ImageContentItem, InterleavedContent, TextContentItem, Url, UrlOrData,
    },
    retrieval::RagSource,
    tools::{ATTACHMENTS, ToolAttachment, ToolInvocationResult},
};
use chaski_provider::{data_url_of, media_type};
use chaski_sandbox::{Outcome, ProducedFile, RETURNED_BYTES, Status};
use serde_json::{Map, Value};

/// Images that are part of the content at most, and bytes of one.
const IMAGES: usize = 4;
const IMAGE_BYTES: usize = 1 << 20;

/// Bytes of a file that is shown as text, and of all of them.
const SHOWN_BYTES: usize = 4096;
const ALL_SHOWN_BYTES: usize = 16384;

/// The first bytes of the image files that models look at, and their media types.
const SIGNATURES: &[(&[u8], &str)] =
    &[(b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif")];

/// How texts begin that readers take for addresses.
const ADDRESSES: &[&str] = &["http:", "https:", "data:", "file:"];

/// The answer: text, followed by images if there are any; the files are its attachments.
pub(super) fn result(outcome: Outcome) -> ToolInvocationResult {
    let text = text(&outcome);
    let images: Vec<ContentItem> = outcome
        .files
        .iter()
        .filter_map(|file| file.content.as_deref())
        .filter(|content| content.len() <= IMAGE_BYTES && image_type(content).is_some())
        .take(IMAGES)
        .map(image)
        .collect();
    let content = if images.is_empty() {
        InterleavedContent::Text(text)
    } else {
        let text = ContentItem::Text(TextContentItem { text });
        InterleavedContent::Items([text].into_iter().chain(images).collect())
    };
    let made: Vec<Value> = outcome
        .files
        .into_iter()
        .filter_map(|file| serde_json::to_value(attachment(file)).ok())
        .collect();
    let metadata =
        (!made.is_empty()).then(|| Map::from_iter([(ATTACHMENTS.to_owned(), Value::Array(made))]));
    ToolInvocationResult { metadata, ..ToolInvocationResult::from(content) }
}

fn image_type(content: &[u8]) -> Option<&'static str> {
    let known = SIGNATURES.iter().find(|(start, _)| content.starts_with(start));
    known.map(|(_, media_type)| *media_type)
}

fn image(content: &[u8]) -> ContentItem {
    let data = Some(BASE64_STANDARD.encode(content));
    ContentItem::Image(ImageContentItem { image: UrlOrData { url: None, data } })
}

/// A file as an attachment: text as text, images as images, all else as a `data:` URL.
fn attachment(file: ProducedFile) -> ToolAttachment {
    let of_image = file.content.as_deref().and_then(image_type);
    let text = file.content.as_deref().and_then(|content| std::str::from_utf8(content).ok());
    let otherwise = if text.is_some() { "text/plain" } else { "application/octet-stream" };
    let mime_type = of_image.or_else(|| media_type(&file.name)).unwrap_or(otherwise);
    let is_plain = |text: &&str| !ADDRESSES.iter().any(|scheme| text.starts_with(scheme));
    let content = match (&file.content, text.filter(is_plain)) {
        (None, _) => None,
        (Some(content), _) if of_image.is_some() => {
            Some(RagSource::Content(InterleavedContent::Item(image(content))))
        }
        (Some(_), Some(text)) => Some(RagSource::Content(text.to_owned().into())),
        (Some(content), None) => Some(RagSource::Url(Url { uri: data_url_of(mime_type, content) })),
    };
    let bytes = i64::try_from(file.bytes).unwrap_or(i64::MAX);
    let mime_type = mime_type.to_owned();
    ToolAttachment { name: file.name, mime_type, bytes, content }
}

fn text(outcome: &Outcome) -> String {
    let status = match outcome.status {
        Status::Completed => "completed",
        Status::Timeout => "timeout",
        Status::Error => "error",
    };
    let mut out = status.to_owned();
    block(&mut out, "stdout", &outcome.stdout.text);
    block(&mut out, "stderr", &outcome.stderr.text);
    let is_left_out = |file: &ProducedFile| file.content.is_none();
    let mut notes = outcome.notes.clone();
    if outcome.files.iter().any(is_left_out) {
        notes.push(format!("of the files of a call, {RETURNED_BYTES} bytes together are returned"));
    }
    block(&mut out, "note", &notes.join("\n"));
    let line = |file: &ProducedFile| {
        let left_out = if is_left_out(file) { ", not returned" } else { "" };
        format!("{} ({} bytes{left_out})", name(file), file.bytes)
    };
    let names: Vec<String> = outcome.files.iter().map(line).collect();
    block(&mut out, "files", &names.join("\n"));
    let mut left = ALL_SHOWN_BYTES;
    for file in &outcome.files {
        let Some(shown) = shown(file).filter(|shown| shown.len() <= left) else { continue };
        left -= shown.len();
        block(&mut out, &format!("file {}", name(file)), shown);
    }
    out
}

/// A part with a name, if it has text.
fn block(out: &mut String, name: &str, text: &str) {
    let text = text.trim_end_matches('\n');
    if !text.is_empty() {
        let end = name.split(' ').next().unwrap_or(name);
        out.push_str(&["\n[", name, "]\n", text, "\n[/", end, "]"].concat());
    }
}

/// The text of a file, if it is short and plain.
fn shown(file: &ProducedFile) -> Option<&str> {
    let content = file.content.as_ref().filter(|content| content.len() <= SHOWN_BYTES)?;
    let text = std::str::from_utf8(content).ok()?;
    let is_plain = |c: char| !c.is_control() || "\n\r\t".contains(c);
    text.chars().all(is_plain).then_some(text)
}

/// A name on one line: the code has chosen it.
fn name(file: &ProducedFile) -> String {
    let odd = |c: char| c.is_control() || c == '[' || c == ']';
    file.name.chars().map(|c| if odd(c) { '_' } else { c }).take(200).collect()
}
