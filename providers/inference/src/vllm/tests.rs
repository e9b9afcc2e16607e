use crate::tests::{
    Served, answered, build, caller, hello, llm, model,
    published::{Published, Says},
};
use chaski_api::{
    Error, ErrorKind,
    models::ModelType,
    openai::{EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{Context, Reply};
use chaski_testkit::{Answer, FakeUpstream};
use futures_util::StreamExt;
use serde_json::{Value, json};

const MODELS: &str = include_str!("fixtures/models.json");

const VLLM: Published = Published {
    provider_type: "remote::vllm",
    config: |url| json!({ "url": format!("{url}/v1") }),
    model: "meta-llama/Llama-3.2-3B-Instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "The prompt and the answer have 9000 tokens, but this model has room for 8192.";
    let says = Says { text: "Hello! How can I help you?", tokens: (36, 9), error: (400, error) };
    VLLM.is_understood(&says).await;
    // Its errors had no object around them once.
    let before = Published { error: include_str!("fixtures/error_before_0.10.json"), ..VLLM };
    let error = "The model `other` is not served here.";
    before.is_understood(&Says { error: (404, error), ..says }).await;
}

async fn vllm(upstream: &FakeUpstream) -> Served {
    let config = json!({ "url": format!("{}/v1", upstream.url()) });
    build("remote::vllm", config, &[]).await.unwrap()
}

fn listing() -> Answer {
    Answer::new("application/json", MODELS)
}

#[tokio::test]
async fn a_chat_gets_the_configured_limit_and_token() {
    let upstream = FakeUpstream::answering(Answer::json(answered())).await;
    let config = json!({
        "url": format!("{}/v1", upstream.url()), "max_tokens": "100", "api_token": "token-1",
    });
    let provider = build("remote::vllm", config, &[]).await.unwrap();
    // Credentials for other providers stay here.
    let cx = caller(&json!({ "openai_api_key": "sk-other" }));
    let mut request = hello("m");
    let format = json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": {} } });
    request.body.insert("response_format".to_owned(), format.clone());
    let Reply::Full(answer) = provider.chat(&cx, request).await.unwrap() else {
        panic!("no stream was asked for")
    };
    assert_eq!(answer.into_value().unwrap().choices[0].message.content.as_deref(), Some("hi"));
    let seen = upstream.only_request();
    assert_eq!(seen.header("authorization"), "Bearer token-1");
    assert_eq!(seen.header("x-request-id"), "request-1");
    let messages = json!([{ "role": "user", "content": "hello" }]);
    assert_eq!(
        seen.json(),
        json!({ "model": "m", "messages": messages, "response_format": format, "max_tokens": 100 })
    );
    assert!(!format!("{:?}", seen.headers).contains("sk-other"));
}

#[tokio::test]
async fn completions_and_embeddings_pass_through() {
    let text = json!({ "id": "c", "choices": [{ "text": "blue", "finish_reason": "stop" }] });
    let vectors = json!({ "data": [{ "index": 0, "embedding": "AACAPw==" }] });
    let (one, two) = (Answer::json(text), Answer::json(vectors.clone()));
    let upstream = FakeUpstream::in_turn([one, two]).await;
    let provider = vllm(&upstream).await;
    let cx = Context::default();
    let body = json!({ "model": "m", "prompt": "Violets are", "stream": false });
    let request = TextCompletionRequest { body: body.as_object().unwrap().clone().into() };
    let Reply::Full(answer) = provider.completion(&cx, request).await.unwrap() else {
        panic!("no stream was asked for")
    };
    assert_eq!(answer.into_value().unwrap().choices[0].text, "blue");
    let body = json!({
        "model": "m", "input": ["a"], "dimensions": 384, "encoding_format": "base64",
    });
    let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
    let answer = provider.embeddings(&cx, request).await.unwrap().into_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), vectors);
    assert_eq!(upstream.requests()[0].json()["max_tokens"], 4096);
    assert_eq!(upstream.requests()[0].header("authorization"), "Bearer fake");
    assert_eq!(upstream.requests()[1].json(), body);
}

#[tokio::test]
async fn a_stream_is_relayed_event_by_event() {
    let delta = json!({ "choices": [{ "index": 0, "delta": { "content": "hi" } }] }).to_string();
    let last = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let events = [delta.clone(), last.to_string(), "[DONE]".to_owned()];
    let upstream = FakeUpstream::answering(Answer::events(&events).in_pieces_of(1)).await;
    let mut request = hello("m");
    request.body.insert("stream".to_owned(), true.into());
    let reply = vllm(&upstream).await.chat(&Context::default(), request).await.unwrap();
    let Reply::Stream(stream) = reply else { panic!("a stream was asked for") };
    let texts: Vec<_> = stream.map(|event| event.unwrap().into_bytes()).collect().await;
    assert_eq!(texts, events[..2]);
}

