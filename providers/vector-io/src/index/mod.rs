//! The index in the process: one folder for each vector database.

mod chunks;
mod folder;
mod text;

use crate::remote::other_length;
use async_trait::async_trait;
use chaski_api::{
    Api, Error, Reader, Result,
    inspect::{HealthStatus, ProviderHealth},
    retrieval::{Filter, SearchMode, VectorDb},
};
use chaski_index::{Index, Query, Settings};
use chaski_provider::{
    ChunkPage, Context, Cpu, Deps, EmbeddedChunk, Hosts, Lifecycle, Provider, ProviderConfig,
    ScoredChunk, Selection, Spec, VectorIo, VectorIoProvider, VectorQuery,
};
use folder::Folder;
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use text::TextConfig;
use tokio::sync::OnceCell;

const MODES: &[SearchMode] = &[SearchMode::Vector, SearchMode::Keyword, SearchMode::Hybrid];
/// Other types that mean the index, because what they run in the process of the reference needs
/// Python.
const ALIASES: &[&str] = &[
    "inline::faiss",
    "inline::meta-reference",
    "inline::sqlite-vec",
    "inline::sqlite_vec",
    "inline::chromadb",
    "inline::qdrant",
    "inline::milvus",
];

const DOCS: &str = "\
An index in this process: vectors and words, with nothing to install. What was inserted survives the end of the
process at any moment.

- Each vector database is a folder below `path`. Its files are described in `docs/index-format.md`.
- The modes `vector`, `keyword` (BM25) and `hybrid` work, with filters and lifetimes. `text` says how texts are read:
  stems and stop words of 18 languages, parts of words (n-grams), and the constants of BM25.
- Vectors are compared by cosine; with every chunk where there are few, else with those that are near.
- The in-process stores of Llama Stack are other names of it, so that their configurations start unchanged. Their
  files (`kvstore`, `db_path`) are not read: a folder with their name and `.index` behind it is used.
- One process uses a folder at a time. For several servers that share chunks, use a remote store.
";

chaski_api::wire! {
    /// The configuration of `inline::index`.
    pub struct IndexConfig {
        /// The folder. Unless given, one beside the file that `db_path` or `kvstore` names, or
        /// `vector_io` in the configuration folder.
        pub path: Option<String>,
        /// The file of another store in the process. It is not read.
        pub db_path: Option<String>,
        /// Where another store in the process keeps its data. It is not read.
        pub kvstore: Option<Map<String, Value>>,
        /// How texts are read for the search by words.
        pub text: Option<TextConfig>,
    }
}

impl ProviderConfig for IndexConfig {
    fn sample(dir: &str) -> Value {
        json!({ "path": format!("${{env.SQLITE_STORE_DIR:{dir}}}/vector_io") })
    }

    fn validate(&self, reader: &mut Reader) {
        if let Some(text) = &self.text {
            reader.key("text", |reader| text.validate(reader));
        }
    }
}

/// The indexes of the folder.
pub(crate) struct InlineIndex {
    folder: Folder,
    text: Option<TextConfig>,
    /// Where searches run.
    cpu: Cpu,
    /// Where inserts run, so that searches do not wait for them.
    writing: Cpu,
    /// The indexes met so far, by the name of their folder.
    known: Mutex<Known>,
}

type Known = HashMap<String, Arc<OnceCell<Arc<Index>>>>;

impl Provider for InlineIndex {
    type Api = dyn VectorIoProvider;
    type Config = IndexConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        aliases: ALIASES,
        environment: folder::VARIABLES,
        ..Spec::new(Api::VectorIo, "inline::index", "An index of vectors and words in the process.")
    };

    async fn build(config: IndexConfig, deps: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        let folder = Folder::of(&config, &deps.environment)?;
        if config.db_path.is_some() || config.kvstore.is_some() {
            tracing::info!(
                target: "tools",
                "the index in the process takes the place of the store that is configured: chunks are kept in `{}`, \
                 and those of the other store are not read",
                folder.shown()
            );
        }
        let writing = Cpu::new(deps.compute_threads.div_ceil(2));
        let (text, cpu) = (config.text, deps.cpu);
        Ok(Arc::new(Self { folder, text, cpu, writing, known: Mutex::default() }))
    }
}

impl InlineIndex {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a vector database, which is opened, or made unless it is there.
    async fn index(&self, db: &VectorDb) -> Result<Arc<Index>> {
        let name = folder::name(&db.provider_resource_id);
        let cell = Arc::clone(self.known().entry(name.clone()).or_default());
        let path = self.folder.path(&name);
        let length = db.embedding_dimension;
        let index = cell
            .get_or_try_init(|| async {
                let mut settings = Settings::new(usize::try_from(length).unwrap_or_default());
                if let Some(text) = &self.text {
                    text.apply(&mut settings);
                }
                let open = move || {
                    Index::open_or_create(&path, &settings).or_else(|error| {
                        // One with other vectors is opened as it is, and told below.
                        Index::open(&path).map_err(|_| error)
                    })
                };
                let index = self.writing.run(open).await?.map_err(Error::from)?;
                Ok::<_, Error>(Arc::new(index))
            })
            .await?;
        let found = i64::try_from(index.settings().dimension).unwrap_or_default();
        if found != length {
            return Err(other_length(db, found));
        }
        Ok(Arc::clone(index))
    }

