//! The registered models. The two `GET` routes serve the Llama Stack and the OpenAI face at once.

use super::inspect::NoParameters;
use crate::{
    Api, EndpointSpec,
    models::{Model, ModelInfo, ModelList, ModelType},
};
use serde_json::{Map, Value};

crate::wire! {
    /// Which model.
    pub struct ModelRequest {
        /// The model's id; it may hold slashes.
        pub model_id: String,
    }

    /// A model to register. An id that is registered already is updated.
    pub struct RegisterModelRequest {
        /// The id that requests will use.
        pub model_id: String,
        /// The id that the provider uses; `model_id` unless given.
        pub provider_model_id: Option<String>,
        /// The provider instance; may be left out where only one is configured.
        pub provider_id: Option<String>,
        /// Free-form facts; `embedding_dimension` is required for embedding models.
        pub metadata: Option<Map<String, Value>>,
        /// Whether it generates text or vectors; `llm` unless given.
        pub model_type: Option<ModelType>,
    }
}

endpoints! {
    like EndpointSpec::of(Api::Models);

    ListModels(NoParameters) -> ModelList =
        Get "/v1/models", "list_models", "All registered models.";

    GetModel(ModelRequest) -> ModelInfo =
        Get "/v1/models/{model_id:path}", "get_model", "One registered model.";

    RegisterModel(RegisterModelRequest) -> Model =
        Post "/v1/models", "register_model",
        "Registers a model, or updates it; answers what is stored.";

    UnregisterModel(ModelRequest) -> () =
        Delete "/v1/models/{model_id:path}", "unregister_model",
        "Removes a model from the registry.";
}
