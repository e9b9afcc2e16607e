//! Wiring: from a configuration to a running stack, top to bottom.

use crate::{
    Catalog, Data, RoutingTable,
    cache::Remembering,
    config::{RunConfig, StorageConfig},
    files::Files,
    instance::{Instance, Pace},
    registry::Registry,
    resolver::{self, Availability, Plan},
    routers::{self, Dice, InferenceRouter},
    table::{LIST_PAUSE, Place, targets},
};
use chaski_api::{
    Api, Error, Reader, Result, Wire,
    inspect::{HealthStatus, ModelUsage, ProviderHealth, ProviderInfo},
    models::Model,
};
use chaski_provider::{Deps, Inference, InferenceProvider};
use chaski_store::{KvStore, Memory, Sqlite};
use serde_json::Value;
use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long the start waits for providers to be built; the others follow in the background.
const BUILD_TIME: Duration = Duration::from_secs(2);
/// How long one provider may take to stop.
const STOP_TIME: Duration = Duration::from_secs(5);

/// What a stack is started with.
pub struct StackOptions {
    pub config: RunConfig,
    /// The configuration as the file has it, for showing: [`crate::Loaded::raw`].
    pub raw: Value,
    pub catalog: Catalog,
    pub deps: Deps,
    /// Where the registry is kept; see [`open_store`].
    pub store: Arc<dyn KvStore>,
    /// Where the data of callers is kept.
    pub data: Data,
}

/// Whether the routes of an API are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    Yes,
    /// The configuration leaves it out.
    NotServed,
    /// The configuration asks for it, but nothing can serve it; the reason is for callers.
    Unavailable(String),
}

/// A running stack.
pub struct Stack {
    /// The configuration that it runs.
    pub config: RunConfig,
    pub models: Arc<RoutingTable<Model>>,
    /// Inference over all providers.
    pub inference: Arc<dyn Inference>,
    /// The files of callers.
    pub files: Files,
    plan: Plan,
    inference_instances: Vec<Arc<Instance<dyn InferenceProvider>>>,
    deps: Deps,
}

