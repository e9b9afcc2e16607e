//! Downloads from a scripted host, and what is found out about the files.

use super::{
    Checked, Checkpoints, Finding, Manifest, Plan, Transfer, hugging_face, meta,
    plan::{Host, Wanted},
};
use crate::{Fetch, FetchFailure, Fetched, Progress, Silent};
use bytes::Bytes;
use chaski_api::ErrorKind;
use chaski_llama::Model;
use futures_util::{StreamExt, future::BoxFuture, stream};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

/// A host with files by URL, that answers as it is told to.
#[derive(Default)]
struct Hosted {
    files: BTreeMap<String, Vec<u8>>,
    /// Answers every request with this status.
    status: Option<u16>,
    /// Sends whole files whatever is asked for.
    without_ranges: bool,
    /// Says no size.
    without_sizes: bool,
    /// Breaks off this many answers after three bytes.
    cuts: Mutex<usize>,
    asked: Mutex<Vec<(String, u64, Option<u64>)>>,
    open: AtomicU64,
    most_open: AtomicU64,
}

impl Hosted {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(url, bytes)| ((*url).to_owned(), bytes.to_vec())).collect();
        Self { files, ..Self::default() }
    }

    fn asked(&self) -> Vec<(String, u64, Option<u64>)> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer(&self, url: &str, from: u64, to: Option<u64>) -> Fetched {
        self.asked.lock().unwrap().push((url.to_owned(), from, to));
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.open.fetch_sub(1, Ordering::SeqCst);
        let file = self.files.get(url);
        let status = self.status.or(file.is_none().then_some(404));
        if let Some(status) = status {
            return Fetched { status, length: None, total: None, body: stream::empty().boxed() };
        }
        let file = file.cloned().unwrap_or_default();
        let whole = self.without_ranges || (from == 0 && to.is_none());
        let total = file.len();
        let (from, to) = match to {
            _ if whole => (0, total),
            to => (
                usize::try_from(from).unwrap(),
                to.map_or(total, |to| usize::try_from(to).unwrap().min(total)),
            ),
        };
        let part = file[from..to].to_vec();
        let mut pieces: Vec<Result<Bytes, String>> =
            part.chunks(3).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut cuts = self.cuts.lock().unwrap();
        // The first byte alone is only asked for to learn the size.
        if *cuts > 0 && part.len() > 3 {
            *cuts -= 1;
            pieces.truncate(1);
            pieces.push(Err("connection reset".to_owned()));
        }
        let known = !self.without_sizes;
        Fetched {
            status: if whole { 200 } else { 206 },
            length: known.then_some(part.len() as u64),
            total: (known && !whole).then_some(total as u64),
            body: stream::iter(pieces).boxed(),
        }
    }
}

impl Fetch for Hosted {
    fn part<'a>(
        &'a self,
        url: &'a str,
        from: u64,
        to: Option<u64>,
    ) -> BoxFuture<'a, Result<Fetched, FetchFailure>> {
        Box::pin(async move { Ok(self.answer(url, from, to).await) })
    }
}

/// Answers the first request for each part only.
struct OnlyOnce(Hosted);
impl Fetch for OnlyOnce {
    fn part<'a>(
        &'a self,
        url: &'a str,
        from: u64,
        to: Option<u64>,
    ) -> BoxFuture<'a, Result<Fetched, FetchFailure>> {
        if from.is_multiple_of(16) {
            self.0.part(url, from, to)
        } else {
            Box::pin(async { Err(FetchFailure("down".to_owned())) })
        }
    }
}

const MODEL: &str = "Llama3.2-1B-Instruct";
const LINK: &str = "https://download.llamameta.net/*?Signature=secret";

fn transfer() -> Transfer {
    Transfer { parallel: 3, part: 16, pause: Duration::ZERO }
}

fn content(length: u8) -> Vec<u8> {
    (0..length).collect()
}

fn sum<D: Digest>(bytes: &[u8]) -> String {
    crate::assemble::hex(&D::digest(bytes))
}

/// The files of the model on Meta's host, with their list of checksums.
fn published() -> Hosted {
    let weights = content(200);
    let files: [(&str, &[u8]); 3] =
        [("consolidated.00.pth", &weights), ("params.json", b"{}"), ("tokenizer.model", b"words")];
    let list: String =
        files.iter().map(|(file, bytes)| [&sum::<Md5>(bytes), "  ", file, "\n"].concat()).collect();
    let mut all: Vec<(String, Vec<u8>)> =
        files.iter().map(|(file, bytes)| ((*file).to_owned(), bytes.to_vec())).collect();
    all.push(("checklist.chk".to_owned(), list.into_bytes()));
    let at = |file: String| LINK.replace('*', &format!("Llama-3.2-1B-Instruct/{file}"));
    Hosted {
        files: all.into_iter().map(|(file, bytes)| (at(file), bytes)).collect(),
        ..Hosted::default()
    }
}

