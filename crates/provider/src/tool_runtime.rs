//! The contract of tools that run in the server.

use crate::{Context, Hosts, Lifecycle};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    endpoints::rag_tool::{InsertDocumentsRequest, QueryContextRequest},
    inference::Url,
    retrieval::RagQueryResult,
    tools::{Tool, ToolDef, ToolGroup, ToolGroupTag, ToolHost, ToolInvocationResult, ToolTag},
};
use serde_json::{Map, Value};

chaski_api::wire! {
    /// A tool group with its tools, as it is kept: one record, so that there are all or none.
    pub struct ToolGroupRecord {
        /// The id that requests use.
        pub identifier: String,
        /// The id that the provider uses.
        pub provider_resource_id: String,
        /// The provider instance.
        pub provider_id: String,
        /// Always `tool_group`.
        pub tag as "type": ToolGroupTag = ToolGroupTag::ToolGroup,
        /// The MCP server that has the tools.
        pub mcp_endpoint: Option<Url>,
        /// Arguments that every call gets.
        pub args: Option<Map<String, Value>>,
        /// The tools.
        pub tools: Vec<Tool> = Vec::new(),
    }
}

impl ToolGroupRecord {
    /// The group, as it is answered.
    pub fn group(&self) -> ToolGroup {
        ToolGroup {
            identifier: self.identifier.clone(),
            provider_resource_id: self.provider_resource_id.clone(),
            provider_id: self.provider_id.clone(),
            tag: self.tag,
            mcp_endpoint: self.mcp_endpoint.clone(),
            args: self.args.clone(),
        }
    }

    /// The record with these tools in place of the ones it has.
    #[must_use]
    pub fn with_tools(self, definitions: Vec<ToolDef>) -> Self {
        let host = if self.mcp_endpoint.is_some() {
            ToolHost::ModelContextProtocol
        } else {
            ToolHost::Distribution
        };
        let tools = definitions.into_iter().map(|definition| Tool {
            provider_resource_id: definition.name.clone(),
            identifier: definition.name,
            provider_id: self.provider_id.clone(),
            tag: ToolTag::Tool,
            toolgroup_id: self.identifier.clone(),
            tool_host: host,
            description: definition.description.unwrap_or_default(),
            parameters: definition.parameters.unwrap_or_default(),
            metadata: definition.metadata,
        });
        Self { tools: tools.collect(), ..self }
    }
}

/// Tools that run in the server.
#[async_trait]
pub trait ToolRuntime: Send + Sync {
    /// The tools of a group, asked for when it is registered and whenever it is listed: a provider
    /// whose tools are elsewhere remembers them.
    ///
    /// # Errors
    /// The group lacks something, or the server of the tools cannot be asked.
    async fn tools(&self, cx: &Context, group: &ToolGroup) -> Result<Vec<ToolDef>>;

    /// Calls a tool of a group. The arguments fit its schema; those of the group are among them.
    ///
    /// # Errors
    /// The tool cannot be run. What a tool itself calls an error is a result with an `error_code`.
    async fn invoke(
        &self,
        cx: &Context,
        group: &ToolGroup,
        tool: &Tool,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult>;

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

/// Groups that the configuration declares get their tools when their provider comes up.
#[async_trait]
impl<T: ToolRuntime + ?Sized> Hosts<ToolGroupRecord> for T {
    async fn on_register(&self, record: ToolGroupRecord) -> Result<ToolGroupRecord> {
        let tools = self.tools(&Context::default(), &record.group()).await?;
        Ok(record.with_tools(tools))
    }
}

/// What a provider of tools must be.
pub trait ToolRuntimeProvider: ToolRuntime + Lifecycle {}
impl<T: ToolRuntime + Lifecycle> ToolRuntimeProvider for T {}

/// All tools of the stack by their names.
#[async_trait]
pub trait Tools: Send + Sync {
    /// The registered groups.
    fn groups(&self) -> Vec<ToolGroup>;

    /// The registered tools, or those of a group; none for a group that is not registered.
    async fn list(&self, cx: &Context, group: Option<&str>) -> Vec<Tool>;

    /// Calls a tool, if the arguments fit its schema.
    ///
    /// # Errors
    /// `NotFound` for a tool that is not registered, `InvalidRequest` for wrong arguments, and
    /// those of the provider.
    async fn invoke(
        &self,
        cx: &Context,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult>;

    /// Cuts documents into chunks and inserts those.
    async fn insert_documents(&self, cx: &Context, request: InsertDocumentsRequest) -> Result<()>;

    /// Puts a context together for a question.
    async fn query_context(
        &self,
        cx: &Context,
        request: QueryContextRequest,
    ) -> Result<RagQueryResult>;
}
