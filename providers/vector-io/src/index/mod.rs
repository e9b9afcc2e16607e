//! The index in the process: one folder for each vector database.

mod chunks;
pub(crate) mod folder;
mod open;
pub(crate) mod text;

use crate::remote::other_length;
use async_trait::async_trait;
use chaski_api::{
    Api, Reader, Result,
    inspect::{HealthStatus, ProviderHealth},
    retrieval::{Filter, SearchMode, VectorDb},
};
use chaski_index::{Index, Query, Settings};
use chaski_provider::{
    ChunkPage, Context, Cpu, Deps, EmbeddedChunk, Hosts, Lifecycle, Provider, ProviderConfig,
    ScoredChunk, Selection, Spec, VectorIo, VectorIoProvider, VectorQuery,
};
use folder::Folder;
use open::Indexes;
use serde_json::{Map, Value, json};
use std::{path::PathBuf, sync::Arc};
use text::TextConfig;

const MODES: &[SearchMode] = &[SearchMode::Vector, SearchMode::Keyword, SearchMode::Hybrid];

const DOCS: &str = "\
An index in this process: vectors and words, with nothing to install. What was inserted survives the end of the
process at any moment.

- Each vector database is a folder below `path`. Its files are described in `docs/index-format.md`.
- The modes `vector`, `keyword` (BM25) and `hybrid` work, with filters and lifetimes. `text` says how texts are read:
  stems and stop words of 18 languages, parts of words (n-grams), and the constants of BM25.
- Parts of words (`min_ngram: 3`) are for names and compounds that are looked for by a piece of them. They are off unless
  asked for: a text has about five times as many terms with them, each of which many texts have, so that the words take
  more memory and inserting and searching more time. In `bench/results/quality.md` they put the answer a little higher
  in a search by words, but had it among the ten best for fewer of the questions that check the choice.
- Vectors are compared by cosine; with every chunk where there are few, else with those that are near.
- The in-process stores of Llama Stack (`inline::faiss` and others) start with it: see there.
- As many indexes as the limit of open files allows (256 at most) stay open when they are not used; others are opened
  again by the next request.
- Chunks that are deleted, replaced or expired give their memory and their place on the disk back in the background;
  searching and inserting go on meanwhile.
- Unregistering a vector database removes the files of its index. Other files in its folder stay.
- One process uses a folder at a time. For several servers that share chunks, use a remote store.
";

chaski_api::wire! {
    /// The configuration of `inline::index`.
    pub struct IndexConfig {
        /// The folder; `vector_io` in the configuration folder unless given.
        pub path: Option<String>,
        /// As for `inline::faiss`: the index is beside this file, unless `path` says where.
        pub db_path: Option<String>,
        /// As for `inline::faiss`: the index is beside the file it names, unless `path` says where.
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

/// The indexes of a folder.
pub(crate) struct InlineIndex {
    indexes: Indexes,
    folder: Folder,
    text: Option<TextConfig>,
    /// Where searches run.
    cpu: Cpu,
    /// Where inserts run, so that searches do not wait for them.
    writing: Cpu,
}

impl Provider for InlineIndex {
    type Api = dyn VectorIoProvider;
    type Config = IndexConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        environment: folder::VARIABLES,
        ..Spec::new(Api::VectorIo, "inline::index", "An index of vectors and words in the process.")
    };

    async fn build(config: IndexConfig, deps: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        let folder = Folder::of(&config, &deps.environment)?;
        Ok(Arc::new(Self::new(folder, config.text, deps)))
    }
}

impl InlineIndex {
    pub(crate) fn new(folder: Folder, text: Option<TextConfig>, deps: Deps) -> Self {
        let writing = Cpu::new(deps.compute_threads.div_ceil(2));
        let indexes = Indexes::new(folder.clone(), writing.clone(), open::most());
        Self { indexes, folder, text, cpu: deps.cpu, writing }
    }

    /// The index of a vector database, which is opened, or made unless it is there.
    async fn index(&self, db: &VectorDb) -> Result<Arc<Index>> {
        let length = db.embedding_dimension;
        let mut settings = Settings::new(usize::try_from(length).unwrap_or_default());
        if let Some(text) = &self.text {
            text.apply(&mut settings);
        }
        let open = move |path: PathBuf| {
            let opened = Index::open_or_create(&path, &settings).or_else(|error| {
                // One with other vectors is opened as it is, and told below.
                Index::open(&path).map_err(|_| error)
            });
            Ok(opened?)
        };
        let index = self.indexes.get(&db.provider_resource_id, open).await?;
        let found = i64::try_from(index.settings().dimension).unwrap_or_default();
        if found != length {
            return Err(other_length(db, found));
        }
        Ok(index)
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
        self.indexes.remove(&db.provider_resource_id).await
    }
}

#[async_trait]
impl Lifecycle for InlineIndex {
    async fn check(&self) -> Result<()> {
        let folder = self.folder.clone();
        self.cpu.run(move || folder.make()).await?
    }

    fn health(&self) -> ProviderHealth {
        let trouble = self.indexes.open().iter().find_map(|index| index.stats().trouble);
        let status = if trouble.is_some() { HealthStatus::Degraded } else { HealthStatus::Ok };
        ProviderHealth::new(status, trouble)
    }

    async fn shutdown(&self) {
        self.indexes.shut().await;
    }
}
