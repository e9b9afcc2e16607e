//! Vector databases: the registered one says which store keeps the chunks, and which model makes
//! their vectors.

use super::ranking_model;
use crate::{RoutingTable, table::Routed};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    endpoints::vector_dbs::RegisterVectorDbRequest,
    models::Model,
    openai::{Body, EmbeddingRequest, RerankRequest},
    retrieval::{Filter, SearchMode, VectorDb},
};
use chaski_provider::{
    ChunkPage, ChunkToInsert, Context, EmbeddedChunk, Inference, Retrieval, ScoredChunk, Search,
    Selection, StoredChunk, TokenCounter, VectorQuery, no_mode,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use std::{collections::HashSet, sync::Arc};

/// The most texts of one request to an embedding model, and the most bytes of them.
const TEXTS_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 256 * 1024;
/// How many such requests are under way for one insert.
const REQUESTS_AT_ONCE: usize = 2;
/// The most bytes of the text of a chunk.
const CHUNK_BYTES: usize = 1024 * 1024;

/// How many chunks are ranked anew unless the request says so.
const RANKED: usize = 30;

/// Hands each request to the store of its database, with the vectors that it needs.
pub(crate) struct VectorIoRouter {
    dbs: Arc<RoutingTable<VectorDb>>,
    models: Arc<RoutingTable<Model>>,
    inference: Arc<dyn Inference>,
}

impl VectorIoRouter {
    pub(crate) fn new(
        dbs: Arc<RoutingTable<VectorDb>>,
        models: Arc<RoutingTable<Model>>,
        inference: Arc<dyn Inference>,
    ) -> Self {
        Self { dbs, models, inference }
    }

    async fn route(&self, id: &str) -> Result<Routed<VectorDb>> {
        self.dbs.route(id).await
    }

    /// What counts tokens as the embedding model of a database does, if its provider can tell.
    pub(crate) async fn token_counter(
        &self,
        cx: &Context,
        db: &VectorDb,
    ) -> Result<Option<TokenCounter>> {
        self.inference.token_counter(cx, &db.embedding_model).await
    }

    /// The vectors of `texts`, in their order.
    pub(crate) async fn embed(
        &self,
        cx: &Context,
        db: &VectorDb,
        texts: Vec<String>,
    ) -> Result<Vec<Vec<f32>>> {
        let batches = batches(texts);
        let vectors: Vec<Vec<Vec<f32>>> = stream::iter(batches)
            .map(|texts| self.embed_some(cx, db, texts))
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(vectors.into_iter().flatten().collect())
    }

    /// Gives chunks the scores of a model, and puts the best first.
    async fn rank(
        &self,
        cx: &Context,
        query: &str,
        model: String,
        found: &mut Vec<ScoredChunk>,
    ) -> Result<()> {
        // Chunks without text cannot be compared with anything.
        found.retain(|chunk| !chunk.chunk.text().trim().is_empty());
        if found.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = found.iter().map(|chunk| chunk.chunk.text()).collect();
        let mut body = Body::default();
        body.insert("model".to_owned(), model.into());
        body.insert("query".to_owned(), query.into());
        body.insert("documents".to_owned(), json!(texts));
        let list = self.inference.rerank(cx, RerankRequest { body }).await?.into_value()?;
        for result in list.results {
            let index = usize::try_from(result.index).unwrap_or(usize::MAX);
            if let Some(chunk) = found.get_mut(index) {
                chunk.score = result.relevance_score;
            }
        }
        found.sort_by(|one, other| other.score.total_cmp(&one.score));
        Ok(())
    }

    async fn embed_some(
        &self,
        cx: &Context,
        db: &VectorDb,
        texts: Vec<String>,
    ) -> Result<Vec<Vec<f32>>> {
        let model = self.models.get(&db.embedding_model).await?;
        let count = texts.len();
        let mut body = Body::default();
        body.insert("model".to_owned(), db.embedding_model.clone().into());
        body.insert("input".to_owned(), json!(texts));
        // A third of the bytes of the same numbers in decimal, and no rounding.
        body.insert("encoding_format".to_owned(), "base64".into());
        if let Some(length) = model.length_to_ask_for(Some(db.embedding_dimension)) {
            body.insert("dimensions".to_owned(), length.into());
        }
        let reply = self.inference.embeddings(cx, EmbeddingRequest { body }).await?;
        let vectors = reply.into_value()?.vectors(count)?;
        vectors
            .into_iter()
            .map(|vector| {
                let vector = narrowed(vector);
                check(&vector, db).map_err(|problem| {
                    let message = format!("embedding model `{}`: {problem}", db.embedding_model);
                    Error::new(ErrorKind::Upstream { status: None }, message)
                })?;
                Ok(vector)
            })
            .collect()
    }
}

/// The rerank model that a request names, or the first one.
async fn rerank_model(models: &RoutingTable<Model>, named: Option<String>) -> Result<String> {
    let of_request = |error: Error| error.with_param("rerank.model");
    ranking_model(models, named).await.map_err(of_request)?.ok_or_else(|| {
        of_request(Error::invalid(
            "there is no rerank model; register one, or name an embedding model in `rerank.model`",
        ))
    })
}

/// 64-bit numbers as 32-bit ones, as all stores keep them.
fn narrowed(vector: Vec<f64>) -> Vec<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "what is out of range is found by `check`")]
    vector.into_iter().map(|number| number as f32).collect()
}

