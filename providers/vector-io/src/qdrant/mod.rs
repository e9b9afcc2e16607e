//! Qdrant, over its REST API.

mod condition;

use crate::{
    names,
    payload::{self, own, point_id},
    remote::{Remote, Store, Which, other_length},
    rest::{Service, body},
    words::{self, Sparse},
};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Api, Error, ErrorKind, Result, Secret,
    retrieval::{Filter, SearchMode, VectorDb},
    wire::Between,
};
use chaski_provider::{
    ChunkPage, Context, DOCUMENT_ID, Deps, EmbeddedChunk, Provider, ProviderConfig, ScoredChunk,
    StoredChunk, Timestamp, VectorIoProvider,
};
use condition::{condition, expired};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const NAME: &str = "Qdrant";
/// The sparse vector of the words.
const WORDS: &str = "chaski-words";
/// The keys of the payload beside [`METADATA`].
const CHUNK_ID: &str = own!("chunk_id");
const CHUNK: &str = own!("chunk");
const EXPIRES_AT: &str = own!("expires_at");
/// What filters ask for.
const METADATA: &str = "metadata";
const MODES: &[SearchMode] = &[SearchMode::Vector, SearchMode::Keyword, SearchMode::Hybrid];
/// Changes are answered when they are done, so that later queries see them.
const WAIT: &[(&str, &str)] = &[("wait", "true")];

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
        Ok(Arc::new(Store::new(Self { service, config })))
    }
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
    /// Asks for something about a collection.
    async fn on(
        &self,
        cx: &Context,
        collection: &str,
        method: Method,
        (path, query): (&[&str], &[(&str, &str)]),
        body: Bytes,
    ) -> Result<Value> {
        let mut whole = vec!["collections", collection];
        whole.extend(path);
        self.service.ask(cx, method, (&whole, query), Some(body)).await
    }

    async fn make(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<()> {
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
        match self.on(cx, name, Method::PUT, (&[], &[]), body(&made)).await {
            // Another request has made it in the meantime.
            Err(error) if error.kind == (ErrorKind::Upstream { status: Some(409) }) => {}
            outcome => drop(outcome?),
        }
        // Documents are looked for by their ids whenever one is replaced.
        let index = json!({
            "field_name": format!("{METADATA}.{DOCUMENT_ID}"), "field_schema": "keyword",
        });
        self.on(cx, name, Method::PUT, (&["index"], WAIT), body(&index)).await.map(drop)
    }

    /// The points that fit best, by one of the two vectors.
    async fn nearest(
        &self,
        cx: &Context,
        collection: &str,
        (query, using): (Value, Option<&str>),
        filter: &Value,
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let mut asked = json!({
            "query": query, "filter": filter, "limit": limit, "with_payload": true,
        });
        if let Some(using) = using {
            asked["using"] = using.into();
        }
        if let Some(ef) = self.config.hnsw_ef.filter(|_| using.is_none()) {
            asked["params"] = json!({ "hnsw_ef": ef });
        }
        let path = (&["points", "query"][..], &[][..]);
        let mut found = self.on(cx, collection, Method::POST, path, body(&asked)).await?;
        let scored = self.points(&mut found)?.into_iter().map(|point| {
            let chunk = point.chunk()?;
            Ok(ScoredChunk { chunk, score: point.score })
        });
        scored.collect()
    }

    /// The points of an answer.
    fn points(&self, answer: &mut Value) -> Result<Vec<Point>> {
        let points = answer.pointer_mut("/result/points").map(Value::take);
        self.service.decode(points.unwrap_or_default())
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
impl Remote for Qdrant {
    /// The name.
    type Collection = String;
    type Condition = Value;
    const MODES: &'static [SearchMode] = MODES;

    fn name(&self, db: &VectorDb) -> String {
        names::collection(&db.provider_resource_id, 200, |letter| matches!(letter, '.' | '_' | '-'))
    }

    fn condition(&self, filter: Option<&Filter>) -> Result<Value> {
        condition(filter)
    }

    async fn open(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<String> {
        match self.service.get(cx, &["collections", name]).await {
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
            Err(error) if Self::is_missing(&error) => self.make(cx, db, name).await?,
            Err(error) => return Err(error),
        }
        Ok(name.to_owned())
    }

    async fn drop(&self, cx: &Context, name: &str) -> Result<()> {
        self.service.delete(cx, &["collections", name]).await
    }

    async fn sweep(&self, cx: &Context, collection: &String) -> Result<()> {
        let asked = body(&json!({ "filter": { "must": [expired()] } }));
        let path = (&["points", "delete"][..], WAIT);
        self.on(cx, collection, Method::POST, path, asked).await.map(drop)
    }

    async fn insert(
        &self,
        cx: &Context,
        collection: &String,
        chunks: Arc<Vec<EmbeddedChunk>>,
    ) -> Result<()> {
        let body = self.service.cpu.run(move || upsert(&chunks)).await?;
        self.on(cx, collection, Method::PUT, (&["points"], WAIT), body).await.map(drop)
    }

    async fn by_vector(
        &self,
        cx: &Context,
        collection: &String,
        vector: &[f32],
        condition: &Value,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        self.nearest(cx, collection, (json!(vector), None), condition, max).await
    }

    async fn by_words(
        &self,
        cx: &Context,
        collection: &String,
        words: &str,
        condition: &Value,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let Sparse { indices, values } = words::of_query(words);
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let asked = (json!({ "indices": indices, "values": values }), Some(WORDS));
        self.nearest(cx, collection, asked, condition, max).await
    }

    async fn remove(
        &self,
        cx: &Context,
        collection: &String,
        which: &Which<'_, Value>,
    ) -> Result<()> {
        let asked = match which {
            Which::Ids(ids) => {
                json!({ "points": ids.iter().map(|id| point_id(id)).collect::<Vec<_>>() })
            }
            Which::Where(condition) => json!({ "filter": condition }),
        };
        let path = (&["points", "delete"][..], WAIT);
        self.on(cx, collection, Method::POST, path, body(&asked)).await.map(drop)
    }

    async fn page(
        &self,
        cx: &Context,
        collection: &String,
        condition: &Value,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let mut asked = json!({
            "filter": condition, "limit": limit, "with_payload": true, "with_vector": true,
        });
        if let Some(after) = after {
            asked["offset"] = after.into();
        }
        let path = (&["points", "scroll"][..], &[][..]);
        let mut found = self.on(cx, collection, Method::POST, path, body(&asked)).await?;
        let chunks = self.points(&mut found)?.into_iter().map(|point| {
            let vector = point.dense().ok_or_else(|| self.service.unclear())?;
            Ok(EmbeddedChunk { chunk: point.chunk()?, vector })
        });
        let chunks = chunks.collect::<Result<_>>()?;
        let next = found.pointer("/result/next_page_offset").and_then(Value::as_str);
        Ok(ChunkPage { chunks, next: next.map(str::to_owned) })
    }

    async fn check(&self) -> Result<()> {
        self.service.get(&Context::default(), &["collections"]).await.map(drop)
    }
}
