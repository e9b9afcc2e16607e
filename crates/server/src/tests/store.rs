//! A vector store in memory that compares with every chunk.

use super::provider::NoSettings;
use async_trait::async_trait;
use chaski_api::{
    Api, Error, Result,
    retrieval::{Filter, SearchMode, VectorDb},
};
use chaski_provider::{
    ChunkPage, Context, Deps, EmbeddedChunk, Entry, Hosts, Lifecycle, Provider, ScoredChunk,
    Selection, Spec, StoredChunk, Timestamp, VectorIo, VectorIoProvider, VectorQuery,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex},
};

pub(super) const ALL: &[Entry<dyn VectorIoProvider>] =
    &[Entry::of::<Store>(), Entry::of::<OtherStore>()];

/// The databases, with their chunks by id.
#[derive(Default)]
struct Databases(Mutex<HashMap<String, BTreeMap<String, EmbeddedChunk>>>);

/// How many chunks each database has.
static COUNTS: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

/// How many chunks the database called `id` has.
pub(super) fn chunks_in(id: &str) -> usize {
    COUNTS.lock().unwrap().get(id).copied().unwrap_or_default()
}

pub(super) struct Store;
pub(super) struct OtherStore;

impl Provider for Store {
    type Api = dyn VectorIoProvider;
    type Config = NoSettings;
    const SPEC: Spec = Spec::new(Api::VectorIo, "inline::faiss", "In memory.");

    async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        Ok(Arc::new(Databases::default()))
    }
}

impl Provider for OtherStore {
    type Api = dyn VectorIoProvider;
    type Config = NoSettings;
    const SPEC: Spec = Spec::new(Api::VectorIo, "inline::sqlite-vec", "In memory.");

    async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        Ok(Arc::new(Databases::default()))
    }
}

impl Databases {
    fn with<T>(
        &self,
        db: &VectorDb,
        work: impl FnOnce(&mut BTreeMap<String, EmbeddedChunk>) -> T,
    ) -> T {
        let mut databases = self.0.lock().unwrap();
        let kept = databases.entry(db.provider_resource_id.clone()).or_default();
        kept.retain(|_, one| one.chunk.expires_at.is_none_or(|at| at > Timestamp::now()));
        work(kept)
    }
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let product = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    };
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

fn holds(filter: Option<&Filter>, chunk: &StoredChunk) -> bool {
    filter.is_none_or(|filter| filter.holds(&chunk.metadata))
}

#[async_trait]
impl VectorIo for Databases {
    fn modes(&self) -> &'static [SearchMode] {
        &[SearchMode::Vector, SearchMode::Keyword]
    }

    async fn insert(&self, _: &Context, db: &VectorDb, chunks: Vec<EmbeddedChunk>) -> Result<()> {
        let chunks = chunks.into_iter().map(|one| (one.chunk.id.clone(), one));
        let count = self.with(db, |kept| {
            kept.extend(chunks);
            kept.len()
        });
        COUNTS.lock().unwrap().insert(db.identifier.clone(), count);
        Ok(())
    }

    async fn query(
        &self,
        _: &Context,
        db: &VectorDb,
        query: &VectorQuery,
    ) -> Result<Vec<ScoredChunk>> {
        let score = |one: &EmbeddedChunk| match query.mode {
            SearchMode::Vector => Some(cosine(&one.vector, &query.vector)),
            SearchMode::Keyword => one.chunk.text().contains(&query.text).then_some(1.5),
            SearchMode::Hybrid => None,
        };
        let mut found: Vec<ScoredChunk> = self.with(db, |kept| {
            let alive = kept.values().filter(|one| holds(query.filter.as_ref(), &one.chunk));
            let scored = alive.filter_map(|one| {
                Some(ScoredChunk { chunk: one.chunk.clone(), score: score(one)? })
            });
            scored.filter(|one| query.min_score.is_none_or(|low| one.score >= low)).collect()
        });
        found.sort_by(|one, other| other.score.total_cmp(&one.score));
        found.truncate(query.max);
        Ok(found)
    }

    async fn delete(&self, _: &Context, db: &VectorDb, which: &Selection) -> Result<()> {
        self.with(db, |kept| match which {
            Selection::Ids(ids) => kept.retain(|id, _| !ids.contains(id)),
            Selection::Where(filter) => kept.retain(|_, one| !holds(Some(filter), &one.chunk)),
        });
        Ok(())
    }

    async fn list(
        &self,
        _: &Context,
        db: &VectorDb,
        filter: Option<&Filter>,
        _: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let chunks = self.with(db, |kept| {
            let alive = kept.values().filter(|one| holds(filter, &one.chunk));
            alive.take(limit).cloned().collect()
        });
        Ok(ChunkPage { chunks, next: None })
    }
}

#[async_trait]
impl Hosts<VectorDb> for Databases {
    async fn on_register(&self, db: VectorDb) -> Result<VectorDb> {
        if db.identifier == "refused" {
            return Err(Error::unavailable("the store does not answer"));
        }
        Ok(db)
    }

    async fn on_unregister(&self, db: &VectorDb) -> Result<()> {
        self.0.lock().unwrap().remove(&db.provider_resource_id);
        Ok(())
    }
}

#[async_trait]
impl Lifecycle for Databases {}
