//! Requests: from Anthropic's form to OpenAI's.

use super::turns;
use chaski_api::{
    Error, Reader, Result, Wire,
    anthropic::{
        Effort, MessagesBody, MessagesRequest, MessagesTool, MessagesToolChoice, OutputFormat,
        Thinking,
    },
    openai::{ChatRequest, THINKING},
};
use serde_json::{Map, Value, json};

/// The display of thoughts that are not to be shown.
const OMITTED: &str = "omitted";

/// A request in OpenAI's form.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) chat: ChatRequest,
    pub(super) wanted: Wanted,
}

/// What of the request decides on the form of the answer.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The model, by the name that the request gives it.
    pub(super) model: String,
    /// Whether thoughts are shown.
    pub(super) thinking: bool,
    /// Whether thoughts come that the model wants back.
    pub(super) signed: bool,
    pub(super) stop_sequences: Vec<String>,
}

/// The request in OpenAI's form.
///
/// # Errors
/// `InvalidRequest` with the paths of all that does not have the declared form, or that only
/// models of Anthropic can do.
pub(super) fn translate(request: MessagesRequest) -> Result<Translated> {
    let mut reader = Reader::rooted("body");
    let thinking = request.body.get(THINKING).filter(|thinking| !thinking.is_null()).cloned();
    let body = MessagesBody::read(request.body.into(), &mut reader);
    let translated = body.and_then(|body| read(body, thinking, &mut reader));
    reader.finish(translated).map_err(Error::malformed)
}

fn read(body: MessagesBody, thinking: Option<Value>, reader: &mut Reader) -> Option<Translated> {
    let foreign = |reader: &mut Reader, name: &'static str| {
        let message = "only models of Anthropic can do that; leave it out";
        reader.key(name, |reader| reader.issue::<()>("unsupported", message));
    };
    if body.container.is_some_and(|container| !container.is_null()) {
        foreign(reader, "container");
    }
    if body.mcp_servers.is_some_and(|servers| !servers.is_empty()) {
        foreign(reader, "mcp_servers");
    }
    let messages =
        reader.key("messages", |reader| turns::messages(body.system, body.messages, reader));
    let tools = reader.key("tools", |reader| tools(body.tools.unwrap_or_default(), reader));
    let choice = body.tool_choice.map(|choice| {
        reader.key("tool_choice", |reader| tool_choice(&choice, tools.as_deref()?, reader))
    });

    let mut chat = ChatRequest::new(&body.model, messages?);
    let fields = &mut chat.body;
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    let stream = body.stream == Some(true);
    set("stream", Some(stream.into()));
    set("stream_options", stream.then(|| json!({ "include_usage": true })));
    set("max_tokens", Some(body.max_tokens.0.into()));
    set("temperature", body.temperature.map(Into::into));
    set("top_p", body.top_p.map(Into::into));
    set("top_k", body.top_k.map(|top_k| top_k.0.into()));
    let stop_sequences = body.stop_sequences.unwrap_or_default();
    set("stop", (!stop_sequences.is_empty()).then(|| json!(stop_sequences)));
    set("tools", tools.filter(|tools| !tools.is_empty()).map(Value::Array));
    if let Some(choice) = choice {
        let (choice, one_call) = choice?;
        set("tool_choice", choice);
        set("parallel_tool_calls", one_call.then_some(Value::Bool(false)));
    }
    let output = body.output_config;
    set("reasoning_effort", output.as_ref().and_then(|output| output.effort).map(effort));
    let format = output.and_then(|output| output.format).or(body.output_format);
    set("response_format", format.map(response_format));
    set(THINKING, thinking);
    set("user", body.metadata.and_then(|metadata| metadata.user_id).map(Into::into));

    let display = match body.thinking {
        Some(Thinking::Enabled(enabled)) => Some(enabled.display),
        Some(Thinking::Adaptive(adaptive)) => Some(adaptive.display),
        Some(Thinking::Disabled(_)) | None => None,
    };
    let signed = display.is_some();
    let thinking = display.is_some_and(|display| display.as_deref() != Some(OMITTED));
    Some(Translated {
        chat,
        wanted: Wanted { model: body.model, thinking, signed, stop_sequences },
    })
}

/// The tools as functions.
fn tools(tools: Vec<MessagesTool>, reader: &mut Reader) -> Option<Vec<Value>> {
    let mark = reader.mark();
    let functions: Vec<Value> = tools
        .into_iter()
        .enumerate()
        .filter_map(|(index, tool)| reader.index(index, |reader| function(tool, reader)))
        .collect();
    (!reader.failed_since(mark)).then_some(functions)
}

fn function(tool: MessagesTool, reader: &mut Reader) -> Option<Value> {
    if let Some(kind) = tool.kind.filter(|kind| kind != "custom") {
        let message = format!(
            "`{kind}` is a tool that only models of Anthropic know; describe a tool with `name` and \
             `input_schema`"
        );
        return reader.key("type", |reader| reader.issue("unsupported", message));
    }
    let Some(schema) = tool.input_schema else {
        return reader.key("input_schema", |reader| reader.issue("missing", "Field required"));
    };
    let mut function = Map::new();
    function.insert("name".to_owned(), tool.name.into());
    if let Some(description) = tool.description {
        function.insert("description".to_owned(), description.into());
    }
    function.insert("parameters".to_owned(), schema.into());
    if let Some(strict) = tool.strict {
        function.insert("strict".to_owned(), strict.into());
    }
    Some(json!({ "type": "function", "function": function }))
}

/// The choice in OpenAI's form, if there is something to choose from, and whether at most one
/// call may come.
fn tool_choice(
    choice: &MessagesToolChoice,
    tools: &[Value],
    reader: &mut Reader,
) -> Option<(Option<Value>, bool)> {
    let one_call = match choice {
        MessagesToolChoice::Auto(choice) | MessagesToolChoice::Any(choice) => {
            choice.disable_parallel_tool_use
        }
        MessagesToolChoice::Tool(choice) => choice.disable_parallel_tool_use,
        MessagesToolChoice::None(_) => None,
    };
    let choice = match choice {
        MessagesToolChoice::Auto(_) | MessagesToolChoice::None(_) if tools.is_empty() => {
            return Some((None, false));
        }
        MessagesToolChoice::Auto(_) => json!("auto"),
        MessagesToolChoice::None(_) => json!("none"),
        MessagesToolChoice::Any(_) if tools.is_empty() => {
            return reader.issue("no_tools", "a tool is to be called, but `tools` offers none");
        }
        MessagesToolChoice::Any(_) => json!("required"),
        MessagesToolChoice::Tool(named) => {
            let name = &named.name;
            if !tools.iter().any(|tool| tool["function"]["name"] == name.as_str()) {
                let message = format!("the tool `{name}` is to be called, but `tools` has none");
                return reader.issue("no_such_tool", message);
            }
            json!({ "type": "function", "function": { "name": name } })
        }
    };
    Some((Some(choice), one_call == Some(true)))
}

/// OpenAI's word for it.
fn effort(effort: Effort) -> Value {
    match effort {
        Effort::Low | Effort::Medium | Effort::High | Effort::XHigh => effort.as_str(),
        Effort::Max => "xhigh",
    }
    .into()
}

fn response_format(format: OutputFormat) -> Value {
    let OutputFormat::JsonSchema(output) = format;
    json!({
        "type": "json_schema",
        "json_schema": { "name": "answer", "schema": output.schema },
    })
}
