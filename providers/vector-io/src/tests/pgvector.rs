//! What is particular about `PostgreSQL`, on the real one.

use super::{
    contract::{Store, all, by_id, database, registered},
    databases::{self, Database, PASSWORD, postgres},
    subjects::{deps_with, store, store_on},
};
use chaski_api::{ErrorKind, retrieval::Filter};
use chaski_provider::{Context, Selection, VectorQuery};
use chaski_testkit::{Certificate, within};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_postgres::Client;

/// Whether this machine has an address that the certificates of tests are not for.
const OTHER_ADDRESS: bool = cfg!(target_os = "linux");

/// The settings of a store on a server.
pub(super) fn settings(server: &Database) -> Value {
    json!({ "host": "127.0.0.1", "port": server.port, "password": PASSWORD, "pool_size": 4 })
}

/// The settings with some of them changed.
fn changed(server: &Database, changes: &Value) -> Value {
    let mut settings = settings(server);
    for (key, value) in changes.as_object().expect("an object") {
        settings[key] = value.clone();
    }
    settings
}

async fn administrator(server: &Database) -> Client {
    databases::administrator(server.port).await.expect("it is there")
}

async fn one_text(client: &Client, statement: &str) -> String {
    client.query_one(statement, &[]).await.expect("a row").get(0)
}

fn nearest() -> VectorQuery {
    VectorQuery::nearest(vec![1.0, 0.0, 0.0], 5)
}

