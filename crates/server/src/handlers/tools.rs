//! The registered tool groups, their tools, and calls of them.

use crate::{
    app::App,
    body::ResponseBody,
    failures::json_response,
    pipeline::Unread,
    routes::Routes,
    streamed::{self, Asked},
};
use chaski_api::{
    Error, Result,
    endpoints::{
        tool_groups::{
            GetTool, GetToolGroup, ListToolGroups, ListTools, RegisterToolGroup,
            UnregisterToolGroup,
        },
        tool_runtime::{InvokeTool, ListRuntimeTools},
    },
    inference::Url,
    tools::{Tool, ToolDef, ToolGroupList, ToolList},
};
use chaski_provider::Context;
use http::{HeaderValue, Response, StatusCode, header};

/// What a client accepts that reads one object per line.
const LINES: &str = "application/jsonl";

pub(super) fn register(routes: &mut Routes) {
    routes.on::<ListToolGroups, _, _>(|app, _cx, _request| async move {
        Ok(ToolGroupList { data: app.stack.tools.groups() })
    });
    routes.on::<GetToolGroup, _, _>(|app, _cx, request| async move {
        Ok(app.stack.tool_groups.get(&request.toolgroup_id).await?.group())
    });
    routes.on::<RegisterToolGroup, _, _>(|app, cx, request| async move {
        app.stack.tool_groups.register_tool_group(&cx, request).await
    });
    routes.on::<UnregisterToolGroup, _, _>(|app, _cx, request| async move {
        app.stack.tool_groups.unregister(&request.toolgroup_id).await
    });
    routes.on::<ListTools, _, _>(|app, cx, request| async move {
        let data = app.stack.tools.list(&cx, request.toolgroup_id.as_deref()).await;
        Ok(ToolList { data })
    });
    routes.on::<GetTool, _, _>(|app, cx, request| async move {
        let name = request.tool_name;
        if let Some((_group, tool)) = app.stack.tool_groups.tool(&name) {
            return Ok(Some(tool));
        }
        // Others may be shown to the credentials of the caller.
        if cx.provider_data.is_empty() {
            return Ok(None);
        }
        let tools = app.stack.tools.list(&cx, None).await;
        Ok(tools.into_iter().find(|tool| tool.identifier == name))
    });
    routes.on::<InvokeTool, _, _>(|app, cx, request| async move {
        app.stack.tools.invoke(&cx, &request.tool_name, request.kwargs).await
    });
    routes.raw::<ListRuntimeTools, _, _>(list);
}

/// The tools of a group, of the groups of an MCP server, or all.
async fn list(app: App, cx: Context, asked: Asked) -> Result<Response<ResponseBody>, Unread> {
    let request = asked.request::<ListRuntimeTools>(&app).await?;
    let place = request.mcp_endpoint_uri.or(request.mcp_endpoint);
    if let Some(id) = &request.tool_group_id {
        app.stack.tool_groups.get(id).await?;
    }
    let mut tools = app.stack.tools.list(&cx, request.tool_group_id.as_deref()).await;
    if let Some(uri) = place {
        let endpoint = Some(Url { uri });
        let groups = app.stack.tools.groups();
        let there = |id: &str| {
            groups.iter().any(|group| group.identifier == id && group.mcp_endpoint == endpoint)
        };
        tools.retain(|tool| there(&tool.toolgroup_id));
    }
    let tools: Vec<ToolDef> = tools.into_iter().map(described).collect();
    let accepted = asked.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !accepted.is_some_and(|accepted| accepted.contains(LINES)) {
        return Ok(streamed::json(&tools)?);
    }
    let mut lines = String::new();
    for tool in &tools {
        let line = serde_json::to_string(tool)
            .map_err(|error| Error::internal("an answer cannot be written").caused_by(error))?;
        lines.push_str(&line);
        lines.push('\n');
    }
    let mut response = json_response(StatusCode::OK, lines);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    Ok(response)
}

fn described(tool: Tool) -> ToolDef {
    ToolDef {
        name: tool.identifier,
        description: Some(tool.description),
        parameters: Some(tool.parameters),
        metadata: tool.metadata,
    }
}
