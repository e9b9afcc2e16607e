//! Chroma, over its HTTP API (version 2).

use crate::{
    filters::cannot,
    names,
    payload::{self, own},
    remote::{Remote, Store, Which, other_length},
    rest::{Service, body},
};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Api, Result, Secret,
    retrieval::{Comparison, Filter, Operator, Scalar, SearchMode, VectorDb},
    wire::Between,
};
use chaski_provider::{
    ChunkPage, Context, Deps, EmbeddedChunk, Provider, ProviderConfig, ScoredChunk, StoredChunk,
    Timestamp, VectorIoProvider,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, sync::Arc};

const NAME: &str = "Chroma";
/// Marks chunks that expire, and when they do. Only these have the keys.
const EXPIRES: &str = own!("expires");
const EXPIRES_AT: &str = own!("expires_at");
const MODES: &[SearchMode] = &[SearchMode::Vector];

const DOCS: &str = "\
Keeps chunks in a [Chroma](https://docs.trychroma.com) server, version 1.0 or newer, one collection for each
vector database.

- The collection has the name of the vector database if Chroma allows it, else a name made of it. New ones compare
  by cosine. Collections that the reference has made go on working.
- Chroma searches by vectors only; the modes `keyword` and `hybrid` are refused.
- Filters are pushed down. Chroma compares numbers only by `gt`, `gte`, `lt` and `lte`.
- Chunks with a lifetime are not found any more when it is over, and removed with the next insert.
";

chaski_api::wire! {
    /// The configuration of `remote::chromadb`.
    pub struct ChromaDbConfig {
        /// The URL of the server.
        pub url: String,
        /// The key of Chroma's cloud, or of a server that asks for one.
        pub api_key: Option<Secret>,
        /// The tenant.
        pub tenant: String = "default_tenant".to_owned(),
        /// The database of the tenant.
        pub database: String = "default_database".to_owned(),
        /// How many neighbours each vector of a new collection is linked with (HNSW's M).
        pub max_neighbors: Option<Between<2, 1024>>,
        /// How many candidates are looked at when a vector is inserted into a new collection.
        pub ef_construction: Option<Between<1, 100_000>>,
        /// How many candidates are looked at in a query of a new collection.
        pub ef_search: Option<Between<1, 100_000>>,
    }
}

impl ProviderConfig for ChromaDbConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.CHROMADB_URL}" })
    }
}

/// A Chroma server.
pub(crate) struct ChromaDb {
    service: Service,
    config: ChromaDbConfig,
}

impl Provider for ChromaDb {
    type Api = dyn VectorIoProvider;
    type Config = ChromaDbConfig;
    const SPEC: chaski_provider::Spec = chaski_provider::Spec {
        docs: DOCS,
        ..chaski_provider::Spec::new(Api::VectorIo, "remote::chromadb", "A Chroma server.")
    };

    async fn build(config: ChromaDbConfig, deps: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        let service = Service::new(NAME, deps, &config.url)?;
        let service = service.with_key("x-chroma-token", "", config.api_key.as_ref())?;
        Ok(Arc::new(Store::new(Self { service, config })))
    }
}

/// How a collection compares vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Space {
    Cosine,
    /// The square of the distance, of vectors of length 1.
    L2,
    InnerProduct,
}

/// A collection.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    id: String,
    space: Space,
}

/// What a query answers: one list for each vector that was asked for.
#[derive(Deserialize)]
struct Found {
    ids: Vec<Vec<String>>,
    documents: Option<Vec<Vec<Option<String>>>>,
    distances: Option<Vec<Vec<Option<f64>>>>,
}

/// What a request for chunks answers.
#[derive(Deserialize)]
struct Got {
    ids: Vec<String>,
    documents: Option<Vec<Option<String>>>,
    metadatas: Option<Vec<Option<Map<String, Value>>>>,
    embeddings: Option<Vec<Vec<f32>>>,
}

impl ChromaDb {
    fn collections<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let ChromaDbConfig { tenant, database, .. } = &self.config;
        let mut path = vec!["api", "v2", "tenants", tenant, "databases", database, "collections"];
        path.extend(rest);
        path
    }

    async fn got(&self, cx: &Context, collection: &Collection, asked: &Value) -> Result<Got> {
        self.service.decode(self.on(cx, collection, "get", body(asked)).await?)
    }

    /// Asks for something about a collection.
    async fn on(
        &self,
        cx: &Context,
        collection: &Collection,
        action: &str,
        body: Bytes,
    ) -> Result<Value> {
        let path = self.collections(&[&collection.id, action]);
        self.service.ask(cx, Method::POST, (&path, &[]), Some(body)).await
    }
}

/// A key of the metadata as Chroma takes it: some of its own begin with these signs.
fn kept_key(key: &str) -> String {
    if key.is_empty() || key.starts_with(['$', '#']) || key.starts_with(own!("")) {
        format!("{}{key}", own!("key:"))
    } else {
        key.to_owned()
    }
}

