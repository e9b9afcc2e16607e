//! The contract of datasets: what reads their rows, and appends to them.

use crate::{Context, Hosts, Lifecycle};
use async_trait::async_trait;
use chaski_api::{
    Result,
    datasets::{Dataset, IterrowsResponse, Row},
};

/// A part of the rows of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowRange {
    /// The first row, counted from 0.
    pub start: usize,
    /// The most rows; all up to the end unless given.
    pub limit: Option<usize>,
}

/// Who says where the rows of a dataset are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Declarer {
    /// The operator, in the configuration: files of the server may be named.
    Configuration,
    /// Whoever may send requests.
    Request,
}

/// The rows of datasets.
#[async_trait]
pub trait DatasetIo: Send + Sync {
    /// A part of the rows: those of the source first, then those that were appended. It may end
    /// before `range` does where the rows would be too many for one answer; the answer then says
    /// where the next part begins.
    ///
    /// # Errors
    /// `InvalidRequest` if the source cannot be read, is not a table, or may not be read for who
    /// declared it.
    async fn rows(
        &self,
        cx: &Context,
        dataset: &Dataset,
        declarer: Declarer,
        range: RowRange,
    ) -> Result<IterrowsResponse>;

    /// Appends rows, all or none. They are kept when this is answered.
    ///
    /// # Errors
    /// `Conflict` if the dataset was removed or registered anew meanwhile, `Unsupported` where the
    /// provider cannot append.
    async fn append(&self, cx: &Context, dataset: &Dataset, rows: Vec<Row>) -> Result<()>;
}

/// What a provider of datasets must be.
pub trait DatasetIoProvider: DatasetIo + Hosts<Dataset> + Lifecycle {}
impl<T: DatasetIo + Hosts<Dataset> + Lifecycle> DatasetIoProvider for T {}

/// The rows of all datasets of the stack by their ids.
#[async_trait]
pub trait Datasets: Send + Sync {
    /// A part of the rows of a dataset.
    ///
    /// # Errors
    /// `NotFound` for a dataset that is not registered, and those of the provider.
    async fn rows(
        &self,
        cx: &Context,
        dataset_id: &str,
        range: RowRange,
    ) -> Result<IterrowsResponse>;

    /// Appends rows to a dataset, all or none.
    ///
    /// # Errors
    /// `NotFound` for a dataset that is not registered, and those of the provider.
    async fn append(&self, cx: &Context, dataset_id: &str, rows: Vec<Row>) -> Result<()>;
}
