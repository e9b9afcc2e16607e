use crate::tests::{
    build, llm,
    published::{Published, Says},
};
use chaski_api::{ErrorKind, openai::TextCompletionRequest};
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Value, json};

const TGI: Published = Published {
    provider_type: "remote::tgi",
    config: |url| json!({ "url": url }),
    model: "meta-llama/Llama-3.1-8B-Instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

/// A server with room for 4096 tokens that counts three in every prompt.
async fn server() -> FakeUpstream {
    FakeUpstream::start(|seen| {
        let json = |text: &'static str| Answer::new("application/json", text);
        match seen.path.as_str() {
            "/info" => json(include_str!("fixtures/info.json")),
            "/chat_tokenize" => json(include_str!("fixtures/chat_tokenize.json")),
            "/tokenize" => Answer::json(json!([{ "id": 1 }, { "id": 2 }, { "id": 3 }])),
            "/health" => Answer::text(""),
            "/v1/chat/completions" if seen.json()["stream"] == true => {
                Answer::new("text/event-stream", TGI.stream)
            }
            "/v1/chat/completions" | "/v1/completions" => json(TGI.answer),
            _ => Answer::text("no such page").status(404),
        }
    })
    .await
}

/// What the server was sent for a chat that says `more`, and by which paths it was asked.
async fn sent(more: Value) -> (Value, Vec<String>) {
    let server = server().await;
    let provider = TGI.provider(&server).await;
    provider.chat(&Context::default(), TGI.request(more)).await.map(drop).unwrap();
    let asked = server.requests();
    let mut body = asked.last().unwrap().json();
    body.as_object_mut().unwrap().shift_remove("messages");
    (body, asked.into_iter().map(|seen: Seen| seen.path).collect())
}

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Input validation error: `inputs` must have less than 4095 tokens. Given: 5021";
    let bare = Published { config: |url| json!({ "url": url }), ..TGI };
    // This server answers `/info` with its chat: it does not say how much fits.
    let service = FakeUpstream::start(move |seen| match seen.path.as_str() {
        "/info" => Answer::json(json!({ "model_id": "m" })),
        _ => Answer::new("application/json", TGI.error).status(422),
    })
    .await;
    let provider = bare.provider(&service).await;
    let refused = provider.chat(&Context::default(), bare.request(json!({}))).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Upstream { status: Some(422) });
    assert_eq!(refused.message, error);
    let says = Says { text: "Hello! How can I help you?", tokens: (36, 9), error: (422, error) };
    let server = server().await;
    says.fit(&TGI.provider(&server).await, &TGI).await;
}

#[tokio::test]
async fn the_limit_of_an_answer_is_fitted_into_what_the_server_can_hold() {
    let all = ["/info", "/chat_tokenize", "/v1/chat/completions"];
    // 4096 less the prompt's 3 and one.
    for (asked, sent_limit) in [
        (json!({}), 4092),
        (json!({ "max_tokens": 5000 }), 4092),
        (json!({ "max_completion_tokens": 5000 }), 4092),
        (json!({ "max_tokens": 4090 }), 4090),
    ] {
        let (body, paths) = sent(asked.clone()).await;
        assert_eq!(body, json!({ "model": TGI.model, "max_tokens": sent_limit }), "{asked}");
        assert_eq!(paths, all);
    }
    // What surely fits is not counted.
    let (body, paths) = sent(json!({ "max_completion_tokens": 100 })).await;
    assert_eq!(body, json!({ "model": TGI.model, "max_tokens": 100 }));
    assert_eq!(paths, ["/info", "/v1/chat/completions"]);
}

#[tokio::test]
async fn the_prompt_of_a_completion_is_counted_too() {
    let server = server().await;
    let provider = TGI.provider(&server).await;
    for (prompt, limit) in [(json!("a b c"), json!(4092)), (json!(["a", "b"]), json!(4096))] {
        let body = json!({ "model": TGI.model, "prompt": prompt, "max_tokens": 4096 });
        let request = TextCompletionRequest { body: body.as_object().unwrap().clone().into() };
        provider.completion(&Context::default(), request).await.map(drop).unwrap();
        let seen = server.requests().pop().unwrap();
        assert_eq!((seen.path.as_str(), &seen.json()["max_tokens"]), ("/v1/completions", &limit));
    }
}

#[tokio::test]
async fn servers_that_do_not_count_get_the_request_as_it_is() {
    let old = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/info" => Answer::new("application/json", include_str!("fixtures/info.json")),
        "/v1/chat/completions" => Answer::new("application/json", TGI.answer),
        _ => Answer::text("").status(404),
    })
    .await;
    let provider = TGI.provider(&old).await;
    let request = TGI.request(json!({ "max_tokens": 5000 }));
    provider.chat(&Context::default(), request).await.map(drop).unwrap();
    assert_eq!(old.requests().pop().unwrap().json()["max_tokens"], 5000);
}

#[tokio::test]
async fn requests_take_the_form_that_the_server_knows() {
    let schema = json!({ "type": "object" });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let more = json!({ "max_tokens": 7, "temperature": 0, "response_format": format });
    let (body, _) = sent(more).await;
    assert_eq!(
        body,
        json!({
            "model": TGI.model, "max_tokens": 7, "temperature": 0.001,
            "response_format": { "type": "json", "value": schema },
        })
    );
    let (body, _) = sent(json!({ "max_tokens": 7, "temperature": 0.5 })).await;
    assert_eq!(body["temperature"], 0.5);
}

#[tokio::test]
async fn the_model_of_the_server_is_the_only_one() {
    let server = server().await;
    let provider = TGI.provider(&server).await;
    for name in [TGI.model, "Llama3.1-8B-Instruct"] {
        let model = provider.on_register(llm(name)).await.unwrap();
        assert_eq!(model.provider_resource_id, TGI.model);
    }
    let error = provider.on_register(llm("other")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(
        error.message,
        "Model other is not being served by Text Generation Inference. \
         Available models: meta-llama/Llama-3.1-8B-Instruct"
    );
    let offered = provider.offered().await.unwrap().unwrap();
    assert_eq!(offered[0].identifier, TGI.model);
    assert_eq!(offered[0].metadata["context_length"], 4096);
    provider.check().await.unwrap();
    let error = build(TGI.provider_type, json!({}), &[]).await.err().unwrap();
    assert!(error.message.contains("set one such as `http://localhost:8080`"), "{error}");
}
