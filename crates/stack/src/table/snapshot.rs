//! What readers of a table see: the resources with everything that a request to them needs.

use super::{Fixed, Load, Records, Usage};
use crate::instance::Instance;
use chaski_api::{
    Error, Result,
    routing::{MOST_TARGETS, Strategy, Target},
};
use chaski_provider::{Context, Resource, Served};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// A resource, and where its requests may go.
pub(crate) struct Placed<R: Resource> {
    pub(crate) resource: R,
    pub(crate) strategy: Strategy,
    /// For how long a place that failed is tried last.
    pub(crate) cooldown: Duration,
    /// At least one.
    pub(crate) places: Vec<Place<R>>,
}

/// A provider model that requests for a resource may go to.
pub(crate) struct Place<R: Resource> {
    pub(crate) provider_id: String,
    /// The provider's id of the resource.
    pub(crate) resource_id: String,
    /// Nothing where the provider is not configured any more.
    instance: Option<Arc<Instance<R::Provider>>>,
    pub(crate) weight: u64,
    pub(crate) load: Arc<Load>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) served: Arc<Served>,
}

impl<R: Resource> Place<R> {
    /// The provider, if a request can be given to it now.
    pub(crate) fn provider(&self) -> Result<Arc<R::Provider>> {
        self.instance()?.provider()
    }

    /// The provider, for which a request waits a little if the stack has just started.
    pub(crate) async fn ready(&self) -> Result<Arc<R::Provider>> {
        self.instance()?.ready().await
    }

    /// The keys of the provider-data header that the provider may see.
    pub(crate) fn provider_data_keys(&self) -> &'static [&'static str] {
        let keys = self.instance.as_ref().map(|instance| instance.provider_data_keys());
        keys.unwrap_or_default()
    }

    /// Whether the provider is asked with credentials that the caller has sent for it.
    pub(crate) fn is_asked_as_caller(&self, cx: &Context) -> bool {
        self.provider_data_keys().iter().any(|key| cx.provider_data.text(key).is_some())
    }

    /// Whether a request may well succeed here: the provider is up, and did not fail a while ago.
    pub(crate) fn is_promising(&self) -> bool {
        !self.load.rests() && self.provider().is_ok()
    }

    fn instance(&self) -> Result<&Instance<R::Provider>> {
        self.instance.as_deref().ok_or_else(|| {
            Error::not_found(format!(
                "{} `{}` belongs to provider `{}`, which is not configured any more; \
                 configure it again, or delete the {}",
                R::TITLE,
                self.usage.id,
                self.provider_id,
                R::KIND,
            ))
            .with_code(format!("{}_not_found", R::KIND))
            .with_param(R::KIND)
        })
    }
}

/// The targets of a resource: those that it names, or its own provider.
pub(crate) fn targets<R: Resource>(resource: &R) -> Vec<Target> {
    let named = resource.routing().map(|routing| routing.targets).unwrap_or_default();
    if !named.is_empty() {
        return named;
    }
    vec![Target {
        provider_id: resource.provider_id().to_owned(),
        provider_model_id: Some(resource.provider_resource_id().to_owned()),
        weight: chaski_api::wire::Between(1),
        cost: None,
    }]
}

/// The resource as the provider of `target`, one of its targets, hosts it.
pub(crate) fn part<R: Resource>(resource: &R, target: &Target) -> R {
    let mut part = resource.clone();
    if resource.routing().is_some() {
        part.set_routing(None);
    }
    part.set_provider_id(&target.provider_id);
    let id = target.provider_model_id.as_deref().unwrap_or(resource.identifier());
    part.set_provider_resource_id(id);
    part
}

/// The resource after the provider of its target at `index` has completed its part.
pub(crate) fn with_part<R: Resource>(resource: &R, index: usize, part: R) -> R {
    let Some(mut routing) = resource.routing().filter(|routing| !routing.targets.is_empty()) else {
        return part;
    };
    if let Some(target) = routing.targets.get_mut(index) {
        target.provider_model_id = Some(part.provider_resource_id().to_owned());
    }
    // The facts of the resource are those that its first provider knows.
    let mut whole = if index == 0 { part } else { resource.clone() };
    whole.set_routing(Some(&routing));
    whole
}

/// What readers see.
pub(super) struct Snapshot<R: Resource> {
    pub(super) order: Vec<Arc<Placed<R>>>,
    by_id: HashMap<String, usize>,
}

