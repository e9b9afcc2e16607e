//! Chroma, over its HTTP API (version 2).

use crate::{
    filters::{Plain, cannot},
    names,
    payload::{self, own},
    rest::{Service, body, is_missing},
};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Api, Error, ErrorKind, Result, Secret,
    retrieval::{Comparison, Filter, Operator, Scalar, SearchMode, VectorDb},
    wire::Between,
};
use chaski_provider::{
    ChunkPage, Context, Deps, EmbeddedChunk, Hosts, Lifecycle, Provider, ProviderConfig,
    ScoredChunk, Selection, StoredChunk, Timestamp, VectorIo, VectorIoProvider, VectorQuery,
    no_mode,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Mutex;

const NAME: &str = "Chroma";
/// The most chunks of one request.
const BATCH: usize = 256;
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
    /// The collections met so far, by name.
    known: Mutex<HashMap<String, Collection>>,
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
        Ok(Arc::new(Self { service, config, known: Mutex::default() }))
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
struct Collection {
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

    /// The collection of a vector database, which is made unless it is there.
    async fn collection(&self, cx: &Context, db: &VectorDb) -> Result<Collection> {
        let name = name(db);
        let mut known = self.known.lock().await;
        if let Some(found) = known.get(&name) {
            return Ok(found.clone());
        }
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
        let path = self.collections(&[]);
        let made = self.service.ask(cx, Method::POST, &path, Some(body(&made))).await?;
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
        let found = Collection { id: id.to_owned(), space };
        known.insert(name, found.clone());
        Ok(found)
    }

    /// Asks for something about the collection of `db`. One that is gone, as after a restart of a
    /// server that keeps nothing, is made anew.
    async fn on(&self, cx: &Context, db: &VectorDb, action: &str, body: &Bytes) -> Result<Value> {
        let collection = self.collection(cx, db).await?;
        match self.post(cx, &collection, action, body.clone()).await {
            Err(error) if is_missing(&error) => {
                self.known.lock().await.remove(&name(db));
                let collection = self.collection(cx, db).await?;
                self.post(cx, &collection, action, body.clone()).await
            }
            outcome => outcome,
        }
    }

    async fn got(&self, cx: &Context, db: &VectorDb, asked: &Bytes) -> Result<Got> {
        let got = self.on(cx, db, "get", asked).await?;
        serde_json::from_value(got).map_err(|error| self.service.unclear().caused_by(error))
    }

    async fn post(
        &self,
        cx: &Context,
        collection: &Collection,
        action: &str,
        body: Bytes,
    ) -> Result<Value> {
        let path = self.collections(&[&collection.id, action]);
        self.service.ask(cx, Method::POST, &path, Some(body)).await
    }
}

fn name(db: &VectorDb) -> String {
    names::collection(&db.provider_resource_id, 63, |letter| matches!(letter, '.' | '_' | '-'))
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

/// The condition that Chroma takes for what is asked for and has not expired.
fn condition(filter: Option<&Filter>) -> Result<Option<Value>> {
    let alive = json!({ "$or": [
        { EXPIRES: { "$ne": true } },
        { EXPIRES_AT: { "$gt": Timestamp::now().0 } },
    ] });
    Ok(match Plain::of(filter) {
        Plain::Nothing => None,
        Plain::All => Some(alive),
        Plain::Some(filter) => Some(json!({ "$and": [where_clause(&filter)?, alive] })),
    })
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
impl VectorIo for ChromaDb {
    fn modes(&self) -> &'static [SearchMode] {
        MODES
    }

    async fn insert(&self, cx: &Context, db: &VectorDb, chunks: Vec<EmbeddedChunk>) -> Result<()> {
        let expired = json!({ "where": { EXPIRES_AT: { "$lte": Timestamp::now().0 } } });
        let expired = body(&expired);
        self.on(cx, db, "delete", &expired).await?;
        let mut rest = chunks;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(BATCH));
            let some = std::mem::replace(&mut rest, later);
            let ids: Vec<&str> = some.iter().map(|one| one.chunk.id.as_str()).collect();
            let asked = body(&json!({ "ids": ids, "include": ["metadatas"] }));
            let got = self.got(cx, db, &asked).await?;
            let metadatas = got.metadatas.unwrap_or_default().into_iter();
            let before: HashMap<String, Map<String, Value>> =
                got.ids.into_iter().zip(metadatas.map(Option::unwrap_or_default)).collect();
            let body = self.service.cpu.run(move || upsert(&some, &before)).await?;
            self.on(cx, db, "upsert", &body).await?;
        }
        Ok(())
    }

    async fn query(
        &self,
        cx: &Context,
        db: &VectorDb,
        query: &VectorQuery,
    ) -> Result<Vec<ScoredChunk>> {
        if query.mode != SearchMode::Vector {
            return Err(no_mode(query.mode, MODES));
        }
        let Some(condition) = condition(query.filter.as_ref())? else { return Ok(Vec::new()) };
        let asked = json!({
            "query_embeddings": [query.vector],
            "n_results": query.max,
            "where": condition,
            "include": ["documents", "distances"],
        });
        let asked = body(&asked);
        let space = self.collection(cx, db).await?.space;
        let found = self.on(cx, db, "query", &asked).await?;
        let found: Found = serde_json::from_value(found)
            .map_err(|error| self.service.unclear().caused_by(error))?;
        let ids = found.ids.into_iter().next().unwrap_or_default();
        let documents = found.documents.into_iter().flatten().next().unwrap_or_default();
        let distances = found.distances.into_iter().flatten().next().unwrap_or_default();
        let mut chunks = Vec::with_capacity(ids.len());
        for ((id, document), distance) in ids.iter().zip(documents).zip(distances) {
            let distance = distance.ok_or_else(|| self.service.unclear())?;
            let score = match space {
                Space::Cosine | Space::InnerProduct => 1.0 - distance,
                Space::L2 => 1.0 - distance / 2.0,
            };
            if query.min_score.is_none_or(|lowest| score >= lowest) {
                let chunk = payload::decode(id, &document.unwrap_or_default())?;
                chunks.push(ScoredChunk { chunk, score });
            }
        }
        Ok(chunks)
    }

    async fn delete(&self, cx: &Context, db: &VectorDb, which: &Selection) -> Result<()> {
        let asked = match which {
            Selection::Ids(ids) if ids.is_empty() => return Ok(()),
            Selection::Ids(ids) => json!({ "ids": ids }),
            Selection::Where(filter) => match condition(Some(filter))? {
                None => return Ok(()),
                Some(condition) => json!({ "where": condition }),
            },
        };
        let asked = body(&asked);
        self.on(cx, db, "delete", &asked).await.map(drop)
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
        let offset: usize = after.and_then(|after| after.parse().ok()).unwrap_or_default();
        let asked = json!({
            "where": condition,
            "limit": limit,
            "offset": offset,
            "include": ["documents", "metadatas", "embeddings"],
        });
        let asked = body(&asked);
        let got = self.got(cx, db, &asked).await?;
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
}

#[async_trait]
impl Hosts<VectorDb> for ChromaDb {
    async fn on_register(&self, db: VectorDb) -> Result<VectorDb> {
        self.known.lock().await.remove(&name(&db));
        self.collection(&Context::default(), &db).await?;
        Ok(db)
    }

    async fn on_unregister(&self, db: &VectorDb) -> Result<()> {
        let name = name(db);
        self.known.lock().await.remove(&name);
        let path = self.collections(&[&name]);
        match self.service.ask(&Context::default(), Method::DELETE, &path, None).await {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Lifecycle for ChromaDb {
    async fn check(&self) -> Result<()> {
        let path = ["api", "v2", "heartbeat"];
        self.service.ask(&Context::default(), Method::GET, &path, None).await.map(drop)
    }
}
