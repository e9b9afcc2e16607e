//! Chat templates: from messages and tools to the text that a model was trained on.

use crate::{
    Error, Function, Result,
    thoughts::{CLOSE, OPEN},
    tools,
};
use minijinja::{Environment, ErrorKind, Value as Jinja, syntax::SyntaxConfig, value::Serde};
use serde_json::{Map, Value, json};
use std::{collections::HashSet, sync::Arc};

/// The messages of a chat, in OpenAI's form, with the functions that the model may call.
#[derive(Debug, Clone, Default)]
pub struct Chat {
    /// Objects with `role` and `content`, and where it applies `tool_calls` and `tool_call_id`. An
    /// image is a part of `content` of the type `image`, and its `image` is a place in `images`.
    pub messages: Vec<Value>,
    pub functions: Vec<Function>,
    /// The bytes of image files: PNG, JPEG, GIF or WebP.
    pub images: Vec<Arc<[u8]>>,
}

/// A part of a rendered chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// The image of this number.
    Image(usize),
}

/// Characters that stand for images while a template is rendered: those that have no meaning of
/// their own.
const MARKS: std::ops::RangeInclusive<char> = '\u{e000}'..='\u{f8ff}';
/// How many sets of marks are tried: texts can have some of them.
const TRIES: usize = 8;

/// The chat template of a model.
pub(crate) struct Template {
    environment: Environment<'static>,
    knows_tools: bool,
    knows_thoughts: bool,
    /// Whether the content of a message must be a list of parts.
    takes_parts: bool,
    bos: String,
    eos: String,
}

const NAME: &str = "chat";

impl Template {
    /// # Errors
    /// When the text is not a template.
    pub(crate) fn new(text: &str, bos: String, eos: String) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(Error::engine)?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function(
            "raise_exception",
            |text: String| -> Result<Jinja, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
            },
        );
        environment.add_function("strftime_now", |format: String| {
            jiff::Timestamp::now().strftime(&format).to_string()
        });
        // Tags of training frameworks, which say nothing about the text.
        let mut text = text.to_owned();
        for tag in ["generation", "endgeneration"] {
            for (open, close) in [("{%", "%}"), ("{%-", "-%}"), ("{%-", "%}"), ("{%", "-%}")] {
                text = text.replace(&format!("{open} {tag} {close}"), "");
            }
        }
        let knows_tools = text.contains("tools");
        let knows_thoughts = [OPEN, CLOSE].iter().any(|tag| text.contains(tag));
        environment.add_template_owned(NAME, text).map_err(|error| Error::Broken {
            message: format!("the chat template of the model cannot be used: {error}"),
        })?;
        let mut template =
            Self { environment, knows_tools, knows_thoughts, takes_parts: false, bos, eos };
        template.takes_parts = !template.shows_texts() && {
            template.takes_parts = true;
            template.shows_texts()
        };
        Ok(template)
    }

    /// Whether messages of the model may have thoughts in tags.
    pub(crate) fn knows_thoughts(&self) -> bool {
        self.knows_thoughts
    }

    /// Whether the text of a message gets into what is rendered.
    fn shows_texts(&self) -> bool {
        let probe = json!({ "role": "user", "content": "probe" });
        let messages = probe.as_object().cloned().into_iter().collect::<Vec<_>>();
        self.render_messages(&messages, None).is_ok_and(|text| text.contains("probe"))
    }

    /// The text for the model, up to where its answer begins.
    ///
    /// # Errors
    /// When the messages are not what the template takes.
    pub(crate) fn render(&self, chat: &Chat) -> Result<String> {
        self.render_marked(chat, &[])
    }

    /// The same with images: the texts between them, and their numbers.
    ///
    /// What callers write is never taken for an image: a character that is in no message stands for
    /// each, and must be there once when all is rendered.
    ///
    /// # Errors
    /// Also when the template leaves an image out, or shows it twice.
    pub(crate) fn render_with_images(&self, chat: &Chat) -> Result<Vec<Piece>> {
        let written = serde_json::to_string(&chat.messages).map_err(Error::engine)?;
        let taken: HashSet<char> = written.chars().filter(|mark| MARKS.contains(mark)).collect();
        let mut free = MARKS.filter(|mark| !taken.contains(mark));
        let mut counts = Vec::new();
        for _ in 0..TRIES {
            let marks: Vec<char> = free.by_ref().take(chat.images.len()).collect();
            if marks.len() < chat.images.len() {
                break;
            }
            let text = self.render_marked(chat, &marks)?;
            counts = marks.iter().map(|mark| text.matches(*mark).count()).collect();
            if counts.iter().all(|count| *count == 1) {
                return Ok(pieces(&text, &marks));
            }
        }
        let image = counts.iter().position(|count| *count != 1).unwrap_or_default();
        let count = counts.get(image).copied().unwrap_or_default();
        Err(Error::invalid(
            "messages",
            format!("the chat template of this model shows image {image} {count} times, not once"),
        ))
    }

    fn render_marked(&self, chat: &Chat, marks: &[char]) -> Result<String> {
        let mut messages = chat
            .messages
            .iter()
            .map(|given| message(given, marks))
            .collect::<Result<Vec<Map<String, Value>>>>()?;
        if !self.knows_tools {
            messages = messages.into_iter().map(tools::without_tools).collect();
            if !chat.functions.is_empty() {
                add_system(&mut messages, &tools::instructions(&chat.functions));
            }
        }
        let functions = (!chat.functions.is_empty() && self.knows_tools)
            .then(|| chat.functions.iter().map(Function::declaration).collect::<Vec<_>>());
        self.render_messages(&messages, functions.as_deref()).or_else(|error| {
            // Some templates know no system message: its text goes before the first question.
            match system_into_user(messages) {
                Some(messages) => self.render_messages(&messages, functions.as_deref()),
                None => Err(error),
            }
        })
    }

    fn render_messages(
        &self,
        messages: &[Map<String, Value>],
        functions: Option<&[Value]>,
    ) -> Result<String> {
        let template = self.environment.get_template(NAME).map_err(Error::engine)?;
        let mut messages = json!(messages);
        if self.takes_parts {
            for message in messages.as_array_mut().into_iter().flatten() {
                message["content"] = json!([{ "type": "text", "text": message["content"] }]);
            }
        }
        let mut context = json!({
            "messages": messages,
            "add_generation_prompt": true,
            "bos_token": self.bos,
            "eos_token": self.eos,
        });
        // Templates ask whether `tools` is given at all.
        if let Some(functions) = functions {
            context["tools"] = functions.into();
        }
        template.render(Serde(context)).map_err(|error| {
            let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            let text = format!("the messages do not fit the chat template of this model: {why}");
            Error::invalid("messages", text)
        })
    }
}

