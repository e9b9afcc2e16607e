//! The rules of the models table beyond those of every table.

use crate::{RoutingTable, config::RunConfig, resolver::is_wanted};
use chaski_api::{
    Error, Result,
    endpoints::models::RegisterModelRequest,
    models::{Model, ModelTag, ModelType},
};
use serde_json::{Map, Value};

pub(crate) const NO_DIMENSION: &str =
    "Embedding model must have an embedding dimension in its metadata";

impl RoutingTable<Model> {
    /// Registers the model that a request describes, or updates it; answers what is stored.
    pub async fn register_model(&self, request: RegisterModelRequest) -> Result<Model> {
        let given = request.provider_id.as_deref().filter(|id| !id.is_empty());
        let provider_id = self.choose_provider(given)?;
        let model = model(
            request.model_id,
            request.provider_model_id,
            provider_id,
            request.metadata.unwrap_or_default(),
            request.model_type.unwrap_or(ModelType::Llm),
        );
        if lacks_dimension(&model) {
            return Err(Error::invalid(NO_DIMENSION));
        }
        self.register(model).await
    }
}

/// The models that a checked configuration declares. `only` is the one provider, if there is
/// exactly one.
pub(crate) fn declared(config: &RunConfig, only: Option<&str>) -> Vec<Model> {
    let wanted = config.models.iter().filter(|entry| is_wanted(entry));
    wanted
        .filter_map(|entry| {
            let provider_id = entry.provider_id.as_deref().or(only)?;
            Some(model(
                entry.model_id.clone(),
                entry.provider_model_id.clone(),
                provider_id.to_owned(),
                entry.metadata.clone(),
                entry.model_type,
            ))
        })
        .collect()
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
