//! Exchanges in the form that a vendor publishes, for the tests of its folder.

use super::{Served, build, caller, llm};
use chaski_api::{Error, ErrorKind, openai::ChatRequest};
use chaski_provider::Reply;
use chaski_testkit::{Answer, FakeUpstream, Seen};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

/// What a vendor publishes about its format.
pub(crate) struct Published {
    pub provider_type: &'static str,
    /// The configuration, for a service at the given URL.
    pub config: fn(&str) -> Value,
    /// A model, as it is named in this stack.
    pub model: &'static str,
    /// A chat that is answered at once.
    pub answer: &'static str,
    /// The same as a stream.
    pub stream: &'static str,
    /// The body of an error.
    pub error: &'static str,
}

/// What the fixtures say.
pub(crate) struct Says {
    pub text: &'static str,
    /// The tokens of the prompt and of the answer.
    pub tokens: (i64, i64),
    /// The status and the message of the error.
    pub error: (u16, &'static str),
}

impl Published {
    /// A service that answers chats from the fixtures, and all else with `other`.
    pub(crate) async fn service(&self, other: Answer) -> FakeUpstream {
        let (answer, stream) = (self.answer, self.stream);
        FakeUpstream::start(move |seen| {
            let is_chat =
                seen.method == "POST" && seen.body.windows(10).any(|at| at == b"\"messages\"");
            if !is_chat {
                other.clone()
            } else if seen.json()["stream"] == true {
                Answer::new("text/event-stream", stream)
            } else {
                Answer::new("application/json", answer)
            }
        })
        .await
    }

    pub(crate) async fn provider(&self, service: &FakeUpstream) -> Served {
        build(self.provider_type, (self.config)(&service.url()), &[]).await.unwrap()
    }

    pub(crate) fn request(&self, more: Value) -> ChatRequest {
        let Value::Object(more) = more else { panic!("a body is an object") };
        let mut request = super::hello(self.model);
        request.body.extend(more);
        request
    }

    /// The fixtures are understood: the answer, the stream, and the error.
    pub(crate) async fn is_understood(&self, says: &Says) {
        let service = self.service(Answer::text("").status(404)).await;
        says.fit(&self.provider(&service).await, self).await;
        let (status, message) = says.error;
        assert_eq!(self.refused(status).await.message, message);
    }

    /// The error that the fixture of one, with this status, is turned into.
    async fn refused(&self, status: u16) -> Error {
        let answer = Answer::new("application/json", self.error).status(status);
        let service = FakeUpstream::answering(answer).await;
        let provider = self.provider(&service).await;
        let error = provider.chat(&caller(&json!({})), self.request(json!({}))).await;
        let error = error.err().expect("the service refuses");
        let kind = match status {
            429 => ErrorKind::RateLimited { retry_after: None },
            _ => ErrorKind::Upstream { status: Some(status) },
        };
        assert_eq!(error.kind, kind);
        error
    }

    /// What the service is sent for a chat that says `more`, by a caller with these credentials.
    pub(crate) async fn sent_for(&self, more: Value, provider_data: Value) -> Seen {
        let service = self.service(Answer::text("").status(404)).await;
        let provider = self.provider(&service).await;
        provider.chat(&caller(&provider_data), self.request(more)).await.map(drop).unwrap();
        service.requests().pop().unwrap()
    }

    /// The body that the service is sent for a chat that says `more`, without its messages.
    pub(crate) async fn body_for(&self, more: Value) -> Value {
        let mut body = self.sent_for(more, json!({})).await.json();
        let messages = body.as_object_mut().unwrap().shift_remove("messages");
        assert_eq!(messages, Some(json!([{ "role": "user", "content": "hello" }])));
        body
    }

    /// Which of the keys is sent: the configured one, or the caller's own.
    pub(crate) async fn key_for(&self, name: &str) -> String {
        let seen = self.sent_for(json!({}), json!({ name: "own-key" })).await;
        seen.header("authorization").to_owned()
    }

    /// The name of the vendor for a model that is registered by another.
    pub(crate) async fn registered(&self, id: &str) -> String {
        let service = self.service(Answer::json(json!({ "data": [] }))).await;
        let model = self.provider(&service).await.on_register(llm(id)).await.unwrap();
        model.provider_resource_id
    }

    /// The models that the provider offers when the service lists these: their names in this stack
    /// and at the vendor, and the length of their vectors.
    pub(crate) async fn offered(&self, list: &'static str) -> Vec<(String, String, Option<i64>)> {
        let service = self.service(Answer::new("application/json", list)).await;
        let offered = self.provider(&service).await.offered().await.unwrap().unwrap();
        let facts = offered.into_iter().map(|model| {
            let dimension = model.embedding_dimension();
            (model.identifier, model.provider_resource_id, dimension)
        });
        facts.collect()
    }
}

impl Says {
    /// The provider says this, at once and in a stream.
    pub(crate) async fn fit(&self, provider: &Served, published: &Published) {
        let cx = caller(&json!({}));
        let reply = provider.chat(&cx, published.request(json!({}))).await.unwrap();
        let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
        let answer = answer.into_value().unwrap();
        assert_eq!(answer.choices[0].message.content.as_deref(), Some(self.text));
        assert_eq!(answer.choices[0].finish_reason.as_deref(), Some("stop"));
        let usage = answer.usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), self.tokens);

        let wish = json!({ "stream": true, "stream_options": { "include_usage": true } });
        let reply = provider.chat(&cx, published.request(wish)).await.unwrap();
        let Reply::Stream(events) = reply else { panic!("a stream was asked for") };
        let events: Vec<_> = events.try_collect().await.unwrap();
        let mut text = String::new();
        let mut reasons = Vec::new();
        let mut tokens = None;
        for event in events {
            let event = event.into_value().unwrap();
            for choice in event.choices {
                text.push_str(&choice.delta.content.unwrap_or_default());
                reasons.extend(choice.finish_reason);
            }
            let usage = event.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens));
            tokens = usage.or(tokens);
        }
        assert_eq!((text.as_str(), reasons), (self.text, vec!["stop".to_owned()]));
        assert_eq!(tokens, Some(self.tokens), "the usage of the stream");
    }
}
