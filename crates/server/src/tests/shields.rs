//! Models with shields on every face, and moderations. The shield objects to `bad`.

use super::harness::{Answer, Running, chat, events_of, llama_chat, start_with};
use crate::ServerOptions;
use http::Method;
use serde_json::{Value, json};

async fn server(more: Value) -> Running {
    let model = |id: &str, shields: Value| json!({ "model_id": id, "provider_id": "told", "shields": shields });
    let mut config = json!({
        "providers": {
            "inference": [{ "provider_id": "told", "provider_type": "remote::vllm", "config": {} }],
            "safety": [
                { "provider_id": "censor", "provider_type": "inline::llama-guard", "config": {} },
            ],
        },
        "models": [
            model("m", json!({ "output": ["guard"], "stream_window": 6, "stream_context": 6 })),
            model("strict", json!({ "input": ["guard"] })),
        ],
        "shields": [{ "shield_id": "guard" }],
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    start_with(ServerOptions::default(), config).await
}

fn of(model: &str, mut body: Value) -> Value {
    let key = if body.get("model_id").is_some() { "model_id" } else { "model" };
    body[key] = model.into();
    body
}

fn anthropic(text: &str, stream: bool) -> Value {
    let mut body = chat(text, stream);
    body["max_tokens"] = 100.into();
    body
}

/// The events of a stream of the Llama Stack face or of OpenAI's.
fn events(answer: &Answer) -> Vec<Value> {
    let texts = events_of(&answer.text).into_iter().filter(|text| *text != "[DONE]");
    texts.map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// The texts at `path` of the events, joined.
fn text(events: &[Value], path: &str) -> String {
    events.iter().filter_map(|event| event.pointer(path)?.as_str()).collect()
}

#[tokio::test]
async fn openais_clients_see_a_refusal_and_why_the_answer_ended() {
    let server = server(json!({})).await;
    for (model, text) in [("m", "say this is bad"), ("strict", "bad question")] {
        let body = of(model, chat(text, false));
        let answer = server.post("/v1/chat/completions", &body).await.json();
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "content_filter");
        assert_eq!(choice["message"]["refusal"], "no");
        assert_eq!(choice["message"]["content"], Value::Null);
    }
    let body = chat("say words are fine until bad ones come", true);
    let seen = events(&server.post("/v1/chat/completions", &body).await);
    assert_eq!(text(&seen, "/choices/0/delta/content"), "wordsarefineuntil");
    assert_eq!(text(&seen, "/choices/0/delta/refusal"), "no");
    assert_eq!(text(&seen, "/choices/0/finish_reason"), "content_filter");
    let body = chat("say all is well", true);
    let seen = events(&server.post("/v1/chat/completions", &body).await);
    assert_eq!(text(&seen, "/choices/0/delta/content"), "alliswell");
}

#[tokio::test]
async fn anthropics_clients_see_the_stop_reason_refusal() {
    let server = server(json!({})).await;
    for (model, text) in [("m", "say this is bad"), ("strict", "bad question"), ("m", "relay bad")]
    {
        let body = of(model, anthropic(text, false));
        let answer = server.post("/v1/messages", &body).await.json();
        assert_eq!(answer["stop_reason"], "refusal", "{answer}");
        assert_eq!(answer["content"], json!([{ "type": "text", "text": "no" }]));
    }
    let body = anthropic("say words are fine until bad ones come", true);
    let answer = server.post("/v1/messages", &body).await;
    let data = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
    let seen: Vec<Value> = data.map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(text(&seen, "/delta/text"), "wordsarefineuntilno");
    assert_eq!(text(&seen, "/delta/stop_reason"), "refusal");
    assert_eq!(seen.last().unwrap()["type"], "message_stop");
}

#[tokio::test]
async fn llama_stacks_clients_see_the_text_of_the_violation() {
    let server = server(json!({})).await;
    for (model, text) in [("m", "say this is bad"), ("strict", "bad question")] {
        let body = of(model, llama_chat(text, false));
        let answer = server.post("/v1/inference/chat-completion", &body).await.json();
        let message = &answer["completion_message"];
        assert_eq!(
            (&message["content"], &message["stop_reason"]),
            (&json!("no"), &json!("end_of_turn"))
        );
    }
    let body = llama_chat("say words are fine until bad ones come", true);
    let seen = events(&server.post("/v1/inference/chat-completion", &body).await);
    assert_eq!(text(&seen, "/event/delta/text"), "wordsarefineuntilno");
    assert_eq!(text(&seen, "/event/stop_reason"), "end_of_turn");
    let body = json!({ "model_id": "strict", "content": "bad" });
    let answer = server.post("/v1/inference/completion", &body).await.json();
    assert_eq!((&answer["content"], &answer["stop_reason"]), (&json!("no"), &json!("end_of_turn")));
}

#[tokio::test]
async fn models_without_shields_of_their_own_have_those_of_all() {
    let shields = json!({ "safety": { "shields": { "input": ["guard"] } } });
    let server = server(shields).await;
    let registered = json!({ "model_id": "later", "provider_id": "told" });
    assert_eq!(server.post("/v1/models", &registered).await.status, 200);
    let body = of("later", chat("bad question", false));
    let answer = server.post("/v1/chat/completions", &body).await.json();
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    let answer = server.post("/v1/chat/completions", &chat("echo bad ideas", false)).await.json();
    assert_eq!(answer["choices"][0]["message"]["refusal"], "no", "its own shield still counts");
}

#[tokio::test]
async fn nobody_takes_a_model_out_of_the_sight_of_its_shields() {
    let server = server(json!({})).await;
    for (path, body) in [
        ("/v1/models", json!({ "model_id": "m", "provider_model_id": "another" })),
        ("/v1/shields", json!({ "shield_id": "guard", "params": { "asleep": true } })),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert!(answer.text.contains("is declared in the configuration"), "{}", answer.text);
    }
    let answer = server.send(server.request(Method::DELETE, "/v1/models/m")).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    let body = chat("say this is bad", false);
    let answer = server.post("/v1/chat/completions", &body).await.json();
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
}

#[tokio::test]
async fn moderations_judge_each_input() {
    let server = server(json!({})).await;
    let moderate = async |body: Value| server.post("/v1/moderations", &body).await;
    let answer = moderate(json!({ "input": ["good", "bad"] })).await.json();
    assert_eq!(answer["model"], "guard");
    assert!(answer["id"].as_str().unwrap().starts_with("modr-"));
    assert_eq!(answer["results"][0]["flagged"], false);
    assert_eq!(answer["results"][1]["flagged"], true);
    assert_eq!(answer["results"][1]["user_message"], "no");
    assert_eq!(answer["results"][1]["categories"].as_object().unwrap().len(), 13);
    let parts = json!([
        { "type": "text", "text": "bad" },
        { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
    ]);
    let answer =
        moderate(json!({ "input": parts, "model": "omni-moderation-latest" })).await.json();
    assert_eq!(answer["results"].as_array().unwrap().len(), 1);
    let looked = &answer["results"][0]["category_applied_input_types"];
    assert_eq!(
        (&looked["violence"], &looked["hate"]),
        (&json!(["text", "image"]), &json!(["text"]))
    );
    let older = server.post("/v1/openai/v1/moderations", &json!({ "input": "bad" })).await.json();
    assert_eq!(older["results"][0]["flagged"], true);
}

#[tokio::test]
async fn a_moderation_without_a_model_means_the_shield_that_judges_most() {
    let shield = |id: &str, provider: &str| json!({ "shield_id": id, "provider_id": provider });
    for (more, expected) in [
        (json!({ "shields": [shield("code", "scanner")] }), "code"),
        (
            json!({ "shields": [shield("code", "scanner"), shield("attacks", "prompts")] }),
            "attacks",
        ),
        (
            json!({
                "shields": [shield("code", "scanner"), shield("attacks", "prompts")],
                "safety": { "default_shield_id": "code" },
            }),
            "code",
        ),
        (json!({ "shields": [shield("attacks", "prompts"), shield("guard", "censor")] }), "guard"),
    ] {
        let mut config = json!({
            "models": [{ "model_id": "m", "provider_id": "told" }],
            "providers": {
                "inference": [{ "provider_id": "told", "provider_type": "remote::vllm", "config": {} }],
                "safety": [
                    { "provider_id": "censor", "provider_type": "inline::llama-guard", "config": {} },
                    { "provider_id": "prompts", "provider_type": "inline::prompt-guard", "config": {} },
                    { "provider_id": "scanner", "provider_type": "inline::code-scanner", "config": {} },
                ],
            },
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let server = server(config).await;
        for shield in more["shields"].as_array().unwrap() {
            // The first run waits until the provider is up, of which it depends what it judges.
            let run = json!({ "shield_id": shield["shield_id"], "messages": [{ "role": "user", "content": "a" }], "params": {} });
            assert_eq!(server.post("/v1/safety/run-shield", &run).await.status, 200);
        }
        for body in [
            json!({ "input": "bad" }),
            json!({ "input": "bad", "model": "omni-moderation-latest" }),
        ] {
            let answer = server.post("/v1/moderations", &body).await.json();
            assert_eq!(answer["model"], expected, "{answer}");
            assert_eq!(answer["results"][0]["flagged"], true, "{answer}");
        }
    }
}

#[tokio::test]
async fn moderations_that_mean_no_shield_say_what_to_do() {
    let server = server(json!({})).await;
    let moderate = async |body: Value| server.post("/v1/moderations", &body).await;
    let unknown = moderate(json!({ "input": "a", "model": "nope" })).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["error"]["param"], "model");
    for (body, expected) in [
        (json!({ "input": [] }), "`input` is empty"),
        (json!({ "input": 5 }), "should be a text"),
        (json!({}), "input"),
        (json!({ "input": vec!["a"; 1001] }), "send at most 1000"),
    ] {
        let answer = moderate(body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(answer.text.contains(expected), "{}", answer.text);
    }
    let other = json!({ "shield_id": "other", "provider_id": "censor" });
    assert_eq!(server.post("/v1/shields", &other).await.status, 200);
    let several = moderate(json!({ "input": "a" })).await.json();
    assert_eq!(several["model"], "guard", "the first of those that judge the same");

    let server = self::server(json!({ "shields": [], "models": [{ "model_id": "m" }] })).await;
    let none = server.post("/v1/moderations", &json!({ "input": "a" })).await;
    assert_eq!(none.status, 400);
    assert!(none.text.contains("there is no shield"), "{}", none.text);
}