    /// The indexes that are open.
    fn open(&self) -> Vec<Arc<Index>> {
        self.known().values().filter_map(|cell| cell.get().cloned()).collect()
    }
}

#[async_trait]
impl VectorIo for InlineIndex {
    fn modes(&self) -> &'static [SearchMode] {
        MODES
    }

    async fn insert(&self, _: &Context, db: &VectorDb, chunks: Vec<EmbeddedChunk>) -> Result<()> {
        let index = self.index(db).await?;
        let work = move || {
            let chunks: Vec<_> = chunks.into_iter().map(chunks::kept).collect();
            index.upsert(&chunks)
        };
        Ok(self.writing.run(work).await??)
    }

    async fn query(
        &self,
        _: &Context,
        db: &VectorDb,
        query: &VectorQuery,
    ) -> Result<Vec<ScoredChunk>> {
        let (index, query) = (self.index(db).await?, query.clone());
        let work = move || {
            let filter = query.filter.as_ref().map(chunks::filter);
            let by_vector = query.mode != SearchMode::Keyword;
            let by_words = query.mode != SearchMode::Vector;
            #[expect(clippy::cast_possible_truncation, reason = "scores are 32-bit numbers")]
            let min_score = query.min_score.map(|score| score as f32);
            let asked = Query {
                vector: by_vector.then_some(query.vector.as_slice()),
                text: by_words.then(|| chunks::cut(&query.text)),
                mode: chunks::mode(query.mode, &query.ranker),
                k: query.max.clamp(1, chaski_index::MAX_HITS),
                filter: filter.as_ref(),
                min_score,
                ..Query::vector(&query.vector)
            };
            let hits = index.search(&asked)?;
            Ok::<_, chaski_index::Error>(hits.into_iter().map(chunks::found).collect())
        };
        Ok(self.cpu.run(work).await??)
    }

    async fn delete(&self, _: &Context, db: &VectorDb, which: &Selection) -> Result<()> {
        let (index, which) = (self.index(db).await?, which.clone());
        let work = move || match which {
            Selection::Ids(ids) => {
                index.delete(&ids.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Selection::Where(filter) => index.delete_where(&chunks::filter(&filter)),
        };
        self.writing.run(work).await??;
        Ok(())
    }

    async fn list(
        &self,
        _: &Context,
        db: &VectorDb,
        filter: Option<&Filter>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let index = self.index(db).await?;
        let filter = filter.map(chunks::filter);
        let after = after.map(str::to_owned);
        let work = move || index.list(after.as_deref(), limit, filter.as_ref());
        let listed = self.cpu.run(work).await??;
        let next = listed.last().filter(|_| listed.len() == limit).map(|chunk| chunk.id.clone());
        Ok(ChunkPage { chunks: listed.into_iter().map(chunks::listed).collect(), next })
    }
}

#[async_trait]
impl Hosts<VectorDb> for InlineIndex {
    async fn on_register(&self, db: VectorDb) -> Result<VectorDb> {
        self.index(&db).await?;
        Ok(db)
    }

    async fn on_unregister(&self, db: &VectorDb) -> Result<()> {
        let name = folder::name(&db.provider_resource_id);
        let cell = self.known().remove(&name);
        let path = self.folder.path(&name);
        let work = move || {
            if let Some(index) = cell.as_ref().and_then(|cell| cell.get()) {
                index.close()?;
            }
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::unavailable("the folder of the vector database cannot be removed")
                        .caused_by(error))
                }
                _ => Ok(()),
            }
        };
        self.writing.run(work).await?
    }
}

#[async_trait]
impl Lifecycle for InlineIndex {
    async fn check(&self) -> Result<()> {
        let folder = self.folder.clone();
        self.cpu.run(move || folder.make()).await?
    }

    fn health(&self) -> ProviderHealth {
        let trouble = self.open().iter().find_map(|index| index.stats().trouble);
        let status = if trouble.is_some() { HealthStatus::Degraded } else { HealthStatus::Ok };
        ProviderHealth { status, message: trouble }
    }

    async fn shutdown(&self) {
        let open = self.open();
        let close = move || {
            for index in open {
                if let Err(error) = index.close() {
                    tracing::warn!(target: "tools", "an index could not be closed well: {error}");
                }
            }
        };
        // What is not closed well is made again when it is opened.
        let _: Result<()> = self.writing.run(close).await;
    }
}
