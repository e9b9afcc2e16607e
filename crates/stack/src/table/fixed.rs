//! Declared resources, and among them those that requests may not change: shields of models rely on them, and whoever may
//! register a shield or a model could otherwise take a model out of their sight.

use super::{Origin, RoutingTable, same};
use chaski_api::{Error, ErrorKind, Result};
use chaski_provider::{Declarer, Resource};

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
    /// `Conflict` if `resource` is not what is declared or kept.
    pub(super) async fn unchanged(&self, resource: &R) -> Result<Option<R>> {
        let id = resource.identifier();
        if !self.fixed.contains(id) {
            return Ok(None);
        }
        let records = self.records.lock().await;
        let record = records.kept.iter().find(|record| record.resource.identifier() == id);
        let declaration = serde_json::to_value(resource).map_err(Error::internal)?;
        record
            .filter(|record| {
                record.note.declared.as_ref() == Some(&declaration)
                    || same(&record.resource, resource)
            })
            .map(|record| Some(record.resource.clone()))
            .ok_or_else(|| conflict::<R>(id))
    }

    /// # Errors
    /// `Conflict` if requests may not remove the resource called `id`.
    pub(super) fn check_removable(&self, id: &str) -> Result<()> {
        if self.fixed.contains(id) { Err(conflict::<R>(id)) } else { Ok(()) }
    }
}

fn conflict<R: Resource>(id: &str) -> Error {
    let message = format!(
        "{} '{id}' is declared in the configuration, where models have `shields` that may rely on it; \
         change it there, or use another name",
        R::TITLE
    );
    Error::new(ErrorKind::Conflict, message).with_param(R::KIND)
}
