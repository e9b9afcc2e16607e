//! From OpenAI's request bodies to what the engine is asked for.

use crate::{head::usage_wanted, images, local::inputs};
use chaski_api::{
    Error, Result,
    openai::{ChatRequest, TextCompletionRequest},
};
use chaski_llm::{self as llm, Constraint, Function, Prompt, Sampling};
use serde_json::{Map, Value};
use std::sync::Arc;

type Body = Map<String, Value>;

/// A chat, read.
pub(super) struct Chat {
    pub(super) model: String,
    pub(super) request: llm::Request,
    /// The functions that may be called.
    pub(super) functions: Vec<Function>,
    pub(super) several_calls: bool,
    pub(super) stream: bool,
    pub(super) usage_event: bool,
}

/// A completion, read: one request per prompt.
pub(super) struct Completion {
    pub(super) model: String,
    pub(super) requests: Vec<llm::Request>,
    pub(super) echo: bool,
    pub(super) choices: u32,
    pub(super) stream: bool,
    pub(super) usage_event: bool,
}

impl Chat {
    pub(super) fn read(caller: Arc<str>, request: ChatRequest) -> Result<Self> {
        let (model, stream) = (request.model().to_owned(), request.stream());
        let mut body = request.body.into_map();
        let mut messages = match body.remove("messages") {
            Some(Value::Array(messages)) if !messages.is_empty() => messages,
            _ => return Err(wrong("messages", "`messages` must be a list with a message")),
        };
        let mut functions = functions(&body)?;
        let mut constraint = constraint(&body)?;
        match choice(&body, &functions)? {
            Choice::Free => {}
            Choice::Nothing => functions.clear(),
            Choice::Forced(forced) => constraint = Constraint::Call(forced),
        }
        let logprobs = body.get("logprobs").and_then(Value::as_bool).unwrap_or_default();
        let images = images::take(&mut messages)?;
        let chat = llm::Chat { messages, functions: functions.clone(), images };
        let request = llm::Request {
            logprobs: logprobs.then(|| count(&body, "top_logprobs").unwrap_or(0)),
            constraint,
            caller,
            ..common(&body, Prompt::Chat(chat))?
        };
        let several_calls =
            body.get("parallel_tool_calls").and_then(Value::as_bool).unwrap_or(true);
        let usage_event = usage_wanted(body.get("stream_options"));
        Ok(Self { model, request, functions, several_calls, stream, usage_event })
    }
}

impl Completion {
    pub(super) fn read(caller: &Arc<str>, request: TextCompletionRequest) -> Result<Self> {
        let (model, stream) = (request.model().to_owned(), request.stream());
        let body = request.body.into_map();
        if body.get("suffix").and_then(Value::as_str).is_some_and(|text| !text.is_empty()) {
            return Err(wrong("suffix", "this provider does not fill in text before a `suffix`"));
        }
        let choices = count(&body, "n").unwrap_or(1);
        if count(&body, "best_of").is_some_and(|best_of| best_of > choices) {
            return Err(wrong(
                "best_of",
                "this provider answers all it generates: `best_of` must not be larger than `n`",
            ));
        }
        let prompts = inputs(
            body.get("prompt"),
            "prompt",
            |text| Prompt::Text(text.to_owned()),
            Prompt::Tokens,
        )?;
        let echo = body.get("echo").and_then(Value::as_bool).unwrap_or_default();
        let logprobs = count(&body, "logprobs");
        let constraint = constraint(&body)?;
        let request = |prompt| -> Result<llm::Request> {
            Ok(llm::Request {
                logprobs,
                prompt_logprobs: echo && logprobs.is_some(),
                constraint: constraint.clone(),
                caller: Arc::clone(caller),
                ..common(&body, prompt)?
            })
        };
        Ok(Self {
            requests: prompts.into_iter().map(request).collect::<Result<_>>()?,
            model,
            echo,
            choices: u32::try_from(choices).unwrap_or(1),
            stream,
            usage_event: usage_wanted(body.get("stream_options")),
        })
    }
}

fn wrong(param: &'static str, why: impl std::fmt::Display) -> Error {
    Error::invalid(why).with_param(param)
}

fn count(body: &Body, field: &str) -> Option<usize> {
    body.get(field).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok())
}

/// What chats and completions have in common.
fn common(body: &Body, prompt: Prompt) -> Result<llm::Request> {
    let stop = match body.get("stop") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) => {
            texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    let choices = count(body, "n").unwrap_or(1).clamp(1, 128);
    Ok(llm::Request {
        sampling: sampling(body)?,
        stop,
        max_tokens: count(body, "max_completion_tokens").or_else(|| count(body, "max_tokens")),
        choices: u32::try_from(choices).unwrap_or(1),
        ..llm::Request::new(prompt)
    })
}

