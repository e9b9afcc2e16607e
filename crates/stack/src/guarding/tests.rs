//! Models with shields, over a scripted model and a scripted shield.
#![expect(clippy::needless_pass_by_value, reason = "so that the tests can write literals")]

mod streams;

use super::*;
use crate::testing::config;
use chaski_api::{
    Wire,
    openai::{Body, ChatChunk, ChatCompletion, TextCompletion},
    safety::{RunShieldResponse, SafetyViolation},
};
use chaski_provider::{EventStream, Payload, Principal, ProviderData};
use chaski_testkit::eventually;
use serde_json::{Map, Value, json};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

/// A model that answers with these events, or with one of these bodies.
#[derive(Default)]
struct Model {
    events: Mutex<Vec<Result<Value>>>,
    whole: Mutex<Value>,
    asked: Mutex<usize>,
    left: Arc<AtomicBool>,
}

/// Notes that a stream was dropped before its end.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Model {
    fn stream<E: Send + 'static>(&self) -> EventStream<Payload<E>> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        let leaving = Leaving(Arc::clone(&self.left));
        futures::iter(events)
            .map(move |event| {
                let _kept = &leaving;
                event.map(|event| Payload::Raw(event.to_string().into()))
            })
            .boxed()
    }

    fn full<F>(&self) -> Payload<F> {
        Payload::Raw(self.whole.lock().unwrap().to_string().into())
    }

    fn reply<F, E: Send + 'static>(&self, stream: bool) -> Reply<F, E> {
        *self.asked.lock().unwrap() += 1;
        if stream { Reply::Stream(self.stream()) } else { Reply::Full(self.full()) }
    }
}

#[async_trait]
impl Inference for Model {
    async fn chat(&self, _: &Context, request: ChatRequest) -> Result<ChatReply> {
        Ok(self.reply(request.stream()))
    }

    async fn completion(&self, _: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        Ok(self.reply(request.stream()))
    }
}

/// A shield that objects to `bad` in the last message, and fails at `broken`.
#[derive(Default)]
struct Censor {
    /// The shield, who asks, with which keys, and the messages.
    seen: Mutex<Vec<(String, String, Vec<Message>)>>,
}

fn text(message: &Message) -> String {
    serde_json::to_value(message).unwrap()["content"].to_string()
}

#[async_trait]
impl Shields for Censor {
    async fn run_shield(
        &self,
        cx: &Context,
        shield_id: &str,
        messages: &[Message],
        _: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        let who = cx.principal.as_ref().map_or("", |principal| &principal.id);
        let key = cx.provider_data.text("key").unwrap_or_default();
        let seen = (shield_id.to_owned(), format!("{who}/{key}"), messages.to_vec());
        self.seen.lock().unwrap().push(seen);
        let last = messages.last().map(text).unwrap_or_default();
        if last.contains("broken") {
            return Err(Error::unavailable("no route to http://secret-host:1"));
        }
        let violation_level =
            if last.contains("odd") { ViolationLevel::Warn } else { ViolationLevel::Error };
        let violation = (last.contains("bad") || last.contains("odd")).then(|| SafetyViolation {
            violation_level,
            user_message: (!last.contains("silent")).then(|| "no".to_owned()),
            metadata: Map::new(),
        });
        Ok(RunShieldResponse { violation })
    }
}

struct World {
    model: Arc<Model>,
    censor: Arc<Censor>,
    guarding: Guarding,
}

/// A model `m` with these shields, and `free` with none.
fn world(shields: Value) -> World {
    let (model, censor) = (Arc::new(Model::default()), Arc::new(Censor::default()));
    let models = json!([
        { "model_id": "m", "provider_id": "p", "shields": shields },
        { "model_id": "free", "provider_id": "p" },
    ]);
    let config = config(json!([]), models);
    let inner: Arc<dyn Inference> = model.clone();
    let safety: Arc<dyn Shields> = censor.clone();
    let guarding = Guarding::new(&inner, &safety, &config).unwrap();
    World { model, censor, guarding }
}

impl World {
    /// The texts of the last messages that the shield was asked about.
    fn judged(&self) -> Vec<String> {
        let seen = self.censor.seen.lock().unwrap();
        seen.iter().map(|(_, _, messages)| messages.last().map(text).unwrap_or_default()).collect()
    }