fn where_clause(filter: &Filter) -> Result<Value> {
    let all = |filters: &[Filter]| filters.iter().map(where_clause).collect::<Result<Vec<Value>>>();
    Ok(match filter {
        // One part alone is not joined.
        Filter::And(filters) => json!({ "$and": all(filters)? }),
        Filter::Or(filters) => json!({ "$or": all(filters)? }),
        Filter::Compare(comparison) => {
            let Comparison { key, operator, values } = comparison;
            let key = kept_key(key);
            let value = |scalar: &Scalar| match scalar {
                Scalar::Text(text) => json!(text),
                // Numbers are kept as such with a fraction.
                Scalar::Number(number) => json!(number.as_f64()),
                Scalar::Bool(truth) => json!(truth),
            };
            let orders =
                matches!(operator, Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte);
            if orders && !values.iter().all(|value| matches!(value, Scalar::Number(_))) {
                return Err(cannot(NAME, comparison));
            }
            if matches!(operator, Operator::In | Operator::Nin) {
                // Lists hold values of one kind only.
                let by_kind = |is: fn(&Scalar) -> bool| -> Option<Value> {
                    let of_kind: Vec<Value> =
                        values.iter().filter(|value| is(value)).map(value).collect();
                    (!of_kind.is_empty())
                        .then(|| json!({ key.clone(): { format!("${operator}"): of_kind } }))
                };
                let parts: Vec<Value> = [
                    by_kind(|value| matches!(value, Scalar::Text(_))),
                    by_kind(|value| matches!(value, Scalar::Number(_))),
                    by_kind(|value| matches!(value, Scalar::Bool(_))),
                ]
                .into_iter()
                .flatten()
                .collect();
                let join = if *operator == Operator::In { "$or" } else { "$and" };
                json!({ join: parts })
            } else {
                let value = values.first().map(value).unwrap_or_default();
                json!({ key.clone(): { format!("${operator}"): value } })
            }
        }
    })
}

/// What filters can ask for of a chunk, as Chroma keeps it.
fn kept(chunk: &StoredChunk) -> Map<String, Value> {
    let scalars = payload::scalars(&chunk.metadata).into_iter();
    let mut kept: Map<String, Value> =
        scalars.map(|(key, value)| (kept_key(&key), value)).collect();
    if let Some(at) = chunk.expires_at {
        kept.insert(EXPIRES.to_owned(), true.into());
        kept.insert(EXPIRES_AT.to_owned(), at.0.into());
    }
    kept
}

/// The body of an insert of `chunks`, some of which are there already: `before` says with what.
fn upsert(chunks: &[EmbeddedChunk], before: &HashMap<String, Map<String, Value>>) -> Bytes {
    let metadata = |chunk: &StoredChunk| {
        let mut kept = kept(chunk);
        // Chroma adds to what it has, unless it is told that a key is gone.
        for key in before.get(&chunk.id).into_iter().flat_map(Map::keys) {
            kept.entry(key).or_insert(Value::Null);
        }
        // Chroma takes no metadata that are empty.
        if kept.is_empty() { Value::Null } else { Value::Object(kept) }
    };
    let each = |part: &dyn Fn(&EmbeddedChunk) -> Value| chunks.iter().map(part).collect::<Vec<_>>();
    body(&json!({
        "ids": each(&|one| json!(one.chunk.id)),
        "embeddings": each(&|one| json!(one.vector)),
        "documents": each(&|one| json!(payload::encode(&one.chunk))),
        "metadatas": each(&|one| metadata(&one.chunk)),
    }))
}

#[async_trait]
impl Remote for ChromaDb {
    type Collection = Collection;
    type Condition = Value;
    const MODES: &'static [SearchMode] = MODES;

    fn name(&self, db: &VectorDb) -> String {
        names::collection(&db.provider_resource_id, 63, |letter| matches!(letter, '.' | '_' | '-'))
    }

    fn condition(&self, filter: Option<&Filter>) -> Result<Value> {
        let alive = json!({ "$or": [
            { EXPIRES: { "$ne": true } },
            { EXPIRES_AT: { "$gt": Timestamp::now().0 } },
        ] });
        Ok(match filter {
            None => alive,
            Some(filter) => json!({ "$and": [where_clause(filter)?, alive] }),
        })
    }

