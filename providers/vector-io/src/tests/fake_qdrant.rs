//! A server that speaks as much of Qdrant's REST API as the provider uses.
//!
//! The forms are those of Qdrant's own description of its API, version 1.13.

use super::fake::{Collection, Point, best, cosine, numbers, order};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

/// Starts it, with nothing in it.
pub(super) async fn start() -> FakeUpstream {
    let collections: Mutex<HashMap<String, Collection>> = Mutex::default();
    FakeUpstream::start(move |seen| {
        let mut collections = collections.lock().expect("no other test has failed in here");
        answer(seen, &mut collections)
    })
    .await
}

#[expect(clippy::needless_pass_by_value, reason = "what was just made is passed")]
fn done(result: Value) -> Answer {
    Answer::json(json!({ "result": result, "status": "ok", "time": 0.0001 }))
}

fn failed(status: u16, why: &str) -> Answer {
    Answer::json(json!({ "status": { "error": why }, "time": 0.0001 })).status(status)
}

fn answer(seen: &Seen, collections: &mut HashMap<String, Collection>) -> Answer {
    let path = seen.path.split('?').next().unwrap_or_default();
    let mut segments = path.trim_matches('/').split('/');
    assert_eq!(segments.next(), Some("collections"), "{path}");
    let Some(name) = segments.next() else { return done(json!({ "collections": [] })) };
    let rest: Vec<&str> = segments.collect();
    let body = if seen.body.is_empty() { Value::Null } else { seen.json() };
    match (seen.method.as_str(), rest.as_slice()) {
        ("PUT", []) if collections.contains_key(name) => {
            failed(409, &format!("Wrong input: Collection `{name}` already exists!"))
        }
        ("PUT", []) => {
            assert_eq!(body["vectors"]["distance"], "Cosine");
            assert_eq!(body["sparse_vectors"]["chaski-words"]["modifier"], "idf");
            let length = body["vectors"]["size"].as_u64().expect("a length");
            let length = usize::try_from(length).ok();
            collections.insert(name.to_owned(), Collection { length, ..Collection::default() });
            done(json!(true))
        }
        ("DELETE", []) => done(json!(collections.remove(name).is_some())),
        (method, rest) => {
            let Some(collection) = collections.get_mut(name) else {
                return failed(404, &format!("Not found: Collection `{name}` doesn't exist!"));
            };
            inside(method, rest, &body, collection)
        }
    }
}

fn inside(method: &str, rest: &[&str], body: &Value, collection: &mut Collection) -> Answer {
    match (method, rest) {
        ("GET", []) => {
            let vectors = json!({ "size": collection.length, "distance": "Cosine" });
            done(json!({ "status": "green", "config": { "params": { "vectors": vectors } } }))
        }
        ("PUT", ["index"]) => {
            assert_eq!(body["field_schema"], "keyword");
            done(json!({ "operation_id": 0, "status": "completed" }))
        }
        ("PUT", ["points"]) => insert(body, collection),
        ("POST", ["points", "delete"]) => {
            if let Some(ids) = body.get("points") {
                for id in ids.as_array().expect("a list") {
                    collection.points.remove(id.as_str().expect("an id"));
                }
            } else {
                collection.points.retain(|_, point| !holds(&body["filter"], &point.payload));
            }
            done(json!({ "operation_id": 2, "status": "completed" }))
        }
        ("POST", ["points", "query"]) => query(body, collection),
        ("POST", ["points", "scroll"]) => scroll(body, collection),
        _ => failed(404, ""),
    }
}

fn insert(body: &Value, collection: &mut Collection) -> Answer {
    for point in body["points"].as_array().expect("a list") {
        let vector = numbers(&point["vector"][""]);
        if Some(vector.len()) != collection.length {
            let why = format!(
                "Wrong input: Vector dimension error: expected dim: {:?}, got {}",
                collection.length,
                vector.len()
            );
            return failed(400, &why);
        }
        let words = &point["vector"]["chaski-words"];
        let list = |key: &str| words[key].as_array().expect("a list").clone();
        let sparse = list("indices").into_iter().zip(list("values")).map(|(index, value)| {
            (index.as_u64().expect("a number"), value.as_f64().expect("a number"))
        });
        let kept = Point {
            vector,
            sparse: sparse.collect(),
            payload: point["payload"].as_object().expect("an object").clone(),
        };
        let id = point["id"].as_str().expect("an id");
        assert!(id.parse::<uuid::Uuid>().is_ok(), "Qdrant takes UUIDs: {id}");
        collection.points.insert(id.to_owned(), kept);
    }
    done(json!({ "operation_id": 1, "status": "completed" }))
}