/// What is wrong with a vector for this database, if anything is.
fn check(vector: &[f32], db: &VectorDb) -> Result<(), String> {
    let (wanted, got) = (db.embedding_dimension, vector.len());
    if i64::try_from(got) != Ok(wanted) {
        return Err(format!("Embedding dimension mismatch. Expected {wanted}, got {got}"));
    }
    if let Some(index) = vector.iter().position(|number| !number.is_finite()) {
        return Err(format!("the number {index} of a vector is not finite"));
    }
    if vector.iter().all(|number| *number == 0.0) {
        return Err("a vector is zero, and so has no direction to compare".to_owned());
    }
    Ok(())
}

/// The texts in pieces that an embedding model takes at once.
fn batches(texts: Vec<String>) -> Vec<Vec<String>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for text in texts {
        if !batch.is_empty() && (batch.len() == TEXTS_AT_ONCE || bytes + text.len() > BYTES_AT_ONCE)
        {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += text.len();
        batch.push(text);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// The text of a chunk for an embedding model.
fn text(chunk: &StoredChunk, index: usize) -> Result<String> {
    let text = chunk.content.texts(" ").ok_or_else(|| {
        Error::invalid(format!("`chunks[{index}].content` has an image; only text can be inserted"))
    })?;
    if text.len() > CHUNK_BYTES {
        let length = text.len();
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "`chunks[{index}].content` has {length} bytes, and a chunk may have {CHUNK_BYTES}; cut it"
            ),
        ));
    }
    Ok(text)
}

#[async_trait]
impl Retrieval for VectorIoRouter {
    async fn ensure(&self, _: &Context, vector_db_id: &str, embedding_model: &str) -> Result<()> {
        if self.dbs.get(vector_db_id).await.is_ok() {
            return Ok(());
        }
        let request = RegisterVectorDbRequest {
            vector_db_id: vector_db_id.to_owned(),
            embedding_model: embedding_model.to_owned(),
            embedding_dimension: None,
            provider_id: None,
            provider_vector_db_id: None,
        };
        self.dbs.register_vector_db(&self.models, request).await.map(drop)
    }

