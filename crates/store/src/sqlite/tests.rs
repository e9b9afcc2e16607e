use super::{Sqlite, timestamp};
use crate::{Change, KvStore, contract};
use rusqlite::{Connection, StatementStatus};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, UNIX_EPOCH},
};

#[tokio::test]
async fn sqlite_in_a_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    contract::key_value(|| async {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Sqlite::open(folder.path().join(format!("{number}.db"))).unwrap()
    })
    .await;
}

#[tokio::test]
async fn sqlite_in_memory_keeps_the_contract() {
    contract::key_value(|| async { Sqlite::open(":memory:").unwrap() }).await;
}

#[tokio::test]
async fn a_file_of_the_reference_opens_and_parent_folders_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deep/registry.db");
    drop(Sqlite::open(&path).unwrap());

    let other = Connection::open(&path).unwrap();
    other
        .execute("INSERT INTO kvstore (key, value, expiration) VALUES ('k', 'v', NULL)", [])
        .unwrap();
    let past = "2001-01-01 00:00:00+00:00";
    other
        .execute("INSERT INTO kvstore VALUES ('old', 'v', ?1), ('none', NULL, NULL)", [past])
        .unwrap();
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.get("k").await.unwrap().as_deref(), Some("v"));
    assert_eq!(store.get("old").await.unwrap(), None);
    assert_eq!(store.get("none").await.unwrap(), None);

    store.set("ours", "v", None).await.unwrap();
    let read: String = other
        .query_row("SELECT value FROM kvstore WHERE key = 'ours'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(read, "v");
}

#[test]
fn a_statement_is_prepared_once_for_all_limits() {
    let connection = super::connect(Path::new(":memory:")).unwrap();
    connection
        .execute_batch("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2), (3)")
        .unwrap();
    let mut statement = connection.prepare("SELECT n FROM t ORDER BY n LIMIT ? OFFSET ?").unwrap();
    for (limit, offset, found) in [(1, 0, 1), (2, 1, 2), (3, 2, 1)] {
        let rows = statement.query_map([limit, offset], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(rows.count(), found);
    }
    assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
}

#[tokio::test]
async fn two_processes_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let (one, two) = (Sqlite::open(&path).unwrap(), Sqlite::open(&path).unwrap());
    for round in 0..20 {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (first, second) = tokio::join!(one.set(&a, "1", None), two.set(&b, "2", None));
        first.unwrap();
        second.unwrap();
    }
    assert_eq!(one.range("", "z").await.unwrap().len(), 40);
    assert_eq!(two.range("", "z").await.unwrap().len(), 40);
}

#[test]
fn what_is_no_database_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is not a database, but long enough to be taken for one".repeat(20))
        .unwrap();
    let error = Sqlite::open(&path).err().unwrap();
    assert!(error.to_string().starts_with("cannot open the store `"), "{error}");
    assert!(error.to_string().contains("text.db"), "{error}");
    assert!(Sqlite::open(folder.path()).is_err());
}

#[test]
fn times_are_written_as_the_reference_writes_them() {
    let at =
        |seconds: u64, micros: u32| timestamp(UNIX_EPOCH + Duration::new(seconds, micros * 1000));
    assert_eq!(at(0, 0), "1970-01-01 00:00:00.000000");
    assert_eq!(at(951_782_400, 1), "2000-02-29 00:00:00.000001");
    assert_eq!(at(1_742_256_000 + 86_399, 999_999), "2025-03-18 23:59:59.999999");
}

const FILE: &str = "CHASKI_STORE_TEST_FILE";

/// The child of the next test: writes batches without end and says which are acknowledged.
#[test]
fn writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "tells the child from an ordinary test run")]
    let Ok(path) = std::env::var(FILE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(path).unwrap();
        for number in 0.. {
            let changes = vec![
                Change::set(format!("a:{number}"), "x".repeat(2000)),
                Change::set(format!("b:{number}"), "x".repeat(2000)),
            ];
            store.apply(changes).await.unwrap();
            println!("\nwritten {number}");
        }
    });
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("killed.db");
    for least in [5, 30] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::tests::writes_until_it_is_killed", "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        for line in lines {
            let line = line.unwrap();
            if let Some(number) = line.strip_prefix("written ") {
                acknowledged = number.parse().unwrap();
                if acknowledged == least {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(acknowledged >= least);

        let store = Sqlite::open(&path).unwrap();
        let keys = |entries: Vec<(String, String)>| -> Vec<String> {
            entries.into_iter().map(|(key, _)| key[2..].to_owned()).collect()
        };
        let first = keys(store.range("a:", "a;").await.unwrap());
        let second = keys(store.range("b:", "b;").await.unwrap());
        assert_eq!(first, second, "a batch is there as a whole or not at all");
        for number in 0..=acknowledged {
            assert!(first.contains(&number.to_string()), "{number} of {acknowledged}");
        }
        // The second round starts from an empty file.
        let changes = first.iter().flat_map(|number| {
            [Change::delete(format!("a:{number}")), Change::delete(format!("b:{number}"))]
        });
        store.apply(changes.collect()).await.unwrap();
    }
}
