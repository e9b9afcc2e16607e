//! Keys that mean nothing, found by walking a value along its JSON schema.

use super::{RunConfig, nearest};
use crate::Catalog;
use chaski_api::{Api, Issue, Schemas, Segment, Wire};
use serde_json::{Map, Value};

/// The keys of a run configuration that nobody reads, the settings of known providers included.
pub(super) fn keys(raw: &Value, catalog: &Catalog) -> Vec<Issue> {
    let mut schemas = Schemas::default();
    let schema = RunConfig::schema(&mut schemas);
    let mut found = Vec::new();
    walk(raw, &schema, &schemas, &mut Vec::new(), &mut found);

    let providers = raw.get("providers").and_then(Value::as_object).into_iter().flatten();
    for (api, entries) in providers {
        let Some(known_api) = Api::parse(api) else { continue };
        for (index, entry) in entries.as_array().into_iter().flatten().enumerate() {
            let provider_type = entry.get("provider_type").and_then(Value::as_str);
            let known = provider_type.and_then(|name| catalog.find(known_api, name));
            let (Some(known), Some(config)) = (known, entry.get("config")) else { continue };
            let mut schemas = Schemas::default();
            let schema = (known.schema)(&mut schemas);
            let key = |key: &str| Segment::Key(key.to_owned().into());
            let mut path = vec![key("providers"), key(api), Segment::Index(index), key("config")];
            walk(config, &schema, &schemas, &mut path, &mut found);
        }
    }
    found
}

fn walk(
    value: &Value,
    schema: &Value,
    schemas: &Schemas,
    path: &mut Vec<Segment>,
    found: &mut Vec<Issue>,
) {
    let schema = alternative(value, schemas.resolve(schema), schemas);
    match value {
        Value::Object(members) => {
            let mut known = Map::new();
            let mut rest = None;
            collect(schema, schemas, &mut known, &mut rest);
            // A schema without properties describes a free-form object.
            if known.is_empty() && rest.is_none() {
                return;
            }
            for (key, member) in members {
                path.push(Segment::Key(key.clone().into()));
                if let Some(schema) = known.get(key) {
                    walk(member, schema, schemas, path, found);
                } else if let Some(rest) = rest {
                    walk(member, rest, schemas, path, found);
                } else {
                    let hint = nearest(key, known.keys().map(String::as_str));
                    let hint = hint.map_or_else(
                        || {
                            let names: Vec<&str> = known.keys().map(String::as_str).collect();
                            format!("known: {}", names.join(", "))
                        },
                        |name| format!("did you mean `{name}`?"),
                    );
                    found.push(Issue {
                        loc: path.clone(),
                        msg: format!("unknown key `{key}` is ignored; {hint}"),
                        kind: "unknown_key",
                    });
                }
                path.pop();
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    path.push(Segment::Index(index));
                    walk(item, schema, schemas, path, found);
                    path.pop();
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The branch of `anyOf` or `oneOf` that `value` belongs to.
fn alternative<'a>(value: &Value, schema: &'a Value, schemas: &'a Schemas) -> &'a Value {
    let branches = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    let Some(branches) = branches else { return schema };
    let fits = |branch: &&Value| {
        let branch = schemas.resolve(branch);
        if let Some(tag) = tag(branch) {
            return value.get(tag.0) == Some(tag.1);
        }
        match branch.get("type").and_then(Value::as_str) {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some(_) => false,
            None => true,
        }
    };
    branches.iter().find(fits).map_or(&Value::Null, |branch| {
        let branch = schemas.resolve(branch);
        alternative(value, branch, schemas)
    })
}

/// The property that tells a branch of a union apart, with its constant.
fn tag(branch: &Value) -> Option<(&str, &Value)> {
    branch.get("allOf")?.as_array()?.iter().find_map(|part| {
        let properties = part.get("properties")?.as_object()?;
        properties.iter().find_map(|(name, schema)| Some((name.as_str(), schema.get("const")?)))
    })
}

/// The properties of a schema and of the parts it is put together from.
fn collect<'a>(
    schema: &'a Value,
    schemas: &'a Schemas,
    known: &mut Map<String, Value>,
    rest: &mut Option<&'a Value>,
) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        known.extend(properties.clone());
    }
    *rest = rest.or(schema.get("additionalProperties"));
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        collect(schemas.resolve(part), schemas, known, rest);
    }
}
