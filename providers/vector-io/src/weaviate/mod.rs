//! Weaviate, over its REST and GraphQL APIs.

mod condition;
mod graphql;
mod objects;

use crate::{
    names,
    payload::point_id,
    remote::{Remote, Store, Which, other_length},
    rest::{self, Service, body},
    words,
};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Result, Secret,
    retrieval::{Filter, SearchMode, VectorDb},
    wire::Between,
};
use chaski_provider::{
    ChunkPage, Context, Deps, EmbeddedChunk, Provider, ProviderConfig, ScoredChunk, Spec,
    Timestamp, VectorIoProvider,
};
use condition::{Condition, expired, joined};
use http::Method;
use objects::{Additional, Description, Listed, Object, batch};
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::Mutex;

const NAME: &str = "Weaviate";
/// The properties of an object.
const CHUNK_ID: &str = "chunk_id";
const CHUNK: &str = "chunk";
const TEXT: &str = "text";
const FACTS: &str = "facts";
const EXPIRES_AT: &str = "expires_at";
/// What callers may send.
const CALLERS_URL: &str = "weaviate_cluster_url";
const CALLERS_KEY: &str = "weaviate_api_key";
/// The most ids of one condition.
const IDS: usize = 100;
const MODES: &[SearchMode] = &[SearchMode::Vector, SearchMode::Keyword, SearchMode::Hybrid];

const DOCS: &str = "\
Keeps chunks in [Weaviate](https://weaviate.io) 1.24 or newer, one class for each vector database.

- The class has the name of the vector database with a capital letter in front if Weaviate allows it, else a name made
  of it. It compares by cosine with an HNSW index. Classes of other programs, those of the reference too, are refused.
- Without `url`, the server is the one that the caller names, as in the reference: with `weaviate_cluster_url` and
  `weaviate_api_key` in the provider data of the request. Its address must be public or listed in
  `server.egress_allow`, and what was registered is made there by the first request and never dropped.
- The modes `keyword` and `hybrid` use the full-text search of Weaviate (BM25).
- Filters are pushed down. Weaviate compares numbers only by `gt`, `gte`, `lt` and `lte`; each key of the metadata
  with numbers becomes a property of the class.
- A list of chunks with a filter ends after as many as the server's `QUERY_MAXIMUM_RESULTS` says, 10000 by default.
- Chunks with a lifetime are not found any more when it is over, and removed with the next insert.
- It is tested with a server that answers as Weaviate's documentation says.
";

chaski_api::wire! {
    /// The configuration of `remote::weaviate`.
    pub struct WeaviateConfig {
        /// The URL of the server. Unless given, callers name the server.
        pub url: Option<String>,
        /// The key of the server at `url`, if it asks for one.
        pub api_key: Option<Secret>,
        /// How many neighbours each vector of a new class is linked with (HNSW's M).
        pub max_connections: Option<Between<4, 2047>>,
        /// How many candidates are looked at when a vector is inserted into a new class.
        pub ef_construction: Option<Between<4, 100_000>>,
        /// How many candidates are looked at in a query of a new class.
        pub ef: Option<Between<1, 100_000>>,
    }
}

impl ProviderConfig for WeaviateConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "url": "${env.WEAVIATE_CLUSTER_URL:http://localhost:8080}",
            "api_key": "${env.WEAVIATE_API_KEY:}",
        })
    }
}

/// A Weaviate server.
pub(crate) struct Weaviate {
    /// The one that is configured.
    service: Option<Service>,
    config: WeaviateConfig,
    deps: Deps,
}

impl Provider for Weaviate {
    type Api = dyn VectorIoProvider;
    type Config = WeaviateConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[CALLERS_URL, CALLERS_KEY],
        ..Spec::new(Api::VectorIo, "remote::weaviate", "A Weaviate server.")
    };

    async fn build(config: WeaviateConfig, deps: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        let url = config.url.as_deref().filter(|url| !url.trim().is_empty());
        let service = url.map(|url| connected(deps.clone(), url, config.api_key.as_ref()));
        Ok(Arc::new(Store::new(Self { service: service.transpose()?, config, deps })))
    }
}

