//! Datasets: the rules of their table beyond those of every table, and the way to their rows.

use super::declared::Declared;
use crate::{RoutingTable, config::RunConfig, resolver::is_disabled};
use async_trait::async_trait;
use chaski_api::{
    Result,
    datasets::{DataSource, Dataset, DatasetTag, IterrowsResponse, RegisterDatasetRequest, Row},
};
use chaski_provider::{Context, Datasets, RowRange};
use std::sync::Arc;
use uuid::Uuid;

/// The provider instance that reads addresses of the hub, and the one that reads everything else, unless
/// a request names another one.
const HUB: &str = "huggingface";
const FILES: &str = "localfs";

/// The provider instance that a dataset belongs to: the one that is named, or else that for its
/// source. Where the only one of `hosts` has another name than that, it is meant.
pub(crate) fn host<'a>(given: Option<&'a str>, source: &DataSource, hosts: &[&'a str]) -> &'a str {
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        return given;
    }
    let is_of_hub = matches!(source, DataSource::Uri(source) if source.uri.starts_with(HUB));
    match hosts {
        _ if is_of_hub => HUB,
        [only] if *only != HUB => only,
        _ => FILES,
    }
}

/// Hands each request to the provider of its dataset.
pub(crate) struct DatasetRouter {
    datasets: Arc<RoutingTable<Dataset>>,
}

impl DatasetRouter {
    pub(crate) fn new(datasets: Arc<RoutingTable<Dataset>>) -> Self {
        Self { datasets }
    }
}

#[async_trait]
impl Datasets for DatasetRouter {
    async fn rows(
        &self,
        cx: &Context,
        dataset_id: &str,
        range: RowRange,
    ) -> Result<IterrowsResponse> {
        let mut span = cx.spans.start("DatasetIORouter.iterrows");
        span.set_with("dataset_id", || dataset_id.to_owned());
        let cx = &cx.within(&span);
        let answer = async {
            let routed = self.datasets.route(dataset_id).await?;
            let declarer = self.datasets.declarer(dataset_id).await;
            routed.provider.rows(&routed.context(cx), &routed.resource, declarer, range).await
        };
        let answer = answer.await;
        span.note(&answer);
        answer
    }

    async fn append(&self, cx: &Context, dataset_id: &str, rows: Vec<Row>) -> Result<()> {
        let mut span = cx.spans.start("DatasetIORouter.append_rows");
        span.set_with("dataset_id", || dataset_id.to_owned());
        let cx = &cx.within(&span);
        let answer = async {
            let routed = self.datasets.route(dataset_id).await?;
            routed.provider.append(&routed.context(cx), &routed.resource, rows).await
        };
        let answer = answer.await;
        span.note(&answer);
        answer
    }
}

impl RoutingTable<Dataset> {
    /// Registers the dataset that a request describes, or updates it; answers what is stored. The
    /// source is not read yet.
    ///
    /// # Errors
    /// The provider is not there.
    pub async fn register_dataset(&self, request: RegisterDatasetRequest) -> Result<Dataset> {
        let given = request.dataset_id.filter(|id| !id.is_empty());
        let identifier = given.unwrap_or_else(|| format!("dataset-{}", Uuid::new_v4()));
        let provider_id =
            host(request.provider_id.as_deref(), &request.source, &self.provider_ids());
        let provider_id = self.choose_provider(Some(provider_id))?;
        self.register(Dataset {
            provider_resource_id: resource_id(request.provider_dataset_id, &identifier),
            identifier,
            provider_id,
            tag: DatasetTag::Dataset,
            purpose: request.purpose,
            source: request.source,
            metadata: request.metadata.unwrap_or_default(),
        })
        .await
    }
}

fn resource_id(given: Option<String>, id: &str) -> String {
    given.filter(|given| !given.is_empty()).unwrap_or_else(|| id.to_owned())
}

impl Declared for Dataset {
    fn declared(config: &RunConfig, hosts: &[&str]) -> Vec<Self> {
        let wanted = config.datasets.iter().filter(|entry| {
            !entry.dataset_id.is_empty()
                && entry.provider_id.as_deref().is_none_or(|id| !is_disabled(id))
        });
        wanted
            .map(|entry| Self {
                identifier: entry.dataset_id.clone(),
                provider_resource_id: resource_id(
                    entry.provider_dataset_id.clone(),
                    &entry.dataset_id,
                ),
                provider_id: host(entry.provider_id.as_deref(), &entry.source, hosts).to_owned(),
                tag: DatasetTag::Dataset,
                purpose: entry.purpose,
                source: entry.source.clone(),
                metadata: entry.metadata.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::host;
    use chaski_api::datasets::DataSource;

    #[test]
    fn a_dataset_belongs_to_the_provider_for_its_source() {
        let (rows, hub) =
            (DataSource::rows(Vec::new()), DataSource::uri("huggingface://datasets/x"));
        let both = ["huggingface", "localfs"];
        assert_eq!(host(None, &rows, &both), "localfs");
        assert_eq!(host(None, &DataSource::uri("https://x/y.csv"), &both), "localfs");
        assert_eq!(host(None, &hub, &both), "huggingface");
        assert_eq!(host(None, &hub, &["localfs"]), "huggingface");
        assert_eq!(host(Some("other"), &hub, &both), "other");
        assert_eq!(host(Some(""), &rows, &["files"]), "files");
        assert_eq!(host(None, &rows, &["huggingface"]), "localfs");
    }
}