#[tokio::test]
async fn a_restart_of_the_database_is_not_noticed() {
    let Some(mut server) = postgres().await else { return };
    let store = store("remote::pgvector", settings(&server)).await;
    let db = database(&store).await;
    let cx = Context::default();
    let query = nearest();
    // Several connections are open before it.
    let many = || futures_util::future::join_all((0..8).map(|_| store.query(&cx, &db, &query)));
    assert!(many().await.iter().all(Result::is_ok));
    server.stop().await;
    let error = store.query(&cx, &db, &query).await.expect_err("nobody is there");
    assert!(matches!(error.kind, ErrorKind::Unavailable { .. }), "{error:?}");
    assert!(error.message.contains("connection refused"), "{}", error.message);
    server.start_again().await;
    within("the database to take connections", async {
        while store.check().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for found in many().await {
        assert_eq!(found.expect("a query").len(), 3);
    }
    store.delete(&cx, &db, &Selection::document("one")).await.expect("chunks are removed");
    assert_eq!(all(&store, &db).await, ["c"]);
}

#[tokio::test]
async fn connections_that_the_database_ends_are_made_anew() {
    let Some(server) = postgres().await else { return };
    let store = store("remote::pgvector", settings(&server)).await;
    let db = database(&store).await;
    let administrator = administrator(&server).await;
    for _ in 0..3 {
        let ended = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity \
                     WHERE application_name = 'chaski'";
        assert_ne!(one_text(&administrator, ended).await, "0");
        assert_eq!(all(&store, &db).await, ["a", "b", "c"]);
    }
    // A database that was emptied behind the server's back is made anew too.
    administrator
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE EXTENSION vector")
        .await
        .expect("all is dropped");
    assert!(all(&store, &db).await.is_empty());
}

#[tokio::test]
async fn errors_say_which_setting_mends_them() {
    let Some(server) = postgres().await else { return };
    let administrator = administrator(&server).await;
    for statement in ["CREATE ROLE guest LOGIN PASSWORD 'guest'", "CREATE DATABASE bare"] {
        administrator.batch_execute(statement).await.expect("a role and a database");
    }
    let cases = [
        (json!({ "password": "secret-and-wrong" }), "set `password`", "127.0.0.1"),
        (json!({ "password": "" }), "set `password`", "127.0.0.1"),
        (json!({ "user": "nobody-known" }), "the user `nobody-known`", "127.0.0.1"),
        (json!({ "db": "nowhere" }), "has no database `nowhere`", "nowhere"),
        (json!({ "ssl_mode": "require" }), "set `ssl_mode`", "127.0.0.1"),
        (json!({ "host": "no-such-host.invalid" }), "`host`", "no-such-host.invalid"),
        (
            json!({ "db": "bare", "user": "guest", "password": "guest" }),
            "run `CREATE EXTENSION vector`",
            "`guest`",
        ),
    ];
    for (change, wanted, logged) in cases {
        let store = store("remote::pgvector", changed(&server, &change)).await;
        let error = store.check().await.expect_err("it cannot be used");
        assert!(matches!(error.kind, ErrorKind::Unavailable { .. }), "{change}: {error:?}");
        assert!(error.message.contains(wanted), "{change}: {}", error.message);
        // Where the database is stands in the log, and not in what callers see; secrets in none.
        assert!(!error.message.contains("127.0.0.1"), "{change}: {}", error.message);
        assert!(error.chain().contains(logged), "{change}: {}", error.chain());
        assert!(!error.chain().contains("secret-and-wrong"), "{change}: {}", error.chain());
    }
    // One who may read and not make tables.
    administrator.batch_execute("CREATE EXTENSION vector").await.expect("the extension");
    let guest = changed(&server, &json!({ "user": "guest", "password": "guest" }));
    let guest = store("remote::pgvector", guest).await;
    guest.check().await.expect("the extension is there");
    let error = registered(&guest).await.expect_err("no right to make tables");
    assert!(error.message.contains("grant it `CREATE`"), "{}", error.message);
    let odd = changed(&server, &json!({ "text_search": "klingon" }));
    let odd = store("remote::pgvector", odd).await;
    let db = registered(&odd).await.expect("a table");
    let chunks = vec![by_id("a", "text")];
    let error = odd.insert(&Context::default(), &db, chunks).await.expect_err("no such language");
    assert!(error.message.contains("klingon"), "{}", error.message);
}

/// The request for TLS, with which a connection begins.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Stands before a server that has no TLS, and answers with and without it. Says on which port, and
/// counts the connections with TLS.
async fn with_tls(server: &Database, certificate: &Certificate) -> (u16, Arc<AtomicUsize>) {
    let (acceptor, behind) = (certificate.acceptor(&[]), server.port);
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let count = Arc::new(AtomicUsize::new(0));
    let encrypted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (acceptor, encrypted) = (acceptor.clone(), Arc::clone(&encrypted));
            tokio::spawn(async move {
                let mut first = [0; TLS_REQUEST.len()];
                let mut server = TcpStream::connect(("127.0.0.1", behind)).await?;
                stream.read_exact(&mut first).await?;
                if first == TLS_REQUEST {
                    stream.write_all(b"S").await?;
                    let mut stream = acceptor.accept(stream).await?;
                    encrypted.fetch_add(1, Ordering::SeqCst);
                    copy_bidirectional(&mut stream, &mut server).await
                } else {
                    server.write_all(&first).await?;
                    copy_bidirectional(&mut stream, &mut server).await
                }
            });
        }
    });
    (port, count)
}