    fn answers(&self, message: Value) {
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        *self.model.whole.lock().unwrap() = json!({ "id": "c", "choices": [choice], "x": 1 });
    }

    fn says(&self, deltas: Vec<Value>) {
        let mut events: Vec<Result<Value>> =
            deltas.into_iter().map(|delta| Ok(event(0, delta, None))).collect();
        events.push(Ok(event(0, json!({}), Some("stop"))));
        *self.model.events.lock().unwrap() = events;
    }

    async fn chat(&self, body: Value) -> Result<Value> {
        let reply = self.guarding.chat(&Context::default(), request(body)).await?;
        let Reply::Full(payload) = reply else { panic!("not a stream") };
        Ok(serde_json::from_slice(&payload.into_bytes()).unwrap())
    }

    /// The events of a stream; the error is the last one.
    async fn stream(&self, body: Value) -> (Vec<Value>, Option<Error>) {
        let mut body = body;
        body["stream"] = true.into();
        let reply = self.guarding.chat(&Context::default(), request(body)).await.unwrap();
        let Reply::Stream(events) = reply else { panic!("a stream") };
        collected(events).await
    }
}

async fn collected<E: Wire>(mut events: EventStream<Payload<E>>) -> (Vec<Value>, Option<Error>) {
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => seen.push(serde_json::from_slice(&event.into_bytes()).unwrap()),
            Err(error) => {
                assert!(events.next().await.is_none(), "nothing follows an error");
                return (seen, Some(error));
            }
        }
    }
    (seen, None)
}

fn event(choice: i64, delta: Value, finish: Option<&str>) -> Value {
    json!({ "id": "c", "object": "chat.completion.chunk", "created": 7, "model": "theirs",
        "choices": [{ "index": choice, "delta": delta, "finish_reason": finish }] })
}

fn request(body: Value) -> ChatRequest {
    ChatRequest { body: Body::from(body.as_object().unwrap().clone()) }
}

fn ask(text: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
}

fn content(words: &str) -> Vec<Value> {
    words.split_inclusive(' ').map(|word| json!({ "content": word })).collect()
}

/// What a client has of a stream: the text, what it was told in its place, and why it ended.
fn heard(events: &[Value]) -> (String, String, Value) {
    let of = |name: &str| -> String {
        let parts = events.iter().map(|event| &event["choices"][0]["delta"][name]);
        parts.filter_map(Value::as_str).collect()
    };
    let finish = events.iter().map(|event| &event["choices"][0]["finish_reason"]);
    let finish = finish.filter(|finish| !finish.is_null()).cloned().collect::<Vec<_>>();
    (of("content"), of("refusal"), finish.into())
}

#[tokio::test]
async fn a_question_that_a_shield_objects_to_never_reaches_the_model() {
    let world = world(json!({ "input": ["guard"] }));
    let answer = world.chat(ask("something bad")).await.unwrap();
    let choice = json!({
        "index": 0, "logprobs": null, "finish_reason": "content_filter",
        "message": { "role": "assistant", "content": null, "refusal": "no",
            "reasoning_content": null, "tool_calls": null },
    });
    assert_eq!((&answer["choices"], &answer["model"]), (&json!([choice]), &json!("m")));
    let mut body = ask("bad and silent");
    body["stream_options"] = json!({ "include_usage": true });
    let (events, error) = world.stream(body).await;
    assert!(error.is_none());
    let told = (String::new(), REFUSAL.to_owned(), json!(["content_filter"]));
    assert_eq!(heard(&events[..1]), told);
    assert_eq!(events[1]["usage"]["total_tokens"], 0);
    assert_eq!(*world.model.asked.lock().unwrap(), 0);
}

#[tokio::test]
async fn an_answer_without_objection_goes_on_as_it_came() {
    let world = world(json!({ "input": ["guard"], "output": ["guard", "other"] }));
    world.answers(json!({ "role": "assistant", "content": "fine, if odd" }));
    assert_eq!(world.chat(ask("hi")).await.unwrap(), *world.model.whole.lock().unwrap());
    let shields: Vec<String> =
        world.censor.seen.lock().unwrap().iter().map(|seen| seen.0.clone()).collect();
    assert_eq!(shields, ["guard", "guard", "other"]);
}

