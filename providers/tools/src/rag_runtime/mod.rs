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
    Api, Error, Result, Wire,
    endpoints::rag_tool::{InsertDocumentsRequest, QueryContextRequest},
    inference::InterleavedContent,
    retrieval::{RagQueryConfig, RagQueryResult},
    tools::{Tool, ToolDef, ToolGroup, ToolInvocationResult, ToolParameter},
};
use chaski_provider::{
    Context, Deps, Lifecycle, Provider, ProviderConfig, Spec, ToolRuntime, ToolRuntimeProvider,
};
use serde_json::{Map, Value, json};
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
- The chunks have the metadata of the document, and `document_id`, `token_count`, `chunk_index`, their place in its
  text as `start_byte` and `end_byte` and, where there are such, the `headings` above them and the `page` on which they
  begin. Inserting a document with an id that is there already replaces its chunks.
- A request has at most 100,000 chunks.
- Its tools are `knowledge_search`, which takes `query`, `vector_db_ids` and `query_config`, and `insert_into_memory`,
  which takes `vector_db_id` and `documents`. What the `args` of the tool group say wins.
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

/// The names of the two tools.
const SEARCH: &str = "knowledge_search";
const INSERT: &str = "insert_into_memory";

chaski_api::wire! {
    /// What the search takes, beyond what its parameters tell a model.
    struct SearchArguments {
        /// The question.
        query: InterleavedContent,
        /// The registered vector databases that are asked.
        vector_db_ids: Vec<String> = Vec::new(),
        /// How.
        query_config: Option<RagQueryConfig>,
    }
}

/// Reads the arguments of a call.
fn arguments<T: Wire>(tool: &str, arguments: Map<String, Value>) -> Result<T> {
    T::from_json(arguments.into()).map_err(|issues| {
        let issues: Vec<String> = issues.iter().map(ToString::to_string).collect();
        Error::invalid(format!("the arguments of `{tool}` are wrong: {}", issues.join("; ")))
    })
}

impl RagRuntime {
    async fn search(
        &self,
        cx: &Context,
        given: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        let given: SearchArguments = arguments(SEARCH, given)?;
        if given.vector_db_ids.is_empty() {
            return Err(Error::invalid(format!(
                "`{SEARCH}` was given no `vector_db_ids`; name vector databases in the arguments \
                 of the call or in the `args` of the tool group"
            )));
        }
        let found = self
            .query_context(
                cx,
                QueryContextRequest {
                    content: given.query,
                    vector_db_ids: given.vector_db_ids,
                    query_config: given.query_config,
                },
            )
            .await?;
        let nothing = || InterleavedContent::Text(format!("{SEARCH} tool found nothing."));
        let metadata = Some(found.metadata).filter(|metadata| !metadata.is_empty());
        let content = found.content.unwrap_or_else(nothing);
        Ok(ToolInvocationResult { metadata, ..content.into() })
    }

    async fn insert(
        &self,
        cx: &Context,
        given: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        let given: InsertDocumentsRequest = arguments(INSERT, given)?;
        let count = given.documents.len();
        let into = given.vector_db_id.clone();
        self.insert_documents(cx, given).await?;
        Ok(ToolInvocationResult::text(format!("inserted {count} documents into `{into}`")))
    }
}

#[async_trait]
impl ToolRuntime for RagRuntime {
    async fn tools(&self, _cx: &Context, _group: &ToolGroup) -> Result<Vec<ToolDef>> {
        let tool = |name: &str, description: &str, parameters| ToolDef {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            parameters: Some(parameters),
            metadata: None,
        };
        let query = "The query to search for. Can be a natural language sentence or keywords.";
        let query = ToolParameter::required("query", "string", query);
        Ok(vec![
            tool(INSERT, "Insert documents into memory", Vec::new()),
            tool(SEARCH, "Search for information in a database.", vec![query]),
        ])
    }

    async fn invoke(
        &self,
        cx: &Context,
        _group: &ToolGroup,
        tool: &Tool,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        if tool.provider_resource_id == SEARCH {
            self.search(cx, arguments).await
        } else {
            self.insert(cx, arguments).await
        }
    }

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
