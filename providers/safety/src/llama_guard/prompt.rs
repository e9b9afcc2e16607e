//! What Llama Guard is asked, and how its answer reads, as its model card publishes both.

use super::categories::Category;
use crate::content::{images, words};
use chaski_api::{
    Error, ErrorKind, Result,
    inference::{Message, UrlOrData},
};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What a model said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Safe,
    /// With the codes of the categories, as they came.
    Unsafe(String),
}

/// The messages that are looked at, with the names of their roles: from the first one of the user
/// on.
///
/// # Errors
/// `InvalidRequest` if there are none.
pub(super) fn looked_at(messages: &[Message]) -> Result<Vec<(&'static str, &Message)>> {
    let mut turns: Vec<(&str, &Message)> =
        messages.iter().map(|message| (role(message), message)).collect();
    let Some(first) = turns.first_mut() else {
        return Err(Error::invalid("Messages must not be empty"));
    };
    // The model knows conversations that a user begins; instructions are not judged.
    first.0 = "User";
    if turns.get(1).is_some_and(|(role, _)| *role == "User") {
        turns.remove(0);
    }
    Ok(turns)
}

fn role(message: &Message) -> &'static str {
    match message {
        Message::User(_) => "User",
        Message::System(_) => "System",
        Message::Tool(_) => "Tool",
        Message::Assistant(_) => "Assistant",
    }
}

/// The content of the one message that the model is sent, in OpenAI's form. Images are kept where
/// the model sees them, and are not mentioned where it does not.
pub(super) fn asked(
    turns: &[(&'static str, &Message)],
    categories: &[Category],
    sees_images: bool,
) -> Value {
    let role = turns.last().map_or("User", |(role, _)| *role);
    let mut text = format!(
        "Task: Check if there is unsafe content in '{role}' messages in conversations according \
         our safety policy with the below categories.\n\n<BEGIN UNSAFE CONTENT CATEGORIES>\n"
    );
    for (code, name) in categories {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{code}: {name}.");
    }
    text.push_str("<END UNSAFE CONTENT CATEGORIES>\n\n<BEGIN CONVERSATION>\n\n");
    let shown: Vec<String> =
        turns.iter().map(|(role, message)| format!("{role}: {}", words(message))).collect();
    text.push_str(&shown.join("\n\n"));
    let _ = write!(
        text,
        "\n\n<END CONVERSATION>\n\nProvide your safety assessment for ONLY THE LAST {role} message \
         in the above conversation:\n - First line must read 'safe' or 'unsafe'.\n - If unsafe, a \
         second line must include a comma-separated list of violated categories."
    );
    let pictures: Vec<Value> = turns
        .iter()
        .filter(|_| sees_images)
        .flat_map(|(_, message)| images(message))
        .filter_map(address)
        .map(|url| json!({ "type": "image_url", "image_url": { "url": url } }))
        .collect();
    if pictures.is_empty() {
        return text.into();
    }
    let mut parts = pictures;
    parts.push(json!({ "type": "text", "text": text }));
    parts.into()
}

fn address(image: &UrlOrData) -> Option<String> {
    match image {
        UrlOrData { url: Some(url), .. } => Some(url.uri.clone()),
        UrlOrData { data: Some(data), .. } => Some(format!("data:image/png;base64,{data}")),
        UrlOrData { .. } => None,
    }
}

/// Reads the answer of the model.
///
/// # Errors
/// `Upstream` for an answer that is neither: whoever asked cannot go on.
pub(super) fn read(answer: &str) -> Result<Verdict> {
    let answer = answer.trim();
    match answer.split_once('\n') {
        None if answer == "safe" => Ok(Verdict::Safe),
        Some(("unsafe", codes)) if !codes.trim().is_empty() && !codes.trim().contains('\n') => {
            Ok(Verdict::Unsafe(codes.trim().to_owned()))
        }
        _ => {
            let shown: String = answer.chars().take(200).collect();
            let kind = ErrorKind::Upstream { status: None };
            Err(Error::new(kind, format!("Unexpected response: {shown}")))
        }
    }
}
