//! Milvus, over its gRPC API.

mod condition;
mod fields;
mod wire;

use crate::{
    names,
    payload::{self, point_id},
    remote::{Remote, Store, Which, other_length},
    rest::Service,
    words,
};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use chaski_api::{
    Api, Error, ErrorKind, Result, Secret,
    retrieval::{Filter, SearchMode, VectorDb},
    wire::Between,
};
use chaski_provider::{
    ChunkPage, Context, Deps, EmbeddedChunk, Provider, ProviderConfig, ScoredChunk, Spec,
    Timestamp, VectorIoProvider,
};
use condition::condition;
use fields::Columns;
use prost::Message;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use wire::{
    Answer, BOOL_EXPR, CreateCollection, CreateIndex, DataType, Delete, Description, Found,
    GetLoadState, GetVersion, KeyValue, LOADED, LoadState, Mutation, Named, Placeholder,
    Placeholders, Query, Rows, Search, Status, Upsert, Version,
};

const NAME: &str = "Milvus";
/// The fields of a collection.
const ID: &str = "id";
const CHUNK_ID: &str = "chunk_id";
const CHUNK: &str = "chunk";
const TEXT: &str = "text";
const VECTOR: &str = "vector";
const WORDS: &str = "words";
const FACTS: &str = "facts";
const NUMBERS: &str = "numbers";
const EXPIRES_AT: &str = "expires_at";
/// How many neighbours each vector is linked with, and how many candidates are looked at.
const M: i64 = 16;
const EF_CONSTRUCTION: i64 = 200;
const EF: i64 = 64;
/// How often a collection that is being loaded is looked at, and how long.
const LOOK: Duration = Duration::from_millis(50);
const LOADING: u32 = 1200;
/// What the codes of errors mean.
const NOT_FOUND: i32 = 100;
const NOT_LOADED: i32 = 101;
/// The code of older versions for a collection that is not there.
const OLD_NOT_FOUND: i32 = 4;
const MODES: &[SearchMode] = &[SearchMode::Vector, SearchMode::Keyword, SearchMode::Hybrid];

const DOCS: &str = "\
Keeps chunks in [Milvus](https://milvus.io) 2.5 or newer, or in Zilliz Cloud, one collection for each vector database.

- The gRPC API is used, at the address that `uri` names. A file is for Python alone; use `inline::index` for that.
- The collection has the name of the vector database if Milvus allows it, else a name made of it. It compares by cosine
  with an HNSW index. Collections of other programs, those of the reference too, are refused.
- The modes `keyword` and `hybrid` use the full-text search of Milvus (BM25, its standard analyzer).
- Filters are pushed down. Milvus compares numbers only by `gt`, `gte`, `lt` and `lte`.
- The content of a chunk and its metadata have at most 65535 bytes together, written as JSON.
- Chunks with a lifetime are not found any more when it is over, and removed with the next insert.
- It is tested with Milvus Lite, which speaks the same API.
";

chaski_api::wire! {
    /// What a search sees of changes that were made shortly before.
    pub enum ConsistencyLevel {
        /// All of them.
        Strong = "Strong",
        /// All that this server has made.
        Session = "Session",
        /// All but those of the last seconds.
        Bounded = "Bounded",
        /// Some of them.
        Eventually = "Eventually",
    }
}

chaski_api::wire! {
    /// The configuration of `remote::milvus`.
    pub struct MilvusConfig {
        /// The URL of the server.
        pub uri: String,
        /// The token: a key, or a user and a password with a colon between them.
        pub token: Option<Secret>,
        /// What a search sees of changes that were made shortly before.
        pub consistency_level: ConsistencyLevel = ConsistencyLevel::Strong,
        /// The database; the default one unless given.
        pub db_name: Option<String>,
        /// How many neighbours each vector of a new collection is linked with (HNSW's M).
        pub hnsw_m: Between<2, 2048> = Between(M),
        /// How many candidates are looked at when a vector is inserted into a new collection.
        pub hnsw_ef_construction: Between<8, 100_000> = Between(EF_CONSTRUCTION),
        /// How many candidates are looked at in a query, at least.
        pub hnsw_ef: Between<1, 100_000> = Between(EF),
    }
}