fn model() -> &'static Model {
    Model::find(MODEL).expect("the model is known")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

fn one_file(url: &str, bytes: Option<u64>, sha256: Option<String>) -> Plan {
    let file = Wanted { path: "a/x.bin".to_owned(), url: url.to_owned(), bytes, sha256 };
    Plan { name: "m".to_owned(), files: vec![file], host: Host::Manifest, repository: None }
}

#[tokio::test]
async fn the_files_of_a_model_are_fetched_in_parts_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path());
    let host = published();
    let plan = meta(model(), LINK).unwrap();
    let folder = checkpoints.download(&host, &plan, transfer(), &Silent).await.unwrap();
    assert_eq!(folder, dir.path().join(MODEL));
    let expected = ["checklist.chk", "consolidated.00.pth", "params.json", "tokenizer.model"];
    assert_eq!(names(&folder), expected);
    assert_eq!(fs::read(folder.join("consolidated.00.pth")).unwrap(), content(200));
    let parts =
        host.asked().into_iter().filter(|(url, _, to)| url.contains("00.pth") && *to != Some(1));
    assert_eq!(parts.count(), 13);
    assert_eq!(host.most_open.load(Ordering::SeqCst), 3);
    let checked = checkpoints.verify(MODEL, |_| {}).unwrap();
    assert!(checked.iter().all(|checked| checked.finding == Finding::Verified), "{checked:?}");
    assert_eq!(checked.len(), 3);
    let listed = checkpoints.list().unwrap();
    assert_eq!((listed[0].name.as_str(), listed.len()), (MODEL, 1));
    // What is here is not fetched again.
    let before = host.asked().len();
    checkpoints.download(&host, &plan, transfer(), &Silent).await.unwrap();
    let again = host.asked().split_off(before);
    assert!(again.iter().all(|(_, from, to)| (*from, *to) == (0, Some(1))), "{again:?}");
    assert!(checkpoints.remove(MODEL).unwrap() > 200);
    assert_eq!(checkpoints.remove(MODEL).unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_part_that_breaks_off_is_asked_for_again_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path());
    let host = Hosted { cuts: Mutex::new(5), ..Hosted::new(&[("https://x/f", &content(40))]) };
    let plan = one_file("https://x/f", Some(40), Some(sum::<Sha256>(&content(40))));
    let folder = checkpoints.download(&host, &plan, transfer(), &Silent).await.unwrap();
    assert_eq!(fs::read(folder.join("a/x.bin")).unwrap(), content(40));
    assert_eq!(names(&folder.join("a")), ["x.bin"]);
    assert!(host.asked().iter().any(|(_, from, _)| from % 16 == 3), "{:?}", host.asked());
    assert!(checkpoints.verify("m", |_| {}).unwrap()[0].finding == Finding::Verified);
}

#[tokio::test]
async fn an_interrupted_download_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path());
    let url = "https://x/f";
    let plan = one_file(url, Some(40), Some(sum::<Sha256>(&content(40))));
    // Nothing new comes for three attempts: a part that stands still gives up.
    let host = Hosted { cuts: Mutex::new(1000), ..Hosted::new(&[(url, &content(40))]) };
    let error =
        checkpoints.download(&OnlyOnce(host), &plan, transfer(), &Silent).await.unwrap_err();
    assert!(error.message.contains("`a/x.bin`: down"), "{error}");
    let folder = dir.path().join("m/a");
    assert_eq!(names(&folder), [".x.bin.part", ".x.bin.state"]);
    let host = Hosted::new(&[(url, &content(40))]);
    checkpoints.download(&host, &plan, transfer(), &Silent).await.unwrap();
    assert!(host.asked().iter().any(|(_, from, _)| *from == 3), "{:?}", host.asked());
    assert_eq!(fs::read(folder.join("x.bin")).unwrap(), content(40));
    assert_eq!(names(&folder), ["x.bin"]);
}

#[tokio::test]
async fn what_was_noted_of_another_file_does_not_count() {
    for state in [
        "nonsense",
        r#"{"bytes":40,"part":16,"done":[99,0,0]}"#,
        r#"{"bytes":41,"part":16,"done":[16,0,0]}"#,
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("m/a")).unwrap();
        fs::write(dir.path().join("m/a/.x.bin.state"), state).unwrap();
        fs::write(dir.path().join("m/a/.x.bin.part"), vec![0; 40]).unwrap();
        let host = Hosted::new(&[("https://x/f", &content(40))]);
        let plan = one_file("https://x/f", Some(40), None);
        Checkpoints::new(dir.path()).download(&host, &plan, transfer(), &Silent).await.unwrap();
        assert_eq!(fs::read(dir.path().join("m/a/x.bin")).unwrap(), content(40), "{state}");
    }
}

