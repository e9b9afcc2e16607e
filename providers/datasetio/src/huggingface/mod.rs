//! Datasets of the Hugging Face hub, row by row through its viewer.

mod name;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Reader, Result, Secret,
    datasets::{DataSource, Dataset, IterrowsResponse, Row},
};
use chaski_provider::{
    Context, DatasetIo, DatasetIoProvider, Declarer, Deps, Hosts, Lifecycle, Provider,
    ProviderConfig, RowRange, Spec,
};
use chaski_upstream::{Http, Request, Url};
use name::Name;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const NAME: &str = "the dataset viewer of Hugging Face";
const URL: &str = "https://datasets-server.huggingface.co";
/// The most rows that the viewer gives at one time.
const AT_ONCE: usize = 100;
/// The most rows of an answer.
const MOST_ROWS: usize = 10_000;
/// How large an answer of the viewer may be, and all answers for one question.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;
const ALL_BYTES: usize = 64 * 1024 * 1024;
/// How often a failed question is repeated.
const RETRIES: u32 = 2;

const DOCS: &str = "\
Datasets of the [Hugging Face hub](https://huggingface.co/datasets), read by its
[viewer](https://huggingface.co/docs/dataset-viewer) a hundred rows at one time; nothing is downloaded as a whole.

- A dataset is registered with `uri`: `huggingface://datasets/ORGANISATION/NAME?split=SPLIT`. `name` chooses a
  configuration of it. Where there is only one, or one called `default`, it need not be named.
- `api_token` opens datasets that are private or behind a form. Without it, those that everybody may read are there.
- An answer has at most 10000 rows; `next_start_index` says where the next one begins.
- Rows cannot be appended. Of very large datasets the viewer has the beginning only.
- `kvstore` is taken and has no effect: nothing is kept.
";

chaski_api::wire! {
    /// The configuration of `remote::huggingface` for datasets.
    pub struct HuggingFaceConfig {
        /// Has no effect.
        pub kvstore: Option<Map<String, Value>>,
        /// The address of the viewer.
        pub url: String = URL.to_owned(),
        /// A token of the hub; not needed for public datasets.
        pub api_token: Option<Secret>,
    }
}

/// The address of the viewer.
fn address(url: &str) -> Option<Url> {
    let url = Url::parse(url.trim().trim_end_matches('/')).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

impl ProviderConfig for HuggingFaceConfig {
    fn sample(dir: &str) -> Value {
        json!({
            "kvstore": {
                "type": "sqlite", "namespace": null,
                "db_path": format!("${{env.SQLITE_STORE_DIR:{dir}}}/huggingface_datasetio.db"),
            },
            "api_token": "${env.HF_TOKEN:}",
        })
    }

    fn validate(&self, reader: &mut Reader) {
        if address(&self.url).is_none() {
            let text = format!("`{}` is not an address, such as `{URL}`", self.url);
            reader.key("url", |reader| reader.issue::<()>("url", text));
        }
    }
}

/// The provider `remote::huggingface`.
pub(crate) struct HuggingFace {
    http: Http,
    url: Url,
    token: Option<Secret>,
}

impl Provider for HuggingFace {
    type Api = dyn DatasetIoProvider;
    type Config = HuggingFaceConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(Api::DatasetIo, "remote::huggingface", "Datasets of the Hugging Face hub.")
    };

    async fn build(config: HuggingFaceConfig, deps: Deps) -> Result<Arc<dyn DatasetIoProvider>> {
        let url = address(&config.url).ok_or_else(|| Error::invalid("`url` is not an address"))?;
        let token = config.api_token.filter(|token| !token.is_empty());
        Ok(Arc::new(Self { http: deps.http, url, token }))
    }
}

/// What the viewer says about the parts of a dataset.
#[derive(Deserialize)]
struct Splits {
    splits: Vec<Split>,
}

#[derive(Deserialize)]
struct Split {
    config: String,
    split: String,
}

/// Rows of the viewer.
#[derive(Deserialize)]
struct Page {
    rows: Vec<Entry>,
    num_rows_total: Option<usize>,
}

#[derive(Deserialize)]
struct Entry {
    row: Row,
    #[serde(default)]
    truncated_cells: Vec<String>,
}

impl HuggingFace {
    /// Asks the viewer, and says how many bytes it answered.
    async fn ask<T: DeserializeOwned>(
        &self,
        cx: &Context,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<(T, usize)> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(parameters);
        let mut request = Request::get(NAME, url).retries(RETRIES).deadline(cx.deadline);
        if let Some(token) = &self.token {
            request = request.bearer(token)?;
        }
        let answer = self.http.send(request).await?.success().await.map_err(of_caller)?;
        let body = answer.bytes(ANSWER_BYTES).await?;
        let read = serde_json::from_slice(&body).map_err(|error| {
            let text = format!("{NAME} answered something that is not understood");
            Error::new(ErrorKind::Upstream { status: None }, text).caused_by(error)
        });
        Ok((read?, body.len()))
    }

    /// The configuration and the split that are meant.
    async fn place(&self, cx: &Context, name: &Name) -> Result<(String, String)> {
        if let (Some(config), Some(split)) = (&name.config, &name.split) {
            return Ok((config.clone(), split.clone()));
        }
        let (Splits { splits }, _) =
            self.ask(cx, "splits", &[("dataset", &name.repository)]).await?;
        let configs = splits.iter().map(|one| one.config.as_str());
        let config = chosen("name", name.config.as_deref(), Some("default"), configs)?;
        let of_config = splits.iter().filter(|one| one.config == config);
        let of_config = of_config.map(|one| one.split.as_str());
        let split = chosen("split", name.split.as_deref(), None, of_config)?;
        Ok((config, split))
    }

    async fn read(&self, cx: &Context, uri: &str, range: RowRange) -> Result<IterrowsResponse> {
        let name = Name::read(uri)?;
        let (config, split) = self.place(cx, &name).await?;
        let most = range.limit.unwrap_or(usize::MAX).min(MOST_ROWS);
        let (mut data, mut bytes) = (Vec::new(), 0_usize);
        let next = loop {
            let offset = range.start.saturating_add(data.len());
            // Where no row is wanted, one tells whether there are any.
            let length = (most - data.len()).clamp(1, AT_ONCE);
            let (page, size): (Page, usize) = self
                .ask(
                    cx,
                    "rows",
                    &[
                        ("dataset", &name.repository),
                        ("config", &config),
                        ("split", &split),
                        ("offset", &offset.to_string()),
                        ("length", &length.to_string()),
                    ],
                )
                .await?;
            let came = page.rows.len().min(length);
            let has_more = page.num_rows_total.map_or(came == length, |all| offset + came < all);
            if most == 0 {
                break (came > 0).then_some(offset);
            }
            for entry in page.rows.into_iter().take(length) {
                data.push(whole(entry, range.start + data.len())?);
            }
            bytes += size;
            if !has_more || came == 0 {
                break None;
            }
            if data.len() >= most || bytes >= ALL_BYTES {
                break Some(range.start + data.len());
            }
        };
        let next_start_index = next.map(|next| i64::try_from(next).unwrap_or(i64::MAX));
        Ok(IterrowsResponse { data, next_start_index })
    }
}

/// The row, if the viewer shows all of it.
fn whole(entry: Entry, index: usize) -> Result<Row> {
    if entry.truncated_cells.is_empty() {
        return Ok(entry.row);
    }
    let cells = entry.truncated_cells.join("`, `");
    let text = format!("{NAME} cuts `{cells}` of row {index} short; the row is too large for it");
    Err(Error::new(ErrorKind::Upstream { status: None }, text))
}

/// The one that is named, else `usual`, else the only one.
fn chosen<'a>(
    parameter: &str,
    named: Option<&str>,
    usual: Option<&str>,
    all: impl Iterator<Item = &'a str>,
) -> Result<String> {
    let mut known: Vec<&str> = Vec::new();
    for one in all.filter(|one| !one.is_empty()) {
        if !known.contains(&one) {
            known.push(one);
        }
    }
    match (named, known.as_slice()) {
        (Some(named), _) => return Ok(named.to_owned()),
        (None, [only]) => return Ok((*only).to_owned()),
        (None, known) => {
            if let Some(usual) = usual.filter(|usual| known.contains(usual)) {
                return Ok(usual.to_owned());
            }
        }
    }
    let mut shown: Vec<String> = known.iter().take(20).map(|one| format!("`{one}`")).collect();
    if known.len() > shown.len() {
        shown.push("...".to_owned());
    }
    Err(Error::invalid(format!(
        "it has several parts; name one in its address, as `?{parameter}=`: {}",
        shown.join(", ")
    )))
}