    async fn open(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<Collection> {
        let mut hnsw = json!({ "space": "cosine" });
        let ChromaDbConfig { max_neighbors, ef_construction, ef_search, .. } = &self.config;
        let options = [
            ("max_neighbors", max_neighbors.map(|number| number.0)),
            ("ef_construction", ef_construction.map(|number| number.0)),
            ("ef_search", ef_search.map(|number| number.0)),
        ];
        for (key, number) in options {
            if let Some(number) = number {
                hnsw[key] = number.into();
            }
        }
        let made = json!({
            "name": name,
            "get_or_create": true,
            "configuration": { "hnsw": hnsw },
            "metadata": { (own!("vector_db")): db.identifier },
        });
        let made = self.service.post(cx, &self.collections(&[]), &made).await?;
        let id = made["id"].as_str().ok_or_else(|| self.service.unclear())?;
        let space = match made.pointer("/configuration_json/hnsw/space").and_then(Value::as_str) {
            Some("l2") => Space::L2,
            Some("ip") => Space::InnerProduct,
            _ => Space::Cosine,
        };
        let length = made["dimension"].as_i64().filter(|length| *length != db.embedding_dimension);
        if let Some(length) = length {
            return Err(other_length(db, length));
        }
        Ok(Collection { id: id.to_owned(), space })
    }

    async fn drop(&self, cx: &Context, name: &str) -> Result<()> {
        self.service.delete(cx, &self.collections(&[name])).await
    }

    async fn sweep(&self, cx: &Context, collection: &Collection) -> Result<()> {
        let expired = json!({ "where": { EXPIRES_AT: { "$lte": Timestamp::now().0 } } });
        self.on(cx, collection, "delete", body(&expired)).await.map(drop)
    }

    async fn insert(
        &self,
        cx: &Context,
        collection: &Collection,
        chunks: Arc<Vec<EmbeddedChunk>>,
    ) -> Result<()> {
        let ids: Vec<&str> = chunks.iter().map(|one| one.chunk.id.as_str()).collect();
        let asked = json!({ "ids": ids, "include": ["metadatas"] });
        let got = self.got(cx, collection, &asked).await?;
        let metadatas = got.metadatas.unwrap_or_default().into_iter();
        let before: HashMap<String, Map<String, Value>> =
            got.ids.into_iter().zip(metadatas.map(Option::unwrap_or_default)).collect();
        let body = self.service.cpu.run(move || upsert(&chunks, &before)).await?;
        self.on(cx, collection, "upsert", body).await.map(drop)
    }

    async fn by_vector(
        &self,
        cx: &Context,
        collection: &Collection,
        vector: &[f32],
        condition: &Value,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let asked = json!({
            "query_embeddings": [vector],
            "n_results": max,
            "where": condition,
            "include": ["documents", "distances"],
        });
        let found = self.on(cx, collection, "query", body(&asked)).await?;
        let found: Found = self.service.decode(found)?;
        let ids = found.ids.into_iter().next().unwrap_or_default();
        let documents = found.documents.into_iter().flatten().next().unwrap_or_default();
        let distances = found.distances.into_iter().flatten().next().unwrap_or_default();
        let mut chunks = Vec::with_capacity(ids.len());
        for ((id, document), distance) in ids.iter().zip(documents).zip(distances) {
            let distance = distance.ok_or_else(|| self.service.unclear())?;
            let score = match collection.space {
                Space::Cosine | Space::InnerProduct => 1.0 - distance,
                Space::L2 => 1.0 - distance / 2.0,
            };
            let chunk = payload::decode(id, &document.unwrap_or_default())?;
            chunks.push(ScoredChunk { chunk, score });
        }
        Ok(chunks)
    }

    async fn remove(
        &self,
        cx: &Context,
        collection: &Collection,
        which: &Which<'_, Value>,
    ) -> Result<()> {
        let asked = match which {
            Which::Ids(ids) => json!({ "ids": ids }),
            Which::Where(condition) => json!({ "where": condition }),
        };
        self.on(cx, collection, "delete", body(&asked)).await.map(drop)
    }

    async fn page(
        &self,
        cx: &Context,
        collection: &Collection,
        condition: &Value,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let offset: usize = after.and_then(|after| after.parse().ok()).unwrap_or_default();
        let asked = json!({
            "where": condition,
            "limit": limit,
            "offset": offset,
            "include": ["documents", "metadatas", "embeddings"],
        });
        let got = self.got(cx, collection, &asked).await?;
        let documents = got.documents.unwrap_or_default().into_iter();
        let metadatas = got.metadatas.unwrap_or_default().into_iter();
        let vectors = got.embeddings.unwrap_or_default().into_iter();
        let mut chunks = Vec::with_capacity(got.ids.len());
        for (((id, document), metadata), vector) in
            got.ids.iter().zip(documents).zip(metadatas).zip(vectors)
        {
            let mut chunk = payload::decode(id, &document.unwrap_or_default())?;
            let at = metadata.as_ref().and_then(|kept| kept.get(EXPIRES_AT)?.as_i64());
            chunk.expires_at = at.map(Timestamp);
            chunks.push(EmbeddedChunk { chunk, vector });
        }
        let next = (chunks.len() == limit).then(|| (offset + limit).to_string());
        Ok(ChunkPage { chunks, next })
    }

    async fn check(&self) -> Result<()> {
        let path = ["api", "v2", "heartbeat"];
        self.service.get(&Context::default(), &path).await.map(drop)
    }
}