#[tokio::test]
async fn a_file_with_another_checksum_is_refused_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let host = Hosted::new(&[("https://x/f", &content(40))]);
    let plan = one_file("https://x/f", Some(40), Some("ab".repeat(32)));
    let error =
        Checkpoints::new(dir.path()).download(&host, &plan, transfer(), &Silent).await.unwrap_err();
    assert!(error.message.contains("is not the expected file"), "{error}");
    assert_eq!(names(&dir.path().join("m/a")), Vec::<String>::new());
}

#[tokio::test]
async fn hosts_without_ranges_or_sizes_work_too() {
    for (without_ranges, without_sizes) in [(true, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let host = Hosted {
            without_ranges,
            without_sizes,
            ..Hosted::new(&[("https://x/f", &content(12))])
        };
        let plan = one_file("https://x/f", None, None);
        Checkpoints::new(dir.path()).download(&host, &plan, transfer(), &Silent).await.unwrap();
        assert_eq!(fs::read(dir.path().join("m/a/x.bin")).unwrap(), content(12));
    }
}

#[tokio::test]
async fn a_model_that_does_not_fit_on_the_disk_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let host = Hosted::new(&[]);
    let plan = one_file("https://x/f", Some(u64::MAX / 4), None);
    let error =
        Checkpoints::new(dir.path()).download(&host, &plan, transfer(), &Silent).await.unwrap_err();
    assert!(error.message.contains("are needed in"), "{error}");
    assert_eq!(host.asked(), []);
}

#[tokio::test]
async fn a_refusal_is_explained_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path());
    let listing = |status| async move {
        let host = Hosted { status: Some(status), ..Hosted::default() };
        hugging_face(&host, "https://hf", model(), &[]).await.unwrap_err()
    };
    let licence = "accept the licence at https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct";
    let gated = listing(403).await;
    assert!(gated.message.ends_with(licence), "{gated}");
    assert_eq!(gated.kind, ErrorKind::Forbidden);
    assert!(listing(401).await.message.contains("`HF_TOKEN`"));
    assert!(listing(404).await.message.contains(licence));
    assert!(listing(500).await.message.contains("status 500"));
    let host = Hosted { status: Some(403), ..Hosted::default() };
    let plan = meta(model(), LINK).unwrap();
    let error = checkpoints.download(&host, &plan, transfer(), &Silent).await.unwrap_err();
    assert!(error.message.contains("https://www.llama.com/llama-downloads/"), "{error}");
    assert!(!error.message.contains("secret"), "{error}");
    assert_eq!(host.asked().len(), 3, "a refusal is final: {:?}", host.asked());
}

#[tokio::test]
async fn a_repository_is_fetched_without_what_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let weights = content(50);
    let listing = serde_json::json!([
        { "type": "directory", "path": "original" },
        { "type": "file", "path": "config.json", "size": 2, "oid": "x" },
        { "type": "file", "path": "model.safetensors", "size": 9, "lfs": { "oid": "y" } },
        { "type": "file", "path": "original/consolidated.00.pth", "size": 50,
          "lfs": { "oid": sum::<Sha256>(&weights) } },
    ]);
    let base = "https://hf";
    let repository = model().repository;
    let host = Hosted::new(&[
        (
            &format!("{base}/api/models/{repository}/tree/main?recursive=true"),
            listing.to_string().as_bytes(),
        ),
        (&format!("{base}/{repository}/resolve/main/config.json"), b"{}"),
        (&format!("{base}/{repository}/resolve/main/original/consolidated.00.pth"), &weights),
    ]);
    let ignored = ["*.safetensors".to_owned()];
    let plan = hugging_face(&host, "https://hf/", model(), &ignored).await.unwrap();
    let checkpoints = Checkpoints::new(dir.path());
    let folder = checkpoints.download(&host, &plan, transfer(), &Silent).await.unwrap();
    assert_eq!(names(&folder), ["checklist.sha256", "config.json", "original"]);
    let verified =
        |finding| vec![Checked { file: "original/consolidated.00.pth".to_owned(), finding }];
    assert_eq!(checkpoints.verify(MODEL, |_| {}).unwrap(), verified(Finding::Verified));
    fs::remove_file(folder.join("original/consolidated.00.pth")).unwrap();
    assert_eq!(checkpoints.verify(MODEL, |_| {}).unwrap(), verified(Finding::Missing));
    let all = ["*".to_owned()];
    let error = hugging_face(&host, base, model(), &all).await.unwrap_err();
    assert!(error.message.contains("`--ignore-patterns`"), "{error}");
}

