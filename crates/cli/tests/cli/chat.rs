//! A conversation over a pipe.

use crate::support::Place;
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::json;

fn chunk(text: &str) -> String {
    json!({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "foo",
        "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }],
    })
    .to_string()
}

fn answer(seen: &Seen) -> Answer {
    if seen.path.ends_with("/models") {
        return Answer::json(json!({
            "object": "list",
            "data": [
                { "id": "vectors", "object": "model", "model_type": "embedding" },
                { "id": "foo", "object": "model" },
                { "id": "bar", "object": "model" },
            ],
        }));
    }
    let last = json!({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "foo",
        "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }],
    });
    Answer::events([chunk("Hel"), chunk("lo"), last.to_string(), "[DONE]".to_owned()])
}

fn asked(upstream: &FakeUpstream) -> Vec<serde_json::Value> {
    let chats = upstream.requests().into_iter().filter(|seen| seen.path.contains("chat"));
    chats.map(|seen| seen.json()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_answered_one_after_another_and_remembered() {
    let upstream = FakeUpstream::start(answer).await;
    let ran = Place::new()
        .run_with(&["chat", "--url", &upstream.url(), "--system", "Be brief."], "Hi\n\nAgain\n")
        .succeeded();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("Hello\nHello\n", ""));
    let asked = asked(&upstream);
    assert_eq!(asked[0]["model"], "foo");
    assert_eq!(
        asked[1]["messages"],
        json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": "Hello" },
            { "role": "user", "content": "Again" },
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_change_the_conversation() {
    let upstream = FakeUpstream::start(answer).await;
    let input = "/model bar\nHi\n/clear\n/model\nHo\n/exit\nnot said\n";
    let ran = Place::new().run_with(&["chat", "--url", &upstream.url()], input).succeeded();
    assert_eq!(ran.out, "Hello\n  foo\n* bar\nHello\n");
    let asked = asked(&upstream);
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1]["model"], "bar");
    assert_eq!(asked[1]["messages"], json!([{ "role": "user", "content": "Ho" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_is_answered_with_the_nearest_one() {
    let upstream = FakeUpstream::start(answer).await;
    let url = upstream.url();
    Place::new().run_with(&["chat", "--url", &url, "--model", "fo"], "").failed_with(
        1,
        &format!("error: there is no model `fo` at {url}/v1\nhint: did you mean `foo`?\n"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_fails_fails_the_script() {
    let upstream = FakeUpstream::start(|seen| {
        if seen.path.ends_with("/models") {
            return answer(seen);
        }
        Answer::json(json!({ "error": { "message": "out of order" } })).status(400)
    })
    .await;
    Place::new()
        .run_with(&["chat", "--url", &upstream.url()], "Hi\n")
        .failed_with(1, "error: out of order\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_inside_the_process_answers_too() {
    let upstream = FakeUpstream::start(answer).await;
    let place = Place::new();
    let url = upstream.url();
    place.write(
        "run.yaml",
        &format!(
            "version: '2'\nimage_name: inside\nproviders:\n  inference:\n  \
             - {{provider_id: up, provider_type: 'remote::vllm', config: {{url: '{url}/v1'}}}}\n\
             models:\n- {{model_id: foo, provider_id: up}}\n"
        ),
    );
    let ran = place.run_with(&["chat", "--config", "run.yaml"], "Hi\n").succeeded();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("Hello\n", ""));
}
