//! A server that speaks as much of Weaviate's REST and GraphQL APIs as the provider uses.
//!
//! The forms are those of Weaviate's documentation of its version 1.30, and of its description of
//! the REST API.

use super::fake::{best, cosine, numbers};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Mutex,
};

/// At most so many objects are removed at a time.
const MOST: usize = 100;

/// A class and its objects, by id.
struct Class {
    description: Value,
    properties: Vec<Value>,
    objects: BTreeMap<String, super::fake::Point>,
}

type Classes = HashMap<String, Class>;

/// Starts it, with nothing in it.
pub(super) async fn start() -> FakeUpstream {
    let classes: Mutex<Classes> = Mutex::default();
    FakeUpstream::start(move |seen| {
        let mut classes = classes.lock().expect("no other test has failed in here");
        answer(seen, &mut classes)
    })
    .await
}

fn failed(status: u16, why: &str) -> Answer {
    Answer::json(json!({ "error": [{ "message": why }] })).status(status)
}

fn answer(seen: &Seen, classes: &mut Classes) -> Answer {
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let body = if seen.body.is_empty() { Value::Null } else { seen.json() };
    match (seen.method.as_str(), segments.as_slice()) {
        ("GET", ["v1", "meta"]) => Answer::json(json!({ "version": "1.30.0", "modules": {} })),
        ("POST", ["v1", "schema"]) => make(&body, classes),
        ("GET", ["v1", "schema", name]) => match classes.get(*name) {
            Some(class) => Answer::json(json!({
                "class": name,
                "description": class.description,
                "properties": class.properties,
                "vectorIndexConfig": { "distance": "cosine" },
            })),
            // Without a body.
            None => Answer::json(json!({})).status(404),
        },
        // A class that is not there is dropped as well as one that is.
        ("DELETE", ["v1", "schema", name]) => {
            classes.remove(*name);
            Answer::json(json!({}))
        }
        ("POST", ["v1", "schema", name, "properties"]) => {
            let class = classes.get_mut(*name).expect("it is asked for before");
            if class.has(body["name"].as_str().expect("a name")) {
                return failed(422, "class: duplicate property name");
            }
            assert_eq!(body["dataType"], json!(["number"]));
            class.properties.push(body.clone());
            Answer::json(body)
        }
        ("POST", ["v1", "batch", "objects"]) => insert(&body, classes),
        ("DELETE", ["v1", "batch", "objects"]) => remove(&body, classes),
        ("POST", ["v1", "graphql"]) => graphql(body["query"].as_str().expect("a text"), classes),
        ("GET", ["v1", "objects"]) => list(query, classes),
        _ => failed(404, "no such path"),
    }
}

impl Class {
    fn has(&self, property: &str) -> bool {
        self.properties.iter().any(|known| known["name"] == property)
    }

    /// The objects that a condition holds for; or what is wrong with the condition.
    fn holding(&self, condition: &Value) -> Result<Vec<String>, String> {
        self.check(condition)?;
        let holding =
            self.objects.iter().filter(|(id, object)| holds(condition, id, &object.payload));
        Ok(holding.map(|(id, _)| id.clone()).collect())
    }

    fn check(&self, condition: &Value) -> Result<(), String> {
        if let Some(operands) = condition.get("operands") {
            let operands = operands.as_array().expect("a list");
            assert!(operands.len() > 1, "an operator joins several");
            return operands.iter().try_for_each(|operand| self.check(operand));
        }
        let name = condition["path"][0].as_str().expect("a path");
        if name != "id" && !self.has(name) {
            return Err(format!("no such prop with name '{name}' found in class"));
        }
        Ok(())
    }
}

fn make(body: &Value, classes: &mut Classes) -> Answer {
    let name = body["class"].as_str().expect("a name");
    let is_name = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name || name.len() > 255 {
        return failed(422, &format!("'{name}' is not a valid class name"));
    }
    if let Some(similar) = classes.keys().find(|other| other.eq_ignore_ascii_case(name)) {
        return failed(422, &format!("class already exists: found similar class {similar:?}"));
    }
    assert_eq!(body["vectorizer"], "none");
    assert_eq!(body["vectorIndexConfig"]["distance"], "cosine");
    let class = Class {
        description: body["description"].clone(),
        properties: body["properties"].as_array().expect("a list").clone(),
        objects: BTreeMap::new(),
    };
    classes.insert(name.to_owned(), class);
    Answer::json(body.clone())
}

