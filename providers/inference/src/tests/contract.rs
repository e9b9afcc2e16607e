//! What every inference provider promises, checked with an upstream that its own script plays.
//!
//! A provider over an upstream supplies a [`Script`]: how its upstream says what a [`Scene`] needs.
//! Its line in `subjects.rs` does the rest.

mod answers;
mod failures;
mod images;
mod in_process;
mod streams;

pub(crate) use images::are_fetched;
pub(crate) use in_process::InProcess;

use crate::tests::Served;
use chaski_api::{
    Result,
    openai::{ChatRequest, EmbeddingRequest, RerankRequest, TextCompletionRequest},
};
use chaski_provider::{Context, Deps, Tasks};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use chaski_upstream::{Http, HttpOptions};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Map, Value, json};
use std::{panic::AssertUnwindSafe, path::PathBuf};
use streams::{Kind, Stream};

/// The pieces of the text that an upstream says, with characters of one to four bytes.
pub(crate) const PIECES: [&str; 4] = ["Gr\u{fc}\u{df}e", ", ", "\u{4e16}\u{754c}", " \u{1f389}"];
/// The tokens that an upstream reports: of the prompt, and of the answer.
pub(crate) const TOKENS: (i64, i64) = (11, 5);
/// The vectors that an upstream makes of two texts: numbers that 32-bit floats can hold.
pub(crate) const VECTORS: [[f32; 2]; 2] = [[1.0, -2.5], [0.0, 0.5]];
/// The scores that an upstream gives two documents.
pub(crate) const SCORES: [f64; 2] = [0.25, 0.75];
/// What an upstream says when it refuses.
pub(crate) const REFUSAL: &str = "the upstream has its reasons";

/// A call of a function, as an upstream makes it.
pub(crate) struct Call {
    pub id: &'static str,
    pub name: &'static str,
    /// JSON, in the pieces in which a stream brings it.
    pub arguments: &'static [&'static str],
}

/// The calls that an upstream makes at once; the second has no arguments.
pub(crate) const CALLS: [Call; 2] = [
    Call { id: "call_1", name: "get_weather", arguments: &["{\"city\":", " \"Paris\"}"] },
    Call { id: "call_2", name: "get_time", arguments: &["{}"] },
];

/// What the upstream is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scene {
    /// Answer as asked: [`PIECES`] to a chat or a completion, [`VECTORS`] to embeddings, [`SCORES`]
    /// to rerank. The answer ends by itself, with [`TOKENS`] if they are asked for.
    Plain,
    /// The same, with events in the stream that this version of its API does not have.
    Noise,
    /// Make both of [`CALLS`].
    Calls,
    /// Answer with this status and [`REFUSAL`] in the form of its errors.
    Refused(u16),
    /// Send the first two of [`PIECES`], then [`REFUSAL`] as an error in the stream, then the rest.
    Fails,
}

/// What a provider does beside chats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Does {
    Chat,
    Calls,
    Completions,
    Embeddings,
    Rerank,
}

/// How the upstream of a provider speaks.
pub(crate) trait Script: Send + Sync {
    /// The configuration of the provider, for an upstream at `url`.
    fn config(&self, url: &str) -> Value;

    /// The model that is asked for.
    fn model(&self) -> &'static str {
        "m"
    }

    /// What the provider does; all the rest must be refused without asking the upstream.
    fn does(&self) -> &'static [Does] {
        &[Does::Chat, Does::Calls, Does::Completions, Does::Embeddings]
    }

    /// Whether a request asks the model for something: the rest are lists, pings and the like.
    fn is_call(&self, request: &Seen) -> bool {
        request.method == "POST"
    }

    /// Whether the upstream's streams are translated: then they are cut at every byte.
    fn is_translated(&self) -> bool {
        false
    }

    /// What the upstream answers to a request. Whether a stream is wanted is in the request.
    fn answer(&self, request: &Seen, scene: Scene) -> Answer;
}

/// A provider over an upstream.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub provider_type: &'static str,
    pub script: &'static dyn Script,
}

type Promise = fn(Subject) -> BoxFuture<'static, ()>;

/// The promises, and how each is checked.
const PROMISES: &[(&str, Promise)] = &[
    ("an answer is whole", |subject| answers::whole(subject).boxed()),
    ("what a request says reaches the upstream", |subject| answers::sent(subject).boxed()),
    ("calls of functions are whole", |subject| answers::calls(subject).boxed()),
    ("vectors come as they were asked for", |subject| answers::vectors(subject).boxed()),
    ("documents are ranked", |subject| answers::ranked(subject).boxed()),
    ("what is no image is refused", |subject| images::are_checked(subject).boxed()),
    ("what it does not do is refused", |subject| answers::refused(subject).boxed()),
    ("a stream ends once, with usage", |subject| streams::ends_once(subject).boxed()),
    ("the network may cut anywhere", |subject| streams::in_pieces(subject).boxed()),
    ("unknown events are skipped", |subject| streams::noise(subject).boxed()),
    ("a dropped stream cancels the work", |subject| streams::dropped(subject).boxed()),
    ("the first error ends a stream", |subject| failures::inside(subject).boxed()),
    ("a stream that breaks is an error", |subject| failures::broken(subject).boxed()),
    ("a failure before the first event is one", |subject| failures::before(subject).boxed()),
    ("an odd answer is an error", |subject| failures::odd(subject).boxed()),
    ("an absent upstream is unavailable", |subject| failures::absent(subject).boxed()),
];

