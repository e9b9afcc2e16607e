//! What a call brought, as the content that a model is told.

use base64::{Engine, prelude::BASE64_STANDARD};
use chaski_api::inference::{
    ContentItem, ImageContentItem, InterleavedContent, TextContentItem, UrlOrData,
};
use chaski_sandbox::{Outcome, ProducedFile, Status};

/// Images that are part of the content at most.
const IMAGES: usize = 4;

/// Bytes of a file that is shown as text, and of all of them.
const SHOWN_BYTES: usize = 4096;
const ALL_SHOWN_BYTES: usize = 16384;

/// The first bytes of the image files that models look at.
const SIGNATURES: &[&[u8]] = &[b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8"];

/// The content: text, followed by images if there are any.
pub(super) fn content(outcome: Outcome) -> InterleavedContent {
    let text = text(&outcome);
    let is_image = |content: &Vec<u8>| SIGNATURES.iter().any(|start| content.starts_with(start));
    let files = outcome.files.into_iter().filter_map(|file| file.content);
    let images: Vec<ContentItem> = files
        .filter(is_image)
        .take(IMAGES)
        .map(|content| {
            let data = Some(BASE64_STANDARD.encode(content));
            ContentItem::Image(ImageContentItem { image: UrlOrData { url: None, data } })
        })
        .collect();
    if images.is_empty() {
        return InterleavedContent::Text(text);
    }
    let text = ContentItem::Text(TextContentItem { text });
    InterleavedContent::Items([text].into_iter().chain(images).collect())
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
    block(&mut out, "note", &outcome.notes.join("\n"));
    let names: Vec<String> =
        outcome.files.iter().map(|file| format!("{} ({} bytes)", name(file), file.bytes)).collect();
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
