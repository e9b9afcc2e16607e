//! The rules of the table of tool groups beyond those of every table: a group has all of its tools
//! or is not there, and no two groups have tools of the same name.

use super::{arguments, declared::Declared};
use crate::{RoutingTable, config::RunConfig, resolver::is_disabled};
use chaski_api::{
    Error, Result,
    endpoints::tool_groups::RegisterToolGroupRequest,
    inference::Url,
    tools::{Tool, ToolGroupTag},
};
use chaski_provider::{Context, ToolGroupRecord};
use std::collections::HashSet;

impl RoutingTable<ToolGroupRecord> {
    /// Registers a tool group with the tools that its provider has for it, or updates it. Tools that
    /// it shows to credentials of the caller are not kept: each caller sees those of its own.
    ///
    /// # Errors
    /// The provider is not there or does not accept the group, the schema of a tool is too large, or
    /// another group has a tool of the same name. Nothing is changed then.
    pub async fn register_tool_group(
        &self,
        cx: &Context,
        request: RegisterToolGroupRequest,
    ) -> Result<()> {
        if request.toolgroup_id.is_empty() {
            return Err(Error::invalid("`toolgroup_id` is empty; give the group a name"));
        }
        let provider_id = self.choose_provider(Some(&request.provider_id))?;
        let record = ToolGroupRecord {
            provider_resource_id: request.toolgroup_id.clone(),
            identifier: request.toolgroup_id,
            provider_id,
            tag: ToolGroupTag::ToolGroup,
            mcp_endpoint: request.mcp_endpoint,
            args: request.args,
            tools: Vec::new(),
        };
        let instance = self.instance(&record.provider_id).ok_or_else(|| {
            Error::invalid(format!("Provider `{}` not found", record.provider_id))
        })?;
        let cx = cx.for_provider(instance.provider_data_keys());
        let definitions = instance.ready().await?.tools(&cx, &record.group()).await?;
        let record = record.with_tools(definitions);
        if cx.provider_data.is_empty() {
            return self.keep_tools(record).await;
        }
        let tools = record.tools;
        self.keep_among(ToolGroupRecord { tools: Vec::new(), ..record }, tools).await
    }

    /// Writes a group with its tools, unless another one has a tool of the same name or the schema of
    /// a tool is too large.
    pub(crate) async fn keep_tools(&self, record: ToolGroupRecord) -> Result<()> {
        let tools = record.tools.clone();
        self.keep_among(record, tools).await
    }

    /// Writes a group, unless `tools`, those that it has, cannot be among the tools of the others.
    async fn keep_among(&self, record: ToolGroupRecord, tools: Vec<Tool>) -> Result<()> {
        let mut names = HashSet::new();
        let twice = tools.iter().find(|tool| !names.insert(tool.identifier.as_str()));
        if let Some(tool) = twice {
            return Err(Error::invalid(format!(
                "provider `{}` has two tools called `{}`",
                record.provider_id, tool.identifier
            )));
        }
        tools.iter().try_for_each(arguments::measure)?;
        let id = record.identifier.clone();
        self.keep_unless(record, move |others| {
            let others = others.filter(|other| other.identifier != id);
            let taken = others.flat_map(|other| other.tools.iter()).find_map(|other| {
                tools.iter().find(|tool| tool.identifier == other.identifier).map(|_| other)
            });
            match taken {
                Some(Tool { identifier, toolgroup_id, .. }) => Err(Error::invalid(format!(
                    "Object {identifier} already exists in registry. Please use a different \
                     identifier. The tool group `{toolgroup_id}` has a tool of this name."
                ))),
                None => Ok(()),
            }
        })
        .await
    }

    /// The tool called `name`, with its group, as they are kept for all callers.
    pub fn tool(&self, name: &str) -> Option<(ToolGroupRecord, Tool)> {
        self.placed().iter().find_map(|placed| {
            let record = &placed.resource;
            let tool = record.tools.iter().find(|tool| tool.identifier == name)?;
            Some((record.clone(), tool.clone()))
        })
    }
}

impl Declared for ToolGroupRecord {
    /// The tools come with their providers.
    fn declared(config: &RunConfig, _hosts: &[&str]) -> Vec<Self> {
        let wanted = config.tool_groups.iter().filter(|entry| !is_disabled(&entry.provider_id));
        wanted
            .map(|entry| Self {
                identifier: entry.toolgroup_id.clone(),
                provider_resource_id: entry.toolgroup_id.clone(),
                provider_id: entry.provider_id.clone(),
                tag: ToolGroupTag::ToolGroup,
                mcp_endpoint: entry
                    .mcp_endpoint
                    .as_ref()
                    .map(|endpoint| Url { uri: endpoint.uri.clone() }),
                args: entry.args.clone(),
                tools: Vec::new(),
            })
            .collect()
    }
}
