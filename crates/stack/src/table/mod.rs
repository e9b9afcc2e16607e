//! The table of one kind of resource: reads from an immutable snapshot, writes to the store first.

mod exclusive;
mod fixed;
mod load;
mod snapshot;
mod texts;
mod usage;

pub(crate) use load::{Load, UnderWay};
#[cfg(test)]
pub(crate) use snapshot::placed;
pub(crate) use snapshot::{Place, Placed, targets};
pub(crate) use texts::{no_provider, not_served};
pub(crate) use usage::Usage;

use fixed::Fixed;
use snapshot::{Ledger, Snapshot, part, with_part};

use crate::{
    instance::Instance,
    registry::{Note, Origin, Record, Registry},
};
use arc_swap::ArcSwap;
use chaski_api::{Error, Result, routing::Target};
use chaski_provider::{Context, Hosts, Resource};
use futures_util::StreamExt;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, sleep, timeout},
};

/// How often the offers of providers are asked for.
const REFRESH: Duration = Duration::from_mins(5);
/// How often at most, when somebody lists the resources.
pub(crate) const LIST_PAUSE: Duration = Duration::from_secs(15);
/// How often at most a miss asks for them.
const MISS_PAUSE: Duration = Duration::from_secs(5);
/// How long a provider may take to look at a resource that the configuration declares.
const REGISTER_TIME: Duration = Duration::from_secs(10);
/// How many it is asked to look at at one time.
const REGISTER_AT_ONCE: usize = 8;
/// How long the answer may take.
const OFFER_TIME: Duration = Duration::from_secs(5);

/// Where a request for a resource goes.
pub struct Routed<R: Resource> {
    pub provider: Arc<R::Provider>,
    pub resource: R,
    /// The keys of the provider-data header that the provider may see.
    pub provider_data_keys: &'static [&'static str],
}

impl<R: Resource> Routed<R> {
    /// The context that the provider may see.
    pub fn context(&self, cx: &Context) -> Context {
        cx.for_provider(self.provider_data_keys)
    }
}

/// The registered resources of one kind, and the providers that host them.
pub struct RoutingTable<R: Resource> {
    /// In the order of the configuration.
    instances: Vec<Arc<Instance<R::Provider>>>,
    /// The providers whose offers are listed.
    discovering: HashSet<String>,
    /// What requests may not change, if there is anything.
    fixed: Option<Fixed>,
    registry: Registry<R>,
    records: Mutex<Records<R>>,
    snapshot: ArcSwap<Snapshot<R>>,
    last_refresh: Mutex<Option<Instant>>,
    listed: Notify,
}

/// What the writer works on.
struct Records<R> {
    /// In the order of registration.
    kept: Vec<Record<R>>,
    /// What providers offer by themselves, by their place in the configuration. Never stored.
    offered: BTreeMap<usize, Vec<R>>,
    next_sequence: u64,
    /// The ids of the records that count for nothing.
    hidden: HashSet<String>,
    ledger: Ledger,
}

fn same<R: Resource>(one: &R, other: &R) -> bool {
    serde_json::to_value(one).ok() == serde_json::to_value(other).ok()
}

