//! The promises of [`KvStore`], as functions that every backend's tests call.

#![expect(clippy::unwrap_used, reason = "these are tests, shared between crates")]

use crate::{Change, KvStore};
use std::time::{Duration, SystemTime};

/// Everything a key-value backend promises, on fresh stores made by `make`.
pub async fn key_value<S: KvStore, F: Future<Output = S>>(make: impl Fn() -> F) {
    reads_what_was_written(&make().await).await;
    lists_a_half_open_range_in_byte_order(&make().await).await;
    honours_expiration(&make().await).await;
    applies_a_batch_in_order(&make().await).await;
    takes_any_text(&make().await).await;
    answers_many_at_once(&make().await).await;
}

async fn reads_what_was_written(store: &impl KvStore) {
    assert_eq!(store.get("a").await.unwrap(), None);
    store.set("a", "1", None).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().as_deref(), Some("1"));
    store.set("a", "2", None).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().as_deref(), Some("2"));
    store.delete("a").await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
    store.delete("a").await.unwrap();
}

async fn lists_a_half_open_range_in_byte_order(store: &impl KvStore) {
    for key in ["p:b", "p:a", "p:", "p;", "q", "p:Z", "p:é", "o"] {
        store.set(key, key, None).await.unwrap();
    }
    let listed = store.range("p:", "p;").await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["p:", "p:Z", "p:a", "p:b", "p:é"]);
    assert!(listed.iter().all(|(key, value)| key == value));
    assert_eq!(store.range("p:a", "p:a").await.unwrap(), []);
    assert_eq!(store.range("z", "a").await.unwrap(), []);
}

async fn honours_expiration(store: &impl KvStore) {
    let now = SystemTime::now();
    store.set("past", "x", Some(now - Duration::from_secs(1))).await.unwrap();
    store.set("future", "x", Some(now + Duration::from_hours(1))).await.unwrap();
    store.set("never", "x", None).await.unwrap();
    assert_eq!(store.get("past").await.unwrap(), None);
    assert!(store.get("future").await.unwrap().is_some());
    let listed = store.range("", "z").await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["future", "never"]);
    // A later write without expiration lifts it.
    store.set("past", "y", None).await.unwrap();
    assert_eq!(store.get("past").await.unwrap().as_deref(), Some("y"));
}

async fn applies_a_batch_in_order(store: &impl KvStore) {
    store
        .apply(vec![
            Change::set("a", "1"),
            Change::set("b", "1"),
            Change::delete("a"),
            Change::set("b", "2"),
        ])
        .await
        .unwrap();
    assert_eq!(store.range("", "z").await.unwrap(), [("b".to_owned(), "2".to_owned())]);
    store.apply(Vec::new()).await.unwrap();
}

async fn takes_any_text(store: &impl KvStore) {
    let value = "nul \u{0} quote ' \" emoji 🏃 ".repeat(1000);
    store.set("k'; DROP TABLE kvstore; --", &value, None).await.unwrap();
    assert_eq!(store.get("k'; DROP TABLE kvstore; --").await.unwrap().as_deref(), Some(&*value));
    store.set("", "", None).await.unwrap();
    assert_eq!(store.get("").await.unwrap().as_deref(), Some(""));
}

async fn answers_many_at_once(store: &impl KvStore) {
    let writes = (0..200).map(|number| async move {
        store.set(&format!("n{number:03}"), &number.to_string(), None).await.unwrap();
        assert_eq!(
            store.get(&format!("n{number:03}")).await.unwrap().as_deref(),
            Some(&*number.to_string())
        );
    });
    futures_util::future::join_all(writes).await;
    assert_eq!(store.range("n", "o").await.unwrap().len(), 200);
}
