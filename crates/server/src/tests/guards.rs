//! Tools and shields that do what their names say.

use super::provider::NoSettings;
use async_trait::async_trait;
use chaski_api::{
    Api, Error, Result, Wire,
    inference::Message,
    safety::{RunShieldResponse, SafetyViolation, Shield, ViolationLevel},
    tools::{Tool, ToolDef, ToolGroup, ToolInvocationResult},
};
use chaski_provider::{
    Context, Deps, Entry, Hosts, Judges, Lifecycle, Provider, Safety, SafetyProvider, Spec,
    ToolRuntime, ToolRuntimeProvider,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const TOOLS: &[Entry<dyn ToolRuntimeProvider>] =
    &[Entry::of::<Calculator>(), Entry::of::<OtherCalculator>()];
pub(super) const SHIELDS: &[Entry<dyn SafetyProvider>] =
    &[Entry::of::<Censor>(), Entry::of::<CensorOfPrompts>(), Entry::of::<CensorOfCode>()];

/// What callers name a tool by that only they see.
const KEY: &str = "calculator_key";

pub(super) struct Calculator;
pub(super) struct OtherCalculator;

/// The MCP server whose tool has a schema that no check comes to the end of.
pub(super) const ENDLESS: &str = "http://endless.example/mcp";

fn endless() -> Value {
    let mut definitions = Map::new();
    for number in 0..40 {
        let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
        definitions.insert(format!("d{number}"), json!({ "anyOf": [next, next] }));
    }
    definitions.insert("d40".to_owned(), json!({ "type": "string" }));
    json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/d0" } }, "$defs": definitions })
}

/// A schema that parameters cannot say.
pub(super) fn nested() -> Value {
    json!({
        "type": "object",
        "properties": {
            "labels": { "type": "array", "items": { "type": "string", "enum": ["a", "b"] } },
            "where": {
                "type": "object",
                "properties": { "city": { "type": "string" } },
                "required": ["city"],
            },
        },
        "required": ["labels", "where"],
    })
}

impl Provider for Calculator {
    type Api = dyn ToolRuntimeProvider;
    type Config = NoSettings;
    const SPEC: Spec = Spec {
        provider_data: &[KEY],
        ..Spec::new(Api::ToolRuntime, "inline::code-interpreter", "Adds numbers.")
    };

    async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn ToolRuntimeProvider>> {
        Ok(Arc::new(Self))
    }
}

impl Provider for OtherCalculator {
    type Api = dyn ToolRuntimeProvider;
    type Config = NoSettings;
    const SPEC: Spec = Spec::new(Api::ToolRuntime, "remote::wolfram-alpha", "Adds numbers too.");

    async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn ToolRuntimeProvider>> {
        Ok(Arc::new(Calculator))
    }
}

#[async_trait]
impl ToolRuntime for Calculator {
    async fn tools(&self, cx: &Context, group: &ToolGroup) -> Result<Vec<ToolDef>> {
        if group.args.as_ref().is_some_and(|args| args.contains_key("fail")) {
            return Err(Error::unavailable("the calculator is broken"));
        }
        let add = json!({
            "name": "add", "description": "Adds two numbers.",
            "parameters": [
                { "name": "a", "parameter_type": "integer", "description": "One number." },
                { "name": "b", "parameter_type": "integer", "description": "The other.", "required": false },
            ],
        });
        let own = cx.provider_data.text(KEY).map(|key| json!({ "name": key }));
        // The groups of MCP servers have tools with the schema that their names ask for.
        let schema = group.mcp_endpoint.as_ref().map(|endpoint| {
            let schema = if endpoint.uri == ENDLESS { endless() } else { nested() };
            json!({ "name": "tag", "description": "Tags.", "parameters": [
                { "name": "labels", "parameter_type": "array", "description": "" },
                { "name": "where", "parameter_type": "object", "description": "" },
            ], "metadata": { "input_schema": schema } })
        });
        let tools = if let Some(tool) = schema { vec![tool] } else { vec![add] };
        let tools = tools.into_iter().chain(own);
        Ok(tools.map(|tool| ToolDef::from_json(tool).unwrap()).collect())
    }

    async fn invoke(
        &self,
        _: &Context,
        _: &ToolGroup,
        tool: &Tool,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        if tool.identifier == "tag" {
            return Ok(ToolInvocationResult::text(Value::Object(arguments).to_string()));
        }
        let number = |name: &str| arguments.get(name).and_then(Value::as_i64).unwrap_or_default();
        Ok(ToolInvocationResult::text(format!(
            "{}: {}",
            tool.identifier,
            number("a") + number("b")
        )))
    }
}

#[async_trait]
impl Lifecycle for Calculator {}

/// Objects to `bad`, and says that it judges this.
pub(super) struct Censor(Judges);
pub(super) struct CensorOfPrompts;
pub(super) struct CensorOfCode;

fn censor(judges: Judges) -> Arc<dyn SafetyProvider> {
    Arc::new(Censor(judges))
}

impl Provider for Censor {
    type Api = dyn SafetyProvider;
    type Config = NoSettings;
    const SPEC: Spec =
        Spec::new(Api::Safety, "inline::llama-guard", "Objects to `bad` in the last message.");

    async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn SafetyProvider>> {
        Ok(censor(Judges::Content))
    }
}

impl Provider for CensorOfPrompts {
    type Api = dyn SafetyProvider;
    type Config = NoSettings;
    const SPEC: Spec = Spec::new(Api::Safety, "inline::prompt-guard", "Objects to `bad` too.");

    async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn SafetyProvider>> {
        Ok(censor(Judges::Attacks))
    }
}

impl Provider for CensorOfCode {
    type Api = dyn SafetyProvider;
    type Config = NoSettings;
    const SPEC: Spec = Spec::new(Api::Safety, "inline::code-scanner", "Objects to `bad` too.");

    async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn SafetyProvider>> {
        Ok(censor(Judges::Code))
    }
}

#[async_trait]
impl Safety for Censor {
    fn judges(&self) -> Judges {
        self.0
    }

    async fn run_shield(
        &self,
        _: &Context,
        _: &Shield,
        messages: &[Message],
        params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        let text = serde_json::to_string(&messages.last()).unwrap();
        let violation = text.contains("bad").then(|| SafetyViolation {
            violation_level: ViolationLevel::Error,
            user_message: Some("no".to_owned()),
            metadata: params.cloned().unwrap_or_default(),
        });
        Ok(RunShieldResponse { violation })
    }
}

#[async_trait]
impl Hosts<Shield> for Censor {
    async fn on_register(&self, shield: Shield) -> Result<Shield> {
        if shield.provider_resource_id == "unknown" {
            return Err(Error::invalid("there is no such shield"));
        }
        Ok(shield)
    }
}

#[async_trait]
impl Lifecycle for Censor {}
