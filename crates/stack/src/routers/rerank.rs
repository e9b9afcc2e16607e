//! Ranking documents: what is the same for all providers, and the ranking by embedding models.

use crate::RoutingTable;
use chaski_api::{
    Error, ErrorKind, Result,
    models::{Model, ModelType},
    openai::{Body, EmbeddingRequest, RerankList, RerankRequest, RerankResult, RerankUsage},
};
use chaski_provider::{Context, Inference, Payload, RerankReply};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

/// The texts of one request for vectors: what every embedding server takes.
const BATCH: usize = 32;
/// The requests for vectors that are made at once.
const AT_ONCE: usize = 4;

/// What the answer of a provider is completed with.
pub(super) struct Wish {
    model: String,
    /// The number of documents.
    count: usize,
    /// The results to answer.
    top: usize,
    /// The documents, if the results are to carry them.
    documents: Option<Vec<Value>>,
}

impl Wish {
    /// Checks a request, and leaves in it what a provider is to see.
    ///
    /// # Errors
    /// `InvalidRequest` for an empty query, no documents, or documents without text.
    pub(super) fn take(request: &mut RerankRequest) -> Result<Self> {
        request.query()?;
        let texts: Vec<Value> = request.texts()?.into_iter().map(Value::from).collect();
        let count = texts.len();
        let wanted = request.body.shift_remove("return_documents") == Some(Value::Bool(true));
        let given = request.body.insert("documents".to_owned(), texts.into());
        let documents = match given {
            Some(Value::Array(documents)) if wanted => Some(documents),
            _ => None,
        };
        let top = request.top_n().unwrap_or(count).min(count);
        Ok(Self { model: request.model().to_owned(), count, top, documents })
    }

    /// The answer: the best documents first, under the model's name in this stack.
    ///
    /// # Errors
    /// `Upstream` if the provider's answer does not fit the request.
    pub(super) fn complete(mut self, reply: RerankReply) -> Result<RerankReply> {
        let mut list = reply.into_value()?;
        let mut seen = vec![false; self.count];
        for result in &list.results {
            let place = usize::try_from(result.index).ok().and_then(|index| seen.get_mut(index));
            match place {
                Some(seen) if !*seen && result.relevance_score.is_finite() => *seen = true,
                _ => return Err(broken("scores that do not belong to the documents")),
            }
        }
        if list.results.len() < self.top {
            let (found, wanted) = (list.results.len(), self.top);
            return Err(broken(&format!("{found} scores where {wanted} were asked for")));
        }
        list.results.sort_by(|a, b| {
            b.relevance_score.total_cmp(&a.relevance_score).then(a.index.cmp(&b.index))
        });
        list.results.truncate(self.top);
        for result in &mut list.results {
            let at = usize::try_from(result.index).unwrap_or_default();
            let document = self.documents.as_mut().and_then(|documents| documents.get_mut(at));
            result.document = document.map(|document| {
                let document = document.take();
                if document.is_string() { json!({ "text": document }) } else { document }
            });
        }
        list.model = self.model;
        Ok(Payload::Value(list))
    }
}

/// The model that ranks what a search has found: that of the request, or the first rerank model if
/// there is one.
///
/// # Errors
/// `NotFound` if the model of the request is not there, `InvalidRequest` if it cannot rank.
pub(crate) async fn ranking_model(
    models: &RoutingTable<Model>,
    named: Option<String>,
) -> Result<Option<String>> {
    let Some(id) = named else {
        let mut models = models.list().into_iter();
        let first = models.find(|model| model.model_type == ModelType::Rerank);
        return Ok(first.map(|model| model.identifier));
    };
    match models.get(&id).await?.model_type {
        ModelType::Rerank | ModelType::Embedding => Ok(Some(id)),
        ModelType::Llm => Err(Error::invalid(format!(
            "the model `{id}` is a chat model; name a rerank model or an embedding model"
        ))),
    }
}

