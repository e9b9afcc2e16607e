//! Which script each provider of the table has for the contract suite.

use super::{
    anthropic_script::AnthropicScript,
    contract::{Does, InProcess, Scene, Script, Subject, are_fetched, broken_promises},
    openai_script::OpenAiScript,
};
use crate::ALL;
use chaski_testkit::{Answer, Seen};
use serde_json::{Value, json};

const CHATS: &[Does] = &[Does::Chat, Does::Calls];
const CHATS_AND_TEXTS: &[Does] = &[Does::Chat, Does::Calls, Does::Completions];
const CHATS_AND_VECTORS: &[Does] = &[Does::Chat, Does::Calls, Does::Embeddings];
const EVERYTHING: &[Does] =
    &[Does::Chat, Does::Calls, Does::Completions, Does::Embeddings, Does::Rerank];

/// Providers over an upstream, by type.
const SCRIPTED: &[(&str, &'static dyn Script)] = &[
    ("remote::anthropic", &AnthropicScript),
    ("remote::azure", &OpenAiScript::new(|url| json!({ "url": url, "api_key": "k" }))),
    ("remote::bedrock", &crate::bedrock::tests::script::BedrockScript),
    (
        "remote::cerebras",
        &OpenAiScript {
            does: CHATS_AND_TEXTS,
            ..OpenAiScript::new(|url| json!({ "base_url": url, "api_key": "k" }))
        },
    ),
    (
        "remote::databricks",
        &OpenAiScript { always_usage: true, ..OpenAiScript::new(|url| json!({ "url": url })) },
    ),
    ("remote::deepseek", &OpenAiScript { does: CHATS, ..OpenAiScript::new(at_url) }),
    ("remote::fireworks", &OpenAiScript { does: EVERYTHING, ..OpenAiScript::new(at_url) }),
    (
        "remote::gemini",
        &OpenAiScript {
            does: CHATS_AND_VECTORS,
            ..OpenAiScript::new(|url| json!({ "base_url": url }))
        },
    ),
    ("remote::groq", &OpenAiScript { does: CHATS, ..OpenAiScript::new(at_url) }),
    (
        "remote::hf::endpoint",
        &OpenAiScript {
            does: CHATS_AND_TEXTS,
            // Hugging Face and the endpoint are one here.
            other: |seen| match seen.path.as_str() {
                "/v2/endpoint/n/e" => {
                    let url = format!("http://{}", seen.header("host"));
                    Answer::json(json!({ "status": { "state": "running", "url": url } }))
                }
                _ => text_generation(seen),
            },
            ..OpenAiScript::new(
                |url| json!({ "endpoint_name": "n/e", "endpoints_url": url, "hub_url": url }),
            )
        },
    ),
    (
        "remote::hf::serverless",
        &OpenAiScript {
            does: CHATS,
            ..OpenAiScript::new(|url| json!({ "huggingface_repo": "m", "url": url }))
        },
    ),
    ("remote::llama-cpp-server", &OpenAiScript { does: EVERYTHING, ..OpenAiScript::new(at_url) }),
    ("remote::lm-studio", &OpenAiScript::new(at_url)),
    (
        "remote::mistral",
        &OpenAiScript { does: CHATS_AND_VECTORS, always_usage: true, ..OpenAiScript::new(at_url) },
    ),
    ("remote::nvidia", &OpenAiScript::new(at_url)),
    (
        "remote::ollama",
        &OpenAiScript {
            // Its own API lists the models.
            other: |_| Answer::json(json!({ "models": [{ "name": "m" }] })),
            ..OpenAiScript::new(at_url)
        },
    ),
    ("remote::openai", &OpenAiScript::new(|url| json!({ "base_url": format!("{url}/v1") }))),
    ("remote::openai-compatible", &OpenAiScript { does: EVERYTHING, ..OpenAiScript::new(at_url) }),
    ("remote::openrouter", &OpenAiScript::new(at_url)),
    (
        "remote::passthrough",
        &OpenAiScript {
            other: |_| Answer::json(json!({ "data": [{ "route": "/v1/chat/completions" }] })),
            ..OpenAiScript::new(at_url)
        },
    ),
    ("remote::runpod", &OpenAiScript::new(at_url)),
    ("remote::sambanova", &OpenAiScript { does: CHATS_AND_VECTORS, ..OpenAiScript::new(at_url) }),
    (
        "remote::text-embeddings-inference",
        &OpenAiScript { does: &[Does::Embeddings, Does::Rerank], ..OpenAiScript::new(at_url) },
    ),
    (
        "remote::tgi",
        &OpenAiScript {
            does: CHATS_AND_TEXTS,
            other: text_generation,
            ..OpenAiScript::new(at_url)
        },
    ),
    ("remote::together", &OpenAiScript { does: EVERYTHING, ..OpenAiScript::new(at_url) }),
    (
        "remote::vllm",
        &OpenAiScript {
            does: EVERYTHING,
            ..OpenAiScript::new(|url| json!({ "url": format!("{url}/v1") }))
        },
    ),
];

fn at_url(url: &str) -> Value {
    json!({ "url": url })
}

/// What Text Generation Inference says about itself; it does not count tokens.
fn text_generation(seen: &Seen) -> Answer {
    match seen.path.as_str() {
        "/info" => Answer::json(json!({ "model_id": "m", "max_total_tokens": 100_000 })),
        _ => Answer::text("no such page").status(404),
    }
}

/// Providers that run models in this process.
const IN_PROCESS: &[InProcess] = &[
    InProcess {
        provider_type: "inline::llama-cpp",
        config: || json!({ "context_length": 1024 }),
        model: "smollm2-135m-instruct",
        does: &[Does::Chat, Does::Calls, Does::Completions],
    },
    InProcess {
        provider_type: "inline::meta-reference",
        config: || json!({ "max_seq_len": 1024 }),
        model: "smollm2-135m-instruct",
        does: &[Does::Chat, Does::Calls, Does::Completions],
    },
    InProcess {
        provider_type: "inline::meta-reference-quantized",
        config: || json!({ "max_seq_len": 1024, "quantization": { "type": "int4" } }),
        model: "smollm2-135m-instruct",
        does: &[Does::Chat, Does::Calls, Does::Completions],
    },
    InProcess {
        provider_type: "inline::vllm",
        config: || json!({ "max_model_len": 1024 }),
        model: "smollm2-135m-instruct",
        does: &[Does::Chat, Does::Calls, Does::Completions],
    },
    InProcess {
        provider_type: "inline::sentence-transformers",
        config: || json!({}),
        model: "all-minilm-l6-v2",
        does: &[Does::Embeddings, Does::Rerank],
    },
];

fn is_covered(provider_type: &str) -> bool {
    SCRIPTED.iter().any(|(known, _)| *known == provider_type)
        || IN_PROCESS.iter().any(|known| known.provider_type == provider_type)
}

#[test]
fn no_provider_is_left_out_of_the_contract() {
    let left_out: Vec<&str> = ALL
        .iter()
        .map(|entry| entry.spec.provider_type)
        .filter(|provider_type| !is_covered(provider_type))
        .collect();
    assert!(
        left_out.is_empty(),
        "the contract suite does not cover {left_out:?}: give each a line in `SCRIPTED` of \
         providers/inference/src/tests/subjects.rs, or in `IN_PROCESS` if it has no upstream"
    );
}

#[test]
fn the_contract_covers_registered_providers_once() {
    let scripted = SCRIPTED.iter().map(|(provider_type, _)| *provider_type);
    let all: Vec<&str> =
        scripted.chain(IN_PROCESS.iter().map(|known| known.provider_type)).collect();
    for (index, provider_type) in all.iter().enumerate() {
        let registered = ALL.iter().any(|entry| entry.spec.provider_type == *provider_type);
        assert!(registered, "`{provider_type}` is not in the table of providers");
        assert!(!all[..index].contains(provider_type), "`{provider_type}` stands there twice");
    }
}

#[tokio::test]
async fn every_provider_over_an_upstream_keeps_its_promises() {
    let mut broken = Vec::new();
    for (provider_type, script) in SCRIPTED {
        broken.extend(broken_promises(Subject { provider_type, script: *script }).await);
    }
    assert!(broken.is_empty(), "{} promises are broken:\n{}", broken.len(), broken.join("\n"));
}

#[tokio::test]
async fn images_at_addresses_are_fetched_for_all_but_the_services_of_vendors() {
    for (provider_type, script) in SCRIPTED {
        if script.does().contains(&Does::Chat) {
            are_fetched(Subject { provider_type, script: *script }).await;
        }
    }
}

/// An upstream whose streams end before they have said that they do.
struct Endless(OpenAiScript);

impl Script for Endless {
    fn config(&self, url: &str) -> Value {
        self.0.config(url)
    }

    fn does(&self) -> &'static [Does] {
        CHATS
    }

    fn is_call(&self, request: &Seen) -> bool {
        self.0.is_call(request)
    }

    fn answer(&self, request: &Seen, scene: Scene) -> Answer {
        let answer = self.0.answer(request, scene);
        if scene == Scene::Plain && request.json()["stream"] == true {
            let end = answer.len() - "data: [DONE]\n\n".len() - 20;
            return answer.cut_after(end);
        }
        answer
    }
}

#[tokio::test]
async fn broken_promises_are_named_with_the_provider() {
    const SCRIPT: Endless = Endless(OpenAiScript::new(at_url));
    let subject = Subject { provider_type: "remote::openai-compatible", script: &SCRIPT };
    let broken = broken_promises(subject).await;
    let is_named = |promise: &str| {
        let start = format!("remote::openai-compatible: {promise}: ");
        broken.iter().any(|broken| broken.starts_with(&start))
    };
    assert!(is_named("a stream ends once, with usage"), "{broken:?}");
    assert!(is_named("the network may cut anywhere"), "{broken:?}");
    assert!(is_named("what it does not do is refused"), "{broken:?}");
    assert!(!is_named("an answer is whole"), "{broken:?}");
    assert!(!is_named("calls of functions are whole"), "{broken:?}");
}

#[tokio::test]
async fn every_provider_in_this_process_keeps_its_promises() {
    for known in IN_PROCESS {
        known.keeps_its_promises().await;
    }
}
