//! The headers that say who answered.

use super::harness::{Answer, chat, events_of, llama_chat, start, start_with};
use crate::ServerOptions;
use chaski_testkit::{Answer as Said, FakeUpstream};
use serde_json::{Value, json};

fn who(answer: &Answer) -> [&str; 3] {
    ["x-chaski-provider", "x-chaski-model", "x-chaski-attempts"].map(|name| answer.header(name))
}

#[tokio::test]
async fn every_answer_of_inference_says_who_gave_it() {
    let server = start(ServerOptions::default()).await;
    let [openai, llama] = ["/v1/chat/completions", "/v1/inference/chat-completion"];
    for (path, body, status) in [
        (openai, chat("say hello", false), 200),
        (openai, chat("say hello", true), 200),
        (openai, chat("fail 503", false), 503),
        (openai, chat("break-at-once", true), 503),
        (llama, llama_chat("say hello", false), 200),
        (llama, llama_chat("say hello", true), 200),
        (llama, llama_chat("fail 429", true), 429),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!(answer.status, status, "{path} {body}");
        assert_eq!(who(&answer), ["told", "m", "1"], "{path} {body}");
    }
    let embeddings = json!({ "model": "e", "input": "x" });
    let answer = server.post("/v1/embeddings", &embeddings).await;
    assert_eq!(who(&answer), ["told", "e", "1"]);
}

#[tokio::test]
async fn answers_that_no_provider_gave_say_nothing() {
    let server = start(ServerOptions::default()).await;
    let unknown = json!({ "model": "nope", "messages": [] });
    for answer in [
        server.get("/v1/models").await,
        server.post("/v1/chat/completions", &unknown).await,
        server.post("/v1/chat/completions", &json!({})).await,
    ] {
        assert_eq!(who(&answer), ["", "", ""], "{}", answer.line());
    }
}

#[tokio::test]
async fn the_target_that_answered_is_the_one_that_is_named() {
    let provider =
        |id: &str, kind: &str| json!({ "provider_id": id, "provider_type": kind, "config": {} });
    let targets = json!([
        { "provider_id": "lacking", "provider_model_id": "x" },
        { "provider_id": "my told", "provider_model_id": "org/y" },
    ]);
    let server = start_with(
        ServerOptions::default(),
        json!({
            "providers": { "inference": [
                provider("lacking", "remote::tgi"), provider("my told", "remote::vllm"),
            ] },
            "models": [{ "model_id": "m", "targets": targets }],
        }),
    )
    .await;
    for stream in [false, true] {
        let answer = server.post("/v1/chat/completions", &chat("say hello", stream)).await;
        assert_eq!(who(&answer), ["my%20told", "org/y", "1"]);
    }
    let answer = server.post("/v1/chat/completions", &chat("fail 503", true)).await;
    assert_eq!((answer.status, who(&answer)), (503, ["my%20told", "org/y", "1"]));

    let listed = server.get("/v1/models").await.json();
    let listed = &listed["data"][0];
    assert_eq!(listed["metadata"]["routing"]["targets"][1]["provider_model_id"], "org/y");
    assert_eq!(listed["provider_id"], "lacking");
    let usage = server.get("/v1/inspect/usage").await.json();
    let rows: Vec<(&Value, &Value)> = usage["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["provider_id"], &row["requests"]))
        .collect();
    assert_eq!(rows, [(&json!("lacking"), &json!(0)), (&json!("my told"), &json!(3))]);
}

#[tokio::test]
async fn streams_of_models_that_cost_something_are_counted_unseen() {
    let content = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    let count = r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500}}"#;
    let upstream = FakeUpstream::start(move |seen| {
        let asked = seen.json()["stream_options"]["include_usage"] == true;
        Said::events([content, count].into_iter().take(1 + usize::from(asked)).chain(["[DONE]"]))
    })
    .await;
    let server = start_with(
        ServerOptions::default(),
        json!({
            "providers": { "inference": [
                { "provider_id": "far", "provider_type": "remote::openai",
                  "config": { "url": upstream.url() } },
            ] },
            "models": [
                { "model_id": "free", "provider_id": "far" },
                { "model_id": "paid", "provider_id": "far", "cost": {
                    "prompt_per_million": 1, "completion_per_million": 2, "currency": "EUR",
                } },
            ],
        }),
    )
    .await;
    let ask = async |model: &str, options: Value| {
        let mut body = chat("hi", true);
        body["model"] = model.into();
        body["stream_options"] = options;
        server.post("/v1/chat/completions", &body).await.text
    };
    let asked = json!({ "include_usage": true });
    let (hidden, shown) = ([content, "[DONE]"], [content, count, "[DONE]"]);
    assert_eq!(events_of(&ask("free", Value::Null).await), hidden);
    assert_eq!(events_of(&ask("paid", Value::Null).await), hidden);
    assert_eq!(events_of(&ask("paid", asked.clone()).await), shown);
    let options: Vec<Value> =
        upstream.requests().iter().map(|seen| seen.json()["stream_options"].clone()).collect();
    assert_eq!(options, [Value::Null, asked.clone(), asked]);
    let usage = server.get("/v1/inspect/usage").await.json();
    let row = usage["data"].as_array().unwrap().iter().find(|row| row["model_id"] == "paid");
    let row = row.unwrap();
    assert_eq!((&row["prompt_tokens"], &row["completion_tokens"]), (&json!(2000), &json!(1000)));
    assert_eq!((&row["cost"], &row["currency"]), (&json!(0.004), &json!("EUR")));
}

#[tokio::test]
async fn answers_from_memory_say_so() {
    let server = start_with(ServerOptions::default(), json!({ "response_cache": {} })).await;
    let ask = async |text: &str, stream: bool, headers: &[(&str, &str)]| {
        let mut body = chat(text, stream);
        body["temperature"] = json!(0);
        server.post_with("/v1/chat/completions", &body, headers).await
    };
    for stream in [false, true] {
        let first = ask("say hello you", stream, &[]).await;
        let second = ask("say hello you", stream, &[]).await;
        assert_eq!(first.line(), second.line());
        let cache = |answer: &Answer| answer.header("x-chaski-cache").to_owned();
        assert_eq!((cache(&first), cache(&second)), ("miss".to_owned(), "hit".to_owned()));
        assert_eq!(who(&second), ["told", "m", "0"]);
        let third = ask("say hello you", stream, &[("cache-control", "no-cache")]).await;
        assert_eq!((cache(&third), who(&third)[2]), ("miss".to_owned(), "1"));
        let fourth = ask("say hello you", stream, &[("cache-control", "no-store")]).await;
        assert_eq!((cache(&fourth), who(&fourth)[2]), (String::new(), "1"));
    }
    let mut native = llama_chat("say hello", false);
    native["sampling_params"] = json!({ "strategy": { "type": "greedy" } });
    let path = "/v1/inference/chat-completion";
    let first = server.post(path, &native).await;
    let second = server.post(path, &native).await;
    assert_eq!(second.header("x-chaski-cache"), "hit", "{}", first.line());
    assert_eq!(first.line(), second.line());
}
