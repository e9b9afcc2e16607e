//! The metrics of answers: whose count they show, and what they cost.

use super::*;
use chaski_api::routing::Cost;
use chaski_provider::Served;
use std::sync::Arc;

/// The metrics of a chat with `model`, whole and as a stream, where the provider counts 100 and 7.
async fn chat_metrics(model: &Model, cx: &Context) -> [Value; 2] {
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 7 });
    let message = json!({ "message": { "content": "Hello world" }, "finish_reason": "stop" });
    let whole = Scripted::new([json!({ "id": "c", "choices": [message], "usage": usage })]);
    let counted = json!({ "choices": [], "usage": usage });
    let events = Scripted::new([said("Hello world"), finished("stop"), counted]);
    let mut found = Vec::new();
    for (provider, stream) in [(whole, false), (events, true)] {
        let request = ChatCompletionRequest::from_json(json!({
            "model_id": "m", "messages": [{ "role": "user", "content": "hi" }], "stream": stream,
        }));
        let reply = chat_completion(&provider, model, cx, request.unwrap()).await.unwrap();
        found.push(outcome(reply).await.pop().unwrap()["metrics"].take());
    }
    found.try_into().unwrap()
}

#[tokio::test]
async fn the_tokens_are_those_of_the_provider_unless_the_reference_counts_the_model_itself() {
    let cx = Context::default();
    let gpt = named("gpt-9", "llm", json!({}));
    assert_eq!(chat_metrics(&gpt, &cx).await, [metrics(100, 7), metrics(100, 7)]);
    assert_eq!(chat_metrics(&model("llm"), &cx).await, [metrics(11, 12), metrics(11, 12)]);
}

#[tokio::test]
async fn the_provider_is_asked_to_count_a_stream_where_its_count_is_needed() {
    let cost = json!({ "cost": { "prompt_per_million": 1 } });
    let paid_target = json!({ "routing": { "targets": [
        { "provider_id": "p", "cost": { "prompt_per_million": 1 } },
    ] } });
    let options = json!({ "include_usage": true });
    for (model, asked) in [
        (named("gpt-9", "llm", json!({})), &options),
        (named("Llama-9", "llm", json!({})), &Value::Null),
        (named("Llama-9", "llm", cost), &options),
        (named("Llama-9", "llm", paid_target), &options),
    ] {
        let provider = Scripted::new([said("a"), finished("stop")]);
        let request = ChatCompletionRequest::from_json(json!({
            "model_id": "m", "messages": [{ "role": "user", "content": "hi" }], "stream": true,
        }));
        let cx = Context::default();
        let reply = chat_completion(&provider, &model, &cx, request.unwrap()).await.unwrap();
        let last = outcome(reply).await.pop().unwrap();
        assert_eq!(last["metrics"][0]["value"], 11, "counted here where the provider does not");
        assert_eq!(&provider.asked()["stream_options"], asked, "{model:?}");
    }
}

#[tokio::test]
async fn the_cost_is_that_of_the_tokens_that_the_provider_counted() {
    let cost = json!({ "prompt_per_million": 2, "completion_per_million": 10, "currency": "EUR" });
    let cost = Cost::from_json(cost).unwrap();
    let cx = Context::default();
    cx.trail.lead_to(&Arc::new(Served::new("p", "llama-1b", Some(cost))));
    let paid = named("llama-1b", "llm", json!({}));
    for found in chat_metrics(&paid, &cx).await {
        assert_eq!(found[0]["value"], 11);
        assert_eq!(found[3], json!({ "metric": "cost", "value": 0.00027, "unit": "EUR" }));
    }
}
