//! The promises about answers at once, and about what the upstream is sent.

use super::{CALLS, Does, PIECES, SCORES, Scene, Subject, TOKENS, VECTORS, cx, tools};
use base64::{Engine, engine::general_purpose::STANDARD};
use chaski_api::{Error, ErrorKind, openai::ChatCompletion};
use chaski_provider::Reply;
use serde_json::{Value, json};

async fn chat(subject: Subject, scene: Scene, more: Value) -> ChatCompletion {
    let upstream = subject.upstream(scene).await;
    let reply = subject.over(&upstream).await.chat(&cx(), subject.chat(more)).await.unwrap();
    let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
    answer.into_value().expect("the answer is a completion of a chat")
}

pub(super) async fn whole(subject: Subject) {
    let (prompt, generated) = TOKENS;
    if subject.does(Does::Chat) {
        for more in [json!({}), json!({ "stream": false })] {
            let answer = chat(subject, Scene::Plain, more).await;
            let [choice] = &answer.choices[..] else { panic!("{} choices", answer.choices.len()) };
            assert_eq!(choice.message.content, Some(PIECES.concat()));
            assert_eq!(choice.finish_reason.as_deref(), Some("stop"));
            assert_eq!(choice.message.tool_calls.as_deref().unwrap_or_default(), []);
            let usage = answer.usage.expect("an answer at once has its usage");
            assert_eq!((usage.prompt_tokens, usage.completion_tokens), TOKENS);
            assert_eq!(usage.total_tokens, prompt + generated);
        }
    }
    if subject.does(Does::Completions) {
        let upstream = subject.upstream(Scene::Plain).await;
        let provider = subject.over(&upstream).await;
        let reply = provider.completion(&cx(), subject.completion(json!({}))).await.unwrap();
        let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
        let answer = answer.into_value().unwrap();
        assert_eq!(answer.choices[0].text, PIECES.concat());
        assert_eq!(answer.choices[0].finish_reason.as_deref(), Some("stop"));
        assert_eq!(answer.usage.unwrap().total_tokens, prompt + generated);
    }
}

pub(super) async fn calls(subject: Subject) {
    if !subject.does(Does::Calls) {
        return;
    }
    let answer = chat(subject, Scene::Calls, json!({ "tools": tools() })).await;
    let choice = &answer.choices[0];
    assert_eq!(choice.finish_reason.as_deref(), Some("tool_calls"));
    assert_eq!(choice.message.content.as_deref().unwrap_or_default(), "");
    let made = choice.message.tool_calls.as_deref().unwrap_or_default();
    assert_eq!(made.len(), CALLS.len());
    for (made, call) in made.iter().zip(CALLS) {
        assert_eq!(made.id.as_deref(), Some(call.id));
        assert_eq!(made.function.name.as_deref(), Some(call.name));
        let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("arguments are JSON");
        let arguments = made.function.arguments.as_deref().unwrap_or_default();
        assert_eq!(parsed(arguments), parsed(&call.arguments.concat()));
    }
}

/// A chat of all kinds of messages, in a form that no translation changes.
fn history() -> Value {
    let call = json!({
        "id": "call_1", "type": "function",
        "function": { "name": "get_weather", "arguments": "{\"city\": \"Lisbon\"}" },
    });
    json!([
        { "role": "system", "content": "Speak as a sailor" },
        { "role": "user", "content": [{ "type": "text", "text": "How is the weather?" }] },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "call_1", "content": "Sunny and 22 degrees" },
        { "role": "user", "content": "And now in short" },
    ])
}

