//! Ranking documents: how upstreams are asked for it, and what they answer.

use super::{Call, Connection};
use crate::client::error_in;
use bytes::Bytes;
use chaski_api::{
    Error, Result,
    openai::{Body, RerankList, RerankRequest, RerankResult, RerankUsage},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

/// How many parts of a request are asked for at once.
const AT_ONCE: usize = 4;

/// How an upstream ranks documents, as data.
#[derive(Debug, Clone, Copy)]
pub struct Rerank {
    /// Where, after the base URL.
    pub path: &'static str,
    /// The field of the request that carries the documents.
    pub documents: &'static str,
    /// The field that says how many results are wanted; nothing if the upstream answers with all.
    pub top: Option<&'static str>,
    /// Switches that are sent along unless the request sets them.
    pub switches: &'static [(&'static str, bool)],
    /// The most documents that the upstream takes at once; more are sent in parts.
    pub most: usize,
}

impl Rerank {
    /// The form of Cohere and Jina, which vLLM, llama.cpp's server and most vendors share.
    pub const STANDARD: Self = Self {
        path: "/rerank",
        documents: "documents",
        top: Some("top_n"),
        switches: &[("return_documents", false)],
        most: usize::MAX,
    };

    /// The form of Text Embeddings Inference, with the limit that it has unless told otherwise.
    pub const TEXT_EMBEDDINGS_INFERENCE: Self = Self {
        path: "/rerank",
        documents: "texts",
        top: None,
        switches: &[("truncate", true), ("return_text", false)],
        most: 32,
    };

    /// The bodies for a request, each with the number of its first document.
    fn bodies(&self, mut body: Body) -> Vec<(usize, Body)> {
        let documents = match body.shift_remove("documents") {
            Some(Value::Array(documents)) => documents,
            _ => Vec::new(),
        };
        let parts = documents.len() > self.most;
        let top = body.shift_remove("top_n");
        // The best of all need not be among the best of each part.
        if let (Some(name), Some(top), false) = (self.top, top, parts) {
            body.insert(name.to_owned(), top);
        }
        for (name, value) in self.switches {
            if !body.contains_key(name) {
                body.insert((*name).to_owned(), Value::Bool(*value));
            }
        }
        let chunks = documents.chunks(self.most.max(1)).enumerate();
        let part = |(number, documents): (usize, &[Value])| {
            let mut body = body.clone();
            body.insert(self.documents.to_owned(), documents.into());
            (number * self.most, body)
        };
        chunks.map(part).collect()
    }
}

impl Connection {
    /// The scores of the documents of a request.
    ///
    /// # Errors
    /// `Unsupported` if the dialect has no rerank; what the upstream answers, or that it does not.
    pub async fn rerank(&self, call: Call<'_>, request: RerankRequest) -> Result<RerankList> {
        let dialect = self.dialect();
        let Some(rerank) = &dialect.rerank else {
            return Err(Error::unsupported(format!("{} does not support rerank", dialect.name)));
        };
        let mut body = request.body;
        super::request::fit(&mut body, dialect, None);
        let parts: Vec<_> = rerank
            .bodies(body)
            .into_iter()
            .map(|(first, body)| async move {
                let response = self.post(self.at(rerank.path), call, &body, false).await?;
                let secrets = response.secrets().to_vec();
                let text = response.bytes(super::connection::ANSWER_BYTES).await?;
                let mut list = self.scores(&text, &secrets)?;
                for result in &mut list.results {
                    let first = i64::try_from(first).unwrap_or(i64::MAX);
                    result.index = result.index.saturating_add(first);
                }
                Ok::<_, Error>(list)
            })
            .collect();
        let parts: Vec<RerankList> = stream::iter(parts).buffered(AT_ONCE).try_collect().await?;
        // Only a sum of which every part is known is one.
        let tokens: Option<i64> =
            parts.iter().map(|part| part.usage.as_ref().map(|usage| usage.total_tokens)).sum();
        Ok(RerankList {
            object: "list".to_owned(),
            model: parts.first().map(|part| part.model.clone()).unwrap_or_default(),
            results: parts.into_iter().flat_map(|part| part.results).collect(),
            usage: tokens.map(|tokens| RerankUsage { prompt_tokens: tokens, total_tokens: tokens }),
        })
    }

    fn scores(&self, text: &Bytes, secrets: &[String]) -> Result<RerankList> {
        let unclear = || self.broken("sent scores that cannot be understood");
        let value: Value =
            serde_json::from_slice(text).map_err(|error| unclear().caused_by(error))?;
        if let Some(error) = error_in(&value, secrets) {
            return Err(error);
        }
        read(&value).ok_or_else(unclear)
    }
}