/// Cuts a rendered chat at the marks of its images.
fn pieces(text: &str, marks: &[char]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut begin = 0;
    for (at, mark) in text.char_indices() {
        if let Some(image) = marks.iter().position(|known| *known == mark) {
            pieces.extend([Piece::Text(text[begin..at].to_owned()), Piece::Image(image)]);
            begin = at + mark.len_utf8();
        }
    }
    pieces.push(Piece::Text(text[begin..].to_owned()));
    pieces
}

/// The mark of the image that a part of a message stands for.
fn mark(part: &Value, marks: &[char]) -> Option<String> {
    let number = part["image"].as_u64().filter(|_| part["type"] == "image")?;
    marks.get(usize::try_from(number).ok()?).map(char::to_string)
}

/// A message with its content as one text, and the arguments of its calls as objects.
fn message(message: &Value, marks: &[char]) -> Result<Map<String, Value>> {
    let wrong = |why: &str| Error::invalid("messages", why);
    let mut message =
        message.as_object().ok_or_else(|| wrong("a message must be an object"))?.clone();
    match message.get("role").and_then(Value::as_str) {
        None => return Err(wrong("a message must have a `role`")),
        // The newer name of `system`.
        Some("developer") => _ = message.insert("role".into(), "system".into()),
        Some("function") => _ = message.insert("role".into(), "tool".into()),
        Some(_) => {}
    }
    let content = match message.get("content") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let mut texts = Vec::new();
            for part in parts {
                if let Some(mark) = mark(part, marks) {
                    texts.push(mark);
                    continue;
                }
                match (part.as_str(), part["text"].as_str().or(part["refusal"].as_str())) {
                    (Some(text), _) | (None, Some(text)) => texts.push(text.to_owned()),
                    (None, None) => {
                        let kind = part["type"].as_str().unwrap_or("unknown");
                        let kind: String = kind.chars().take(40).collect();
                        return Err(wrong(&format!(
                            "this model does not read content parts of type `{kind}`"
                        )));
                    }
                }
            }
            texts.join("\n")
        }
        Some(_) => return Err(wrong("`content` must be a text or a list of parts")),
    };
    message.insert("content".into(), content.into());
    match message.get_mut("tool_calls") {
        Some(Value::Array(calls)) if !calls.is_empty() => {
            for call in calls {
                let arguments = &mut call["function"]["arguments"];
                let parsed = arguments.as_str().and_then(|text| serde_json::from_str(text).ok());
                if let Some(parsed @ Value::Object(_)) = parsed {
                    *arguments = parsed;
                }
            }
        }
        // Templates take an empty list for calls.
        Some(_) => _ = message.remove("tool_calls"),
        None => {}
    }
    Ok(message)
}