fn connected(deps: Deps, url: &str, key: Option<&Secret>) -> Result<Service> {
    Service::new(NAME, deps, url)?.with_key("authorization", "Bearer ", key)
}

fn unclear() -> Error {
    rest::unclear(NAME)
}

/// A class that is there.
#[derive(Clone)]
pub(crate) struct Class {
    name: String,
    /// Its properties with numbers of metadata, as far as they are known.
    numbers: Arc<Mutex<HashSet<String>>>,
}

impl Weaviate {
    /// The server that is configured, or else the one that the caller names.
    ///
    /// # Errors
    /// `InvalidRequest` if there is neither, or the caller's has an address that is not allowed.
    fn service(&self, cx: &Context) -> Result<Service> {
        if let Some(service) = &self.service {
            return Ok(service.clone());
        }
        let url = cx.provider_data.text(CALLERS_URL).ok_or_else(|| {
            Error::invalid(format!(
                "this provider does not know which server of {NAME} to ask; set `url` of the provider, \
                 or send `{CALLERS_URL}` in the header `X-LlamaStack-Provider-Data`"
            ))
        })?;
        let key = cx.provider_data.text(CALLERS_KEY).map(Secret::new);
        let http = self.deps.http.for_addresses_of_callers();
        connected(Deps { http, ..self.deps.clone() }, url, key.as_ref())
    }

    async fn describe(&self, cx: &Context, name: &str) -> Result<Description> {
        self.service(cx)?.decode(self.service(cx)?.get(cx, &["v1", "schema", name]).await?)
    }

