//! A server that speaks as much of Chroma's HTTP API as the provider uses.
//!
//! Its answers are those of Chroma 1.5 to the same requests, which the contract suite asks too where
//! that is installed.

use super::fake::{Collection, Point, best, cosine, numbers, order};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Map, Value, json};
use std::{cmp::Ordering, collections::HashMap, sync::Mutex};

/// Starts it, with nothing in it.
pub(super) async fn start() -> FakeUpstream {
    let collections: Mutex<HashMap<String, Collection>> = Mutex::default();
    FakeUpstream::start(move |seen| {
        let mut collections = collections.lock().expect("no other test has failed in here");
        answer(seen, &mut collections)
    })
    .await
}

fn missing(name: &str) -> Answer {
    let message = format!("Collection [{name}] does not exist");
    Answer::json(json!({ "error": "NotFoundError", "message": message })).status(404)
}

fn refused(message: &str) -> Answer {
    Answer::json(json!({ "error": "InvalidArgumentError", "message": message })).status(400)
}

fn answer(seen: &Seen, collections: &mut HashMap<String, Collection>) -> Answer {
    if seen.path == "/api/v2/heartbeat" {
        return Answer::json(json!({ "nanosecond heartbeat": 1 }));
    }
    let mount = "/api/v2/tenants/default_tenant/databases/default_database/collections";
    let path = seen.path.strip_prefix(mount).unwrap_or_else(|| panic!("{}", seen.path));
    let rest: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (seen.method.as_str(), rest.as_slice()) {
        ("POST", []) => {
            let body = seen.json();
            let name = body["name"].as_str().expect("a name");
            assert!(name.len() < 512 && body["get_or_create"] == true);
            let collection = collections.entry(name.to_owned()).or_default();
            Answer::json(json!({
                // The id of a collection is not its name.
                "id": format!("id-of-{name}"),
                "name": name,
                "configuration_json": { "hnsw": { "space": "cosine" } },
                "dimension": collection.length,
            }))
        }
        ("DELETE", [name]) => match collections.remove(*name) {
            Some(_) => Answer::json(json!({})),
            None => missing(name),
        },
        ("POST", [id, action]) => {
            let name = id.strip_prefix("id-of-").unwrap_or_default();
            let Some(collection) = collections.get_mut(name) else { return missing(name) };
            inside(action, &seen.json(), collection)
        }
        _ => refused("no such path"),
    }
}

fn list(body: &Value, key: &str) -> Vec<Value> {
    body[key].as_array().unwrap_or_else(|| panic!("`{key}` is a list")).clone()
}

fn count(body: &Value, key: &str) -> usize {
    usize::try_from(body[key].as_u64().expect("a number")).expect("a small number")
}

fn inside(action: &str, body: &Value, collection: &mut Collection) -> Answer {
    let condition = body.get("where").cloned().unwrap_or(Value::Null);
    if !is_valid(&condition) {
        return refused("Invalid where clause");
    }
    let alive = |point: &Point| condition.is_null() || holds(&condition, &point.payload);
    match action {
        "upsert" => upsert(body, collection),
        "delete" => {
            let before = collection.points.len();
            match body.get("ids") {
                Some(_) => {
                    for id in list(body, "ids") {
                        collection.points.remove(id.as_str().expect("an id"));
                    }
                }
                None => collection.points.retain(|_, point| !alive(point)),
            }
            Answer::json(json!({ "deleted": before - collection.points.len() }))
        }
        "query" => {
            let asked = numbers(&body["query_embeddings"][0]);
            let points = collection.points.iter().filter(|(_, point)| alive(point));
            let scored = points.map(|(id, point)| (id, point, cosine(&point.vector, &asked)));
            let found = best(scored, count(body, "n_results"));
            let ids: Vec<&String> = found.iter().map(|found| found.0).collect();
            let documents: Vec<&Value> = found.iter().map(|found| &found.1.payload["#"]).collect();
            let distances: Vec<f64> = found.iter().map(|found| 1.0 - found.2).collect();
            Answer::json(json!({
                "ids": [ids], "documents": [documents], "distances": [distances],
                "embeddings": null, "metadatas": null,
            }))
        }
        "get" => {
            let asked = body.get("ids").map(|_| list(body, "ids"));
            let is_asked = |id: &String| asked.as_ref().is_none_or(|ids| ids.contains(&json!(id)));
            let points = collection.points.iter();
            let points = points.filter(|(id, point)| is_asked(id) && alive(point));
            let count = |key: &str, default| body.get(key).map_or(default, |_| count(body, key));
            let page: Vec<(&String, &Point)> =
                points.skip(count("offset", 0)).take(count("limit", usize::MAX)).collect();
            let metadata = |point: &Point| {
                let mut kept = point.payload.clone();
                kept.remove("#");
                if kept.is_empty() { Value::Null } else { Value::Object(kept) }
            };
            Answer::json(json!({
                "ids": page.iter().map(|(id, _)| id).collect::<Vec<_>>(),
                "documents": page.iter().map(|(_, one)| &one.payload["#"]).collect::<Vec<_>>(),
                "metadatas": page.iter().map(|(_, one)| metadata(one)).collect::<Vec<_>>(),
                "embeddings": page.iter().map(|(_, one)| &one.vector).collect::<Vec<_>>(),
            }))
        }
        _ => refused("no such action"),
    }
}