pub(super) async fn sent(subject: Subject) {
    if subject.does(Does::Chat) {
        let calls = subject.does(Does::Calls);
        let more = if calls {
            json!({ "messages": history(), "tools": tools(), "temperature": 0.25 })
        } else {
            json!({ "temperature": 0.25 })
        };
        let upstream = subject.upstream(Scene::Plain).await;
        subject.over(&upstream).await.chat(&cx(), subject.chat(more)).await.unwrap();
        let asked = subject.calls(&upstream);
        let body = String::from_utf8(asked.last().unwrap().body.to_vec()).unwrap();
        let mut texts = vec!["0.25"];
        if calls {
            texts.extend(["Speak as a sailor", "How is the weather?", "And now in short"]);
            texts.extend(["call_1", "Lisbon", "Sunny and 22 degrees", "get_weather", "get_time"]);
        } else {
            texts.push("Say hello to the world");
        }
        for text in texts {
            assert!(body.contains(text), "the upstream was not sent `{text}`: {body}");
        }
    }
    if subject.does(Does::Completions) {
        let upstream = subject.upstream(Scene::Plain).await;
        let provider = subject.over(&upstream).await;
        provider.completion(&cx(), subject.completion(json!({}))).await.unwrap();
        let asked = subject.calls(&upstream);
        let body = String::from_utf8(asked.last().unwrap().body.to_vec()).unwrap();
        assert!(body.contains("1, 2, 3, 4,"), "the upstream was not sent the prompt: {body}");
    }
}

pub(super) async fn vectors(subject: Subject) {
    if !subject.does(Does::Embeddings) {
        return;
    }
    let base64 = |vector: [f32; 2]| {
        let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
        json!(STANDARD.encode(bytes))
    };
    for (more, expected) in [
        (json!({}), VECTORS.map(|vector| json!(vector))),
        (json!({ "encoding_format": "float" }), VECTORS.map(|vector| json!(vector))),
        (json!({ "encoding_format": "base64" }), VECTORS.map(base64)),
    ] {
        let upstream = subject.upstream(Scene::Plain).await;
        let provider = subject.over(&upstream).await;
        let request = subject.embeddings(more.clone());
        let list = provider.embeddings(&cx(), request).await.unwrap().into_value().unwrap();
        let mut found: Vec<(i64, Value)> =
            list.data.into_iter().map(|entry| (entry.index, entry.embedding)).collect();
        found.sort_by_key(|(index, _)| *index);
        let expected: Vec<(i64, Value)> = (0..).zip(expected).collect();
        assert_eq!(found, expected, "{more}");
    }
}

pub(super) async fn ranked(subject: Subject) {
    if !subject.does(Does::Rerank) {
        return;
    }
    let upstream = subject.upstream(Scene::Plain).await;
    let provider = subject.over(&upstream).await;
    let list = provider.rerank(&cx(), subject.rerank()).await.unwrap().into_value().unwrap();
    let mut found: Vec<(i64, f64)> =
        list.results.iter().map(|result| (result.index, result.relevance_score)).collect();
    found.sort_by_key(|(index, _)| *index);
    assert_eq!(found, (0..).zip(SCORES).collect::<Vec<_>>());
    let asked = subject.calls(&upstream);
    let body = String::from_utf8(asked.last().unwrap().body.to_vec()).unwrap();
    for text in ["a number", "one", "two"] {
        assert!(body.contains(text), "the upstream was not sent `{text}`: {body}");
    }
}

pub(super) async fn refused(subject: Subject) {
    let upstream = subject.upstream(Scene::Plain).await;
    let provider = subject.over(&upstream).await;
    let mut errors: Vec<(&str, Option<Error>)> = Vec::new();
    if !subject.does(Does::Chat) {
        errors.push(("chats", provider.chat(&cx(), subject.chat(json!({}))).await.err()));
    }
    if !subject.does(Does::Completions) {
        let request = subject.completion(json!({}));
        errors.push(("completions", provider.completion(&cx(), request).await.err()));
    }
    if !subject.does(Does::Embeddings) {
        let request = subject.embeddings(json!({}));
        errors.push(("embeddings", provider.embeddings(&cx(), request).await.err()));
    }
    if !subject.does(Does::Rerank) {
        errors.push(("ranks", provider.rerank(&cx(), subject.rerank()).await.err()));
    }
    for (what, error) in errors {
        let error = error.unwrap_or_else(|| panic!("{what} are not refused"));
        let fits = matches!(error.kind, ErrorKind::Unsupported | ErrorKind::InvalidRequest);
        assert!(fits, "{what}: {error:?}");
        assert!(error.message.contains("does not support"), "{what}: {error}");
    }
    assert_eq!(subject.calls(&upstream).len(), 0, "the upstream is asked for what is refused");
}
