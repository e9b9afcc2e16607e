//! Wiring: from a configuration to a running stack, top to bottom.

use crate::{
    Catalog, Data, RoutingTable,
    cache::Remembering,
    config::{RunConfig, StorageConfig},
    data,
    files::Files,
    fleet::{Fleet, look_after},
    guarding::{self, Guarding},
    instance::{Instance, OnUp},
    jobs::{Jobs, Pace},
    registry::Registry,
    resolver::{self, Availability, Plan},
    routers::{
        DatasetRouter, Declared, Dice, InferenceRouter, ShieldRouter, ToolRuntimeRouter,
        VectorIoRouter,
    },
    table::{LIST_PAUSE, Place, targets},
    vector_stores::{Parts, VectorStores},
};
use chaski_api::{
    Api, Error, Reader, Result, Wire,
    datasets::Dataset,
    inspect::{HealthStatus, ModelUsage, ProviderHealth, ProviderInfo},
    models::Model,
    retrieval::VectorDb,
    safety::Shield,
};
use chaski_provider::{
    AgentsProvider, Chat, Datasets, Deps, Inference, Resource, Retrieval, Routers, Shields,
    SpanSink, TelemetryProvider, ToolGroupRecord, Tools,
};
use chaski_store::{KvStore, Memory, Sqlite};
use chaski_upstream::Http;
use serde_json::Value;
use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long the start waits for providers to be built; the others follow in the background.
const BUILD_TIME: Duration = Duration::from_secs(2);

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
    pub vector_dbs: Arc<RoutingTable<VectorDb>>,
    /// Inference over all providers.
    pub inference: Arc<dyn Inference>,
    /// The files of callers.
    pub files: Files,
    /// The vector stores of callers.
    pub vector_stores: VectorStores,
    jobs: Jobs,
    /// All vector databases, with the embedding that belongs to each.
    pub retrieval: Arc<dyn Retrieval>,
    /// The tools of all providers.
    pub tools: Arc<dyn Tools>,
    /// The groups that they are registered in.
    pub tool_groups: Arc<RoutingTable<ToolGroupRecord>>,
    /// The shields of all providers.
    pub shields: Arc<RoutingTable<Shield>>,
    /// Running them.
    pub safety: Arc<dyn Shields>,
    /// The datasets of all providers.
    pub datasets: Arc<RoutingTable<Dataset>>,
    /// Their rows.
    pub dataset_rows: Arc<dyn Datasets>,
    /// The providers of agents, in the order of the configuration.
    agents: Vec<Arc<Instance<dyn AgentsProvider>>>,
    /// The providers of telemetry, in the order of the configuration.
    telemetry: Vec<Arc<Instance<dyn TelemetryProvider>>>,
    plan: Plan,
    catalog: Catalog,
    fleet: Fleet,
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

        let mut fleet = Fleet::default();
        let instances = fleet.add(Api::Inference, catalog.inference, &plan, &deps);
        let stores = fleet.add(Api::VectorIo, catalog.vector_io, &plan, &deps);
        let tool_runtimes = fleet.add(Api::ToolRuntime, catalog.tool_runtime, &plan, &deps);
        // Shields ask models without shields: no shield is ever judged by itself.
        let of_guards = Deps { routers: Routers::default(), ..deps.clone() };
        let guards = fleet.add(Api::Safety, catalog.safety, &plan, &of_guards);
        let dataset_hosts = fleet.add(Api::DatasetIo, catalog.datasetio, &plan, &deps);
        let agents = fleet.add(Api::Agents, catalog.agents, &plan, &deps);
        let telemetry = fleet.add(Api::Telemetry, catalog.telemetry, &plan, &deps);

        let discovering = discovering(&plan, &Model::declared(&config, &hosts(&instances)));
        let models: Arc<RoutingTable<Model>> =
            table(&config, &store, &instances, discovering).await?;
        let nobody = HashSet::new();
        let vector_dbs: Arc<RoutingTable<VectorDb>> =
            table(&config, &store, &stores, nobody.clone()).await?;
        let tool_groups: Arc<RoutingTable<ToolGroupRecord>> =
            table(&config, &store, &tool_runtimes, nobody.clone()).await?;
        let shields: Arc<RoutingTable<Shield>> =
            table(&config, &store, &guards, nobody.clone()).await?;
        let datasets: Arc<RoutingTable<Dataset>> =
            table(&config, &store, &dataset_hosts, nobody).await?;

        let router = InferenceRouter::new(Arc::clone(&models), Dice::default());
        let mut inference: Arc<dyn Inference> = Arc::new(router);
        if let Some(cache) = &config.response_cache {
            inference = Arc::new(Remembering::new(inference, Arc::clone(&models), cache));
        }
        of_guards.routers.set_inference(&inference);
        let safety: Arc<dyn Shields> = Arc::new(ShieldRouter::new(Arc::clone(&shields)));
        if let Some(guarding) = Guarding::new(&inference, &safety, &config) {
            inference = Arc::new(guarding);
        }
        let router = VectorIoRouter::new(
            Arc::clone(&vector_dbs),
            Arc::clone(&models),
            Arc::clone(&inference),
        );
        let router = Arc::new(router);
        let retrieval: Arc<dyn Retrieval> = Arc::clone(&router) as Arc<dyn Retrieval>;
        let tools = ToolRuntimeRouter::new(
            Arc::clone(&tool_groups),
            tool_runtimes.clone(),
            deps.cpu.clone(),
        );
        let tools: Arc<dyn Tools> = Arc::new(tools);
        let dataset_rows: Arc<dyn Datasets> = Arc::new(DatasetRouter::new(Arc::clone(&datasets)));
        deps.routers.set_inference(&inference);
        deps.routers.set_retrieval(&retrieval);
        deps.routers.set_tools(&tools);
        deps.routers.set_shields(&safety);

        look_after(&instances, &deps, |id| settling(&models, id));
        look_after(&stores, &deps, |id| settling(&vector_dbs, id));
        look_after(&tool_runtimes, &deps, |id| settling(&tool_groups, id));
        look_after(&guards, &of_guards, |id| settling(&shields, id));
        look_after(&dataset_hosts, &deps, |id| settling(&datasets, id));
        look_after(&agents, &deps, |_| Box::new(|_| Box::pin(std::future::ready(()))));
        look_after(&telemetry, &deps, |_| Box::new(|_| Box::pin(std::future::ready(()))));
        let table = Arc::clone(&models);
        deps.tasks.spawn(async move { table.keep_fresh(LIST_PAUSE).await });
        if timeout(BUILD_TIME, fleet.attempted()).await.is_err() {
            tracing::warn!(target: "core", "some providers are still starting");
        }

        let files = Files::new(data.clone(), config.files.clone());
        let jobs = Jobs::new(data.database.clone(), Pace::default());
        let parts = Parts {
            data,
            files: files.clone(),
            jobs: jobs.clone(),
            dbs: Arc::clone(&vector_dbs),
            router,
            models: Arc::clone(&models),
            inference: Arc::clone(&inference),
            documents: deps.documents.clone(),
        };
        // One more than can compute: while some compute, another waits for an upstream.
        let vector_stores = VectorStores::start(parts, deps.compute_threads + 1);
        let upkeep = data::upkeep(files.clone(), jobs.clone(), vector_stores.clone());
        deps.tasks.spawn(upkeep);
        Ok(Arc::new(Self {
            config,
            models,
            vector_dbs,
            inference,
            files,
            vector_stores,
            jobs,
            retrieval,
            tools,
            tool_groups,
            shields,
            safety,
            datasets,
            dataset_rows,
            agents,
            telemetry,
            plan,
            catalog,
            fleet,
            deps,
        }))
    }

    /// The provider of agents: the first one of the configuration.
    ///
    /// # Errors
    /// None is configured, or it is not available.
    pub async fn agents(&self) -> Result<Arc<dyn AgentsProvider>> {
        let Some(instance) = self.agents.first() else {
            return Err(Error::unsupported(
                "no provider for `agents` is configured; add one to `providers.agents`",
            ));
        };
        instance.ready().await
    }

    /// The provider of telemetry: the first one of the configuration.
    ///
    /// # Errors
    /// None is configured, or it is not available.
    pub async fn telemetry(&self) -> Result<Arc<dyn TelemetryProvider>> {
        let Some(instance) = self.telemetry.first() else {
            return Err(Error::unsupported(
                "no provider for `telemetry` is configured; add one to `providers.telemetry`",
            ));
        };
        instance.ready().await
    }

    /// What keeps the spans of requests, if something does.
    pub fn spans(&self) -> Option<Arc<dyn SpanSink>> {
        let provider = self.telemetry.first()?.built()?;
        Some(provider)
    }

    /// Gives providers the chat in Llama Stack's form, which the server has.
    pub fn set_chat(&self, chat: &Arc<dyn Chat>) {
        self.deps.routers.set_chat(chat);
    }

    /// The client for everything outbound.
    pub fn http(&self) -> &Http {
        &self.deps.http
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
            return ProviderHealth::new(HealthStatus::Disabled, None);
        }
        self.fleet.health(planned.api, &planned.provider_id).unwrap_or_else(|| {
            let why = format!("this build does not contain `{}` yet", planned.provider_type);
            ProviderHealth::new(HealthStatus::Unavailable, Some(why))
        })
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
            [] if self.catalog.all().any(|known| known.spec.api == api.behaviour()) => {
                let behaviour = api.behaviour();
                format!("no provider for `{api}` is configured; add one to `providers.{behaviour}`")
            }
            [] => format!("this build does not serve `{api}` yet"),
            types => format!(
                "no provider for `{api}` is available: this build does not contain {} yet",
                types.join(", ")
            ),
        })
    }

    /// Stops all providers, those first that use others, and the work in the background.
    pub async fn shutdown(&self) {
        self.jobs.stop().await;
        for api in self.plan.order.iter().rev() {
            self.fleet.stop(*api).await;
        }
        self.deps.tasks.abort_all();
    }
}