#[tokio::test]
async fn models_without_shields_are_not_looked_at() {
    let world = world(json!({ "input": ["guard"], "output": ["guard"] }));
    world.answers(json!({ "content": "bad" }));
    let mut body = ask("bad");
    body["model"] = "free".into();
    assert_eq!(world.chat(body).await.unwrap(), *world.model.whole.lock().unwrap());
    assert!(world.judged().is_empty());
    let (inner, safety): (Arc<dyn Inference>, Arc<dyn Shields>) = (world.model, world.censor);
    let plain = config(json!([]), json!([{ "model_id": "free" }]));
    assert!(Guarding::new(&inner, &safety, &plain).is_none());
    let mut others = plain;
    let all = json!({ "shields": { "input": ["guard"] } });
    others.safety = Some(crate::config::SafetyConfig::from_json(all).unwrap());
    let guarding = Guarding::new(&inner, &safety, &others).unwrap();
    assert!(guarding.of("registered later").is_some());
}

#[tokio::test]
async fn what_a_model_says_thinks_and_calls_is_judged() {
    let world = world(json!({ "output": ["guard"] }));
    let function = json!({ "name": "mail", "arguments": "{\"to\":\"bad\"}" });
    let unwritten = json!({ "name": "mail", "arguments": { "to": "bad" } });
    for message in [
        json!({ "content": "bad" }),
        json!({ "content": "x", "reasoning_content": "bad" }),
        json!({ "content": "x", "thinking_blocks": [{ "type": "thinking", "thinking": "bad" }] }),
        json!({ "content": "x", "unheard_of": [{ "of": "bad" }] }),
        json!({ "content": null, "tool_calls": [{ "id": "1", "type": "function", "function": function }] }),
        json!({ "content": null, "tool_calls": [{ "id": "1", "function": unwritten }] }),
        json!({ "content": [{ "type": "text", "text": "bad" }] }),
    ] {
        world.answers(message);
        let answer = world.chat(ask("a bad question")).await.unwrap();
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "content_filter");
        assert_eq!(choice["message"]["refusal"], "no");
        assert_eq!(choice["message"]["content"], Value::Null);
        assert_eq!(choice["message"]["tool_calls"], Value::Null);
    }
    for judged in &world.judged()[4..6] {
        assert_eq!(judged, "\"mail({\\\"to\\\":\\\"bad\\\"}\"");
    }
}

#[tokio::test]
async fn of_several_answers_only_those_objected_to_are_replaced() {
    let world = world(json!({ "output": ["guard"] }));
    let choice = |index: i64, text: &str| json!({ "index": index, "message": { "content": text }, "finish_reason": "stop" });
    *world.model.whole.lock().unwrap() =
        json!({ "id": "c", "choices": [choice(0, "bad"), choice(1, "good")] });
    let mut body = ask("hi");
    body["n"] = 2.into();
    let answer = world.chat(body.clone()).await.unwrap();
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer["choices"][1]["message"]["content"], "good");

    *world.model.events.lock().unwrap() = vec![
        Ok(event(0, json!({ "content": "bad" }), None)),
        Ok(event(1, json!({ "content": "good" }), None)),
        Ok(event(0, json!({ "content": "more bad" }), Some("stop"))),
        Ok(event(1, json!({ "content": " end" }), Some("stop"))),
    ];
    let (events, error) = world.stream(body).await;
    assert!(error.is_none());
    let of = |choice: i64| -> Vec<Value> {
        let of = |event: &&Value| event["choices"][0]["index"] == choice;
        events.iter().filter(of).cloned().collect()
    };
    assert_eq!(heard(&of(0)), (String::new(), "no".to_owned(), json!(["content_filter"])));
    assert_eq!(heard(&of(1)), ("good end".to_owned(), String::new(), json!(["stop"])));
}

