//! The tool that puts documents into vector databases, and contexts together from them.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Method,
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

pub struct InsertDocuments;
impl Endpoint for InsertDocuments {
    type Request = InsertDocumentsRequest;
    type Response = ();
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::ToolRuntime,
        Method::Post,
        "/v1/tool-runtime/rag-tool/insert",
        "rag_tool_insert",
        "Cuts documents into chunks and inserts those into a vector database.",
    );
}

pub struct QueryContext;
impl Endpoint for QueryContext {
    type Request = QueryContextRequest;
    type Response = RagQueryResult;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::ToolRuntime,
        Method::Post,
        "/v1/tool-runtime/rag-tool/query",
        "rag_tool_query",
        "Puts a context for a question together from the chunks of vector databases.",
    );
}

pub const ALL: &[Described] =
    &[Described::of::<InsertDocuments>(), Described::of::<QueryContext>()];
