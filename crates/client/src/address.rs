//! The address of a call: path parameters and query parameters, from the fields of the request.

use crate::{Error, Result};
use chaski_api::{EndpointSpec, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use url::Url;

/// Everything but the characters that stand for themselves everywhere in an address.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');
/// The same for parameters that may hold several segments.
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// The address under `base`; the fields that went into it are taken out of `fields`.
pub(crate) fn of(base: &Url, spec: &EndpointSpec, fields: &mut Map<String, Value>) -> Result<Url> {
    let path = path(spec.path, fields)?;
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    if spec.method != Method::Post {
        let mut pairs = Vec::new();
        for (name, value) in std::mem::take(fields) {
            query(&name, &value, &mut pairs);
        }
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
    }
    Ok(url)
}

/// The path with its parameters filled in.
fn path(template: &str, fields: &mut Map<String, Value>) -> Result<String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (parameter, after) = after.split_once('}').unwrap_or((after, ""));
        let (name, greedy) = match parameter.split_once(':') {
            Some((name, _)) => (name, true),
            None => (parameter, false),
        };
        out.push_str(&segment(name, greedy, fields.remove(name))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn segment(name: &str, greedy: bool, value: Option<Value>) -> Result<String> {
    let text = match value {
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(Error::Request(format!("`{name}` must be a string"))),
    };
    if text.is_empty() {
        return Err(Error::Request(format!("`{name}` must not be empty")));
    }
    // Such steps are resolved before an address is sent, and would lead to another endpoint.
    let mut steps = if greedy { text.split('/') } else { text.split('\0') };
    if steps.any(|step| step == "." || step == "..") {
        return Err(Error::Request(format!("`{name}` must not hold `.` or `..` as a step")));
    }
    let set = if greedy { SEGMENTS } else { SEGMENT };
    Ok(utf8_percent_encode(&text, set).to_string())
}

/// Lists are joined by commas, members of objects are named in brackets, null is left out.
fn query(name: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push((name.to_owned(), value.to_string())),
        Value::Number(value) => out.push((name.to_owned(), value.to_string())),
        Value::String(value) => out.push((name.to_owned(), value.clone())),
        Value::Array(items) => {
            let texts = items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            out.push((name.to_owned(), texts.collect::<Vec<_>>().join(",")));
        }
        Value::Object(members) => {
            for (key, value) in members {
                query(&format!("{name}[{key}]"), value, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::{
        Api, Endpoint as _,
        endpoints::{inference::ChatCompletion, models::GetModel, providers::InspectProvider},
    };
    use serde_json::json;

    fn address(spec: &EndpointSpec, fields: Value) -> Result<String> {
        let base = Url::parse("http://127.0.0.1:8321/prefix/").expect("the address is well formed");
        let Value::Object(mut fields) = fields else { panic!("fields are an object") };
        of(&base, spec, &mut fields).map(String::from)
    }

    #[test]
    fn slashes_stay_in_greedy_parameters_and_nowhere_else() {
        assert_eq!(
            address(&GetModel::SPEC, json!({ "model_id": "meta-llama/Llama 3?:8b" })).unwrap(),
            "http://127.0.0.1:8321/prefix/v1/models/meta-llama/Llama%203%3F:8b"
        );
        assert_eq!(
            address(&InspectProvider::SPEC, json!({ "provider_id": "a/b%2f" })).unwrap(),
            "http://127.0.0.1:8321/prefix/v1/providers/a%2Fb%252f"
        );
    }

    #[test]
    fn parameters_that_lead_elsewhere_are_refused() {
        for id in ["", "..", "a/../b", "./a"] {
            let refused = address(&GetModel::SPEC, json!({ "model_id": id }));
            assert!(matches!(refused, Err(Error::Request(_))), "{id}");
        }
        assert!(address(&GetModel::SPEC, json!({})).is_err());
    }

    #[test]
    fn other_fields_go_into_the_query_except_of_a_post() {
        let get = EndpointSpec::new(Api::Models, Method::Get, "/v1/things", "things", "");
        let fields = json!({ "a": "x y", "b": [1, "c"], "d": { "e": true }, "f": null });
        assert_eq!(
            address(&get, fields.clone()).unwrap(),
            "http://127.0.0.1:8321/prefix/v1/things?a=x+y&b=1%2Cc&d%5Be%5D=true"
        );
        assert_eq!(
            address(&ChatCompletion::SPEC, fields).unwrap(),
            "http://127.0.0.1:8321/prefix/v1/inference/chat-completion"
        );
    }
}
