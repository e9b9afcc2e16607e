//! What is appended, and when it goes.

use super::{Kept, dataset, numbered};
use chaski_api::ErrorKind;
use chaski_provider::{Declarer, Hosts};
use serde_json::{Value, json};
use std::sync::Arc;

async fn numbers(kept: &Kept, dataset: &chaski_api::datasets::Dataset) -> Vec<i64> {
    let rows = kept.all(dataset, Declarer::Request).await.unwrap();
    let mut numbers: Vec<i64> =
        rows.as_array().unwrap().iter().map(|row| row["n"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_appended_at_the_same_time_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Arc::new(Kept::in_folder(folder.path()));
    let dataset = kept.register(json!({ "rows": [] })).await;
    let appending = (0..40_i64).map(|index| {
        let (kept, dataset) = (Arc::clone(&kept), dataset.clone());
        let rows = numbered(index * 5..index * 5 + 5);
        tokio::spawn(async move { kept.append(&dataset, &rows).await })
    });
    for done in appending.collect::<Vec<_>>() {
        done.await.unwrap().unwrap();
    }
    assert_eq!(numbers(&kept, &dataset).await, (0..200).collect::<Vec<_>>());
    drop(kept);
    let again = Kept::in_folder(folder.path());
    assert_eq!(numbers(&again, &dataset).await.len(), 200, "they outlive the provider");
}

#[tokio::test]
async fn rows_that_were_appended_go_with_the_dataset_and_with_its_source() {
    let kept = Kept::new();
    let first = kept.register(json!({ "rows": [] })).await;
    kept.append(&first, &numbered(0..2)).await.unwrap();
    kept.register(json!({ "rows": [] })).await;
    assert_eq!(numbers(&kept, &first).await, [0, 1], "the same source changes nothing");
    let other = kept.register(json!({ "rows": numbered(7..8) })).await;
    assert_eq!(numbers(&kept, &other).await, [7]);
    kept.append(&other, &numbered(8..9)).await.unwrap();
    kept.0.on_unregister(&other).await.unwrap();
    kept.0.on_unregister(&other).await.unwrap();
    let again = kept.register(json!({ "rows": numbered(7..8) })).await;
    assert_eq!(numbers(&kept, &again).await, [7]);
}

#[tokio::test]
async fn datasets_that_others_have_registered_get_rows_too() {
    let kept = Kept::new();
    let unseen = dataset("d", json!({ "rows": numbered(0..1) }));
    assert_eq!(numbers(&kept, &unseen).await, [0]);
    kept.append(&unseen, &numbered(1..2)).await.unwrap();
    assert_eq!(numbers(&kept, &unseen).await, [0, 1]);
    let other = dataset("other", json!({ "rows": [] }));
    assert_eq!(numbers(&kept, &other).await, Vec::<i64>::new());
}

#[tokio::test]
async fn many_registrations_at_the_same_time_are_one() {
    let kept = Arc::new(Kept::new());
    let registering = (0..20).map(|index| {
        let kept = Arc::clone(&kept);
        tokio::spawn(async move { kept.register(json!({ "rows": numbered(0..index % 2) })).await })
    });
    for done in registering.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    let dataset = kept.register(json!({ "rows": [] })).await;
    kept.append(&dataset, &numbered(0..1)).await.unwrap();
    assert_eq!(numbers(&kept, &dataset).await, [0]);
}

#[tokio::test]
async fn any_json_comes_back_as_it_was_and_nothing_is_no_problem() {
    let kept = Kept::new();
    let dataset = kept.register(json!({ "rows": [] })).await;
    let rows = json!([
        { "b": 1, "a": [null, { "c": "\u{0}é\n" }], "": 1.5 },
        { "whole": 9_007_199_254_740_993_i64, "float": 2.0 },
        {},
    ]);
    kept.append(&dataset, &rows).await.unwrap();
    kept.append(&dataset, &json!([])).await.unwrap();
    let read = kept.all(&dataset, Declarer::Request).await.unwrap();
    assert_eq!(read.to_string(), rows.to_string());
}

#[tokio::test]
async fn rows_for_a_dataset_that_is_gone_are_a_conflict() {
    let kept = Kept::new();
    let dataset = kept.register(json!({ "rows": [] })).await;
    let appendix = &kept.0.appendix;
    appendix.unregister(&dataset.identifier).await.unwrap();
    let error = appendix.append("d", vec![serde_json::Map::new()]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(
        kept.all(&dataset, Declarer::Request).await.unwrap(),
        Value::from(Vec::<Value>::new())
    );
}
