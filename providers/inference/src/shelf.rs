//! Models that are loaded when they are needed, and unloaded when others need their memory.

use crate::local::{failed, stem};
use chaski_api::{
    Result,
    inspect::{HealthStatus, ModelActivity, ProviderHealth},
};
use chaski_llm::{
    Activity, Embedder, Error as Failure, Reranker, TextModel, available_memory, size,
};
use chaski_provider::Tasks;
use futures_util::future::{BoxFuture, FutureExt, select_all};
use std::{
    collections::BTreeMap,
    future::Future,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::watch;

/// A loaded model. Clones share it.
pub(crate) trait Loaded: Clone + Send + Sync + 'static {
    /// The memory that it takes, in bytes.
    fn memory(&self) -> u64;
    /// Whether somebody beside this clone has it.
    fn in_use(&self) -> bool;
    /// Ready when nobody beside this clone has it.
    fn idle(&self) -> BoxFuture<'static, ()>;
    /// Gives this clone up; ready when the memory is free.
    fn unload(self) -> BoxFuture<'static, ()>;
    fn activity(&self) -> Activity;
}

macro_rules! loaded {
    ($($model:ty),*) => {$(
        impl Loaded for $model {
            fn memory(&self) -> u64 {
                self.memory()
            }
            fn in_use(&self) -> bool {
                self.in_use()
            }
            fn idle(&self) -> BoxFuture<'static, ()> {
                self.idle().boxed()
            }
            fn unload(self) -> BoxFuture<'static, ()> {
                self.unload().boxed()
            }
            fn activity(&self) -> Activity {
                self.activity()
            }
        }
    )*};
}

loaded!(TextModel, Embedder, Reranker);

enum State<M> {
    /// The share that is loaded, from 0 to 1.
    Loading(f32),
    Ready(M),
    Failed(Failure),
    /// It gave way to another model.
    Unloaded,
}

struct Place<M> {
    state: Arc<watch::Sender<State<M>>>,
    /// When it was asked for last.
    used: u64,
}

/// Loaded models by name. A model is loaded once, in the background, for all who wait for it. When
/// there is no room for it, the models that were unused for the longest time are unloaded; those
/// that are in use are waited for where the memory has a limit.
pub(crate) struct Shelf<M> {
    tasks: Tasks,
    inner: Arc<Inner<M>>,
}

struct Inner<M> {
    /// The memory that all models may take together, in bytes.
    limit: Option<u64>,
    places: Mutex<Places<M>>,
    /// Models are loaded one after another, so that each knows what room there is.
    loading: tokio::sync::Mutex<()>,
}

struct Places<M> {
    by_name: BTreeMap<String, Place<M>>,
    clock: u64,
}

/// How far loading is, from 0 to 1.
pub(crate) type Progress = Box<dyn FnMut(f32) + Send>;

impl<M: Loaded> Shelf<M> {
    /// A shelf for models that may take `limit` bytes together; nothing means what is free.
    pub(crate) fn new(tasks: Tasks, limit: Option<u64>) -> Self {
        let places = Mutex::new(Places { by_name: BTreeMap::new(), clock: 0 });
        let loading = tokio::sync::Mutex::new(());
        Self { tasks, inner: Arc::new(Inner { limit, places, loading }) }
    }

    /// The model called `name`. If nobody asked for it before, `needed` says how much memory it
    /// takes, and `load` brings it. A caller who goes away does not stop the loading.
    pub(crate) async fn get<N, L>(
        &self,
        name: &str,
        needed: impl Fn() -> N,
        load: impl Fn(Progress) -> L,
    ) -> Result<M>
    where
        N: Future<Output = Result<u64, Failure>> + Send + 'static,
        L: Future<Output = Result<M, Failure>> + Send + 'static,
    {
        loop {
            let mut state = self.state(name, &needed, &load);
            let ended = state.wait_for(|state| !matches!(state, State::Loading(_))).await;
            match ended.as_deref() {
                Ok(State::Ready(model)) => return Ok(model.clone()),
                Ok(State::Failed(failure)) => return Err(failed(failure.clone())),
                // It was unloaded just now: it is loaded again.
                Ok(State::Unloaded) => {}
                Ok(State::Loading(_)) | Err(_) => return Err(failed(Failure::Gone)),
            }
        }
    }

