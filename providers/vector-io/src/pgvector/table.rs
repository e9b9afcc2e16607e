//! The tables of chunks: what is in them, and the statements that read and write them.

use super::{
    PgVectorConfig,
    condition::{Condition, clean},
    sql::{Parameter, Sql},
};
use crate::payload;
use chaski_provider::{EmbeddedChunk, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most chunks of one statement.
const BATCH: usize = 256;
/// The most numbers of a vector that the index takes as they are, and with half of their digits.
const WHOLE: i64 = 2000;
const HALF: i64 = 4000;
/// The most bytes of a text whose words are looked for: `PostgreSQL` keeps at most a megabyte of them.
const WORDS: usize = 256 * 1024;

/// A table of chunks.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// In quotes, as it stands in statements.
    name: String,
    /// How many numbers a vector has.
    length: i64,
}

impl Table {
    /// The table of that name, which has letters, digits and `_` only.
    pub(super) fn new(name: &str, length: i64) -> Self {
        Self { name: format!("\"{name}\""), length }
    }

    /// Whether the table is for vectors of this length.
    pub(super) fn fits(&self, vector: &[f32]) -> bool {
        i64::try_from(vector.len()) == Ok(self.length)
    }

    /// Whether the table is there: one row with the version of the extension, how many numbers its
    /// vectors have, and whether it has all columns.
    pub(super) fn state(&self) -> Sql {
        let mut sql = Sql::default();
        let name = sql.bind(self.name.as_str());
        let column = |name: &str, column: &str| {
            format!(
                "FROM pg_attribute WHERE attrelid = to_regclass({name}) AND attname = '{column}' \
                 AND NOT attisdropped"
            )
        };
        sql.push(&format!(
            "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'), \
             (SELECT atttypmod {}), EXISTS (SELECT {})",
            column(&name, "embedding"),
            column(&name, "expires_at"),
        ));
        sql
    }

    /// Makes the table, or brings one of the reference to the form of this server.
    pub(super) fn make(&self, config: &PgVectorConfig, is_there: bool) -> Vec<Sql> {
        let Self { name, length } = self;
        let plain = name.trim_matches('"');
        let mut lock = Sql::default();
        let key = lock.bind(plain);
        lock.push(&format!("SELECT pg_advisory_xact_lock(hashtextextended({key}, 0))"));
        let mut statements = vec![lock];
        if is_there {
            statements.extend(self.adopt(&config.text_search));
        } else {
            statements.push(Sql::new(format!(
                "CREATE TABLE IF NOT EXISTS {name} (\
                 id text PRIMARY KEY, document json NOT NULL, embedding vector({length}) NOT NULL, \
                 metadata jsonb NOT NULL DEFAULT '{{}}', words tsvector NOT NULL DEFAULT '', \
                 expires_at bigint)"
            )));
        }
        let index = |end: &str, what: &str| {
            Sql::new(format!("CREATE INDEX IF NOT EXISTS \"{plain}_{end}\" ON {name} {what}"))
        };
        statements.push(index("metadata", "USING gin (metadata jsonb_path_ops)"));
        statements.push(index("words", "USING gin (words)"));
        statements.push(index("expires", "(expires_at) WHERE expires_at IS NOT NULL"));
        if let Some((column, operators)) = self.indexed() {
            let options = [
                ("m", config.hnsw_m.map(|m| m.0)),
                ("ef_construction", config.hnsw_ef_construction.map(|ef| ef.0)),
            ];
            let options: Vec<String> = options
                .iter()
                .filter_map(|(key, number)| Some(format!("{key} = {}", (*number)?)))
                .collect();
            let with = match options.as_slice() {
                [] => String::new(),
                options => format!(" WITH ({})", options.join(", ")),
            };
            statements.push(index("hnsw", &format!("USING hnsw ({column} {operators}){with}")));
        }
        statements
    }