/// Scores the documents of a request that names an embedding model: by the cosine of the angle
/// between the vectors of the query and of the document.
///
/// # Errors
/// Those of the embedding model, and `Upstream` if its vectors cannot be compared.
pub(super) async fn by_embeddings(
    inference: &dyn Inference,
    cx: &Context,
    request: &RerankRequest,
) -> Result<RerankReply> {
    let mut texts = vec![request.query()?];
    texts.extend(request.texts()?);
    let batches: Vec<_> =
        texts.chunks(BATCH).map(|texts| vectors(inference, cx, request.model(), texts)).collect();
    let batches: Vec<_> = stream::iter(batches).buffered(AT_ONCE).try_collect().await?;
    // Only a sum of which every part is known is one.
    let tokens: Option<i64> = batches.iter().map(|(_, tokens)| *tokens).sum();
    let mut vectors = batches.into_iter().flat_map(|(vectors, _)| vectors);
    let query = vectors.next().unwrap_or_default();
    let results: Result<Vec<RerankResult>> = (0..)
        .zip(vectors)
        .map(|(index, vector)| {
            let relevance_score = cosine(&query, &vector)?;
            Ok(RerankResult { index, relevance_score, document: None })
        })
        .collect();
    Ok(Payload::Value(RerankList {
        object: "list".to_owned(),
        model: String::new(),
        results: results?,
        usage: tokens.map(|tokens| RerankUsage { prompt_tokens: tokens, total_tokens: tokens }),
    }))
}

async fn vectors(
    inference: &dyn Inference,
    cx: &Context,
    model: &str,
    texts: &[&str],
) -> Result<(Vec<Vec<f64>>, Option<i64>)> {
    let mut body = Body::default();
    body.insert("model".to_owned(), model.into());
    body.insert("input".to_owned(), json!(texts));
    body.insert("encoding_format".to_owned(), "base64".into());
    let list = inference.embeddings(cx, EmbeddingRequest { body }).await?.into_value()?;
    let tokens = list.usage.as_ref().map(|usage| usage.total_tokens);
    Ok((list.vectors(texts.len())?, tokens))
}