    fn state<N, L>(
        &self,
        name: &str,
        needed: impl Fn() -> N,
        load: impl Fn(Progress) -> L,
    ) -> watch::Receiver<State<M>>
    where
        N: Future<Output = Result<u64, Failure>> + Send + 'static,
        L: Future<Output = Result<M, Failure>> + Send + 'static,
    {
        let mut places = self.inner.lock();
        places.clock += 1;
        let used = places.clock;
        if let Some(place) = places.by_name.get_mut(name) {
            place.used = used;
            return place.state.subscribe();
        }
        let state = Arc::new(watch::Sender::new(State::Loading(0.0)));
        let receiver = state.subscribe();
        places.by_name.insert(name.to_owned(), Place { state: Arc::clone(&state), used });
        let listener = Arc::clone(&state);
        let loading = load(Box::new(move |share| {
            listener.send_if_modified(|state| match state {
                State::Loading(before) if share - *before > 0.01 => {
                    *before = share;
                    true
                }
                State::Loading(_) | State::Ready(_) | State::Failed(_) | State::Unloaded => false,
            });
        }));
        let (inner, name, needed) = (Arc::clone(&self.inner), name.to_owned(), needed());
        self.tasks.spawn(async move {
            match inner.load(&name, needed, loading).await {
                Ok(model) => _ = state.send_replace(State::Ready(model)),
                Err(failure) => {
                    tracing::warn!(target: "inference", "`{name}` cannot be loaded: {failure}");
                    // The next request tries again.
                    inner.lock().by_name.remove(&name);
                    state.send_replace(State::Failed(failure));
                }
            }
        });
        receiver
    }

    /// What is being loaded and what the loaded models do, for people and in numbers.
    pub(crate) fn health(&self) -> ProviderHealth {
        let places = self.inner.lock();
        let (mut loading, mut loaded, mut models) = (Vec::new(), Vec::new(), Vec::new());
        for (name, place) in &places.by_name {
            let name = stem(Path::new(name));
            match &*place.state.borrow() {
                State::Loading(share) => {
                    loading.push(format!("loading `{name}`: {:.0} %", share * 100.0));
                }
                State::Ready(model) => {
                    let (activity, memory) = (model.activity(), model.memory());
                    loaded.push(format!("`{name}` ({}): {activity}", size(memory)));
                    models.push(numbers(name, memory, activity));
                }
                State::Failed(_) | State::Unloaded => {}
            }
        }
        let status = if loading.is_empty() { HealthStatus::Ok } else { HealthStatus::Starting };
        loading.extend(loaded);
        let message = (!loading.is_empty()).then(|| loading.join("; "));
        ProviderHealth { status, message, models: Some(models) }
    }

    /// Unloads all models, once nobody uses them.
    pub(crate) fn clear(&self) {
        self.inner.lock().by_name.clear();
    }
}

/// The health of a provider with two shelves.
pub(crate) fn together(first: ProviderHealth, second: ProviderHealth) -> ProviderHealth {
    let starting = [&first, &second].iter().any(|health| health.status == HealthStatus::Starting);
    let messages: Vec<String> = first.message.into_iter().chain(second.message).collect();
    let models = first.models.into_iter().chain(second.models).flatten();
    ProviderHealth {
        status: if starting { HealthStatus::Starting } else { HealthStatus::Ok },
        message: (!messages.is_empty()).then(|| messages.join("; ")),
        models: Some(models.collect()),
    }
}

fn numbers(model: String, memory: u64, activity: Activity) -> ModelActivity {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    ModelActivity {
        model,
        memory_bytes: count(memory),
        waiting: length(activity.waiting),
        running: length(activity.running),
        served: count(activity.served),
        paused: count(activity.paused),
        prompt_tokens: count(activity.prompt_tokens),
        cached_prompt_tokens: count(activity.reused_tokens),
        cache_hits: count(activity.reuses),
        completion_tokens: count(activity.answer_tokens),
        batch_size: activity.batch,
        prompt_tokens_per_second: activity.prompt_rate,
        completion_tokens_per_second: activity.answer_rate,
        cache_used: length(activity.cached),
        cache_length: length(activity.cache_length),
    }
}