    async fn remove(&self, _: &Context, vector_db_id: &str) -> Result<()> {
        match self.dbs.unregister(vector_db_id).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    async fn insert(
        &self,
        cx: &Context,
        vector_db_id: &str,
        mut chunks: Vec<ChunkToInsert>,
    ) -> Result<()> {
        let routed = self.route(vector_db_id).await?;
        let db = &routed.resource;
        if chunks.is_empty() {
            // No vector is a vector of the wrong length, in the words of the reference.
            return Err(Error::invalid(check(&[], db).err().unwrap_or_default()));
        }
        for (index, chunk) in chunks.iter().enumerate() {
            match &chunk.vector {
                Some(vector) => check(vector, db).map_err(|problem| {
                    Error::invalid(format!("`chunks[{index}].embedding`: {problem}"))
                })?,
                None => drop(text(&chunk.chunk, index)?),
            }
        }
        // Of chunks with the same id, the last one counts.
        let mut ids = HashSet::new();
        chunks.reverse();
        chunks.retain(|chunk| ids.insert(chunk.chunk.id.clone()));
        chunks.reverse();

        let without = chunks.iter().filter(|chunk| chunk.vector.is_none());
        let texts = without.map(|chunk| chunk.chunk.text()).collect();
        let mut made = self.embed(cx, db, texts).await?.into_iter();
        let embedded = chunks
            .into_iter()
            .filter_map(|ChunkToInsert { chunk, vector }| {
                Some(EmbeddedChunk { chunk, vector: vector.or_else(|| made.next())? })
            })
            .collect();
        routed.provider.insert(&routed.context(cx), db, embedded).await
    }

    async fn search(
        &self,
        cx: &Context,
        vector_db_id: &str,
        search: Search,
    ) -> Result<Vec<ScoredChunk>> {
        let routed = self.route(vector_db_id).await?;
        let (db, modes) = (&routed.resource, routed.provider.modes());
        let Search { mode, text, max, min_score, filter, ranker, rerank } = search;
        if !modes.contains(&mode) {
            return Err(no_mode(mode, modes));
        }
        // A model that is not there is told whatever is found.
        let ranked_by = match &rerank {
            Some(rerank) => Some(rerank_model(&self.models, rerank.model.clone()).await?),
            None => None,
        };
        let mut vector = Vec::new();
        if mode != SearchMode::Keyword {
            vector = self.embed(cx, db, vec![text.clone()]).await?.pop().unwrap_or_default();
        }
        let (Some(rerank), Some(model)) = (rerank, ranked_by) else {
            let query = VectorQuery { mode, vector, text, max, min_score, filter, ranker };
            return routed.provider.query(&routed.context(cx), db, &query).await;
        };
        let candidates = rerank.candidates.and_then(|count| usize::try_from(count.0).ok());
        let query = VectorQuery {
            mode,
            vector,
            text: text.clone(),
            max: candidates.unwrap_or(RANKED).max(max),
            min_score: None,
            filter,
            ranker,
        };
        let mut found = routed.provider.query(&routed.context(cx), db, &query).await?;
        self.rank(cx, &text, model, &mut found).await?;
        found.retain(|chunk| min_score.is_none_or(|least| chunk.score >= least));
        found.truncate(max);
        Ok(found)
    }

    async fn delete(&self, cx: &Context, vector_db_id: &str, which: &Selection) -> Result<()> {
        let routed = self.route(vector_db_id).await?;
        routed.provider.delete(&routed.context(cx), &routed.resource, which).await
    }

    async fn list(
        &self,
        cx: &Context,
        vector_db_id: &str,
        filter: Option<&Filter>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let routed = self.route(vector_db_id).await?;
        let cx = routed.context(cx);
        routed.provider.list(&cx, &routed.resource, filter, after, limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_embedded_in_pieces_of_bounded_size() {
        let lengths = |texts: Vec<String>| batches(texts).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(vec![String::new(); 130]), [64, 64, 2]);
        assert_eq!(lengths(vec!["x".repeat(100 * 1024); 5]), [2, 2, 1]);
        assert_eq!(lengths(vec!["x".repeat(300 * 1024); 2]), [1, 1]);
        assert!(lengths(Vec::new()).is_empty());
    }
}
