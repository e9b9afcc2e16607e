//! `chaski ingest`: reads files into a vector store, and shows how far it is.

use super::{
    client,
    paths::{self, Below, Found},
    store,
};
use crate::{
    args::IngestArgs,
    environment::Environment,
    failure::{Failure, Outcome},
    output::Output,
};
use chaski_api::{
    openai::{
        Attributes, BatchedFile, CompleteUploadRequest, CreateFileBatchRequest,
        CreateUploadRequest, CreateVectorStoreRequest, FileBatchRequest, FilePurpose, FileRequest,
        IngestStatus, ListBatchFilesRequest, ListOrder, ListVectorStoreFilesRequest,
        VectorStoreFileObject, VectorStoreFileRequest, VectorStoreObject,
    },
    wire::Between,
};
use chaski_client::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    io::{self, IsTerminal, Read},
    path::Path,
    time::Duration,
};

/// Files up to this size are sent in one piece; larger ones in parts of this size.
const PIECE: usize = 16 << 20;
/// How many files are sent at one time.
const SENT_AT_ONCE: usize = 4;
/// How many files are read together.
const BATCH: usize = 200;
/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// The attribute that says what a file was called when it was ingested.
const PATH: &str = "path";
/// The attributes that say which file of this machine it is, and in which state it was.
const ABSOLUTE: &str = "absolute_path";
const BYTES: &str = "bytes";
const MODIFIED: &str = "modified";
/// The longest path that is kept, in characters.
const LONGEST: usize = 512;

pub(crate) fn run(args: &IngestArgs, environment: &Environment, output: Output) -> Outcome {
    let client = client(&args.server, environment)?;
    let found = paths::files(&args.paths)?;
    if found.files.is_empty() && found.unreadable.is_empty() {
        return Err(Failure::failed("there are no files below these paths"));
    }
    let runtime = crate::run::runtime()?;
    runtime.block_on(ingest(args, &client, found, output))
}

async fn ingest(args: &IngestArgs, client: &Client, found: Below, output: Output) -> Outcome {
    let store = match store(client, &args.store).await? {
        Some(store) => store,
        None => make(client, args).await?,
    };
    let known = known(client, &store.id).await?;
    let (same, new): (Vec<_>, Vec<_>) = found.files.into_iter().partition(|file| {
        known.get(&shortened(&file.absolute)).is_some_and(|known| is_same(known, file))
    });
    let bar = bar(new.len());
    let mut failed = Vec::new();
    for (turn, some) in new.chunks(BATCH).enumerate() {
        bar.set_message("sending");
        let outcomes: Vec<Result<BatchedFile, String>> = stream::iter(some)
            .map(|file| sent(client, file))
            .buffered(SENT_AT_ONCE)
            .try_collect()
            .await?;
        let (sent, unsent): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        failed.extend(unsent.into_iter().filter_map(Result::err));
        bar.set_message("reading");
        let sent: Vec<BatchedFile> = sent.into_iter().filter_map(Result::ok).collect();
        let (ended, refused) = read(client, &store.id, sent, &bar).await?;
        for file in ended {
            // The file of before is not wanted any more.
            if let Some(old) = text(&file, ABSOLUTE).and_then(|path| known.get(path)) {
                remove(client, &store.id, &old.id).await?;
            }
        }
        for file in refused {
            // Nothing can be found in it, and the next attempt sends it anew.
            remove(client, &store.id, &file.id).await?;
            let why =
                file.last_error.as_ref().map_or("it was given up", |error| error.message.as_str());
            failed.push(format!("{}: {why}", text(&file, PATH).unwrap_or(&file.id)));
        }
        bar.set_position((turn * BATCH + some.len()) as u64);
    }
    bar.finish_and_clear();
    let read = new.len() - failed.len();
    failed.extend(found.unreadable);
    for file in &failed {
        crate::note("failed", file);
    }
    output.line(&format!(
        "{read} files read into `{}` ({}), {} unchanged, {} failed",
        store.name,
        store.id,
        same.len(),
        failed.len()
    ))?;
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(format!("{} files or folders could not be read", failed.len())))
    }
}

async fn make(client: &Client, args: &IngestArgs) -> Outcome<VectorStoreObject> {
    let request = CreateVectorStoreRequest {
        name: Some(args.store.clone()),
        description: None,
        file_ids: None,
        chunking_strategy: None,
        expires_after: None,
        metadata: None,
        embedding_model: args.embedding_model.clone(),
        provider_id: None,
    };
    Ok(client.create_vector_store(request).await?)
}

/// What an attribute of a file of the vector store says.
fn text<'f>(file: &'f VectorStoreFileObject, attribute: &str) -> Option<&'f str> {
    file.attributes.as_ref()?.0.get(attribute)?.as_str()
}

/// The files that are in the vector store or being read, by their absolute paths.
async fn known(client: &Client, store: &str) -> Outcome<HashMap<String, VectorStoreFileObject>> {
    let mut known = HashMap::new();
    let mut after = None;
    loop {
        let page = client
            .list_vector_store_files(ListVectorStoreFilesRequest {
                vector_store_id: store.to_owned(),
                limit: Between(100),
                order: ListOrder::Ascending,
                after,
                before: None,
                filter: None,
            })
            .await?;
        for file in page.data {
            let is_there =
                matches!(file.status, IngestStatus::Completed | IngestStatus::InProgress);
            if let Some(path) = text(&file, ABSOLUTE).filter(|_| is_there) {
                known.insert(path.to_owned(), file);
            }
        }
        if !page.has_more {
            return Ok(known);
        }
        after = page.last_id;
    }
}