fn upsert(body: &Value, collection: &mut Collection) -> Answer {
    let parts = list(body, "ids").into_iter().zip(list(body, "embeddings"));
    let parts = parts.zip(list(body, "documents")).zip(list(body, "metadatas"));
    for (((id, vector), document), metadata) in parts {
        let vector = numbers(&vector);
        let length = *collection.length.get_or_insert(vector.len());
        if vector.len() != length {
            let got = vector.len();
            let message =
                format!("Collection expecting embedding with dimension of {length}, got {got}");
            return refused(&message);
        }
        let given = metadata.as_object().cloned().unwrap_or_default();
        assert!(!metadata.is_object() || !given.is_empty(), "Chroma takes no empty metadata");
        assert!(given.keys().all(|key| !key.is_empty() && !key.starts_with(['$', '#'])));
        let id = id.as_str().expect("an id").to_owned();
        // What is there is added to, and a key with nothing is removed.
        let before = collection.points.get(&id).map(|point| point.payload.clone());
        let mut payload = before.unwrap_or_default();
        payload.extend(given);
        payload.retain(|_, value| !value.is_null());
        assert!(payload.values().all(|value| !value.is_object()));
        payload.insert("#".to_owned(), document);
        collection.points.insert(id, Point { vector, sparse: Vec::new(), payload });
    }
    Answer::json(json!({}))
}

/// Whether Chroma takes a condition: lists hold something, all of one kind, and only numbers have
/// an order.
fn is_valid(condition: &Value) -> bool {
    let Some(members) = condition.as_object() else { return condition.is_null() };
    members.iter().all(|(key, value)| match key.as_str() {
        "$and" | "$or" => {
            value.as_array().is_some_and(|parts| !parts.is_empty() && parts.iter().all(is_valid))
        }
        key if key.starts_with(['$', '#']) => false,
        _ => value.as_object().is_some_and(|comparison| {
            comparison.iter().all(|(operator, operand)| match operator.as_str() {
                "$in" | "$nin" => operand.as_array().is_some_and(|all| {
                    let kind = std::mem::discriminant::<Value>;
                    !all.is_empty() && all.iter().all(|one| kind(one) == kind(&all[0]))
                }),
                "$gt" | "$gte" | "$lt" | "$lte" => operand.is_number(),
                "$eq" | "$ne" => !operand.is_null(),
                _ => false,
            })
        }),
    })
}

fn holds(condition: &Value, metadata: &Map<String, Value>) -> bool {
    let members = condition.as_object().expect("it is valid");
    members.iter().all(|(key, value)| match key.as_str() {
        "$and" => value.as_array().expect("valid").iter().all(|part| holds(part, metadata)),
        "$or" => value.as_array().expect("valid").iter().any(|part| holds(part, metadata)),
        key => value.as_object().expect("valid").iter().all(|(operator, operand)| {
            let own = metadata.get(key);
            let is = |one: &Value| own == Some(one) || order(own, one).is_some_and(Ordering::is_eq);
            let by = |fits: fn(Ordering) -> bool| order(own, operand).is_some_and(fits);
            let among = || operand.as_array().expect("valid").iter().any(is);
            match operator.as_str() {
                "$eq" => is(operand),
                "$ne" => !is(operand),
                "$in" => among(),
                "$nin" => !among(),
                "$gt" => by(Ordering::is_gt),
                "$gte" => by(Ordering::is_ge),
                "$lt" => by(Ordering::is_lt),
                "$lte" => by(Ordering::is_le),
                _ => unreachable!("it is valid"),
            }
        }),
    })
}
