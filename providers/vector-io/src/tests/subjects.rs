//! Which stores the contract suite is held against.

use super::{
    contract::{Store, broken_promises},
    databases, fake_chroma, fake_qdrant, fake_weaviate,
};
use crate::ALL;
use chaski_api::ErrorKind;
use chaski_provider::{Deps, Environment, Routers, Tasks};
use chaski_upstream::{Http, HttpOptions};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use std::{any::Any, path::PathBuf};

/// What a store runs on as long as it is held.
pub(super) type Held = Box<dyn Any + Send>;

/// Starts what a store runs on, and says with which settings; nothing where it is not installed.
type Start = fn() -> BoxFuture<'static, Option<(Value, Held)>>;

/// A way to run a store.
struct Subject {
    provider_type: &'static str,
    /// What it runs on.
    on: &'static str,
    start: Start,
}

const SUBJECTS: &[Subject] = &[
    Subject {
        provider_type: "inline::index",
        on: "a folder",
        start: || {
            async {
                let folder = tempfile::tempdir().expect("a folder");
                Some((json!({ "path": folder.path() }), Box::new(folder) as Held))
            }
            .boxed()
        },
    },
    Subject {
        provider_type: "inline::faiss",
        on: "a folder",
        start: || {
            async {
                let folder = tempfile::tempdir().expect("a folder");
                let kvstore = json!({ "db_path": folder.path().join("faiss_store.db") });
                Some((json!({ "kvstore": kvstore }), Box::new(folder) as Held))
            }
            .boxed()
        },
    },
    Subject {
        provider_type: "remote::chromadb",
        on: "a script",
        start: || {
            async {
                let server = fake_chroma::start().await;
                Some((json!({ "url": server.url() }), Box::new(server) as Held))
            }
            .boxed()
        },
    },
    Subject {
        provider_type: "remote::chromadb",
        on: "Chroma",
        start: || {
            async {
                let server = databases::chroma().await?;
                let url = format!("http://127.0.0.1:{}", server.port);
                Some((json!({ "url": url }), Box::new(server) as Held))
            }
            .boxed()
        },
    },
    Subject {
        provider_type: "remote::pgvector",
        on: "PostgreSQL",
        start: || {
            async {
                let server = databases::postgres().await?;
                Some((super::pgvector::settings(&server), Box::new(server) as Held))
            }
            .boxed()
        },
    },
    Subject {
        provider_type: "remote::milvus",
        on: "Milvus Lite",
        start: || {
            async {
                let server = databases::milvus().await?;
                let uri = format!("http://127.0.0.1:{}", server.port);
                Some((json!({ "uri": uri }), Box::new(server) as Held))
            }
            .boxed()
        },
    },
    Subject {
        provider_type: "remote::qdrant",
        on: "a script",
        start: || {
            async {
                let server = fake_qdrant::start().await;
                Some((json!({ "url": server.url() }), Box::new(server) as Held))
            }
            .boxed()
        },
    },
    Subject {
        provider_type: "remote::weaviate",
        on: "a script",
        start: || {
            async {
                let server = fake_weaviate::start().await;
                Some((json!({ "url": server.url() }), Box::new(server) as Held))
            }
            .boxed()
        },
    },
];

pub(super) fn deps() -> Deps {
    deps_with(|_| {})
}

/// The same with other limits.
pub(super) fn deps_with(adjust: impl FnOnce(&mut HttpOptions)) -> Deps {
    // What is repeated is not what is promised here, and pauses take time.
    let mut options = HttpOptions { retries: 0, ..HttpOptions::default() };
    adjust(&mut options);
    Deps {
        http: Http::new(options).expect("a client"),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: chaski_provider::Cpu::new(1),
        documents: chaski_provider::Documents::in_process(),
        environment: Environment::default(),
        tasks: Tasks::default(),
        routers: Routers::default(),
    }
}

/// The store of the table with these settings.
pub(super) async fn store(provider_type: &str, config: Value) -> Store {
    store_on(provider_type, config, deps()).await
}

pub(super) async fn store_on(provider_type: &str, config: Value, deps: Deps) -> Store {
    let entry = ALL.iter().find(|entry| entry.is(provider_type));
    let entry = entry.expect("subjects are entries of the table");
    assert_eq!((entry.check)(config.clone()), [], "the settings of {provider_type}");
    (entry.build)(config, deps).await.expect("the store starts")
}

