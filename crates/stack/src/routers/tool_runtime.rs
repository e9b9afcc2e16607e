//! Tools that run in the server: each call goes to the provider that has its tool.

use super::arguments::{self, Checks};
use crate::{RoutingTable, instance::Instance, table::not_served};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    endpoints::rag_tool::{InsertDocumentsRequest, QueryContextRequest},
    retrieval::RagQueryResult,
    tools::{Tool, ToolGroup, ToolInvocationResult},
};
use chaski_provider::{Context, Cpu, ToolGroupRecord, ToolRuntimeProvider, Tools};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long the provider of a group may take to say which tools it has now.
const LIST_TIME: Duration = Duration::from_secs(5);
/// How many groups are asked at one time.
const LIST_AT_ONCE: usize = 8;

/// Hands each request to the provider of its tool.
pub(crate) struct ToolRuntimeRouter {
    groups: Arc<RoutingTable<ToolGroupRecord>>,
    /// In the order of the configuration.
    instances: Vec<Arc<Instance<dyn ToolRuntimeProvider>>>,
    checks: Checks,
}

/// Tells the log that the tools of a group are those that are known, or none.
fn not_listed(record: &ToolGroupRecord, error: &Error) {
    tracing::debug!(
        target: "tools",
        group = %record.identifier,
        "the tools of a group cannot be listed anew: {}",
        error.chain()
    );
}

impl ToolRuntimeRouter {
    pub(crate) fn new(
        groups: Arc<RoutingTable<ToolGroupRecord>>,
        instances: Vec<Arc<Instance<dyn ToolRuntimeProvider>>>,
        cpu: Cpu,
    ) -> Self {
        Self { groups, instances, checks: Checks::new(cpu) }
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

    /// The tools of a group as its provider has them now, or as they were when it was last asked.
    async fn current(&self, cx: &Context, record: ToolGroupRecord) -> Vec<Tool> {
        match self.listed(cx, &record).await {
            Ok(tools) => tools,
            Err(error) => {
                not_listed(&record, &error);
                record.tools
            }
        }
    }

    /// The tools of a group as its provider has them now for this caller.
    ///
    /// # Errors
    /// Those of the provider.
    async fn listed(&self, cx: &Context, record: &ToolGroupRecord) -> Result<Vec<Tool>> {
        let routed = self.groups.route(&record.identifier).await?;
        let (cx, group) = (routed.context(cx), record.group());
        let asked = timeout(LIST_TIME, routed.provider.tools(&cx, &group)).await;
        let definitions = asked.map_err(|_| {
            let (id, seconds) = (&record.identifier, LIST_TIME.as_secs());
            let message = format!(
                "the provider of the tool group `{id}` did not list its tools within {seconds} s"
            );
            Error::new(ErrorKind::Timeout, message)
        })??;
        let now = record.clone().with_tools(definitions);
        // What is shown to the credentials of one caller is not for others to see.
        if now.tools == record.tools || !cx.provider_data.is_empty() {
            return Ok(now.tools);
        }
        if let Err(error) = self.groups.keep_tools(now.clone()).await {
            tracing::warn!(
                target: "tools",
                group = %group.identifier,
                "the changed tools of a group cannot be kept: {}",
                error.chain()
            );
            return Ok(record.tools.clone());
        }
        Ok(now.tools)
    }

    /// Calls a tool, if the arguments fit its schema, those of its group among them.
    async fn call(
        &self,
        cx: &Context,
        tool: &str,
        mut arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        let (record, tool) = self.find(cx, tool).await?;
        // What the group says wins, so that a caller cannot leave its bounds.
        arguments.extend(record.args.clone().unwrap_or_default());
        let arguments = self.checks.check(&tool, arguments).await?;
        let routed = self.groups.route(&record.identifier).await?;
        routed.provider.invoke(&routed.context(cx), &record.group(), &tool, arguments).await
    }

    /// The tool called `name` with its group. If none is kept, groups are asked again that may show it
    /// to this caller: first those without tools that all callers see, then those of MCP servers.
    async fn find(&self, cx: &Context, name: &str) -> Result<(ToolGroupRecord, Tool)> {
        if let Some(found) = self.groups.tool(name) {
            return Ok(found);
        }
        let (empty, known): (Vec<_>, Vec<_>) =
            self.groups.list().into_iter().partition(|record| record.tools.is_empty());
        let of_servers = known.into_iter().filter(|record| record.mcp_endpoint.is_some());
        let mut failure = None;
        for record in empty.into_iter().chain(of_servers) {
            match self.listed(cx, &record).await {
                Ok(tools) => {
                    if let Some(tool) = tools.into_iter().find(|tool| tool.identifier == name) {
                        return Ok((record, tool));
                    }
                }
                // Whoever has credentials for tools is told why they are not there.
                Err(error) if record.tools.is_empty() && !cx.provider_data.is_empty() => {
                    failure = failure.or(Some(error));
                }
                Err(error) => not_listed(&record, &error),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let message = not_served("Tool", "Tools", "tool", name, &self.groups.provider_ids());
        Err(Error::not_found(message).with_code("tool_not_found").with_param("tool_name"))
    }
}

#[async_trait]
impl Tools for ToolRuntimeRouter {
    fn groups(&self) -> Vec<ToolGroup> {
        self.groups.list().iter().map(ToolGroupRecord::group).collect()
    }

    async fn list(&self, cx: &Context, group: Option<&str>) -> Vec<Tool> {
        let records = self.groups.list().into_iter();
        let wanted = records.filter(|record| group.is_none_or(|id| id == record.identifier));
        let lists: Vec<Vec<Tool>> = futures_util::stream::iter(wanted)
            .map(|record| self.current(cx, record))
            .buffered(LIST_AT_ONCE)
            .collect()
            .await;
        // A tool that cannot be called is not offered to anybody.
        let usable = |tool: &Tool| match arguments::measure(tool) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(target: "tools", group = %tool.toolgroup_id, "{}", error.message);
                false
            }
        };
        lists.into_iter().flatten().filter(usable).collect()
    }

    async fn invoke(
        &self,
        cx: &Context,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        let mut span = cx.spans.start("ToolRuntimeRouter.invoke_tool");
        span.set_with("tool_name", || tool.to_owned());
        let answer = self.call(&cx.within(&span), tool, arguments).await;
        span.note(&answer);
        if let Ok(ToolInvocationResult { error_code: Some(code), .. }) = &answer {
            span.set("error_code", *code);
        }
        answer
    }

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
