//! Qdrant, over its REST API.

mod condition;

use crate::{
    chromadb::other_length,
    fusion, names,
    payload::{self, own},
    rest::{Service, body, is_missing},
    words::{self, Sparse},
};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Api, Error, Result, Secret,
    retrieval::{Filter, SearchMode, VectorDb},
    wire::Between,
};
use chaski_provider::{
    ChunkPage, Context, DOCUMENT_ID, Deps, EmbeddedChunk, Hosts, Lifecycle, Provider,
    ProviderConfig, ScoredChunk, Selection, StoredChunk, Timestamp, VectorIo, VectorIoProvider,
    VectorQuery,
};
use condition::condition;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::Mutex;
use uuid::Uuid;

const NAME: &str = "Qdrant";
/// The most points of one request.
const BATCH: usize = 256;
/// The sparse vector of the words.
const WORDS: &str = "chaski-words";
/// The keys of the payload beside [`METADATA`].
const CHUNK_ID: &str = own!("chunk_id");
const CHUNK: &str = own!("chunk");
const EXPIRES_AT: &str = own!("expires_at");
/// What filters ask for.
const METADATA: &str = "metadata";
const MODES: &[SearchMode] = &[SearchMode::Vector, SearchMode::Keyword, SearchMode::Hybrid];

const DOCS: &str = "\
Keeps chunks in a [Qdrant](https://qdrant.tech) server, version 1.10 or newer, one collection for each vector
database.

- The collection has the name of the vector database if Qdrant allows it, else a name made of it. It compares by
  cosine, and is made when the vector database is registered.
- The words of each chunk are kept as a sparse vector, so that the modes `keyword` and `hybrid` work. Words are
  taken as they are, without stemming.
- Filters are pushed down. Qdrant compares numbers only by `gt`, `gte`, `lt` and `lte`.
- Chunks with a lifetime are not found any more when it is over, and removed with the next insert.
- The REST API is used: `grpc_port` and `prefer_grpc` have no effect. `location` takes a URL; a folder or
  `:memory:` is for Python alone, use `inline::index` for that.
";

chaski_api::wire! {
    /// The configuration of `remote::qdrant`.
    pub struct QdrantConfig {
        /// The URL of the server.
        pub url: Option<String>,
        /// Another name of `url`.
        pub location: Option<String>,
        /// The host name, where no URL is given.
        pub host: Option<String>,
        /// The port of the REST API, where no URL is given.
        pub port: Between<1, 65535> = Between(6333),
        /// Has no effect.
        pub grpc_port: Between<1, 65535> = Between(6334),
        /// Has no effect.
        pub prefer_grpc: bool = false,
        /// Whether TLS is used, where no URL is given; it is if there is a key.
        pub https: Option<bool>,
        /// The key, for servers that ask for one.
        pub api_key: Option<Secret>,
        /// What the paths of the server begin with.
        pub prefix: Option<String>,
        /// Has no effect; `network` of the provider has the time limits.
        pub timeout: Option<i64>,
        /// How many neighbours each vector of a new collection is linked with (HNSW's M).
        pub hnsw_m: Option<Between<2, 1024>>,
        /// How many candidates are looked at when a vector is inserted into a new collection.
        pub hnsw_ef_construct: Option<Between<4, 100_000>>,
        /// How many candidates are looked at in a query.
        pub hnsw_ef: Option<Between<1, 100_000>>,
    }
}

impl ProviderConfig for QdrantConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.QDRANT_URL:http://localhost:6333}", "api_key": "${env.QDRANT_API_KEY:}" })
    }

    fn validate(&self, reader: &mut chaski_api::Reader) {
        if self.address().is_none() {
            reader.key("url", |reader| {
                reader.issue::<()>("missing", "one of `url`, `location` and `host` is needed")
            });
        }
    }
}

impl QdrantConfig {
    /// The URL that the settings come to.
    fn address(&self) -> Option<String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let base = given(&self.url).or_else(|| given(&self.location)).or_else(|| {
            let host = given(&self.host)?;
            let key = self.api_key.as_ref().is_some_and(|key| !key.is_empty());
            let scheme = if self.https.unwrap_or(key) { "https" } else { "http" };
            Some(format!("{scheme}://{host}:{}", self.port.0))
        })?;
        let prefix = given(&self.prefix).unwrap_or_default();
        Some(format!("{}/{}", base.trim_end_matches('/'), prefix.trim_matches('/')))
    }
}