impl<R: Resource> RoutingTable<R> {
    /// Loads what is kept and merges what the configuration declares.
    ///
    /// Where a declaration differs from what it was when the record was made, it wins; where it is
    /// the same, changes made by requests since then stay, unless shields of models rely on what is
    /// declared. `shielded` are then the ids of those whose shields another name would not have.
    pub(crate) async fn load(
        registry: Registry<R>,
        instances: Vec<Arc<Instance<R::Provider>>>,
        discovering: HashSet<String>,
        declared: Vec<R>,
        shielded: Option<HashSet<String>>,
    ) -> Result<Self> {
        let mut kept = registry.load().await?;
        let mut next_sequence =
            kept.iter().map(|record| record.note.sequence + 1).max().unwrap_or(1).max(1);
        let mut changes = Vec::new();

        let ids: HashSet<String> =
            declared.iter().map(|resource| resource.identifier().to_owned()).collect();
        let configured = |resource: &R| {
            targets(resource)
                .iter()
                .any(|target| instances.iter().any(|one| one.id == target.provider_id))
        };
        kept.retain(|record| {
            // The file that made it has dropped it. Records of providers that are gone stay, so
            // that nothing is lost by a provider that is switched off for a while.
            let dropped = record.note.origin == Origin::Configuration
                && !ids.contains(record.resource.identifier())
                && configured(&record.resource);
            if dropped {
                changes.extend(Registry::<R>::forget(record.resource.identifier()));
            }
            !dropped
        });

        for resource in declared {
            let declaration = serde_json::to_value(&resource).unwrap_or(Value::Null);
            let found = kept
                .iter_mut()
                .find(|record| record.resource.identifier() == resource.identifier());
            match found {
                Some(record)
                    if record.note.declared.as_ref() == Some(&declaration)
                        && (shielded.is_none() || record.note.origin == Origin::Configuration) => {}
                Some(record) => {
                    record.resource = resource;
                    record.note.origin = Origin::Configuration;
                    record.note.declared = Some(declaration);
                    changes.extend(Registry::keep(record));
                }
                None => {
                    let origin = Origin::Configuration;
                    let note =
                        Note { sequence: next_sequence, origin, declared: Some(declaration) };
                    next_sequence += 1;
                    let record = Record { resource, note };
                    changes.extend(Registry::keep(&record));
                    kept.push(record);
                }
            }
        }
        registry.apply(changes).await?;

        let ledger = Ledger::default();
        let (offered, hidden) = (BTreeMap::new(), HashSet::new());
        let mut records = Records { kept, offered, next_sequence, hidden, ledger };
        let fixed = shielded.map(|shielded| Fixed { declared: ids, shielded });
        Ok(Self {
            snapshot: ArcSwap::from_pointee(Snapshot::of(&mut records, &instances, fixed.as_ref())),
            instances,
            discovering,
            fixed,
            registry,
            records: Mutex::new(records),
            last_refresh: Mutex::new(None),
            listed: Notify::new(),
        })
    }

    /// All resources, in the order of registration. What providers offer is asked for anew in the
    /// background, so that the next list is fresh.
    pub fn list(&self) -> Vec<R> {
        self.listed.notify_one();
        self.snapshot.load().order.iter().map(|placed| placed.resource.clone()).collect()
    }

    /// All resources with the places where their requests may go.
    pub(crate) fn placed(&self) -> Vec<Arc<Placed<R>>> {
        self.snapshot.load().order.clone()
    }

    fn find(&self, id: &str) -> Option<Arc<Placed<R>>> {
        self.snapshot.load().get(id).map(Arc::clone)
    }

    /// The resource called `id`; providers that list their own are asked again if it is not known.
    pub async fn get(&self, id: &str) -> Result<R> {
        self.place(id).await.map(|placed| placed.resource.clone())
    }

    /// Whether the resource called `id` costs something, at one of its places at least. One that is
    /// not known costs nothing.
    pub fn has_cost(&self, id: &str) -> bool {
        let snapshot = self.snapshot.load();
        let places = snapshot.get(id).into_iter().flat_map(|placed| &placed.places);
        places.into_iter().any(|place| place.served.cost.is_some())
    }

    /// The resource called `id` with the places where its requests may go, found like by `get`.
    pub(crate) async fn place(&self, id: &str) -> Result<Arc<Placed<R>>> {
        if let Some(found) = self.find(id) {
            return Ok(found);
        }
        self.refresh_after_miss().await;
        self.find(id).ok_or_else(|| {
            Error::not_found(format!("{} '{id}' not found", R::TITLE))
                .with_code(format!("{}_not_found", R::KIND))
                .with_param(R::KIND)
        })
    }

    /// Where requests for `id` go; the first place, if there are several.
    pub async fn route(&self, id: &str) -> Result<Routed<R>> {
        let placed = self.place(id).await.map_err(|error| {
            let message = self.not_served(id);
            Error { message, ..error }
        })?;
        let [place, ..] = placed.places.as_slice() else {
            return Err(Error::internal("a resource has no place"));
        };
        let mut resource = placed.resource.clone();
        resource.set_provider_resource_id(&place.resource_id);
        let provider_data_keys = place.provider_data_keys();
        Ok(Routed { provider: place.ready().await?, resource, provider_data_keys })
    }

    fn not_served(&self, id: &str) -> String {
        let kind = R::KIND;
        // The reference takes the stored word here: `Vector_db`, not `Vector DB`.
        let title = format!("{}{}", kind[..1].to_ascii_uppercase(), &kind[1..]);
        not_served(&title, R::API_TITLE, kind, id, &self.provider_ids())
    }

    pub(crate) fn instance(&self, id: &str) -> Option<&Arc<Instance<R::Provider>>> {
        self.instances.iter().find(|instance| instance.id == id)
    }

