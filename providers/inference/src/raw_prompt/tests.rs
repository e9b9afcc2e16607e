//! Chats over a scripted upstream that only continues text.

use crate::tests::{Served, build, hello};
use chaski_api::{
    ErrorKind,
    openai::{ChatChunk, ChatCompletion, ChatRequest},
};
use chaski_provider::{Context, Reply};
use chaski_testkit::{Answer, FakeUpstream};
use futures_util::StreamExt;
use serde_json::{Value, json};

const MODEL: &str = "meta-llama/Llama-3.2-3B-Instruct";

async fn vllm(upstream: &FakeUpstream) -> Served {
    let config = json!({
        "url": format!("{}/v1", upstream.url()), "max_tokens": 500, "prompt_format": "llama",
    });
    build("remote::vllm", config, &[]).await.unwrap()
}

fn continued(text: &str, finish_reason: &str) -> Answer {
    Answer::json(json!({
        "id": "cmpl-1",
        "created": 7,
        "model": MODEL,
        "choices": [{ "index": 0, "text": text, "finish_reason": finish_reason }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 },
    }))
}

fn weather(fields: Value) -> ChatRequest {
    let mut request = hello(MODEL);
    let tool = json!({ "type": "function", "function": {
        "name": "weather",
        "description": "The weather",
        "parameters": { "type": "object", "properties": { "city": { "type": "string" } } },
    } });
    request.body.insert("tools".to_owned(), json!([tool]));
    let Value::Object(fields) = fields else { panic!("the fields are an object") };
    request.body.extend(fields);
    request
}

async fn whole(upstream: &FakeUpstream, request: ChatRequest) -> ChatCompletion {
    let reply = vllm(upstream).await.chat(&Context::default(), request).await.unwrap();
    let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
    answer.into_value().unwrap()
}

#[tokio::test]
async fn a_chat_becomes_a_completion_of_a_prompt() {
    let upstream = FakeUpstream::answering(continued("\n\nhi<|eot_id|>", "stop")).await;
    let mut request = hello(MODEL);
    for (name, value) in [("temperature", json!(0.5)), ("stop", json!("END")), ("seed", json!(3))] {
        request.body.insert(name.to_owned(), value);
    }
    let answer = whole(&upstream, request).await;
    assert_eq!((answer.object.as_str(), answer.model.as_str()), ("chat.completion", MODEL));
    assert_eq!(answer.choices[0].message.content.as_deref(), Some("hi"));
    assert_eq!(answer.choices[0].finish_reason.as_deref(), Some("stop"));
    assert_eq!(answer.usage.unwrap().total_tokens, 7);
    let seen = upstream.only_request();
    assert_eq!(seen.path, "/v1/completions");
    assert_eq!(
        seen.json(),
        json!({
            "model": MODEL,
            "temperature": 0.5,
            "seed": 3,
            "prompt": "<|start_header_id|>user<|end_header_id|>\n\nhello<|eot_id|>\
                       <|start_header_id|>assistant<|end_header_id|>\n\n",
            "stop": ["END", "<|eot_id|>", "<|eom_id|>"],
            "max_tokens": 500,
        })
    );
}

