//! Tools that run in the server: each request goes to the provider that has its tool.

use crate::instance::Instance;
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    endpoints::rag_tool::{InsertDocumentsRequest, QueryContextRequest},
    retrieval::RagQueryResult,
};
use chaski_provider::{Context, ToolRuntime, ToolRuntimeProvider};
use std::sync::Arc;

/// Hands each request to the provider of its tool.
pub(crate) struct ToolRuntimeRouter {
    /// In the order of the configuration.
    instances: Vec<Arc<Instance<dyn ToolRuntimeProvider>>>,
}

impl ToolRuntimeRouter {
    pub(crate) fn new(instances: Vec<Arc<Instance<dyn ToolRuntimeProvider>>>) -> Self {
        Self { instances }
    }

    /// The first provider that has the RAG tool, and what it may see of the context.
    async fn rag_tool(&self, cx: &Context) -> Result<(Arc<dyn ToolRuntimeProvider>, Context)> {
        let mut failure = None;
        for instance in &self.instances {
            match instance.ready().await {
                Ok(provider) if provider.has_rag_tool() => {
                    return Ok((provider, cx.for_provider(instance.provider_data_keys())));
                }
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| {
            Error::unsupported(
                "no provider of `tool_runtime` has the RAG tool; configure `inline::rag-runtime`",
            )
        }))
    }
}

#[async_trait]
impl ToolRuntime for ToolRuntimeRouter {
    async fn insert_documents(&self, cx: &Context, request: InsertDocumentsRequest) -> Result<()> {
        let (provider, cx) = self.rag_tool(cx).await?;
        provider.insert_documents(&cx, request).await
    }

    async fn query_context(
        &self,
        cx: &Context,
        request: QueryContextRequest,
    ) -> Result<RagQueryResult> {
        let (provider, cx) = self.rag_tool(cx).await?;
        provider.query_context(&cx, request).await
    }
}
