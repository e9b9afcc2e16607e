//! The promises of providers that run models in this process: those that need no upstream.

use super::{
    Does, chat, completion, cx, embeddings, rerank,
    streams::{Heard, Kind},
};
use crate::{
    local::tests::{deps, weights_dir},
    tests::Served,
};
use chaski_api::ErrorKind;
use chaski_provider::Reply;
use chaski_testkit::{eventually, within};
use serde_json::{Value, json};
use std::path::PathBuf;

/// More tokens than a dropped stream may have cost: it may run ahead of who hears it, but not far.
const FEW: u64 = 400;

/// A provider that runs models in this process.
#[derive(Clone, Copy)]
pub(crate) struct InProcess {
    pub provider_type: &'static str,
    pub config: fn() -> Value,
    /// A model of the weights for tests.
    pub model: &'static str,
    pub does: &'static [Does],
}

impl InProcess {
    fn does(self, what: Does) -> bool {
        self.does.contains(&what)
    }

    async fn provider(self) -> Served {
        self.provider_over(weights_dir(self.model)).await
    }

    async fn provider_over(self, weights: PathBuf) -> Served {
        let entry = crate::ALL.iter().find(|entry| entry.is(self.provider_type));
        let entry = entry.expect("the table of subjects names providers of the table");
        (entry.build)((self.config)(), deps(weights)).await.unwrap()
    }

    /// Checks all that it promises.
    pub(crate) async fn keeps_its_promises(self) {
        // Loading takes longer than all that is asked: one for all.
        let provider = &self.provider().await;
        for kind in Kind::of(self.does) {
            self.says_the_same_in_a_stream(provider, kind).await;
            self.fails_before_the_first_event(provider, kind).await;
            self.stops_when_it_is_dropped(provider, kind).await;
        }
        if self.does(Does::Calls) {
            self.calls_functions(provider).await;
        }
        if self.does(Does::Completions) {
            self.ends_with_its_first_error(provider).await;
        }
        if self.does(Does::Embeddings) {
            self.makes_vectors(provider).await;
        }
        if self.does(Does::Rerank) {
            self.ranks().await;
        }
        self.refuses_the_rest(provider).await;
    }

    async fn heard(self, provider: &Served, kind: Kind, more: Value) -> Heard {
        let stream = kind.ask(provider, self.model, more).await;
        let (heard, outcome) = stream.unwrap().hear().await;
        outcome.expect("the stream ends by itself");
        heard
    }

    /// What is said without a stream.
    async fn whole(self, provider: &Served, kind: Kind, more: Value) -> Heard {
        let mut heard = Heard::default();
        match kind {
            Kind::Chat => {
                let reply = provider.chat(&cx(), chat(self.model, more)).await.unwrap();
                let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
                let mut answer = answer.into_value().unwrap();
                let choice = answer.choices.remove(0);
                heard.text = choice.message.content.unwrap_or_default();
                (heard.finish_reason, heard.usage) = (choice.finish_reason, answer.usage);
            }
            Kind::Completion => {
                let request = completion(self.model, more);
                let reply = provider.completion(&cx(), request).await.unwrap();
                let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
                let mut answer = answer.into_value().unwrap();
                let choice = answer.choices.remove(0);
                heard.text = choice.text;
                (heard.finish_reason, heard.usage) = (choice.finish_reason, answer.usage);
            }
        }
        heard
    }

    async fn says_the_same_in_a_stream(self, provider: &Served, kind: Kind) {
        let limits = json!({ "temperature": 0, "seed": 1, "max_tokens": 6 });
        let answer = self.whole(provider, kind, limits.clone()).await;
        assert!(!answer.text.is_empty() && answer.finish_reason.is_some(), "{answer:?}");
        assert!(answer.usage.as_ref().is_some_and(|usage| usage.completion_tokens > 0));
        let without = self.heard(provider, kind, limits.clone()).await;
        assert_eq!(without.usage, None, "usage was not asked for");
        let mut more = limits;
        more["stream_options"] = json!({ "include_usage": true });
        assert_eq!(self.heard(provider, kind, more).await, answer, "{kind:?}");
    }

    async fn fails_before_the_first_event(self, provider: &Served, kind: Kind) {
        let request = chat("no-such-model", json!({}));
        let whole = match kind {
            Kind::Chat => provider.chat(&cx(), request).await.err(),
            Kind::Completion => {
                let request = completion("no-such-model", json!({}));
                provider.completion(&cx(), request).await.err()
            }
        };
        let streamed = kind.ask(provider, "no-such-model", json!({})).await.err();
        for error in [whole, streamed] {
            let error = error.expect("there is no such model");
            let fits = matches!(error.kind, ErrorKind::NotFound | ErrorKind::InvalidRequest);
            assert!(fits, "{error:?}");
            assert!(error.message.contains("no-such-model"), "{error}");
        }
    }

