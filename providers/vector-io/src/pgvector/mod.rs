//! `PostgreSQL` with the extension pgvector.

mod condition;
mod failure;
mod pool;
mod sql;
mod table;
mod tls;

use crate::{
    names, payload,
    remote::{Remote, Store, Which, other_length},
    rest,
};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, Result, Secret,
    retrieval::{Filter, SearchMode, VectorDb},
    wire::Between,
};
use chaski_provider::{
    ChunkPage, Context, Cpu, Deps, EmbeddedChunk, Provider, ProviderConfig, ScoredChunk, Spec,
    Timestamp, VectorIoProvider,
};
use condition::Condition;
use failure::{NAME, Place};
use pool::{Database, Limits};
use serde_json::{Value, json};
use sql::Sql;
use std::{path::Path, sync::Arc, time::Duration};
use table::Table;
use tls::{Tls, Trust};
use tokio_postgres::{Config, Row, types::FromSqlOwned};

/// What the names of the tables begin with, as those of the reference do.
const PREFIX: &str = "vector_store_";
/// The most characters behind it, so that the names of the indexes fit into 63 too.
const LONGEST: usize = 40;
/// The first version that goes on searching until a filter has let enough through.
const VERSION: (u32, u32) = (0, 8);
/// How often a connection that nobody uses is looked after, so that a lost one is noticed.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
const MODES: &[SearchMode] = &[SearchMode::Vector, SearchMode::Keyword, SearchMode::Hybrid];

const DOCS: &str = "\
Keeps chunks in [PostgreSQL](https://www.postgresql.org) with [pgvector](https://github.com/pgvector/pgvector) 0.8 or
newer, one table for each vector database.

- The extension is added to the database unless it is there. Where the user may not do that, let an administrator run
  `CREATE EXTENSION vector`.
- The table is called `vector_store_` with the name of the vector database behind it, or with a name made of that if it
  has other characters than letters, digits and `_`. A table that the reference has made is taken over: it gets the
  columns `metadata`, `words` and `expires_at`, and its chunks are found as before.
- Vectors are compared by cosine. Their HNSW index takes up to 4000 numbers, from 2001 on with half of the digits;
  longer ones are compared with all.
- The modes `keyword` and `hybrid` use the full-text search of PostgreSQL, with the configuration that `text_search`
  names: a chunk is found that has at least one of the words, in any form of it.
- Filters are pushed down, as parameters. An insert counts as a whole or not at all.
- Chunks with a lifetime are not found any more when it is over, and removed with the next insert.
- Connections that were lost are made anew. A statement whose caller has left is cancelled. `network` of the provider
  has the time limits: `connect_seconds`, `waiting_seconds` for a free connection, and `first_byte_seconds` for
  statements.
";

chaski_api::wire! {
    /// How a connection is encrypted.
    pub enum SslMode {
        /// Not at all.
        Disable = "disable",
        /// If the server offers it. Its certificate is not checked.
        Prefer = "prefer",
        /// Always. The certificate of the server is not checked.
        Require = "require",
        /// Always, with a certificate for the host that a known authority has signed.
        VerifyFull = "verify-full",
    }
}

chaski_api::wire! {
    /// The configuration of `remote::pgvector`.
    pub struct PgVectorConfig {
        /// The host name or address of the server, or the folder of its socket.
        pub host: String = "localhost".to_owned(),
        /// The port of the server.
        pub port: Between<1, 65535> = Between(5432),
        /// The database.
        pub db: String = "postgres".to_owned(),
        /// The user.
        pub user: String = "postgres".to_owned(),
        /// The password of the user.
        pub password: Secret = Secret::new("mysecretpassword"),
        /// How connections are encrypted.
        pub ssl_mode: SslMode = SslMode::Prefer,
        /// The certificate authorities for `verify-full`, a PEM file; those of the system unless given.
        pub ca_cert_path: Option<String>,
        /// The most connections.
        pub pool_size: Between<1, 1000> = Between(10),
        /// The text search configuration that words are brought to their stems with.
        pub text_search: String = "english".to_owned(),
        /// How many neighbours each vector of a new table is linked with (HNSW's M).
        pub hnsw_m: Option<Between<2, 100>>,
        /// How many candidates are looked at when a vector is inserted into a new table.
        pub hnsw_ef_construction: Option<Between<4, 1000>>,
        /// How many candidates are looked at at a time in a query.
        pub hnsw_ef_search: Option<Between<1, 1000>>,
    }
}

