//! One configured provider: building it, watching it, and what to answer while it is down.

use crate::config::redacted_text;
use arc_swap::ArcSwapOption;
use chaski_api::{
    Error, ErrorKind, Result,
    inspect::{HealthStatus, ProviderHealth},
};
use chaski_provider::{Deps, Entry, Lifecycle};
use chaski_upstream::Http;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

/// How patient the stack is with a provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The pause after the first failure; it doubles up to `longest`.
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// How long a check may take.
    pub(crate) check: Duration,
    /// How often a provider that works is checked.
    pub(crate) recheck: Duration,
    /// For how long after the start requests wait for a provider that is not up yet: a stack and
    /// its upstreams often start together.
    pub(crate) grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            longest: Duration::from_mins(1),
            check: Duration::from_secs(10),
            recheck: Duration::from_mins(1),
            grace: Duration::from_secs(5),
        }
    }
}

/// How an instance is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Not built or not checked yet.
    Starting,
    Up,
    /// Cannot be built or reached, and why.
    Down(String),
}

/// Runs when an instance comes up, at start and after every failure.
pub(crate) type OnUp<A> = Box<dyn Fn(Arc<A>) -> BoxFuture<'static, ()> + Send + Sync>;

/// A provider of the configuration that is not switched off.
pub(crate) struct Instance<A: ?Sized> {
    pub(crate) id: String,
    pub(crate) provider_type: String,
    /// Nothing where this build does not contain the type.
    entry: Option<Entry<A>>,
    config: Value,
    /// Its own client, with the limits of its entry.
    http: Http,
    built: ArcSwapOption<Built<A>>,
    state: watch::Sender<State>,
    wake: Notify,
    pace: Pace,
    born: Instant,
}

/// A pointer that the swap can hold.
struct Built<A: ?Sized>(Arc<A>);

