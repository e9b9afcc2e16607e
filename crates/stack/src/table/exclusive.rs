//! What a provider has for one resource alone.

use super::{Records, targets};
use chaski_api::{Error, ErrorKind, Result, routing::Target};
use chaski_provider::Resource;

impl<R: Resource> Records<R> {
    /// # Errors
    /// `Conflict` if another resource has what `resource` is to have alone.
    pub(super) fn check_exclusive(&self, resource: &R) -> Result<()> {
        if !R::EXCLUSIVE {
            return Ok(());
        }
        let id = resource.identifier();
        let mut others =
            self.kept.iter().map(|record| &record.resource).filter(|one| one.identifier() != id);
        let wanted = targets(resource);
        let Some(first) = others.find(|one| wanted.iter().any(|target| leads_to(*one, target)))
        else {
            return Ok(());
        };
        let kind = R::KIND;
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "{} '{}' has `{}` of provider `{}` already, and would lose it with '{id}'; use that, or give \
                 another `provider_{kind}_id`",
                R::TITLE,
                first.identifier(),
                first.provider_resource_id(),
                first.provider_id(),
            ),
        )
        .with_param(format!("provider_{kind}_id")))
    }

    /// Whether a resource that is kept needs what a provider has to have for one alone. The
    /// configuration may declare two of them.
    pub(super) fn is_needed(&self, target: &Target) -> bool {
        R::EXCLUSIVE && self.kept.iter().any(|record| leads_to(&record.resource, target))
    }
}

fn leads_to<R: Resource>(resource: &R, target: &Target) -> bool {
    let place = |target: &Target| (target.provider_id.clone(), target.provider_model_id.clone());
    targets(resource).iter().any(|own| place(own) == place(target))
}
