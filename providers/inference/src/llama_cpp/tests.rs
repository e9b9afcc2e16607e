//! The provider with the tiny model, from request bodies to answers.

mod images;
mod thoughts;

use super::{LlamaCpp, LlamaCppConfig};
use crate::local::tests::{deps, weights_dir};
use chaski_api::{
    Error, ErrorKind, Wire,
    inspect::HealthStatus,
    models::ModelType,
    openai::{ChatChunk, ChatCompletion, ChatRequest, TextCompletion, TextCompletionRequest},
};
use chaski_provider::{Context, Hosts, Inference, Lifecycle, Payload, Reply};
use chaski_testkit::eventually;
use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};

const TINY: &str = "smollm2-135m-instruct";

fn provider(config: Value) -> LlamaCpp {
    let mut config = config;
    config["context_length"] = 1024.into();
    LlamaCpp::new(LlamaCppConfig::from_json(config).unwrap(), &deps(weights_dir(TINY)))
}

fn body(fields: Value, more: &Value) -> Map<String, Value> {
    let Value::Object(mut body) = fields else { panic!("a body is an object") };
    body.insert("model".into(), TINY.into());
    body.extend(more.as_object().unwrap().clone());
    body
}

fn question(more: &Value) -> ChatRequest {
    let fields = json!({
        "messages": [{ "role": "user", "content": "What is the capital of France?" }],
        "temperature": 0,
        "max_tokens": 12,
    });
    ChatRequest { body: body(fields, more).into() }
}

fn text(more: &Value) -> TextCompletionRequest {
    let fields = json!({ "prompt": "1, 2, 3, 4,", "temperature": 0, "max_tokens": 6 });
    TextCompletionRequest { body: body(fields, more).into() }
}

async fn chat(provider: &LlamaCpp, more: Value) -> Result<ChatCompletion, Error> {
    match provider.chat(&Context::default(), question(&more)).await? {
        Reply::Full(payload) => payload.into_value(),
        Reply::Stream(_) => panic!("no stream was asked for"),
    }
}

async fn chat_events(provider: &LlamaCpp, more: Value) -> Vec<ChatChunk> {
    let mut more = more;
    more["stream"] = true.into();
    match provider.chat(&Context::default(), question(&more)).await.unwrap() {
        Reply::Full(_) => panic!("a stream was asked for"),
        Reply::Stream(events) => {
            let events: Vec<_> = events.try_collect().await.unwrap();
            events.into_iter().map(|event| event.into_value().unwrap()).collect()
        }
    }
}

async fn completion(provider: &LlamaCpp, more: Value) -> Result<TextCompletion, Error> {
    match provider.completion(&Context::default(), text(&more)).await? {
        Reply::Full(payload) => payload.into_value(),
        Reply::Stream(_) => panic!("no stream was asked for"),
    }
}

fn weather() -> Value {
    json!({ "type": "function", "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": { "city": { "type": "string", "maxLength": 12 } },
            "required": ["city"],
            "additionalProperties": false,
        },
    } })
}

#[tokio::test]
async fn a_stream_and_an_answer_at_once_say_the_same() {
    let provider = provider(json!({}));
    let full = chat(&provider, json!({ "seed": 1 })).await.unwrap();
    let events =
        chat_events(&provider, json!({ "seed": 1, "stream_options": { "include_usage": true } }))
            .await;
    let choice = &full.choices[0];
    assert_eq!(choice.message.role.as_deref(), Some("assistant"));
    assert_eq!(full.object, "chat.completion");
    let streamed: String = events
        .iter()
        .flat_map(|event| &event.choices)
        .filter_map(|choice| choice.delta.content.clone())
        .collect();
    assert_eq!(Some(streamed), choice.message.content);
    assert_eq!(events[0].choices[0].delta.role.as_deref(), Some("assistant"));
    let [.., last, usage] = &events[..] else { panic!("{events:?}") };
    assert_eq!(last.choices[0].finish_reason, choice.finish_reason);
    assert!(usage.choices.is_empty());
    assert_eq!(usage.usage, full.usage);
    let used = full.usage.unwrap();
    assert_eq!(used.total_tokens, used.prompt_tokens + used.completion_tokens);
    assert!(events.iter().all(|event| event.id == events[0].id && event.created > 0));
}

#[tokio::test]
async fn without_the_wish_a_stream_has_no_usage() {
    let events = chat_events(&provider(json!({})), json!({})).await;
    assert!(events.iter().all(|event| event.usage.is_none() && !event.choices.is_empty()));
}

