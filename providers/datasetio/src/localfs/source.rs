//! Where the rows of a dataset come from: an address, a `data:` URL, or a file of the server.

use super::table::Table;
use bytes::Bytes;
use chaski_api::{Error, Result};
use chaski_documents::{Cells, Hints, Limits};
use chaski_provider::{Cpu, Declarer, DocumentFile, Documents, data_url};
use chaski_upstream::Http;
use percent_encoding::percent_decode_str;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{io::AsyncReadExt, sync::Semaphore};

/// How long reading one file may take.
const READING: Duration = Duration::from_mins(1);
/// The most cells of a file.
const MOST_CELLS: usize = 2_000_000;
/// How many files are read at one time; the others wait.
pub(super) const AT_ONCE: usize = 16;
/// The longest address in a message, in characters.
const SHOWN: usize = 200;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Xlsx,
    Json,
    JsonLines,
}

/// The endings of names.
const ENDINGS: &[(&str, Format)] = &[
    ("csv", Format::Csv),
    ("tsv", Format::Csv),
    ("xlsx", Format::Xlsx),
    ("json", Format::Json),
    ("jsonl", Format::JsonLines),
    ("ndjson", Format::JsonLines),
];

/// Media types.
const TYPES: &[(&str, Format)] = &[
    ("text/csv", Format::Csv),
    ("text/tab-separated-values", Format::Csv),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Format::Xlsx),
    ("application/json", Format::Json),
    ("text/json", Format::Json),
    ("application/jsonl", Format::JsonLines),
    ("application/jsonlines", Format::JsonLines),
    ("application/x-jsonlines", Format::JsonLines),
    ("application/x-ndjson", Format::JsonLines),
];

/// What files are read with.
pub(super) struct Files {
    pub(super) http: Http,
    pub(super) documents: Documents,
    pub(super) cpu: Cpu,
    /// Folders whose files requests may name.
    pub(super) folders: Vec<PathBuf>,
    pub(super) max_bytes: usize,
    /// Files that may be in memory while they are read.
    pub(super) places: Semaphore,
}

/// An address, by what it leads to.
enum Address {
    Data,
    Web,
    Path(PathBuf),
    Other,
}

impl Address {
    fn of(uri: &str) -> Self {
        let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            None => Self::Path(uri.into()),
            Some("data") => Self::Data,
            Some("http" | "https") => Self::Web,
            Some("file") => file_path(uri).map_or(Self::Other, Self::Path),
            Some(_) if uri.starts_with('/') => Self::Path(uri.into()),
            Some(_) => Self::Other,
        }
    }
}

/// The path of a `file:` address of this machine.
fn file_path(uri: &str) -> Option<PathBuf> {
    let rest = &uri["file:".len()..];
    let path = match rest.strip_prefix("//") {
        Some(after) => {
            let (host, path) = after.split_at(after.find('/')?);
            (host.is_empty() || host == "localhost").then_some(path)?
        }
        None => rest,
    };
    let path = percent_decode_str(path).decode_utf8().ok()?;
    (!path.contains('\0')).then(|| PathBuf::from(path.into_owned()))
}