impl<R: Resource> Snapshot<R> {
    pub(super) fn of(
        records: &mut Records<R>,
        instances: &[Arc<Instance<R::Provider>>],
        fixed: Option<&Fixed>,
    ) -> Self {
        let hidden = fixed.map(|fixed| fixed.hidden(records)).unwrap_or_default();
        for id in hidden.difference(&records.hidden) {
            tracing::warn!(
                target: "core",
                id,
                "a {} that a request registered is left out: it would go round `shields` of models",
                R::KIND
            );
        }
        records.hidden = hidden;
        let mut ids: Vec<R> = Vec::new();
        let mut by_id: HashMap<String, usize> = HashMap::new();
        let mut add = |resource: R, by_id: &mut HashMap<String, usize>| {
            by_id.insert(resource.identifier().to_owned(), ids.len());
            ids.push(resource);
        };
        let hidden = &records.hidden;
        for record in &records.kept {
            if hidden.contains(record.resource.identifier()) {
                continue;
            }
            add(record.resource.clone(), &mut by_id);
        }
        for mut resource in records.offered.values().flatten().cloned() {
            // Of two providers with the same offer, the second is reached under its own name.
            if by_id.contains_key(resource.identifier()) {
                let own = format!("{}/{}", resource.provider_id(), resource.identifier());
                resource.set_identifier(&own);
            }
            if !by_id.contains_key(resource.identifier()) {
                add(resource, &mut by_id);
            }
        }
        let ledger = &mut records.ledger;
        let order = ids.into_iter().map(|one| Arc::new(ledger.place(one, instances))).collect();
        ledger.drop_unused();
        Self { order, by_id }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Placed<R>>> {
        self.by_id.get(id).map(|index| &self.order[*index])
    }
}

/// The resource with its places, none of whose providers is configured.
#[cfg(test)]
pub(crate) fn placed<R: Resource>(resource: R) -> Placed<R> {
    Ledger::default().place(resource, &[])
}

/// What is known about provider models beyond the records. It outlives snapshots.
#[derive(Default)]
pub(super) struct Ledger {
    loads: HashMap<(String, String), Arc<Load>>,
    usages: HashMap<(String, String, String), Arc<Usage>>,
}

impl Ledger {
    fn place<R: Resource>(
        &mut self,
        resource: R,
        instances: &[Arc<Instance<R::Provider>>],
    ) -> Placed<R> {
        let routing = resource.routing();
        let strategy = routing.as_ref().map_or(Strategy::Fallback, |routing| routing.strategy);
        let cooldown = routing.map_or(0.0, |routing| routing.cooldown_seconds.0);
        let places = targets(&resource)
            .into_iter()
            .take(MOST_TARGETS)
            .map(|target| {
                let id = resource.identifier().to_owned();
                let provider_id = target.provider_id;
                let resource_id = target.provider_model_id.unwrap_or_else(|| id.clone());
                let cost = target.cost.or_else(|| resource.cost());
                let instance =
                    instances.iter().find(|instance| instance.id == provider_id).map(Arc::clone);
                let streams_calls =
                    instance.as_ref().is_some_and(|instance| instance.streams_calls());
                let served = Served::new(&provider_id, &resource_id, cost);
                let key = (provider_id.clone(), resource_id.clone());
                let load = self.loads.entry(key).or_insert_with(|| Arc::new(Load::new()));
                let key = (id.clone(), provider_id.clone(), resource_id.clone());
                let usage = self.usages.entry(key).or_insert_with(|| Arc::new(Usage::new(id)));
                Place {
                    instance,
                    weight: u64::try_from(target.weight.0).unwrap_or(1),
                    load: Arc::clone(load),
                    usage: Arc::clone(usage),
                    served: Arc::new(Served { streams_calls, ..served }),
                    provider_id,
                    resource_id,
                }
            })
            .collect();
        let cooldown = Duration::try_from_secs_f64(cooldown).unwrap_or(Duration::MAX);
        Placed { resource, strategy, cooldown, places }
    }

    /// Forgets what nothing leads to any more, so that this stays as small as the table.
    fn drop_unused(&mut self) {
        self.loads.retain(|_, load| Arc::strong_count(load) > 1);
        self.usages.retain(|_, usage| Arc::strong_count(usage) > 1);
    }
}
