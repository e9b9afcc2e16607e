//! What all services have in common, and what their own tests ask with.

use crate::{
    bing_search::BingSearch, brave_search::BraveSearch, tavily_search::TavilySearch,
    wolfram_alpha::WolframAlpha,
};
use chaski_api::{
    ErrorKind, Result,
    tools::{Tool, ToolGroup, ToolGroupTag, ToolHost, ToolTag},
};
use chaski_provider::{
    Context, Cpu, Deps, Documents, Entry, Environment, Provider, ProviderData, Routers, Tasks,
    ToolRuntime, ToolRuntimeProvider,
};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use chaski_upstream::{Http, HttpOptions};
use serde_json::{Map, Value, json};
use std::{path::PathBuf, sync::Arc};

/// The key that calls are made with.
pub(crate) const KEY: &str = "s3cr3t-key-of-a-test";

type Searches = Entry<dyn ToolRuntimeProvider>;

/// The services, with their names, their keys and what is said where one is missing.
const SERVICES: [(Searches, &str, &str, &str); 4] = [
    (
        Entry::of::<BraveSearch>(),
        "Brave Search",
        "brave_search_api_key",
        "Pass Search provider's API Key in the header X-LlamaStack-Provider-Data as { \
         \"brave_search_api_key\": <your api key>}",
    ),
    (
        Entry::of::<TavilySearch>(),
        "Tavily",
        "tavily_search_api_key",
        "Pass Search provider's API Key in the header X-LlamaStack-Provider-Data as { \
         \"tavily_search_api_key\": <your api key>}",
    ),
    (
        Entry::of::<BingSearch>(),
        "Bing",
        "bing_search_api_key",
        "Pass Bing Search API Key in the header X-LlamaStack-Provider-Data as { \
         \"bing_search_api_key\": <your api key>}",
    ),
    (
        Entry::of::<WolframAlpha>(),
        "Wolfram Alpha",
        "wolfram_alpha_api_key",
        "Pass WolframAlpha API Key in the header X-LlamaStack-Provider-Data as { \
         \"wolfram_alpha_api_key\": <your api key>}",
    ),
];

fn group() -> ToolGroup {
    ToolGroup {
        identifier: "builtin::websearch".to_owned(),
        provider_resource_id: "builtin::websearch".to_owned(),
        provider_id: "search".to_owned(),
        tag: ToolGroupTag::ToolGroup,
        mcp_endpoint: None,
        args: None,
    }
}

fn tool() -> Tool {
    Tool {
        identifier: "web_search".to_owned(),
        provider_resource_id: "web_search".to_owned(),
        provider_id: "search".to_owned(),
        tag: ToolTag::Tool,
        toolgroup_id: "builtin::websearch".to_owned(),
        tool_host: ToolHost::Distribution,
        description: String::new(),
        parameters: Vec::new(),
        metadata: None,
    }
}

async fn provider(entry: &Searches, config: Value) -> Result<Arc<dyn ToolRuntimeProvider>> {
    let deps = Deps {
        http: Http::new(HttpOptions::default()).unwrap(),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: Cpu::new(1),
        documents: Documents::in_process(),
        environment: Environment::default(),
        tasks: Tasks::default(),
        routers: Routers::default(),
    };
    (entry.build)(config, deps).await
}

fn query(text: &str) -> Map<String, Value> {
    Map::from_iter([("query".to_owned(), json!(text))])
}

async fn ask(provider: &dyn ToolRuntime, cx: &Context, text: &str) -> Result<String> {
    let result = provider.invoke(cx, &group(), &tool(), query(text)).await?;
    let content = serde_json::to_value(&result.content).unwrap();
    Ok(content.as_str().expect("the content is a text").to_owned())
}

/// What the tool says when the service gives this answer, and what the service was asked.
pub(crate) async fn asked<P>(config: Value, text: &str, answer: Answer) -> (Result<String>, Seen)
where
    P: Provider<Api = dyn ToolRuntimeProvider>,
{
    let upstream = FakeUpstream::answering(answer).await;
    let mut settings = json!({ "api_key": KEY, "url": format!("{}/at", upstream.url()) });
    let fields = settings.as_object_mut().unwrap();
    fields.extend(config.as_object().unwrap().clone());
    let provider = provider(&Entry::of::<P>(), settings).await.unwrap();
    let said = ask(&*provider, &Context::default(), text).await;
    (said, upstream.only_request())
}

#[tokio::test]
async fn without_a_key_nothing_is_sent_and_the_header_for_one_is_named() {
    for (entry, _, key, message) in &SERVICES {
        let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
        for config in [json!({}), json!({ "api_key": "" }), json!({ "api_key": " " })] {
            let mut config = config;
            config["url"] = upstream.url().into();
            let provider = provider(entry, config).await.unwrap();
            for sent in [json!({}), json!({ *key: "" }), json!({ "other": "k" })] {
                let provider_data = ProviderData::new(sent.as_object().unwrap().clone());
                let cx = Context { provider_data, ..Context::default() };
                let error = ask(&*provider, &cx, "x").await.unwrap_err();
                assert_eq!((error.kind, &*error.message), (ErrorKind::InvalidRequest, *message));
            }
        }
        assert!(upstream.requests().is_empty());
    }
}