#[tokio::test]
async fn a_shield_that_cannot_be_asked_lets_nothing_through() {
    let world = world(json!({ "input": ["guard"], "output": ["guard"], "stream_window": 4 }));
    let error = world.chat(ask("broken")).await.unwrap_err();
    let expected = "the shield `guard` of the model `m` could not be asked, so there is no answer; \
                    try again later";
    assert_eq!(error.message, expected);
    assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
    assert!(error.chain().contains("secret-host"), "the log says why");
    assert_eq!(*world.model.asked.lock().unwrap(), 0);

    world.answers(json!({ "content": "broken" }));
    assert_eq!(world.chat(ask("hi")).await.unwrap_err().message, expected);

    world.says(content("some broken words"));
    let (events, error) = world.stream(ask("hi")).await;
    assert_eq!(heard(&events).0, "some ");
    assert_eq!(error.unwrap().message, expected);
}

#[tokio::test]
async fn a_shield_that_cannot_be_asked_may_be_passed_over() {
    let world = world(json!({ "input": ["guard"], "output": ["guard"], "on_failure": "allow" }));
    world.answers(json!({ "content": "broken too" }));
    let answer = world.chat(ask("broken")).await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "broken too");
    let audio =
        json!([{ "type": "input_audio", "input_audio": {} }, { "type": "text", "text": "bad" }]);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": audio }] });
    assert_eq!(world.chat(body).await.unwrap()["choices"][0]["finish_reason"], "content_filter");
}

#[tokio::test]
async fn what_came_before_an_error_of_the_model_is_judged_too() {
    let world = world(json!({ "output": ["guard"] }));
    let broken = || Error::new(ErrorKind::Upstream { status: None }, "cut");
    *world.model.events.lock().unwrap() =
        vec![Ok(event(0, json!({ "content": "fine" }), None)), Err(broken())];
    let (events, error) = world.stream(ask("hi")).await;
    assert_eq!((heard(&events).0.as_str(), error.unwrap().message.as_str()), ("fine", "cut"));
    *world.model.events.lock().unwrap() =
        vec![Ok(event(0, json!({ "content": "bad" }), None)), Err(broken())];
    let (events, error) = world.stream(ask("hi")).await;
    assert!(error.is_none());
    assert_eq!(heard(&events), (String::new(), "no".to_owned(), json!(["content_filter"])));
}

#[tokio::test]
async fn nothing_hides_behind_the_last_message() {
    let world = world(json!({ "input": ["guard"] }));
    world.answers(json!({ "content": "ok" }));
    let user = |text: &str| json!({ "role": "user", "content": text });
    let tool = |text: &str| json!({ "role": "tool", "tool_call_id": "1", "content": text });
    let said = |text: &str| json!({ "role": "assistant", "content": text });
    for (messages, refused) in [
        (json!([user("bad"), user("hi")]), true),
        (json!([user("hi"), said("ok"), tool("bad"), user("go on")]), true),
        (json!([user("bad"), said("Sure, ")]), true),
        (json!([user("hi"), said("bad")]), true),
        (json!([{ "role": "system", "content": "bad" }, user("hi")]), false),
        (json!([user("bad"), said("no"), user("hi")]), false),
    ] {
        let body = json!({ "model": "m", "messages": messages });
        let finish = &world.chat(body).await.unwrap()["choices"][0]["finish_reason"];
        assert_eq!(*finish == "content_filter", refused, "{messages}");
    }
}

#[tokio::test]
async fn what_a_shield_cannot_look_at_is_refused() {
    let world = world(json!({ "input": ["guard"] }));
    let audio = json!([{ "type": "input_audio", "input_audio": { "data": "" } }]);
    for (message, expected) in [
        (json!({ "role": "user", "content": audio }), "content of the type `input_audio`"),
        (json!({ "role": "user", "content": 5 }), "neither a text nor a list of parts"),
        (json!({ "role": "wizard", "content": "a" }), "a message of the role `wizard`"),
    ] {
        let error = world.chat(json!({ "model": "m", "messages": [message] })).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.contains(expected), "{error}");
    }
    let image =
        json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,aGk=" } });
    world.answers(json!({ "content": "ok" }));
    world
        .chat(json!({ "model": "m", "messages": [{ "role": "user", "content": [image] }] }))
        .await
        .unwrap();
    assert!(world.judged()[0].contains("data:image/png;base64,aGk="));
}

