//! The registered models. The two `GET` routes serve the Llama Stack and the OpenAI face at once.

use super::inspect::NoParameters;
use crate::{
    Api, Described, Endpoint, EndpointSpec, Method,
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

pub struct ListModels;
impl Endpoint for ListModels {
    type Request = NoParameters;
    type Response = ModelList;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::Models,
        Method::Get,
        "/v1/models",
        "list_models",
        "All registered models.",
    );
}

pub struct GetModel;
impl Endpoint for GetModel {
    type Request = ModelRequest;
    type Response = ModelInfo;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::Models,
        Method::Get,
        "/v1/models/{model_id:path}",
        "get_model",
        "One registered model.",
    );
}

pub struct RegisterModel;
impl Endpoint for RegisterModel {
    type Request = RegisterModelRequest;
    type Response = Model;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::Models,
        Method::Post,
        "/v1/models",
        "register_model",
        "Registers a model, or updates it; answers what is stored.",
    );
}

pub struct UnregisterModel;
impl Endpoint for UnregisterModel {
    type Request = ModelRequest;
    type Response = ();
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::Models,
        Method::Delete,
        "/v1/models/{model_id:path}",
        "unregister_model",
        "Removes a model from the registry.",
    );
}

pub const ALL: &[Described] = &[
    Described::of::<ListModels>(),
    Described::of::<GetModel>(),
    Described::of::<RegisterModel>(),
    Described::of::<UnregisterModel>(),
];
