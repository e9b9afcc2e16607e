//! Questions in GraphQL. What callers write stands in them only as texts in quotes.

use serde_json::{Map, Value, json};

/// Keys whose values are words of the language.
const WORDS: &[&str] = &["operator"];

/// Asks for the `fields` of the objects of a class that `arguments` describe.
pub(super) fn get(class: &str, arguments: &Value, fields: &str) -> Value {
    let mut query = format!("{{ Get {{ {class}");
    if let Some(arguments) = arguments.as_object().filter(|arguments| !arguments.is_empty()) {
        query.push('(');
        members(arguments, &mut query);
        query.push(')');
    }
    query.push_str(" { ");
    query.push_str(fields);
    query.push_str(" } } }");
    json!({ "query": query })
}

/// Writes a value. Texts of JSON are texts of GraphQL.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            out.push('{');
            members(object, out);
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

fn members(object: &Map<String, Value>, out: &mut String) {
    for (index, (key, value)) in object.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(key);
        out.push(':');
        match value.as_str().filter(|_| WORDS.contains(&key.as_str())) {
            Some(word) => out.push_str(word),
            None => write(value, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::get;
    use serde_json::json;

    #[test]
    fn texts_stay_in_their_quotes() {
        let arguments = json!({
            "limit": 3,
            "bm25": { "query": "a\" }) { x } \\ \u{e9}\n" },
            "where": { "operator": "And", "operands": [] },
        });
        assert_eq!(
            get("Docs", &arguments, "chunk")["query"],
            "{ Get { Docs(limit:3,bm25:{query:\"a\\\" }) { x } \\\\ \u{e9}\\n\"},\
             where:{operator:And,operands:[]}) { chunk } } }"
        );
        assert_eq!(get("Docs", &json!({}), "chunk")["query"], "{ Get { Docs { chunk } } }");
    }
}