#[tokio::test]
async fn a_listing_that_leads_out_of_the_folder_is_refused() {
    let listing = serde_json::json!([{ "type": "file", "path": "../../x", "size": 1 }]);
    let repository = model().repository;
    let url = format!("https://hf/api/models/{repository}/tree/main?recursive=true");
    for body in [listing.to_string(), "<html>".to_owned()] {
        let host = Hosted::new(&[(&url, body.as_bytes())]);
        assert!(hugging_face(&host, "https://hf", model(), &[]).await.is_err(), "{body}");
    }
}

#[tokio::test]
async fn two_downloads_of_a_model_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path());
    let host = published();
    let plan = meta(model(), LINK).unwrap();
    let (first, second) = tokio::join!(
        checkpoints.download(&host, &plan, transfer(), &Silent),
        checkpoints.download(&host, &plan, transfer(), &Silent)
    );
    assert_eq!(first.and(second).unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn progress_counts_the_bytes_of_all_files() {
    struct Counted(AtomicU64, Mutex<Vec<(String, Option<u64>)>>);
    impl Progress for Counted {
        fn step(&self, what: &str, total: Option<u64>) {
            self.1.lock().unwrap().push((what.to_owned(), total));
        }
        fn at(&self, bytes: u64) {
            self.0.fetch_max(bytes, Ordering::SeqCst);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let host = published();
    let total: usize = host.files.values().map(Vec::len).sum();
    let progress = Counted(AtomicU64::new(0), Mutex::default());
    let plan = meta(model(), LINK).unwrap();
    Checkpoints::new(dir.path()).download(&host, &plan, transfer(), &progress).await.unwrap();
    assert_eq!(progress.0.load(Ordering::SeqCst), total as u64);
    let steps = progress.1.lock().unwrap().clone();
    assert_eq!(steps, [(format!("fetching {MODEL} (4 files)"), Some(total as u64))]);
}

#[test]
fn a_changed_file_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path());
    let error = checkpoints.verify("x", |_| {}).unwrap_err().message;
    assert_eq!(error, format!("Model directory not found: {}", dir.path().join("x").display()));
    let folder = dir.path().join("x");
    fs::create_dir(&folder).unwrap();
    let error = checkpoints.verify("x", |_| {}).unwrap_err().message;
    assert!(error.starts_with("Checklist file not found: "), "{error}");
    fs::write(folder.join("a"), "one").unwrap();
    let (right, wrong) = (sum::<Md5>(b"one"), sum::<Md5>(b"two"));
    fs::write(folder.join("checklist.chk"), format!("{right}  ./a\n{wrong} *a\n{right}  b\n"))
        .unwrap();
    let findings: Vec<Finding> = checkpoints
        .verify("x", |_| {})
        .unwrap()
        .into_iter()
        .map(|checked| checked.finding)
        .collect();
    let mismatch = Finding::Mismatch { expected: wrong, got: right };
    assert_eq!(findings, [Finding::Verified, mismatch, Finding::Missing]);
    for list in ["", "x", "ab  ../../etc/passwd", "ab  /etc/passwd"] {
        fs::write(folder.join("checklist.chk"), list).unwrap();
        assert!(checkpoints.verify("x", |_| {}).is_err(), "{list}");
    }
}

#[test]
fn names_that_leave_the_folder_are_none() {
    let checkpoints = Checkpoints::new("/models");
    for name in ["..", "../x", "/etc", "", ".", "a/b", ".hidden"] {
        assert_eq!(checkpoints.folder(name), None, "{name}");
    }
    let variant = checkpoints.folder("Llama3.1-405B:bf16-mp8").unwrap();
    assert_eq!(variant, Path::new("/models/Llama3.1-405B-bf16-mp8"));
    assert_eq!(
        checkpoints.folder("meta-llama/Llama-3.2-1B-Instruct").unwrap(),
        Path::new("/models").join(MODEL)
    );
}

#[test]
fn a_manifest_is_read() {
    let text = r#"{"models":[{"model_id":"m","files":{"a":"https://x/a","b":"https://x/b"}}],"expires_on":"2030-01-01T00:00:00Z"}"#;
    let plans = Manifest::read(text).unwrap().plans().unwrap();
    assert_eq!((plans[0].name.as_str(), plans[0].files()), ("m", 2));
}