/// The cosine of the angle between two vectors; 0 where one of them has no direction.
fn cosine(a: &[f64], b: &[f64]) -> Result<f64> {
    if a.len() != b.len() || a.is_empty() {
        return Err(broken("vectors of different lengths"));
    }
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (product(a, a) * product(b, b)).sqrt();
    let cosine = if lengths > 0.0 { product(a, b) / lengths } else { 0.0 };
    // Rounding may lead a little beyond the ends.
    Ok(cosine.clamp(-1.0, 1.0))
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, format!("the upstream sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use chaski_api::{Wire, openai::EmbeddingList};
    use chaski_provider::EmbeddingReply;
    use std::sync::Mutex;

    #[expect(clippy::needless_pass_by_value, reason = "so that the tests can write literals")]
    fn request(more: Value) -> RerankRequest {
        let mut body = json!({ "model": "m", "query": "q", "documents": ["a", { "text": "b" }] });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        RerankRequest::from_json(body).unwrap()
    }

    fn scores(list: &[(i64, f64)]) -> RerankReply {
        let result =
            |&(index, relevance_score)| RerankResult { index, relevance_score, document: None };
        Payload::Value(RerankList {
            object: "list".to_owned(),
            model: "theirs".to_owned(),
            results: list.iter().map(result).collect(),
            usage: None,
        })
    }

    fn completed(more: Value, list: &[(i64, f64)]) -> Result<RerankList> {
        Wish::take(&mut request(more))?.complete(scores(list))?.into_value()
    }

    #[test]
    fn a_provider_sees_texts_and_its_answer_is_put_in_order() {
        let mut asked = request(json!({ "return_documents": true, "truncate": "END" }));
        let wish = Wish::take(&mut asked).unwrap();
        let seen =
            json!({ "model": "m", "query": "q", "documents": ["a", "b"], "truncate": "END" });
        assert_eq!(Value::from(asked.body), seen);
        let list = wish.complete(scores(&[(0, -0.5), (1, 0.9)])).unwrap().into_value().unwrap();
        assert_eq!(list.model, "m");
        let results = serde_json::to_value(&list.results).unwrap();
        assert_eq!(
            results,
            json!([
                { "index": 1, "relevance_score": 0.9, "document": { "text": "b" } },
                { "index": 0, "relevance_score": -0.5, "document": { "text": "a" } },
            ])
        );
    }

    #[test]
    fn the_best_are_kept_and_equal_ones_stay_in_their_order() {
        let indexes = |top: Value, list: &[(i64, f64)]| -> Vec<i64> {
            let list = completed(json!({ "top_n": top }), list).unwrap();
            assert!(list.results.iter().all(|result| result.document.is_none()));
            list.results.iter().map(|result| result.index).collect()
        };
        assert_eq!(indexes(json!(1), &[(0, 0.1), (1, 0.2)]), [1]);
        assert_eq!(indexes(json!(1), &[(1, 0.2)]), [1], "an upstream may send the best only");
        assert_eq!(indexes(json!(9), &[(1, 0.2), (0, 0.2)]), [0, 1]);
    }

    #[test]
    fn scores_that_do_not_fit_the_documents_are_the_providers_fault() {
        let none = json!({});
        for wrong in [
            &[(0, 0.1), (2, 0.2)][..],
            &[(0, 0.1), (-1, 0.2)],
            &[(0, 0.1), (0, 0.2)],
            &[(0, 0.1), (1, f64::NAN)],
            &[(0, 0.1)],
            &[],
        ] {
            let error = completed(none.clone(), wrong).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Upstream { status: None }, "{wrong:?}");
        }
    }

    /// Vectors that point up for "up", down for "down" and aside for everything else.
    #[derive(Default)]
    struct Compass(Mutex<Vec<usize>>);

    #[async_trait]
    impl Inference for Compass {
        async fn embeddings(
            &self,
            _: &Context,
            request: EmbeddingRequest,
        ) -> Result<EmbeddingReply> {
            let texts = request.body["input"].as_array().unwrap();
            self.0.lock().unwrap().push(texts.len());
            let data = texts.iter().enumerate().map(|(index, text)| {
                let vector = match text.as_str().unwrap() {
                    "up" => [2.0, 0.0],
                    "down" => [-1.0, 0.0],
                    _ => [0.0, 1.0],
                };
                json!({ "index": index, "embedding": vector })
            });
            let data: Vec<Value> = data.rev().collect();
            let usage = json!({ "prompt_tokens": texts.len(), "total_tokens": texts.len() });
            let list = json!({ "data": data, "usage": usage });
            Ok(Payload::Value(EmbeddingList::from_json(list).unwrap()))
        }
    }

    #[tokio::test]
    async fn an_embedding_model_ranks_by_the_angle_whatever_the_order_of_the_vectors() {
        let mut documents = vec!["aside"; 98];
        documents.extend(["down", "up"]);
        let request = request(json!({ "query": "up", "documents": documents }));
        let compass = Compass::default();
        let list = by_embeddings(&compass, &Context::default(), &request).await.unwrap();
        let list = list.into_value().unwrap();
        let scores: Vec<f64> = list.results.iter().map(|result| result.relevance_score).collect();
        assert_eq!((scores.len(), scores[97], scores[98], scores[99]), (100, 0.0, -1.0, 1.0));
        assert_eq!(list.usage.unwrap().total_tokens, 101);
        assert!(compass.0.lock().unwrap().iter().all(|count| *count <= BATCH));
    }

    #[test]
    fn vectors_of_different_lengths_cannot_be_compared() {
        assert!(cosine(&[1.0], &[1.0, 0.0]).is_err() && cosine(&[], &[]).is_err());
        assert!(cosine(&[0.0, 0.0], &[1.0, 0.0]).unwrap().abs() < 1e-12);
    }
}