fn shortened(name: &str) -> String {
    name.chars().rev().take(LONGEST).collect::<Vec<_>>().into_iter().rev().collect()
}

fn attributes(file: &Found) -> Attributes {
    let mut all = Map::new();
    all.insert(PATH.to_owned(), shortened(&file.name).into());
    all.insert(ABSOLUTE.to_owned(), shortened(&file.absolute).into());
    all.insert(BYTES.to_owned(), file.bytes.into());
    all.insert(MODIFIED.to_owned(), file.modified.into());
    Attributes(all)
}

fn is_same(known: &VectorStoreFileObject, file: &Found) -> bool {
    let has = |key: &str, value: Value| {
        known.attributes.as_ref().and_then(|all| all.0.get(key)) == Some(&value)
    };
    has(BYTES, json!(file.bytes)) && has(MODIFIED, json!(file.modified))
}

/// Why a file was not sent.
enum Unsent {
    /// This concerns no other file.
    File(String),
    /// No file can be sent.
    All(Failure),
}

impl From<chaski_client::Error> for Unsent {
    fn from(error: chaski_client::Error) -> Self {
        // These the server refuses whatever is sent.
        let concerns_all = error.status().is_none_or(|status| matches!(status, 401 | 403 | 404));
        if concerns_all { Self::All(error.into()) } else { Self::File(error.to_string()) }
    }
}

/// Sends a file; the inner error is why this one cannot be sent.
async fn sent(client: &Client, file: &Found) -> Outcome<Result<BatchedFile, String>> {
    match send(client, file).await {
        Ok(file_id) => Ok(Ok(BatchedFile {
            file_id,
            attributes: Some(attributes(file)),
            chunking_strategy: None,
        })),
        Err(Unsent::File(why)) => Ok(Err(format!("{}: {why}", file.name))),
        Err(Unsent::All(failure)) => Err(failure),
    }
}

/// Sends a file, and says its id.
async fn send(client: &Client, file: &Found) -> Result<String, Unsent> {
    let failed = |error: io::Error| Unsent::File(error.to_string());
    let name = file
        .path
        .file_name()
        .map_or_else(|| file.name.clone(), |name| name.to_string_lossy().into_owned());
    if file.bytes <= PIECE as u64 {
        let content = tokio::fs::read(&file.path).await.map_err(failed)?;
        return Ok(client.create_file(&name, FilePurpose::Assistants, &content).await?.id);
    }
    let request = CreateUploadRequest {
        filename: name,
        purpose: FilePurpose::Assistants,
        bytes: Between(i64::try_from(file.bytes).unwrap_or(i64::MAX)),
        mime_type: "application/octet-stream".to_owned(),
        expires_after: None,
    };
    let upload = client.create_upload(request).await?;
    let mut part_ids = Vec::new();
    let mut from = 0;
    while let Some(piece) = piece(&file.path, from).map_err(failed)? {
        from += piece.len() as u64;
        part_ids.push(client.add_upload_part(&upload.id, &piece).await?.id);
    }
    let request = CompleteUploadRequest { upload_id: upload.id, part_ids, md5: None };
    let done = client.complete_upload(request).await?;
    done.file
        .map(|file| file.id)
        .ok_or_else(|| Unsent::File("the server answered without the file of it".to_owned()))
}

/// The piece of a file that begins at `from`; nothing at its end.
fn piece(path: &Path, from: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = std::fs::File::open(path)?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
    let mut piece = Vec::new();
    file.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok((!piece.is_empty()).then_some(piece))
}

/// Has files read, and waits; says which can be found now, and which could not be read.
async fn read(
    client: &Client,
    store: &str,
    files: Vec<BatchedFile>,
    bar: &ProgressBar,
) -> Outcome<(Vec<VectorStoreFileObject>, Vec<VectorStoreFileObject>)> {
    if files.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let before = bar.position();
    let batch = client
        .create_file_batch(CreateFileBatchRequest {
            vector_store_id: store.to_owned(),
            file_ids: None,
            files: Some(files),
            attributes: None,
            chunking_strategy: None,
        })
        .await?;
    loop {
        let request =
            FileBatchRequest { vector_store_id: store.to_owned(), batch_id: batch.id.clone() };
        let now = client.get_file_batch(request).await?;
        let ended = now.file_counts.total - now.file_counts.in_progress;
        bar.set_position(before + u64::try_from(ended).unwrap_or_default());
        if now.status != IngestStatus::InProgress {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = client
            .list_batch_files(ListBatchFilesRequest {
                vector_store_id: store.to_owned(),
                batch_id: batch.id.clone(),
                limit: Between(100),
                order: ListOrder::Ascending,
                after,
                before: None,
                filter: None,
            })
            .await?;
        all.extend(page.data);
        if !page.has_more {
            break;
        }
        after = page.last_id;
    }
    Ok(all.into_iter().partition(|file| file.status == IngestStatus::Completed))
}

/// Removes a file, and with it what the vector store has of it.
async fn remove(client: &Client, store: &str, file: &str) -> Outcome {
    let (vector_store_id, file_id) = (store.to_owned(), file.to_owned());
    client.delete_vector_store_file(VectorStoreFileRequest { vector_store_id, file_id }).await?;
    client.delete_file(FileRequest { file_id: file.to_owned() }).await?;
    Ok(())
}

fn bar(files: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files as u64);
    let template = "{msg} [{bar:30}] {pos}/{len} files {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
