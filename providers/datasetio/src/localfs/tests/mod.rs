//! Rows of datasets: where they come from, in which parts, and what is appended.

mod appended;
mod pages;
mod sources;

use super::{LocalFs, LocalFsConfig};
use chaski_api::{
    Result, Wire,
    datasets::{Dataset, IterrowsResponse, Row},
};
use chaski_provider::{
    Context, Cpu, DatasetIo, Declarer, Deps, Documents, Environment, Hosts, Routers, RowRange,
    Tasks,
};
use chaski_upstream::{HostPort, Http, HttpOptions};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A provider.
struct Kept(LocalFs);

impl Kept {
    fn new() -> Self {
        Self::with(&json!({}), None)
    }

    /// With rows in a file in `folder`.
    fn in_folder(folder: &Path) -> Self {
        Self::with(&json!({ "kvstore": { "db_path": folder.join("rows.db") } }), None)
    }

    /// With these settings, allowed to reach this upstream.
    fn with(settings: &Value, upstream: Option<HostPort>) -> Self {
        let mut config = json!({ "kvstore": { "db_path": ":memory:" } });
        for (key, value) in settings.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = LocalFsConfig::from_json(config).unwrap();
        let egress_allow = upstream.into_iter().collect();
        let http = Http::new(HttpOptions { egress_allow, ..HttpOptions::default() }).unwrap();
        let deps = Deps {
            http,
            weights_dir: PathBuf::new(),
            compute_threads: 1,
            cpu: Cpu::new(1),
            documents: Documents::in_process(),
            environment: Environment::default(),
            tasks: Tasks::default(),
            routers: Routers::default(),
        };
        Self(LocalFs::new(config, deps).unwrap())
    }

    /// Registers a dataset `d`.
    async fn register(&self, source: Value) -> Dataset {
        self.0.on_register(dataset("d", source)).await.unwrap()
    }

    /// Some rows for a request, and where the next ones begin.
    async fn part(&self, dataset: &Dataset, start: usize, limit: Option<usize>) -> Value {
        let range = RowRange { start, limit };
        let part = self.0.rows(&Context::default(), dataset, Declarer::Request, range).await;
        let IterrowsResponse { data, next_start_index } = part.unwrap();
        json!([data, next_start_index])
    }

    /// All rows for whom `declarer` stands for.
    async fn all(&self, dataset: &Dataset, declarer: Declarer) -> Result<Value> {
        let range = RowRange::default();
        let answer = self.0.rows(&Context::default(), dataset, declarer, range).await?;
        Ok(json!(answer.data))
    }

    /// Why a request cannot read the rows behind an address.
    async fn refusal(&self, uri: &str) -> String {
        let dataset = dataset("d", json!({ "uri": uri }));
        self.all(&dataset, Declarer::Request).await.unwrap_err().message
    }

    async fn append(&self, dataset: &Dataset, rows: &Value) -> Result<()> {
        self.0.append(&Context::default(), dataset, read(rows)).await
    }
}

fn read(rows: &Value) -> Vec<Row> {
    Wire::from_json(rows.clone()).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "so that the tests can write literals")]
fn dataset(id: &str, source: Value) -> Dataset {
    Dataset::from_json(json!({
        "identifier": id, "provider_resource_id": id, "provider_id": "localfs",
        "purpose": "eval/messages-answer", "source": source,
    }))
    .unwrap()
}

/// Rows with these numbers.
fn numbered(numbers: impl IntoIterator<Item = i64>) -> Value {
    numbers.into_iter().map(|number| json!({ "n": number })).collect()
}