fn insert(body: &Value, classes: &mut Classes) -> Answer {
    let mut results = Vec::new();
    for object in body["objects"].as_array().expect("a list") {
        let name = object["class"].as_str().expect("a class");
        let Some(class) = classes.get_mut(name) else {
            // With its own ways of making classes switched off.
            let error =
                json!({ "error": [{ "message": format!("class {name:?} not found in schema") }] });
            results.push(json!({ "result": { "status": "FAILED", "errors": error } }));
            continue;
        };
        let id = object["id"].as_str().expect("an id");
        assert!(id.parse::<uuid::Uuid>().is_ok(), "Weaviate takes UUIDs: {id}");
        let payload = object["properties"].as_object().expect("an object").clone();
        for name in payload.keys() {
            assert!(class.has(name), "the property {name} is not there");
        }
        let vector = numbers(&object["vector"]);
        let point = super::fake::Point { vector, sparse: Vec::new(), payload };
        class.objects.insert(id.to_owned(), point);
        results.push(json!({ "id": id, "class": name, "result": { "status": "SUCCESS" } }));
    }
    Answer::json(Value::Array(results))
}

fn remove(body: &Value, classes: &mut Classes) -> Answer {
    let name = body["match"]["class"].as_str().expect("a class");
    let Some(class) = classes.get_mut(name) else {
        return failed(422, &format!("validate: class {name} doesn't exist"));
    };
    let found = match class.holding(&body["match"]["where"]) {
        Ok(found) => found,
        Err(why) => return failed(422, &why),
    };
    let count = found.len();
    for id in found.into_iter().take(MOST) {
        class.objects.remove(&id);
    }
    Answer::json(json!({
        "match": body["match"], "output": "minimal", "dryRun": false,
        "results": {
            "matches": count.min(MOST), "limit": MOST, "successful": count.min(MOST), "failed": 0,
        },
    }))
}

fn list(query: &str, classes: &Classes) -> Answer {
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let name = parameter("class").expect("a class");
    let Some(class) = classes.get(name) else {
        return failed(404, &format!("class {name} doesn't exist"));
    };
    let after = parameter("after").expect("where to begin");
    let limit: usize = parameter("limit").expect("a limit").parse().expect("a number");
    assert_eq!(parameter("include"), Some("vector"));
    let objects = class.objects.iter().filter(|(id, _)| id.as_str() > after).take(limit);
    let objects = objects.map(|(id, object)| {
        json!({ "class": name, "id": id, "properties": object.payload, "vector": object.vector })
    });
    Answer::json(json!({ "objects": objects.collect::<Vec<_>>(), "totalResults": limit }))
}

fn holds(condition: &Value, id: &str, payload: &Map<String, Value>) -> bool {
    let operator = condition["operator"].as_str().expect("an operator");
    let mut operands = condition["operands"].as_array().into_iter().flatten();
    let wanted = || condition["valueText"].as_str().expect("a text");
    let path = condition["path"][0].as_str().unwrap_or_default();
    let has_text = || match payload.get(path) {
        _ if path == "id" => id == wanted(),
        Some(Value::Array(texts)) => texts.iter().any(|text| text == wanted()),
        other => other.is_some_and(|text| text == wanted()),
    };
    let by = |fits: fn(f64, f64) -> bool| {
        let own = payload.get(path).and_then(Value::as_f64);
        own.is_some_and(|own| fits(own, condition["valueNumber"].as_f64().expect("a number")))
    };
    match operator {
        "And" => operands.all(|operand| holds(operand, id, payload)),
        "Or" => operands.any(|operand| holds(operand, id, payload)),
        "Equal" => has_text(),
        "NotEqual" => !has_text(),
        "GreaterThan" => by(|own, other| own > other),
        "GreaterThanEqual" => by(|own, other| own >= other),
        "LessThan" => by(|own, other| own < other),
        "LessThanEqual" => by(|own, other| own <= other),
        other => panic!("no operator: {other}"),
    }
}

