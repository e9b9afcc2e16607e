//! The model as a registered resource.

use crate::{
    routing::{self, COST, Cost, ROUTING, Routing},
    wire,
};
use serde_json::{Map, Value};

wire! {
    /// What a model does.
    pub enum ModelType {
        /// Generates text.
        Llm = "llm",
        /// Turns text into vectors.
        Embedding = "embedding",
        /// Ranks texts by a query. Clients of Llama Stack 0.1 do not know this type and pass it on
        /// as it is.
        Rerank = "rerank",
    }

    /// The constant `type` of a model record.
    pub enum ModelTag { Model = "model" }

    /// A registered model, as it is stored and as it is answered.
    pub struct Model {
        /// The id that requests use; unique in this stack.
        pub identifier: String,
        /// The id that the provider uses.
        pub provider_resource_id: String,
        /// The provider instance that serves the model.
        pub provider_id: String,
        /// Always `model`.
        pub tag as "type": ModelTag = ModelTag::Model,
        /// Free-form facts, such as `embedding_dimension` and `context_length`.
        pub metadata: Map<String, Value> = Map::new(),
        /// Whether it generates text or vectors, or ranks texts.
        pub model_type: ModelType = ModelType::Llm,
    }

    /// The constant `object` of a model in OpenAI's API.
    pub enum ModelObject { Model = "model" }

    /// A model in the form that both faces read: the record, and OpenAI's fields beside it.
    pub struct ModelInfo {
        /// The id that requests use; unique in this stack.
        pub identifier: String,
        /// The id that the provider uses.
        pub provider_resource_id: String,
        /// The provider instance that serves the model.
        pub provider_id: String,
        /// Always `model`.
        pub tag as "type": ModelTag = ModelTag::Model,
        /// Free-form facts, such as `embedding_dimension` and `context_length`.
        pub metadata: Map<String, Value> = Map::new(),
        /// Whether it generates text or vectors, or ranks texts.
        pub model_type: ModelType = ModelType::Llm,
        /// OpenAI's name for `identifier`.
        pub id: String,
        /// Always `model`.
        pub object: ModelObject = ModelObject::Model,
        /// When the model was registered, in seconds since 1970 where that is known, else 0.
        pub created: i64 = 0,
        /// OpenAI's name for `provider_id`.
        pub owned_by: String,
    }

    /// The constant `object` of a list in OpenAI's API.
    pub enum ListObject { List = "list" }

    /// All registered models.
    pub struct ModelList {
        /// Always `list`.
        pub object: ListObject = ListObject::List,
        /// The models, in the order of registration.
        pub data: Vec<ModelInfo>,
    }
}

impl From<Model> for ModelInfo {
    fn from(model: Model) -> Self {
        let created = model.metadata.get("created").and_then(Value::as_i64).unwrap_or_default();
        Self {
            id: model.identifier.clone(),
            object: ModelObject::Model,
            created,
            owned_by: model.provider_id.clone(),
            identifier: model.identifier,
            provider_resource_id: model.provider_resource_id,
            provider_id: model.provider_id,
            tag: model.tag,
            metadata: model.metadata,
            model_type: model.model_type,
        }
    }
}

impl Model {
    /// The length of the vectors of an embedding model, from its metadata.
    pub fn embedding_dimension(&self) -> Option<i64> {
        self.metadata.get("embedding_dimension").and_then(Value::as_i64)
    }

    /// The length to ask an embedding model for, if `wanted` or its own. Only models that can
    /// shorten their vectors, which `matryoshka: true` in the metadata says, are asked for one:
    /// others refuse the parameter.
    pub fn length_to_ask_for(&self, wanted: Option<i64>) -> Option<i64> {
        let shortens = self.metadata.get("matryoshka").and_then(Value::as_bool).unwrap_or_default();
        shortens.then(|| wanted.or_else(|| self.embedding_dimension())).flatten()
    }

    /// Where its requests may go, if that is more than its own provider, from its metadata.
    pub fn routing(&self) -> Option<Routing> {
        routing::from_metadata(&self.metadata, ROUTING)
    }

    /// What its tokens cost, from its metadata.
    pub fn cost(&self) -> Option<Cost> {
        routing::from_metadata(&self.metadata, COST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wire;
    use serde_json::json;

    #[test]
    fn a_length_is_asked_of_models_that_can_shorten_only() {
        let model = |metadata: Value| {
            Model::from_json(json!({
                "identifier": "m", "provider_resource_id": "m", "provider_id": "p",
                "model_type": "embedding", "metadata": metadata,
            }))
            .unwrap()
        };
        let fixed = model(json!({ "embedding_dimension": 384 }));
        assert_eq!(fixed.length_to_ask_for(Some(32)), None);
        let shortens = model(json!({ "embedding_dimension": 384, "matryoshka": true }));
        assert_eq!(shortens.length_to_ask_for(None), Some(384));
        assert_eq!(shortens.length_to_ask_for(Some(32)), Some(32));
    }
}
