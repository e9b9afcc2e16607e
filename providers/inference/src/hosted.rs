//! Vendors that host models behind OpenAI's API: what differs between them is data.

use crate::{
    adapter::{Adapter, LISTING, Vendor, offered_model},
    llama_models::{self, Alias},
};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    models::{Model, ModelType},
};
use chaski_provider::{Deps, InferenceProvider};
use chaski_upstream::{
    Url,
    openai::{Call, Connection, Dialect, Listed, Settings},
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What is known about a vendor beside its dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Catalogue {
    /// The URL of the vendor's own service, which answers nothing without a key; empty if there is
    /// none.
    pub(crate) service: &'static str,
    /// What the hosts of the vendor's service end with, where each customer has one.
    pub(crate) hosts: &'static [&'static str],
    /// What the ids of models begin with in this stack.
    pub(crate) prefix: &'static str,
    /// What the ids of models begin with in the vendor's list, and only there.
    pub(crate) listed_prefix: &'static str,
    /// The vendor's names of the Llama models. Of several for one model the last is taken.
    pub(crate) aliases: &'static [Alias],
    /// The embedding models, with the length of their vectors and the tokens that fit into a text.
    pub(crate) embedders: &'static [(&'static str, i64, i64)],
    /// What the ids of listed models contain that neither chat nor embed.
    pub(crate) others: &'static [&'static str],
    /// What the vendor says that models are for which chat; nothing if it does not say.
    pub(crate) chat_kinds: &'static [&'static str],
    /// Whether the time at which a model was made is worth keeping: some lists say that all models
    /// were made just now.
    pub(crate) dated: bool,
    /// Whether a model must be listed to be registered.
    pub(crate) listed_only: bool,
}

impl Catalogue {
    /// A vendor of whose models nothing is known.
    pub(crate) const EMPTY: Self = Self {
        service: "",
        hosts: &[],
        prefix: "",
        listed_prefix: "",
        aliases: &[],
        embedders: &[],
        others: &[],
        chat_kinds: &[],
        dated: false,
        listed_only: false,
    };

    /// Whether a URL is that of the vendor's own service.
    fn is_original(&self, url: &str) -> bool {
        let at_service = !self.service.is_empty() && url.starts_with(self.service);
        let has_host = |url: Url| {
            let host = url.host_str().unwrap_or_default();
            self.hosts.iter().any(|end| host.ends_with(end))
        };
        at_service || Url::parse(url).is_ok_and(has_host)
    }

    /// A listed model as it is registered; nothing if it neither chats nor embeds, or if it embeds
    /// and the length of its vectors is not known.
    fn model(&self, listed: &Listed) -> Option<Model> {
        let id = listed.id.strip_prefix(self.listed_prefix).unwrap_or(&listed.id);
        let embedder = self.embedder(id);
        if embedder.is_none() && self.others.iter().any(|part| id.contains(part)) {
            return None;
        }
        let mut metadata = Map::new();
        if let Some(created) = listed.created.filter(|_| self.dated) {
            metadata.insert("created".to_owned(), created.into());
        }
        let model_type = match embedder {
            Some((_, dimension, _)) => {
                metadata.insert("embedding_dimension".to_owned(), (*dimension).into());
                ModelType::Embedding
            }
            None if self.chat_kinds.is_empty() => ModelType::Llm,
            None => {
                let kind = listed.kind.as_deref()?;
                self.chat_kinds.contains(&kind).then_some(ModelType::Llm)?
            }
        };
        let length = listed.context_length.or(embedder.map(|(_, _, length)| *length));
        if let Some(length) = length {
            metadata.insert("context_length".to_owned(), length.into());
        }
        let identifier = format!("{}{id}", self.prefix);
        Some(offered_model(identifier, id.to_owned(), model_type, metadata))
    }

    fn embedder(&self, id: &str) -> Option<&(&'static str, i64, i64)> {
        let id = id.strip_prefix(self.prefix).unwrap_or(id);
        self.embedders.iter().find(|(known, _, _)| *known == id)
    }
}

/// A vendor that hosts models.
pub(crate) struct Hosted {
    catalogue: &'static Catalogue,
    refresh_models: Option<bool>,
    /// Whether this is the vendor's own service.
    original: bool,
}

