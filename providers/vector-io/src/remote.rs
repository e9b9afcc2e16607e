//! What all stores behind a network have in common: collections that are made when they are needed,
//! filters without their empty parts, batches, and hybrid searches.

use crate::{filters::Plain, fusion};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    retrieval::{Filter, SearchMode, VectorDb},
};
use chaski_provider::{
    ChunkPage, Context, EmbeddedChunk, Hosts, Lifecycle, ScoredChunk, Selection, VectorIo,
    VectorQuery, no_mode,
};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::OnceCell;

/// A database server as [`Store`] speaks to it.
#[async_trait]
pub(crate) trait Remote: Send + Sync + 'static {
    /// What is known about a collection that is there.
    type Collection: Clone + Send + Sync;
    /// A filter in the form of the database.
    type Condition: Send + Sync;

    const MODES: &'static [SearchMode];
    /// The most chunks of one insert.
    const BATCH: usize = 256;

    /// Which server a request goes to, where callers say that; nothing if nobody has said it.
    fn place(&self, _cx: &Context) -> Option<String> {
        Some(String::new())
    }

    /// The name of the collection of a vector database.
    fn name(&self, db: &VectorDb) -> String;

    /// The condition that holds for the chunks that `filter` holds for, or for all, and that have
    /// not expired.
    ///
    /// # Errors
    /// `Unsupported` if the database cannot compare in that way.
    fn condition(&self, filter: Option<&Filter>) -> Result<Self::Condition>;

    /// Whether an error says that the collection is not there.
    fn is_missing(error: &Error) -> bool {
        error.kind == ErrorKind::Upstream { status: Some(404) }
    }

    /// The collection of that name, which is made unless it is there.
    ///
    /// # Errors
    /// `Conflict` if it is there with vectors of another length.
    async fn open(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<Self::Collection>;

    /// Drops the collection of that name.
    async fn drop(&self, cx: &Context, name: &str) -> Result<()>;

    /// Removes the chunks that have expired.
    async fn sweep(&self, cx: &Context, collection: &Self::Collection) -> Result<()>;

    /// Inserts chunks, in place of those with the same ids.
    async fn insert(
        &self,
        cx: &Context,
        collection: &Self::Collection,
        chunks: Arc<Vec<EmbeddedChunk>>,
    ) -> Result<()>;

    /// At most `max` chunks, those first whose vectors are nearest.
    async fn by_vector(
        &self,
        cx: &Context,
        collection: &Self::Collection,
        vector: &[f32],
        condition: &Self::Condition,
        max: usize,
    ) -> Result<Vec<ScoredChunk>>;

    /// At most `max` chunks, those first that have the most of the words.
    async fn by_words(
        &self,
        _cx: &Context,
        _collection: &Self::Collection,
        _words: &str,
        _condition: &Self::Condition,
        _max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        Err(no_mode(SearchMode::Keyword, Self::MODES))
    }

    /// Removes chunks.
    async fn remove(
        &self,
        cx: &Context,
        collection: &Self::Collection,
        which: &Which<'_, Self::Condition>,
    ) -> Result<()>;

    /// A part of the chunks; see [`VectorIo::list`].
    async fn page(
        &self,
        cx: &Context,
        collection: &Self::Collection,
        condition: &Self::Condition,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage>;

    /// Whether the database can be reached and used.
    async fn check(&self) -> Result<()>;

    /// Ends what is open.
    async fn shutdown(&self) {}
}

/// The most collections that are remembered.
const KNOWN: usize = 10_000;

/// Which chunks are removed.
pub(crate) enum Which<'a, C> {
    /// Those with these ids, of which there is at least one.
    Ids(&'a [String]),
    Where(&'a C),
}

/// The chunks of a database server, one collection for each vector database.
pub(crate) struct Store<R: Remote> {
    remote: R,
    /// The collections met so far.
    known: Mutex<HashMap<Key, Opening<R::Collection>>>,
}

/// A collection by its server and name.
type Key = (Option<String>, String);

/// A collection, once it is open. Who needs it meanwhile waits for the one that opens it, and
/// everybody else goes on.
type Opening<C> = Arc<OnceCell<C>>;

impl<R: Remote> Store<R> {
    pub(crate) fn new(remote: R) -> Self {
        Self { remote, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Opening<R::Collection>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, cx: &Context, db: &VectorDb) -> Key {
        (self.remote.place(cx), self.remote.name(db))
    }

    /// The place of a collection, which may be empty.
    fn opening(&self, key: &Key) -> Opening<R::Collection> {
        let mut known = self.known();
        if let Some(found) = known.get(key) {
            return Arc::clone(found);
        }
        if known.len() >= KNOWN {
            // Those that somebody is just opening stay.
            known.retain(|_, opening| !opening.initialized() && Arc::strong_count(opening) > 1);
        }
        Arc::clone(known.entry(key.clone()).or_default())
    }

    /// The collection of `db`, and its place.
    async fn collection(
        &self,
        cx: &Context,
        db: &VectorDb,
    ) -> Result<(Opening<R::Collection>, R::Collection)> {
        let key = self.key(cx, db);
        let opening = self.opening(&key);
        let outcome = opening.get_or_try_init(|| self.remote.open(cx, db, &key.1)).await.cloned();
        match outcome {
            Ok(found) => Ok((opening, found)),
            Err(error) => {
                // One who waits is the next to try, in the same place.
                if Arc::strong_count(&opening) <= 2 {
                    self.forget(&key, &opening);
                }
                Err(error)
            }
        }
    }

    /// Forgets what is in this place, unless it has another one by now.
    fn forget(&self, key: &Key, opening: &Opening<R::Collection>) {
        let mut known = self.known();
        if known.get(key).is_some_and(|own| Arc::ptr_eq(own, opening)) {
            known.remove(key);
        }
    }

    /// Forgets a collection that was open.
    fn forget_open(&self, key: &Key) {
        let mut known = self.known();
        if known.get(key).is_some_and(|opening| opening.initialized()) {
            known.remove(key);
        }
    }

    /// Does something with the collection of `db`. One that is gone, as after a restart of a server
    /// that keeps nothing, is made anew.
    async fn on<T, F>(
        &self,
        cx: &Context,
        db: &VectorDb,
        act: impl Fn(R::Collection) -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let (opening, found) = self.collection(cx, db).await?;
        match act(found).await {
            Err(error) if R::is_missing(&error) => {
                self.forget(&self.key(cx, db), &opening);
                act(self.collection(cx, db).await?.1).await
            }
            outcome => outcome,
        }
    }

    async fn by_vector(
        &self,
        cx: &Context,
        db: &VectorDb,
        query: &VectorQuery,
        condition: &R::Condition,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let (remote, vector) = (&self.remote, query.vector.as_slice());
        let act = |found: R::Collection| async move {
            remote.by_vector(cx, &found, vector, condition, max).await
        };
        self.on(cx, db, act).await.map(sorted)
    }

    async fn by_words(
        &self,
        cx: &Context,
        db: &VectorDb,
        query: &VectorQuery,
        condition: &R::Condition,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let (remote, words) = (&self.remote, query.text.as_str());
        let act = |found: R::Collection| async move {
            remote.by_words(cx, &found, words, condition, max).await
        };
        self.on(cx, db, act).await.map(sorted)
    }
}

/// The best first, and of equal ones those with the lower ids, so that answers do not change by
/// themselves.
fn sorted(mut found: Vec<ScoredChunk>) -> Vec<ScoredChunk> {
    found.sort_by(|one, other| {
        other.score.total_cmp(&one.score).then_with(|| one.chunk.id.cmp(&other.chunk.id))
    });
    found
}

#[async_trait]
impl<R: Remote> VectorIo for Store<R> {
    fn modes(&self) -> &'static [SearchMode] {
        R::MODES
    }

    async fn insert(&self, cx: &Context, db: &VectorDb, chunks: Vec<EmbeddedChunk>) -> Result<()> {
        let remote = &self.remote;
        self.on(cx, db, |found| async move { remote.sweep(cx, &found).await }).await?;
        let mut rest = chunks;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(R::BATCH));
            let some = &Arc::new(std::mem::replace(&mut rest, later));
            let act = |found: R::Collection| async move {
                remote.insert(cx, &found, Arc::clone(some)).await
            };
            self.on(cx, db, act).await?;
        }
        Ok(())
    }

    async fn query(
        &self,
        cx: &Context,
        db: &VectorDb,
        query: &VectorQuery,
    ) -> Result<Vec<ScoredChunk>> {
        if !R::MODES.contains(&query.mode) {
            return Err(no_mode(query.mode, R::MODES));
        }
        let Ok(filter) = Plain::of(query.filter.as_ref()).possible() else {
            return Ok(Vec::new());
        };
        let condition = self.remote.condition(filter.as_ref())?;
        let mut found = match query.mode {
            SearchMode::Vector => self.by_vector(cx, db, query, &condition, query.max).await?,
            SearchMode::Keyword => self.by_words(cx, db, query, &condition, query.max).await?,
            SearchMode::Hybrid => {
                let each = query.max.saturating_mul(fusion::DEPTH);
                let (by_vector, by_words) = tokio::try_join!(
                    self.by_vector(cx, db, query, &condition, each),
                    self.by_words(cx, db, query, &condition, each),
                )?;
                fusion::fuse(by_vector, by_words, &query.ranker, query.max)
            }
        };
        found.retain(|one| query.min_score.is_none_or(|lowest| one.score >= lowest));
        Ok(found)
    }

    async fn delete(&self, cx: &Context, db: &VectorDb, which: &Selection) -> Result<()> {
        let condition;
        let which = match which {
            Selection::Ids(ids) if ids.is_empty() => return Ok(()),
            Selection::Ids(ids) => Which::Ids(ids),
            Selection::Where(filter) => {
                let Ok(filter) = Plain::of(Some(filter)).possible() else { return Ok(()) };
                condition = self.remote.condition(filter.as_ref())?;
                Which::Where(&condition)
            }
        };
        let (remote, which) = (&self.remote, &which);
        self.on(cx, db, |found| async move { remote.remove(cx, &found, which).await }).await
    }

    async fn list(
        &self,
        cx: &Context,
        db: &VectorDb,
        filter: Option<&Filter>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let Ok(filter) = Plain::of(filter).possible() else {
            return Ok(ChunkPage { chunks: Vec::new(), next: None });
        };
        let condition = &self.remote.condition(filter.as_ref())?;
        let remote = &self.remote;
        let act = |found: R::Collection| async move {
            remote.page(cx, &found, condition, after, limit).await
        };
        self.on(cx, db, act).await
    }
}

