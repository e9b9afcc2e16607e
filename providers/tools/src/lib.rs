//! The providers of tools that run in the server, one folder each, and their table.

mod bing_search;
mod brave_search;
mod code_interpreter;
mod model_context_protocol;
mod rag_runtime;
mod search;
mod searxng;
#[cfg(test)]
mod support;
mod tavily_search;
mod web_fetch;
mod wolfram_alpha;

use chaski_provider::{Entry, ToolRuntimeProvider};

/// All providers of tools of this build.
pub const ALL: &[Entry<dyn ToolRuntimeProvider>] = &[
    Entry::of::<bing_search::BingSearch>(),
    Entry::of::<brave_search::BraveSearch>(),
    Entry::of::<code_interpreter::CodeInterpreter>(),
    Entry::of::<model_context_protocol::ModelContextProtocol>(),
    Entry::of::<rag_runtime::RagRuntime>(),
    Entry::of::<searxng::Searxng>(),
    Entry::of::<tavily_search::TavilySearch>(),
    Entry::of::<web_fetch::WebFetch>(),
    Entry::of::<wolfram_alpha::WolframAlpha>(),
];