    /// A stream that nobody hears computes nothing more.
    async fn stops_when_it_is_dropped(self, provider: &Served, kind: Kind) {
        let says = || provider.health().message.unwrap_or_default();
        let is_idle = || says().contains(": 0 running, 0 waiting, ");
        // Nothing is told without tokens.
        let tokens = || {
            let says = says();
            let told = says.split(", ").find_map(|part| part.split_once(" answer tokens"));
            told.map_or(0, |(number, _)| number.parse::<u64>().expect("a number of tokens"))
        };
        eventually("all before it is counted", is_idle).await;
        let before = tokens();
        // Without its marks of the end, the model goes on until the context is full.
        let endless = json!({ "max_tokens": null, "logit_bias": { "0": -100, "2": -100 } });
        let mut stream = kind.ask(provider, self.model, endless).await.unwrap();
        let first = within("the first event", stream.next(&mut Heard::default())).await;
        first.expect("the stream goes on").unwrap();
        // The first event may come before the work.
        eventually("the work has begun", || !is_idle()).await;
        drop(stream);
        eventually("the work is over", is_idle).await;
        let cost = tokens() - before;
        assert!(cost < FEW, "{kind:?}: {cost} tokens were computed");
    }

    /// Of two prompts, the second is too long for the model.
    async fn ends_with_its_first_error(self, provider: &Served) {
        let prompts = json!(["1, 2, 3,", "4, ".repeat(4096)]);
        let more = json!({ "prompt": prompts, "max_tokens": 4 });
        let stream = Kind::Completion.ask(provider, self.model, more).await;
        let (heard, outcome) = stream.expect("the first prompt fits").hear().await;
        assert!(!heard.text.is_empty() && heard.finish_reason.is_some(), "{heard:?}");
        let error = outcome.expect_err("the second prompt is too long");
        assert_eq!(error.code.as_deref(), Some("context_length_exceeded"), "{error}");
    }

    async fn calls_functions(self, provider: &Served) {
        let parameters = json!({
            "type": "object", "required": ["city"], "additionalProperties": false,
            "properties": { "city": { "type": "string", "maxLength": 8 } },
        });
        let function = json!({ "name": "get_weather", "parameters": parameters });
        let tools = json!([{ "type": "function", "function": function }]);
        let more =
            json!({ "tools": tools, "tool_choice": "required", "max_tokens": 64, "seed": 1 });
        let heard = self.heard(provider, Kind::Chat, more).await;
        assert_eq!(heard.finish_reason.as_deref(), Some("tool_calls"));
        for (id, name, arguments) in &heard.calls {
            assert!(!id.is_empty());
            assert_eq!(name, "get_weather");
            let arguments: Value = serde_json::from_str(arguments).expect("arguments are JSON");
            assert!(arguments["city"].is_string(), "{arguments}");
        }
        assert!(!heard.calls.is_empty());
    }

    async fn makes_vectors(self, provider: &Served) {
        let request = embeddings(self.model, json!({}));
        let list = provider.embeddings(&cx(), request).await.unwrap();
        let list = list.into_value().unwrap();
        let indices: Vec<i64> = list.data.iter().map(|entry| entry.index).collect();
        assert_eq!(indices, [0, 1]);
        assert!(list.data.iter().all(|entry| entry.embedding.is_array()));
        assert!(list.usage.unwrap().prompt_tokens > 0);
    }

    /// Ranks with the smallest model that can, as the weights for tests have none.
    async fn ranks(self) {
        let folder = tempfile::tempdir().unwrap();
        chaski_llm::gguf::tiny::reranker(&folder.path().join("tiny.gguf")).unwrap();
        let provider = self.provider_over(folder.path().to_owned()).await;
        let list = provider.rerank(&cx(), rerank("tiny")).await.unwrap().into_value().unwrap();
        let indices: Vec<i64> = list.results.iter().map(|result| result.index).collect();
        assert_eq!(indices, [0, 1]);
        let is_score = |score: f64| (0.0..=1.0).contains(&score);
        assert!(list.results.iter().all(|result| is_score(result.relevance_score)));
        assert!(list.usage.unwrap().total_tokens > 0);
        let error = provider.rerank(&cx(), rerank("no-such-model")).await.err().unwrap();
        assert!(error.message.contains("no-such-model"), "{error}");
    }

    async fn refuses_the_rest(self, provider: &Served) {
        let mut errors = Vec::new();
        if !self.does(Does::Chat) {
            errors.push(provider.chat(&cx(), chat(self.model, json!({}))).await.err());
        }
        if !self.does(Does::Completions) {
            let request = completion(self.model, json!({}));
            errors.push(provider.completion(&cx(), request).await.err());
        }
        if !self.does(Does::Embeddings) {
            let request = embeddings(self.model, json!({}));
            errors.push(provider.embeddings(&cx(), request).await.err());
        }
        if !self.does(Does::Rerank) {
            errors.push(provider.rerank(&cx(), rerank(self.model)).await.err());
        }
        for error in errors {
            let error = error.expect("what a provider does not do is refused");
            let fits = matches!(error.kind, ErrorKind::Unsupported | ErrorKind::InvalidRequest);
            assert!(fits, "{error:?}");
        }
    }
}
