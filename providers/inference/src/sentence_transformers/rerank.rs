//! Ranking documents with cross-encoders.

use super::SentenceTransformers;
use crate::local::failed;
use chaski_api::{
    Error, ErrorKind, Result,
    openai::{RerankList, RerankRequest, RerankResult, RerankUsage},
};
use chaski_llm::{Reranker, gguf::Header};
use chaski_provider::{Payload, RerankReply};

impl SentenceTransformers {
    /// The scores of the documents of a request.
    ///
    /// # Errors
    /// Those of the weights folder, the engine and the request.
    pub(super) async fn scores(&self, request: &RerankRequest) -> Result<RerankReply> {
        let documents = request.texts()?.into_iter().map(str::to_owned).collect();
        let model = self.reranker(request.model()).await?;
        let found = model.score(request.query()?, documents).await.map_err(failed)?;
        let results = (0..).zip(found.scores).map(|(index, score)| RerankResult {
            index,
            relevance_score: score.into(),
            document: None,
        });
        Ok(Payload::Value(RerankList {
            object: "list".to_owned(),
            model: request.model().to_owned(),
            results: results.collect(),
            usage: Some(RerankUsage::of(found.tokens)),
        }))
    }

    async fn reranker(&self, name: &str) -> Result<Reranker> {
        let path = self.store.path(name)?;
        let options = self.options.clone();
        let key = path.to_string_lossy().into_owned();
        let needed = || {
            let path = path.clone();
            async move { Reranker::memory_needed(&path).await }
        };
        let load = |progress| {
            let (path, options) = (path.clone(), options.clone());
            async move { Reranker::load(&path, options, progress).await }
        };
        self.rerankers.get(&key, needed, load).await
    }

    /// Checks that the file of a model to register is one that ranks.
    ///
    /// # Errors
    /// `InvalidRequest` if there is no such file, or it does something else.
    pub(super) fn check_ranks(&self, name: &str) -> Result<()> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidRequest, message);
        let path = self.store.path(name).map_err(|error| invalid(error.message))?;
        let header = Header::read(&path).map_err(|error| invalid(error.to_string()))?;
        if header.ranks() {
            return Ok(());
        }
        Err(invalid(format!(
            "`{name}` is not a rerank model; to rank with an embedding model, register it with the \
             model type `embedding` and name it in the request"
        )))
    }
}
