//! YAML in and out: the only place that knows the YAML library.

use chaski_api::Issue;
use serde_json::Value;

/// Reads YAML as a JSON value.
pub(super) fn parse(text: &str) -> Result<Value, Vec<Issue>> {
    serde_saphyr::from_str(text).map_err(|error| {
        vec![Issue {
            loc: Vec::new(),
            msg: format!("not valid YAML: {error}"),
            kind: "yaml_invalid",
        }]
    })
}

/// Writes a value as YAML; give it what [`super::redacted`] returns.
pub fn to_yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}
