//! What the tests of several providers need.

use chaski_api::{
    inference::InterleavedContent,
    tools::{Tool, ToolGroup, ToolGroupTag, ToolHost, ToolInvocationResult, ToolTag},
};
use chaski_provider::{Cpu, Deps, Documents, Environment, Routers, Tasks};
use chaski_upstream::{Http, HttpOptions};
use std::path::PathBuf;

/// What a provider needs; callers may have it connect to the addresses in `allow`.
pub(crate) fn deps(allow: &[String]) -> Deps {
    let options = HttpOptions {
        egress_allow: allow.iter().map(|place| place.parse().unwrap()).collect(),
        ..HttpOptions::default()
    };
    Deps {
        http: Http::new(options).unwrap(),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: Cpu::new(1),
        documents: Documents::in_process(),
        environment: Environment::default(),
        tasks: Tasks::default(),
        routers: Routers::default(),
    }
}

pub(crate) fn group() -> ToolGroup {
    ToolGroup {
        identifier: "test::group".to_owned(),
        provider_resource_id: "test::group".to_owned(),
        provider_id: "provider".to_owned(),
        tag: ToolGroupTag::ToolGroup,
        mcp_endpoint: None,
        args: None,
    }
}

pub(crate) fn tool(name: &str) -> Tool {
    Tool {
        identifier: name.to_owned(),
        provider_resource_id: name.to_owned(),
        provider_id: "provider".to_owned(),
        tag: ToolTag::Tool,
        toolgroup_id: "test::group".to_owned(),
        tool_host: ToolHost::Distribution,
        description: String::new(),
        parameters: Vec::new(),
        metadata: None,
    }
}

pub(crate) fn text_of(result: ToolInvocationResult) -> String {
    match result.content {
        InterleavedContent::Text(text) => text,
        InterleavedContent::Item(_) | InterleavedContent::Items(_) => {
            panic!("the content is a text: {:?}", result.content)
        }
    }
}
