//! The rules of the models table beyond those of every table.

use super::declared::{Declared, only};
use crate::{RoutingTable, config::RunConfig, guarding, resolver::is_wanted};
use chaski_api::{
    Error, Result,
    endpoints::models::RegisterModelRequest,
    models::{Model, ModelTag, ModelType},
    routing::{COST, Routing},
};
use chaski_provider::Resource;
use serde_json::{Map, Value};
use std::collections::HashSet;

pub(crate) const NO_DIMENSION: &str =
    "Embedding model must have an embedding dimension in its metadata";

impl RoutingTable<Model> {
    /// Registers the model that a request describes, or updates it; answers what is stored.
    pub async fn register_model(&self, request: RegisterModelRequest) -> Result<Model> {
        let mut model = model(
            request.model_id,
            request.provider_model_id,
            String::new(),
            request.metadata.unwrap_or_default(),
            request.model_type.unwrap_or(ModelType::Llm),
        );
        let given = request.provider_id.as_deref().filter(|id| !id.is_empty());
        let routing = model.routing().filter(|routing| !routing.targets.is_empty());
        match routing {
            // What a client found in the list it may send back, and the targets stay.
            Some(routing) if given.is_none_or(|id| routing.targets[0].provider_id == id) => {
                model = spread(model, routing);
            }
            Some(_) => {
                model.set_routing(None);
                model.provider_id = self.choose_provider(given)?;
            }
            None => model.provider_id = self.choose_provider(given)?,
        }
        if lacks_dimension(&model) {
            return Err(Error::invalid(NO_DIMENSION));
        }
        self.register(model).await
    }
}

impl Declared for Model {
    const RELIED_ON: bool = true;

    fn alone_shielded(config: &RunConfig) -> HashSet<String> {
        guarding::alone_shielded(config)
    }

    /// A model that names no provider is that of the only one.
    fn declared(config: &RunConfig, hosts: &[&str]) -> Vec<Self> {
        let only = only(hosts);
        let wanted = config.models.iter().filter(|entry| is_wanted(entry));
        wanted
            .filter_map(|entry| {
                let routing = entry.routing();
                let first = routing.as_ref().and_then(|routing| routing.targets.first());
                let first = first.map(|target| target.provider_id.as_str());
                let provider_id = entry.provider_id.as_deref().or(first).or(only)?;
                let mut model = model(
                    entry.model_id.clone(),
                    entry.provider_model_id.clone(),
                    provider_id.to_owned(),
                    entry.metadata.clone(),
                    entry.model_type,
                );
                if let Some(cost) = &entry.cost {
                    let cost = serde_json::to_value(cost).unwrap_or_default();
                    model.metadata.insert(COST.to_owned(), cost);
                }
                Some(match routing {
                    Some(routing) => spread(model, routing),
                    None => model,
                })
            })
            .collect()
    }
}

/// The model with its requests going to the targets of `routing`, whose first is its own provider.
fn spread(mut model: Model, mut routing: Routing) -> Model {
    for target in &mut routing.targets {
        target.provider_model_id.get_or_insert_with(|| model.identifier.clone());
    }
    if let Some(first) = routing.targets.first() {
        model.provider_id.clone_from(&first.provider_id);
        model.provider_resource_id = first.provider_model_id.clone().unwrap_or_default();
    }
    model.set_routing(Some(&routing));
    model
}

fn model(
    id: String,
    provider_model_id: Option<String>,
    provider_id: String,
    metadata: Map<String, Value>,
    model_type: ModelType,
) -> Model {
    Model {
        provider_resource_id: provider_model_id.unwrap_or_else(|| id.clone()),
        identifier: id,
        provider_id,
        tag: ModelTag::Model,
        metadata,
        model_type,
    }
}

fn lacks_dimension(model: &Model) -> bool {
    model.model_type == ModelType::Embedding
        && model.metadata.get("embedding_dimension").is_none_or(Value::is_null)
}