    /// The ids of the configured providers, in the order of the configuration.
    pub fn provider_ids(&self) -> Vec<&str> {
        self.instances.iter().map(|instance| instance.id.as_str()).collect()
    }

    /// The provider for a new resource that names `given`, or the only one.
    pub(crate) fn choose_provider(&self, given: Option<&str>) -> Result<String> {
        match (given, self.provider_ids().as_slice()) {
            (Some(id), ids) if ids.contains(&id) => Ok(id.to_owned()),
            (Some(id), _) => Err(Error::invalid(format!("Provider `{id}` not found"))),
            (None, [only]) => Ok((*only).to_owned()),
            (None, ids) => Err(Error::invalid(no_provider(ids))),
        }
    }

    /// Registers a resource, or updates it; answers what is stored.
    pub async fn register(&self, resource: R) -> Result<R> {
        if let Some(kept) = self.unchanged(&resource).await? {
            return Ok(kept);
        }
        self.records.lock().await.check_exclusive(&resource)?;
        let mut resource = resource;
        for (index, target) in targets(&resource).into_iter().enumerate() {
            let id = &target.provider_id;
            let instance = self
                .instance(id)
                .ok_or_else(|| Error::invalid(format!("Provider `{id}` not found")))?;
            let completed = instance.ready().await?.on_register(part(&resource, &target)).await?;
            resource = with_part(&resource, index, completed);
        }
        let check = |kept: &mut dyn Iterator<Item = &R>| match &self.fixed {
            Some(fixed) => fixed.check_places(&resource, kept),
            None => Ok(()),
        };
        self.keep_unless(resource.clone(), check).await?;
        Ok(resource)
    }

    /// Writes the record of a request, unless `check`, which sees all records, objects.
    pub(crate) async fn keep_unless(
        &self,
        resource: R,
        check: impl FnOnce(&mut dyn Iterator<Item = &R>) -> Result<()> + Send,
    ) -> Result<()> {
        let mut records = self.records.lock().await;
        check(&mut records.kept.iter().map(|record| &record.resource))?;
        records.check_exclusive(&resource)?;
        let id = resource.identifier();
        let position = records.kept.iter().position(|record| record.resource.identifier() == id);
        self.write(&mut records, position, resource, Origin::Request).await
    }

    /// Keeps what a provider made of its part of a declared resource, unless somebody has
    /// registered it anew in the meantime.
    async fn keep_part(&self, index: usize, target: &Target, before: R, after: R) -> Result<()> {
        let mut records = self.records.lock().await;
        let id = before.identifier();
        let position = records.kept.iter().position(|record| record.resource.identifier() == id);
        let current = position.map(|position| &records.kept[position].resource);
        let Some(current) = current else { return Ok(()) };
        let same_target = targets(current).get(index) == Some(target);
        // Of the first part everything counts, of the others the id alone.
        if !same_target || index == 0 && !same(&part(current, target), &before) {
            return Ok(());
        }
        let whole = with_part(current, index, after);
        self.write(&mut records, position, whole, Origin::Configuration).await
    }

    /// Writes a record, in place of that at `position` if there is one.
    async fn write(
        &self,
        records: &mut Records<R>,
        position: Option<usize>,
        resource: R,
        origin: Origin,
    ) -> Result<()> {
        let note = match position {
            Some(index) => Note { origin, ..records.kept[index].note.clone() },
            None => Note { sequence: records.next_sequence, origin, declared: None },
        };
        let record = Record { resource, note };
        self.registry.apply(Registry::keep(&record).into()).await?;
        if let Some(index) = position {
            records.kept[index] = record;
        } else {
            records.next_sequence += 1;
            records.kept.push(record);
        }
        self.publish(records);
        Ok(())
    }

    /// Removes a resource.
    pub async fn unregister(&self, id: &str) -> Result<()> {
        let resource = self.get(id).await?;
        self.check_removable(id)?;
        let left = {
            let mut records = self.records.lock().await;
            let position =
                records.kept.iter().position(|record| record.resource.identifier() == id);
            let Some(position) = position else {
                return Err(Error::invalid(format!(
                    "{} '{id}' is offered by provider `{}` itself and cannot be removed here",
                    R::TITLE,
                    resource.provider_id(),
                )));
            };
            self.registry.apply(Registry::<R>::forget(id).into()).await?;
            records.kept.remove(position);
            self.publish(&mut records);
            let mut left = targets(&resource);
            left.retain(|target| !records.is_needed(target));
            left
        };
        for target in left {
            // The record is gone whatever the provider says; one that is down is not waited for.
            let instance = self.instance(&target.provider_id);
            if let Some(Ok(provider)) = instance.map(|instance| instance.provider())
                && let Err(error) = provider.on_unregister(&part(&resource, &target)).await
            {
                tracing::warn!(target: "core", id, "the provider of a removed resource objects: {}", error.chain());
            }
        }
        Ok(())
    }

