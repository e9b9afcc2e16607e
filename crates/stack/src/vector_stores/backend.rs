//! The vector databases behind vector stores.

use crate::{RoutingTable, routers::VectorIoRouter};
use chaski_api::{
    Error, Result,
    retrieval::{Filter, SearchMode, VectorDb},
};
use chaski_provider::{
    ChunkPage, Context, EmbeddedChunk, ScoredChunk, Selection, StoredChunk, TokenCounter,
    VectorIoProvider, VectorQuery,
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The databases, which only vector stores know of.
pub(super) struct Backend {
    pub(super) dbs: Arc<RoutingTable<VectorDb>>,
    router: Arc<VectorIoRouter>,
    /// Those that their provider knows of since this process started.
    known: Mutex<HashSet<String>>,
}

impl Backend {
    pub(super) fn new(dbs: Arc<RoutingTable<VectorDb>>, router: Arc<VectorIoRouter>) -> Self {
        Self { dbs, router, known: Mutex::default() }
    }

    /// The provider of a database, which has it then, and the context that it may see.
    async fn provider(
        &self,
        cx: &Context,
        db: &VectorDb,
    ) -> Result<(Arc<dyn VectorIoProvider>, Context)> {
        let instance = self.dbs.instance(&db.provider_id).ok_or_else(|| {
            Error::unavailable(format!(
                "the provider `{}` of this vector store is not configured any more",
                db.provider_id
            ))
        })?;
        let provider = instance.ready().await?;
        let cx = cx.for_provider(instance.provider_data_keys());
        let is_known = || {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.contains(&db.identifier)
        };
        if !is_known() {
            provider.on_register(db.clone()).await?;
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(db.identifier.clone());
        }
        Ok((provider, cx))
    }

    /// Makes a database.
    pub(super) async fn make(&self, cx: &Context, db: &VectorDb) -> Result<()> {
        self.provider(cx, db).await.map(drop)
    }

    /// What counts tokens as the embedding model of a database does; with the vocabulary `cl100k`
    /// where nobody knows the one of the model.
    pub(super) async fn token_counter(&self, cx: &Context, db: &VectorDb) -> Result<TokenCounter> {
        let counter = self.router.token_counter(cx, db).await?;
        let open = || TokenCounter::new(|text| bpe_openai::cl100k_base().count(text));
        Ok(counter.unwrap_or_else(open))
    }

    /// Makes the vectors of chunks, and inserts them in place of those with the same ids.
    pub(super) async fn insert(
        &self,
        cx: &Context,
        db: &VectorDb,
        chunks: Vec<StoredChunk>,
    ) -> Result<()> {
        let texts = chunks.iter().map(StoredChunk::text).collect();
        let vectors = self.router.embed(cx, db, texts).await?;
        let chunks = chunks.into_iter().zip(vectors);
        let chunks = chunks.map(|(chunk, vector)| EmbeddedChunk { chunk, vector }).collect();
        self.put(cx, db, chunks).await
    }

    /// Inserts chunks in place of those with the same ids.
    pub(super) async fn put(
        &self,
        cx: &Context,
        db: &VectorDb,
        chunks: Vec<EmbeddedChunk>,
    ) -> Result<()> {
        let (provider, cx) = self.provider(cx, db).await?;
        provider.insert(&cx, db, chunks).await
    }

    /// The modes of search that the provider has.
    pub(super) async fn modes(&self, cx: &Context, db: &VectorDb) -> Result<&'static [SearchMode]> {
        Ok(self.provider(cx, db).await?.0.modes())
    }

    /// The chunks that fit best, the best first. The vector of the query is made here.
    pub(super) async fn search(
        &self,
        cx: &Context,
        db: &VectorDb,
        mut query: VectorQuery,
    ) -> Result<Vec<ScoredChunk>> {
        if query.mode != SearchMode::Keyword {
            let mut vectors = self.router.embed(cx, db, vec![query.text.clone()]).await?;
            query.vector = vectors.pop().unwrap_or_default();
        }
        let (provider, cx) = self.provider(cx, db).await?;
        provider.query(&cx, db, &query).await
    }

    /// Removes chunks.
    pub(super) async fn delete(
        &self,
        cx: &Context,
        db: &VectorDb,
        which: &Selection,
    ) -> Result<()> {
        let (provider, cx) = self.provider(cx, db).await?;
        provider.delete(&cx, db, which).await
    }

    /// A part of the chunks that a filter holds for.
    pub(super) async fn list(
        &self,
        cx: &Context,
        db: &VectorDb,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let (provider, cx) = self.provider(cx, db).await?;
        provider.list(&cx, db, Some(filter), after, limit).await
    }

    /// Removes a database with all its chunks.
    pub(super) async fn remove(&self, cx: &Context, db: &VectorDb) -> Result<()> {
        let (provider, _) = self.provider(cx, db).await?;
        provider.on_unregister(db).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&db.identifier);
        Ok(())
    }
}