/// A Qdrant server.
pub(crate) struct Qdrant {
    service: Service,
    config: QdrantConfig,
    /// The names of the collections that are known to be there.
    known: Mutex<HashSet<String>>,
}

impl Provider for Qdrant {
    type Api = dyn VectorIoProvider;
    type Config = QdrantConfig;
    const SPEC: chaski_provider::Spec = chaski_provider::Spec {
        docs: DOCS,
        ..chaski_provider::Spec::new(Api::VectorIo, "remote::qdrant", "A Qdrant server.")
    };

    async fn build(config: QdrantConfig, deps: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        let url = config.address().unwrap_or_default();
        let service = Service::new(NAME, deps, &url)?;
        let service = service.with_key("api-key", "", config.api_key.as_ref())?;
        Ok(Arc::new(Self { service, config, known: Mutex::default() }))
    }
}

fn name(db: &VectorDb) -> String {
    names::collection(&db.provider_resource_id, 200, |letter| matches!(letter, '.' | '_' | '-'))
}

/// The point of a chunk: Qdrant takes UUIDs.
fn point_id(chunk_id: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, chunk_id.as_bytes()).to_string()
}

#[derive(Deserialize)]
struct Point {
    #[serde(default)]
    score: f64,
    payload: Map<String, Value>,
    #[serde(default)]
    vector: Option<Value>,
}

impl Point {
    fn chunk(&self) -> Result<StoredChunk> {
        let text = |key: &str| self.payload.get(key).and_then(Value::as_str).unwrap_or_default();
        let mut chunk = payload::decode(text(CHUNK_ID), text(CHUNK))?;
        let at = self.payload.get(EXPIRES_AT).and_then(Value::as_i64);
        chunk.expires_at = at.map(Timestamp);
        Ok(chunk)
    }

    /// The vector of the text; Qdrant names the one without a name by nothing.
    fn dense(&self) -> Option<Vec<f32>> {
        let vector = self.vector.as_ref()?;
        let dense = if vector.is_array() { vector } else { vector.get("")? };
        serde_json::from_value(dense.clone()).ok()
    }
}

impl Qdrant {
    /// Asks for something about the collection of `db`, which is made unless it is there.
    async fn on(
        &self,
        cx: &Context,
        db: &VectorDb,
        method: Method,
        (path, query): (&[&str], &[(&str, &str)]),
        body: Bytes,
    ) -> Result<Value> {
        let name = name(db);
        let mut whole = vec!["collections", name.as_str()];
        whole.extend(path);
        self.collection(cx, db).await?;
        let ask = || self.service.ask_with(cx, method.clone(), &whole, query, Some(body.clone()));
        match ask().await {
            Err(error) if is_missing(&error) => {
                self.known.lock().await.remove(&name);
                self.collection(cx, db).await?;
                ask().await
            }
            outcome => outcome,
        }
    }

    /// Makes the collection of a vector database unless it is there.
    async fn collection(&self, cx: &Context, db: &VectorDb) -> Result<()> {
        let name = name(db);
        let mut known = self.known.lock().await;
        if known.contains(&name) {
            return Ok(());
        }
        let path = ["collections", name.as_str()];
        match self.service.ask(cx, Method::GET, &path, None).await {
            Ok(found) => {
                let length = found.pointer("/result/config/params/vectors/size");
                let length = length.and_then(Value::as_i64).ok_or_else(|| {
                    Error::invalid(format!(
                        "the collection `{name}` of Qdrant has named vectors, which this server \
                         does not use; give the vector database another `provider_vector_db_id`"
                    ))
                })?;
                if length != db.embedding_dimension {
                    return Err(other_length(db, length));
                }
            }
            Err(error) if is_missing(&error) => self.make(cx, db, &path).await?,
            Err(error) => return Err(error),
        }
        known.insert(name);
        Ok(())
    }