#[tokio::test]
async fn a_required_call_is_made_whole_and_in_a_stream() {
    let provider = provider(json!({}));
    let tools = json!({ "tools": [weather()], "tool_choice": "required", "max_tokens": 64 });
    let full = chat(&provider, tools.clone()).await.unwrap();
    let choice = &full.choices[0];
    assert_eq!(choice.finish_reason.as_deref(), Some("tool_calls"));
    assert_eq!(choice.message.content, None);
    let call = &choice.message.tool_calls.as_ref().unwrap()[0];
    assert_eq!(call.function.name.as_deref(), Some("get_weather"));
    let arguments: Value = serde_json::from_str(call.function.arguments.as_ref().unwrap()).unwrap();
    assert!(arguments["city"].is_string());
    let events = chat_events(&provider, tools).await;
    let calls: Vec<_> = events
        .iter()
        .flat_map(|event| &event.choices)
        .filter_map(|choice| choice.delta.tool_calls.clone())
        .flatten()
        .collect();
    assert_eq!((calls.len(), calls[0].index), (1, Some(0)));
    let named = json!({ "type": "function", "function": { "name": "get_weather" } });
    let tools = json!({ "tools": [weather()], "tool_choice": named, "max_tokens": 64 });
    let full = chat(&provider, tools).await.unwrap();
    assert!(full.choices[0].message.tool_calls.is_some());
}

#[tokio::test]
async fn a_required_call_that_the_limit_cuts_is_no_text() {
    let provider = provider(json!({}));
    let tools = json!({ "tools": [weather()], "tool_choice": "required", "max_tokens": 3 });
    let full = chat(&provider, tools.clone()).await.unwrap();
    let choice = &full.choices[0];
    let said = (choice.message.content.as_deref(), choice.message.tool_calls.is_none());
    assert_eq!((said, choice.finish_reason.as_deref()), ((Some(""), true), Some("length")));
    let events = chat_events(&provider, tools).await;
    let deltas: Vec<_> =
        events.iter().flat_map(|event| &event.choices).map(|choice| &choice.delta).collect();
    assert!(deltas.iter().all(|delta| delta.tool_calls.is_none()), "{deltas:?}");
    assert!(
        deltas.iter().all(|delta| delta.content.as_deref().unwrap_or_default().is_empty()),
        "{deltas:?}"
    );
}

/// The `stop_reason` of the choices of an answer or an event.
fn stop_reasons<T: Wire + serde::Serialize>(payload: Payload<T>) -> Vec<Value> {
    let said: Value = serde_json::from_slice(&payload.into_bytes()).unwrap();
    let choices = said["choices"].as_array().unwrap().iter();
    choices.map(|choice| choice["stop_reason"].clone()).collect()
}

#[tokio::test]
async fn the_stop_text_that_ended_an_answer_is_told() {
    let provider = provider(json!({}));
    let cx = Context::default();
    let whole = chat(&provider, json!({})).await.unwrap().choices.remove(0).message.content;
    let whole = whole.unwrap();
    let middle = whole.split(' ').nth(2).unwrap();
    let more = json!({ "n": 2, "stop": ["never said", middle] });
    let Reply::Full(answer) = provider.chat(&cx, question(&more)).await.unwrap() else {
        panic!("no stream was asked for")
    };
    assert_eq!(stop_reasons(answer), [middle, middle]);
    let more = json!({ "stop": ["never said", middle], "stream": true });
    let Reply::Stream(events) = provider.chat(&cx, question(&more)).await.unwrap() else {
        panic!("a stream was asked for")
    };
    let events: Vec<_> = events.try_collect().await.unwrap();
    let told: Vec<Value> = events.into_iter().flat_map(stop_reasons).collect();
    let (last, before) = told.split_last().unwrap();
    assert_eq!(last, middle);
    assert!(before.iter().all(Value::is_null), "{before:?}");
    let Reply::Full(answer) = provider.chat(&cx, question(&json!({}))).await.unwrap() else {
        panic!("no stream was asked for")
    };
    assert_eq!(stop_reasons(answer), [Value::Null]);
}

#[tokio::test]
async fn a_schema_is_kept_to() {
    let schema = json!({
        "type": "object",
        "properties": { "capital": { "enum": ["Paris", "Rome"] }, "big": { "type": "boolean" } },
        "required": ["capital", "big"],
        "additionalProperties": false,
    });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": schema } });
    let more = json!({ "response_format": format, "max_tokens": 64 });
    let full = chat(&provider(json!({})), more).await.unwrap();
    let content = full.choices[0].message.content.as_ref().unwrap();
    let value: Value = serde_json::from_str(content).unwrap();
    assert!(value["big"].is_boolean(), "{value}");
    assert_eq!(full.choices[0].finish_reason.as_deref(), Some("stop"));
}