/// The ids of these providers.
fn hosts<A: ?Sized>(instances: &[Arc<Instance<A>>]) -> Vec<&str> {
    instances.iter().map(|instance| instance.id.as_str()).collect()
}

/// The table of a kind of resource, with what the configuration declares of it. The offers of the
/// providers in `discovering` are listed.
async fn table<R: Declared>(
    config: &RunConfig,
    store: &Arc<dyn KvStore>,
    instances: &[Arc<Instance<R::Provider>>],
    discovering: HashSet<String>,
) -> Result<Arc<RoutingTable<R>>> {
    let declared = R::declared(config, &hosts(instances));
    let registry = Registry::new(Arc::clone(store));
    let shielded = (R::RELIED_ON && guarding::is_wanted(config)).then(|| R::alone_shielded(config));
    let table = RoutingTable::load(registry, instances.to_vec(), discovering, declared, shielded);
    table.await.map(Arc::new)
}

/// Gives a provider that has come up the resources that are declared for it.
fn settling<R: Resource>(table: &Arc<RoutingTable<R>>, id: &str) -> OnUp<R::Provider> {
    let (table, id) = (Arc::clone(table), id.to_owned());
    Box::new(move |provider| {
        let (table, id) = (Arc::clone(&table), id.clone());
        Box::pin(async move { table.settle(&id, &provider).await })
    })
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