/// The scores in an answer: a list of them, or an object that holds it as `results` or `data`.
fn read(value: &Value) -> Option<RerankList> {
    let rows = value.get("results").or_else(|| value.get("data")).unwrap_or(value).as_array()?;
    let result = |row: &Value| {
        let score = row.get("relevance_score").or_else(|| row.get("score"))?;
        Some(RerankResult {
            index: row.get("index")?.as_i64()?,
            relevance_score: score.as_f64()?,
            document: None,
        })
    };
    let results: Option<Vec<RerankResult>> = rows.iter().map(result).collect();
    let number = |path: &str| value.pointer(path).and_then(Value::as_i64);
    let tokens = ["/usage/total_tokens", "/usage/prompt_tokens", "/meta/tokens/input_tokens"];
    let tokens = tokens.iter().find_map(|path| number(path));
    Some(RerankList {
        object: "list".to_owned(),
        model: value.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        results: results?,
        usage: tokens.map(|tokens| RerankUsage { prompt_tokens: tokens, total_tokens: tokens }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Http, HttpOptions,
        openai::{Dialect, Settings},
    };
    use chaski_api::{ErrorKind, Wire};
    use chaski_testkit::{Answer, FakeUpstream};
    use serde_json::json;

    const STANDARD: Dialect =
        Dialect { name: "vLLM", rerank: Some(Rerank::STANDARD), ..Dialect::OPENAI };
    const TEI: Dialect =
        Dialect { name: "TEI", rerank: Some(Rerank::TEXT_EMBEDDINGS_INFERENCE), ..Dialect::OPENAI };

    async fn ranked(
        upstream: &FakeUpstream,
        dialect: &'static Dialect,
        more: Value,
    ) -> Result<RerankList> {
        let settings = Settings { url: upstream.url(), max_tokens: Some(9), ..Settings::default() };
        let http = Http::new(HttpOptions::default()).unwrap();
        let connection = Connection::new(http, dialect, settings).unwrap();
        let mut body = json!({ "model": "m", "query": "q", "documents": ["a", "b"] });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        connection.rerank(Call::default(), RerankRequest::from_json(body).unwrap()).await
    }

    #[tokio::test]
    async fn the_common_form_is_sent_and_every_known_answer_is_understood() {
        let row = |score: f64| json!({ "index": 1, "relevance_score": score });
        for (answer, tokens) in [
            (json!({ "results": [row(0.5)], "usage": { "total_tokens": 7 } }), Some(7)),
            (json!({ "data": [row(0.5)], "object": "list" }), None),
            (
                json!({ "results": [row(0.5)], "meta": { "tokens": { "input_tokens": 7 } } }),
                Some(7),
            ),
            (json!([{ "index": 1, "score": 0.5 }]), None),
        ] {
            let upstream = FakeUpstream::answering(Answer::json(answer)).await;
            let list = ranked(&upstream, &STANDARD, json!({ "top_n": 1, "x": 1 })).await.unwrap();
            assert_eq!((list.results[0].index, list.results[0].relevance_score), (1, 0.5));
            assert_eq!(list.usage.map(|usage| usage.total_tokens), tokens);
            let seen = upstream.only_request();
            assert_eq!(seen.path, "/rerank");
            let sent = json!({
                "model": "m", "query": "q", "x": 1, "top_n": 1, "return_documents": false,
                "documents": ["a", "b"],
            });
            assert_eq!(seen.json(), sent);
        }
    }

    #[tokio::test]
    async fn many_documents_are_sent_in_parts_that_the_upstream_takes() {
        let upstream = FakeUpstream::start(|seen| {
            let texts = seen.json()["texts"].as_array().unwrap().clone();
            let rows = texts.iter().enumerate().map(|(index, text)| {
                let score: f64 = text.as_str().unwrap().parse().unwrap();
                json!({ "index": index, "score": score })
            });
            Answer::json(rows.rev().collect())
        })
        .await;
        let documents: Vec<String> = (0..70).map(|number| number.to_string()).collect();
        let more = json!({ "documents": documents, "top_n": 2 });
        let list = ranked(&upstream, &TEI, more).await.unwrap();
        assert_eq!(list.results.len(), 70);
        for result in &list.results {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let score = result.index as f64;
            assert!(
                (result.relevance_score - score).abs() < 1e-9,
                "each score belongs to its document"
            );
        }
        let sizes = upstream.requests().into_iter().map(|seen| {
            let body = seen.json();
            assert_eq!((&body["truncate"], body.get("top_n")), (&json!(true), None));
            body["texts"].as_array().unwrap().len()
        });
        let mut sizes: Vec<usize> = sizes.collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [6, 32, 32]);
    }

    #[tokio::test]
    async fn errors_and_answers_that_are_no_scores_are_errors() {
        let refusal = Answer::json(json!({ "error": "too long", "error_type": "Validation" }));
        let upstream = FakeUpstream::answering(refusal.status(422)).await;
        let error = ranked(&upstream, &TEI, json!({})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Upstream { status: Some(422) });
        assert!(error.message.contains("too long"), "{error}");
        for answer in [
            json!({}),
            json!([{ "index": 0 }]),
            json!([{ "index": "0", "score": 1 }]),
            json!({ "results": [{ "index": 0, "relevance_score": null }] }),
            json!({ "results": {} }),
            json!("scores"),
        ] {
            let upstream = FakeUpstream::answering(Answer::json(answer.clone())).await;
            let error = ranked(&upstream, &STANDARD, json!({})).await.unwrap_err();
            assert_eq!(error.message, "vLLM sent scores that cannot be understood", "{answer}");
        }
        let upstream = FakeUpstream::answering(Answer::text("<html>")).await;
        let error = ranked(&upstream, &STANDARD, json!({})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Upstream { status: None });
    }

    #[tokio::test]
    async fn an_upstream_without_rerank_says_so() {
        let upstream = FakeUpstream::answering(Answer::text("")).await;
        let error = ranked(&upstream, &Dialect::OPENAI, json!({})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert_eq!(error.message, "OpenAI does not support rerank");
    }
}
