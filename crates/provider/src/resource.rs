//! Resources, and what providers do for those they host.

use crate::{
    DatasetIoProvider, InferenceProvider, SafetyProvider, ToolGroupRecord, ToolRuntimeProvider,
    VectorIoProvider,
};
use async_trait::async_trait;
use chaski_api::{
    Api, Result,
    datasets::Dataset,
    inspect::{HealthStatus, ProviderHealth},
    models::Model,
    retrieval::VectorDb,
    routing::{Cost, ROUTING, Routing},
    safety::Shield,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// A thing that is registered under an id, and that requests are routed by.
pub trait Resource: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The word in stored keys and in records: `model`.
    const KIND: &'static str;
    /// The word in messages, with a capital: `Model`.
    const TITLE: &'static str;
    /// The name of its behaviour in messages: `Inference`.
    const API_TITLE: &'static str;
    /// The API that serves the resource.
    const API: Api;
    /// Whether what a provider has under `provider_resource_id` belongs to one of them alone, because
    /// the provider drops it with that one.
    const EXCLUSIVE: bool = false;
    /// What a provider of that API implements.
    type Provider: ?Sized + Hosts<Self> + Lifecycle;

    fn identifier(&self) -> &str;
    fn provider_id(&self) -> &str;

    /// Names another id.
    fn set_identifier(&mut self, id: &str);
    /// Names another provider instance.
    fn set_provider_id(&mut self, id: &str);
    /// The provider's id of it.
    fn provider_resource_id(&self) -> &str;
    /// Names another id of the provider.
    fn set_provider_resource_id(&mut self, id: &str);
    /// Where its requests may go, if that is more than its own provider.
    fn routing(&self) -> Option<Routing> {
        None
    }
    /// Says where its requests may go. Its own provider is that of the first target.
    fn set_routing(&mut self, _routing: Option<&Routing>) {}
    /// What its tokens cost.
    fn cost(&self) -> Option<Cost> {
        None
    }
    /// Marks a resource that nobody registered, but that its provider offers by itself.
    fn mark_discovered(&mut self) {}
}

/// What a provider does for the resources it hosts. Most need nothing of it.
#[async_trait]
pub trait Hosts<R: Resource>: Send + Sync {
    /// Checks a resource before it is stored, and may complete it (for example resolve an alias).
    async fn on_register(&self, resource: R) -> Result<R> {
        Ok(resource)
    }

    async fn on_unregister(&self, _resource: &R) -> Result<()> {
        Ok(())
    }

    /// The resources that the provider offers by itself; nothing if it does not say.
    async fn offered(&self) -> Result<Option<Vec<R>>> {
        Ok(None)
    }
}

/// How a provider lives.
#[async_trait]
pub trait Lifecycle: Send + Sync {
    /// Whether it can serve, asked at start and then from time to time. A remote provider asks its
    /// upstream.
    ///
    /// # Errors
    /// Why it cannot serve; the message is shown to operators and callers.
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The state to show, beyond what [`Lifecycle::check`] found: for example "loading a model".
    fn health(&self) -> ProviderHealth {
        ProviderHealth::new(HealthStatus::Ok, None)
    }

    /// Releases what it holds. No call follows.
    async fn shutdown(&self) {}
}

/// The facts of a resource that all records keep in fields of the same names.
macro_rules! resource {
    ($record:ty, $kind:literal, $title:literal, $api_title:literal, $api:ident, $provider:ty $(, { $($more:item)* })?) => {
        impl Resource for $record {
            const KIND: &'static str = $kind;
            const TITLE: &'static str = $title;
            const API_TITLE: &'static str = $api_title;
            const API: Api = Api::$api;
            type Provider = $provider;

            fn identifier(&self) -> &str {
                &self.identifier
            }
            fn provider_id(&self) -> &str {
                &self.provider_id
            }
            fn set_identifier(&mut self, id: &str) {
                id.clone_into(&mut self.identifier);
            }
            fn set_provider_id(&mut self, id: &str) {
                id.clone_into(&mut self.provider_id);
            }
            fn provider_resource_id(&self) -> &str {
                &self.provider_resource_id
            }
            fn set_provider_resource_id(&mut self, id: &str) {
                id.clone_into(&mut self.provider_resource_id);
            }
            $($($more)*)?
        }
    };
}

resource!(Model, "model", "Model", "Inference", Inference, dyn InferenceProvider, {
    fn routing(&self) -> Option<Routing> {
        Self::routing(self)
    }
    fn set_routing(&mut self, routing: Option<&Routing>) {
        match routing {
            Some(routing) => drop(self.metadata.insert(ROUTING.to_owned(), routing.to_json())),
            None => drop(self.metadata.shift_remove(ROUTING)),
        }
    }
    fn cost(&self) -> Option<Cost> {
        Self::cost(self)
    }
    fn mark_discovered(&mut self) {
        self.metadata.insert("discovered".to_owned(), true.into());
    }
});
resource!(VectorDb, "vector_db", "Vector DB", "VectorIO", VectorIo, dyn VectorIoProvider, {
    const EXCLUSIVE: bool = true;
});
resource!(Dataset, "dataset", "Dataset", "DatasetIO", DatasetIo, dyn DatasetIoProvider);
resource!(Shield, "shield", "Shield", "Safety", Safety, dyn SafetyProvider);
resource!(
    ToolGroupRecord,
    "tool_group",
    "Tool group",
    "Tools",
    ToolRuntime,
    dyn ToolRuntimeProvider
);