impl Stack {
    /// Starts everything. Providers that cannot start are tried again in the background.
    ///
    /// # Errors
    /// The configuration cannot be run, or the store cannot be read.
    pub async fn start(options: StackOptions) -> Result<Arc<Self>> {
        let StackOptions { config, raw: _, catalog, deps, store, data } = options;
        let plan = resolver::plan(&config, &catalog);
        if !plan.problems.is_empty() {
            return Err(Error::malformed(plan.problems));
        }

        let instances: Vec<Arc<Instance<dyn InferenceProvider>>> = plan
            .instances
            .iter()
            .filter(|planned| planned.api == Api::Inference)
            .filter(|planned| planned.availability != Availability::Disabled)
            .map(|planned| {
                let entry = catalog
                    .inference
                    .iter()
                    .find(|entry| entry.is(&planned.provider_type))
                    .copied();
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

        let only = match instances.as_slice() {
            [only] => Some(only.id.clone()),
            _ => None,
        };
        let declared = routers::declared(&config, only.as_deref());
        let discovering = discovering(&plan, &declared);
        let models =
            RoutingTable::load(Registry::new(store), instances.clone(), discovering, declared)
                .await?;
        let models = Arc::new(models);

        for instance in &instances {
            let (table, id) = (Arc::clone(&models), instance.id.clone());
            let on_up = Box::new(move |provider: Arc<dyn InferenceProvider>| -> futures_util::future::BoxFuture<'static, ()> {
                let (table, id) = (Arc::clone(&table), id.clone());
                Box::pin(async move { table.settle(&id, &provider).await })
            });
            deps.tasks.spawn(Arc::clone(instance).look_after(deps.clone(), on_up));
        }
        let table = Arc::clone(&models);
        deps.tasks.spawn(async move { table.keep_fresh(LIST_PAUSE).await });
        let built = futures_util::future::join_all(instances.iter().map(|one| one.attempted()));
        if timeout(BUILD_TIME, built).await.is_err() {
            tracing::warn!(target: "core", "some providers are still starting");
        }

        let router = InferenceRouter::new(Arc::clone(&models), Dice::default());
        let mut inference: Arc<dyn Inference> = Arc::new(router);
        if let Some(cache) = &config.response_cache {
            inference = Arc::new(Remembering::new(inference, Arc::clone(&models), cache));
        }
        let files = Files::new(data, config.files.clone());
        deps.tasks.spawn(files.clone().upkeep());
        Ok(Arc::new(Self {
            config,
            models,
            inference,
            files,
            plan,
            inference_instances: instances,
            deps,
        }))
    }

    /// All configured providers with their health, in the order of the configuration; settings
    /// are redacted.
    pub fn providers(&self) -> Vec<ProviderInfo> {
        self.plan
            .instances
            .iter()
            .map(|planned| ProviderInfo {
                api: planned.api.to_string(),
                provider_id: planned.provider_id.clone(),
                provider_type: planned.provider_type.clone(),
                config: planned.shown.clone(),
                health: self.health(planned),
            })
            .collect()
    }

    /// What the requests for each model took, by the targets of the model.
    pub fn usage(&self) -> Vec<ModelUsage> {
        let models = self.models.placed();
        models.iter().flat_map(|placed| placed.places.iter().map(Place::spent)).collect()
    }

    fn health(&self, planned: &resolver::Planned) -> ProviderHealth {
        if planned.availability == Availability::Disabled {
            return ProviderHealth { status: HealthStatus::Disabled, message: None };
        }
        let instance = self
            .inference_instances
            .iter()
            .filter(|_| planned.api == Api::Inference)
            .find(|instance| instance.id == planned.provider_id);
        instance.map_or_else(
            || ProviderHealth {
                status: HealthStatus::Unavailable,
                message: Some(format!(
                    "this build does not contain `{}` yet",
                    planned.provider_type
                )),
            },
            |instance| instance.health(),
        )
    }

    /// The types configured for exactly this API, those switched off included.
    pub fn provider_types(&self, api: Api) -> Vec<String> {
        let of_api = self.plan.instances.iter().filter(|planned| planned.api == api);
        of_api.map(|planned| planned.provider_type.clone()).collect()
    }

    /// Whether the routes of `api` are served.
    pub fn served(&self, api: Api) -> Served {
        if !self.plan.wants(api) {
            return Served::NotServed;
        }
        if matches!(api, Api::Inspect | Api::Providers | Api::Models | Api::Files) {
            return Served::Yes;
        }
        let mut configured = self
            .plan
            .instances
            .iter()
            .filter(|planned| planned.api == api.behaviour())
            .filter(|planned| planned.availability != Availability::Disabled)
            .peekable();
        if configured.peek().is_none() && api == Api::Inference {
            return Served::Yes;
        }
        if configured.clone().any(|planned| planned.availability == Availability::Contained) {
            return Served::Yes;
        }
        let types: Vec<String> =
            configured.map(|planned| format!("`{}`", planned.provider_type)).collect();
        Served::Unavailable(match types.as_slice() {
            [] => format!("this build does not serve `{api}` yet"),
            types => format!(
                "no provider for `{api}` is available: this build does not contain {} yet",
                types.join(", ")
            ),
        })
    }

    /// Stops all providers, those first that use others, and the work in the background.
    pub async fn shutdown(&self) {
        for api in self.plan.order.iter().rev() {
            if *api != Api::Inference {
                continue;
            }
            let stopping = self.inference_instances.iter().rev().map(|instance| async move {
                let Some(provider) = instance.built() else { return };
                if timeout(STOP_TIME, provider.shutdown()).await.is_err() {
                    tracing::warn!(target: "core", provider = %instance.id, "provider did not stop in time");
                }
            });
            futures_util::future::join_all(stopping).await;
        }
        self.deps.tasks.abort_all();
    }
}

/// The providers whose own offers are listed: those without declared models, and those that ask
/// for it with `refresh_models`, unless they ask against it.
fn discovering(plan: &Plan, declared: &[Model]) -> HashSet<String> {
    let wants = |planned: &&resolver::Planned| {
        let asked = planned.config.get("refresh_models").cloned();
        let asked = asked.and_then(|value| bool::read(value, &mut Reader::default()));
        asked.unwrap_or_else(|| {
            let mut targets = declared.iter().flat_map(targets);
            !targets.any(|target| target.provider_id == planned.provider_id)
        })
    };
    let inference = plan.instances.iter().filter(|planned| planned.api == Api::Inference);
    inference.filter(wants).map(|planned| planned.provider_id.clone()).collect()
}

/// Opens the store that a configuration names, or the default one below `config_dir`.
///
/// # Errors
/// The store cannot be opened, or this build does not contain its kind.
pub fn open_store(config: &RunConfig, config_dir: &Path) -> Result<Arc<dyn KvStore>> {
    if let Some(reason) = config.metadata_store.as_ref().and_then(StorageConfig::missing) {
        return Err(Error::unsupported(format!("`metadata_store`: {reason}")));
    }
    let path = match &config.metadata_store {
        Some(StorageConfig::Sqlite(sqlite)) => match sqlite.db_path.as_deref() {
            Some(":memory:") => return Ok(Arc::new(Memory::default())),
            Some(path) => path.into(),
            None => config_dir.join("runtime").join("kvstore.db"),
        },
        _ => config_dir.join("distributions").join(&config.image_name).join("kvstore.db"),
    };
    Ok(Arc::new(Sqlite::open(path)?))
}

#[cfg(test)]
mod tests;
