//! Requests: from OpenAI's form to Anthropic's.

use super::{
    generation::{Generation, Thinks},
    messages::Turns,
    schema::closed,
    tools::{self, wrong},
    upstream_name,
};
use crate::head::usage_wanted;
use chaski_api::{Result, openai::ChatRequest};
use serde_json::{Map, Value, json};

/// The name of the tool that a model must call to answer in a given form.
const ANSWER: &str = "answer";
/// The least tokens of thoughts that Anthropic takes.
const LEAST_BUDGET: i64 = 1024;

/// A request in Anthropic's form.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) body: Map<String, Value>,
    pub(super) form: Form,
}

/// What of the request decides on the form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// Whether the text of the answer is the input of a tool that the model must call.
    pub(super) forced: bool,
    /// Whether a stream ends with the tokens used.
    pub(super) usage_event: bool,
}

/// The request in Anthropic's form; `max_tokens` is the limit where it has none.
///
/// # Errors
/// `InvalidRequest` if Anthropic's form cannot say what is asked for.
pub(super) fn translate(request: ChatRequest, max_tokens: i64) -> Result<Asked> {
    let model = upstream_name(request.model()).to_owned();
    let generation = Generation::of(&model);
    let stream = request.stream();
    let usage_event = usage_wanted(request.body.get("stream_options"));
    let mut given = request.body.into_map();
    given.retain(|_, value| !value.is_null());
    if given.get("n").is_some_and(|count| *count != 1) {
        return Err(wrong("n", "Anthropic gives one answer to a request: `n` must be 1"));
    }
    let Some(Value::Array(messages)) = given.remove("messages") else {
        return Err(wrong("messages", "`messages` must be a list"));
    };
    let mut turns = Turns::read(messages)?;
    let limit = given.get("max_completion_tokens").or_else(|| given.get("max_tokens"));
    let max_tokens = limit.and_then(Value::as_i64).unwrap_or(max_tokens);

    let mut tools = tools::tools(given.remove("tools"), generation)?;
    let choice = if tools.is_empty() {
        None
    } else {
        tools::choice(given.get("tool_choice"), given.get("parallel_tool_calls"))?
    };
    let mut choice = choice;
    let output = match given.get("response_format") {
        None => Output::Free,
        Some(format) => output(format, generation, !tools.is_empty())?,
    };
    let (mut forced, mut output_config) = (false, Map::new());
    match output {
        Output::Free => {}
        Output::Asked => {
            turns.system.push("Answer with one JSON object and nothing else.".to_owned());
        }
        Output::Format(schema) => {
            let format = json!({ "type": "json_schema", "schema": closed(schema) });
            output_config.insert("format".to_owned(), format);
        }
        Output::Tool(schema) => {
            forced = true;
            tools.push(json!({
                "name": ANSWER, "description": "Gives the answer.", "input_schema": schema,
            }));
            choice = Some(json!({ "type": "tool", "name": ANSWER }));
        }
    }

    let forces = choice.as_ref().is_some_and(tools::is_forced);
    let thinking = match given.remove("thinking") {
        Some(thinking) => Some(thinking),
        None if forces => None,
        None => thinking(&given, generation, max_tokens, &turns, &mut output_config),
    };
    if let Some(Value::Object(more)) = given.remove("output_config") {
        output_config.extend(more);
    }

    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    set("model", Some(model.into()));
    set("max_tokens", Some(max_tokens.into()));
    let system = turns.system.join("\n");
    set("system", (!system.is_empty()).then(|| system.into()));
    set("messages", Some(turns.messages.into()));
    set("stream", stream.then_some(Value::Bool(true)));
    // Models that think choose their tokens by themselves.
    let thinks = thinking.as_ref().is_some_and(|thinking| thinking["type"] != "disabled");
    if !thinks {
        let temperature = given.get("temperature").and_then(Value::as_f64);
        set("temperature", temperature.map(|temperature| temperature.min(1.0).into()));
        set("top_k", given.get("top_k").filter(|top_k| is_positive(top_k)).cloned());
        set("top_p", given.get("top_p").cloned());
    }
    set("stop_sequences", given.get("stop").map(stop_sequences));
    set("tools", (!tools.is_empty()).then(|| tools.into()));
    set("tool_choice", choice);
    set("thinking", thinking);
    set("output_config", (!output_config.is_empty()).then(|| output_config.into()));
    set("metadata", given.get("user").map(|user| json!({ "user_id": user })));

    Ok(Asked { body, form: Form { forced, usage_event } })
}

fn is_positive(number: &Value) -> bool {
    number.as_i64().is_some_and(|number| number > 0)
}

fn stop_sequences(stop: &Value) -> Value {
    if stop.is_string() { json!([stop]) } else { stop.clone() }
}

/// How the form of the answer is reached.
enum Output {
    Free,
    /// By asking for it.
    Asked,
    /// By the model's own ability.
    Format(Value),
    /// By a tool that the model must call.
    Tool(Value),
}

fn output(format: &Value, generation: Generation, has_tools: bool) -> Result<Output> {
    let schema = match format["type"].as_str().unwrap_or_default() {
        "text" => return Ok(Output::Free),
        "json_object" if has_tools => return Ok(Output::Asked),
        "json_object" => return Ok(Output::Tool(json!({ "type": "object" }))),
        "json_schema" => &format["json_schema"]["schema"],
        other => {
            return Err(wrong(
                "response_format",
                format!(
                    "`response_format.type` must be `text`, `json_object` or `json_schema`, not \
                     `{other}`"
                ),
            ));
        }
    };
    if !schema.is_object() {
        let message = "`response_format.json_schema.schema` must be a JSON schema";
        return Err(wrong("response_format", message));
    }
    if generation.output_format {
        return Ok(Output::Format(schema.clone()));
    }
    if has_tools {
        let message = "this model cannot keep to a schema and call tools; leave `response_format` \
                       or `tools` out, or use Claude 4.5 or newer";
        return Err(wrong("response_format", message));
    }
    if schema["type"] != "object" {
        let message = "this model keeps only to schemas of objects; wrap the schema in an object";
        return Err(wrong("response_format", message));
    }
    Ok(Output::Tool(schema.clone()))
}

/// How the model is to think for the effort that is asked for; nothing where it cannot.
fn thinking(
    given: &Map<String, Value>,
    generation: Generation,
    max_tokens: i64,
    turns: &Turns,
    output_config: &mut Map<String, Value>,
) -> Option<Value> {
    let (effort, budget) = match given.get("reasoning_effort")?.as_str()? {
        "low" => ("low", 2048),
        "medium" => ("medium", 8192),
        "high" => ("high", 16_384),
        "xhigh" | "max" => ("max", 32_768),
        _ => return None,
    };
    match generation.thinks {
        Thinks::Never => None,
        Thinks::Adaptively => {
            output_config.insert("effort".to_owned(), effort.into());
            Some(json!({ "type": "adaptive" }))
        }
        Thinks::WithBudget => {
            // Half is left for the answer. Between calls, the model wants its signed thoughts back.
            let budget = budget.min(max_tokens / 2);
            let possible = budget >= LEAST_BUDGET && !turns.lacks_thoughts();
            possible.then(|| json!({ "type": "enabled", "budget_tokens": budget }))
        }
    }
}
