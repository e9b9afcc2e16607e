//! Ranking documents. OpenAI has no such API; the shape is the one that Cohere, Jina and vLLM share.

use super::{
    body::{Field, Kind, open_body},
    tolerant,
};
use crate::{Error, Result};
use serde_json::Value;

/// The most documents of one request.
pub const MOST_DOCUMENTS: usize = 2048;

open_body! {
    /// A query and the documents to rank by it (Cohere's and Jina's "rerank", as vLLM serves it).
    RerankRequest, &[
        Field::required("model", Kind::Text, "The registered rerank model, or an embedding model: then the vectors of query and documents are compared."),
        Field::required("query", Kind::Text, "What the documents are compared with."),
        Field::required("documents", Kind::List(MOST_DOCUMENTS), "The documents: texts, or objects with `text`."),
        Field::optional("top_n", Kind::Integer(1, i64::MAX), "How many of the best documents are answered; all of them unless given."),
        Field::optional("return_documents", Kind::Bool, "Whether the results carry the documents; `false` unless given."),
    ]
}

impl RerankRequest {
    /// What the documents are compared with.
    ///
    /// # Errors
    /// `InvalidRequest` if it is empty.
    pub fn query(&self) -> Result<&str> {
        let query = self.body.get("query").and_then(Value::as_str).unwrap_or_default();
        if query.trim().is_empty() {
            return Err(Error::invalid("`query` is empty; say what the documents are ranked by")
                .with_param("query"));
        }
        Ok(query)
    }

    /// The texts of the documents, in their order.
    ///
    /// # Errors
    /// `InvalidRequest` if there are none, or one of them has no text.
    pub fn texts(&self) -> Result<Vec<&str>> {
        let documents = self.body.get("documents").and_then(Value::as_array);
        let documents = documents.map(Vec::as_slice).unwrap_or_default();
        if documents.is_empty() {
            return Err(
                Error::invalid("`documents` is empty; give at least one").with_param("documents")
            );
        }
        let texts = documents.iter().enumerate().map(|(index, document)| {
            let text = document.get("text").unwrap_or(document);
            text.as_str().ok_or_else(|| {
                let message = format!(
                    "`documents[{index}]` must be a text or an object with the text `text`"
                );
                Error::invalid(message).with_param("documents")
            })
        });
        texts.collect()
    }

    /// How many of the best documents are wanted, if not all.
    pub fn top_n(&self) -> Option<usize> {
        let top = self.body.get("top_n").and_then(Value::as_u64)?;
        Some(usize::try_from(top).unwrap_or(usize::MAX))
    }
}

crate::wire! {
    /// The tokens of a rerank request.
    pub struct RerankUsage after tolerant::without_nulls {
        /// Tokens of the query and of all documents.
        pub prompt_tokens: i64 = 0,
        /// The same.
        pub total_tokens: i64 = 0,
    }

    /// A document and how well it fits the query.
    pub struct RerankResult {
        /// Which document, from 0.
        pub index: i64,
        /// The higher, the better: for a rerank model from 0 to 1, for an embedding model the cosine
        /// of the angle between the vectors, from -1 to 1.
        pub relevance_score: f64,
        /// The document, if it was asked for; a text becomes an object with `text`.
        pub document: Option<Value>,
    }

    /// The documents, the best first.
    pub struct RerankList after tolerant::answer {
        /// `list`.
        pub object: String = "list".to_owned(),
        /// The model that answered.
        pub model: String = String::new(),
        /// The documents, the best first.
        pub results: Vec<RerankResult>,
        /// The tokens used, where they are known.
        pub usage: Option<RerankUsage>,
    }
}

impl RerankUsage {
    /// The usage of a request with so many tokens.
    pub fn of(tokens: usize) -> Self {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        Self { prompt_tokens: tokens, total_tokens: tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wire;
    use serde_json::json;

    fn request(documents: Value) -> RerankRequest {
        let mut body = json!({ "model": "m", "query": "q" });
        body["documents"] = documents;
        RerankRequest::from_json(body).expect("the request has the declared form")
    }

    #[test]
    fn documents_are_texts_or_objects_with_a_text() {
        let request = request(json!(["a", { "text": "b", "id": 7 }, ""]));
        assert_eq!(request.texts().unwrap(), ["a", "b", ""]);
    }

    #[test]
    fn a_document_without_a_text_is_refused_with_its_place() {
        for wrong in
            [json!(1), json!(null), json!({ "title": "x" }), json!({ "text": 1 }), json!([])]
        {
            let error = request(json!(["a", wrong])).texts().unwrap_err();
            assert!(error.message.starts_with("`documents[1]` must be a text"), "{error}");
            assert_eq!(error.param.as_deref(), Some("documents"));
        }
        assert!(request(json!([])).texts().unwrap_err().message.contains("is empty"));
    }

    #[test]
    fn the_form_of_a_request_is_checked_field_by_field() {
        let read = |more: Value| {
            let mut body = json!({ "model": "m", "query": "q", "documents": ["a"] });
            for (key, value) in more.as_object().unwrap() {
                body[key] = value.clone();
            }
            RerankRequest::from_json(body).map_err(|issues| issues[0].to_string())
        };
        assert_eq!(read(json!({ "top_n": 1 })).unwrap().top_n(), Some(1));
        assert_eq!(read(json!({ "top_n": null })).unwrap().top_n(), None);
        assert!(read(json!({ "query": "  " })).unwrap().query().is_err());
        let many: Vec<&str> = vec!["x"; MOST_DOCUMENTS + 1];
        for (wrong, start) in [
            (json!({ "top_n": 0 }), "top_n: must be an integer of at least 1, not 0"),
            (json!({ "top_n": -1 }), "top_n: must be an integer of at least 1, not -1"),
            (json!({ "top_n": "2" }), "top_n: must be an integer of at least 1"),
            (json!({ "query": ["q"] }), "query: must be a string"),
            (json!({ "documents": "a" }), "documents: must be a list of at most 2048 items"),
            (json!({ "documents": many }), "documents: must be a list of at most 2048 items"),
            (json!({ "return_documents": "no" }), "return_documents: must be true or false"),
            (json!({ "query": null }), "query: Field required"),
        ] {
            let message = read(wrong).unwrap_err();
            assert!(message.starts_with(start), "{message}");
        }
    }
}