fn sampling(body: &Body) -> Result<Sampling> {
    #[expect(clippy::cast_possible_truncation, reason = "settings need few digits")]
    let number = |field: &str| {
        body.get(field).and_then(Value::as_f64).map(|number| number.clamp(-1e6, 1e6) as f32)
    };
    let limits = ["top_p", "top_k", "min_p"];
    let limited = limits.iter().any(|field| body.get(*field).is_some_and(|value| !value.is_null()));
    let repetition_penalty = number("repetition_penalty").unwrap_or(1.0);
    if repetition_penalty <= 0.0 {
        let text = "`repetition_penalty` must be greater than 0; 1 does nothing";
        return Err(wrong("repetition_penalty", text));
    }
    Ok(Sampling {
        temperature: number("temperature").unwrap_or(0.7),
        top_p: number("top_p").unwrap_or(1.0),
        top_k: count(body, "top_k").unwrap_or(0),
        min_p: number("min_p").unwrap_or(if limited { 0.0 } else { 0.05 }),
        repetition_penalty,
        presence_penalty: number("presence_penalty").unwrap_or(0.0),
        frequency_penalty: number("frequency_penalty").unwrap_or(0.0),
        logit_bias: biases(body)?,
        seed: body.get("seed").and_then(Value::as_i64).map(i64::cast_unsigned),
    })
}

fn biases(body: &Body) -> Result<Vec<(i32, f32)>> {
    let Some(Value::Object(biases)) = body.get("logit_bias") else { return Ok(Vec::new()) };
    let bias = |(id, bias): (&String, &Value)| {
        let id = id.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "the range is small")]
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias))? as f32;
        Some((id, bias))
    };
    biases.iter().map(bias).collect::<Option<_>>().ok_or_else(|| {
        wrong("logit_bias", "`logit_bias` must have token ids and numbers from -100 to 100")
    })
}

fn functions(body: &Body) -> Result<Vec<Function>> {
    let Some(Value::Array(tools)) = body.get("tools") else { return Ok(Vec::new()) };
    let function = |tool: &Value| {
        let function = &tool["function"];
        let name = function["name"].as_str().filter(|name| !name.is_empty())?;
        Some(Function {
            name: name.to_owned(),
            description: function["description"].as_str().map(str::to_owned),
            parameters: function["parameters"].clone(),
        })
    };
    tools.iter().map(function).collect::<Option<_>>().ok_or_else(|| {
        wrong("tools", "each tool must be of the type `function` and have a `function.name`")
    })
}

enum Choice {
    /// The model decides.
    Free,
    /// No function may be called.
    Nothing,
    /// One of these must be called.
    Forced(Vec<Function>),
}

fn choice(body: &Body, functions: &[Function]) -> Result<Choice> {
    let choice = match body.get("tool_choice") {
        None | Some(Value::Null) => return Ok(Choice::Free),
        Some(choice) => choice,
    };
    let named = choice["function"]["name"].as_str().or_else(|| choice["name"].as_str());
    match (choice.as_str(), named) {
        (Some("auto"), _) => Ok(Choice::Free),
        (Some("none"), _) => Ok(Choice::Nothing),
        (Some("required"), _) if functions.is_empty() => {
            Err(wrong("tool_choice", "`tool_choice` is `required` and no tool is offered"))
        }
        (Some("required"), _) => Ok(Choice::Forced(functions.to_vec())),
        (None, Some(name)) => {
            let forced = functions.iter().find(|function| function.name == name);
            let forced = forced.ok_or_else(|| {
                wrong("tool_choice", format!("`tool_choice` names `{name}`, which is not offered"))
            })?;
            Ok(Choice::Forced(vec![forced.clone()]))
        }
        _ => Err(wrong(
            "tool_choice",
            "`tool_choice` must be `auto`, `none`, `required`, or name a function",
        )),
    }
}

fn constraint(body: &Body) -> Result<Constraint> {
    let Some(Value::Object(format)) = body.get("response_format") else {
        return Ok(Constraint::None);
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Constraint::None),
        Some("json_object") => Ok(Constraint::JsonObject),
        Some("json_schema") => {
            let schema = format.get("json_schema").and_then(|outer| outer.get("schema"));
            let schema = schema.filter(|schema| !schema.is_null()).ok_or_else(|| {
                wrong("response_format", "`response_format.json_schema.schema` is missing")
            })?;
            Ok(Constraint::JsonSchema(schema.clone()))
        }
        _ => Err(wrong(
            "response_format",
            "`response_format.type` must be `text`, `json_object` or `json_schema`",
        )),
    }
}
