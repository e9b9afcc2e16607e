mod chats;
mod published;
mod requests;
pub(crate) mod script;

use crate::tests::{Served, build, llm, model};
use chaski_api::{ErrorKind, models::ModelType, openai::EmbeddingRequest};
use chaski_provider::{Context, Deps, Environment, Tasks};
use chaski_testkit::{Answer, FakeUpstream};
use chaski_upstream::{Http, HttpOptions};
use serde_json::{Value, json};
use std::path::PathBuf;

fn config(url: &str) -> Value {
    json!({
        "aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "a-secret-key",
        "region_name": "us-east-1", "total_max_attempts": 1, "endpoint_url": url,
    })
}

async fn bedrock(upstream: &FakeUpstream) -> Served {
    build("remote::bedrock", config(&upstream.url()), &[upstream]).await.unwrap()
}

async fn embed(
    upstream: &FakeUpstream,
    body: Value,
) -> chaski_api::Result<chaski_api::openai::EmbeddingList> {
    let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
    bedrock(upstream).await.embeddings(&Context::default(), request).await?.into_value()
}

#[tokio::test]
async fn titan_is_asked_text_by_text() {
    let upstream = FakeUpstream::start(|seen| {
        let first = seen.json()["inputText"] == "one";
        let vector = if first { [1.0, -2.5] } else { [0.0, 0.5] };
        Answer::json(json!({ "embedding": vector, "inputTextTokenCount": 3 }))
    })
    .await;
    let body = json!({
        "model": "amazon.titan-embed-text-v2:0", "input": ["one", "two"], "dimensions": 256,
    });
    let list = embed(&upstream, body).await.unwrap();
    let vectors: Vec<Value> = list.data.iter().map(|entry| entry.embedding.clone()).collect();
    assert_eq!(vectors, [json!([1.0, -2.5]), json!([0.0, 0.5])]);
    assert_eq!(list.usage.unwrap().prompt_tokens, 6);
    let mut bodies: Vec<Value> =
        upstream.requests().iter().map(chaski_testkit::Seen::json).collect();
    bodies.sort_by_key(ToString::to_string);
    let asked = |text: &str| json!({ "inputText": text, "dimensions": 256 });
    assert_eq!(bodies, [asked("one"), asked("two")]);
    let seen = &upstream.requests()[0];
    assert_eq!(seen.path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
    let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/";
    assert!(seen.header("authorization").starts_with(scope));
}

#[tokio::test]
async fn cohere_is_asked_for_many_texts_at_once() {
    let upstream = FakeUpstream::start(|seen| {
        let count = seen.json()["texts"].as_array().unwrap().len();
        Answer::json(json!({ "embeddings": vec![[0.5]; count], "id": "x" }))
    })
    .await;
    let texts: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let body = json!({
        "model": "cohere.embed-english-v3", "input": texts, "encoding_format": "base64",
    });
    let list = embed(&upstream, body).await.unwrap();
    assert_eq!(list.data.len(), 100);
    assert_eq!((list.data[99].index, &list.data[99].embedding), (99, &json!("AAAAPw==")));
    let mut sizes: Vec<usize> = upstream
        .requests()
        .iter()
        .map(|seen| seen.json()["texts"].as_array().unwrap().len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [4, 96]);

    let answer = json!({ "embeddings": { "float": [[1.0]] }, "response_type": "by_type" });
    let upstream = FakeUpstream::answering(Answer::json(answer)).await;
    let body = json!({
        "model": "eu.cohere.embed-v4:0", "input": "a", "dimensions": 512, "task_type": "query",
        "text_truncation": "end",
    });
    let list = embed(&upstream, body).await.unwrap();
    assert_eq!(list.data[0].embedding, json!([1.0]));
    let asked = upstream.only_request().json();
    let expected = json!({
        "texts": ["a"], "input_type": "search_query", "truncate": "END", "output_dimension": 512,
    });
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn vectors_that_cannot_be_had_are_an_error() {
    let upstream = FakeUpstream::answering(Answer::json(json!({ "embeddings": [] }))).await;
    let check = async |model: &str, input: Value, kind: ErrorKind, expected: &str| {
        let error = embed(&upstream, json!({ "model": model, "input": input })).await.unwrap_err();
        assert_eq!((error.kind.clone(), error.message.contains(expected)), (kind, true), "{error}");
    };
    let broken = || ErrorKind::Upstream { status: None };
    let cohere = "cohere.embed-english-v3";
    check(cohere, json!("a"), broken(), "sent 0 vectors for 1 texts").await;
    let titan = "amazon.titan-embed-text-v1";
    check(titan, json!("a"), broken(), "vectors that cannot be understood").await;
    check(titan, json!([1, 2]), ErrorKind::InvalidRequest, "must be a text or a list").await;
    let other = "meta.llama3-1-8b-instruct-v1:0";
    check(other, json!("a"), ErrorKind::InvalidRequest, "does not support embeddings").await;
}

#[tokio::test]
async fn names_of_llama_models_become_bedrocks() {
    let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
    let provider = bedrock(&upstream).await;
    let register = async |id: &str| {
        provider.on_register(llm(id)).await.map(|model| model.provider_resource_id)
    };
    for (name, id) in [
        ("meta-llama/Llama-3.1-8B-Instruct", "meta.llama3-1-8b-instruct-v1:0"),
        ("Llama3.1-70B-Instruct", "meta.llama3-1-70b-instruct-v1:0"),
        ("meta-llama/Llama-3.1-405B-Instruct-FP8", "meta.llama3-1-405b-instruct-v1:0"),
        (
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
        ),
    ] {
        assert_eq!(register(name).await.unwrap(), id);
    }
    let metadata = json!({ "embedding_dimension": 1024 });
    let titan = model("amazon.titan-embed-text-v2:0", ModelType::Embedding, metadata);
    provider.on_register(titan).await.unwrap();
    assert!(upstream.requests().is_empty());
}

#[test]
fn settings_that_cannot_work_are_named_with_their_place() {
    let entry = crate::ALL.iter().find(|entry| entry.is("remote::bedrock")).unwrap();
    let issues = (entry.check)(json!({
        "aws_secret_access_key": "s", "retry_mode": "eager", "session_ttl": 10,
        "connect_timeout": 0, "total_max_attempts": 0,
    }));
    let mut paths: Vec<String> = issues.iter().map(chaski_api::Issue::path).collect();
    paths.sort();
    assert_eq!(paths, ["connect_timeout", "session_ttl", "total_max_attempts"]);
    let issues = (entry.check)(json!({ "aws_secret_access_key": "s", "retry_mode": "eager" }));
    let texts: Vec<String> = issues.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "aws_access_key_id: Field required with `aws_secret_access_key`",
            "retry_mode: Input should be 'legacy', 'standard' or 'adaptive'",
        ]
    );
    let nothing = json!({ "aws_access_key_id": null, "retry_mode": null, "session_ttl": null });
    assert_eq!((entry.check)(nothing), []);
}

