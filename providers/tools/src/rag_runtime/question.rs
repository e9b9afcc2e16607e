//! From a question to what is searched for.

use chaski_api::{
    Error, ErrorKind, Result,
    inference::InterleavedContent,
    openai::{Body, ChatRequest},
    retrieval::{LlmQueryGenerator, QueryGenerator},
};
use chaski_provider::{Context, Inference, Reply};
use serde_json::{Value, json};

const NO_IMAGES: &str = "`content` has an image; a question is text";

/// What is searched for.
///
/// # Errors
/// `InvalidRequest` for a question that is no text and a template that does more than it may, and
/// those of the model.
pub(super) async fn searched(
    inference: &dyn Inference,
    cx: &Context,
    question: &InterleavedContent,
    generator: &QueryGenerator,
) -> Result<String> {
    match generator {
        QueryGenerator::Default(joined) => {
            question.texts(&joined.separator).ok_or_else(|| Error::invalid(NO_IMAGES))
        }
        QueryGenerator::Llm(generator) => asked(inference, cx, question, generator).await,
    }
}

async fn asked(
    inference: &dyn Inference,
    cx: &Context,
    question: &InterleavedContent,
    generator: &LlmQueryGenerator,
) -> Result<String> {
    let prompt = filled(&generator.template, &texts(question)?)?;
    let mut body = Body::default();
    body.insert("model".to_owned(), generator.model.clone().into());
    body.insert("messages".to_owned(), json!([{ "role": "user", "content": prompt }]));
    let unclear = |why: &str| {
        let message = format!("the model `{}` made no query: {why}", generator.model);
        Error::new(ErrorKind::Upstream { status: None }, message)
    };
    let Reply::Full(answer) = inference.chat(cx, ChatRequest { body }).await? else {
        return Err(unclear("it answered with a stream"));
    };
    let answer = answer.into_value()?;
    let answer = serde_json::to_value(answer).unwrap_or_default();
    let text = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| unclear("its answer is empty"))
}

/// The texts of a question, one by one.
fn texts(question: &InterleavedContent) -> Result<Vec<String>> {
    let text =
        |content: InterleavedContent| content.texts(" ").ok_or_else(|| Error::invalid(NO_IMAGES));
    match question {
        InterleavedContent::Items(items) => {
            items.iter().map(|item| text(InterleavedContent::Item(item.clone()))).collect()
        }
        InterleavedContent::Text(_) | InterleavedContent::Item(_) => {
            Ok(vec![text(question.clone())?])
        }
    }
}

/// The template with the texts in place of `{{ messages }}`. Nothing in it is run.
fn filled(template: &str, texts: &[String]) -> Result<String> {
    let shown: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    let shown = format!("[{}]", shown.join(", "));
    let mut out = String::with_capacity(template.len() + shown.len());
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let inside = from[2..].split_once("}}").map(|(inside, after)| (inside.trim(), after));
        let Some(("messages", after)) = inside else { return Err(too_much()) };
        out.push_str(&shown);
        rest = after;
    }
    out.push_str(rest);
    // Looked for in the template alone: what is filled in may say whatever it likes.
    if template.contains("{%") {
        return Err(too_much());
    }
    Ok(out)
}

fn too_much() -> Error {
    Error::invalid(
        "`query_config.query_generator_config.template` may have `{{ messages }}` in it and no \
         other expression or statement",
    )
}

/// A text as Python writes it in a list, which is how the templates of the reference see it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            other if other == quote => out.extend(['\\', quote]),
            other => out.push(other),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(template: &str, texts: &[&str]) -> Result<String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        filled(template, &texts)
    }

    #[test]
    fn the_texts_are_filled_in_as_python_shows_them() {
        let filled = of("Rewrite: {{messages}}", &["Which planet do humans live on?"]).unwrap();
        assert_eq!(filled, "Rewrite: ['Which planet do humans live on?']");
        assert_eq!(
            of("{{ messages }}{{messages}}", &["it's", "\"\n"]).unwrap(),
            "[\"it's\", '\"\\n'][\"it's\", '\"\\n']"
        );
        assert_eq!(of("no place", &["x"]).unwrap(), "no place");
    }

    #[test]
    fn a_template_that_does_more_is_refused_and_texts_may_say_anything() {
        for template in
            ["{{ messages[0] }}", "{{ 1 + 1 }}", "{{ messages", "{% for m in messages %}"]
        {
            assert!(of(template, &["x"]).is_err(), "{template}");
        }
        assert_eq!(
            of("{{messages}}", &["{{ 7 * 7 }} {% x %}"]).unwrap(),
            "['{{ 7 * 7 }} {% x %}']"
        );
    }
}
