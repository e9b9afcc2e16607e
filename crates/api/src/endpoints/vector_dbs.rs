//! The registered vector databases.

use super::inspect::NoParameters;
use crate::{
    Api, EndpointSpec,
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

endpoints! {
    like EndpointSpec::of(Api::VectorDbs);

    ListVectorDbs(NoParameters) -> VectorDbList =
        Get "/v1/vector-dbs", "list_vector_dbs", "All registered vector databases.";

    GetVectorDb(VectorDbRequest) -> VectorDb =
        Get "/v1/vector-dbs/{vector_db_id:path}", "get_vector_db",
        "One registered vector database.";

    RegisterVectorDb(RegisterVectorDbRequest) -> VectorDb =
        Post "/v1/vector-dbs", "register_vector_db",
        "Registers a vector database, or updates it; answers what is stored.";

    UnregisterVectorDb(VectorDbRequest) -> () =
        Delete "/v1/vector-dbs/{vector_db_id:path}", "unregister_vector_db",
        "Removes a vector database with all its chunks.";
}