impl ProviderConfig for PgVectorConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "host": "${env.PGVECTOR_HOST:localhost}",
            "port": "${env.PGVECTOR_PORT:5432}",
            "db": "${env.PGVECTOR_DB}",
            "user": "${env.PGVECTOR_USER}",
            "password": "${env.PGVECTOR_PASSWORD}",
        })
    }

    fn validate(&self, reader: &mut chaski_api::Reader) {
        for (name, text) in [("host", &self.host), ("db", &self.db), ("user", &self.user)] {
            if text.is_empty() {
                reader.key(name, |reader| reader.issue::<()>("missing", "must not be empty"));
            }
        }
    }
}

impl PgVectorConfig {
    fn connection(&self, connect_timeout: Duration) -> Config {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(u16::try_from(self.port.0).unwrap_or_default())
            .dbname(&self.db)
            .user(&self.user)
            .application_name("chaski")
            .connect_timeout(connect_timeout)
            .keepalives_idle(KEEP_ALIVE)
            .ssl_mode(match self.ssl_mode {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                SslMode::Require | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
            });
        if !self.password.is_empty() {
            config.password(self.password.expose());
        }
        config
    }

    fn trust(&self) -> Trust<'_> {
        match (self.ssl_mode, &self.ca_cert_path) {
            (SslMode::Disable | SslMode::Prefer | SslMode::Require, _) => Trust::Anybody,
            (SslMode::VerifyFull, None) => Trust::System,
            (SslMode::VerifyFull, Some(file)) => Trust::File(Path::new(file)),
        }
    }
}

/// A `PostgreSQL` server with pgvector.
pub(crate) struct PgVector {
    database: Database,
    config: PgVectorConfig,
    /// Where statements with many chunks are written.
    cpu: Cpu,
}

impl Provider for PgVector {
    type Api = dyn VectorIoProvider;
    type Config = PgVectorConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(Api::VectorIo, "remote::pgvector", "PostgreSQL with the extension pgvector.")
    };

    async fn build(config: PgVectorConfig, deps: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        let options = deps.http.options();
        let limits = Limits {
            connect: options.connect_timeout,
            wait: options.waiting_timeout,
            answer: options.first_byte_timeout,
        };
        let place = Place {
            host: config.host.clone(),
            port: config.port.0,
            db: config.db.clone(),
            user: config.user.clone(),
        };
        let database = Database::new(
            config.connection(options.connect_timeout),
            Tls::new(&config.trust())?,
            (place, limits),
            usize::try_from(config.pool_size.0).unwrap_or(1),
            config.hnsw_ef_search.map(|ef| ef.0),
        )?;
        Ok(Arc::new(Store::new(Self { database, config, cpu: deps.cpu })))
    }
}

impl PgVector {
    /// The state of a table; see [`Table::state`].
    async fn state(
        &self,
        cx: &Context,
        table: &Table,
    ) -> Result<(Option<String>, Option<i32>, bool)> {
        let rows = self.database.rows(cx, &table.state()).await?;
        let row = rows.first().ok_or_else(unclear)?;
        Ok((read(row, 0)?, read(row, 1)?, read(row, 2)?))
    }

    /// Adds the extension unless it is there, and says whether it is new enough.
    async fn extension(&self, cx: &Context, version: Option<String>) -> Result<()> {
        let Some(version) = version else {
            let mut lock = Sql::default();
            let key = lock.bind(PREFIX);
            lock.push(&format!("SELECT pg_advisory_xact_lock(hashtextextended({key}, 0))"));
            let create = Sql::new("CREATE EXTENSION IF NOT EXISTS vector");
            let made = self.database.all(cx, &[lock, create]).await;
            return made.map_err(|error| failure::of_extension(error, &self.database.place));
        };
        let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
        let found = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if found < VERSION {
            return Err(Error::unavailable(format!(
                "the extension `vector` of {NAME} has version {version}, and 0.8.0 is the first that \
                 can be used; update pgvector and run `ALTER EXTENSION vector UPDATE`"
            )));
        }
        Ok(())
    }

    /// Chunks with scores, of rows with the id, the document and the score.
    async fn scored(&self, cx: &Context, statement: &Sql) -> Result<Vec<ScoredChunk>> {
        let rows = self.database.rows(cx, statement).await?;
        let scored = rows.iter().map(|row| {
            let chunk = payload::decode(&read::<String>(row, 0)?, &read::<String>(row, 1)?)?;
            Ok(ScoredChunk { chunk, score: read(row, 2)? })
        });
        scored.collect()
    }
}