    /// Gives the provider called `provider_id`, which has come up, the resources declared for it.
    pub(crate) async fn settle(&self, provider_id: &str, provider: &Arc<R::Provider>) {
        let declared: Vec<R> = {
            let records = self.records.lock().await;
            records
                .kept
                .iter()
                .filter(|record| record.note.origin == Origin::Configuration)
                .filter(|record| {
                    targets(&record.resource).iter().any(|one| one.provider_id == provider_id)
                })
                .map(|record| record.resource.clone())
                .collect()
        };
        futures_util::stream::iter(declared)
            .for_each_concurrent(REGISTER_AT_ONCE, |resource| async move {
                let id = resource.identifier().to_owned();
                if let Err(error) = self.complete(resource, provider_id, provider).await {
                    tracing::warn!(
                        target: "core",
                        id,
                        provider = provider_id,
                        "a {} of the configuration is not accepted by its provider: {}",
                        R::KIND,
                        error.chain()
                    );
                }
            })
            .await;
        self.refresh(Some(provider_id)).await;
    }

    /// Lets the provider look at its parts of a declared resource, and keeps what it makes of them.
    async fn complete(
        &self,
        resource: R,
        provider_id: &str,
        provider: &Arc<R::Provider>,
    ) -> Result<()> {
        for (index, target) in targets(&resource).into_iter().enumerate() {
            if target.provider_id != provider_id {
                continue;
            }
            let before = part(&resource, &target);
            let after = timeout(REGISTER_TIME, provider.on_register(before.clone()))
                .await
                .unwrap_or_else(|_| Err(Error::unavailable("no answer")))?;
            if !same(&after, &before) {
                self.keep_part(index, &target, before, after).await?;
            }
        }
        Ok(())
    }

    /// Asks providers that list their own resources what they offer now: one, or all that are up.
    pub(crate) async fn refresh(&self, only: Option<&str>) {
        let asked = self.instances.iter().enumerate().filter(|(_, instance)| {
            self.discovering.contains(&instance.id)
                && only.map_or_else(|| instance.is_up(), |id| instance.id == id)
        });
        let answers = asked.map(|(index, instance)| async move {
            let provider = instance.built()?;
            match timeout(OFFER_TIME, provider.offered()).await {
                Ok(Ok(offered)) => Some((index, offered?)),
                Ok(Err(error)) => {
                    tracing::debug!(
                        target: "core",
                        provider = %instance.id,
                        "cannot list what the provider offers: {}",
                        error.chain()
                    );
                    None
                }
                Err(_) => None,
            }
        });
        let answers = futures_util::future::join_all(answers).await;

        let mut records = self.records.lock().await;
        let mut changed = false;
        for (index, mut offered) in answers.into_iter().flatten() {
            for resource in &mut offered {
                resource.set_provider_id(&self.instances[index].id);
                resource.mark_discovered();
            }
            changed = true;
            records.offered.insert(index, offered);
        }
        if changed {
            self.publish(&mut records);
        }
    }

    /// Asks for offers from time to time, and when somebody has looked at the list, but with a
    /// `pause` in between.
    pub(crate) async fn keep_fresh(&self, pause: Duration) {
        while !self.discovering.is_empty() {
            sleep(pause).await;
            // Running out of time is the regular case.
            let _: Result<(), _> = timeout(REFRESH, self.listed.notified()).await;
            self.refresh(None).await;
        }
    }

    async fn refresh_after_miss(&self) {
        if self.discovering.is_empty() {
            return;
        }
        // Those who come while somebody asks wait for that answer.
        let mut last = self.last_refresh.lock().await;
        if last.is_none_or(|last| last.elapsed() >= MISS_PAUSE) {
            self.refresh(None).await;
            *last = Some(Instant::now());
        }
    }

    fn publish(&self, records: &mut Records<R>) {
        let snapshot = Snapshot::of(records, &self.instances, self.fixed.as_ref());
        self.snapshot.store(Arc::new(snapshot));
    }
}

#[cfg(test)]
mod tests;
