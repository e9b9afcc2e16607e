//! From a chat to a completion of a rendered prompt.

use chaski_api::{
    Error, Result,
    inference::SystemMessageBehavior,
    openai::{ChatRequest, SYSTEM_MESSAGE_BEHAVIOR, TOOL_PROMPT_FORMAT, TextCompletionRequest},
};
use chaski_llama::{
    AnswerForm, Call, Message, Prompt, Style, SystemText, Tool, ToolChoice, ToolFormat, tokens,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A chat as a completion, and how its answer is to be read.
pub(super) struct Rendered {
    pub(super) request: TextCompletionRequest,
    pub(super) reading: Reading,
}

/// How an answer is to be read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// The names of the tools that the model may call.
    pub(super) offered: Vec<String>,
    /// Whether there may be several calls in an answer.
    pub(super) several: bool,
}

/// What a chat has and a completion has not.
const CHAT_ONLY: [&str; 10] = [
    "messages",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_completion_tokens",
    "logprobs",
    "top_logprobs",
    "stop",
    TOOL_PROMPT_FORMAT,
    SYSTEM_MESSAGE_BEHAVIOR,
];

/// The day, as the models were taught to read it.
pub(super) fn today() -> String {
    Timestamp::now().strftime("%d %B %Y").to_string()
}

/// # Errors
/// `InvalidRequest` if a part of the request cannot be a part of a prompt.
pub(super) fn render(request: ChatRequest, max_tokens: i64, today: &str) -> Result<Rendered> {
    let mut body = request.body.into_map();
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let style = Style::for_name(model).ok_or_else(|| {
        Error::invalid(format!(
            "`{model}` is no model of Llama 3 or later, for which `prompt_format: llama` is"
        ))
        .with_param("model")
    })?;
    let messages = body.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let messages: Vec<Message> = messages
        .iter()
        .enumerate()
        .map(|(index, each)| {
            message(each).map_err(|why| wrong(&format!("messages[{index}]"), &why))
        })
        .collect::<Result<_>>()?;
    let (tools, choice) = tools(&body)?;
    let prompt = Prompt {
        tools: &tools,
        choice,
        format: one_of(&body, TOOL_PROMPT_FORMAT, &ToolFormat::ALL, ToolFormat::as_str)?,
        system: system_text(&body)?,
        answer: answer_form(body.get("response_format")),
        ..Prompt::new(style, &messages, today)
    };
    let prompt = prompt.render().map_err(|error| Error::invalid(error.to_string()))?;
    // Upstreams put this token before every prompt themselves.
    let prompt = prompt.strip_prefix(tokens::BEGIN_OF_TEXT).unwrap_or(&prompt).to_owned();
    let stop = stops(body.get("stop"));
    let limit = ["max_completion_tokens", "max_tokens"]
        .iter()
        .find_map(|name| body.get(*name).filter(|limit| !limit.is_null()).cloned());
    let logprobs = body.get("logprobs").and_then(Value::as_bool).unwrap_or_default();
    let logprobs = logprobs.then(|| body.get("top_logprobs").cloned().unwrap_or_else(|| 1.into()));
    let several = body.get("parallel_tool_calls").and_then(Value::as_bool).unwrap_or(true);
    for field in CHAT_ONLY {
        body.shift_remove(field);
    }
    body.insert("prompt".to_owned(), prompt.into());
    body.insert("stop".to_owned(), stop);
    body.insert("max_tokens".to_owned(), limit.unwrap_or_else(|| max_tokens.into()));
    if let Some(logprobs) = logprobs {
        body.insert("logprobs".to_owned(), logprobs);
    }
    let offered = tools.into_iter().map(|tool| tool.name).collect();
    let request = TextCompletionRequest { body: body.into() };
    Ok(Rendered { request, reading: Reading { offered, several } })
}

fn wrong(param: &str, why: &str) -> Error {
    Error::invalid(format!("`{param}`: {why}")).with_param(param)
}

/// The stop texts of the request, and the tokens that end a message.
fn stops(asked: Option<&Value>) -> Value {
    let mut stops = match asked {
        Some(Value::Array(stops)) => stops.clone(),
        Some(stop @ Value::String(_)) => vec![stop.clone()],
        _ => Vec::new(),
    };
    for token in [tokens::END_OF_TURN, tokens::END_OF_MESSAGE] {
        if !stops.iter().any(|stop| stop == token) {
            stops.push(token.into());
        }
    }
    stops.into()
}

