//! Inserting and querying chunks of vector databases.

use crate::{
    Api, EndpointSpec,
    inference::InterleavedContent,
    retrieval::{NewChunk, QueryChunksResponse, QueryParams},
    wire::{AtLeast, Dict},
};

crate::wire! {
    /// Chunks to insert into a vector database.
    pub struct InsertChunksRequest {
        /// The registered vector database.
        pub vector_db_id: String,
        /// The chunks.
        pub chunks: Vec<NewChunk>,
        /// After how many seconds the chunks are gone; never unless given.
        pub ttl_seconds: Option<AtLeast<1>>,
    }

    /// What to look for in a vector database.
    pub struct QueryChunksRequest {
        /// The registered vector database.
        pub vector_db_id: String,
        /// What to look for.
        pub query: InterleavedContent,
        /// How.
        pub params: Option<Dict<QueryParams>>,
    }
}

endpoints! {
    like EndpointSpec::of(Api::VectorIo);

    InsertChunks(InsertChunksRequest) -> () =
        Post "/v1/vector-io/insert", "insert_chunks",
        "Inserts chunks into a vector database; those with the same ids are replaced.";

    QueryChunks(QueryChunksRequest) -> QueryChunksResponse =
        Post "/v1/vector-io/query", "query_chunks",
        "The chunks of a vector database that fit a query best.";
}