/// What the viewer says is wrong with the dataset that was named.
fn of_caller(error: Error) -> Error {
    let is_of_caller = |status: u16| matches!(status, 400 | 401 | 403 | 404 | 422);
    if let ErrorKind::Upstream { status: Some(status) } = error.kind
        && is_of_caller(status)
    {
        return Error { kind: ErrorKind::InvalidRequest, ..error };
    }
    error
}

/// The address of a dataset.
fn uri(dataset: &Dataset) -> Result<&str> {
    match &dataset.source {
        DataSource::Uri(source) => Ok(&source.uri),
        DataSource::Rows(_) => Err(Error::invalid(format!(
            "provider `{}` has datasets of the hub only; give a `uri` such as \
             `huggingface://datasets/ORGANISATION/NAME?split=SPLIT`, or name another provider",
            dataset.provider_id
        ))),
    }
}

#[async_trait]
impl DatasetIo for HuggingFace {
    async fn rows(
        &self,
        cx: &Context,
        dataset: &Dataset,
        _declarer: Declarer,
        range: RowRange,
    ) -> Result<IterrowsResponse> {
        self.read(cx, uri(dataset)?, range).await.map_err(|error| {
            if error.kind != ErrorKind::InvalidRequest {
                return error;
            }
            let id = &dataset.identifier;
            let message = format!("the rows of dataset `{id}` cannot be read: {}", error.message);
            Error { message, ..error }
        })
    }

    async fn append(&self, _cx: &Context, dataset: &Dataset, _rows: Vec<Row>) -> Result<()> {
        Err(Error::unsupported(format!(
            "rows cannot be appended to `{}`, a dataset of the hub; append them to a dataset that is \
             registered with `rows`",
            dataset.identifier
        )))
    }
}

#[async_trait]
impl Hosts<Dataset> for HuggingFace {
    async fn on_register(&self, dataset: Dataset) -> Result<Dataset> {
        Name::read(uri(&dataset)?)?;
        Ok(dataset)
    }
}

#[async_trait]
impl Lifecycle for HuggingFace {}
