//! Chat templates: from messages and tools to the text that a model was trained on.

use crate::{Error, Function, Result, tools};
use minijinja::{Environment, ErrorKind, Value as Jinja, syntax::SyntaxConfig, value::Serde};
use serde_json::{Map, Value, json};

/// The messages of a chat, in OpenAI's form, with the functions that the model may call.
#[derive(Debug, Clone, Default)]
pub struct Chat {
    /// Objects with `role` and `content`, and where it applies `tool_calls` and `tool_call_id`.
    pub messages: Vec<Value>,
    pub functions: Vec<Function>,
}

/// The chat template of a model.
pub(crate) struct Template {
    environment: Environment<'static>,
    knows_tools: bool,
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
        environment.add_template_owned(NAME, text).map_err(|error| Error::Broken {
            message: format!("the chat template of the model cannot be used: {error}"),
        })?;
        Ok(Self { environment, knows_tools, bos, eos })
    }

    /// The text for the model, up to where its answer begins.
    ///
    /// # Errors
    /// When the messages are not what the template takes.
    pub(crate) fn render(&self, chat: &Chat) -> Result<String> {
        let mut messages =
            chat.messages.iter().map(message).collect::<Result<Vec<Map<String, Value>>>>()?;
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

/// A message with its content as one text, and the arguments of its calls as objects.
fn message(message: &Value) -> Result<Map<String, Value>> {
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
                match (part.as_str(), part["text"].as_str().or(part["refusal"].as_str())) {
                    (Some(text), _) | (None, Some(text)) => texts.push(text),
                    (None, None) => {
                        let kind = part["type"].as_str().unwrap_or("unknown");
                        let kind: String = kind.chars().take(40).collect();
                        return Err(wrong(&format!(
                            "this model reads text only; a content part is of type `{kind}`"
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
        Chat { messages: messages.as_array().unwrap().clone(), functions: Vec::new() }
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