#[tokio::test]
async fn completions_have_the_refusal_in_their_text() {
    let world = world(json!({ "input": ["guard"], "output": ["guard"], "stream_window": 8 }));
    let request = |prompt: Value, stream: bool| {
        let body = json!({ "model": "m", "prompt": prompt, "stream": stream });
        TextCompletionRequest { body: body.as_object().unwrap().clone().into() }
    };
    let cx = Context::default();
    let full = async |prompt: Value| -> Result<TextCompletion> {
        let reply = world.guarding.completion(&cx, request(prompt, false)).await?;
        let Reply::Full(payload) = reply else { panic!("not a stream") };
        payload.into_value()
    };
    let refused = full(json!(["fine", "bad"])).await.unwrap();
    assert_eq!(refused.choices.len(), 2);
    assert_eq!(refused.choices[1].text, "no");
    assert_eq!(refused.choices[1].finish_reason.as_deref(), Some("content_filter"));
    let error = full(json!([1, 2])).await.unwrap_err();
    assert!(error.message.contains("a prompt of token ids"), "{error}");

    let choice = |text: &str| json!({ "choices": [{ "index": 0, "text": text }] });
    *world.model.whole.lock().unwrap() = choice("something bad");
    assert_eq!(full(json!("hi")).await.unwrap().choices[0].text, "no");
    *world.model.events.lock().unwrap() =
        ["something ", "bad ", "follows"].map(|text| Ok(choice(text))).into();
    let reply = world.guarding.completion(&cx, request(json!("hi"), true)).await.unwrap();
    let Reply::Stream(events) = reply else { panic!("a stream") };
    let (events, error) = collected(events).await;
    assert!(error.is_none());
    let texts: Vec<&str> =
        events.iter().map(|event| event["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["something ", "no"]);
    assert_eq!(events[1]["choices"][0]["finish_reason"], "content_filter");
}

#[tokio::test]
async fn a_shield_sees_what_its_own_caller_said_and_nobody_elses() {
    let world = world(json!({ "input": ["guard"], "output": ["guard"] }));
    world.answers(json!({ "content": "ok" }));
    let ask_as = async |who: &str| {
        let id = who.to_owned();
        let key = Map::from_iter([("key".to_owned(), format!("key of {who}").into())]);
        let cx = Context {
            principal: Some(Arc::new(Principal { id, attributes: Map::new() })),
            provider_data: ProviderData::new(key),
            ..Context::default()
        };
        let asked = request(ask(&format!("I am {who}")));
        world.guarding.chat(&cx, asked).await.map(drop)
    };
    let (one, other) = tokio::join!(ask_as("ann"), ask_as("bea"));
    one.and(other).unwrap();
    let seen = world.censor.seen.lock().unwrap();
    assert_eq!(seen.len(), 4);
    for (_, who, messages) in &*seen {
        let (own, foreign) = if who.starts_with("ann") { ("ann", "bea") } else { ("bea", "ann") };
        assert_eq!(*who, format!("{own}/key of {own}"));
        let said = serde_json::to_string(messages).unwrap();
        assert!(said.contains(own) && !said.contains(foreign), "{said}");
    }
}

#[test]
fn the_pieces_of_an_event_are_all_that_it_says() {
    let event = event(2, json!({ "role": "assistant", "content": "a", "refusal": "b" }), None);
    let pieces = spoken::pieces::<ChatChunk>(&Payload::Raw(event.to_string().into())).unwrap();
    assert_eq!((pieces[0].choice, pieces[0].text.as_str()), (2, "ab"));
    assert!(!pieces[0].calls && !pieces[0].ended);
    let signed = json!({ "thinking_blocks": [
        { "type": "thinking", "thinking": "hm", "signature": "bad" },
        { "type": "redacted_thinking", "data": "bad" },
    ] });
    let signed = self::event(0, signed, None).to_string();
    let pieces = spoken::pieces::<ChatChunk>(&Payload::Raw(signed.into())).unwrap();
    assert_eq!(pieces[0].text, "hm");
    assert!(spoken::pieces::<ChatChunk>(&Payload::Raw("{".into())).is_err());
    let answer = <ChatCompletion as Answered>::refused("m", 3, "no");
    assert_eq!(answer.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1, 2]);
}