#[tokio::test]
async fn certificates_are_checked_where_that_is_asked_for() {
    let certificate = chaski_testkit::certificate();
    let Some(server) = postgres().await else { return };
    let (port, encrypted) = with_tls(&server, &certificate).await;
    let file = certificate.certificate_file.display().to_string();
    let mut cases = vec![
        (json!({ "ssl_mode": "disable" }), Ok(0)),
        (json!({ "ssl_mode": "prefer" }), Ok(1)),
        (json!({ "ssl_mode": "require" }), Ok(1)),
        (json!({ "ssl_mode": "verify-full", "ca_cert_path": file }), Ok(1)),
        (json!({ "ssl_mode": "verify-full" }), Err("set `ca_cert_path`")),
    ];
    if OTHER_ADDRESS {
        let other = json!({ "ssl_mode": "verify-full", "ca_cert_path": file, "host": "127.0.0.2" });
        cases.push((other, Err("set `ca_cert_path`")));
    }
    for (change, works) in cases {
        let mut settings = changed(&server, &change);
        settings["port"] = port.into();
        let before = encrypted.load(Ordering::SeqCst);
        let store = store("remote::pgvector", settings).await;
        match (store.check().await, works) {
            (Ok(()), Ok(count)) => {
                assert_eq!(encrypted.load(Ordering::SeqCst) - before, count, "{change}");
            }
            (Err(error), Err(wanted)) => {
                assert!(error.message.contains(wanted), "{change}: {}", error.message);
            }
            (outcome, _) => panic!("{change}: {outcome:?}"),
        }
    }
    let settings = changed(&server, &json!({ "ssl_mode": "verify-full", "ca_cert_path": "/none" }));
    let entry = crate::ALL.iter().find(|entry| entry.is("remote::pgvector")).expect("an entry");
    let built = (entry.build)(settings, deps_with(|_| {})).await;
    let error = built.err().expect("a file that is not there");
    assert!(error.message.contains("`/none`"), "{}", error.message);
}

#[tokio::test]
async fn tables_of_the_reference_are_taken_over() {
    let Some(server) = postgres().await else { return };
    let administrator = administrator(&server).await;
    administrator
        .batch_execute(
            "CREATE EXTENSION vector; \
             CREATE TABLE vector_store_my_docs \
             (id TEXT PRIMARY KEY, document JSONB, embedding vector(3)); \
             INSERT INTO vector_store_my_docs VALUES \
             ('one:chunk-0', '{\"content\": \"red apples\", \"metadata\": {\"document_id\": \"one\", \"n\": 1}}', \
             '[1,0,0]'), \
             ('two:chunk-0', '{\"content\": \"blue plums\", \"metadata\": {\"document_id\": \"two\"}}', '[0,1,0]')",
        )
        .await
        .expect("a table of the reference");
    let store = store("remote::pgvector", settings(&server)).await;
    let db = super::contract::named("my_docs", 3);
    store.on_register(db.clone()).await.expect("the table is taken over");
    let cx = Context::default();
    let mut query = nearest();
    let found = store.query(&cx, &db, &query).await.expect("a query");
    assert_eq!(found[0].chunk.id, "one:chunk-0");
    assert_eq!(found[0].chunk.metadata["n"], 1);
    query.filter = Some(Filter::eq("document_id", "two"));
    assert_eq!(store.query(&cx, &db, &query).await.expect("a query").len(), 1);
    let query = super::contract::by_words("apple", 5);
    let found = store.query(&cx, &db, &query).await.expect("a search for words");
    assert_eq!(found[0].chunk.id, "one:chunk-0");
    store.insert(&cx, &db, vec![by_id("new", "text")]).await.expect("an insert");
    assert_eq!(all(&store, &db).await, ["new", "one:chunk-0", "two:chunk-0"]);
}

#[tokio::test]
async fn an_insert_counts_as_a_whole_or_not_at_all() {
    let Some(server) = postgres().await else { return };
    let settings = changed(&server, &json!({ "hnsw_m": 5, "hnsw_ef_construction": 33 }));
    let store = store("remote::pgvector", settings).await;
    let db = registered(&store).await.expect("a table");
    let cx = Context::default();
    // The last one cannot be kept, and is not in the first of the statements.
    let mut chunks: Vec<_> =
        (0..600).map(|number| by_id(&format!("{number:03}"), "text")).collect();
    chunks.push(by_id("with \0", "text"));
    let error = store.insert(&cx, &db, chunks.clone()).await.expect_err("an id with a zero");
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "{}", error.chain());
    assert!(all(&store, &db).await.is_empty());
    chunks.pop();
    // Of two with the same id the later one counts; zeros elsewhere do no harm.
    let mut last = by_id("000", "zero \0 text");
    last.chunk.metadata.insert("key \0".to_owned(), "value \0".into());
    chunks.push(last.clone());
    store.insert(&cx, &db, chunks).await.expect("an insert");
    assert_eq!(all(&store, &db).await.len(), 600);
    let query = VectorQuery { filter: Some(Filter::eq("key \0", "value \0")), ..nearest() };
    let found = store.query(&cx, &db, &query).await.expect("a query");
    assert_eq!(found[0].chunk, last.chunk);
    let mut short = by_id("short", "text");
    short.vector.pop();
    let error = store.insert(&cx, &db, vec![short]).await.expect_err("a vector of another length");
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "{}", error.chain());
    let index = "SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'";
    let index = one_text(&administrator(&server).await, index).await;
    assert!(index.contains("m='5'") && index.contains("ef_construction='33'"), "{index}");
}

