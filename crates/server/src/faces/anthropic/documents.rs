//! Images, documents and search results as parts of OpenAI's form.

use chaski_api::{
    Reader,
    anthropic::{
        Base64Source, DocumentInput, DocumentPart, DocumentSource, ImageInput, ImageSource,
        SearchResultInput, SearchResultPart, TextOr,
    },
    wire::alternatives,
};
use serde_json::{Value, json};

/// The images that models of Anthropic take.
const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
const DOCUMENTS: &[&str] = &["application/pdf"];

/// A part of a user's turn.
#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    /// A part in OpenAI's form.
    Other(Value),
}

/// The content of a message: a text wherever possible, which every upstream takes.
pub(super) fn content(parts: Vec<Part>) -> Value {
    let texts: Option<Vec<&str>> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Other(_) => None,
        })
        .collect();
    if let Some(texts) = texts {
        return texts.join("\n").into();
    }
    let part = |part| match part {
        Part::Text(text) => json!({ "type": "text", "text": text }),
        Part::Other(part) => part,
    };
    parts.into_iter().map(part).collect()
}

pub(super) fn image(image: ImageInput, reader: &mut Reader) -> Option<Part> {
    let url = match image.source {
        ImageSource::Url(source) => source.url,
        ImageSource::Base64(source) => data_url(&source, IMAGES, reader)?,
    };
    Some(Part::Other(json!({ "type": "image_url", "image_url": { "url": url } })))
}

pub(super) fn document(document: DocumentInput, reader: &mut Reader) -> Vec<Part> {
    let title = document.title.unwrap_or_default();
    let heading = || {
        let lines = [title.as_str(), document.context.as_deref().unwrap_or_default()];
        lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    let text = |text: String| match heading() {
        heading if heading.is_empty() => Part::Text(text),
        heading => Part::Text(format!("{heading}\n{text}")),
    };
    match document.source {
        DocumentSource::Text(source) => vec![text(source.data)],
        DocumentSource::Content(source) => match source.content {
            TextOr::Text(content) => vec![text(content)],
            TextOr::Parts(content) => {
                let heading = Some(heading()).filter(|heading| !heading.is_empty());
                let part = |part| match part {
                    DocumentPart::Text(text) => Some(Part::Text(text.text)),
                    DocumentPart::Image(found) => image(found, reader),
                };
                let content: Vec<Part> = content.into_iter().filter_map(part).collect();
                heading.map(Part::Text).into_iter().chain(content).collect()
            }
        },
        DocumentSource::Base64(source) => {
            let Some(data) = data_url(&source, DOCUMENTS, reader) else { return Vec::new() };
            let name = if title.is_empty() { "document.pdf" } else { &title };
            let file = json!({ "filename": name, "file_data": data });
            vec![Part::Other(json!({ "type": "file", "file": file }))]
        }
        DocumentSource::Url(_) => {
            let message = "documents at addresses are only for models of Anthropic; send the \
                           document itself";
            reader.key("source", |reader| reader.issue::<()>("unsupported", message));
            Vec::new()
        }
    }
}

pub(super) fn search_result(found: SearchResultInput) -> Part {
    let mut lines = vec![found.title, found.source];
    lines.extend(found.content.into_iter().map(|part| {
        let SearchResultPart::Text(text) = part;
        text.text
    }));
    Part::Text(lines.join("\n"))
}

fn data_url(source: &Base64Source, accepted: &[&str], reader: &mut Reader) -> Option<String> {
    let Base64Source { media_type, data } = source;
    if accepted.contains(&media_type.as_str()) {
        return Some(format!("data:{media_type};base64,{data}"));
    }
    let message = format!("Input should be {}", alternatives(accepted));
    reader.key("source", |reader| {
        reader.key("media_type", |reader| reader.issue("literal_error", message))
    })
}
