//! Every endpoint, by group. To add one: its declaration in the file of its group.

/// Declares the endpoints of a group, as types, and lists them in `ALL`:
/// `Name(Request) -> Response = METHOD "path", "operation", "summary";`.
///
/// What they have in common stands behind `like`, and what one of them has besides behind its
/// summary. One that can stream names its events: `-> Response | Event`.
macro_rules! endpoints {
    (@event) => { () };
    (@event $event:ty) => { $event };
    (@streams) => { false };
    (@streams $event:ty) => { true };
    (
        like $common:expr;
        $(
            $(#[doc = $doc:literal])*
            $name:ident($request:ty) -> $response:ty $(| $event:ty)? =
                $method:ident $path:expr, $operation:literal, $summary:expr $(, $field:ident: $value:expr)*;
        )*
    ) => {
        $(
            $(#[doc = $doc])*
            pub struct $name;
            impl crate::Endpoint for $name {
                type Request = $request;
                type Response = $response;
                type Event = endpoints!(@event $($event)?);
                const SPEC: EndpointSpec = EndpointSpec {
                    method: crate::Method::$method,
                    path: $path,
                    operation: $operation,
                    summary: $summary,
                    streams: endpoints!(@streams $($event)?),
                    $($field: $value,)*
                    ..$common
                };
            }
        )*

        pub const ALL: &[crate::Described] = &[$(crate::Described::of::<$name>()),*];
    };
}

pub mod agents;
pub mod anthropic;
pub mod datasets;
pub mod files;
pub mod inference;
pub mod inspect;
pub mod mcp;
pub mod models;
pub mod moderations;
pub mod openai;
pub mod providers;
pub mod rag_tool;
pub mod rerank;
mod reserved;
pub mod shields;
pub mod telemetry;
pub mod tool_groups;
pub mod tool_runtime;
pub mod vector_dbs;
pub mod vector_io;
pub mod vector_stores;

use crate::Described;

/// All groups: the name of the reference page, and the endpoints.
pub const GROUPS: &[(&str, &[Described])] = &[
    ("inspect", inspect::ALL),
    ("providers", providers::ALL),
    ("models", models::ALL),
    ("inference", inference::ALL),
    ("openai", openai::ALL),
    ("rerank", rerank::ALL),
    ("anthropic", anthropic::ALL),
    ("files", files::ALL),
    ("vector_stores", vector_stores::ALL),
    ("vector_dbs", vector_dbs::ALL),
    ("vector_io", vector_io::ALL),
    ("tool_groups", tool_groups::ALL),
    ("tool_runtime", tool_runtime::ALL),
    ("rag_tool", rag_tool::ALL),
    ("mcp", mcp::ALL),
    ("shields", shields::ALL),
    ("moderations", moderations::ALL),
    ("agents", agents::ALL),
    ("telemetry", telemetry::ALL),
    ("datasets", datasets::ALL),
    ("reserved", reserved::ALL),
];

/// All endpoints.
pub fn all() -> impl Iterator<Item = &'static Described> {
    GROUPS.iter().flat_map(|(_, endpoints)| endpoints.iter())
}
