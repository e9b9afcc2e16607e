//! From a request of this stack to the body that the upstream is sent.

use super::Dialect;
use chaski_api::openai::Body;
use serde_json::Value;

/// Fits the body to the dialect. `max_tokens` is the limit where the request has none.
pub(super) fn fit(body: &mut Body, dialect: &Dialect, max_tokens: Option<i64>) {
    if let Some(prefix) = dialect.model_prefix
        && let Some(id) = body.get("model").and_then(Value::as_str)
        && let Some(short) = id.strip_prefix(prefix)
    {
        let short = short.into();
        body.insert("model".to_owned(), short);
    }
    for field in dialect.left_out {
        body.shift_remove(field);
    }
    for (from, to) in dialect.renamed {
        rename(body, from, to);
    }
    limit_tokens(body, dialect, max_tokens);
}

fn limit_tokens(body: &mut Body, dialect: &Dialect, max_tokens: Option<i64>) {
    let is_set = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    if let Some(limit) = max_tokens
        && !is_set("max_tokens")
        && !is_set("max_completion_tokens")
    {
        body.insert("max_tokens".to_owned(), limit.into());
    }
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    if dialect.completion_tokens_models.iter().any(|start| model.starts_with(start)) {
        rename(body, "max_tokens", "max_completion_tokens");
    }
}

/// Moves a value to the name `to`, unless there is one already.
fn rename(body: &mut Body, from: &str, to: &str) {
    if body.get(to).is_some_and(|value| !value.is_null()) {
        body.shift_remove(from);
    } else if body.contains_key(from) {
        body.shift_remove(to);
        body.rename(from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STRICT: Dialect = Dialect {
        model_prefix: Some("openai/"),
        completion_tokens_models: &["o1", "gpt-5"],
        renamed: &[("repetition_penalty", "repeat_penalty")],
        left_out: &["top_k"],
        ..Dialect::OPENAI
    };

    #[expect(clippy::needless_pass_by_value, reason = "the cases are made by `json!`")]
    fn check(dialect: &Dialect, max_tokens: Option<i64>, body: Value, expected: Value) {
        let mut body = body.as_object().unwrap().clone().into();
        fit(&mut body, dialect, max_tokens);
        assert_eq!(Value::from(body), expected);
    }

    #[test]
    fn a_request_in_the_upstreams_own_dialect_is_not_changed() {
        let body = json!({ "model": "openai/m", "top_k": 3, "unknown": { "a": [1, null] } });
        check(&Dialect::OPENAI, None, body.clone(), body);
    }

    #[test]
    fn models_lose_the_prefix_that_the_upstream_does_not_know() {
        check(&STRICT, None, json!({ "model": "openai/gpt-4o" }), json!({ "model": "gpt-4o" }));
        check(&STRICT, None, json!({ "model": "gpt-4o" }), json!({ "model": "gpt-4o" }));
    }

    #[test]
    fn a_request_without_a_limit_gets_the_configured_one() {
        let cases = [
            (json!({}), json!({ "max_tokens": 4096 })),
            (json!({ "max_tokens": null }), json!({ "max_tokens": 4096 })),
            (json!({ "max_tokens": 7 }), json!({ "max_tokens": 7 })),
            (json!({ "max_completion_tokens": 7 }), json!({ "max_completion_tokens": 7 })),
        ];
        for (body, expected) in cases {
            check(&Dialect::OPENAI, Some(4096), body, expected);
        }
    }

    #[test]
    fn fields_are_renamed_left_out_and_never_overwritten() {
        check(
            &STRICT,
            None,
            json!({ "model": "gpt-5-mini", "max_tokens": 7, "top_k": 3, "repetition_penalty": 1.1 }),
            json!({ "model": "gpt-5-mini", "repeat_penalty": 1.1, "max_completion_tokens": 7 }),
        );
        check(
            &STRICT,
            None,
            json!({ "model": "o1", "max_tokens": 7, "max_completion_tokens": 9 }),
            json!({ "model": "o1", "max_completion_tokens": 9 }),
        );
    }
}