/// The promises that the provider breaks, each with the way in which it does.
pub(crate) async fn broken_promises(subject: Subject) -> Vec<String> {
    let mut broken = Vec::new();
    for (promise, check) in PROMISES {
        if let Err(panic) = AssertUnwindSafe(check(subject)).catch_unwind().await {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            broken.push(format!("{}: {promise}: {said}", subject.provider_type));
        }
    }
    broken
}

impl Subject {
    fn does(self, what: Does) -> bool {
        self.script.does().contains(&what)
    }

    /// What it streams.
    fn kinds(self) -> Vec<Kind> {
        Kind::of(self.script.does())
    }

    /// Asks for a stream.
    async fn ask(self, provider: &Served, kind: Kind, more: Value) -> Result<Stream> {
        kind.ask(provider, self.script.model(), more).await
    }

    /// The upstream in this scene.
    async fn upstream(self, scene: Scene) -> FakeUpstream {
        self.upstream_with(scene, |answer| answer).await
    }

    /// The upstream in this scene, whose answers to calls of models are adorned.
    async fn upstream_with(
        self,
        scene: Scene,
        adorn: impl Fn(Answer) -> Answer + Send + Sync + 'static,
    ) -> FakeUpstream {
        FakeUpstream::start(move |seen| {
            let answer = self.script.answer(seen, scene);
            if self.script.is_call(seen) { adorn(answer) } else { answer }
        })
        .await
    }

    /// The provider over `upstream`.
    async fn over(self, upstream: &FakeUpstream) -> Served {
        self.at(&upstream.url()).await
    }

    async fn at(self, url: &str) -> Served {
        let entry = crate::ALL.iter().find(|entry| entry.is(self.provider_type));
        let entry = entry.expect("the table of subjects names providers of the table");
        let config = self.script.config(url);
        assert_eq!((entry.check)(config.clone()), [], "the configuration of the script");
        // What is repeated is not what is promised here, and pauses take time.
        let options = HttpOptions { retries: 0, ..HttpOptions::default() };
        let deps = Deps {
            http: Http::new(options).unwrap(),
            weights_dir: PathBuf::new(),
            compute_threads: 1,
            cpu: chaski_provider::Cpu::new(1),
            documents: chaski_provider::Documents::in_process(),
            environment: chaski_provider::Environment::default(),
            tasks: Tasks::default(),
            routers: chaski_provider::Routers::default(),
        };
        (entry.build)(config, deps).await.expect("the provider starts")
    }

    /// The requests that asked the model for something.
    fn calls(self, upstream: &FakeUpstream) -> Vec<Seen> {
        let mut requests = upstream.requests();
        requests.retain(|seen| self.script.is_call(seen));
        requests
    }

    fn chat(self, more: Value) -> ChatRequest {
        chat(self.script.model(), more)
    }

    fn completion(self, more: Value) -> TextCompletionRequest {
        completion(self.script.model(), more)
    }

    fn embeddings(self, more: Value) -> EmbeddingRequest {
        embeddings(self.script.model(), more)
    }

    fn rerank(self) -> RerankRequest {
        rerank(self.script.model())
    }
}

fn cx() -> Context {
    Context { request_id: "request-1".into(), ..Context::default() }
}

fn body(fields: Value, more: Value) -> Map<String, Value> {
    let (Value::Object(mut body), Value::Object(more)) = (fields, more) else {
        panic!("a body is an object")
    };
    body.extend(more);
    body
}

fn chat(model: &str, more: Value) -> ChatRequest {
    let messages = json!([{ "role": "user", "content": "Say hello to the world" }]);
    ChatRequest { body: body(json!({ "model": model, "messages": messages }), more).into() }
}

fn completion(model: &str, more: Value) -> TextCompletionRequest {
    let fields = json!({ "model": model, "prompt": "1, 2, 3, 4,", "max_tokens": 8 });
    TextCompletionRequest { body: body(fields, more).into() }
}

fn embeddings(model: &str, more: Value) -> EmbeddingRequest {
    EmbeddingRequest { body: body(json!({ "model": model, "input": ["one", "two"] }), more).into() }
}

fn rerank(model: &str) -> RerankRequest {
    let fields = json!({ "model": model, "query": "a number", "documents": ["one", "two"] });
    RerankRequest { body: body(fields, json!({})).into() }
}

/// The functions of [`CALLS`], to be offered to a model.
fn tools() -> Value {
    let tool = |name: &str, properties: Value| {
        let parameters = json!({ "type": "object", "properties": properties });
        json!({ "type": "function", "function": { "name": name, "parameters": parameters } })
    };
    json!([
        tool("get_weather", json!({ "city": { "type": "string" } })),
        tool("get_time", json!({})),
    ])
}