#[tokio::test]
async fn several_answers_have_their_numbers_and_log_probabilities() {
    let more =
        json!({ "n": 2, "logprobs": true, "top_logprobs": 2, "temperature": 1.5, "seed": 4 });
    let full = chat(&provider(json!({})), more).await.unwrap();
    assert_eq!(full.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1]);
    for choice in &full.choices {
        let content = choice.logprobs.as_ref().unwrap().content.as_ref().unwrap();
        let spelled: String = content.iter().map(|token| token.token.as_str()).collect();
        assert_eq!(Some(&spelled), choice.message.content.as_ref());
        assert!(content.iter().all(|token| token.top_logprobs.len() == 2));
    }
}

#[tokio::test]
async fn requests_that_cannot_be_served_say_which_field_is_wrong() {
    let provider = provider(json!({}));
    let deep = (0..100).fold(json!({}), |inner, _| json!({ "properties": { "a": inner } }));
    let schema = |schema: Value| json!({ "response_format": { "type": "json_schema", "json_schema": { "schema": schema } } });
    for (more, param) in [
        (json!({ "messages": [{ "role": "user", "content": "word ".repeat(4000) }] }), "messages"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": [{ "content": "x" }] }), "messages"),
        (json!({ "response_format": { "type": "xml" } }), "response_format"),
        (json!({ "response_format": { "type": "json_schema" } }), "response_format"),
        (schema(deep), "response_format"),
        (schema(json!({ "$ref": "https://example.com/a" })), "response_format"),
        (json!({ "tool_choice": "required" }), "tool_choice"),
        (json!({ "tools": [weather()], "tool_choice": { "name": "other" } }), "tool_choice"),
        (json!({ "tools": [{ "type": "function" }] }), "tools"),
        (json!({ "logit_bias": { "a": 1 } }), "logit_bias"),
        (json!({ "logit_bias": { "1": 1000 } }), "logit_bias"),
    ] {
        let error = chat(&provider, more.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{more}");
        assert_eq!(error.param.as_deref(), Some(param), "{more}: {error}");
    }
    let long = json!({ "messages": [{ "role": "user", "content": "word ".repeat(4000) }] });
    let error = chat(&provider, long).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("context_length_exceeded"));
    assert!(error.message.contains("holds 1024"), "{error}");
}

#[tokio::test]
async fn completions_echo_their_prompt_and_count_the_offsets() {
    let provider = provider(json!({}));
    let answer =
        completion(&provider, json!({ "echo": true, "logprobs": 2, "n": 2 })).await.unwrap();
    assert_eq!(answer.choices.len(), 2);
    for choice in &answer.choices {
        assert!(choice.text.starts_with("1, 2, 3, 4, 5, 6"), "{}", choice.text);
        let logprobs = choice.logprobs.as_ref().unwrap();
        let (tokens, offsets) =
            (logprobs.tokens.as_ref().unwrap(), logprobs.text_offset.as_ref().unwrap());
        assert_eq!(tokens.concat(), choice.text);
        for (token, offset) in tokens.iter().zip(offsets) {
            assert!(choice.text[usize::try_from(*offset).unwrap()..].starts_with(token.as_str()));
        }
        assert_eq!(logprobs.token_logprobs.as_ref().unwrap()[0], None);
        assert_eq!(logprobs.top_logprobs.as_ref().unwrap()[1].as_ref().unwrap().len(), 2);
    }
    let used = answer.usage.unwrap();
    assert_eq!(used.completion_tokens, 12);
}

#[tokio::test]
async fn several_prompts_are_answered_in_their_order() {
    let more = json!({ "prompt": ["A, B, C, D,", [33, 28, 216, 34, 28]], "echo": true });
    let answer = completion(&provider(json!({})), more).await.unwrap();
    let indexes: Vec<i64> = answer.choices.iter().map(|choice| choice.index).collect();
    assert_eq!(indexes, [0, 1]);
    assert!(answer.choices[0].text.starts_with("A, B, C, D,"), "{answer:?}");
    assert!(!answer.choices[1].text.is_empty());
    for (more, param) in [
        (json!({ "prompt": [] }), "prompt"),
        (json!({ "suffix": "end" }), "suffix"),
        (json!({ "best_of": 3 }), "best_of"),
        (json!({ "prompt": [99_999_999] }), "prompt"),
    ] {
        let error = completion(&provider(json!({})), more.clone()).await.unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{more}: {error}");
    }
}

#[tokio::test]
async fn absent_weights_are_reported_with_the_command_that_fetches_them() {
    let empty = tempfile::tempdir().unwrap();
    let config = json!({ "models_dir": empty.path().to_str().unwrap() });
    let provider = provider(config);
    let error = chat(&provider, json!({})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("`chaski model pull smollm2-135m-instruct`"), "{error}");
    assert!(provider.offered().await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn the_files_of_the_folder_are_offered_and_others_refused() {
    let all = provider(json!({}));
    let offered = all.offered().await.unwrap().unwrap();
    let tiny = offered.into_iter().find(|model| model.identifier == TINY).unwrap();
    assert_eq!(tiny.model_type, ModelType::Llm);
    assert_eq!(all.on_register(tiny.clone()).await.unwrap(), tiny);
    let unknown =
        chaski_api::models::Model { provider_resource_id: "gpt-9".into(), ..tiny.clone() };
    let error = all.on_register(unknown).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.contains("`gpt-9`"), "{error}");
    let path = weights_dir(TINY).join(format!("{TINY}.gguf"));
    let chosen = provider(json!({ "models_dir": "/nowhere", "models": [path.to_str().unwrap()] }));
    let offered = chosen.offered().await.unwrap().unwrap();
    assert_eq!(offered, [tiny]);
}

#[tokio::test]
async fn a_preloaded_model_is_loaded_without_a_request() {
    let provider = provider(json!({ "preload": [TINY] }));
    while provider.health().status != HealthStatus::Starting {
        tokio::task::yield_now().await;
    }
    assert!(chat(&provider, json!({})).await.is_ok());
    assert_eq!(provider.health().status, HealthStatus::Ok);
    provider.shutdown().await;
}

#[tokio::test]
async fn a_model_that_is_not_in_use_gives_way_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = weights_dir(TINY).join(format!("{TINY}.gguf"));
    for name in ["one.gguf", "two.gguf"] {
        std::os::unix::fs::symlink(&tiny, folder.path().join(name)).unwrap();
    }
    let dir = folder.path().to_str().unwrap();
    // Room for one of them.
    let provider = provider(json!({ "models_dir": dir, "memory_limit_mb": 400 }));
    let loaded = || provider.health().message.unwrap_or_default();
    assert!(chat(&provider, json!({ "model": "one" })).await.is_ok());
    // The request is counted a moment after its answer is complete.
    let counted = || loaded().starts_with("`one` (") && loaded().contains(" 1 served");
    eventually("the request is counted", counted).await;
    let endless = json!({ "0": -100, "2": -100 });
    let more = json!({ "model": "two", "max_tokens": null, "stream": true, "logit_bias": endless });
    let stream = provider.chat(&Context::default(), question(&more)).await.unwrap();
    assert!(loaded().starts_with("`two` (") && !loaded().contains("`one`"), "{}", loaded());
    let leave = async {
        eventually("the other is wanted", || loaded().contains("loading `one`")).await;
        assert!(loaded().contains("`two` ("), "{}", loaded());
        drop(stream);
    };
    let (answer, ()) = tokio::join!(chat(&provider, json!({ "model": "one" })), leave);
    assert!(answer.is_ok());
    assert!(!loaded().contains("`two`"), "{}", loaded());
    let small = json!({ "models_dir": dir, "memory_limit_mb": 100 });
    let error = chat(&self::provider(small), json!({ "model": "one" })).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unavailable { .. }), "{error}");
    assert!(error.message.contains("raise `memory_limit_mb`"), "{error}");
}

