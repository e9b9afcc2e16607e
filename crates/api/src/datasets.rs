//! Datasets: named rows, and where they come from.

use crate::{
    inference::Url,
    wire::{Reader, Schemas, Tag, Wire, first_form},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A row: values by the names of columns.
pub type Row = Map<String, Value>;

crate::wire! {
    /// The constant `type` of the record of a dataset.
    pub enum DatasetTag { Dataset = "dataset" }

    /// What the rows of a dataset are for.
    pub enum DatasetPurpose {
        /// Conversations to train a model with: `messages`.
        PostTrainingMessages = "post-training/messages",
        /// Questions with their answers: `question` and `answer`.
        EvalQuestionAnswer = "eval/question-answer",
        /// Conversations with their answers: `messages` and `answer`.
        EvalMessagesAnswer = "eval/messages-answer",
    }

    /// The constant `type` of rows behind an address.
    pub enum UriTag { Uri = "uri" }

    /// The constant `type` of rows that are given.
    pub enum RowsTag { Rows = "rows" }

    /// Rows behind an address.
    pub struct UriDataSource {
        /// Always `uri`.
        pub tag as "type": Tag<UriTag> = Tag(UriTag::Uri),
        /// An `https:`, `http:`, `data:` or `file:` address, or that of a dataset of a hub.
        pub uri: String,
    }

    /// Rows that are given.
    pub struct RowsDataSource {
        /// Always `rows`.
        pub tag as "type": Tag<RowsTag> = Tag(RowsTag::Rows),
        /// The rows.
        pub rows: Rows,
    }

    /// A registered dataset, as it is stored and as it is answered.
    pub struct Dataset {
        /// The id that requests use; unique in this stack.
        pub identifier: String,
        /// The id that the provider uses.
        pub provider_resource_id: String,
        /// The provider instance that has the rows.
        pub provider_id: String,
        /// Always `dataset`.
        pub tag as "type": DatasetTag = DatasetTag::Dataset,
        /// What the rows are for.
        pub purpose: DatasetPurpose,
        /// Where the rows come from.
        pub source: DataSource,
        /// Free-form facts.
        pub metadata: Map<String, Value> = Map::new(),
    }

    /// All registered datasets.
    pub struct DatasetList {
        /// The datasets, in the order of registration.
        pub data: Vec<Dataset>,
    }

    /// A part of the rows of a dataset.
    pub struct IterrowsResponse {
        /// The rows.
        pub data: Vec<Row>,
        /// The row that the next part begins with; nothing at the end.
        pub next_start_index: Option<i64>,
    }

    /// A part of the rows of a dataset, as older clients read it.
    pub struct PaginatedRows {
        /// The rows.
        pub rows: Vec<Row>,
        /// How many these are.
        pub total_count: i64,
        /// What the next request names in `page_token`; nothing at the end.
        pub next_page_token: Option<String>,
    }

    /// A dataset to register. An id that is registered already is updated.
    pub struct RegisterDatasetRequest {
        /// What the rows are for.
        pub purpose: DatasetPurpose,
        /// Where the rows come from.
        pub source: DataSource,
        /// Free-form facts.
        pub metadata: Option<Map<String, Value>>,
        /// The id that requests will use; a new one unless given.
        pub dataset_id: Option<String>,
        /// The provider instance; the one for the kind of source unless given.
        pub provider_id: Option<String>,
        /// The id that the provider uses; `dataset_id` unless given.
        pub provider_dataset_id: Option<String>,
    }

    /// A dataset to register, as older clients say it.
    struct OldDataset {
        dataset_id: Option<String>,
        dataset_schema: Option<Map<String, Value>>,
        url: Url,
        metadata: Option<Map<String, Value>>,
        provider_id: Option<String>,
        provider_dataset_id: Option<String>,
    }
}

/// Rows. Clones share them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Rows(pub Arc<Vec<Row>>);

impl Wire for Rows {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        Vec::read(value, reader).map(|rows| Self(Arc::new(rows)))
    }

    fn schema(schemas: &mut Schemas) -> Value {
        Vec::<Row>::schema(schemas)
    }
}

/// Where the rows of a dataset come from. It is told by its fields; `type` may be left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum DataSource {
    Uri(UriDataSource),
    Rows(RowsDataSource),
}

impl DataSource {
    /// The rows behind `uri`.
    pub fn uri(uri: impl Into<String>) -> Self {
        Self::Uri(UriDataSource { tag: Tag(UriTag::Uri), uri: uri.into() })
    }

    /// These rows.
    pub fn rows(rows: Vec<Row>) -> Self {
        Self::Rows(RowsDataSource { tag: Tag(RowsTag::Rows), rows: Rows(Arc::new(rows)) })
    }
}

