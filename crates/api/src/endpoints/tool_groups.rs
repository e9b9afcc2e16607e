//! The registered tool groups and their tools.

use super::inspect::NoParameters;
use crate::{
    Api, EndpointSpec,
    inference::Url,
    tools::{Tool, ToolGroup, ToolGroupList, ToolList},
};
use serde_json::{Map, Value};

crate::wire! {
    /// Which tool group.
    pub struct ToolGroupRequest {
        /// The id; it may hold slashes.
        pub toolgroup_id: String,
    }

    /// Which tool.
    pub struct ToolRequest {
        /// The name; it may hold slashes.
        pub tool_name: String,
    }

    /// Which tools.
    pub struct ListToolsRequest {
        /// The group whose tools are wanted; all unless given.
        pub toolgroup_id: Option<String>,
    }

    /// A tool group to register, with all tools that its provider has for it.
    pub struct RegisterToolGroupRequest {
        /// The id that requests will use.
        pub toolgroup_id: String,
        /// The provider instance.
        pub provider_id: String,
        /// The MCP server that has the tools.
        pub mcp_endpoint: Option<Url>,
        /// Arguments that every call of a tool in the group gets.
        pub args: Option<Map<String, Value>>,
    }
}

endpoints! {
    like EndpointSpec::of(Api::ToolGroups);

    ListToolGroups(NoParameters) -> ToolGroupList =
        Get "/v1/toolgroups", "list_toolgroups", "All registered tool groups.";

    GetToolGroup(ToolGroupRequest) -> ToolGroup =
        Get "/v1/toolgroups/{toolgroup_id:path}", "get_toolgroup", "One registered tool group.";

    RegisterToolGroup(RegisterToolGroupRequest) -> () =
        Post "/v1/toolgroups", "register_toolgroup",
        "Registers a tool group with its tools, or updates it: all of them or nothing.";

    UnregisterToolGroup(ToolGroupRequest) -> () =
        Delete "/v1/toolgroups/{toolgroup_id:path}", "unregister_toolgroup",
        "Removes a tool group with its tools.";

    ListTools(ListToolsRequest) -> ToolList =
        Get "/v1/tools", "list_tools", "All registered tools, or those of a group.";

    GetTool(ToolRequest) -> Option<Tool> =
        Get "/v1/tools/{tool_name:path}", "get_tool",
        "One registered tool; `null` if there is none of this name.";
}