impl ProviderConfig for MilvusConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "uri": "${env.MILVUS_ENDPOINT}", "token": "${env.MILVUS_TOKEN:}" })
    }
}

/// A Milvus server.
pub(crate) struct Milvus {
    service: Service,
    config: MilvusConfig,
    /// When this server has made its last change, in the time of Milvus.
    changed: AtomicU64,
}

impl Provider for Milvus {
    type Api = dyn VectorIoProvider;
    type Config = MilvusConfig;
    const SPEC: Spec =
        Spec { docs: DOCS, ..Spec::new(Api::VectorIo, "remote::milvus", "A Milvus server.") };

    async fn build(config: MilvusConfig, deps: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        let token = config.token.as_ref().filter(|token| !token.is_empty());
        let token = token.map(|token| Secret::new(BASE64_STANDARD.encode(token.expose().trim())));
        let service = Service::new(NAME, deps, &config.uri)?;
        let service = service.with_key("authorization", "", token.as_ref())?;
        Ok(Arc::new(Store::new(Self { service, config, changed: AtomicU64::new(0) })))
    }
}

impl Milvus {
    fn db_name(&self) -> String {
        self.config.db_name.clone().unwrap_or_default()
    }

    fn named(&self, collection: &str) -> Named {
        Named { db_name: self.db_name(), collection_name: collection.to_owned() }
    }

    /// Calls a method.
    async fn call<A: Answer>(
        &self,
        cx: &Context,
        method: &str,
        request: &impl Message,
    ) -> Result<A> {
        self.send(cx, method, request.encode_to_vec()).await
    }

    async fn send<A: Answer>(&self, cx: &Context, method: &str, request: Vec<u8>) -> Result<A> {
        let path = ["milvus.proto.milvus.MilvusService", method];
        let answer = self.service.call(cx, &path, &request).await?;
        let answer = A::decode(answer).map_err(|error| self.service.unclear().caused_by(error))?;
        match answer.status() {
            Some(status) if status.code != 0 || status.error_code != 0 => Err(refused(status)),
            _ => Ok(answer),
        }
    }

    /// From which time on a search may leave out changes.
    fn guarantee(&self) -> u64 {
        match self.config.consistency_level {
            ConsistencyLevel::Strong => 0,
            ConsistencyLevel::Session => self.changed.load(Ordering::Relaxed).max(1),
            ConsistencyLevel::Bounded => 2,
            ConsistencyLevel::Eventually => 1,
        }
    }

    fn level(&self) -> i32 {
        match self.config.consistency_level {
            ConsistencyLevel::Strong => 0,
            ConsistencyLevel::Session => 1,
            ConsistencyLevel::Bounded => 2,
            ConsistencyLevel::Eventually => 3,
        }
    }

    fn changed(&self, made: &Mutation) {
        self.changed.fetch_max(made.timestamp, Ordering::Relaxed);
    }

