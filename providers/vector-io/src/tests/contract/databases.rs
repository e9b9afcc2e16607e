//! Promises about databases.

use super::{Store, all, chunk, cx, fresh, fresh_name, named, nearest, three};
use chaski_api::ErrorKind;
use serde_json::json;

pub(super) async fn again(store: Store) {
    let db = fresh(&store).await;
    store.insert(&cx(), &db, three()).await.expect("an insert");
    store.on_register(db.clone()).await.expect("the same database");
    assert_eq!(all(&store, &db).await, ["a", "b", "c"]);
}

pub(super) async fn other_length(store: Store) {
    let db = fresh(&store).await;
    store.insert(&cx(), &db, three()).await.expect("an insert");
    let error = store.on_register(named(&db.identifier, 4)).await.expect_err("other vectors");
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.message.contains(&db.identifier), "{}", error.message);
    assert_eq!(all(&store, &db).await, ["a", "b", "c"]);
}

pub(super) async fn dropped(store: Store) {
    let db = fresh(&store).await;
    let found = store.query(&cx(), &db, &nearest([1.0, 0.0, 0.0], 3)).await;
    assert_eq!(found.expect("a query of an empty database"), []);
    store.insert(&cx(), &db, three()).await.expect("an insert");
    store.on_unregister(&db).await.expect("the database is dropped");
    store.on_unregister(&db).await.expect("a database that is not there");
    // Another length of vectors is no conflict any more.
    let db = store.on_register(named(&db.identifier, 2)).await.expect("a new database");
    assert!(all(&store, &db).await.is_empty());
    store.on_unregister(&named(&fresh_name(), 3)).await.expect("one that never was");
}

pub(super) async fn names(store: Store) {
    let base = fresh_name();
    let long = format!("{base}{}", "x".repeat(300));
    let names: Vec<String> =
        ["-x", "_x", "/x", "\"x", "'x", "; drop table x", " \u{e9}", ".x", "%"]
            .iter()
            .map(|end| format!("{base}{end}"))
            .chain([long, format!("{}X", base.to_uppercase()), format!("{base}x")])
            .collect();
    for name in &names {
        let db = store.on_register(named(name, 3)).await.unwrap_or_else(|error| {
            panic!("{name}: {}", error.chain());
        });
        let one = chunk(name, name, json!({ "document_id": name }), [1.0, 0.0, 0.0]);
        store.insert(&cx(), &db, vec![one]).await.expect("an insert");
    }
    for name in &names {
        let db = named(name, 3);
        assert_eq!(all(&store, &db).await, [name.as_str()]);
        store.on_unregister(&db).await.expect("the database is dropped");
    }
}