#[tokio::test]
async fn every_store_keeps_its_promises() {
    let mut broken = Vec::new();
    for subject in SUBJECTS {
        let name = format!("{} on {}", subject.provider_type, subject.on);
        let Some((config, held)) = (subject.start)().await else {
            println!("skipped: {name}: set CHASKI_TEST_DATABASES; see CONTRIBUTING.md");
            continue;
        };
        let store = store(subject.provider_type, config).await;
        store.check().await.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
        broken.extend(broken_promises(&name, &store).await);
        store.shutdown().await;
        drop(held);
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_store_is_a_subject() {
    for entry in ALL {
        let name = entry.spec.provider_type;
        let found = SUBJECTS.iter().any(|subject| subject.provider_type == name);
        assert!(found, "`{name}` is not held against the contract");
    }
}

#[tokio::test]
async fn a_store_that_is_not_there_is_unavailable() {
    for entry in ALL.iter().filter(|entry| entry.spec.provider_type.starts_with("remote::")) {
        let name = entry.spec.provider_type;
        let url = "http://127.0.0.1:9";
        let nowhere = json!({ "url": url, "uri": url, "host": "127.0.0.1", "port": 9 });
        let store = store(name, nowhere).await;
        let error = store.check().await.expect_err("nobody is there");
        assert!(matches!(error.kind, ErrorKind::Unavailable { .. }), "{name}: {error:?}");
        assert!(!error.message.contains("127.0.0.1"), "{name}: {}", error.message);
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let problems = |provider_type: &str, config: Value| -> Vec<String> {
        let entry = ALL.iter().find(|entry| entry.is(provider_type)).expect("an entry");
        (entry.check)(config).iter().map(ToString::to_string).collect()
    };
    assert_eq!(problems("remote::chromadb", json!({})), ["url: Field required"]);
    assert_eq!(
        problems("remote::qdrant", json!({})),
        ["url: one of `url`, `location` and `host` is needed"]
    );
    assert_eq!(problems("remote::qdrant", json!({ "host": "h", "port": 0 })).len(), 1);
    assert_eq!(problems("remote::milvus", json!({})), ["uri: Field required"]);
    assert_eq!(problems("remote::pgvector", json!({})), [""; 0]);
    let odd = json!({ "host": "", "port": 0, "ssl_mode": "maybe", "pool_size": 0 });
    assert_eq!(problems("remote::pgvector", odd).len(), 3);
}

#[tokio::test]
async fn the_stores_of_the_reference_in_the_process_start_with_their_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let store = json!({ "type": "sqlite", "namespace": null, "db_path": at("faiss_store.db") });
    for (name, config, made) in [
        ("inline::faiss", json!({ "kvstore": store }), "faiss_store.db.index"),
        ("inline::meta-reference", json!({ "kvstore": store }), "faiss_store.db.index"),
        ("inline::sqlite-vec", json!({ "db_path": at("vec.db") }), "vec.db.index"),
        ("inline::sqlite_vec", json!({ "db_path": at("vec.db") }), "vec.db.index"),
        ("inline::chromadb", json!({ "db_path": at("chroma") }), "chroma.index"),
        ("inline::qdrant", json!({ "path": at("qdrant") }), "qdrant.index"),
        ("inline::milvus", json!({ "db_path": at("milvus.db") }), "milvus.db.index"),
    ] {
        let store = super::subjects::store(name, config).await;
        store.check().await.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
        assert!(folder.path().join(made).is_dir(), "{name}");
    }
}

#[tokio::test]
async fn files_of_others_stay_when_a_database_is_unregistered() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |path: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders are made");
        std::fs::write(&path, "theirs").expect("a file is written");
        path
    };
    let of_qdrant = file("qd/collection/docs/storage.sqlite");
    let among_ours = file("own/collection/notes.txt");
    let unfinished = file("own/empty/notes.txt");
    for (name, path) in [("inline::qdrant", "qd"), ("inline::index", "own")] {
        let store = store(name, json!({ "path": folder.path().join(path) })).await;
        let db = super::contract::named("collection", 3);
        let db = store.on_register(db).await.expect("it is made");
        store.on_unregister(&db).await.expect("it is removed");
        // One that was never made.
        store.on_unregister(&super::contract::named("empty", 3)).await.expect("nothing to do");
    }
    for path in [of_qdrant, among_ours, unfinished] {
        assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some("theirs"), "{path:?}");
    }
    assert!(!folder.path().join("qd.index/collection").exists(), "what is ours is gone");
}

#[tokio::test]
async fn chunks_in_the_process_are_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = json!({ "path": folder.path() });
    let first = store("inline::index", config.clone()).await;
    let db = super::contract::database(&first).await;
    first.shutdown().await;
    drop(first);
    let second = store("inline::index", config).await;
    assert_eq!(super::contract::all(&second, &db).await, ["a", "b", "c"]);
}
