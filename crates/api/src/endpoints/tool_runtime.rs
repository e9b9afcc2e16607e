//! Running tools.

use crate::{
    Api, EndpointSpec,
    tools::{ToolDef, ToolInvocationResult},
};
use serde_json::{Map, Value};

crate::wire! {
    /// Which tools.
    pub struct ListRuntimeToolsRequest {
        /// The group whose tools are wanted; all unless given.
        pub tool_group_id: Option<String>,
        /// The address of an MCP server, as text, or as `mcp_endpoint[uri]`.
        pub mcp_endpoint: Option<String>,
        /// The address of an MCP server.
        pub mcp_endpoint_uri as "mcp_endpoint[uri]": Option<String>,
    }

    /// A call of a tool.
    pub struct InvokeToolRequest {
        /// The registered tool.
        pub tool_name: String,
        /// The arguments by name.
        pub kwargs: Map<String, Value>,
    }
}

endpoints! {
    like EndpointSpec::of(Api::ToolRuntime);

    /// A handler of its own writes the list as lines where the caller asks for those.
    ListRuntimeTools(ListRuntimeToolsRequest) -> Vec<ToolDef> =
        Get "/v1/tool-runtime/list-tools", "list_runtime_tools",
        "The tools that can be called: a JSON array, or one object per line for clients that accept `application/jsonl`.";

    InvokeTool(InvokeToolRequest) -> ToolInvocationResult =
        Post "/v1/tool-runtime/invoke", "invoke_tool",
        "Calls a tool, if the arguments are what it takes.";
}
