//! The run configuration: version 2 of the reference's `run.yaml`, and our additions.

use super::{
    FilesConfig, ModelShields, NetworkConfig, ResponseCacheConfig, SafetyConfig, ServerConfig,
    StorageConfig,
};
use chaski_api::{
    Reader, Schemas, Wire,
    datasets::{DataSource, DatasetPurpose},
    models::ModelType,
    routing::{Cost, Strategy, Target},
    wire::AtLeastNumber,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

chaski_api::wire! {
    /// One provider instance.
    pub struct ProviderEntry {
        /// Its name in this stack, unique in its API. Empty or `__disabled__` switches it off.
        pub provider_id: String,
        /// Its type, such as `remote::vllm`.
        pub provider_type: String,
        /// Its own settings; see the reference page of the provider.
        pub config: Map<String, Value>,
        /// How its upstream is called: time limits, repetitions, limits on calls.
        pub network: Option<NetworkConfig>,
    }

    /// A model to register at start.
    pub struct ModelEntry {
        /// The id that requests use.
        pub model_id: String,
        /// The provider instance; may be left out where only one is configured.
        pub provider_id: Option<String>,
        /// The id that the provider uses; `model_id` unless given.
        pub provider_model_id: Option<String>,
        /// Whether it generates text or vectors.
        pub model_type: ModelType = ModelType::Llm,
        /// Free-form facts; `embedding_dimension` is required for embedding models.
        pub metadata: Map<String, Value> = Map::new(),
        /// Several provider models behind this one, in place of `provider_id` and
        /// `provider_model_id`. Where one does not begin to answer, the next one is tried.
        pub targets: Option<Vec<Target>>,
        /// How one of the targets is chosen; `fallback` unless given.
        pub strategy: Option<Strategy>,
        /// For how long a target that failed is tried last, in seconds; 10 unless given.
        pub cooldown_seconds: Option<AtLeastNumber<0>>,
        /// What its tokens cost, for the metrics of answers and for `GET /v1/inspect/usage`.
        pub cost: Option<Cost>,
        /// The shields that judge what it is asked and what it says.
        pub shields: Option<ModelShields>,
    }

    /// A shield to register at start.
    pub struct ShieldEntry {
        /// The id that requests use.
        pub shield_id: String,
        /// The provider instance.
        pub provider_id: Option<String>,
        /// The id that the provider uses; `shield_id` unless given.
        pub provider_shield_id: Option<String>,
        /// Settings of the shield.
        pub params: Option<Map<String, Value>>,
    }

    /// A vector database to register at start.
    pub struct VectorDbEntry {
        /// The id that requests use.
        pub vector_db_id: String,
        /// The embedding model, a registered one.
        pub embedding_model: String,
        /// The length of its vectors.
        pub embedding_dimension: i64,
        /// The provider instance.
        pub provider_id: Option<String>,
        /// The id that the provider uses; `vector_db_id` unless given.
        pub provider_vector_db_id: Option<String>,
    }

    /// A dataset to register at start.
    pub struct DatasetEntry {
        /// The id that requests use.
        pub dataset_id: String,
        /// What the rows are for.
        pub purpose: DatasetPurpose,
        /// Where the rows are. A file of the server may be named, by its path or as `file:`.
        pub source: DataSource,
        /// Free-form facts.
        pub metadata: Map<String, Value> = Map::new(),
        /// The provider instance; the one for the kind of source unless given.
        pub provider_id: Option<String>,
        /// The id that the provider uses; `dataset_id` unless given.
        pub provider_dataset_id: Option<String>,
    }

    /// A scoring function to register at start.
    pub struct ScoringFunctionEntry {
        /// The id that requests use.
        pub scoring_fn_id: String,
        /// The type of the score.
        pub return_type: Map<String, Value>,
        /// What it measures.
        pub description: Option<String>,
        /// Free-form facts.
        pub metadata: Map<String, Value> = Map::new(),
        /// Settings of the function.
        pub params: Option<Map<String, Value>>,
        /// The provider instance.
        pub provider_id: Option<String>,
        /// The id that the provider uses; `scoring_fn_id` unless given.
        pub provider_scoring_fn_id: Option<String>,
    }

    /// A benchmark to register at start.
    pub struct BenchmarkEntry {
        /// The id that requests use.
        pub benchmark_id: String,
        /// The dataset, a registered one.
        pub dataset_id: String,
        /// The scoring functions, registered ones.
        pub scoring_functions: Vec<String>,
        /// Free-form facts.
        pub metadata: Map<String, Value> = Map::new(),
        /// The provider instance.
        pub provider_id: Option<String>,
        /// The id that the provider uses; `benchmark_id` unless given.
        pub provider_benchmark_id: Option<String>,
    }

    /// Where an MCP server is.
    pub struct McpEndpoint {
        /// Its address.
        pub uri: String,
    }

    /// A group of tools to register at start.
    pub struct ToolGroupEntry {
        /// The id that requests use.
        pub toolgroup_id: String,
        /// The provider instance.
        pub provider_id: String,
        /// Arguments that every call of a tool in the group gets.
        pub args: Option<Map<String, Value>>,
        /// The MCP server that has the tools.
        pub mcp_endpoint: Option<McpEndpoint>,
    }

    /// What is logged.
    pub struct LoggingConfig {
        /// The level by category (`core`, `server`, `router`, `inference`, `agents`, `safety`,
        /// `eval`, `tools`, `client`, `all`): `debug`, `info`, `warning`, `error` or `critical`.
        pub category_levels: BTreeMap<String, String> = BTreeMap::new(),
    }

    /// A run configuration (`run.yaml`, version 2).
    pub struct RunConfig {
        /// The version of the format; older ones are upgraded when they are read.
        pub version: Version = Version::default(),
        /// The name of the distribution; also of the folder of its data.
        pub image_name: String,
        /// The container image that it was built into, if any.
        pub container_image: Option<String>,
        /// The APIs to serve; all if empty.
        pub apis: Vec<String> = Vec::new(),
        /// The provider instances by API.
        pub providers: Providers,
        /// Where the registry is kept; a SQLite file in the folder of the distribution unless
        /// given.
        pub metadata_store: Option<StorageConfig>,
        /// The folder for the data of callers: files, vector stores, and the jobs behind them;
        /// `data` in the folder of the distribution unless given.
        pub data_dir: Option<String>,
        /// Limits of files.
        pub files: FilesConfig = FilesConfig::default(),
        /// Models to register at start.
        pub models: Vec<ModelEntry> = Vec::new(),
        /// Shields to register at start.
        pub shields: Vec<ShieldEntry> = Vec::new(),
        /// Shields of moderations and models.
        pub safety: Option<SafetyConfig>,
        /// Vector databases to register at start.
        pub vector_dbs: Vec<VectorDbEntry> = Vec::new(),
        /// Datasets to register at start.
        pub datasets: Vec<DatasetEntry> = Vec::new(),
        /// Scoring functions to register at start.
        pub scoring_fns: Vec<ScoringFunctionEntry> = Vec::new(),
        /// Benchmarks to register at start.
        pub benchmarks: Vec<BenchmarkEntry> = Vec::new(),
        /// Tool groups to register at start.
        pub tool_groups: Vec<ToolGroupEntry> = Vec::new(),
        /// What is logged.
        pub logging: Option<LoggingConfig>,
        /// Another name of `logging`.
        pub logging_config: Option<LoggingConfig>,
        /// Remembers answers of inference and gives them again; off unless given.
        pub response_cache: Option<ResponseCacheConfig>,
        /// The HTTP server.
        pub server: ServerConfig = ServerConfig::default(),
    }
}

impl RunConfig {
    /// The log levels by category, from either of the two keys.
    pub fn category_levels(&self) -> BTreeMap<String, String> {
        let mut levels = BTreeMap::new();
        for logging in [&self.logging, &self.logging_config].into_iter().flatten() {
            levels.extend(logging.category_levels.clone());
        }
        levels
    }
}

/// The version of the format: a text, or a number that is taken for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Version(pub String);

impl Default for Version {
    fn default() -> Self {
        Self("2".to_owned())
    }
}

impl Wire for Version {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self(number.to_string())),
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => String::read(value, reader).map(Self),
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": ["string", "integer"] })
    }
}

/// The provider instances by API, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Providers(pub Vec<(String, Vec<ProviderEntry>)>);

impl Wire for Providers {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let members = Map::<String, Value>::read(value, reader)?;
        let mut read = Vec::with_capacity(members.len());
        let mut complete = true;
        for (api, value) in members {
            // An API with nothing under its key has no providers.
            let value = if value.is_null() { Value::Array(Vec::new()) } else { value };
            match reader.key(api.clone(), |reader| Vec::read(value, reader)) {
                Some(entries) => read.push((api, entries)),
                None => complete = false,
            }
        }
        complete.then_some(Self(read))
    }
    fn schema(schemas: &mut Schemas) -> Value {
        let entries = Vec::<ProviderEntry>::schema(schemas);
        let names: Vec<&str> = chaski_api::Api::PROVIDABLE.iter().map(|api| api.as_str()).collect();
        json!({
            "type": "object",
            "propertyNames": { "enum": names },
            "additionalProperties": entries,
        })
    }
}

impl Serialize for Providers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(api, entries)| (api, entries)))
    }
}