    /// The columns that a table of the reference does not have, with what belongs into them.
    fn adopt(&self, text_search: &str) -> [Sql; 3] {
        let name = &self.name;
        let alter = format!(
            "ALTER TABLE {name} ALTER COLUMN document TYPE json USING document::json, \
             ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{{}}', \
             ADD COLUMN IF NOT EXISTS words tsvector NOT NULL DEFAULT '', \
             ADD COLUMN IF NOT EXISTS expires_at bigint"
        );
        let mut fill = Sql::default();
        let config = fill.bind(text_search);
        fill.push(&format!(
            "UPDATE {name} SET metadata = COALESCE(document::jsonb -> 'metadata', '{{}}'), \
             words = to_tsvector({config}::text::regconfig, COALESCE(document ->> 'content', ''))"
        ));
        let none = format!("DELETE FROM {name} WHERE document IS NULL OR embedding IS NULL");
        [Sql::new(none), Sql::new(alter), fill]
    }

    /// What the index of the vectors is made of, if they are not too long for one.
    fn indexed(&self) -> Option<(String, &'static str)> {
        if self.length <= WHOLE {
            Some(("embedding".to_owned(), "vector_cosine_ops"))
        } else if self.length <= HALF {
            Some((format!("(embedding::halfvec({}))", self.length), "halfvec_cosine_ops"))
        } else {
            None
        }
    }

    /// One minus the cosine, in the form that the index answers.
    fn distance(&self, vector: &str) -> String {
        match self.indexed() {
            Some((column, "halfvec_cosine_ops")) => {
                format!("{column} <=> {vector}::float4[]::halfvec({})", self.length)
            }
            _ => format!("embedding <=> {vector}::float4[]::vector"),
        }
    }

    /// The chunks with the nearest vectors: id, document, score.
    pub(super) fn nearest(&self, vector: &[f32], condition: &Condition, max: usize) -> Sql {
        let mut sql = Sql::default();
        let vector = sql.bind(Parameter::Floats(vector.to_vec()));
        let distance = self.distance(&vector);
        let name = &self.name;
        sql.push(&format!("SELECT id, document::text, 1 - ({distance}) FROM {name} WHERE "));
        condition.write(&mut sql);
        let max = sql.bind(max);
        sql.push(&format!(" ORDER BY {distance} LIMIT {max}"));
        sql
    }

    /// The chunks with at least one of the words: id, document, score.
    pub(super) fn with_words(
        &self,
        (words, text_search): (&str, &str),
        condition: &Condition,
        max: usize,
    ) -> Sql {
        let mut sql = Sql::default();
        let (words, config) = (sql.bind(cut(&clean(words))), sql.bind(text_search));
        let name = &self.name;
        // Each word stands in quotes, so that none of its characters means anything.
        sql.push(&format!(
            "WITH asked AS (SELECT string_agg('''' || replace(replace(lexeme, '\\', '\\\\'), \
             '''', '''''') || '''', ' | ')::tsquery AS query \
             FROM unnest(to_tsvector({config}::text::regconfig, {words}))) \
             SELECT id, document::text, ts_rank(words, query)::float8 AS score \
             FROM {name}, asked WHERE words @@ query AND "
        ));
        condition.write(&mut sql);
        let max = sql.bind(max);
        sql.push(&format!(" ORDER BY score DESC, id LIMIT {max}"));
        sql
    }

    /// A part of the chunks: id, document, when it expires, vector.
    pub(super) fn page(&self, condition: &Condition, after: Option<&str>, limit: usize) -> Sql {
        let mut sql = Sql::new(format!(
            "SELECT id, document::text, expires_at, embedding::float4[] FROM {} WHERE ",
            self.name
        ));
        condition.write(&mut sql);
        if let Some(after) = after {
            let after = sql.bind(after);
            sql.push(&format!(" AND id > {after}"));
        }
        let limit = sql.bind(limit);
        sql.push(&format!(" ORDER BY id LIMIT {limit}"));
        sql
    }