impl Wire for DataSource {
    fn read(mut value: Value, reader: &mut Reader) -> Option<Self> {
        // Rows may be many, and are not copied to see whether they are something else.
        if let Some(rows) = plain_rows(&mut value) {
            return Rows::read(rows, reader)
                .map(|rows| Self::Rows(RowsDataSource { tag: Tag(RowsTag::Rows), rows }));
        }
        first_form(
            &value,
            reader,
            &[
                ("URIDataSource", |value, reader| Wire::read(value, reader).map(Self::Uri)),
                ("RowsDataSource", |value, reader| Wire::read(value, reader).map(Self::Rows)),
            ],
        )
    }

    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named("DataSource", |schemas| {
            json!({
                "description": "Where the rows of a dataset come from.",
                "anyOf": [UriDataSource::schema(schemas), RowsDataSource::schema(schemas)],
            })
        })
    }
}

/// The rows, taken out of a source that can be nothing else.
fn plain_rows(source: &mut Value) -> Option<Value> {
    let source = source.as_object_mut()?;
    let is_tagged = source.get("type").is_none_or(|tag| tag == RowsTag::Rows.as_str());
    if !is_tagged || source.contains_key("uri") {
        return None;
    }
    let rows = source.get_mut("rows")?;
    let is_plain = rows.as_array().is_some_and(|rows| rows.iter().all(Value::is_object));
    is_plain.then(|| rows.take())
}

/// A dataset to register, in the form of this API or in that of older clients, which name a `url`
/// and the types of the columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct DatasetRegistration(pub RegisterDatasetRequest);

impl Wire for DatasetRegistration {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let has = |name: &str| value.get(name).is_some_and(|field| !field.is_null());
        if !has("url") || has("source") || has("purpose") {
            return RegisterDatasetRequest::read(value, reader).map(Self);
        }
        let old = OldDataset::read(value, reader)?;
        let schema = old.dataset_schema.unwrap_or_default();
        let mut metadata = old.metadata.unwrap_or_default();
        let purpose = purpose(&schema);
        if !schema.is_empty() {
            metadata.insert("dataset_schema".to_owned(), schema.into());
        }
        Some(Self(RegisterDatasetRequest {
            purpose,
            source: DataSource::uri(old.url.uri),
            metadata: Some(metadata),
            dataset_id: old.dataset_id,
            provider_id: old.provider_id,
            provider_dataset_id: old.provider_dataset_id,
        }))
    }

    fn schema(schemas: &mut Schemas) -> Value {
        RegisterDatasetRequest::schema(schemas)
    }
}

/// What rows with these columns are for.
fn purpose(columns: &Map<String, Value>) -> DatasetPurpose {
    let has = |name: &str| columns.contains_key(name);
    if has("question") && has("answer") {
        DatasetPurpose::EvalQuestionAnswer
    } else if has("messages") && !has("answer") {
        DatasetPurpose::PostTrainingMessages
    } else {
        DatasetPurpose::EvalMessagesAnswer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Issue;

    fn problems(source: Value) -> Vec<String> {
        let issues = DataSource::from_json(source).expect_err("it has problems");
        issues.iter().map(|issue| format!("{} {}", issue.kind, issue.path())).collect()
    }

    #[test]
    fn a_source_is_told_by_its_fields_and_always_says_its_type() {
        let written =
            |source: Value| serde_json::to_value(DataSource::from_json(source).unwrap()).unwrap();
        let rows = json!({ "type": "rows", "rows": [{ "a": 1 }] });
        assert_eq!(written(json!({ "rows": [{ "a": 1 }] })), rows);
        assert_eq!(written(rows.clone()), rows);
        let uri = json!({ "type": "uri", "uri": "data:," });
        assert_eq!(written(json!({ "uri": "data:,", "rows": [] })), uri);
        assert_eq!(written(uri.clone()), uri);
    }

    #[test]
    fn what_is_no_source_is_told_what_each_form_lacks() {
        assert_eq!(
            problems(json!({ "type": "zzz" })),
            [
                "literal_error URIDataSource.type",
                "missing URIDataSource.uri",
                "literal_error RowsDataSource.type",
                "missing RowsDataSource.rows",
            ]
        );
        let found = problems(json!({ "type": "rows", "rows": [{}, 7] }));
        assert!(found.contains(&"dict_type RowsDataSource.rows[1]".to_owned()), "{found:?}");
        assert!(DataSource::from_json(json!("x")).is_err());
    }

    #[test]
    fn older_clients_register_addresses_with_the_types_of_columns() {
        let old = json!({
            "dataset_id": "d", "url": { "uri": "data:," }, "provider_id": "p",
            "dataset_schema": { "question": { "type": "string" }, "answer": { "type": "string" } },
        });
        let DatasetRegistration(request) = DatasetRegistration::from_json(old).unwrap();
        assert_eq!(request.source, DataSource::uri("data:,"));
        assert_eq!(request.purpose, DatasetPurpose::EvalQuestionAnswer);
        assert_eq!(request.provider_id.as_deref(), Some("p"));
        assert!(request.metadata.unwrap()["dataset_schema"]["answer"].is_object());
        let issues = DatasetRegistration::from_json(json!({ "dataset_id": "d" })).unwrap_err();
        assert_eq!(issues.iter().map(Issue::path).collect::<Vec<_>>(), ["purpose", "source"]);
        assert!(DatasetRegistration::from_json(json!({ "url": "x" })).is_err());
    }
}