impl<M: Loaded> Inner<M> {
    fn lock(&self) -> MutexGuard<'_, Places<M>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(
        &self,
        name: &str,
        needed: impl Future<Output = Result<u64, Failure>>,
        loading: impl Future<Output = Result<M, Failure>>,
    ) -> Result<M, Failure> {
        let needed = needed.await?;
        let _turn = self.loading.lock().await;
        self.make_room(needed).await?;
        let began = Instant::now();
        let model = loading.await?;
        let took = began.elapsed().as_millis();
        tracing::info!(target: "inference", "Loaded `{name}` in {took} ms");
        Ok(model)
    }

    /// Unloads models until there is room for `needed` bytes.
    async fn make_room(&self, needed: u64) -> Result<(), Failure> {
        if let Some(limit) = self.limit.filter(|limit| needed > *limit) {
            return Err(Failure::OverLimit { needed, limit });
        }
        loop {
            let full = match self.limit {
                Some(limit) => self.taken() + needed > limit,
                None => available_memory().is_some_and(|available| needed > available),
            };
            if !full {
                return Ok(());
            }
            if let Some((name, model)) = self.take_oldest() {
                tracing::info!(target: "inference", "Unloading `{name}` to make room");
                model.unload().await;
                continue;
            }
            let busy: Vec<_> = self.ready().iter().map(Loaded::idle).collect();
            if self.limit.is_none() || busy.is_empty() {
                // Whether it fits is for the engine to say.
                return Ok(());
            }
            select_all(busy).await;
        }
    }

    fn ready(&self) -> Vec<M> {
        let places = self.lock();
        let ready = places.by_name.values().filter_map(|place| match &*place.state.borrow() {
            State::Ready(model) => Some(model.clone()),
            State::Loading(_) | State::Failed(_) | State::Unloaded => None,
        });
        ready.collect()
    }

    /// The memory of the loaded models.
    fn taken(&self) -> u64 {
        self.ready().iter().map(Loaded::memory).sum()
    }

    /// Takes the model from the shelf that was unused for the longest time, if one is unused.
    fn take_oldest(&self) -> Option<(String, M)> {
        let mut places = self.lock();
        let mut names: Vec<(u64, String)> =
            places.by_name.iter().map(|(name, place)| (place.used, name.clone())).collect();
        names.sort_unstable();
        for (_, name) in names {
            let mut taken = None;
            places.by_name.get(&name)?.state.send_if_modified(|state| match state {
                State::Ready(model) if !model.in_use() => {
                    if let State::Ready(model) = std::mem::replace(state, State::Unloaded) {
                        taken = Some(model);
                    }
                    true
                }
                State::Ready(_) | State::Loading(_) | State::Failed(_) | State::Unloaded => false,
            });
            if let Some(model) = taken {
                places.by_name.remove(&name);
                return Some((name, model));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A model that says what happens to it.
    #[derive(Clone)]
    struct Fake {
        name: &'static str,
        uses: Arc<()>,
        idle: Arc<watch::Sender<bool>>,
        log: Arc<Mutex<Vec<String>>>,
    }

    impl Loaded for Fake {
        fn memory(&self) -> u64 {
            40
        }
        fn in_use(&self) -> bool {
            !*self.idle.borrow()
        }
        fn idle(&self) -> BoxFuture<'static, ()> {
            let mut idle = self.idle.subscribe();
            async move { _ = idle.wait_for(|idle| *idle).await }.boxed()
        }
        fn unload(self) -> BoxFuture<'static, ()> {
            self.log.lock().unwrap().push(format!("unload {}", self.name));
            async {}.boxed()
        }
        fn activity(&self) -> Activity {
            Activity { served: Arc::strong_count(&self.uses) as u64, ..Activity::default() }
        }
    }

    #[derive(Default)]
    struct World {
        log: Arc<Mutex<Vec<String>>>,
        idle: BTreeMap<&'static str, Arc<watch::Sender<bool>>>,
    }

    impl World {
        async fn get(&mut self, shelf: &Shelf<Fake>, name: &'static str) -> Result<Fake> {
            let idle = self.idle.entry(name).or_insert_with(|| Arc::new(watch::Sender::new(true)));
            let model = Fake {
                name,
                uses: Arc::default(),
                idle: Arc::clone(idle),
                log: Arc::clone(&self.log),
            };
            let load = |_: Progress| {
                let model = model.clone();
                async move {
                    model.log.lock().unwrap().push(format!("load {}", model.name));
                    Ok(model)
                }
            };
            shelf.get(name, || async { Ok(40) }, load).await
        }

        fn log(&self) -> Vec<String> {
            self.log.lock().unwrap().clone()
        }
    }

    #[tokio::test]
    async fn the_model_that_was_unused_for_the_longest_time_gives_way() {
        let shelf = Shelf::new(Tasks::default(), Some(100));
        let mut world = World::default();
        for name in ["a", "b", "a", "c", "a", "b"] {
            assert_eq!(world.get(&shelf, name).await.unwrap().name, name);
        }
        let expected = ["load a", "load b", "unload b", "load c", "unload c", "load b"];
        assert_eq!(world.log(), expected);
    }

    #[tokio::test]
    async fn a_model_in_use_stays_and_the_next_one_waits_for_it() {
        let shelf = Shelf::new(Tasks::default(), Some(50));
        let mut world = World::default();
        world.get(&shelf, "a").await.unwrap();
        let idle = Arc::clone(&world.idle["a"]);
        idle.send_replace(false);
        let log = Arc::clone(&world.log);
        let finish = async {
            while !shelf.health().message.unwrap_or_default().contains("loading `b`") {
                tokio::task::yield_now().await;
            }
            assert_eq!(*log.lock().unwrap(), ["load a"]);
            idle.send_replace(true);
        };
        let mut other = World { log: Arc::clone(&world.log), ..World::default() };
        let (b, ()) = tokio::join!(other.get(&shelf, "b"), finish);
        assert_eq!(b.unwrap().name, "b");
        assert_eq!(world.log(), ["load a", "unload a", "load b"]);
    }

    #[tokio::test]
    async fn a_model_over_the_limit_is_refused_with_both_numbers() {
        let shelf = Shelf::new(Tasks::default(), Some(39));
        let error = World::default().get(&shelf, "a").await.err().unwrap();
        assert!(error.message.contains("needs 40 bytes of memory"), "{error}");
        assert!(error.message.contains("raise `memory_limit_mb`"), "{error}");
    }

    fn fake() -> Fake {
        Fake {
            name: "m",
            uses: Arc::default(),
            idle: Arc::new(watch::Sender::new(true)),
            log: Arc::default(),
        }
    }

    #[tokio::test]
    async fn a_model_is_loaded_once_for_all_who_wait() {
        let shelf = Arc::new(Shelf::new(Tasks::default(), None));
        let loads = Arc::new(AtomicUsize::new(0));
        let (go, gate) = watch::channel(false);
        let ask = || {
            let (shelf, loads, gate) = (Arc::clone(&shelf), Arc::clone(&loads), gate.clone());
            async move {
                let load = |mut progress: Progress| {
                    let (loads, mut gate) = (Arc::clone(&loads), gate.clone());
                    async move {
                        loads.fetch_add(1, Ordering::SeqCst);
                        progress(0.5);
                        gate.wait_for(|open| *open).await.unwrap();
                        Ok(fake())
                    }
                };
                shelf.get("m", || async { Ok(1) }, load).await
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
        assert_eq!((first.unwrap().name, second.unwrap().name), ("m", "m"));
        assert!(ask().await.is_ok());
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        let health = shelf.health();
        assert_eq!(health.status, HealthStatus::Ok);
        assert!(health.message.unwrap().starts_with("`m` (40 bytes): 0 running"));
        let told: Vec<(String, i64)> = health
            .models
            .into_iter()
            .flatten()
            .map(|told| (told.model, told.memory_bytes))
            .collect();
        assert_eq!(told, [("m".to_owned(), 40)]);
    }

    #[tokio::test]
    async fn a_failed_load_is_told_and_tried_again_by_the_next_request() {
        let shelf: Shelf<Fake> = Shelf::new(Tasks::default(), None);
        let broken = || Failure::Broken { message: "no such luck".into() };
        let error =
            shelf.get("m", || async { Ok(1) }, |_| async move { Err(broken()) }).await.err();
        assert_eq!(error.unwrap().message, "no such luck");
        let model = shelf.get("m", || async { Ok(1) }, |_| async { Ok(fake()) }).await;
        assert_eq!(model.unwrap().name, "m");
    }
}