    async fn make(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<()> {
        let schema = fields::schema(name, db);
        let create = CreateCollection {
            db_name: self.db_name(),
            collection_name: name.to_owned(),
            schema: schema.encode_to_vec(),
            consistency_level: self.level(),
        };
        let _: Status = self.call(cx, "CreateCollection", &create).await?;
        let MilvusConfig { hnsw_m, hnsw_ef_construction, .. } = &self.config;
        let hnsw = json!({ "M": hnsw_m, "efConstruction": hnsw_ef_construction });
        let indexes = [
            (VECTOR, "HNSW", Some("COSINE"), hnsw),
            (WORDS, "SPARSE_INVERTED_INDEX", Some("BM25"), json!({})),
            (FACTS, "INVERTED", None, json!({})),
        ];
        for (field, index, metric, params) in indexes {
            let mut extra_params = vec![KeyValue::new("index_type", &index)];
            extra_params.extend(metric.map(|metric| KeyValue::new("metric_type", &metric)));
            extra_params.push(KeyValue::new("params", &params));
            let create = CreateIndex {
                db_name: self.db_name(),
                collection_name: name.to_owned(),
                field_name: field.to_owned(),
                extra_params,
                index_name: field.to_owned(),
            };
            match self.call::<Status>(cx, "CreateIndex", &create).await {
                // Facts are found without one too, and Milvus Lite has none for lists.
                Err(error) if field == FACTS && error.kind == REFUSED => {
                    tracing::debug!(target: "tools", "{NAME} makes no index of facts: {error}");
                }
                outcome => drop(outcome?),
            }
        }
        Ok(())
    }

    /// Brings the collection into the memory of the server, where it is searched.
    async fn load(&self, cx: &Context, name: &str) -> Result<()> {
        let _: Status = self.call(cx, "LoadCollection", &self.named(name)).await?;
        let asked = GetLoadState { collection_name: name.to_owned(), db_name: self.db_name() };
        for _ in 0..LOADING {
            let found: LoadState = self.call(cx, "GetLoadState", &asked).await?;
            if found.state == LOADED {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Error::unavailable(format!("{NAME} is still loading the collection `{name}`")))
    }

    async fn search(
        &self,
        cx: &Context,
        collection: &str,
        (field, metric, placeholder): (&str, &str, Placeholder),
        condition: &str,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut more = json!({});
        if field == VECTOR {
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            more["ef"] = self.config.hnsw_ef.0.max(max).into();
        }
        let placeholders = Placeholders { each: vec![placeholder] };
        let search = Search {
            db_name: self.db_name(),
            collection_name: collection.to_owned(),
            dsl: condition.to_owned(),
            placeholder_group: placeholders.encode_to_vec(),
            dsl_type: BOOL_EXPR,
            output_fields: vec![CHUNK_ID.to_owned(), CHUNK.to_owned()],
            params: vec![
                KeyValue::new("anns_field", &field),
                KeyValue::new("topk", &max),
                KeyValue::new("metric_type", &metric),
                KeyValue::new("params", &more),
                KeyValue::new("round_decimal", &-1),
            ],
            guarantee_timestamp: self.guarantee(),
            nq: 1,
            consistency_level: self.level(),
        };
        let found: Found = self.call(cx, "Search", &search).await?;
        let hits = found.results.unwrap_or_default();
        let columns = Columns(&hits.fields_data);
        let chunks = columns.chunks(hits.scores.len()).map_err(|()| self.service.unclear())?;
        let scored = chunks.into_iter().zip(&hits.scores).map(|(chunk, score)| {
            let (id, text) = chunk;
            // For words, Milvus Lite gives the scores with a minus.
            let score = if field == WORDS { score.abs() } else { *score };
            Ok(ScoredChunk { chunk: payload::decode(id, text)?, score: f64::from(score) })
        });
        scored.collect()
    }

    async fn delete(&self, cx: &Context, collection: &str, expr: String) -> Result<()> {
        let delete = Delete {
            db_name: self.db_name(),
            collection_name: collection.to_owned(),
            expr,
            consistency_level: self.level(),
        };
        let made: Mutation = self.call(cx, "Delete", &delete).await?;
        self.changed(&made);
        Ok(())
    }
}

/// The kind of what Milvus does not do.
const REFUSED: ErrorKind = ErrorKind::Upstream { status: Some(400) };

/// What Milvus says is wrong.
fn refused(status: &Status) -> Error {
    let gone = matches!(status.code, NOT_FOUND | NOT_LOADED)
        || (status.code == 0 && status.error_code == OLD_NOT_FOUND);
    let kind = if gone { ErrorKind::Upstream { status: Some(404) } } else { REFUSED };
    let reason = status.reason.trim();
    let code = if status.code == 0 { status.error_code } else { status.code };
    Error::new(
        kind,
        if reason.is_empty() {
            format!("{NAME} answered with the error {code}")
        } else {
            format!("{NAME}: {reason}")
        },
    )
}

#[async_trait]
impl Remote for Milvus {
    /// The name.
    type Collection = String;
    /// An expression.
    type Condition = String;
    const MODES: &'static [SearchMode] = MODES;

    fn name(&self, db: &VectorDb) -> String {
        let id = &db.provider_resource_id;
        if id.starts_with(|first: char| first.is_ascii_digit()) {
            return names::made(id, 200);
        }
        names::collection(id, 200, |letter| letter == '_')
    }

    fn condition(&self, filter: Option<&Filter>) -> Result<String> {
        condition(filter)
    }

    async fn open(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<String> {
        match self.call::<Description>(cx, "DescribeCollection", &self.named(name)).await {
            Ok(found) => {
                let schema = found.schema.unwrap_or_default();
                let length = fields::length(&schema).ok_or_else(|| {
                    Error::invalid(format!(
                        "the collection `{name}` of {NAME} was made by another program; give the \
                         vector database another `provider_vector_db_id`"
                    ))
                })?;
                if length != db.embedding_dimension {
                    return Err(other_length(db, length));
                }
            }
            Err(error) if Self::is_missing(&error) => self.make(cx, db, name).await?,
            Err(error) => return Err(error),
        }
        self.load(cx, name).await?;
        Ok(name.to_owned())
    }

    async fn drop(&self, cx: &Context, name: &str) -> Result<()> {
        let _: Status = self.call(cx, "DropCollection", &self.named(name)).await?;
        Ok(())
    }

    async fn sweep(&self, cx: &Context, collection: &String) -> Result<()> {
        let expired = format!("{EXPIRES_AT} <= {}", Timestamp::now().0);
        self.delete(cx, collection, expired).await
    }

    async fn insert(
        &self,
        cx: &Context,
        collection: &String,
        chunks: Arc<Vec<EmbeddedChunk>>,
    ) -> Result<()> {
        let (db_name, collection_name) = (self.db_name(), collection.clone());
        let encode = move || {
            let fields_data = fields::columns(&chunks)?;
            let num_rows = u32::try_from(chunks.len()).unwrap_or_default();
            let upsert = Upsert { db_name, collection_name, fields_data, num_rows };
            Ok::<_, Error>(upsert.encode_to_vec())
        };
        let request = self.service.cpu.run(encode).await??;
        let made: Mutation = self.send(cx, "Upsert", request).await?;
        self.changed(&made);
        Ok(())
    }

    async fn by_vector(
        &self,
        cx: &Context,
        collection: &String,
        vector: &[f32],
        condition: &String,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let bytes = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        let asked = fields::placeholder(DataType::FloatVector, bytes);
        self.search(cx, collection, (VECTOR, "COSINE", asked), condition, max).await
    }

    async fn by_words(
        &self,
        cx: &Context,
        collection: &String,
        words: &str,
        condition: &String,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        if words::of_query(words).indices.is_empty() {
            return Ok(Vec::new());
        }
        let asked = fields::placeholder(DataType::VarChar, words.as_bytes().to_vec());
        self.search(cx, collection, (WORDS, "BM25", asked), condition, max).await
    }

    async fn remove(
        &self,
        cx: &Context,
        collection: &String,
        which: &Which<'_, String>,
    ) -> Result<()> {
        let expr = match which {
            Which::Ids(ids) => {
                let ids: Vec<String> =
                    ids.iter().map(|id| format!("\"{}\"", point_id(id))).collect();
                format!("{ID} in [{}]", ids.join(", "))
            }
            Which::Where(condition) => (*condition).clone(),
        };
        self.delete(cx, collection, expr).await
    }

    async fn page(
        &self,
        cx: &Context,
        collection: &String,
        condition: &String,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let expr = match after.map(str::parse::<uuid::Uuid>) {
            None => condition.clone(),
            Some(Ok(after)) => format!("{condition} and {ID} > \"{after}\""),
            Some(Err(_)) => return Err(Error::invalid("the page that is asked for is none")),
        };
        let fields = [ID, CHUNK_ID, CHUNK, EXPIRES_AT, VECTOR];
        let query = Query {
            db_name: self.db_name(),
            collection_name: collection.clone(),
            expr,
            output_fields: fields.map(str::to_owned).to_vec(),
            guarantee_timestamp: self.guarantee(),
            params: vec![
                KeyValue::new("limit", &limit),
                // By their ids, one page behind the other.
                KeyValue::new("iterator", &"True"),
                KeyValue::new("reduce_stop_for_best", &"True"),
            ],
            consistency_level: self.level(),
        };
        let found: Rows = self.call(cx, "Query", &query).await?;
        let columns = Columns(&found.fields_data);
        let (chunks, last) = columns.embedded().ok_or_else(|| self.service.unclear())??;
        let next = last.filter(|_| chunks.len() == limit);
        Ok(ChunkPage { chunks, next })
    }

    async fn check(&self) -> Result<()> {
        let _: Version = self.call(&Context::default(), "GetVersion", &GetVersion {}).await?;
        Ok(())
    }
}