    async fn make(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<()> {
        let WeaviateConfig { max_connections, ef_construction, ef, .. } = &self.config;
        let options = [
            ("maxConnections", max_connections.map(|number| number.0)),
            ("efConstruction", ef_construction.map(|number| number.0)),
            ("ef", ef.map(|number| number.0)),
        ];
        let mut hnsw = json!({ "distance": "cosine" });
        for (key, number) in options {
            if let Some(number) = number {
                hnsw[key] = number.into();
            }
        }
        let made = objects::class(name, db.embedding_dimension, &hnsw);
        self.service(cx)?.post(cx, &["v1", "schema"], &made).await.map(drop)
    }

    /// Reads which properties the class has, if one of `wanted` is not known.
    async fn learn(
        &self,
        cx: &Context,
        class: &Class,
        wanted: &[String],
    ) -> Result<HashSet<String>> {
        let mut known = class.numbers.lock().await;
        if !wanted.iter().all(|key| known.contains(key)) {
            known.extend(self.describe(cx, &class.name).await?.names());
        }
        Ok(known.clone())
    }

    /// Adds the properties with numbers that the class does not have yet.
    async fn add(&self, cx: &Context, class: &Class, wanted: HashSet<String>) -> Result<()> {
        let mut known = class.numbers.lock().await;
        if wanted.is_subset(&known) {
            return Ok(());
        }
        known.extend(self.describe(cx, &class.name).await?.names());
        for key in wanted {
            if !known.contains(&key) {
                let property = json!({ "name": key, "dataType": ["number"] });
                let path = ["v1", "schema", &class.name, "properties"];
                match self.service(cx)?.post(cx, &path, &property).await {
                    // Another server has added it in the meantime.
                    Err(error) if error.kind == (ErrorKind::Upstream { status: Some(422) }) => {}
                    outcome => drop(outcome?),
                }
                known.insert(key);
            }
        }
        Ok(())
    }

    /// Asks for objects.
    async fn objects(
        &self,
        cx: &Context,
        class: &Class,
        arguments: &Value,
        additional: &str,
    ) -> Result<Vec<Object>> {
        let fields = format!("{CHUNK_ID} {CHUNK} {EXPIRES_AT} _additional {{ {additional} }}");
        let asked = graphql::get(&class.name, arguments, &fields);
        let mut answer = self.service(cx)?.post(cx, &["v1", "graphql"], &asked).await?;
        if let Some(said) = answer.pointer("/errors/0/message").and_then(Value::as_str) {
            // The language knows only classes that are there.
            let gone = said.contains("Cannot query field") || said.contains("could not find class");
            let kind = ErrorKind::Upstream { status: Some(if gone { 404 } else { 400 }) };
            return Err(Error::new(kind, format!("{NAME}: {said}")));
        }
        let objects = answer.pointer_mut(&format!("/data/Get/{}", class.name)).map(Value::take);
        self.service(cx)?.decode(objects.ok_or_else(unclear)?)
    }

    async fn search(
        &self,
        cx: &Context,
        class: &Class,
        (how, what, additional): (&str, Value, &str),
        condition: &Condition,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let known = self.learn(cx, class, &condition.numbers).await?;
        let arguments = json!({ (how): what, "where": condition.write(&known), "limit": max });
        let objects = self.objects(cx, class, &arguments, additional).await?;
        let scored = objects.iter().map(|object| {
            let Additional { distance, score, .. } = &object.additional;
            let score = distance
                .map(|distance| 1.0 - distance)
                .or_else(|| score.as_ref()?.parse().ok())
                .ok_or_else(unclear)?;
            Ok(ScoredChunk { chunk: object.chunk()?, score })
        });
        scored.collect()
    }

    /// Removes all objects that a condition holds for: at most some thousands at a time.
    async fn remove_all(&self, cx: &Context, class: &Class, condition: &Value) -> Result<()> {
        let asked = body(&json!({
            "match": { "class": class.name, "where": condition }, "output": "minimal",
        }));
        loop {
            let path = (&["v1", "batch", "objects"][..], &[][..]);
            let done = self.service(cx)?.ask(cx, Method::DELETE, path, Some(asked.clone())).await?;
            let count = |name: &str| done["results"][name].as_u64();
            if count("failed").unwrap_or_default() > 0 {
                let kind = ErrorKind::Upstream { status: None };
                return Err(Error::new(kind, format!("{NAME} could not remove all chunks")));
            }
            let (matches, removed) = (count("matches"), count("successful").unwrap_or_default());
            let matches = matches.ok_or_else(unclear)?;
            if removed == 0 || removed >= matches && Some(matches) != count("limit") {
                return Ok(());
            }
        }
    }

    /// A page of all chunks, behind the object `after`.
    async fn all(
        &self,
        cx: &Context,
        class: &Class,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let limit = limit.to_string();
        let mut query =
            vec![("class", class.name.as_str()), ("limit", &limit), ("include", "vector")];
        // With nothing behind it, the first page is asked for.
        query.push(("after", after.unwrap_or_default()));
        let path = (&["v1", "objects"][..], query.as_slice());
        let mut found = self.service(cx)?.ask(cx, Method::GET, path, None).await?;
        let listed = found.get_mut("objects").map(Value::take).unwrap_or_default();
        let listed: Vec<Listed> = self.service(cx)?.decode(listed)?;
        let now = Timestamp::now();
        let is_full = Some(listed.len()) == limit.parse().ok();
        let next = listed.last().filter(|_| is_full).map(|one| one.id.clone());
        let mut chunks = Vec::with_capacity(listed.len());
        for one in listed {
            let chunk = one.properties.chunk()?;
            if chunk.expires_at.is_none_or(|at| at > now) {
                chunks.push(EmbeddedChunk { chunk, vector: one.vector });
            }
        }
        Ok(ChunkPage { chunks, next })
    }
}

#[async_trait]
impl Remote for Weaviate {
    type Collection = Class;
    type Condition = Condition;
    const MODES: &'static [SearchMode] = MODES;

    fn place(&self, cx: &Context) -> Option<String> {
        match &self.service {
            Some(_) => Some(String::new()),
            None => cx.provider_data.text(CALLERS_URL).map(str::to_owned),
        }
    }

    /// Weaviate does not tell capital letters from others in names.
    fn name(&self, db: &VectorDb) -> String {
        let id = &db.provider_resource_id;
        let is_plain = id.starts_with(|first: char| first.is_ascii_lowercase())
            && !id.contains(|letter: char| letter.is_ascii_uppercase());
        let name = if is_plain {
            names::collection(id, 200, |letter| letter == '_')
        } else {
            names::made(id, 200)
        };
        let (first, rest) = name.split_at(1);
        format!("{}{rest}", first.to_ascii_uppercase())
    }

    fn condition(&self, filter: Option<&Filter>) -> Result<Condition> {
        Condition::new(filter)
    }

