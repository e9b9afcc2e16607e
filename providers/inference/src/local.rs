//! What the providers that compute in this process share: models that are loaded when they are
//! needed, and the engine's errors in the words of the stack.

use chaski_api::{
    Error, ErrorKind, Result,
    inspect::{HealthStatus, ProviderHealth},
};
use chaski_llm::Error as Failure;
use chaski_provider::{Deps, Tasks};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    future::Future,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// When a caller who was refused should come again.
const BUSY_PAUSE: Duration = Duration::from_secs(5);

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
        Failure::Busy { .. } => {
            Error::new(ErrorKind::RateLimited { retry_after: Some(BUSY_PAUSE) }, message)
        }
        Failure::NoMemory { .. } | Failure::Broken { .. } | Failure::Gone => {
            Error::unavailable(message)
        }
        Failure::Engine { .. } => Error::internal(message),
    }
}

/// The threads that compute: as configured, or all but one of those of the process.
pub(crate) fn threads(configured: Option<i64>, deps: &Deps) -> usize {
    configured
        .and_then(|threads| usize::try_from(threads).ok())
        .unwrap_or_else(|| deps.compute_threads.saturating_sub(1))
        .max(1)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or_default()
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

#[derive(Clone)]
enum State<M> {
    /// The share that is loaded, from 0 to 1.
    Loading(f32),
    Ready(M),
    Failed(Failure),
}

/// Loaded models by name. A model is loaded once, in the background, for all who wait for it.
pub(crate) struct Shelf<M> {
    tasks: Tasks,
    models: Mutex<BTreeMap<String, watch::Receiver<State<M>>>>,
}

impl<M: Clone + Send + Sync + 'static> Shelf<M> {
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self { tasks, models: Mutex::default() }
    }

    /// The model called `name`; `load` is asked for it if nobody was before. A caller who goes
    /// away does not stop the loading.
    pub(crate) async fn get<F>(
        &self,
        name: &str,
        load: impl FnOnce(Box<dyn FnMut(f32) + Send>) -> F,
    ) -> Result<M>
    where
        F: Future<Output = Result<M, Failure>> + Send + 'static,
    {
        let mut state = self.state(name, load);
        let ended = state.wait_for(|state| !matches!(state, State::Loading(_))).await;
        match ended.as_deref() {
            Ok(State::Ready(model)) => Ok(model.clone()),
            Ok(State::Failed(failure)) => Err(failed(failure.clone())),
            Ok(State::Loading(_)) | Err(_) => Err(failed(Failure::Gone)),
        }
    }

    fn state<F>(
        &self,
        name: &str,
        load: impl FnOnce(Box<dyn FnMut(f32) + Send>) -> F,
    ) -> watch::Receiver<State<M>>
    where
        F: Future<Output = Result<M, Failure>> + Send + 'static,
    {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = models.get(name)
            && state.has_changed().is_ok()
        {
            return state.clone();
        }
        let (sender, receiver) = watch::channel(State::Loading(0.0));
        models.insert(name.to_owned(), receiver.clone());
        let sender = Arc::new(sender);
        let listener = Arc::clone(&sender);
        let loading = load(Box::new(move |share| {
            listener.send_if_modified(|state| match state {
                State::Loading(before) if share - *before > 0.01 => {
                    *before = share;
                    true
                }
                State::Loading(_) | State::Ready(_) | State::Failed(_) => false,
            });
        }));
        let name = name.to_owned();
        self.tasks.spawn(async move {
            let began = std::time::Instant::now();
            match loading.await {
                Ok(model) => {
                    let took = began.elapsed().as_millis();
                    tracing::info!(target: "inference", "Loaded `{name}` in {took} ms");
                    sender.send_replace(State::Ready(model));
                    // The sender says that the model is there; it ends with the shelf.
                    sender.closed().await;
                }
                Err(failure) => {
                    tracing::warn!(target: "inference", "`{name}` cannot be loaded: {failure}");
                    sender.send_replace(State::Failed(failure));
                }
            }
        });
        receiver
    }

    /// What is being loaded, for people.
    pub(crate) fn health(&self) -> ProviderHealth {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let loading: Vec<String> = models
            .iter()
            .filter_map(|(name, state)| match &*state.borrow() {
                State::Loading(share) if state.has_changed().is_ok() => {
                    Some(format!("loading `{name}`: {:.0} %", share * 100.0))
                }
                State::Loading(_) | State::Ready(_) | State::Failed(_) => None,
            })
            .collect();
        if loading.is_empty() {
            return ProviderHealth { status: HealthStatus::Ok, message: None };
        }
        ProviderHealth { status: HealthStatus::Starting, message: Some(loading.join(", ")) }
    }

    /// Unloads all models, once nobody uses them.
    pub(crate) fn clear(&self) {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use chaski_upstream::{Http, HttpOptions};
    use serde_json::json;
    use std::{
        path::PathBuf,
        sync::atomic::{AtomicUsize, Ordering},
    };

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
            environment: chaski_provider::Environment::default(),
            tasks: Tasks::default(),
        }
    }

    #[tokio::test]
    async fn a_model_is_loaded_once_for_all_who_wait() {
        let shelf = Arc::new(Shelf::new(Tasks::default()));
        let loads = Arc::new(AtomicUsize::new(0));
        let (go, gate) = watch::channel(false);
        let ask = || {
            let (shelf, loads, mut gate) = (Arc::clone(&shelf), Arc::clone(&loads), gate.clone());
            async move {
                let load = |mut progress: Box<dyn FnMut(f32) + Send>| async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    progress(0.5);
                    gate.wait_for(|open| *open).await.unwrap();
                    Ok("model")
                };
                shelf.get("m", load).await
            }
        };
        let check = async {
            while shelf.health().message.as_deref() != Some("loading `m`: 50 %") {
                tokio::task::yield_now().await;
            }
            assert_eq!(shelf.health().status, HealthStatus::Starting);
            go.send_replace(true);
        };
        let (first, second, ()) = tokio::join!(ask(), ask(), check);
        assert_eq!((first.unwrap(), second.unwrap()), ("model", "model"));
        assert_eq!(ask().await.unwrap(), "model");
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        assert_eq!(shelf.health().status, HealthStatus::Ok);
    }

    #[tokio::test]
    async fn a_failed_load_is_told_and_tried_again_by_the_next_request() {
        let shelf: Shelf<&str> = Shelf::new(Tasks::default());
        let broken = || Failure::Broken { message: "no such luck".into() };
        let error = shelf.get("m", |_| async move { Err(broken()) }).await.unwrap_err();
        assert_eq!(error.message, "no such luck");
        while shelf.models.lock().unwrap()["m"].has_changed().is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(shelf.get("m", |_| async { Ok("model") }).await.unwrap(), "model");
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