#[tokio::test]
async fn a_model_must_be_served_to_be_registered() {
    let upstream = FakeUpstream::answering(listing()).await;
    let provider = vllm(&upstream).await;
    let register = async |id: &str| {
        let registered = provider.on_register(llm(id)).await;
        registered.map(|model| model.provider_resource_id)
    };
    assert_eq!(register("sql-lora").await.unwrap(), "sql-lora");
    let full = "meta-llama/Llama-3.2-3B-Instruct";
    assert_eq!(register(full).await.unwrap(), full);
    assert_eq!(register("Llama3.2-3B-Instruct").await.unwrap(), full);
    let error = register("missing-model").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(
        error.message,
        "Model missing-model is not being served by vLLM. \
         Available models: meta-llama/Llama-3.2-3B-Instruct, sql-lora"
    );
    for seen in upstream.requests() {
        assert_eq!(
            (seen.path.as_str(), seen.header("authorization")),
            ("/v1/models", "Bearer fake")
        );
    }
}

#[tokio::test]
async fn a_llama_model_in_the_metadata_must_exist_and_agree() {
    let upstream = FakeUpstream::answering(listing()).await;
    let provider = vllm(&upstream).await;
    let register = async |id: &str, metadata: Value| {
        let registered = provider.on_register(model(id, ModelType::Llm, metadata)).await;
        registered.map_err(|error: Error| error.message)
    };
    let error = register("sql-lora", json!({ "llama_model": "nope" })).await.unwrap_err();
    let start = "Invalid llama_model 'nope' specified in metadata. Must be one of: \
                 meta-llama/Llama-2-7b, meta-llama/Llama-2-13b, meta-llama/Llama-2-70b, ";
    assert!(error.starts_with(start), "{error}");
    assert!(error.ends_with("meta-llama/Llama-Guard-3-8B-INT8, meta-llama/Llama-Guard-2-8B"));
    assert_eq!(error.matches(", meta-llama/Llama-3.1-405B,").count(), 1, "{error}");
    assert!(upstream.requests().is_empty(), "nothing is asked for a model that is refused");

    let llama = json!({ "llama_model": "meta-llama/Llama-3.1-8B-Instruct" });
    register("sql-lora", llama.clone()).await.unwrap();
    let error = register("meta-llama/Llama-3.2-3B-Instruct", llama).await.unwrap_err();
    assert!(error.contains("but it is `meta-llama/Llama-3.2-3B-Instruct`"), "{error}");
    let same = json!({ "llama_model": "meta-llama/Llama-3.2-3B-Instruct" });
    register("Llama3.2-3B-Instruct", same).await.unwrap();
    register("sql-lora", json!({ "llama_model": null })).await.unwrap();
}

#[tokio::test]
async fn the_models_that_are_served_are_offered() {
    let upstream = FakeUpstream::answering(listing()).await;
    let offered = vllm(&upstream).await.offered().await.unwrap().unwrap();
    let ids: Vec<&str> = offered.iter().map(|model| model.identifier.as_str()).collect();
    assert_eq!(ids, ["meta-llama/Llama-3.2-3B-Instruct", "sql-lora"]);
    let metadata = json!({ "context_length": 8192 });
    assert_eq!(Value::Object(offered[0].metadata.clone()), metadata);

    let config = json!({ "url": upstream.url(), "refresh_models": false });
    let silent = build("remote::vllm", config, &[]).await.unwrap();
    assert!(silent.offered().await.unwrap().is_none());
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported() {
    let upstream = FakeUpstream::in_turn([listing(), Answer::text("no").status(401)]).await;
    let provider = vllm(&upstream).await;
    provider.check().await.unwrap();
    let error = provider.check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(401) });

    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = json!({ "url": format!("http://{address}/v1") });
    let provider = build("remote::vllm", config, &[]).await.unwrap();
    let error = provider.check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
    assert_eq!(error.message, "cannot connect to vLLM: connection refused");

    for config in [json!({}), json!({ "url": null }), json!({ "url": " " })] {
        let error = build("remote::vllm", config, &[]).await.err().unwrap();
        assert!(error.message.starts_with("vLLM has no `url`"), "{error}");
    }
}

#[tokio::test]
async fn certificates_are_verified_as_the_configuration_says() {
    for value in [json!(true), json!("true"), json!("/etc/ca.pem"), json!(""), json!(0)] {
        let config = json!({ "url": "https://localhost:1/v1", "tls_verify": value });
        build("remote::vllm", config, &[]).await.unwrap();
    }
    let entry = crate::ALL.iter().find(|entry| entry.is("remote::vllm")).unwrap();
    let issues = (entry.check)(json!({ "tls_verify": [], "max_tokens": 0, "api_token": 7 }));
    let paths: Vec<String> = issues.iter().map(chaski_api::Issue::path).collect();
    assert_eq!(paths, ["max_tokens", "api_token", "tls_verify"]);
}
