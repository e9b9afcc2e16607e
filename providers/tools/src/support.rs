//! What the tests of several providers need.

use chaski_api::{
    inference::InterleavedContent,
    tools::{Tool, ToolGroup, ToolGroupTag, ToolHost, ToolInvocationResult, ToolTag},
};
use chaski_provider::{
    Context, Cpu, Deps, Documents, EndedSpan, Environment, Routers, SpanContext, SpanSink, Tasks,
};
use chaski_upstream::{Http, HttpOptions};
use std::{path::PathBuf, sync::Arc};

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

/// A context within a span, and what names that span to upstreams.
pub(crate) fn traced() -> (Context, String) {
    struct Nowhere;
    impl SpanSink for Nowhere {
        fn keep(&self, _span: EndedSpan) {}
        fn keeps_contents(&self) -> bool {
            false
        }
    }
    let cx = Context::default();
    let span = SpanContext::begin(Arc::new(Nowhere), cx.owner(), None, "/v1/x".to_owned());
    let cx = cx.within(&span);
    let parent = cx.spans.parent().map(ToString::to_string).unwrap_or_default();
    (cx, parent)
}