fn message(message: &Value) -> Result<Message, String> {
    let text = || content(&message["content"]);
    match message["role"].as_str().unwrap_or_default() {
        "system" | "developer" => Ok(Message::System(text()?)),
        "user" => Ok(Message::User(text()?)),
        "tool" | "function" => Ok(Message::Tool(text()?)),
        "assistant" => {
            let calls = message["tool_calls"].as_array().into_iter().flatten().map(call);
            Ok(Message::Assistant { text: text()?, calls: calls.collect::<Result<_, _>>()? })
        }
        role => Err(format!(
            "the role must be `system`, `developer`, `user`, `assistant` or `tool`, not `{role}`"
        )),
    }
}

/// The text of a message, whose parts are joined by a blank.
fn content(content: &Value) -> Result<String, String> {
    match content {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            let text = |part: &Value| {
                part["text"].as_str().or(part["refusal"].as_str()).map(str::to_owned).ok_or_else(
                    || {
                        let kind = part["type"].as_str().unwrap_or("something else");
                        format!(
                            "a prompt of text cannot hold `{kind}`; use a provider with chats, \
                             without `prompt_format`"
                        )
                    },
                )
            };
            Ok(parts.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(" "))
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err("the content must be a text or a list of parts".to_owned())
        }
    }
}

fn call(call: &Value) -> Result<Call, String> {
    let function = &call["function"];
    let name = function["name"].as_str().ok_or("a tool call has no name")?;
    let arguments = match &function["arguments"] {
        Value::String(text) if text.trim().is_empty() => Some(Map::new()),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Object(arguments) => Some(arguments.clone()),
        Value::Null => Some(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    let arguments = arguments
        .ok_or_else(|| format!("the arguments of the call of `{name}` are no JSON object"))?;
    Ok(Call { name: name.to_owned(), arguments })
}

/// The tools that are offered, and whether one must be called.
fn tools(body: &Map<String, Value>) -> Result<(Vec<Tool>, ToolChoice)> {
    let listed = body.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut tools = Vec::new();
    for (index, tool) in listed.iter().enumerate() {
        let function = &tool["function"];
        let name = function["name"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| {
            wrong(&format!("tools[{index}]"), "a tool needs a function with a name")
        })?;
        tools.push(Tool {
            name: name.to_owned(),
            description: function["description"].as_str().map(str::to_owned),
            parameters: function["parameters"].clone(),
        });
    }
    let choice = match body.get("tool_choice") {
        None | Some(Value::Null) => ToolChoice::Auto,
        Some(Value::String(choice)) => match choice.as_str() {
            "none" => return Ok((Vec::new(), ToolChoice::Auto)),
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            _ => {
                let why =
                    format!("must be `none`, `auto`, `required` or a function, not `{choice}`");
                return Err(wrong("tool_choice", &why));
            }
        },
        Some(choice) => {
            let name = choice["function"]["name"].as_str().unwrap_or_default();
            if !tools.iter().any(|tool| tool.name == name) {
                let why = format!("`{name}` is not among the `tools`");
                return Err(wrong("tool_choice", &why));
            }
            ToolChoice::Named(name.to_owned())
        }
    };
    Ok((tools, choice))
}

fn system_text(body: &Map<String, Value>) -> Result<SystemText> {
    let (all, text) = (SystemMessageBehavior::ALL, SystemMessageBehavior::as_str);
    Ok(match one_of(body, SYSTEM_MESSAGE_BEHAVIOR, all, text)? {
        None | Some(SystemMessageBehavior::Append) => SystemText::Appended,
        Some(SystemMessageBehavior::Replace) => SystemText::Replacing,
    })
}

/// The one of `all` that a field names, if it is set.
fn one_of<T: Copy>(
    body: &Map<String, Value>,
    field: &str,
    all: &[T],
    text: fn(T) -> &'static str,
) -> Result<Option<T>> {
    let Some(asked) = body.get(field).filter(|asked| !asked.is_null()) else { return Ok(None) };
    let found = all.iter().copied().find(|one| asked.as_str() == Some(text(*one)));
    found.map(Some).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|one| format!("`{}`", text(*one))).collect();
        wrong(field, &format!("must be one of {}, not {asked}", names.join(", ")))
    })
}

fn answer_form(format: Option<&Value>) -> AnswerForm {
    let Some(format) = format else { return AnswerForm::Text };
    match format["type"].as_str() {
        Some("json_object") => AnswerForm::Json,
        Some("json_schema") => AnswerForm::Schema(format["json_schema"]["schema"].clone()),
        _ => AnswerForm::Text,
    }
}