#[tokio::test]
async fn long_vectors_are_found_too() {
    let Some(server) = postgres().await else { return };
    let store = store("remote::pgvector", settings(&server)).await;
    for length in [2000_usize, 2001, 4000, 4001] {
        let db = super::contract::named(&format!("long_{length}"), i64::try_from(length).unwrap());
        store.on_register(db.clone()).await.unwrap_or_else(|error| panic!("{}", error.chain()));
        let unit = |place: usize| {
            let mut vector = vec![0.0; length];
            vector[place] = 1.0;
            vector
        };
        let one = |id: &str, place| chaski_provider::EmbeddedChunk {
            vector: unit(place),
            ..by_id(id, "text")
        };
        let chunks = vec![one("first", 0), one("last", length - 1)];
        store.insert(&Context::default(), &db, chunks).await.expect("an insert");
        let query = VectorQuery::nearest(unit(length - 1), 1);
        let found = store.query(&Context::default(), &db, &query).await.expect("a query");
        assert_eq!(found[0].chunk.id, "last");
        assert!((found[0].score - 1.0).abs() < 1e-3, "{}", found[0].score);
    }
}

#[tokio::test]
async fn nobody_waits_for_ever_and_nothing_goes_on_that_nobody_waits_for() {
    let Some(server) = postgres().await else { return };
    let deps = deps_with(|options| options.waiting_timeout = Duration::from_millis(50));
    let settings = changed(&server, &json!({ "pool_size": 1 }));
    let store: Store = store_on("remote::pgvector", settings, deps).await;
    let db = database(&store).await;
    let administrator = administrator(&server).await;
    let lock = "DO $$ DECLARE t text; BEGIN SELECT tablename INTO t FROM pg_tables WHERE tablename \
                LIKE 'vector_store_%'; EXECUTE format('LOCK TABLE %I', t); END $$";
    administrator.batch_execute("BEGIN").await.expect("a transaction");
    administrator.batch_execute(lock).await.expect("the table is locked");
    let soon = || Context {
        deadline: Some(Instant::now() + Duration::from_millis(200)),
        ..Context::default()
    };
    let error = store.query(&soon(), &db, &nearest()).await.expect_err("the table is locked");
    assert_eq!(error.kind, ErrorKind::Timeout, "{}", error.chain());
    // The only connection is in use.
    let (later, query) = (Context::default(), nearest());
    let mut waiting = Box::pin(store.query(&later, &db, &query));
    tokio::select! {
        // The first one is asked first, so that it has the connection.
        biased;
        outcome = &mut waiting => panic!("the table is locked: {outcome:?}"),
        error = store.query(&later, &db, &query) => {
            let error = error.expect_err("no connection is free");
            assert!(error.message.contains("`pool_size`"), "{}", error.message);
        }
    }
    drop(waiting);
    // A transaction sees the statements of others as they were when it looked first.
    let observer = self::administrator(&server).await;
    let active = "SELECT count(*)::text FROM pg_stat_activity \
                  WHERE application_name = 'chaski' AND state = 'active'";
    within("the statements to be cancelled", async {
        while one_text(&observer, active).await != "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    administrator.batch_execute("COMMIT").await.expect("the lock is released");
    assert_eq!(all(&store, &db).await, ["a", "b", "c"]);
}
