//! The registered tool groups and their tools.

use super::inspect::NoParameters;
use crate::{
    Api, Described, Endpoint, EndpointSpec, Method,
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

pub struct ListToolGroups;
impl Endpoint for ListToolGroups {
    type Request = NoParameters;
    type Response = ToolGroupList;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::ToolGroups,
        Method::Get,
        "/v1/toolgroups",
        "list_toolgroups",
        "All registered tool groups.",
    );
}

pub struct GetToolGroup;
impl Endpoint for GetToolGroup {
    type Request = ToolGroupRequest;
    type Response = ToolGroup;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::ToolGroups,
        Method::Get,
        "/v1/toolgroups/{toolgroup_id:path}",
        "get_toolgroup",
        "One registered tool group.",
    );
}

pub struct RegisterToolGroup;
impl Endpoint for RegisterToolGroup {
    type Request = RegisterToolGroupRequest;
    type Response = ();
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::ToolGroups,
        Method::Post,
        "/v1/toolgroups",
        "register_toolgroup",
        "Registers a tool group with its tools, or updates it: all of them or nothing.",
    );
}

pub struct UnregisterToolGroup;
impl Endpoint for UnregisterToolGroup {
    type Request = ToolGroupRequest;
    type Response = ();
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::ToolGroups,
        Method::Delete,
        "/v1/toolgroups/{toolgroup_id:path}",
        "unregister_toolgroup",
        "Removes a tool group with its tools.",
    );
}

pub struct ListTools;
impl Endpoint for ListTools {
    type Request = ListToolsRequest;
    type Response = ToolList;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::ToolGroups,
        Method::Get,
        "/v1/tools",
        "list_tools",
        "All registered tools, or those of a group.",
    );
}

pub struct GetTool;
impl Endpoint for GetTool {
    type Request = ToolRequest;
    type Response = Option<Tool>;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec::new(
        Api::ToolGroups,
        Method::Get,
        "/v1/tools/{tool_name:path}",
        "get_tool",
        "One registered tool; `null` if there is none of this name.",
    );
}

pub const ALL: &[Described] = &[
    Described::of::<ListToolGroups>(),
    Described::of::<GetToolGroup>(),
    Described::of::<RegisterToolGroup>(),
    Described::of::<UnregisterToolGroup>(),
    Described::of::<ListTools>(),
    Described::of::<GetTool>(),
];
