//! The contract of tools that run in the server.

use crate::{Context, Lifecycle};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    endpoints::rag_tool::{InsertDocumentsRequest, QueryContextRequest},
    retrieval::RagQueryResult,
};

/// Tools that run in the server.
#[async_trait]
pub trait ToolRuntime: Send + Sync {
    /// Whether it has the tool that puts documents into vector databases and contexts together.
    fn has_rag_tool(&self) -> bool {
        false
    }

    /// Cuts documents into chunks and inserts those.
    ///
    /// # Errors
    /// `Unsupported` if it does not have the tool.
    async fn insert_documents(
        &self,
        _cx: &Context,
        _request: InsertDocumentsRequest,
    ) -> Result<()> {
        Err(Error::unsupported("this provider has no RAG tool"))
    }

    /// Puts a context together for a question.
    ///
    /// # Errors
    /// `Unsupported` if it does not have the tool.
    async fn query_context(
        &self,
        _cx: &Context,
        _request: QueryContextRequest,
    ) -> Result<RagQueryResult> {
        Err(Error::unsupported("this provider has no RAG tool"))
    }
}

/// What a provider of tools must be.
pub trait ToolRuntimeProvider: ToolRuntime + Lifecycle {}
impl<T: ToolRuntime + Lifecycle> ToolRuntimeProvider for T {}