fn limit(body: &Value) -> usize {
    usize::try_from(body["limit"].as_u64().expect("a limit")).expect("a small number")
}

fn query(body: &Value, collection: &Collection) -> Answer {
    let alive = collection.points.iter().filter(|(_, one)| holds(&body["filter"], &one.payload));
    let scored: Vec<_> = if body["using"] == "chaski-words" {
        // Qdrant multiplies by how rare a word is, where the collection asks for that.
        let asked: Vec<u64> = serde_json::from_value(body["query"]["indices"].clone()).unwrap();
        let mut with: BTreeMap<u64, u32> = BTreeMap::new();
        for point in collection.points.values() {
            for (word, _) in &point.sparse {
                *with.entry(*word).or_default() += 1;
            }
        }
        let count = f64::from(u32::try_from(collection.points.len()).unwrap());
        let rarity = |word: &u64| {
            let with = f64::from(with.get(word).copied().unwrap_or_default());
            ((count - with + 0.5) / (with + 0.5) + 1.0).ln()
        };
        alive
            .filter_map(|(id, point)| {
                let common = point.sparse.iter().filter(|(word, _)| asked.contains(word));
                let parts: Vec<f64> = common.map(|(word, weight)| weight * rarity(word)).collect();
                (!parts.is_empty()).then(|| (id, point, parts.iter().sum()))
            })
            .collect()
    } else {
        let asked = numbers(&body["query"]);
        alive.map(|(id, point)| (id, point, cosine(&point.vector, &asked))).collect()
    };
    let lowest = body["score_threshold"].as_f64().unwrap_or(f64::MIN);
    let found = best(scored.into_iter().filter(|(_, _, score)| *score >= lowest), limit(body));
    let points = found.into_iter().map(|(id, point, score)| {
        json!({ "id": id, "version": 0, "score": score, "payload": point.payload })
    });
    done(json!({ "points": points.collect::<Vec<_>>() }))
}

fn scroll(body: &Value, collection: &Collection) -> Answer {
    let from = body["offset"].as_str().unwrap_or_default();
    let mut alive = collection
        .points
        .iter()
        .filter(|(id, point)| id.as_str() >= from && holds(&body["filter"], &point.payload));
    let page: Vec<Value> = alive
        .by_ref()
        .take(limit(body))
        .map(|(id, point)| {
            let vector = json!({ "": point.vector, "chaski-words": {} });
            json!({ "id": id, "payload": point.payload, "vector": vector })
        })
        .collect();
    let next = alive.next().map(|(id, _)| id);
    done(json!({ "points": page, "next_page_offset": next }))
}

/// Whether a filter holds for a payload.
fn holds(filter: &Value, payload: &Map<String, Value>) -> bool {
    let list = |key: &str| filter.get(key).map(|list| list.as_array().expect("a list"));
    let one = |condition: &Value| match condition.get("key") {
        Some(key) => compare(condition, field(payload, key.as_str().expect("a text"))),
        None => holds(condition, payload),
    };
    list("must").is_none_or(|list| list.iter().all(one))
        && list("should").is_none_or(|list| list.iter().any(one))
        && list("must_not").is_none_or(|list| !list.iter().any(one))
}

/// The value at a path, whose steps are separated by dots unless they stand in quotes.
fn field<'a>(payload: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let Some((first, rest)) = path.split_once('.') else { return payload.get(path) };
    let rest = rest.trim_matches('"');
    payload.get(first)?.get(rest)
}

fn compare(condition: &Value, value: Option<&Value>) -> bool {
    if let Some(wanted) = condition.pointer("/match/value") {
        assert!(!wanted.is_f64(), "Qdrant matches texts, whole numbers and booleans");
        return value == Some(wanted);
    }
    let range = condition["range"].as_object().expect("a range");
    range.iter().all(|(bound, limit)| {
        order(value, limit).is_some_and(|order| match bound.as_str() {
            "gt" => order.is_gt(),
            "gte" => order.is_ge(),
            "lt" => order.is_lt(),
            "lte" => order.is_le(),
            other => panic!("a range has no `{other}`"),
        })
    })
}
