//! The promises of providers that run models in this process: those that need no upstream.

use super::{
    Does, chat, completion, cx, embeddings,
    streams::{Heard, hear, streamed},
};
use crate::{
    local::tests::{deps, weights_dir},
    tests::Served,
};
use chaski_api::ErrorKind;
use chaski_provider::Reply;
use serde_json::{Value, json};

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
        let entry = crate::ALL.iter().find(|entry| entry.is(self.provider_type));
        let entry = entry.expect("the table of subjects names providers of the table");
        (entry.build)((self.config)(), deps(weights_dir(self.model))).await.unwrap()
    }

    /// Checks all that it promises.
    pub(crate) async fn keeps_its_promises(self) {
        if self.does(Does::Chat) {
            self.says_the_same_in_a_stream().await;
            self.fails_before_the_first_event().await;
        }
        if self.does(Does::Calls) {
            self.calls_functions().await;
        }
        if self.does(Does::Completions) {
            self.continues_texts().await;
        }
        if self.does(Does::Embeddings) {
            self.makes_vectors().await;
        }
        self.refuses_the_rest().await;
    }

    async fn heard(self, more: Value) -> Heard {
        let request = chat(self.model, streamed(more));
        let reply = self.provider().await.chat(&cx(), request).await.unwrap();
        let (heard, outcome) = hear(reply).await;
        outcome.expect("the stream ends by itself");
        heard
    }

    async fn says_the_same_in_a_stream(self) {
        let limits = json!({ "temperature": 0, "seed": 1, "max_tokens": 6 });
        let reply = self.provider().await.chat(&cx(), chat(self.model, limits.clone())).await;
        let Ok(Reply::Full(answer)) = reply else { panic!("no stream was asked for") };
        let answer = answer.into_value().unwrap();
        let without = self.heard(limits.clone()).await;
        assert_eq!(without.usage, None, "usage was not asked for");
        let mut more = limits;
        more["stream_options"] = json!({ "include_usage": true });
        let heard = self.heard(more).await;
        let choice = &answer.choices[0];
        assert_eq!(Some(&heard.text), choice.message.content.as_ref());
        assert_eq!(heard.finish_reason, choice.finish_reason);
        assert!(heard.finish_reason.is_some());
        assert_eq!(heard.usage, answer.usage);
        assert!(heard.usage.is_some());
    }

    async fn fails_before_the_first_event(self) {
        for more in [json!({}), streamed(json!({}))] {
            let request = chat("no-such-model", more);
            let error = self.provider().await.chat(&cx(), request).await.err().unwrap();
            let fits = matches!(error.kind, ErrorKind::NotFound | ErrorKind::InvalidRequest);
            assert!(fits, "{error:?}");
            assert!(error.message.contains("no-such-model"), "{error}");
        }
    }

    async fn calls_functions(self) {
        let parameters = json!({
            "type": "object", "required": ["city"], "additionalProperties": false,
            "properties": { "city": { "type": "string", "maxLength": 8 } },
        });
        let function = json!({ "name": "get_weather", "parameters": parameters });
        let tools = json!([{ "type": "function", "function": function }]);
        let more =
            json!({ "tools": tools, "tool_choice": "required", "max_tokens": 64, "seed": 1 });
        let heard = self.heard(more).await;
        assert_eq!(heard.finish_reason.as_deref(), Some("tool_calls"));
        for (id, name, arguments) in &heard.calls {
            assert!(!id.is_empty());
            assert_eq!(name, "get_weather");
            let arguments: Value = serde_json::from_str(arguments).expect("arguments are JSON");
            assert!(arguments["city"].is_string(), "{arguments}");
        }
        assert!(!heard.calls.is_empty());
    }

    async fn continues_texts(self) {
        let request = completion(self.model, json!({ "temperature": 0 }));
        let reply = self.provider().await.completion(&cx(), request).await;
        let Ok(Reply::Full(answer)) = reply else { panic!("no stream was asked for") };
        let answer = answer.into_value().unwrap();
        assert!(!answer.choices[0].text.is_empty());
        assert!(answer.usage.unwrap().completion_tokens > 0);
    }

    async fn makes_vectors(self) {
        let request = embeddings(self.model, json!({}));
        let list = self.provider().await.embeddings(&cx(), request).await.unwrap();
        let list = list.into_value().unwrap();
        let indices: Vec<i64> = list.data.iter().map(|entry| entry.index).collect();
        assert_eq!(indices, [0, 1]);
        assert!(list.data.iter().all(|entry| entry.embedding.is_array()));
        assert!(list.usage.unwrap().prompt_tokens > 0);
    }

    async fn refuses_the_rest(self) {
        let provider = self.provider().await;
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
        for error in errors {
            let error = error.expect("what a provider does not do is refused");
            let fits = matches!(error.kind, ErrorKind::Unsupported | ErrorKind::InvalidRequest);
            assert!(fits, "{error:?}");
        }
    }
}