    async fn make(&self, cx: &Context, db: &VectorDb, path: &[&str]) -> Result<()> {
        let mut made = json!({
            "vectors": { "size": db.embedding_dimension, "distance": "Cosine" },
            "sparse_vectors": { (WORDS): { "modifier": "idf" } },
        });
        let QdrantConfig { hnsw_m, hnsw_ef_construct, .. } = &self.config;
        for (key, number) in
            [("m", hnsw_m.map(|m| m.0)), ("ef_construct", hnsw_ef_construct.map(|ef| ef.0))]
        {
            if let Some(number) = number {
                made["hnsw_config"][key] = number.into();
            }
        }
        match self.service.ask(cx, Method::PUT, path, Some(body(&made))).await {
            // Another request has made it in the meantime.
            Err(error) if error.kind == (chaski_api::ErrorKind::Upstream { status: Some(409) }) => {
            }
            outcome => drop(outcome?),
        }
        // Documents are looked for by their ids whenever one is replaced.
        let index = json!({
            "field_name": format!("{METADATA}.{DOCUMENT_ID}"), "field_schema": "keyword",
        });
        let mut path = path.to_vec();
        path.push("index");
        self.service
            .ask_with(cx, Method::PUT, &path, &[("wait", "true")], Some(body(&index)))
            .await?;
        Ok(())
    }

    /// The points that fit best, by one of the two vectors.
    async fn nearest(
        &self,
        cx: &Context,
        db: &VectorDb,
        (query, using): (Value, Option<&str>),
        filter: &Value,
        limit: usize,
        min_score: Option<f64>,
    ) -> Result<Vec<ScoredChunk>> {
        let mut asked = json!({
            "query": query, "filter": filter, "limit": limit, "with_payload": true,
        });
        if let Some(using) = using {
            asked["using"] = using.into();
        }
        if let Some(lowest) = min_score {
            asked["score_threshold"] = lowest.into();
        }
        if let Some(ef) = self.config.hnsw_ef.filter(|_| using.is_none()) {
            asked["params"] = json!({ "hnsw_ef": ef });
        }
        let path = (&["points", "query"][..], &[][..]);
        let found = self.on(cx, db, Method::POST, path, body(&asked)).await?;
        let points = found.pointer("/result/points").cloned().unwrap_or_default();
        let points: Vec<Point> = serde_json::from_value(points)
            .map_err(|error| self.service.unclear().caused_by(error))?;
        let scored = points
            .iter()
            .map(|point| Ok(ScoredChunk { chunk: point.chunk()?, score: point.score }));
        scored.collect()
    }

    async fn by_words(
        &self,
        cx: &Context,
        db: &VectorDb,
        query: &VectorQuery,
        filter: &Value,
        (limit, min_score): (usize, Option<f64>),
    ) -> Result<Vec<ScoredChunk>> {
        let Sparse { indices, values } = words::of_query(&query.text);
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let asked = (json!({ "indices": indices, "values": values }), Some(WORDS));
        self.nearest(cx, db, asked, filter, limit, min_score).await
    }

    async fn by_vector(
        &self,
        cx: &Context,
        db: &VectorDb,
        query: &VectorQuery,
        filter: &Value,
        (limit, min_score): (usize, Option<f64>),
    ) -> Result<Vec<ScoredChunk>> {
        self.nearest(cx, db, (json!(query.vector), None), filter, limit, min_score).await
    }
}

/// The body of an insert of `chunks`.
fn upsert(chunks: &[EmbeddedChunk]) -> Bytes {
    let point = |EmbeddedChunk { chunk, vector }: &EmbeddedChunk| {
        let mut kept = json!({
            (CHUNK_ID): chunk.id,
            (CHUNK): payload::encode(chunk),
            (METADATA): payload::scalars(&chunk.metadata),
        });
        if let Some(at) = chunk.expires_at {
            kept[EXPIRES_AT] = at.0.into();
        }
        let Sparse { indices, values } = words::of_document(&chunk.text());
        json!({
            "id": point_id(&chunk.id),
            "vector": { "": vector, (WORDS): { "indices": indices, "values": values } },
            "payload": kept,
        })
    };
    json!({ "points": chunks.iter().map(point).collect::<Vec<Value>>() }).to_string().into()
}

