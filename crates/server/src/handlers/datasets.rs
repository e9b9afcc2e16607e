//! The registered datasets, and their rows.

use crate::{app::App, routes::Routes};
use chaski_api::{
    Error, Result,
    datasets::{DatasetList, IterrowsResponse, PaginatedRows},
    endpoints::datasets::{
        AppendDatasetRows, AppendRows, GetDataset, GetRowsPaginated, Iterrows, ListDatasets,
        PaginatedRowsRequest, RegisterDataset, UnregisterDataset,
    },
};
use chaski_provider::{Context, RowRange};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<ListDatasets, _, _>(|app, _cx, _request| async move {
        Ok(DatasetList { data: app.stack.datasets.list() })
    });
    routes.on::<GetDataset, _, _>(|app, _cx, request| async move {
        app.stack.datasets.get(&request.dataset_id).await
    });
    routes.on::<RegisterDataset, _, _>(|app, _cx, request| async move {
        app.stack.datasets.register_dataset(request.0).await
    });
    routes.on::<UnregisterDataset, _, _>(|app, _cx, request| async move {
        app.stack.datasets.unregister(&request.dataset_id).await
    });
    routes.on::<Iterrows, _, _>(|app, cx, request| async move {
        let start = request.start_index.map_or(0, |start| start.0);
        let range = range(start, request.limit.map_or(-1, |limit| limit.0));
        app.stack.dataset_rows.rows(&cx, &request.dataset_id, range).await
    });
    routes.on::<AppendRows, _, _>(|app, cx, request| async move {
        app.stack.dataset_rows.append(&cx, &request.dataset_id, request.rows).await
    });
    routes.on::<GetRowsPaginated, _, _>(|app, cx, request| async move {
        page(&app, &cx, request).await
    });
    routes.on::<AppendDatasetRows, _, _>(|app, cx, request| async move {
        app.stack.dataset_rows.append(&cx, &request.dataset_id, request.rows).await
    });
}

/// The rows from `start` on; a `limit` below 0 means all.
fn range(start: i64, limit: i64) -> RowRange {
    RowRange {
        start: usize::try_from(start).unwrap_or_default(),
        limit: usize::try_from(limit).ok(),
    }
}

/// A page as older clients read it. Its token is the index of the next row.
async fn page(app: &App, cx: &Context, request: PaginatedRowsRequest) -> Result<PaginatedRows> {
    if request.filter_condition.is_some_and(|condition| !condition.is_empty()) {
        let text = "rows are not filtered; leave `filter_condition` out";
        return Err(Error::invalid(text).with_param("filter_condition"));
    }
    let token = request.page_token.unwrap_or_default();
    let start = if token.is_empty() { Ok(0) } else { token.parse::<u32>() };
    let start = start.map_err(|_| {
        let text = format!("`{token}` is not a `page_token`; give the `next_page_token` of a page");
        Error::invalid(text).with_param("page_token")
    })?;
    let range = range(start.into(), request.rows_in_page.0);
    let IterrowsResponse { data, next_start_index } =
        app.stack.dataset_rows.rows(cx, &request.dataset_id, range).await?;
    Ok(PaginatedRows {
        total_count: i64::try_from(data.len()).unwrap_or(i64::MAX),
        rows: data,
        next_page_token: next_start_index.map(|index| index.to_string()),
    })
}