#[tokio::test]
async fn what_a_model_does_is_told_in_numbers() {
    let provider = provider(json!({}));
    assert_eq!(provider.health().models, Some(Vec::new()));
    for _ in 0..2 {
        assert!(chat(&provider, json!({})).await.is_ok());
    }
    let told = || provider.health().models.unwrap_or_default().pop();
    let counted = || told().is_some_and(|model| (model.served, model.running) == (2, 0));
    eventually("both are counted", counted).await;
    let model = told().unwrap();
    assert_eq!((model.model.as_str(), model.cache_hits), (TINY, 1));
    assert!(model.cached_prompt_tokens > 0 && model.prompt_tokens > 0, "{model:?}");
    assert!((2..=24).contains(&model.completion_tokens), "{model:?}");
    assert!(model.batch_size >= 1.0 && model.completion_tokens_per_second > 0.0, "{model:?}");
    assert!(model.prompt_tokens_per_second > 0.0 && model.memory_bytes > 0, "{model:?}");
    assert_eq!((model.waiting, model.running, model.cache_length), (0, 0, 1024), "{model:?}");
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_again() {
    let provider = provider(json!({ "parallel": 1, "queue_size": 1 }));
    let cx = Context::default();
    let endless = || {
        let more = json!({ "max_tokens": null, "stream": true, "logit_bias": { "2": -100 } });
        provider.chat(&cx, question(&more))
    };
    let Reply::Stream(mut running) = endless().await.unwrap() else { panic!("a stream") };
    assert!(running.try_next().await.unwrap().is_some());
    let _waiting = endless().await.unwrap();
    let error = endless().await.err().unwrap();
    let ErrorKind::RateLimited { retry_after: Some(pause) } = error.kind else { panic!("{error}") };
    assert!(pause.as_secs() >= 1 && error.message.contains("try again in"), "{error}");
}