    pub(super) fn remove_ids(&self, ids: &[String]) -> Sql {
        let mut sql = Sql::default();
        let ids = sql.bind(Parameter::Texts(ids.to_vec()));
        sql.push(&format!("DELETE FROM {} WHERE id = ANY ({ids})", self.name));
        sql
    }

    pub(super) fn remove_where(&self, condition: &Condition) -> Sql {
        let mut sql = Sql::new(format!("DELETE FROM {} WHERE ", self.name));
        condition.write(&mut sql);
        sql
    }

    pub(super) fn remove_expired(&self) -> Sql {
        let mut sql = Sql::default();
        let now = sql.bind(Parameter::Number(Timestamp::now().0));
        sql.push(&format!("DELETE FROM {} WHERE expires_at <= {now}", self.name));
        sql
    }

    pub(super) fn drop(name: &str) -> Sql {
        Sql::new(format!("DROP TABLE IF EXISTS \"{name}\""))
    }

    /// Inserts chunks, in place of those with the same ids. In the order of the ids, so that two
    /// inserts at the same time do not wait for each other.
    pub(super) fn insert(&self, chunks: &[EmbeddedChunk], text_search: &str) -> Vec<Sql> {
        // Of two with the same id, the later one counts.
        let by_id: BTreeMap<&str, &EmbeddedChunk> =
            chunks.iter().map(|one| (one.chunk.id.as_str(), one)).collect();
        let sorted: Vec<&EmbeddedChunk> = by_id.into_values().collect();
        sorted.chunks(BATCH).map(|batch| self.upsert(batch, text_search)).collect()
    }

    fn upsert(&self, batch: &[&EmbeddedChunk], text_search: &str) -> Sql {
        let texts = |text: &dyn Fn(&EmbeddedChunk) -> String| {
            Parameter::Texts(batch.iter().map(|one| text(one)).collect())
        };
        let mut sql = Sql::default();
        let ids = sql.bind(texts(&|one| one.chunk.id.clone()));
        let documents = sql.bind(texts(&|one| payload::encode(&one.chunk)));
        let metadata = sql.bind(texts(&metadata));
        let words = sql.bind(texts(&|one| cut(&clean(&one.chunk.text())).to_owned()));
        let expire = batch.iter().map(|one| one.chunk.expires_at.map(|at| at.0)).collect();
        let expire = sql.bind(Parameter::Numbers(expire));
        let numbers = batch.iter().flat_map(|one| one.vector.iter().copied()).collect();
        let numbers = sql.bind(Parameter::Floats(numbers));
        let config = sql.bind(text_search);
        let Self { name, length } = self;
        sql.push(&format!(
            "INSERT INTO {name} (id, document, metadata, words, expires_at, embedding) \
             SELECT one.id, one.document::json, one.metadata::jsonb, \
             to_tsvector({config}::text::regconfig, one.words), one.expires_at, \
             ({numbers}::float4[])[((n - 1) * {length} + 1)::int : (n * {length})::int]::vector \
             FROM unnest({ids}::text[], {documents}::text[], {metadata}::text[], {words}::text[], \
             {expire}::bigint[]) WITH ORDINALITY \
             AS one (id, document, metadata, words, expires_at, n) \
             ON CONFLICT (id) DO UPDATE SET document = EXCLUDED.document, \
             metadata = EXCLUDED.metadata, words = EXCLUDED.words, \
             expires_at = EXCLUDED.expires_at, embedding = EXCLUDED.embedding"
        ));
        sql
    }
}

/// What filters ask for of a chunk.
fn metadata(one: &EmbeddedChunk) -> String {
    let kept = payload::scalars(&one.chunk.metadata).into_iter().map(|(key, value)| {
        let value = value.as_str().map(|text| clean(text).into()).unwrap_or(value);
        (clean(&key), value)
    });
    Value::Object(kept.collect()).to_string()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(WORDS)]
}