#[async_trait]
impl<R: Remote> Hosts<VectorDb> for Store<R> {
    async fn on_register(&self, db: VectorDb) -> Result<VectorDb> {
        let cx = Context::default();
        // Where callers say which server it is, it is made by the first request.
        if self.remote.place(&cx).is_some() {
            self.forget_open(&self.key(&cx, &db));
            self.collection(&cx, &db).await?;
        }
        Ok(db)
    }

    async fn on_unregister(&self, db: &VectorDb) -> Result<()> {
        let cx = Context::default();
        if self.remote.place(&cx).is_none() {
            return Ok(());
        }
        self.forget_open(&self.key(&cx, db));
        match self.remote.drop(&cx, &self.remote.name(db)).await {
            Err(error) if !R::is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl<R: Remote> Lifecycle for Store<R> {
    async fn check(&self) -> Result<()> {
        self.remote.check().await
    }

    async fn shutdown(&self) {
        self.remote.shutdown().await;
    }
}

/// Says that the store has a database of that name with other vectors.
pub(crate) fn other_length(db: &VectorDb, length: i64) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "the store has vectors with {length} numbers under `{}`, and the embedding model `{}` \
             makes some with {}; remove them, or give the vector database another \
             `provider_vector_db_id`",
            db.provider_resource_id, db.embedding_model, db.embedding_dimension
        ),
    )
}
