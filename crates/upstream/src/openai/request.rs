//! From a request of this stack to the body that the upstream is sent.

use super::{Dialect, JsonSchema, Logprobs, Translated};
use chaski_api::openai::{ADDED, Body, THINKING_BLOCKS};
use serde_json::{Value, json};

/// Fits the body to the dialect. `max_tokens` is the limit where the request has none.
pub(super) fn fit(body: &mut Body, dialect: &Dialect, max_tokens: Option<i64>) {
    if let Some(prefix) = dialect.model_prefix
        && let Some(id) = body.get("model").and_then(Value::as_str)
        && let Some(short) = id.strip_prefix(prefix)
    {
        let short = short.into();
        body.insert("model".to_owned(), short);
    }
    leave_out_added(body);
    for field in dialect.left_out {
        body.shift_remove(field);
    }
    for (from, to) in dialect.renamed {
        rename(body, from, to);
    }
    limit_tokens(body, dialect, max_tokens);
    state_schema(body, dialect.json_schema);
    if dialect.logprobs == Logprobs::Count {
        count_logprobs(body);
    }
    if dialect.required_tool != "required"
        && body.get("tool_choice").is_some_and(|choice| choice == "required")
    {
        body.insert("tool_choice".to_owned(), dialect.required_tool.into());
    }
    let lowest = dialect.lowest_temperature;
    if lowest > 0.0
        && body.get("temperature").and_then(Value::as_f64).is_some_and(|given| given < lowest)
    {
        body.insert("temperature".to_owned(), lowest.into());
    }
    extend(body, dialect);
}

/// Leaves out what other faces have added: OpenAI's API knows none of it. What came in OpenAI's form
/// goes on as it came.
fn leave_out_added(body: &mut Body) {
    for field in ADDED {
        if body.text(field).is_none() {
            body.shift_remove(field);
        }
    }
    // To look at messages is to decode them.
    if body.text("messages").is_some() {
        return;
    }
    let thought = |message: &Value| message.get(THINKING_BLOCKS).is_some();
    let messages = body.get("messages").and_then(Value::as_array);
    if !messages.is_some_and(|messages| messages.iter().any(thought)) {
        return;
    }
    let messages = body.get_mut("messages").and_then(Value::as_array_mut);
    for message in messages.into_iter().flatten().filter_map(Value::as_object_mut) {
        message.shift_remove(THINKING_BLOCKS);
    }
}

/// Fits the body of a request for vectors. Llama Stack's `task_type` and `text_truncation` are not
/// part of OpenAI's API: they are translated, or left out.
pub(super) fn fit_embeddings(body: &mut Body, dialect: &Dialect) {
    fit(body, dialect, None);
    translate(body, "task_type", dialect.embedding_task);
    translate(body, "text_truncation", dialect.embedding_truncation);
}

fn translate(body: &mut Body, name: &str, translated: Option<Translated>) {
    let value = body.shift_remove(name);
    if let Some(Translated { field, values }) = translated
        && let Some((_, theirs)) =
            values.iter().find(|(ours, _)| value.as_ref().is_some_and(|value| value == ours))
        && !body.contains_key(field)
    {
        body.insert(field.to_owned(), (*theirs).into());
    }
}

/// Says in the upstream's way which JSON schema the answer is to have.
fn state_schema(body: &mut Body, way: JsonSchema) {
    // Nothing is decoded for the upstreams that take it as it comes.
    if way == JsonSchema::Standard {
        return;
    }
    let format = body.get("response_format");
    if format.and_then(|format| format.get("type")).is_none_or(|kind| kind != "json_schema") {
        return;
    }
    let schema = format.and_then(|format| format.get("json_schema")?.get("schema")).cloned();
    let schema = schema.unwrap_or_else(|| json!({ "type": "object" }));
    match way {
        JsonSchema::Standard => {}
        JsonSchema::InJsonObject => {
            let format = json!({ "type": "json_object", "schema": schema });
            body.insert("response_format".to_owned(), format);
        }
        JsonSchema::Grammar => {
            let format = json!({ "type": "json", "value": schema });
            body.insert("response_format".to_owned(), format);
        }
        JsonSchema::Field(name) => {
            body.shift_remove("response_format");
            body.insert(name.to_owned(), schema);
        }
    }
}

fn count_logprobs(body: &mut Body) {
    let count = body.shift_remove("top_logprobs").filter(|count| !count.is_null());
    match body.get("logprobs") {
        Some(Value::Bool(true)) => {
            body.insert("logprobs".to_owned(), count.unwrap_or_else(|| 1.into()));
        }
        Some(Value::Bool(false)) => {
            body.shift_remove("logprobs");
        }
        _ => {}
    }
}

