use super::{Files, NewFile};
use crate::{Data, config::FilesConfig, data::now};
use chaski_api::{
    ErrorKind,
    openai::{
        CompleteUploadRequest, CreateUploadRequest, FileObject, FilePurpose, ListFilesRequest,
        ListOrder, UploadStatus,
    },
    wire::Between,
};
use chaski_provider::{Context, Principal};
use serde_json::{Map, json};
use std::{path::Path, sync::Arc};
use tokio::io::AsyncReadExt;

fn files(folder: &Path) -> Files {
    Files::new(Data::in_memory(folder).unwrap(), FilesConfig { max_bytes: Between(100) })
}

fn caller(id: &str, tenant: &str) -> Context {
    let mut attributes = Map::new();
    attributes.insert("tenant".to_owned(), json!(tenant));
    let principal = Principal { id: id.to_owned(), attributes };
    Context { principal: Some(Arc::new(principal)), ..Context::default() }
}

async fn keep(files: &Files, cx: &Context, content: &[u8], name: &str) -> FileObject {
    let mut incoming = files.incoming().await.unwrap();
    incoming.write(content).await.unwrap();
    let (filename, purpose) = (name.to_owned(), FilePurpose::UserData);
    let new = NewFile { filename, purpose, expires_after: None };
    files.create(cx, incoming, new).await.unwrap()
}

async fn content(files: &Files, cx: &Context, id: &str) -> Vec<u8> {
    let mut content = files.content(cx, id).await.unwrap();
    let mut bytes = Vec::new();
    content.file.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(content.bytes, bytes.len() as u64);
    bytes
}

fn all() -> ListFilesRequest {
    let (limit, order) = (Between(100), ListOrder::Ascending);
    ListFilesRequest { after: None, limit, order, purpose: None }
}

/// How many files the folder holds, those included that are being written.
fn on_disk(folder: &Path) -> usize {
    ["incoming", "kept"]
        .map(|part| std::fs::read_dir(folder.join(part)).map_or(0, Iterator::count))
        .iter()
        .sum()
}

#[tokio::test]
async fn a_file_is_kept_found_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (files, cx) = (files(folder.path()), Context::default());
    let file = keep(&files, &cx, b"hello", "../../a.txt").await;
    assert!(file.id.starts_with("file-") && file.id.len() > 20);
    assert_eq!((file.bytes, file.filename.as_str(), file.expires_at), (5, "a.txt", None));
    assert_eq!(files.get(&cx, &file.id).await.unwrap(), file);
    assert_eq!(content(&files, &cx, &file.id).await, b"hello");
    assert_eq!(files.list(&cx, all()).await.unwrap().data, std::slice::from_ref(&file));
    assert!(files.delete(&cx, &file.id).await.unwrap().deleted);
    assert_eq!(files.get(&cx, &file.id).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(files.delete(&cx, &file.id).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(on_disk(folder.path()), 0);
}

#[tokio::test]
async fn a_file_of_one_caller_is_not_there_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let mine = caller("me", "a");
    let file = keep(&files, &mine, b"secret", "s").await;
    for other in [caller("you", "a"), caller("me", "b"), Context::default()] {
        assert_eq!(files.get(&other, &file.id).await.unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(files.content(&other, &file.id).await.unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(files.delete(&other, &file.id).await.unwrap_err().kind, ErrorKind::NotFound);
        assert!(files.list(&other, all()).await.unwrap().data.is_empty());
    }
    assert_eq!(content(&files, &mine, &file.id).await, b"secret");
}

#[tokio::test]
async fn what_is_given_up_or_too_large_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (files, cx) = (files(folder.path()), Context::default());
    let mut incoming = files.incoming().await.unwrap();
    incoming.write(b"half of").await.unwrap();
    assert_eq!(on_disk(folder.path()), 1);
    drop(incoming);
    let mut incoming = files.incoming().await.unwrap();
    let refused = incoming.write(&[0; 101]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooLarge);
    drop(incoming);
    let mut incoming = files.incoming().await.unwrap();
    incoming.write(b"x").await.unwrap();
    let new = NewFile {
        filename: "x".to_owned(),
        purpose: FilePurpose::BatchOutput,
        expires_after: None,
    };
    let refused = files.create(&cx, incoming, new).await.unwrap_err();
    assert_eq!(refused.param.as_deref(), Some("purpose"));
    chaski_testkit::eventually("the folder is empty", || on_disk(folder.path()) == 0).await;
}

#[tokio::test]
async fn expired_files_are_hidden_and_then_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (files, cx) = (files(folder.path()), Context::default());
    let lasting = keep(&files, &cx, b"1", "lasting").await;
    let mut incoming = files.incoming().await.unwrap();
    incoming.write(b"2").await.unwrap();
    let (filename, purpose) = ("batch".to_owned(), FilePurpose::Batch);
    let new = NewFile { filename, purpose, expires_after: None };
    let batch = files.create(&cx, incoming, new).await.unwrap();
    assert_eq!(batch.expires_at, Some(batch.created_at + 30 * 24 * 3600));
    files.sweep(now()).await.unwrap();
    assert!(files.get(&cx, &batch.id).await.is_ok());
    files.sweep(batch.expires_at.unwrap()).await.unwrap();
    assert!(files.get(&cx, &batch.id).await.is_err());
    assert_eq!(content(&files, &cx, &lasting.id).await, b"1");
    assert_eq!(on_disk(folder.path()), 1);
}