fn read<T: FromSqlOwned>(row: &Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| unclear().caused_by(error))
}

fn unclear() -> Error {
    rest::unclear(NAME)
}

#[async_trait]
impl Remote for PgVector {
    type Collection = Table;
    type Condition = Condition;
    const MODES: &'static [SearchMode] = MODES;
    /// Everything of a request is one transaction.
    const BATCH: usize = usize::MAX;

    fn name(&self, db: &VectorDb) -> String {
        let name = names::collection(&db.provider_resource_id, LONGEST, |letter| letter == '_');
        format!("{PREFIX}{name}")
    }

    fn condition(&self, filter: Option<&Filter>) -> Result<Condition> {
        Ok(Condition(filter.cloned()))
    }

    async fn open(&self, cx: &Context, db: &VectorDb, name: &str) -> Result<Table> {
        let table = Table::new(name, db.embedding_dimension);
        let (version, length, is_complete) = self.state(cx, &table).await?;
        self.extension(cx, version).await?;
        let length = length.map(i64::from);
        if let Some(length) = length.filter(|length| *length != db.embedding_dimension) {
            return Err(other_length(db, length));
        }
        if !is_complete {
            self.database.all(cx, &table.make(&self.config, length.is_some())).await?;
            // Another server may have made it with other vectors in the meantime.
            let (_, length, _) = self.state(cx, &table).await?;
            let length = length.map(i64::from).ok_or_else(unclear)?;
            if length != db.embedding_dimension {
                return Err(other_length(db, length));
            }
        }
        Ok(table)
    }

    async fn drop(&self, cx: &Context, name: &str) -> Result<()> {
        self.database.all(cx, &[Table::drop(name)]).await
    }

    async fn sweep(&self, cx: &Context, table: &Table) -> Result<()> {
        self.database.all(cx, &[table.remove_expired()]).await
    }

    async fn insert(
        &self,
        cx: &Context,
        table: &Table,
        chunks: Arc<Vec<EmbeddedChunk>>,
    ) -> Result<()> {
        if let Some(odd) = chunks.iter().find(|one| !table.fits(&one.vector)) {
            let (id, length) = (&odd.chunk.id, odd.vector.len());
            return Err(Error::invalid(format!(
                "the vector of the chunk `{id}` has {length} numbers, and those of its database have \
                 another length"
            )));
        }
        let (table, text_search) = (table.clone(), self.config.text_search.clone());
        let statements = self.cpu.run(move || table.insert(&chunks, &text_search)).await?;
        self.database.all(cx, &statements).await
    }

    async fn by_vector(
        &self,
        cx: &Context,
        table: &Table,
        vector: &[f32],
        condition: &Condition,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        self.scored(cx, &table.nearest(vector, condition, max)).await
    }

    async fn by_words(
        &self,
        cx: &Context,
        table: &Table,
        words: &str,
        condition: &Condition,
        max: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let words = (words, self.config.text_search.as_str());
        self.scored(cx, &table.with_words(words, condition, max)).await
    }

    async fn remove(
        &self,
        cx: &Context,
        table: &Table,
        which: &Which<'_, Condition>,
    ) -> Result<()> {
        let statement = match which {
            Which::Ids(ids) => table.remove_ids(ids),
            Which::Where(condition) => table.remove_where(condition),
        };
        self.database.all(cx, &[statement]).await
    }

    async fn page(
        &self,
        cx: &Context,
        table: &Table,
        condition: &Condition,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage> {
        let rows = self.database.rows(cx, &table.page(condition, after, limit)).await?;
        let chunks = rows.iter().map(|row| {
            let mut chunk = payload::decode(&read::<String>(row, 0)?, &read::<String>(row, 1)?)?;
            chunk.expires_at = read::<Option<i64>>(row, 2)?.map(Timestamp);
            Ok(EmbeddedChunk { chunk, vector: read(row, 3)? })
        });
        let chunks = chunks.collect::<Result<Vec<_>>>()?;
        let next = chunks.last().filter(|_| chunks.len() == limit).map(|one| one.chunk.id.clone());
        Ok(ChunkPage { chunks, next })
    }

    async fn check(&self) -> Result<()> {
        let cx = Context::default();
        let (version, _, _) = self.state(&cx, &Table::new(PREFIX, 1)).await?;
        self.extension(&cx, version).await
    }

    async fn shutdown(&self) {
        self.database.close();
    }
}
