//! What the providers that compute in this process share: threads, callers, and the engine's errors
//! in the words of the stack.

use chaski_api::{Error, ErrorKind, Result};
use chaski_llm::Error as Failure;
use chaski_provider::{Context, Deps};
use serde_json::Value;
use std::{path::Path, sync::Arc};

/// An error of the engine, for the caller.
#[expect(clippy::needless_pass_by_value, reason = "used as a function for `map_err`")]
pub(crate) fn failed(failure: Failure) -> Error {
    let message = failure.to_string();
    match failure {
        Failure::Invalid { param: Some(param), .. } => Error::invalid(message).with_param(param),
        Failure::Invalid { param: None, .. } => Error::invalid(message),
        Failure::TooLong { .. } => {
            Error::invalid(message).with_code("context_length_exceeded").with_param("messages")
        }
        Failure::Busy { pause, .. } => {
            Error::new(ErrorKind::RateLimited { retry_after: Some(pause) }, message)
        }
        Failure::NoMemory { .. }
        | Failure::OverLimit { .. }
        | Failure::Broken { .. }
        | Failure::Gone => Error::unavailable(message),
        Failure::Engine { .. } => Error::internal(message),
    }
}

/// The threads that compute one token, and those that compute a batch.
pub(crate) struct Threads {
    pub(crate) one: usize,
    pub(crate) batch: usize,
}

/// The threads that compute. By default one core is left for the network, but for batches: these
/// get along with being interrupted, and their threads go behind those of the network.
pub(crate) fn threads(configured: Option<i64>, batch: Option<i64>, deps: &Deps) -> Threads {
    let number = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
    let one = number(configured).unwrap_or_else(|| deps.compute_threads.saturating_sub(1));
    let batch = number(batch).or(number(configured)).unwrap_or(deps.compute_threads);
    Threads { one: one.max(1), batch: batch.max(1) }
}

/// Who takes turns with others in a queue: the principal, or each request where nobody is known.
pub(crate) fn caller(cx: &Context) -> Arc<str> {
    cx.principal.as_ref().map_or_else(|| Arc::clone(&cx.request_id), |who| Arc::from(&*who.id))
}

/// Megabytes, in bytes.
pub(crate) fn megabytes(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default().saturating_mul(1_000_000)
}

/// The name of a model at `path`.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The texts or token lists of a field that takes one or several of them.
pub(crate) fn inputs<T>(
    value: Option<&Value>,
    field: &'static str,
    text: impl Fn(&str) -> T,
    tokens: impl Fn(Vec<i32>) -> T,
) -> Result<Vec<T>> {
    let wrong = || {
        let accepted = "a text, a list of texts, token ids, or a list of lists of token ids";
        Error::invalid(format!("`{field}` must be {accepted}")).with_param(field)
    };
    let ids = |items: &[Value]| -> Option<Vec<i32>> {
        items.iter().map(|id| id.as_i64().and_then(|id| i32::try_from(id).ok())).collect()
    };
    match value {
        Some(Value::String(one)) => Ok(vec![text(one)]),
        Some(Value::Array(items)) if items.is_empty() => Err(wrong()),
        Some(Value::Array(items)) if items[0].is_number() => {
            Ok(vec![tokens(ids(items).ok_or_else(wrong)?)])
        }
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                Value::String(one) => Ok(text(one)),
                Value::Array(items) if !items.is_empty() => {
                    Ok(tokens(ids(items).ok_or_else(wrong)?))
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use chaski_provider::Tasks;
    use chaski_upstream::{Http, HttpOptions};
    use serde_json::json;
    use std::path::PathBuf;

    /// The folder with the weights of tests, which must have the model `name`.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are told by the environment where weights are"
    )]
    pub(crate) fn weights_dir(name: &str) -> PathBuf {
        let folder = std::env::var("CHASKI_TEST_WEIGHTS").map_or_else(
            |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-weights")),
            PathBuf::from,
        );
        let path = folder.join(format!("{name}.gguf"));
        assert!(path.exists(), "`{}` is missing: run `make weights`", path.display());
        folder
    }

    pub(crate) fn deps(weights_dir: PathBuf) -> Deps {
        let http = Http::new(HttpOptions::default()).unwrap();
        Deps {
            http,
            weights_dir,
            compute_threads: 2,
            cpu: chaski_provider::Cpu::new(2),
            documents: chaski_provider::Documents::in_process(),
            environment: chaski_provider::Environment::default(),
            tasks: Tasks::default(),
            routers: chaski_provider::Routers::default(),
        }
    }

    #[test]
    fn inputs_are_texts_or_token_lists() {
        let read = |value: Value| {
            inputs(Some(&value), "input", str::to_owned, |ids| format!("{ids:?}"))
                .map_err(|error| error.message)
        };
        assert_eq!(read(json!("a")).unwrap(), ["a"]);
        assert_eq!(read(json!(["a", "b"])).unwrap(), ["a", "b"]);
        assert_eq!(read(json!([1, 2])).unwrap(), ["[1, 2]"]);
        assert_eq!(read(json!([[1], [2, 3]])).unwrap(), ["[1]", "[2, 3]"]);
        for wrong in
            [json!([]), json!(1), json!([[]]), json!(["a", 1]), json!([1, "a"]), json!([1e99])]
        {
            assert!(read(wrong.clone()).unwrap_err().starts_with("`input` must be"), "{wrong}");
        }
    }
}