fn graphql(query: &str, classes: &Classes) -> Answer {
    let wrong = |why: &str| Answer::json(json!({ "data": null, "errors": [{ "message": why }] }));
    let mut rest = query.trim_start_matches("{ Get { ");
    let end = rest.find([' ', '(']).expect("a class");
    let name = &rest[..end];
    rest = &rest[end..];
    let Some(class) = classes.get(name) else {
        return wrong(&format!("Cannot query field {name:?} on type \"GetObjectsObj\"."));
    };
    let arguments = if let Some(inside) = rest.strip_prefix('(') {
        rest = inside;
        let arguments = object(&mut rest);
        rest = rest.strip_prefix(')').expect("the end of the arguments");
        arguments
    } else {
        json!({})
    };
    let fields: HashSet<&str> =
        rest.split([' ', '{', '}']).filter(|word| !word.is_empty()).collect();
    let found = match class.holding(&arguments["where"]) {
        Ok(found) => found,
        Err(why) => return wrong(&why),
    };
    let all = found.iter().map(|id| (id, &class.objects[id]));
    let limit = usize::try_from(arguments["limit"].as_u64().expect("a limit")).expect("small");
    let offset = usize::try_from(arguments["offset"].as_u64().unwrap_or_default()).expect("small");
    let scored: Vec<(&String, &super::fake::Point, f64)> =
        if let Some(near) = arguments.get("nearVector") {
            let asked = numbers(&near["vector"]);
            best(all.map(|(id, object)| (id, object, cosine(&object.vector, &asked))), limit)
        } else if let Some(words) = arguments.get("bm25") {
            assert_eq!(words["properties"], json!(["text"]));
            let asked = tokens(words["query"].as_str().expect("a text"));
            let scored = all.map(|(id, object)| {
                let own = tokens(object.payload["text"].as_str().expect("a text"));
                let common = u32::try_from(asked.intersection(&own).count()).expect("few");
                (id, object, f64::from(common))
            });
            best(scored.filter(|(_, _, score)| *score > 0.0), limit)
        } else {
            all.map(|(id, object)| (id, object, 0.0)).skip(offset).take(limit).collect()
        };
    let objects = scored.into_iter().map(|(id, object, score)| {
        let known = json!({
            "id": id, "vector": object.vector, "distance": 1.0 - score, "score": score.to_string(),
        });
        let known = known.as_object().expect("an object").iter();
        let additional: Map<String, Value> = known
            .filter(|(key, _)| fields.contains(key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut shown: Map<String, Value> = object
            .payload
            .iter()
            .filter(|(key, _)| fields.contains(key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        shown.insert("_additional".to_owned(), additional.into());
        Value::Object(shown)
    });
    let objects: Vec<Value> = objects.collect();
    Answer::json(json!({ "data": { "Get": { (name): objects } } }))
}

fn tokens(text: &str) -> HashSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// The members of an object of GraphQL, up to what closes it.
fn object(rest: &mut &str) -> Value {
    let mut members = Map::new();
    while !rest.starts_with(['}', ')']) {
        let (key, after) = rest.split_once(':').expect("a key");
        *rest = after;
        members.insert(key.to_owned(), value(rest));
        *rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Value::Object(members)
}

fn value(rest: &mut &str) -> Value {
    if let Some(inside) = rest.strip_prefix('{') {
        *rest = inside;
        let read = object(rest);
        *rest = rest.strip_prefix('}').expect("the end of an object");
        return read;
    }
    if let Some(inside) = rest.strip_prefix('[') {
        *rest = inside;
        let mut list = Vec::new();
        while !rest.starts_with(']') {
            list.push(value(rest));
            *rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        *rest = &rest[1..];
        return Value::Array(list);
    }
    if rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        *rest = after;
        return word.into();
    }
    let end = match rest.strip_prefix('"') {
        // Behind the quotation mark that no odd number of backslashes stands before.
        Some(inside) => {
            let mut is_escaped = false;
            let end = inside.find(|letter| {
                let ends = letter == '"' && !is_escaped;
                is_escaped = letter == '\\' && !is_escaped;
                ends
            });
            end.expect("the end of a text") + 2
        }
        None => rest.find([',', '}', ']', ')']).expect("the end of a number"),
    };
    let (value, after) = rest.split_at(end);
    *rest = after;
    serde_json::from_str(value).expect("a text or a number")
}
