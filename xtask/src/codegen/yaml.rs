//! YAML for samples: plain data, no anchors, no long texts.

use serde_json::Value;

/// The value as block YAML.
pub(super) fn write(value: &Value) -> String {
    lines(value).join("\n") + "\n"
}

fn lines(value: &Value) -> Vec<String> {
    let indented = |lines: Vec<String>| lines.into_iter().map(|line| format!("  {line}"));
    let mut out = Vec::new();
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                if is_block(value) {
                    out.push(format!("{key}:"));
                    out.extend(indented(lines(value)));
                } else {
                    out.push(format!("{key}: {}", scalar(value)));
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut item = lines(item).into_iter();
                out.push(format!("- {}", item.next().unwrap_or_default()));
                out.extend(indented(item.collect()));
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => out.push(scalar(value)),
    }
    out
}

/// Whether a value takes lines of its own.
fn is_block(value: &Value) -> bool {
    value.as_object().is_some_and(|members| !members.is_empty())
        || value.as_array().is_some_and(|items| !items.is_empty())
}

/// A value on one line. JSON is YAML; that also covers empty lists and maps.
fn scalar(value: &Value) -> String {
    value.as_str().filter(|text| is_plain(text)).map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether a text is safe without quotes.
fn is_plain(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$' || c == '/');
    let is_word = ["true", "false", "null", "yes", "no", "on", "off"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    starts_well
        && !is_word
        && !text.ends_with(':')
        && ![": ", " #", "\n"].iter().any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn samples_are_written_in_blocks() {
        let value = json!({
            "providers": { "inference": [{ "id": "a", "config": { "url": "${env.URL:http://x}" } }] },
            "on_off": "yes",
            "none": [],
            "number": 3,
        });
        let expected = r#"providers:
  inference:
    - id: a
      config:
        url: ${env.URL:http://x}
on_off: "yes"
none: []
number: 3
"#;
        assert_eq!(write(&value), expected);
    }
}