/// A provider without settings, in this environment.
async fn in_environment(values: &[(&str, &str)]) -> chaski_api::Result<Served> {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let deps = Deps {
        http: Http::new(HttpOptions::default()).unwrap(),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: chaski_provider::Cpu::new(1),
        documents: chaski_provider::Documents::in_process(),
        environment: Environment::new(values.collect()),
        tasks: Tasks::default(),
        routers: chaski_provider::Routers::default(),
    };
    let entry = crate::ALL.iter().find(|entry| entry.is("remote::bedrock")).unwrap();
    (entry.build)(json!({}), deps).await
}

#[tokio::test]
async fn without_settings_the_environment_counts() {
    let upstream = FakeUpstream::answering(chats::answered()).await;
    let url = upstream.url();
    let values = [
        ("AWS_REGION", "eu-west-3"),
        ("AWS_ACCESS_KEY_ID", "AKENV"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url.as_str()),
    ];
    let provider = in_environment(&values).await.unwrap();
    provider.check().await.unwrap();
    provider.chat(&Context::default(), crate::tests::hello("m")).await.unwrap();
    let credential = "Credential=AKENV/";
    let seen = upstream.only_request();
    assert!(seen.header("authorization").contains(credential));
    assert!(seen.header("authorization").contains("/eu-west-3/bedrock/aws4_request"));

    let error = in_environment(&[]).await.err().unwrap();
    assert!(error.message.starts_with("no AWS region is known for Bedrock"), "{error}");
    let nobody = [("AWS_REGION", "eu-west-3"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let error = in_environment(&nobody).await.unwrap().check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
    assert!(error.message.starts_with("there are no AWS credentials"), "{error}");
}