#[async_trait]
impl VectorIo for Qdrant {
    fn modes(&self) -> &'static [SearchMode] {
        MODES
    }

    async fn insert(&self, cx: &Context, db: &VectorDb, chunks: Vec<EmbeddedChunk>) -> Result<()> {
        const WAIT: &[(&str, &str)] = &[("wait", "true")];
        let expired = json!({ "filter": { "must": [
            { "key": EXPIRES_AT, "range": { "lte": Timestamp::now().0 } },
        ] } });
        let path = (&["points", "delete"][..], WAIT);
        self.on(cx, db, Method::POST, path, body(&expired)).await?;
        let bodies = move || chunks.chunks(BATCH).map(upsert).collect::<Vec<Bytes>>();
        let bodies = self.service.cpu.run(bodies).await?;
        for body in bodies {
            self.on(cx, db, Method::PUT, (&["points"], WAIT), body).await?;
        }
        Ok(())
    }

    async fn query(
        &self,
        cx: &Context,
        db: &VectorDb,
        query: &VectorQuery,
    ) -> Result<Vec<ScoredChunk>> {
        let Some(filter) = condition(query.filter.as_ref())? else { return Ok(Vec::new()) };
        let alone = (query.max, query.min_score);
        match query.mode {
            SearchMode::Vector => self.by_vector(cx, db, query, &filter, alone).await,
            SearchMode::Keyword => self.by_words(cx, db, query, &filter, alone).await,
            SearchMode::Hybrid => {
                let each = (query.max.saturating_mul(fusion::DEPTH), None);
                let (by_vector, by_words) = tokio::try_join!(
                    self.by_vector(cx, db, query, &filter, each),
                    self.by_words(cx, db, query, &filter, each),
                )?;
                let mut found = fusion::fuse(by_vector, by_words, &query.ranker, query.max);
                found.retain(|one| query.min_score.is_none_or(|lowest| one.score >= lowest));
                Ok(found)
            }
        }
    }

    async fn delete(&self, cx: &Context, db: &VectorDb, which: &Selection) -> Result<()> {
        let asked = match which {
            Selection::Ids(ids) if ids.is_empty() => return Ok(()),
            Selection::Ids(ids) => {
                json!({ "points": ids.iter().map(|id| point_id(id)).collect::<Vec<_>>() })
            }
            Selection::Where(filter) => match condition(Some(filter))? {
                None => return Ok(()),
                Some(condition) => json!({ "filter": condition }),
            },
        };
        let path = (&["points", "delete"][..], &[("wait", "true")][..]);
        self.on(cx, db, Method::POST, path, body(&asked)).await.map(drop)
    }

    async fn list(
        &self,
        cx: &Context,
        db: &VectorDb,
        filter: Option<&Filter>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let nothing = ChunkPage { chunks: Vec::new(), next: None };
        let Some(condition) = condition(filter)? else { return Ok(nothing) };
        let mut asked = json!({
            "filter": condition, "limit": limit, "with_payload": true, "with_vector": true,
        });
        if let Some(after) = after {
            asked["offset"] = after.into();
        }
        let path = (&["points", "scroll"][..], &[][..]);
        let found = self.on(cx, db, Method::POST, path, body(&asked)).await?;
        let points = found.pointer("/result/points").cloned().unwrap_or_default();
        let points: Vec<Point> = serde_json::from_value(points)
            .map_err(|error| self.service.unclear().caused_by(error))?;
        let chunks = points.iter().map(|point| {
            let vector = point.dense().ok_or_else(|| self.service.unclear())?;
            Ok(EmbeddedChunk { chunk: point.chunk()?, vector })
        });
        let next = found.pointer("/result/next_page_offset").and_then(Value::as_str);
        Ok(ChunkPage { chunks: chunks.collect::<Result<_>>()?, next: next.map(str::to_owned) })
    }
}

#[async_trait]
impl Hosts<VectorDb> for Qdrant {
    async fn on_register(&self, db: VectorDb) -> Result<VectorDb> {
        self.known.lock().await.remove(&name(&db));
        self.collection(&Context::default(), &db).await?;
        Ok(db)
    }

    async fn on_unregister(&self, db: &VectorDb) -> Result<()> {
        let name = name(db);
        self.known.lock().await.remove(&name);
        let path = ["collections", name.as_str()];
        match self.service.ask(&Context::default(), Method::DELETE, &path, None).await {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Lifecycle for Qdrant {
    async fn check(&self) -> Result<()> {
        self.service.ask(&Context::default(), Method::GET, &["collections"], None).await.map(drop)
    }
}