impl Files {
    /// Reads the rows behind an address.
    ///
    /// # Errors
    /// `InvalidRequest` with what is wrong: it cannot or may not be read, or holds no table.
    pub(super) async fn read(&self, uri: &str, declarer: Declarer) -> Result<Table> {
        let unsupported = || {
            let uri = shown(uri);
            Error::invalid(format!(
                "Unsupported file type: {uri}; use a CSV, XLSX, JSON or JSON Lines file behind an \
                 `https:`, `http:`, `file:` or `data:` address"
            ))
        };
        let closed = |_| Error::internal("nobody closes the places");
        let _place = self.places.acquire().await.map_err(closed)?;
        match Address::of(uri) {
            Address::Data => {
                let (media_type, body) = data_url(uri)?;
                let format = format_of_type(&media_type).unwrap_or_else(|| {
                    let is_text = media_type.is_empty() || media_type.starts_with("text/");
                    if is_text { Format::Csv } else { Format::Xlsx }
                });
                self.table(body, format, Some(media_type)).await
            }
            Address::Web => {
                let path = uri.split(['?', '#']).next().unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or_default();
                let by_name = format_of_name(name);
                if by_name.is_none() && name.contains('.') && path.matches('/').count() > 2 {
                    return Err(unsupported());
                }
                let fetched = self.http.fetch_guarded(uri, self.max_bytes).await?;
                let format = by_name.or_else(|| format_of_type(&fetched.media_type));
                self.table(fetched.body, format.ok_or_else(unsupported)?, None).await
            }
            Address::Path(path) => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let format = format_of_name(name).ok_or_else(unsupported)?;
                let path = self.permitted(&path, declarer).await?;
                self.table(self.file(&path).await?, format, None).await
            }
            Address::Other => Err(unsupported()),
        }
    }

    /// The path without links, if the file may be read for who declared the dataset.
    async fn permitted(&self, path: &Path, declarer: Declarer) -> Result<PathBuf> {
        let refused = || {
            Error::invalid(
                "requests may not name files of the server: declare the dataset in the \
                 configuration, put the file into one of the `folders` of the provider, or give its \
                 rows",
            )
        };
        // What cannot be found is refused as what may not be read, so that nobody learns what
        // there is.
        let found = tokio::fs::canonicalize(path).await;
        if declarer == Declarer::Configuration {
            return found.map_err(unreadable);
        }
        let found = found.map_err(|_| refused())?;
        for folder in &self.folders {
            if let Ok(folder) = tokio::fs::canonicalize(folder).await
                && found.starts_with(folder)
            {
                return Ok(found);
            }
        }
        Err(refused())
    }

    /// The content of a regular file.
    async fn file(&self, path: &Path) -> Result<Bytes> {
        // Asked before opening, because a pipe without a writer would never open.
        let metadata = tokio::fs::metadata(path).await.map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Error::invalid("it is not a regular file"));
        }
        let most = u64::try_from(self.max_bytes).unwrap_or(u64::MAX);
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let mut content = Vec::new();
        let mut limited = file.take(most.saturating_add(1));
        limited.read_to_end(&mut content).await.map_err(unreadable)?;
        if content.len() > self.max_bytes {
            return Err(self.too_large());
        }
        Ok(content.into())
    }

    fn too_large(&self) -> Error {
        Error::invalid(format!(
            "the file has more than {} bytes; split it, or raise `max_bytes` of the provider",
            self.max_bytes
        ))
    }

    async fn table(
        &self,
        content: Bytes,
        format: Format,
        media_type: Option<String>,
    ) -> Result<Table> {
        if content.len() > self.max_bytes {
            return Err(self.too_large());
        }
        let cells = match format {
            Format::Json => return self.json(content, Table::of_json).await,
            Format::JsonLines => return self.json(content, Table::of_lines).await,
            Format::Csv => Cells::Csv,
            Format::Xlsx => Cells::Xlsx,
        };
        let hints = Hints { media_type, ..Hints::cells(cells) };
        let limits = Limits {
            input_bytes: u64::try_from(self.max_bytes).unwrap_or(u64::MAX),
            time: READING,
            table_cells: MOST_CELLS,
            ..Limits::default()
        };
        let table = self.documents.read(DocumentFile::Bytes(content), hints, limits, move |read| {
            Ok(Table::of_cells(read.text(), cells == Cells::Csv))
        });
        table.await??
    }

    async fn json(&self, content: Bytes, read: fn(&str) -> Result<Table>) -> Result<Table> {
        self.cpu
            .run(move || {
                let text = std::str::from_utf8(&content)
                    .map_err(|error| Error::invalid(format!("it is not text in UTF-8: {error}")))?;
                read(text.trim_start_matches('\u{feff}'))
            })
            .await?
    }
}

fn unreadable(error: std::io::Error) -> Error {
    let is = |kind| error.kind() == kind;
    let reason = if is(std::io::ErrorKind::NotFound) {
        "the file does not exist"
    } else if is(std::io::ErrorKind::PermissionDenied) {
        "the server may not read the file"
    } else {
        "the file cannot be read"
    };
    Error::invalid(reason).caused_by(error)
}

fn format_of_name(name: &str) -> Option<Format> {
    let ending = name.rsplit_once('.')?.1.to_ascii_lowercase();
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format)
}

fn format_of_type(media_type: &str) -> Option<Format> {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // `data:csv;base64,...` is in the documentation of the reference.
    let known = TYPES.iter().chain(ENDINGS).find(|(known, _)| *known == essence);
    known.map(|(_, format)| *format)
}

/// An address for a message.
fn shown(uri: &str) -> String {
    let mut text: String = uri.chars().filter(|character| !character.is_control()).collect();
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_addresses_are_paths_of_this_machine() {
        let path = |uri: &str| file_path(uri).map(|path| path.display().to_string());
        assert_eq!(path("file:///a%20b/c.csv").as_deref(), Some("/a b/c.csv"));
        assert_eq!(path("file://localhost/c.csv").as_deref(), Some("/c.csv"));
        assert_eq!(path("file:/c.csv").as_deref(), Some("/c.csv"));
        assert_eq!(path("file://other/c.csv"), None);
        assert_eq!(path("file:///c%00.csv"), None);
    }
}
