//! The registered datasets, and their rows.

use super::inspect::NoParameters;
use crate::{
    Api, EndpointSpec,
    datasets::{Dataset, DatasetList, DatasetRegistration, IterrowsResponse, PaginatedRows, Row},
    wire::AtLeast,
};

crate::wire! {
    /// Which dataset.
    pub struct DatasetRequest {
        /// The id; it may hold slashes.
        pub dataset_id: String,
    }

    /// Which rows of a dataset.
    pub struct IterrowsRequest {
        /// The registered dataset.
        pub dataset_id: String,
        /// The first row, counted from 0; that is the first of all unless given.
        pub start_index: Option<AtLeast<0>>,
        /// How many rows; with -1, or unless given, all up to the end.
        pub limit: Option<AtLeast<-1>>,
    }

    /// Rows to append.
    pub struct AppendRowsRequest {
        /// The registered dataset.
        pub dataset_id: String,
        /// The rows.
        pub rows: Vec<Row>,
    }

    /// Which rows of a dataset, as older clients ask.
    pub struct PaginatedRowsRequest {
        /// The registered dataset.
        pub dataset_id: String,
        /// How many rows; with -1 all up to the end.
        pub rows_in_page: AtLeast<-1>,
        /// The `next_page_token` of the page before; the first page unless given.
        pub page_token: Option<String>,
        /// Nothing: rows are not filtered.
        pub filter_condition: Option<String>,
    }
}

endpoints! {
    like EndpointSpec::of(Api::Datasets);

    ListDatasets(NoParameters) -> DatasetList =
        Get "/v1/datasets", "list_datasets", "All registered datasets.";

    GetDataset(DatasetRequest) -> Dataset =
        Get "/v1/datasets/{dataset_id:path}", "get_dataset", "One registered dataset.";

    RegisterDataset(DatasetRegistration) -> Dataset =
        Post "/v1/datasets", "register_dataset",
        "Registers a dataset, or updates it; answers what is stored. The form of older clients \
         (`dataset_schema` and `url`) is taken too.";

    UnregisterDataset(DatasetRequest) -> () =
        Delete "/v1/datasets/{dataset_id:path}", "unregister_dataset",
        "Removes a dataset with the rows that were appended to it.";

    Iterrows(IterrowsRequest) -> IterrowsResponse =
        Get "/v1/datasetio/iterrows/{dataset_id:path}", "iterrows", "Rows of a dataset.",
        api: Api::DatasetIo;

    AppendRows(AppendRowsRequest) -> () =
        Post "/v1/datasetio/append-rows/{dataset_id:path}", "append_rows",
        "Appends rows to a dataset, all or none; they are kept.",
        api: Api::DatasetIo;

    GetRowsPaginated(PaginatedRowsRequest) -> PaginatedRows =
        Get "/v1/datasetio/rows", "get_rows_paginated",
        "Rows of a dataset, in the form of older clients.",
        api: Api::DatasetIo;

    AppendDatasetRows(AppendRowsRequest) -> () =
        Post "/v1/datasetio/rows", "append_dataset_rows",
        "Appends rows to a dataset, as older clients do.",
        api: Api::DatasetIo;
}
