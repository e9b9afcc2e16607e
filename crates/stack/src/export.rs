//! Spans as rows of datasets.

use crate::{Served, Stack};
use chaski_api::{
    Api, Error, Result,
    datasets::Row,
    endpoints::telemetry::{QuerySpansRequest, SaveSpansToDatasetRequest},
    telemetry::Span,
};
use chaski_provider::Context;
use serde_json::Value;

impl Stack {
    /// Appends the spans that a question finds to a dataset: `trace_id`, `span_id`,
    /// `parent_span_id`, `name`, `start_time` and `end_time`, and the attributes that are asked for.
    ///
    /// # Errors
    /// `Unsupported` where telemetry or datasets are not configured, `NotFound` for a dataset that is
    /// not registered, and those of either provider.
    pub async fn save_spans_to_dataset(
        &self,
        cx: &Context,
        request: SaveSpansToDatasetRequest,
    ) -> Result<()> {
        let SaveSpansToDatasetRequest {
            attribute_filters,
            attributes_to_save,
            dataset_id,
            max_depth,
        } = request;
        let telemetry = self.telemetry().await?;
        if self.served(Api::DatasetIo) != Served::Yes {
            return Err(Error::unsupported(format!(
                "spans cannot be saved to the dataset `{dataset_id}`: datasets are not served; add a \
                 provider to `providers.datasetio`, or read the spans with `POST /v1/telemetry/spans`"
            )));
        }
        let question = QuerySpansRequest {
            attribute_filters,
            attributes_to_return: attributes_to_save,
            max_depth,
        };
        let spans = telemetry.query_spans(cx, question).await?.data;
        self.dataset_rows.append(cx, &dataset_id, spans.into_iter().map(row).collect()).await
    }
}

fn row(span: Span) -> Row {
    let Span { span_id, trace_id, parent_span_id, name, start_time, end_time, attributes } = span;
    let mut row = Row::new();
    row.insert("trace_id".to_owned(), trace_id.into());
    row.insert("span_id".to_owned(), span_id.into());
    row.insert("parent_span_id".to_owned(), parent_span_id.into());
    row.insert("name".to_owned(), name.into());
    row.insert("start_time".to_owned(), start_time.to_string().into());
    let end_time = end_time.map(|time| Value::from(time.to_string()));
    row.insert("end_time".to_owned(), end_time.unwrap_or_default());
    row.extend(attributes.unwrap_or_default());
    row
}