/// Moves fields into the object in which the upstream takes them.
fn extend(body: &mut Body, dialect: &Dialect) {
    let Some((name, fields)) = dialect.extension else { return };
    for field in fields {
        let Some(value) = body.shift_remove(field) else { continue };
        if !body.contains_key(name) {
            body.insert(name.to_owned(), json!({}));
        }
        if let Some(extension) = body.get_mut(name).and_then(Value::as_object_mut) {
            extension.entry(*field).or_insert(value);
        }
    }
}

fn limit_tokens(body: &mut Body, dialect: &Dialect, max_tokens: Option<i64>) {
    let is_set = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    if let Some(limit) = max_tokens
        && !is_set("max_tokens")
        && !is_set("max_completion_tokens")
    {
        body.insert("max_tokens".to_owned(), limit.into());
    }
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    // Completions know the older name only.
    if body.contains_key("messages")
        && dialect.completion_tokens_models.iter().any(|start| model.starts_with(start))
    {
        rename(body, "max_tokens", "max_completion_tokens");
    }
}

/// Moves a value to the name `to`, unless there is one already.
fn rename(body: &mut Body, from: &str, to: &str) {
    if body.get(to).is_some_and(|value| !value.is_null()) {
        body.shift_remove(from);
    } else if body.contains_key(from) {
        body.shift_remove(to);
        body.rename(from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STRICT: Dialect = Dialect {
        model_prefix: Some("openai/"),
        completion_tokens_models: &["o1", "gpt-5"],
        renamed: &[("repetition_penalty", "repeat_penalty")],
        left_out: &["top_k"],
        ..Dialect::OPENAI
    };

    #[expect(clippy::needless_pass_by_value, reason = "the cases are made by `json!`")]
    fn check(dialect: &Dialect, max_tokens: Option<i64>, body: Value, expected: Value) {
        let mut body = body.as_object().unwrap().clone().into();
        fit(&mut body, dialect, max_tokens);
        assert_eq!(Value::from(body), expected);
    }

    #[test]
    fn a_request_in_the_upstreams_own_dialect_is_not_changed() {
        let body = json!({ "model": "openai/m", "top_k": 3, "unknown": { "a": [1, null] } });
        check(&Dialect::OPENAI, None, body.clone(), body);
    }

    #[test]
    fn what_other_faces_add_is_left_out() {
        let thoughts = json!([{ "type": "thinking", "thinking": "hm", "signature": "s" }]);
        let given = json!({
            "messages": [
                { "role": "assistant", "content": "a", "thinking_blocks": thoughts },
                { "role": "user", "content": "b" },
            ],
            "thinking": { "type": "adaptive" },
            "tool_prompt_format": "json",
            "system_message_behavior": "replace",
        });
        let left = json!({ "messages": [
            { "role": "assistant", "content": "a" }, { "role": "user", "content": "b" },
        ] });
        check(&Dialect::OPENAI, None, given.clone(), left);
        let mut came = Body::scan(&given.to_string().into()).unwrap();
        fit(&mut came, &Dialect::OPENAI, None);
        assert_eq!(Value::from(came), given);
    }

    #[test]
    fn models_lose_the_prefix_that_the_upstream_does_not_know() {
        check(&STRICT, None, json!({ "model": "openai/gpt-4o" }), json!({ "model": "gpt-4o" }));
        check(&STRICT, None, json!({ "model": "gpt-4o" }), json!({ "model": "gpt-4o" }));
    }

    #[test]
    fn a_request_without_a_limit_gets_the_configured_one() {
        let cases = [
            (json!({}), json!({ "max_tokens": 4096 })),
            (json!({ "max_tokens": null }), json!({ "max_tokens": 4096 })),
            (json!({ "max_tokens": 7 }), json!({ "max_tokens": 7 })),
            (json!({ "max_completion_tokens": 7 }), json!({ "max_completion_tokens": 7 })),
        ];
        for (body, expected) in cases {
            check(&Dialect::OPENAI, Some(4096), body, expected);
        }
    }

    #[test]
    fn fields_are_renamed_left_out_and_never_overwritten() {
        check(
            &STRICT,
            None,
            json!({
                "model": "gpt-5-mini", "messages": [], "max_tokens": 7, "top_k": 3,
                "repetition_penalty": 1.1,
            }),
            json!({
                "model": "gpt-5-mini", "messages": [], "repeat_penalty": 1.1,
                "max_completion_tokens": 7,
            }),
        );
        check(
            &STRICT,
            None,
            json!({ "model": "o1", "messages": [], "max_tokens": 7, "max_completion_tokens": 9 }),
            json!({ "model": "o1", "messages": [], "max_completion_tokens": 9 }),
        );
        let completion = json!({ "model": "o1", "prompt": "", "max_tokens": 7 });
        check(&STRICT, None, completion.clone(), completion);
    }

    #[test]
    fn the_schema_of_an_answer_is_stated_in_the_upstreams_way() {
        let schema = json!({ "type": "object", "required": ["a"] });
        let body = json!({ "response_format": {
            "type": "json_schema", "json_schema": { "name": "n", "schema": schema },
        }});
        let dialect = |json_schema| Dialect { json_schema, ..Dialect::OPENAI };
        check(&dialect(JsonSchema::Standard), None, body.clone(), body.clone());
        let object = json!({ "response_format": { "type": "json_object", "schema": schema } });
        check(&dialect(JsonSchema::InJsonObject), None, body.clone(), object);
        let grammar = json!({ "response_format": { "type": "json", "value": schema } });
        check(&dialect(JsonSchema::Grammar), None, body.clone(), grammar);
        let field = json!({ "guided_json": schema });
        check(&dialect(JsonSchema::Field("guided_json")), None, body, field);
        for other in [
            json!({ "response_format": { "type": "json_object" } }),
            json!({ "response_format": null }),
            json!({ "response_format": 7 }),
        ] {
            check(&dialect(JsonSchema::InJsonObject), None, other.clone(), other);
        }
        let without = json!({ "response_format": { "type": "json_schema" } });
        let any = json!({ "guided_json": { "type": "object" } });
        check(&dialect(JsonSchema::Field("guided_json")), None, without, any);
    }

    #[test]
    fn extensions_get_their_fields_after_the_schema_is_one() {
        const NESTED: Dialect = Dialect {
            json_schema: JsonSchema::Field("guided_json"),
            extension: Some(("nvext", &["guided_json", "top_k"])),
            ..Dialect::OPENAI
        };
        let schema = json!({ "type": "object" });
        let format = json!({ "type": "json_schema", "json_schema": { "schema": schema } });
        check(
            &NESTED,
            None,
            json!({ "top_k": 3, "response_format": format, "nvext": { "top_k": 4, "a": 1 } }),
            json!({ "nvext": { "top_k": 4, "a": 1, "guided_json": schema } }),
        );
        check(&NESTED, None, json!({ "top_p": 1 }), json!({ "top_p": 1 }));
    }

    #[test]
    fn log_probabilities_are_asked_for_by_their_number() {
        const COUNTED: Dialect = Dialect { logprobs: Logprobs::Count, ..Dialect::OPENAI };
        for (body, expected) in [
            (json!({ "logprobs": true, "top_logprobs": 3 }), json!({ "logprobs": 3 })),
            (json!({ "logprobs": true }), json!({ "logprobs": 1 })),
            (json!({ "logprobs": false, "top_logprobs": null }), json!({})),
            (json!({ "logprobs": 2 }), json!({ "logprobs": 2 })),
        ] {
            check(&COUNTED, None, body, expected);
        }
    }

    #[test]
    fn temperatures_that_the_upstream_refuses_are_raised() {
        const WARM: Dialect = Dialect { lowest_temperature: 0.001, ..Dialect::OPENAI };
        for (given, sent) in
            [(json!(0), json!(0.001)), (json!(0.5), json!(0.5)), (json!(null), json!(null))]
        {
            check(&WARM, None, json!({ "temperature": given }), json!({ "temperature": sent }));
        }
    }

    #[test]
    fn the_choice_of_a_tool_is_named_as_the_upstream_names_it() {
        const ANY: Dialect = Dialect { required_tool: "any", ..Dialect::OPENAI };
        check(&ANY, None, json!({ "tool_choice": "required" }), json!({ "tool_choice": "any" }));
        check(&ANY, None, json!({ "tool_choice": "none" }), json!({ "tool_choice": "none" }));
    }

    #[test]
    fn what_llama_stack_says_about_texts_to_embed_is_translated_or_left_out() {
        const TOLD: Dialect = Dialect {
            embedding_task: Some(Translated {
                field: "input_type",
                values: &[("document", "passage"), ("query", "query")],
            }),
            ..Dialect::OPENAI
        };
        let fitted = |dialect: &Dialect, body: Value| {
            let mut body = body.as_object().unwrap().clone().into();
            fit_embeddings(&mut body, dialect);
            Value::from(body)
        };
        let body = json!({ "input": "a", "task_type": "document", "text_truncation": "end" });
        assert_eq!(fitted(&TOLD, body.clone()), json!({ "input": "a", "input_type": "passage" }));
        assert_eq!(fitted(&Dialect::OPENAI, body), json!({ "input": "a" }));
        let own = json!({ "task_type": "query", "input_type": "passage" });
        assert_eq!(fitted(&TOLD, own), json!({ "input_type": "passage" }));
    }
}