impl<A: Lifecycle + ?Sized + 'static> Instance<A> {
    pub(crate) fn new(
        id: String,
        provider_type: String,
        entry: Option<Entry<A>>,
        config: Value,
        http: Http,
        pace: Pace,
    ) -> Self {
        Self {
            id,
            provider_type,
            entry,
            config,
            http,
            built: ArcSwapOption::empty(),
            state: watch::Sender::new(State::Starting),
            wake: Notify::new(),
            pace,
            born: Instant::now(),
        }
    }

    /// The keys of the provider-data header that the provider may see.
    pub(crate) fn provider_data_keys(&self) -> &'static [&'static str] {
        self.entry.map(|entry| entry.spec.provider_data).unwrap_or_default()
    }

    /// Whether streams show the calls of its models as they are written.
    pub(crate) fn streams_calls(&self) -> bool {
        self.entry.is_some_and(|entry| entry.spec.streams_calls)
    }

    /// The provider, if a request can be given to it now.
    pub(crate) fn provider(&self) -> Result<Arc<A>> {
        if self.entry.is_none() {
            return Err(Error::unsupported(self.missing()));
        }
        let built = self.built.load();
        match (&*self.state.borrow(), built.as_ref()) {
            (State::Up | State::Starting, Some(built)) => Ok(Arc::clone(&built.0)),
            (State::Down(reason), _) => {
                // Somebody needs it: worth an early attempt.
                self.wake.notify_one();
                Err(self.unavailable(&format!("is not available: {reason}")))
            }
            (State::Up | State::Starting, None) => Err(self.unavailable("is starting")),
        }
    }

    /// The provider, for which a request waits a little if the stack has just started.
    pub(crate) async fn ready(&self) -> Result<Arc<A>> {
        let left = self.pace.grace.saturating_sub(self.born.elapsed());
        let provider = self.provider();
        if provider.is_ok() || self.entry.is_none() || left.is_zero() {
            return provider;
        }
        let mut state = self.state.subscribe();
        let up = state.wait_for(|state| *state == State::Up);
        let _: Result<_, _> = timeout(left, up).await;
        self.provider()
    }

    /// The provider in whatever state, once it is built.
    pub(crate) fn built(&self) -> Option<Arc<A>> {
        self.built.load().as_ref().map(|built| Arc::clone(&built.0))
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.state.borrow() == State::Up
    }

    fn missing(&self) -> String {
        format!(
            "this build does not contain `{}` yet, the type of provider `{}`",
            self.provider_type, self.id
        )
    }

    fn unavailable(&self, what: &str) -> Error {
        let kind = ErrorKind::Unavailable { retry_after: Some(Duration::from_secs(1)) };
        Error::new(kind, format!("provider `{}` {what}", self.id))
    }

    pub(crate) fn health(&self) -> ProviderHealth {
        let is = ProviderHealth::new;
        if self.entry.is_none() {
            return is(HealthStatus::Unavailable, Some(self.missing()));
        }
        match (&*self.state.borrow(), self.built()) {
            (State::Down(reason), _) => is(HealthStatus::Degraded, Some(reason.clone())),
            (State::Up, Some(provider)) => match self.http.trouble() {
                Some(trouble) => is(HealthStatus::Degraded, Some(trouble)),
                None => provider.health(),
            },
            (State::Up | State::Starting, _) => is(HealthStatus::Starting, None),
        }
    }

    /// Waits until the provider is built or has failed once.
    pub(crate) async fn attempted(&self) {
        if self.entry.is_none() {
            return;
        }
        let mut state = self.state.subscribe();
        loop {
            if self.built.load().is_some() || *state.borrow_and_update() != State::Starting {
                return;
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Builds the provider and looks after it, until the stack ends.
    pub(crate) async fn look_after(self: Arc<Self>, deps: Deps, on_up: OnUp<A>) {
        let Some(entry) = self.entry else { return };
        let mut pause = self.pace.first;
        let mut failures = 0_u32;
        loop {
            match self.attempt(&entry, &deps).await {
                Ok(provider) => {
                    failures = 0;
                    pause = self.pace.first;
                    if !self.is_up() {
                        on_up(provider).await;
                        tracing::info!(target: "core", provider = %self.id, "provider is up");
                        self.state.send_replace(State::Up);
                    }
                    sleep(self.pace.recheck).await;
                }
                Err(error) => {
                    failures += 1;
                    // A single slip of a provider that worked does not stop it.
                    if !(self.is_up() && failures == 1) {
                        self.down(&error);
                    }
                    self.rest(pause).await;
                    pause = (pause * 2).min(self.pace.longest);
                }
            }
        }
    }

    async fn attempt(&self, entry: &Entry<A>, deps: &Deps) -> Result<Arc<A>> {
        let provider = if let Some(provider) = self.built() {
            provider
        } else {
            let environment = deps.environment.limited_to(entry.spec.environment);
            let deps = Deps { http: self.http.clone(), environment, ..deps.clone() };
            let provider = (entry.build)(self.config.clone(), deps).await?;
            self.built.store(Some(Arc::new(Built(Arc::clone(&provider)))));
            // Tells those who wait for the attempt. A provider that could not be built before is
            // as good as a new one.
            self.state.send_replace(State::Starting);
            provider
        };
        match timeout(self.pace.check, provider.check()).await {
            Ok(outcome) => outcome.map(|()| provider),
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                format!("no answer to the check within {} s", self.pace.check.as_secs_f32()),
            )),
        }
    }

    fn down(&self, error: &Error) {
        // Reasons are shown to callers, and an upstream's address may hold a password.
        let reason = redacted_text(&error.message);
        let changed = *self.state.borrow() != State::Down(reason.clone());
        if changed {
            tracing::warn!(
                target: "core",
                provider = %self.id,
                r#type = %self.provider_type,
                "provider is degraded and will be tried again: {}",
                redacted_text(&error.chain())
            );
        }
        self.state.send_replace(State::Down(reason));
    }

    /// Waits for `pause`, or less when a request asks for the provider.
    async fn rest(&self, pause: Duration) {
        sleep(self.pace.first.min(pause)).await;
        let left = pause.saturating_sub(self.pace.first);
        if !left.is_zero() {
            let _: Result<(), _> = timeout(left, self.wake.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Instance, Pace};
    use crate::testing::{catalog, deps, eventually, script};
    use chaski_api::inspect::HealthStatus;
    use chaski_provider::InferenceProvider;
    use serde_json::json;
    use std::{sync::Arc, time::Duration};

    /// An instance that is looked after at the pace of a test.
    fn watched(url: &str, pace: Pace) -> Arc<Instance<dyn InferenceProvider>> {
        let entry = catalog().inference[0];
        let config = json!({ "url": url });
        let kind = entry.spec.provider_type.to_owned();
        let deps = deps();
        let http = deps.http.clone();
        let instance =
            Arc::new(Instance::new("v".to_owned(), kind, Some(entry), config, http, pace));
        let on_up = Box::new(|_| Box::pin(std::future::ready(())) as _);
        deps.tasks.spawn(Arc::clone(&instance).look_after(deps.clone(), on_up));
        instance
    }

    fn quick() -> Pace {
        let brief = Duration::from_millis(5);
        let check = Duration::from_secs(10);
        Pace { first: brief, longest: brief, check, recheck: brief, grace: Duration::ZERO }
    }

    #[tokio::test]
    async fn a_request_waits_for_a_provider_that_starts_together_with_the_stack() {
        let script = script("fake://late");
        script.check.fails("not yet");
        let instance = watched("fake://late", Pace { grace: Duration::from_mins(5), ..quick() });
        eventually("down", || instance.health().status == HealthStatus::Degraded).await;
        let (asked, ()) = tokio::join!(instance.ready(), async { script.check.works() });
        assert!(asked.is_ok());
    }

    #[tokio::test]
    async fn a_provider_that_fails_is_down_until_it_works_again() {
        let script = script("fake://flaps");
        let instance = watched("fake://flaps", quick());
        for _ in 0..3 {
            eventually("up", || instance.is_up()).await;
            assert!(instance.provider().is_ok());
            script.check.fails("no answer from http://me:password@h/");
            eventually("down", || instance.health().status == HealthStatus::Degraded).await;
            let message = instance.health().message;
            assert_eq!(message.as_deref(), Some("no answer from http://me:********@h/"));
            assert!(instance.provider().is_err());
            script.check.works();
        }
    }

    #[tokio::test]
    async fn one_slip_does_not_take_a_provider_down() {
        let script = script("fake://slips");
        let pace = Pace { first: Duration::from_mins(5), ..quick() };
        let instance = watched("fake://slips", pace);
        eventually("up", || instance.is_up()).await;
        script.check.fails("one slip");
        let before = script.check.count();
        eventually("the check has failed", || script.check.count() > before).await;
        assert!(instance.is_up());
        assert!(instance.provider().is_ok());
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_given_up() {
        let script = script("fake://hangs");
        script.check.hangs();
        let instance =
            watched("fake://hangs", Pace { check: Duration::from_millis(500), ..quick() });
        eventually("down", || instance.health().status == HealthStatus::Degraded).await;
        let message = instance.health().message;
        assert_eq!(message.as_deref(), Some("no answer to the check within 0.5 s"));
    }

    #[tokio::test]
    async fn a_request_hastens_the_next_attempt() {
        let script = script("fake://hastened");
        script.check.fails("gone");
        let pace = Pace { longest: Duration::from_mins(5), ..quick() };
        let instance = watched("fake://hastened", pace);
        // By now the pause is longer than anybody wants to wait.
        eventually("many failures", || script.check.count() >= 8).await;
        script.check.works();
        eventually("up", || instance.provider().is_ok()).await;
    }
}
