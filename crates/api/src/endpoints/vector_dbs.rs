//! The registered vector databases.

use super::inspect::NoParameters;
use crate::{
    Api, Described, Endpoint, EndpointSpec, Method,
    retrieval::{VectorDb, VectorDbList},
};

crate::wire! {
    /// Which vector database.
    pub struct VectorDbRequest {
        /// The id; it may hold slashes.
        pub vector_db_id: String,
    }

    /// A vector database to register. An id that is registered already is updated.
    pub struct RegisterVectorDbRequest {
        /// The id that requests will use.
        pub vector_db_id: String,
        /// The embedding model, a registered one.
        pub embedding_model: String,
        /// Has no effect: the length of the vectors is that of the model.
        pub embedding_dimension: Option<i64>,
        /// The provider instance; the first one unless given.
        pub provider_id: Option<String>,
        /// The id that the provider uses; `vector_db_id` unless given.
        pub provider_vector_db_id: Option<String>,
    }
}

pub struct ListVectorDbs;
impl Endpoint for ListVectorDbs {
    type Request = NoParameters;
    type Response = VectorDbList;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::VectorDbs,
        Method::Get,
        "/v1/vector-dbs",
        "list_vector_dbs",
        "All registered vector databases.",
    );
}

pub struct GetVectorDb;
impl Endpoint for GetVectorDb {
    type Request = VectorDbRequest;
    type Response = VectorDb;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::VectorDbs,
        Method::Get,
        "/v1/vector-dbs/{vector_db_id:path}",
        "get_vector_db",
        "One registered vector database.",
    );
}

pub struct RegisterVectorDb;
impl Endpoint for RegisterVectorDb {
    type Request = RegisterVectorDbRequest;
    type Response = VectorDb;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::VectorDbs,
        Method::Post,
        "/v1/vector-dbs",
        "register_vector_db",
        "Registers a vector database, or updates it; answers what is stored.",
    );
}

pub struct UnregisterVectorDb;
impl Endpoint for UnregisterVectorDb {
    type Request = VectorDbRequest;
    type Response = ();
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::VectorDbs,
        Method::Delete,
        "/v1/vector-dbs/{vector_db_id:path}",
        "unregister_vector_db",
        "Removes a vector database with all its chunks.",
    );
}

pub const ALL: &[Described] = &[
    Described::of::<ListVectorDbs>(),
    Described::of::<GetVectorDb>(),
    Described::of::<RegisterVectorDb>(),
    Described::of::<UnregisterVectorDb>(),
];