fn add_system(messages: &mut Vec<Map<String, Value>>, text: &str) {
    if let Some(first) = messages.first_mut().filter(|first| first["role"] == "system") {
        let before = first["content"].as_str().unwrap_or_default();
        first.insert("content".into(), format!("{before}\n\n{text}").into());
        return;
    }
    let mut message = Map::new();
    message.insert("role".into(), "system".into());
    message.insert("content".into(), text.into());
    messages.insert(0, message);
}

fn system_into_user(mut messages: Vec<Map<String, Value>>) -> Option<Vec<Map<String, Value>>> {
    if messages.first()?["role"] != "system" || messages.get(1)?["role"] != "user" {
        return None;
    }
    let system = messages.remove(0);
    let text = format!(
        "{}\n\n{}",
        system["content"].as_str().unwrap_or_default(),
        messages[0]["content"].as_str().unwrap_or_default()
    );
    messages[0].insert("content".into(), text.into());
    Some(messages)
}

/// JSON as Python writes it, which is what the models have seen: no HTML escapes.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn to_json(value: Jinja, options: minijinja::value::Kwargs) -> Result<Jinja, minijinja::Error> {
    let broken = |error: serde_json::Error| {
        minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())
    };
    let indent: Option<usize> = options.get("indent")?;
    // `ensure_ascii`, `separators` and `sort_keys` are passed by some templates.
    let value = serde_json::to_value(&value).map_err(broken)?;
    let text = match indent {
        Some(_) => serde_json::to_string_pretty(&value).map_err(broken)?,
        None => tools::python_json(&value),
    };
    Ok(Jinja::from_safe_string(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}{{ '<|' + message.role + '|>' + message.content.strip() + '\n' }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

    fn template(text: &str) -> Template {
        Template::new(text, "<s>".into(), "</s>".into()).unwrap()
    }

    fn chat(messages: &Value) -> Chat {
        Chat { messages: messages.as_array().unwrap().clone(), ..Chat::default() }
    }

    fn weather() -> Function {
        Function {
            name: "weather".into(),
            description: Some("the <weather>".into()),
            parameters: json!({ "type": "object" }),
        }
    }

    #[test]
    fn messages_are_rendered_with_python_methods_and_parts_become_text() {
        let text = template(CHATML).render(&chat(&json!([
            { "role": "developer", "content": " Be brief. " },
            { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
            { "role": "assistant", "content": null },
        ])));
        assert_eq!(
            text.unwrap(),
            "<|system|>Be brief.\n<|user|>a\nb\n<|assistant|>\n<|assistant|>"
        );
    }

    #[test]
    fn tools_go_to_a_template_that_knows_them_as_python_writes_json() {
        let template = template("{% if tools %}{{ tools[0] | tojson }}{% endif %}");
        let chat = Chat { functions: vec![weather()], ..Chat::default() };
        assert_eq!(
            template.render(&chat).unwrap(),
            r#"{"type": "function", "function": {"name": "weather", "description": "the <weather>", "parameters": {"type": "object"}}}"#
        );
    }

    #[test]
    fn a_template_without_tools_gets_them_described_and_calls_as_text() {
        let mut chat = chat(&json!([
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": "", "tool_calls": [
                { "id": "1", "type": "function", "function": { "name": "weather", "arguments": "{\"a\":1}" } }
            ] },
            { "role": "tool", "tool_call_id": "1", "content": "sunny" },
        ]));
        chat.functions.push(weather());
        let text = template(CHATML).render(&chat).unwrap();
        assert!(text.starts_with("<|system|>"), "{text}");
        assert!(text.contains(r#"{"name": "weather", "arguments": {"a": 1}}"#), "{text}");
        assert!(text.contains("<|user|><tool_response>\nsunny"), "{text}");
    }

    #[test]
    fn a_template_without_system_messages_gets_the_text_with_the_question() {
        let template = template(
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}",
        );
        let chat = chat(&json!([
            { "role": "system", "content": "Be brief." }, { "role": "user", "content": "hi" }
        ]));
        assert_eq!(template.render(&chat).unwrap(), "Be brief.\n\nhi");
    }

    #[test]
    fn what_a_template_refuses_is_an_error_about_the_messages() {
        let template = template("{{ raise_exception('roles must alternate') }}");
        let error = template.render(&chat(&json!([{ "role": "user", "content": "x" }])));
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Invalid { param: Some("messages"), .. }));
        assert!(error.to_string().ends_with(": roles must alternate"), "{error}");
    }

    fn image(number: usize) -> Value {
        json!({ "type": "image", "image": number })
    }

    fn seen(template: &Template, messages: &Value, images: usize) -> Result<Vec<Piece>> {
        let bytes: Arc<[u8]> = Arc::from(&b""[..]);
        template.render_with_images(&Chat { images: vec![bytes; images], ..chat(messages) })
    }

    #[test]
    fn images_stand_where_their_parts_are() {
        let pieces = seen(
            &template(CHATML),
            &json!([
                { "role": "user", "content": [image(0), { "type": "text", "text": "what?" }] },
                { "role": "user", "content": ["and", image(1)] },
            ]),
            2,
        );
        let text = |text: &str| Piece::Text(text.to_owned());
        let expected = [
            text("<|user|>"),
            Piece::Image(0),
            text("\nwhat?\n<|user|>and\n"),
            Piece::Image(1),
            text("\n<|assistant|>"),
        ];
        assert_eq!(pieces.unwrap(), expected);
    }

    #[test]
    fn a_template_that_takes_parts_only_gets_them() {
        let parts = "{% for message in messages %}{% for part in message.content %}{% if part.type == 'text' %}{{ '[' + part.text + ']' }}{% endif %}{% endfor %}{% endfor %}";
        let template = template(parts);
        let messages = json!([{ "role": "user", "content": ["a", image(0), "b"] }]);
        let pieces = seen(&template, &messages, 1).unwrap();
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(pieces, [text("[a\n"), Piece::Image(0), text("\nb]")]);
        let plain = chat(&json!([{ "role": "user", "content": "only text" }]));
        assert_eq!(template.render(&plain).unwrap(), "[only text]");
    }

    #[test]
    fn a_template_that_loses_or_repeats_an_image_is_an_error() {
        let messages = json!([{ "role": "user", "content": [image(0)] }]);
        for (text, count) in [
            ("{{ messages[0].role }}", 0),
            ("{% for i in [1, 2] %}{{ messages[0].content }}{% endfor %}", 2),
        ] {
            let why = seen(&template(text), &messages, 1).unwrap_err().to_string();
            assert!(why.ends_with(&format!("shows image 0 {count} times, not once")), "{why}");
        }
    }

    /// Whatever callers write, also the characters that stand for images, comes out as it went in.
    #[test]
    fn no_text_is_taken_for_an_image() {
        let alphabet = [
            "\u{e000}",
            "\u{e001}",
            "\u{f8ff}",
            "\\ue000",
            "<__media__>",
            "<image>",
            "x",
            "\u{e002}",
        ];
        let mut state = 1_u64;
        let mut random = move |most: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % most
        };
        for _ in 0..300 {
            let images = random(4);
            let mut parts = Vec::new();
            let mut expected = String::from("<|user|>");
            for number in 0..images {
                let text: String =
                    (0..=random(6)).map(|_| alphabet[random(alphabet.len())]).collect();
                expected = format!("{expected}{text}\n#{number}#\n");
                parts.extend([json!({ "type": "text", "text": text }), image(number)]);
            }
            parts.push("end".into());
            expected.push_str("end\n<|assistant|>");
            let call =
                json!({ "function": { "name": "f", "arguments": r#"{"a":"\ue000\ue001"}"# } });
            let messages = json!([{ "role": "user", "content": parts, "tool_calls": [call] }]);
            let text: String = seen(&template(CHATML), &messages, images)
                .unwrap()
                .into_iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text,
                    Piece::Image(number) => format!("#{number}#"),
                })
                .collect();
            assert!(text.ends_with("<|assistant|>"), "{text}");
            let begin = text.split("<tool_call>").next().unwrap();
            let wanted = expected.split("end\n").next().unwrap();
            assert!(begin.starts_with(wanted), "{begin:?} {wanted:?}");
        }
    }

    #[test]
    fn images_are_refused_by_a_model_that_reads_text() {
        let error = template(CHATML).render(&chat(&json!([
            { "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "x" } }] }
        ])));
        assert!(error.unwrap_err().to_string().contains("of type `image_url`"));
    }

    #[test]
    fn the_date_can_be_asked_for() {
        let text = template("{{ strftime_now('%Y') }}").render(&Chat::default()).unwrap();
        assert_eq!(text.len(), 4);
    }
}