async fn begin(files: &Files, cx: &Context, bytes: i64) -> String {
    let request = CreateUploadRequest {
        filename: "big.txt".to_owned(),
        purpose: FilePurpose::Assistants,
        bytes: Between(bytes),
        mime_type: "text/plain".to_owned(),
        expires_after: None,
    };
    files.create_upload(cx, request).await.unwrap().id
}

async fn part(files: &Files, cx: &Context, upload: &str, content: &[u8]) -> String {
    let mut incoming = files.incoming_part(cx, upload).await.unwrap();
    incoming.write(content).await.unwrap();
    files.add_part(cx, upload, incoming).await.unwrap().id
}

fn completion(upload: &str, parts: &[&String], md5: Option<&str>) -> CompleteUploadRequest {
    CompleteUploadRequest {
        upload_id: upload.to_owned(),
        part_ids: parts.iter().map(ToString::to_string).collect(),
        md5: md5.map(str::to_owned),
    }
}

#[tokio::test]
async fn the_parts_of_an_upload_become_a_file_in_the_order_given() {
    let folder = tempfile::tempdir().unwrap();
    let (files, cx) = (files(folder.path()), Context::default());
    let upload = begin(&files, &cx, 10).await;
    let (world, hello) =
        tokio::join!(part(&files, &cx, &upload, b"World"), part(&files, &cx, &upload, b"Hello"));
    for (parts, md5, reason) in [
        (vec![], None, "is empty"),
        (vec![&hello], None, "have 5 bytes together"),
        (vec![&hello, &hello], None, "given twice"),
        (vec![&hello, &upload], None, "is not a part"),
        (vec![&hello, &world], Some("d41d8cd98f00b204e9800998ecf8427e"), "the MD5 of the file is"),
    ] {
        let refused = files.complete_upload(&cx, completion(&upload, &parts, md5)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidRequest);
        assert!(refused.message.contains(reason), "{refused}");
    }
    // md5("HelloWorld")
    let md5 = Some("68E109F0F40CA72A15E05CC22786F8E6");
    let request = completion(&upload, &[&hello, &world], md5);
    let done = files.complete_upload(&cx, request.clone()).await.unwrap();
    let file = done.file.unwrap();
    assert_eq!((done.status, file.bytes), (UploadStatus::Completed, 10));
    assert_eq!(content(&files, &cx, &file.id).await, b"HelloWorld");
    assert_eq!(files.get(&cx, &file.id).await.unwrap(), file);
    assert_eq!(on_disk(folder.path()), 1, "the parts are gone");
    let again = files.complete_upload(&cx, request).await.unwrap_err();
    assert!(again.message.contains("is completed"), "{again}");
}

#[tokio::test]
async fn an_upload_ends_by_its_caller_or_by_time_and_its_parts_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let cx = caller("me", "");
    let given_up = begin(&files, &cx, 4).await;
    part(&files, &cx, &given_up, b"ab").await;
    let stranger = caller("you", "");
    assert_eq!(
        files.cancel_upload(&stranger, &given_up).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert!(files.incoming_part(&stranger, &given_up).await.is_err());
    let ended = files.cancel_upload(&cx, &given_up).await.unwrap();
    assert_eq!(ended.status, UploadStatus::Cancelled);
    assert!(files.incoming_part(&cx, &given_up).await.is_err());

    let late = begin(&files, &cx, 4).await;
    part(&files, &cx, &late, b"ab").await;
    files.sweep(now() + 3600).await.unwrap();
    let refused = files.incoming_part(&cx, &late).await.unwrap_err();
    assert!(refused.message.contains("is expired"), "{refused}");
    assert_eq!(on_disk(folder.path()), 0);
}

#[tokio::test]
async fn parts_cannot_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (files, cx) = (files(folder.path()), Context::default());
    let upload = begin(&files, &cx, 4).await;
    part(&files, &cx, &upload, b"12345678").await;
    for content in [&b"x"[..], b""] {
        let mut incoming = files.incoming_part(&cx, &upload).await.unwrap();
        incoming.write(content).await.unwrap();
        assert!(files.add_part(&cx, &upload, incoming).await.is_err());
    }
    chaski_testkit::eventually("only the part is left", || on_disk(folder.path()) == 1).await;
}
