//! The viewer, scripted as its documentation describes it.

use super::{HuggingFace, HuggingFaceConfig};
use chaski_api::{ErrorKind, Result, Wire, datasets::Dataset};
use chaski_provider::{
    Context, Cpu, DatasetIoProvider, Declarer, Deps, Documents, Environment, Provider, Routers,
    RowRange, Tasks,
};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use chaski_upstream::{Http, HttpOptions, Url};
use serde_json::{Value, json};
use std::{collections::HashMap, path::PathBuf, sync::Arc};

/// How many rows the split `train` has.
const ROWS: usize = 250;

fn parameters(seen: &Seen) -> HashMap<String, String> {
    let url = Url::parse(&format!("http://viewer{}", seen.path)).unwrap();
    url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

fn viewer(seen: &Seen) -> Answer {
    let asked = parameters(seen);
    let dataset = asked["dataset"].as_str();
    if dataset == "o/none" {
        let error = json!({ "error": "The dataset does not exist, or is not accessible." });
        return Answer::json(error).status(404);
    }
    if seen.path.starts_with("/api/splits?") {
        let part = |config: &str, split: &str| json!({ "dataset": dataset, "config": config, "split": split });
        let splits = match dataset {
            "o/many" => vec![part("en", "train"), part("de", "train"), part("de", "test")],
            "o/usual" => vec![part("other", "train"), part("default", "train")],
            _ => vec![part("default", "train")],
        };
        return Answer::json(json!({ "splits": splits, "pending": [], "failed": [] }));
    }
    assert!(seen.path.starts_with("/api/rows?"), "{}", seen.path);
    let number = |key: &str| asked[key].parse::<usize>().unwrap();
    let (offset, length) = (number("offset"), number("length"));
    if length > 100 || length == 0 {
        return Answer::json(json!({ "error": "Parameter 'length' is wrong" })).status(422);
    }
    let cut = if dataset == "o/cut" { json!(["text"]) } else { json!([]) };
    let rows = (offset..ROWS.min(offset + length)).map(|index| {
        let row = json!({ "n": index, "of": format!("{}/{}", asked["config"], asked["split"]) });
        json!({ "row_idx": index, "row": row, "truncated_cells": cut })
    });
    Answer::json(json!({
        "features": [], "rows": rows.collect::<Vec<_>>(), "num_rows_total": ROWS,
        "num_rows_per_page": 100, "partial": false,
    }))
}

async fn provider(viewer: &FakeUpstream, token: Option<&str>) -> Arc<dyn DatasetIoProvider> {
    let url = format!("{}/api/", viewer.url());
    let config = json!({ "url": url, "api_token": token, "kvstore": { "type": "sqlite" } });
    let deps = Deps {
        http: Http::new(HttpOptions::default()).unwrap(),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: Cpu::new(1),
        documents: Documents::in_process(),
        environment: Environment::default(),
        tasks: Tasks::default(),
        routers: Routers::default(),
    };
    HuggingFace::build(HuggingFaceConfig::from_json(config).unwrap(), deps).await.unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "so that the tests can write literals")]
fn dataset(source: Value) -> Dataset {
    Dataset::from_json(json!({
        "identifier": "d", "provider_resource_id": "d", "provider_id": "huggingface",
        "purpose": "eval/messages-answer", "source": source,
    }))
    .unwrap()
}

/// The numbers of the rows, what else they say, and where the next ones begin.
async fn read(
    provider: &Arc<dyn DatasetIoProvider>,
    uri: &str,
    start: usize,
    limit: Option<usize>,
) -> Result<(Vec<usize>, String, Option<i64>)> {
    let dataset = dataset(json!({ "uri": uri }));
    let range = RowRange { start, limit };
    let part = provider.rows(&Context::default(), &dataset, Declarer::Request, range).await?;
    let number = |row: &Value| usize::try_from(row["n"].as_u64().unwrap()).unwrap();
    let rows: Vec<Value> = part.data.into_iter().map(Value::Object).collect();
    let of = rows.first().map_or("", |row| row["of"].as_str().unwrap()).to_owned();
    Ok((rows.iter().map(number).collect(), of, part.next_start_index))
}

