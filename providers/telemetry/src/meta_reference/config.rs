//! The settings of telemetry.

use chaski_api::{Reader, Schemas, Wire, wire::AtLeast, wire::Between};
use chaski_provider::ProviderConfig;
use serde::Serialize;
use serde_json::{Value, json};

chaski_api::wire! {
    /// Where spans go.
    pub(super) enum Sink {
        /// To a collector of OpenTelemetry; has no effect in this build.
        Otel = "otel",
        /// Into the SQLite file of `sqlite_db_path`.
        Sqlite = "sqlite",
        /// Into the log, at the level `DEBUG`.
        Console = "console",
    }

    /// The configuration of `inline::meta-reference`.
    pub(crate) struct MetaReferenceConfig {
        /// The address of the collector of OpenTelemetry; has no effect in this build.
        pub(super) otel_endpoint: String = "http://localhost:4318/v1/traces".to_owned(),
        /// The name of this server among the services that are traced.
        pub(super) service_name: String = "llama-stack".to_owned(),
        /// Where spans go, as a list or as names with commas. Without `sqlite` they are kept in memory.
        pub(super) sinks: Sinks = Sinks(vec![Sink::Console, Sink::Sqlite]),
        /// The SQLite file; where there is none, spans are kept in memory.
        pub(super) sqlite_db_path: Option<String>,
        /// The most traces that are kept; the oldest go first.
        pub(super) max_traces: AtLeast<1> = Between(10_000),
        /// The most spans that are kept; the oldest traces go first.
        pub(super) max_spans: AtLeast<1> = Between(100_000),
        /// How long spans are kept at most, in seconds.
        pub(super) max_age_seconds: AtLeast<1> = Between(chaski_api::endpoints::telemetry::TTL_SECONDS),
        /// Whether spans of agents carry what was said to models, tools and shields, and by them.
        pub(super) record_contents: bool = true,
    }
}

/// Sinks: on the wire a list, or a text with commas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Sinks(pub(super) Vec<Sink>);

impl Wire for Sinks {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let list = match value.as_str() {
            Some(text) => {
                let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                names.map(Value::from).collect()
            }
            None => value,
        };
        Vec::read(list, reader).map(Self)
    }

    fn schema(schemas: &mut Schemas) -> Value {
        let list = Vec::<Sink>::schema(schemas);
        json!({ "anyOf": [list, { "type": "string" }] })
    }
}

impl MetaReferenceConfig {
    pub(super) fn has(&self, sink: Sink) -> bool {
        self.sinks.0.contains(&sink)
    }

    /// Where the database is.
    pub(super) fn place(&self) -> &str {
        let path = self.sqlite_db_path.as_deref().filter(|path| !path.is_empty());
        path.filter(|_| self.has(Sink::Sqlite)).unwrap_or(":memory:")
    }
}

impl ProviderConfig for MetaReferenceConfig {
    fn sample(dir: &str) -> Value {
        json!({
            "service_name": "${env.OTEL_SERVICE_NAME:llama-stack}",
            "sinks": "${env.TELEMETRY_SINKS:console,sqlite}",
            "sqlite_db_path": format!("${{env.SQLITE_DB_PATH:{dir}/trace_store.db}}"),
        })
    }
}