    async fn open(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<Class> {
        match self.describe(cx, name).await {
            Ok(found) => {
                let length = found.length().ok_or_else(|| {
                    Error::invalid(format!(
                        "the class `{name}` of {NAME} was made by another program; give the vector \
                         database another `provider_vector_db_id`"
                    ))
                })?;
                if length != db.embedding_dimension {
                    return Err(other_length(db, length));
                }
            }
            Err(error) if Self::is_missing(&error) => self.make(cx, db, name).await?,
            Err(error) => return Err(error),
        }
        Ok(Class { name: name.to_owned(), numbers: Arc::default() })
    }

    async fn drop(&self, cx: &Context, name: &str) -> Result<()> {
        self.service(cx)?.delete(cx, &["v1", "schema", name]).await
    }

    async fn sweep(&self, cx: &Context, class: &Class) -> Result<()> {
        self.remove_all(cx, class, &expired()).await
    }

    async fn insert(
        &self,
        cx: &Context,
        class: &Class,
        chunks: Arc<Vec<EmbeddedChunk>>,
    ) -> Result<()> {
        let name = class.name.clone();
        let (body, numbers) = self.deps.cpu.run(move || batch(&name, &chunks)).await?;
        self.add(cx, class, numbers).await?;
        let path = (&["v1", "batch", "objects"][..], &[][..]);
        let done = self.service(cx)?.ask(cx, Method::POST, path, Some(body)).await?;
        let each = done.as_array().ok_or_else(unclear)?;
        let failed = |one: &Value| {
            let said = one.pointer("/result/errors/error/0/message")?.as_str()?;
            Some(Error::new(ErrorKind::Upstream { status: None }, format!("{NAME}: {said}")))
        };
        each.iter().find_map(failed).map_or(Ok(()), Err)
    }

    async fn by_vector(
        &self,
        cx: &Context,
        class: &Class,
        vector: &[f32],
        condition: &Condition,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let how = ("nearVector", json!({ "vector": vector }), "distance");
        self.search(cx, class, how, condition, max).await
    }

    async fn by_words(
        &self,
        cx: &Context,
        class: &Class,
        words: &str,
        condition: &Condition,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        if words::of_query(words).indices.is_empty() {
            return Ok(Vec::new());
        }
        let how = ("bm25", json!({ "query": words, "properties": [TEXT] }), "score");
        self.search(cx, class, how, condition, max).await
    }

    async fn remove(
        &self,
        cx: &Context,
        class: &Class,
        which: &Which<'_, Condition>,
    ) -> Result<()> {
        match which {
            Which::Ids(ids) => {
                for ids in ids.chunks(IDS) {
                    let id = |id: &String| json!({ "path": ["id"], "operator": "Equal", "valueText": point_id(id) });
                    let any = joined("Or", ids.iter().map(id).collect());
                    self.remove_all(cx, class, &any).await?;
                }
                Ok(())
            }
            Which::Where(condition) => {
                let known = self.learn(cx, class, &condition.numbers).await?;
                self.remove_all(cx, class, &condition.write(&known)).await
            }
        }
    }

    async fn page(
        &self,
        cx: &Context,
        class: &Class,
        condition: &Condition,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        if condition.is_all() {
            return self.all(cx, class, after, limit).await;
        }
        let offset: usize = after.and_then(|after| after.parse().ok()).unwrap_or_default();
        let known = self.learn(cx, class, &condition.numbers).await?;
        let arguments =
            json!({ "where": condition.write(&known), "limit": limit, "offset": offset });
        let objects = self.objects(cx, class, &arguments, "vector").await?;
        let chunks = objects.into_iter().map(|object| {
            let chunk = object.chunk()?;
            let vector = object.additional.vector.ok_or_else(unclear)?;
            Ok(EmbeddedChunk { chunk, vector })
        });
        let chunks = chunks.collect::<Result<Vec<_>>>()?;
        let next = (chunks.len() == limit).then(|| (offset + limit).to_string());
        Ok(ChunkPage { chunks, next })
    }

    async fn check(&self) -> Result<()> {
        match &self.service {
            Some(service) => service.get(&Context::default(), &["v1", "meta"]).await.map(drop),
            None => Ok(()),
        }
    }
}