#[tokio::test]
async fn rows_come_a_hundred_at_one_time_in_the_parts_that_are_asked_for() {
    let upstream = FakeUpstream::start(viewer).await;
    let provider = provider(&upstream, None).await;
    let uri = "huggingface://datasets/o/n?split=train&name=main";
    let of = || "main/train".to_owned();
    for (start, limit, wanted, next) in [
        (0, None, 0..ROWS, None),
        (0, Some(3), 0..3, Some(3)),
        (240, Some(10), 240..250, None),
        (90, Some(120), 90..210, Some(210)),
    ] {
        let found = read(&provider, uri, start, limit).await.unwrap();
        assert_eq!(found, (wanted.collect(), of(), next), "{start} {limit:?}");
    }
    assert_eq!(upstream.requests().len(), 3 + 1 + 1 + 2, "the parts of a named dataset are known");
    for (start, limit, next) in [(999, None, None), (7, Some(0), Some(7)), (999, Some(0), None)] {
        let found = read(&provider, uri, start, limit).await.unwrap();
        assert_eq!(found, (Vec::new(), String::new(), next), "{start} {limit:?}");
    }
}

#[tokio::test]
async fn what_is_not_named_is_found_where_it_is_clear() {
    let upstream = FakeUpstream::start(viewer).await;
    let provider = provider(&upstream, None).await;
    for (uri, of) in [
        ("huggingface://datasets/o/n", "default/train"),
        ("huggingface://datasets/o/n?split=test", "default/test"),
        ("huggingface://datasets/o/usual", "default/train"),
        ("huggingface://datasets/o/many?name=en", "en/train"),
    ] {
        let (_, found, _) = read(&provider, uri, 0, Some(1)).await.unwrap();
        assert_eq!(found, of, "{uri}");
    }
    for (uri, words) in [
        ("huggingface://datasets/o/many", "as `?name=`: `en`, `de`"),
        ("huggingface://datasets/o/many?name=de", "as `?split=`: `train`, `test`"),
    ] {
        let error = read(&provider, uri, 0, Some(1)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.ends_with(words), "{error}");
    }
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let upstream = FakeUpstream::start(viewer).await;
    let with = provider(&upstream, Some("hf_secret")).await;
    read(&with, "huggingface://datasets/o/n?split=train&name=a", 0, Some(1)).await.unwrap();
    assert_eq!(upstream.requests()[0].header("authorization"), "Bearer hf_secret");
    let error = read(&with, "huggingface://datasets/o/none", 0, None).await.unwrap_err();
    assert!(!error.chain().contains("hf_secret"), "{}", error.chain());
    let without = provider(&upstream, Some("")).await;
    read(&without, "huggingface://datasets/o/n?split=train&name=a", 0, Some(1)).await.unwrap();
    assert_eq!(upstream.requests().last().unwrap().header("authorization"), "");
}

#[tokio::test]
async fn what_goes_wrong_is_named() {
    let upstream = FakeUpstream::start(viewer).await;
    let provider_of_viewer = provider(&upstream, None).await;
    let error =
        read(&provider_of_viewer, "huggingface://datasets/o/none", 0, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.starts_with("the rows of dataset `d` cannot be read: "), "{error}");
    assert!(error.message.contains("does not exist"), "{error}");
    let error =
        read(&provider_of_viewer, "huggingface://o/cut?split=a&name=b", 0, None).await.unwrap_err();
    assert!(error.message.contains("cuts `text` of row 0 short"), "{error}");
    let odd = FakeUpstream::answering(Answer::text("<html>")).await;
    let provider_of_odd = provider(&odd, None).await;
    let error =
        read(&provider_of_odd, "huggingface://o/n?split=a&name=b", 0, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: None });
    let failing = FakeUpstream::answering(Answer::text("down").status(500)).await;
    let provider_of_failing = provider(&failing, None).await;
    let error =
        read(&provider_of_failing, "huggingface://o/n?split=a&name=b", 0, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(500) });
}

#[tokio::test]
async fn only_datasets_of_the_hub_are_taken_and_nothing_is_appended() {
    let upstream = FakeUpstream::start(viewer).await;
    let provider = provider(&upstream, None).await;
    let named = dataset(json!({ "uri": "huggingface://datasets/o/n?split=train" }));
    assert_eq!(provider.on_register(named.clone()).await.unwrap(), named);
    for source in [json!({ "rows": [] }), json!({ "uri": "https://x/y.csv" })] {
        let error = provider.on_register(dataset(source)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.contains("`huggingface://datasets/ORGANISATION/NAME"), "{error}");
    }
    let error = provider.append(&Context::default(), &named, Vec::new()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(upstream.requests().len(), 0);
}