#[tokio::test]
async fn calls_are_offered_in_the_prompt_and_found_in_the_answer() {
    let text = "[weather(city=\"Lima\"), weather(city=\"Cusco\")]";
    let upstream = FakeUpstream::answering(continued(text, "stop")).await;
    let answer = whole(&upstream, weather(json!({ "max_completion_tokens": 9 }))).await;
    let choice = &answer.choices[0];
    assert_eq!(choice.finish_reason.as_deref(), Some("tool_calls"));
    assert_eq!(choice.message.content, None);
    let calls = choice.message.tool_calls.as_deref().unwrap();
    let arguments: Vec<_> = calls.iter().map(|call| call.function.arguments.as_deref()).collect();
    assert_eq!(arguments, [Some(r#"{"city":"Lima"}"#), Some(r#"{"city":"Cusco"}"#)]);
    assert!(calls[0].id.is_some() && calls[0].id != calls[1].id);
    let sent = upstream.only_request().json();
    assert!(sent["prompt"].as_str().unwrap().contains("\"name\": \"weather\""), "{sent}");
    assert_eq!(sent["max_tokens"], 9);
    for gone in ["messages", "tools", "max_completion_tokens"] {
        assert!(sent[gone].is_null(), "{gone}");
    }
    let one = whole(&upstream, weather(json!({ "parallel_tool_calls": false }))).await;
    assert_eq!(one.choices[0].message.tool_calls.as_ref().unwrap().len(), 1);
}

#[tokio::test]
async fn a_conversation_with_calls_is_written_as_the_model_wrote_it() {
    let upstream = FakeUpstream::answering(continued("It is warm.", "stop")).await;
    let call = json!({ "id": "c1", "type": "function", "function": {
        "name": "weather", "arguments": "{\"city\": \"Lima\"}",
    } });
    let messages = json!([
        { "role": "developer", "content": [{ "type": "text", "text": "Be brief." }] },
        { "role": "user", "content": "How is Lima?" },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "c1", "content": "25 C" },
    ]);
    whole(&upstream, weather(json!({ "messages": messages }))).await;
    let sent = upstream.only_request().json();
    let prompt = sent["prompt"].as_str().unwrap();
    for part in [
        "Be brief.<|eot_id|>",
        "[weather(city=\"Lima\")]<|eot_id|>",
        "<|start_header_id|>ipython<|end_header_id|>\n\n25 C<|eot_id|>",
    ] {
        assert!(prompt.contains(part), "{part}: {prompt}");
    }
}

#[tokio::test]
async fn a_request_says_how_calls_are_written() {
    let upstream = FakeUpstream::answering(continued("hi", "stop")).await;
    let call = json!({ "id": "c1", "type": "function", "function": {
        "name": "weather", "arguments": "{\"city\": \"Lima\"}",
    } });
    let messages = json!([
        { "role": "user", "content": "How is Lima?" },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "c1", "content": "25 C" },
    ]);
    for (format, listed, written) in [
        ("json", "JSON", "{\"type\": \"function\", \"name\": \"weather\""),
        ("function_tag", "<function=", "<function=weather>{\"city\": \"Lima\"}</function>"),
    ] {
        let model = "meta-llama/Llama-3.1-8B-Instruct";
        let fields = json!({
            "model": model, "messages": messages, "tool_prompt_format": format,
        });
        whole(&upstream, weather(fields)).await;
        let sent = upstream.requests().last().unwrap().json();
        let prompt = sent["prompt"].as_str().unwrap();
        assert!(prompt.contains(listed) && prompt.contains(written), "{format}: {prompt}");
        assert!(sent["tool_prompt_format"].is_null(), "{sent}");
    }
}

#[tokio::test]
async fn a_system_message_takes_the_place_of_the_instructions_if_a_request_says_so() {
    let upstream = FakeUpstream::answering(continued("hi", "stop")).await;
    let messages = json!([
        { "role": "system", "content": "Only these: {{ function_description }}" },
        { "role": "user", "content": "How is Lima?" },
    ]);
    let prompts = async |behavior: &str| {
        let fields = json!({ "messages": messages, "system_message_behavior": behavior });
        whole(&upstream, weather(fields)).await;
        let sent = upstream.requests().last().unwrap().json();
        assert!(sent["system_message_behavior"].is_null(), "{sent}");
        sent["prompt"].as_str().unwrap().to_owned()
    };
    let appended = prompts("append").await;
    assert!(appended.contains("{{ function_description }}"), "{appended}");
    let replaced = prompts("replace").await;
    assert!(!replaced.contains("{{"), "{replaced}");
    assert!(replaced.contains("Only these: ") && replaced.contains("\"name\": \"weather\""));
    assert!(replaced.len() < appended.len());
}

#[tokio::test]
async fn nobody_is_called_who_was_not_offered() {
    let text = "[weather(city=\"Lima\")]";
    let upstream = FakeUpstream::answering(continued(text, "length")).await;
    let answer = whole(&upstream, weather(json!({ "tool_choice": "none" }))).await;
    assert_eq!(answer.choices[0].message.content.as_deref(), Some(text));
    assert_eq!(answer.choices[0].finish_reason.as_deref(), Some("length"));
    assert!(!upstream.only_request().json()["prompt"].as_str().unwrap().contains("weather"));
}

/// The events of a completion that writes `pieces`.
fn streamed(pieces: &[&str]) -> Answer {
    let last = pieces.len() - 1;
    let event = |(index, text): (usize, &&str)| {
        let finish = (index == last).then_some("stop");
        json!({
            "id": "cmpl-1",
            "model": MODEL,
            "choices": [{ "index": 0, "text": text, "finish_reason": finish }],
        })
        .to_string()
    };
    let usage = json!({
        "id": "cmpl-1",
        "choices": [],
        "usage": { "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 },
    });
    let mut events: Vec<String> = pieces.iter().enumerate().map(event).collect();
    events.extend([usage.to_string(), "[DONE]".to_owned()]);
    Answer::events(events)
}

async fn chunks(upstream: &FakeUpstream, mut request: ChatRequest) -> Vec<ChatChunk> {
    request.body.insert("stream".to_owned(), true.into());
    let reply = vllm(upstream).await.chat(&Context::default(), request).await.unwrap();
    let Reply::Stream(stream) = reply else { panic!("a stream was asked for") };
    stream.map(|event| event.unwrap().into_value().unwrap()).collect().await
}

#[tokio::test]
async fn a_stream_of_text_becomes_a_stream_of_chunks() {
    let upstream = FakeUpstream::answering(streamed(&["Hel", "lo", "!<|eot_id|>"])).await;
    let chunks = chunks(&upstream, weather(json!({}))).await;
    let deltas: Vec<_> = chunks.iter().filter_map(|chunk| chunk.choices.first()).collect();
    assert_eq!(deltas[0].delta.role.as_deref(), Some("assistant"));
    let text: String = deltas.iter().filter_map(|choice| choice.delta.content.clone()).collect();
    assert_eq!(text, "Hello!");
    assert_eq!(deltas.last().unwrap().finish_reason.as_deref(), Some("stop"));
    assert_eq!(chunks.last().unwrap().usage.as_ref().unwrap().total_tokens, 7);
    assert!(chunks.iter().all(|chunk| chunk.object == "chat.completion.chunk"));
}

#[tokio::test]
async fn calls_in_a_stream_come_in_pieces_with_an_index() {
    let pieces = ["[wea", "ther(city=\"Li", "ma\"), weather(ci", "ty=\"Cusco\")]"];
    let upstream = FakeUpstream::answering(streamed(&pieces)).await;
    let several = chunks(&upstream, weather(json!({}))).await;
    let deltas: Vec<_> = several.iter().filter_map(|chunk| chunk.choices.first()).collect();
    let calls: Vec<_> =
        deltas.iter().flat_map(|choice| choice.delta.tool_calls.iter().flatten()).collect();
    let arguments = |index: i64| {
        let pieces = calls.iter().filter(|call| call.index == Some(index));
        pieces.filter_map(|call| call.function.arguments.clone()).collect::<String>()
    };
    assert_eq!(
        (arguments(0).as_str(), arguments(1).as_str()),
        (r#"{"city":"Lima"}"#, r#"{"city":"Cusco"}"#)
    );
    assert_eq!(calls.iter().filter(|call| call.id.is_some()).count(), 2);
    assert_eq!(deltas.last().unwrap().finish_reason.as_deref(), Some("tool_calls"));
    assert!(deltas[1..].iter().all(|choice| choice.delta.content.is_none()));
    let one = chunks(&upstream, weather(json!({ "parallel_tool_calls": false }))).await;
    let calls = one.iter().flat_map(|chunk| &chunk.choices);
    let calls = calls.flat_map(|choice| choice.delta.tool_calls.iter().flatten());
    assert!(calls.map(|call| call.index).all(|index| index == Some(0)));
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error() {
    let whole = streamed(&["Hello", " there"]);
    let upstream = FakeUpstream::answering(whole.cut_after(60)).await;
    let mut request = hello(MODEL);
    request.body.insert("stream".to_owned(), true.into());
    let reply = vllm(&upstream).await.chat(&Context::default(), request).await.unwrap();
    let Reply::Stream(stream) = reply else { panic!("a stream was asked for") };
    let events: Vec<_> = stream.collect().await;
    assert!(events.last().unwrap().is_err());
    assert_eq!(events.iter().filter(|event| event.is_err()).count(), 1);
}

#[tokio::test]
async fn log_probabilities_have_the_form_of_a_chat() {
    let logprobs = json!({
        "tokens": ["h", "i"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{ "x": -2.0, "h": -0.5 }, null],
    });
    let choice =
        json!({ "index": 0, "text": "hi", "logprobs": logprobs, "finish_reason": "eos_token" });
    let answer = json!({ "id": "c", "choices": [choice] });
    let upstream = FakeUpstream::answering(Answer::json(answer)).await;
    let mut request = hello(MODEL);
    request.body.insert("logprobs".to_owned(), true.into());
    request.body.insert("top_logprobs".to_owned(), 2.into());
    let answer = whole(&upstream, request).await;
    let content = answer.choices[0].logprobs.as_ref().unwrap().content.as_ref().unwrap();
    assert_eq!((content[0].token.as_str(), content[0].top_logprobs[0].token.as_str()), ("h", "h"));
    assert_eq!(content[1].bytes, Some(vec![105]));
    assert_eq!(answer.choices[0].finish_reason.as_deref(), Some("stop"));
    assert_eq!(upstream.only_request().json()["logprobs"], 2);
}

#[tokio::test]
async fn what_no_prompt_can_hold_is_refused_with_its_place() {
    let upstream = FakeUpstream::answering(continued("hi", "stop")).await;
    let provider = vllm(&upstream).await;
    let image =
        json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } }]);
    let message = |role: &str, content: &Value| json!([{ "role": role, "content": content }]);
    for (fields, part) in [
        (
            json!({ "messages": message("user", &image) }),
            "`messages[0]`: a prompt of text cannot hold `image_url`",
        ),
        (json!({ "messages": message("robot", &json!("x")) }), "not `robot`"),
        (json!({ "messages": message("system", &json!("x")) }), "at least one message"),
        (json!({ "tool_choice": "maybe" }), "`tool_choice`: must be `none`"),
        (json!({ "tool_choice": { "function": { "name": "x" } } }), "`x` is not among the `tools`"),
        (
            json!({ "tool_prompt_format": "xml" }),
            "`tool_prompt_format`: must be one of `json`, `function_tag`, `python_list`, not \"xml\"",
        ),
        (json!({ "tool_prompt_format": "json" }), "this model does not write calls as `json`"),
        (json!({ "system_message_behavior": 1 }), "`system_message_behavior`: must be one of"),
        (json!({ "tools": [{}] }), "`tools[0]`: a tool needs a function with a name"),
        (
            json!({ "model": "Llama-2-7b-chat" }),
            "`Llama-2-7b-chat` is no model of Llama 3 or later",
        ),
        (json!({ "model": "Llama-3-8B-Instruct" }), "was not trained to call tools"),
    ] {
        let Err(error) = provider.chat(&Context::default(), weather(fields.clone())).await else {
            panic!("{fields} must be refused")
        };
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{fields}");
        assert!(error.message.contains(part), "{fields}: {error}");
    }
    assert!(upstream.requests().is_empty());
}
