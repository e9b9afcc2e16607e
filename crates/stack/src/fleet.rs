//! The provider instances of all APIs, whatever their providers do.

use crate::{
    instance::{Instance, OnUp, Pace},
    resolver::{Availability, Plan},
};
use async_trait::async_trait;
use chaski_api::{Api, inspect::ProviderHealth};
use chaski_provider::{Deps, Entry, Lifecycle};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long one provider may take to stop.
const STOP_TIME: Duration = Duration::from_secs(5);

/// What can be said to an instance without knowing what its provider does.
#[async_trait]
trait Watched: Send + Sync {
    fn id(&self) -> &str;
    fn health(&self) -> ProviderHealth;
    async fn attempted(&self);
    async fn stop(&self);
}

#[async_trait]
impl<A: Lifecycle + ?Sized + 'static> Watched for Instance<A> {
    fn id(&self) -> &str {
        &self.id
    }
    fn health(&self) -> ProviderHealth {
        self.health()
    }
    async fn attempted(&self) {
        self.attempted().await;
    }
    async fn stop(&self) {
        let Some(provider) = self.built() else { return };
        if timeout(STOP_TIME, provider.shutdown()).await.is_err() {
            tracing::warn!(target: "core", provider = %self.id, "provider did not stop in time");
        }
    }
}

/// The instances of all APIs, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Fleet(Vec<(Api, Arc<dyn Watched>)>);

impl Fleet {
    /// Makes the instances of `api`; none of them is built yet.
    pub(crate) fn add<A: Lifecycle + ?Sized + 'static>(
        &mut self,
        api: Api,
        table: &[Entry<A>],
        plan: &Plan,
        deps: &Deps,
    ) -> Vec<Arc<Instance<A>>> {
        let planned = plan
            .instances
            .iter()
            .filter(|planned| planned.api == api && planned.availability != Availability::Disabled);
        let instances: Vec<Arc<Instance<A>>> = planned
            .map(|planned| {
                let entry = table.iter().find(|entry| entry.is(&planned.provider_type)).copied();
                Arc::new(Instance::new(
                    planned.provider_id.clone(),
                    planned.provider_type.clone(),
                    entry,
                    planned.config.clone(),
                    deps.http.adjusted(|options| {
                        planned.network.apply(&planned.provider_id, options);
                    }),
                    Pace::default(),
                ))
            })
            .collect();
        for instance in &instances {
            self.0.push((api, Arc::clone(instance) as Arc<dyn Watched>));
        }
        instances
    }

    /// The health of an instance, if there is one of this API and id.
    pub(crate) fn health(&self, api: Api, id: &str) -> Option<ProviderHealth> {
        let found = self.0.iter().find(|(of, instance)| *of == api && instance.id() == id);
        found.map(|(_, instance)| instance.health())
    }

    /// Waits until every provider is built or has failed once.
    pub(crate) async fn attempted(&self) {
        let attempts = self.0.iter().map(|(_, instance)| instance.attempted());
        futures_util::future::join_all(attempts).await;
    }

    /// Stops the providers of an API.
    pub(crate) async fn stop(&self, api: Api) {
        let of_api = self.0.iter().rev().filter(|(of, _)| *of == api);
        futures_util::future::join_all(of_api.map(|(_, instance)| instance.stop())).await;
    }
}

/// Builds the providers of these instances in the background, and looks after them.
pub(crate) fn look_after<A: Lifecycle + ?Sized + 'static>(
    instances: &[Arc<Instance<A>>],
    deps: &Deps,
    on_up: impl Fn(&str) -> OnUp<A>,
) {
    for instance in instances {
        let work = Arc::clone(instance).look_after(deps.clone(), on_up(&instance.id));
        deps.tasks.spawn(work);
    }
}