impl Hosted {
    /// The provider for a vendor. Nothing is sent yet.
    ///
    /// # Errors
    /// `Unavailable` if there is no URL, `InvalidRequest` if the settings cannot be used.
    pub(crate) fn provider(
        deps: Deps,
        dialect: &'static Dialect,
        catalogue: &'static Catalogue,
        settings: Settings,
        refresh_models: Option<bool>,
    ) -> Result<Arc<dyn InferenceProvider>> {
        if settings.url.trim().is_empty() {
            let message =
                format!("{} has no URL in the run configuration; set `url`", dialect.name);
            return Err(Error::unavailable(message));
        }
        let original = catalogue.is_original(&settings.url);
        let vendor = Self { catalogue, refresh_models, original };
        Ok(Arc::new(Adapter::new(deps.http, dialect, settings, vendor)?))
    }

    /// Whether the vendor can be asked without the key of a caller.
    fn can_ask(&self, upstream: &Connection) -> bool {
        upstream.dialect().models_path.is_some() && (!self.original || upstream.has_key())
    }
}

#[async_trait]
impl Vendor for Hosted {
    async fn on_register(&self, upstream: &Connection, model: Model) -> Result<Model> {
        let mut model = llama_models::resolve(model, self.catalogue.aliases)?;
        if model.model_type == ModelType::Embedding
            && let Some((_, dimension, _)) = self.catalogue.embedder(&model.provider_resource_id)
        {
            let known = model.metadata.entry("embedding_dimension");
            known.or_insert_with(|| Value::from(*dimension));
        }
        if self.catalogue.listed_only {
            let listed = upstream.models(Call::default(), LISTING).await?;
            let id = &model.provider_resource_id;
            if !listed.iter().any(|listed| listed.id == *id) {
                let available: Vec<String> = listed.into_iter().map(|listed| listed.id).collect();
                return Err(Error::invalid(format!(
                    "Model {id} is not being served by {}. Available models: {}",
                    upstream.dialect().name,
                    available.join(", ")
                )));
            }
        }
        Ok(model)
    }

    async fn offered(&self, upstream: &Connection) -> Result<Option<Vec<Model>>> {
        if self.refresh_models == Some(false) || !self.can_ask(upstream) {
            return Ok(None);
        }
        let listed = match upstream.models(Call::default(), LISTING).await {
            // Some servers of this kind have no list, and serve all the same.
            Err(Error { kind: ErrorKind::Upstream { status: Some(404 | 405) }, .. }) => {
                return Ok(None);
            }
            listed => listed?,
        };
        Ok(Some(listed.iter().filter_map(|listed| self.catalogue.model(listed)).collect()))
    }

    async fn check(&self, upstream: &Connection) -> Result<()> {
        // Where callers bring their own keys, nothing can be asked before.
        if !self.can_ask(upstream) {
            return Ok(());
        }
        match upstream.models(Call::default(), LISTING).await {
            Err(Error { kind: ErrorKind::Upstream { status: Some(404 | 405) }, .. }) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    fn needs_key(&self) -> bool {
        self.original
    }

    fn is_original(&self) -> bool {
        self.original
    }
}

/// The URL of a service with the path to its API, unless it has that already.
pub(crate) fn at_version(url: &str, path: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    if url.is_empty() || url.ends_with("/v1") { url.to_owned() } else { format!("{url}{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_of_a_vendor_is_told_from_other_servers() {
        let catalogue = Catalogue {
            service: "https://api.example.com",
            hosts: &[".cloud.example.com"],
            ..Catalogue::EMPTY
        };
        for url in ["https://api.example.com/v1", "https://customer.cloud.example.com/openai?v=1"] {
            assert!(catalogue.is_original(url), "{url}");
        }
        for url in [
            "http://api.example.com/v1",
            "http://localhost:8000/v1",
            "https://cloud.example.com.inside/v1",
            "https://inside/.cloud.example.com",
            "inside",
        ] {
            assert!(!catalogue.is_original(url), "{url}");
            assert!(!Catalogue::EMPTY.is_original(url), "{url}");
        }
    }
}
