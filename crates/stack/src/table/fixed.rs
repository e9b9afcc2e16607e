//! What requests may not change: shields of models rely on it, and whoever may register a shield or a
//! model could otherwise take a model out of their sight.

use super::{Records, RoutingTable, same, targets};
use crate::registry::Origin;
use chaski_api::{Error, ErrorKind, Result};
use chaski_provider::{Declarer, Resource};
use std::collections::HashSet;

/// What requests may not change.
#[derive(Debug)]
pub(super) struct Fixed {
    /// The ids of the resources that the configuration declares.
    pub(super) declared: HashSet<String>,
    /// Those of them whose shields another name would not have.
    pub(super) shielded: HashSet<String>,
}

impl Fixed {
    /// The ids of records that count for nothing, because requests made them that are refused now.
    pub(super) fn hidden<R: Resource>(&self, records: &Records<R>) -> HashSet<String> {
        let of_requests =
            records.kept.iter().filter(|record| record.note.origin != Origin::Configuration);
        let kept = || records.kept.iter().map(|record| &record.resource);
        of_requests
            .map(|record| &record.resource)
            .filter(|&resource| {
                records.offer(resource.identifier()).is_some()
                    || self.unshielded(resource, kept()).is_some()
            })
            .map(|resource| resource.identifier().to_owned())
            .collect()
    }

    /// The declared resource whose shields `resource` would go round, by leading to where it leads.
    fn unshielded<'a, R: Resource>(
        &self,
        resource: &R,
        kept: impl Iterator<Item = &'a R>,
    ) -> Option<&'a R> {
        let places = |resource: &R| -> Vec<(String, String)> {
            let id = resource.identifier();
            let place = |target: chaski_api::routing::Target| {
                let own = target.provider_model_id.unwrap_or_else(|| id.to_owned());
                (target.provider_id, own)
            };
            targets(resource).into_iter().map(place).collect()
        };
        let mut shielded = kept.filter(|one| self.shielded.contains(one.identifier())).peekable();
        shielded.peek()?;
        let mine = places(resource);
        shielded.find(|one| {
            one.identifier() != resource.identifier()
                && places(one).iter().any(|place| mine.contains(place))
        })
    }

    /// # Errors
    /// `Conflict` if requests may not have `resource` because of where it leads.
    pub(super) fn check_places<R: Resource>(
        &self,
        resource: &R,
        kept: &mut dyn Iterator<Item = &R>,
    ) -> Result<()> {
        let Some(shielded) = self.unshielded(resource, kept) else { return Ok(()) };
        Err(conflict::<R>(format!(
            "{} '{}' would lead to where '{}' leads, without the `shields` that the configuration \
             gives it; put shields into `safety.shields`, which count for every name",
            R::TITLE,
            resource.identifier(),
            shielded.identifier()
        )))
    }
}

impl<R: Resource> Records<R> {
    /// What a provider offers under this name, or under this name below its own.
    pub(super) fn offer(&self, id: &str) -> Option<&R> {
        let below = |offer: &R| id.strip_prefix(offer.provider_id())?.strip_prefix('/');
        let is_it = |offer: &&R| {
            let name = offer.identifier();
            name == id || below(offer) == Some(name)
        };
        self.offered.values().flatten().find(is_it)
    }
}

impl<R: Resource> RoutingTable<R> {
    /// Who said what a resource is like now.
    pub(crate) async fn declarer(&self, id: &str) -> Declarer {
        let records = self.records.lock().await;
        let record = records.kept.iter().find(|record| record.resource.identifier() == id);
        match record.map(|record| record.note.origin) {
            Some(Origin::Configuration) => Declarer::Configuration,
            Some(Origin::Request | Origin::Unknown) | None => Declarer::Request,
        }
    }

    /// What is kept of a resource that requests may not change; nothing if they may.
    ///
    /// # Errors
    /// `Conflict` if `resource` is not what is declared or kept, or a provider offers it.
    pub(super) async fn unchanged(&self, resource: &R) -> Result<Option<R>> {
        let id = resource.identifier();
        let Some(fixed) = &self.fixed else { return Ok(None) };
        let records = self.records.lock().await;
        if !fixed.declared.contains(id) {
            let Some(offer) = records.offer(id) else { return Ok(None) };
            return Err(conflict::<R>(format!(
                "{} '{id}' is offered by provider `{}`, and models have `shields` that may rely on it; \
                 declare it in the configuration, or use another name",
                R::TITLE,
                offer.provider_id()
            )));
        }
        let record = records.kept.iter().find(|record| record.resource.identifier() == id);
        let declaration = serde_json::to_value(resource).map_err(Error::internal)?;
        record
            .filter(|record| {
                record.note.declared.as_ref() == Some(&declaration)
                    || same(&record.resource, resource)
            })
            .map(|record| Some(record.resource.clone()))
            .ok_or_else(|| declared::<R>(id))
    }

    /// # Errors
    /// `Conflict` if requests may not remove the resource called `id`.
    pub(super) fn check_removable(&self, id: &str) -> Result<()> {
        let is_fixed = self.fixed.as_ref().is_some_and(|fixed| fixed.declared.contains(id));
        if is_fixed { Err(declared::<R>(id)) } else { Ok(()) }
    }
}

fn declared<R: Resource>(id: &str) -> Error {
    conflict::<R>(format!(
        "{} '{id}' is declared in the configuration, where models have `shields` that may rely on it; \
         change it there, or use another name",
        R::TITLE
    ))
}

fn conflict<R: Resource>(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message).with_param(R::KIND)
}
