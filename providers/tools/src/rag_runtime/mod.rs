//! Retrieval: documents in, contexts for questions out.

mod context;
mod cut;
mod insert;
mod question;
mod source;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chaski_api::{
    Api, Result,
    endpoints::rag_tool::{InsertDocumentsRequest, QueryContextRequest},
    retrieval::RagQueryResult,
};
use chaski_provider::{
    Context, Deps, Lifecycle, Provider, ProviderConfig, Spec, ToolRuntime, ToolRuntimeProvider,
};
use serde_json::{Value, json};
use std::sync::Arc;

const DOCS: &str = "\
Puts documents into vector databases, and contexts for questions together from them:
`POST /v1/tool-runtime/rag-tool/insert` and `.../query`.

- A document is a text, a `data:` URL or an `http:` or `https:` URL. URLs are fetched by the guarded client: public
  addresses only, and those that `server.egress_allow` lists; at most 32 MiB in 30 seconds.
- Documents are cut into windows of `chunk_size_in_tokens` tokens, each of which begins with the last quarter of the
  one before. The tokens are those of the open vocabulary `cl100k`, which for English are those of Llama 3.
- Files are read as PDF, DOCX, PPTX, XLSX, EPUB, HTML, Markdown, CSV, JSON, source code or plain text, by their
  content, their media type and their name, in processes with limits of memory and time. One that cannot be read is
  refused with the reason.
- The chunks have the metadata of the document, and `document_id`, `token_count`, `chunk_index` and, where there are
  pages, the `page` on which they begin. Inserting a
  document with an id that is there already replaces its chunks.
- The query generator `llm` asks a model. Its template is data: `{{ messages }}` in it is replaced by the texts of
  the question, and nothing in it is run.
";

chaski_api::wire! {
    /// The configuration of `inline::rag-runtime`: there are no settings.
    pub struct RagRuntimeConfig {}
}

impl ProviderConfig for RagRuntimeConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }
}

/// The RAG tool.
pub(crate) struct RagRuntime {
    deps: Deps,
}

impl Provider for RagRuntime {
    type Api = dyn ToolRuntimeProvider;
    type Config = RagRuntimeConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::ToolRuntime,
            "inline::rag-runtime",
            "Cuts documents into chunks of vector databases, and puts contexts together.",
        )
    };

    async fn build(_: RagRuntimeConfig, deps: Deps) -> Result<Arc<dyn ToolRuntimeProvider>> {
        Ok(Arc::new(Self { deps }))
    }
}

#[async_trait]
impl ToolRuntime for RagRuntime {
    fn has_rag_tool(&self) -> bool {
        true
    }

    async fn insert_documents(&self, cx: &Context, request: InsertDocumentsRequest) -> Result<()> {
        insert::documents(&self.deps, cx, request).await
    }

    async fn query_context(
        &self,
        cx: &Context,
        request: QueryContextRequest,
    ) -> Result<RagQueryResult> {
        context::put_together(&self.deps, cx, request).await
    }
}

#[async_trait]
impl Lifecycle for RagRuntime {}
