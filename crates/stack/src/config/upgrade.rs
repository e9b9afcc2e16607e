//! Older versions of the run configuration, made into version 2.

use chaski_api::{Issue, Segment};
use serde_json::{Map, Value, json};

/// The version that this build reads.
const CURRENT: &str = "2";

/// Brings a configuration to the current version.
pub(super) fn upgrade(value: Value) -> Result<Value, Vec<Issue>> {
    let Value::Object(mut config) = value else {
        return Err(vec![problem(
            &[],
            "Input should be a valid dictionary, with keys such as `providers`",
        )]);
    };
    let version = config.get("version");
    let as_text = version.and_then(|version| version.as_str().map(str::to_owned));
    let version = as_text.or_else(|| version.map(ToString::to_string));
    if version.as_deref() == Some(CURRENT) {
        return Ok(config.into());
    }
    if config.contains_key("routing_table") {
        from_routing_table(&mut config)?;
    }
    config.insert("version".to_owned(), CURRENT.into());
    Ok(config.into())
}

/// The first version: a routing table by API, and providers without one beside it.
fn from_routing_table(config: &mut Map<String, Value>) -> Result<(), Vec<Issue>> {
    let mut problems = Vec::new();
    let mut providers = Map::new();

    let table = config.shift_remove("routing_table").unwrap_or_default();
    for (api, entries) in table.as_object().into_iter().flatten() {
        let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut upgraded = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let place = format!("routing_table.{api}[{index}]");
            if let Some((kind, config)) = parts(entry, &place, &mut problems) {
                let id = match entries.len() {
                    1 => kind.to_owned(),
                    _ => format!("{kind}-{index:02}"),
                };
                upgraded.push(provider(&id, kind, config));
            }
        }
        providers.insert(api.clone(), upgraded.into());
    }

    let single = config.shift_remove("provider_map");
    let single = config.shift_remove("api_providers").or(single).unwrap_or_default();
    for (api, entry) in single.as_object().into_iter().flatten() {
        if entry.get("provider_type").is_some() {
            let place = format!("api_providers.{api}");
            if let Some((kind, config)) = parts(entry, &place, &mut problems) {
                providers.insert(api.clone(), json!([provider(kind, kind, config)]));
            }
        }
    }

    match config.shift_remove("apis_to_serve") {
        Some(apis) => drop(config.insert("apis".to_owned(), apis)),
        None => problems.push(problem(&["apis_to_serve"], "Field required")),
    }
    config.insert("providers".to_owned(), providers.into());
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn provider(id: &str, kind: &str, config: &Value) -> Value {
    json!({ "provider_id": id, "provider_type": kind, "config": config })
}

fn parts<'a>(
    entry: &'a Value,
    place: &str,
    problems: &mut Vec<Issue>,
) -> Option<(&'a str, &'a Value)> {
    let kind = entry.get("provider_type").and_then(Value::as_str);
    let config = entry.get("config");
    for (name, missing) in [("provider_type", kind.is_none()), ("config", config.is_none())] {
        if missing {
            problems.push(problem(&[place, name], "Field required"));
        }
    }
    Some((kind?, config?))
}

fn problem(path: &[&str], msg: &str) -> Issue {
    let loc = path.iter().map(|key| Segment::Key((*key).to_owned().into())).collect();
    Issue { loc, msg: msg.to_owned(), kind: "missing" }
}

#[cfg(test)]
mod tests {
    use super::upgrade;
    use serde_json::json;

    #[test]
    fn a_current_configuration_stays_as_it_is() {
        let config = json!({ "version": "2", "apis_to_serve": ["x"], "providers": {} });
        assert_eq!(upgrade(config.clone()).unwrap(), config);
    }

    #[test]
    fn a_missing_or_numeric_version_becomes_the_current_one() {
        let upgraded = upgrade(json!({ "providers": {} })).unwrap();
        assert_eq!(upgraded["version"], "2");
        assert_eq!(upgrade(json!({ "version": 2 })).unwrap()["version"], 2);
        assert_eq!(upgrade(json!({ "version": "1" })).unwrap()["version"], "2");
    }

    #[test]
    fn a_routing_table_becomes_providers() {
        let upgraded = upgrade(json!({
            "image_name": "old",
            "routing_table": {
                "inference": [
                    { "provider_type": "remote::ollama", "config": { "port": 11434 }, "routing_key": "a" },
                    { "provider_type": "inline::meta-reference", "config": {} },
                ],
                "safety": [
                    { "provider_type": "inline::meta-reference", "config": { "llama_guard_shield": {} } },
                ],
                "memory": [],
            },
            "api_providers": {
                "telemetry": { "provider_type": "noop", "config": {} },
                "agents": "implicit",
            },
            "apis_to_serve": [],
        }))
        .unwrap();
        let providers = &upgraded["providers"];
        assert_eq!(providers["inference"][0]["provider_id"], "remote::ollama-00");
        assert_eq!(providers["inference"][0]["config"]["port"], 11434);
        assert_eq!(providers["inference"][1]["provider_id"], "inline::meta-reference-01");
        assert_eq!(providers["safety"][0]["provider_id"], "inline::meta-reference");
        assert_eq!(providers["telemetry"][0]["provider_id"], "noop");
        assert_eq!(providers["memory"], json!([]));
        assert!(providers.get("agents").is_none());
        assert_eq!(upgraded["version"], "2");
        assert_eq!(upgraded["apis"], json!([]));
        assert!(upgraded.get("routing_table").is_none() && upgraded.get("apis_to_serve").is_none());
    }

    #[test]
    fn what_an_old_configuration_lacks_is_named() {
        let issues = upgrade(json!({ "routing_table": {}, "api_providers": {} })).unwrap_err();
        assert_eq!(issues[0].to_string(), "apis_to_serve: Field required");
        let issues = upgrade(json!({
            "routing_table": { "inference": [{ "provider_type": "x" }] }, "apis_to_serve": [],
        }))
        .unwrap_err();
        assert_eq!(issues[0].to_string(), "routing_table.inference[0].config: Field required");
        assert!(upgrade(json!([])).is_err());
    }
}
