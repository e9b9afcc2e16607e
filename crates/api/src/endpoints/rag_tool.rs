//! The tool that puts documents into vector databases, and contexts together from them.

use crate::{
    Api, EndpointSpec,
    inference::InterleavedContent,
    retrieval::{RagDocument, RagQueryConfig, RagQueryResult},
    wire::Between,
};

crate::wire! {
    /// Documents to cut into chunks and to insert into a vector database.
    pub struct InsertDocumentsRequest {
        /// The documents.
        pub documents: Vec<RagDocument>,
        /// The registered vector database.
        pub vector_db_id: String,
        /// The most tokens of a chunk. A quarter of them are those of the chunk before.
        pub chunk_size_in_tokens: Between<1, 100_000> = Between(512),
    }

    /// A question that a context is put together for.
    pub struct QueryContextRequest {
        /// The question.
        pub content: InterleavedContent,
        /// The registered vector databases that are asked.
        pub vector_db_ids: Vec<String>,
        /// How.
        pub query_config: Option<RagQueryConfig>,
    }
}

endpoints! {
    like EndpointSpec::of(Api::ToolRuntime);

    InsertDocuments(InsertDocumentsRequest) -> () =
        Post "/v1/tool-runtime/rag-tool/insert", "rag_tool_insert",
        "Cuts documents into chunks and inserts those into a vector database.";

    QueryContext(QueryContextRequest) -> RagQueryResult =
        Post "/v1/tool-runtime/rag-tool/query", "rag_tool_query",
        "Puts a context for a question together from the chunks of vector databases.";
}