#[tokio::test]
async fn a_callers_key_is_used_where_the_configuration_has_none() {
    for (entry, name, key, _) in &SERVICES {
        assert_eq!(entry.spec.provider_data, [*key]);
        let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
        for (config, used) in [(json!({}), "theirs"), (json!({ "api_key": KEY }), KEY)] {
            let mut config = config;
            config["url"] = upstream.url().into();
            let provider = provider(entry, config).await.unwrap();
            let sent = json!({ *key: "theirs" });
            let provider_data = ProviderData::new(sent.as_object().unwrap().clone());
            let cx = Context { provider_data, ..Context::default() };
            // Whether this is an answer is up to the service.
            let _ = ask(&*provider, &cx, "x").await;
            let seen = upstream.requests().pop().unwrap();
            let headers = format!("{:?}", seen.headers);
            let sent = format!("{} {headers} {}", seen.path, String::from_utf8_lossy(&seen.body));
            assert!(sent.contains(used), "{name}: {sent}");
        }
    }
}

#[tokio::test]
async fn an_error_status_names_the_service_and_never_shows_the_key() {
    for (entry, name, ..) in &SERVICES {
        for answer in [
            Answer::json(json!({ "error": { "message": format!("`{KEY}` is not accepted") } })),
            Answer::json(json!({ "detail": { "error": format!("unknown key {KEY}") } })),
            Answer::text(format!("unknown key {KEY}")),
            Answer::json(json!({})),
        ] {
            let upstream = FakeUpstream::answering(answer.status(401)).await;
            let config = json!({ "api_key": KEY, "url": upstream.url() });
            let provider = provider(entry, config).await.unwrap();
            let error = ask(&*provider, &Context::default(), "x").await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Upstream { status: Some(401) });
            assert!(error.message.contains(name), "{}", error.message);
            assert!(!error.chain().contains(KEY), "{}", error.chain());
        }
    }
}

#[tokio::test]
async fn an_answer_without_the_form_of_the_service_is_an_error_of_the_service() {
    for (entry, name, ..) in &SERVICES {
        for answer in ["", "{", "<html>", "[1]", "\"text\""] {
            let upstream = FakeUpstream::answering(Answer::text(answer)).await;
            let config = json!({ "api_key": KEY, "url": upstream.url() });
            let provider = provider(entry, config).await.unwrap();
            let error = ask(&*provider, &Context::default(), "x").await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Upstream { status: None }, "{name}: {answer}");
            assert_eq!(error.message, format!("the answer of {name} does not have its form"));
        }
    }
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_named() {
    for (entry, name, ..) in &SERVICES {
        // Nothing listens on this address any more.
        let url = FakeUpstream::answering(Answer::json(json!({}))).await.url();
        let config = json!({ "api_key": KEY, "url": url });
        let provider = provider(entry, config).await.unwrap();
        let error = ask(&*provider, &Context::default(), "x").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
        assert!(error.message.contains(name), "{}", error.message);
        assert!(!error.chain().contains(KEY), "{}", error.chain());
    }
}

#[tokio::test]
async fn a_wrong_query_is_refused_before_anything_is_sent() {
    for (entry, ..) in &SERVICES {
        let upstream = FakeUpstream::answering(Answer::json(json!({}))).await;
        let config = json!({ "api_key": KEY, "url": upstream.url() });
        let provider = provider(entry, config).await.unwrap();
        let cx = Context::default();
        for arguments in [Map::new(), query(&"x".repeat(16 * 1024 + 1))] {
            let error = provider.invoke(&cx, &group(), &tool(), arguments).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidRequest);
            assert!(error.message.contains("`query`"), "{}", error.message);
        }
        assert!(upstream.requests().is_empty());
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_the_start() {
    for (entry, name, ..) in &SERVICES {
        for url in ["", "localhost", "file:///etc/hosts"] {
            let Err(error) = provider(entry, json!({ "url": url })).await else {
                panic!("{name} accepts `{url}`");
            };
            assert_eq!(error.kind, ErrorKind::InvalidRequest);
            assert!(error.message.contains(name), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn each_service_has_one_tool_with_a_query() {
    let mut found = Vec::new();
    for (entry, ..) in &SERVICES {
        let provider = provider(entry, (entry.sample)("/d")).await.unwrap();
        let tools = provider.tools(&Context::default(), &group()).await.unwrap();
        let [tool] = &tools[..] else { panic!("one tool: {tools:?}") };
        let [query] = &tool.parameters.as_ref().unwrap()[..] else { panic!("one parameter") };
        assert_eq!(
            (&*query.name, &*query.parameter_type, query.required),
            ("query", "string", true)
        );
        let told = (tool.description.clone().unwrap(), query.description.clone());
        found.push((tool.name.clone(), told.0, told.1));
    }
    let expected = [
        ("web_search", "Search the web for information", "The query to search for"),
        ("web_search", "Search the web for information", "The query to search for"),
        ("web_search", "Search the web using Bing Search API", "The query to search for"),
        ("wolfram_alpha", "Query WolframAlpha for computational knowledge", "The query to compute"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn a_number_of_results_that_is_none_is_reported_with_its_place() {
    for (entry, name, ..) in &SERVICES[..3] {
        let setting = if *name == "Bing" { "top_k" } else { "max_results" };
        for count in [-1, 0, 101] {
            let issues = (entry.check)(json!({ setting: count }));
            let [issue] = &issues[..] else { panic!("one issue: {issues:?}") };
            let expected = format!("{setting}: must be an integer from 1 to 100, not {count}");
            assert_eq!(issue.to_string(), expected);
        }
        assert!((entry.check)(json!({ setting: 100 })).is_empty());
    }
}
