//! What turns are tried on.

use super::*;
use chaski_api::{
    ErrorKind,
    agents::TurnStreamChunk,
    endpoints::rag_tool::{InsertDocumentsRequest, QueryContextRequest},
    inference::{
        ChatCompletionRequest, ChatCompletionResponse, ChatStreamChunk, InterleavedContent,
        Message, UnparsedToolCall,
    },
    retrieval::{Filter, RagQueryResult},
    safety::RunShieldResponse,
    tools::{Tool, ToolGroup, ToolInvocationResult},
};
use chaski_provider::{
    Chat, ChunkPage, ChunkToInsert, Cpu, Environment, Payload, Principal, Reply, Retrieval,
    Routers, ScoredChunk, Search, Selection, Shields, Tasks, Tools,
};
use chaski_testkit::within;
use chaski_upstream::{Http, HttpOptions};
use futures_util::{StreamExt, stream};
use serde_json::Map;
use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
};

/// What the model says when it is asked.
#[derive(Clone)]
pub(super) enum Said {
    Text(Vec<String>),
    Calls(Vec<(String, Value)>),
    /// A call that is shown as it is written.
    Spelled(String, Value),
    /// Calls with which the limit of tokens is reached.
    Cut(Vec<(String, Value)>),
    /// A call of a tool with arguments that are no JSON.
    Unreadable(String, String),
    Failure,
    /// One word, and then nothing for ever.
    Stuck,
}

pub(super) fn text(pieces: &[&str]) -> Said {
    Said::Text(pieces.iter().map(|piece| (*piece).to_owned()).collect())
}

pub(super) fn calls(calls: &[(&str, Value)]) -> Said {
    Said::Calls(calls.iter().map(|(name, args)| ((*name).to_owned(), args.clone())).collect())
}

/// The model, the tools, the shield and the vector databases.
#[derive(Default)]
pub(super) struct Script {
    pub(super) says: Mutex<VecDeque<Said>>,
    asked: Mutex<Vec<Value>>,
    invoked: Mutex<Vec<(String, Map<String, Value>)>>,
    inserted: Mutex<Vec<String>>,
    /// The vector databases that there are.
    databases: Mutex<BTreeSet<String>>,
    /// Calls of `slow` wait for so many others.
    pub(super) together: Mutex<Option<Arc<tokio::sync::Barrier>>>,
    /// The calls that the model has made.
    made: Mutex<Vec<(String, Value)>>,
    /// How the next call of `broken` fails.
    pub(super) failure: Mutex<Option<Error>>,
    /// Whether the model gives all calls the same id.
    pub(super) repeats_ids: Mutex<bool>,
}

impl Script {
    /// Notes a call of the model; gives its id.
    fn call(&self, name: &str, arguments: &Value) -> String {
        let mut made = self.made.lock().unwrap();
        made.push((name.to_owned(), arguments.clone()));
        if *self.repeats_ids.lock().unwrap() {
            return "call0".to_owned();
        }
        format!("call{}", made.len())
    }

    fn chunks(&self, said: &Said) -> Vec<Value> {
        let progress =
            |delta: Value| json!({ "event": { "event_type": "progress", "delta": delta } });
        let piece = |text: &str| progress(json!({ "type": "text", "text": text }));
        let mut chunks = vec![
            json!({ "event": { "event_type": "start", "delta": { "type": "text", "text": "" } } }),
        ];
        match said {
            Said::Text(pieces) => chunks.extend(pieces.iter().map(|text| piece(text))),
            Said::Calls(calls) | Said::Cut(calls) => chunks.extend(calls.iter().map(|(name, arguments)| {
                let call_id = self.call(name, arguments);
                let call =
                    json!({ "call_id": call_id, "tool_name": name, "arguments": arguments });
                progress(
                    json!({ "type": "tool_call", "tool_call": call, "parse_status": "succeeded" }),
                )
            })),
            Said::Spelled(name, arguments) => {
                let call = |call: Value, status: &str| {
                    progress(json!({
                        "type": "tool_call", "tool_call": call, "parse_status": status,
                    }))
                };
                for written in [format!("{name}("), arguments.to_string(), ")".to_owned()] {
                    chunks.push(call(written.into(), "in_progress"));
                }
                let call_id = self.call(name, arguments);
                let whole =
                    json!({ "call_id": call_id, "tool_name": name, "arguments": arguments });
                chunks.push(call(whole, "succeeded"));
            }
            Said::Unreadable(name, arguments) => {
                let call = UnparsedToolCall {
                    call_id: self.call(name, &json!({})),
                    tool_name: name.clone(),
                    arguments: arguments.clone(),
                };
                chunks.push(progress(json!({
                    "type": "tool_call", "tool_call": call.to_string(), "parse_status": "failed",
                })));
            }
            Said::Failure | Said::Stuck => chunks.push(piece("wait")),
        }
        let is_cut = matches!(said, Said::Cut(_));
        let stop_reason = if is_cut { "out_of_tokens" } else { "end_of_turn" };
        if !matches!(said, Said::Stuck) {
            chunks.push(json!({
                "event": {
                    "event_type": "complete", "stop_reason": stop_reason,
                    "delta": { "type": "text", "text": "" },
                },
                "metrics": [{ "metric": "total_tokens", "value": 10 }],
            }));
        }
        chunks
    }
}

#[async_trait]
impl Chat for Script {
    async fn chat_completion(
        &self,
        _: &Context,
        request: ChatCompletionRequest,
    ) -> Result<Reply<ChatCompletionResponse, ChatStreamChunk>> {
        self.asked.lock().unwrap().push(serde_json::to_value(&request).unwrap());
        let said = self.says.lock().unwrap().pop_front().expect("the script goes on");
        if matches!(said, Said::Failure) {
            return Err(Error::unavailable("the model is down"));
        }
        let chunks: Vec<_> = self
            .chunks(&said)
            .into_iter()
            .map(|chunk| Ok(Payload::Value(ChatStreamChunk::from_json(chunk).unwrap())))
            .collect();
        let all = stream::iter(chunks);
        Ok(Reply::Stream(match said {
            Said::Stuck => all.chain(stream::pending()).boxed(),
            Said::Text(_)
            | Said::Calls(_)
            | Said::Spelled(..)
            | Said::Cut(_)
            | Said::Unreadable(..)
            | Said::Failure => all.boxed(),
        }))
    }
}

fn tool(name: &str, group: &str) -> Tool {
    Tool::from_json(json!({
        "identifier": name, "provider_resource_id": name, "provider_id": "p", "toolgroup_id": group,
        "tool_host": "distribution", "description": name, "parameters": [],
    }))
    .unwrap()
}

const GROUPS: [(&str, &[&str]); 4] = [
    ("my::math", &["add", "slow", "picky", "broken", "huge", "unhurried"]),
    ("builtin::websearch", &["web_search"]),
    ("builtin::rag", &["insert_into_memory", "knowledge_search"]),
    ("builtin::code_interpreter", &["code_interpreter"]),
];

#[async_trait]
impl Tools for Script {
    fn groups(&self) -> Vec<ToolGroup> {
        GROUPS
            .iter()
            .map(|(id, _)| {
                ToolGroup::from_json(json!({
                    "identifier": id, "provider_resource_id": id, "provider_id": "p",
                }))
                .unwrap()
            })
            .collect()
    }

    async fn list(&self, _: &Context, group: Option<&str>) -> Vec<Tool> {
        GROUPS
            .iter()
            .filter(|(id, _)| group.is_none_or(|group| group == *id))
            .flat_map(|(id, names)| names.iter().map(|name| tool(name, id)))
            .collect()
    }

    async fn invoke(
        &self,
        _: &Context,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<ToolInvocationResult> {
        self.invoked.lock().unwrap().push((tool.to_owned(), arguments.clone()));
        match tool {
            "slow" => {
                let barrier = self.together.lock().unwrap().clone();
                if let Some(barrier) = barrier {
                    barrier.wait().await;
                } else {
                    std::future::pending::<()>().await;
                }
                Ok(ToolInvocationResult::text("slow"))
            }
            "picky" => Err(Error::invalid("`a` is missing").with_param("kwargs")),
            "broken" => {
                let failure = self.failure.lock().unwrap().take();
                Err(failure.expect("the test says how it fails"))
            }
            "unhurried" => {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                Ok(ToolInvocationResult::text("at last"))
            }
            // It makes the files that it is told to make.
            "code_interpreter" => Ok(ToolInvocationResult {
                metadata: arguments
                    .get("makes")
                    .map(|files| Map::from_iter([("attachments".to_owned(), files.clone())])),
                ..ToolInvocationResult::text("code done")
            }),
            "huge" => Ok(ToolInvocationResult::text("é".repeat(2 << 20))),
            name => Ok(ToolInvocationResult::text(format!("{name} done"))),
        }
    }

    async fn insert_documents(&self, _: &Context, request: InsertDocumentsRequest) -> Result<()> {
        let line = format!("{}: {}", request.vector_db_id, request.documents.len());
        self.inserted.lock().unwrap().push(line);
        Ok(())
    }

    async fn query_context(&self, _: &Context, _: QueryContextRequest) -> Result<RagQueryResult> {
        Err(Error::unsupported("not here"))
    }
}

#[async_trait]
impl Shields for Script {
    async fn run_shield(
        &self,
        _: &Context,
        shield: &str,
        messages: &[Message],
        _: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        if shield == "nope" {
            return Err(Error::not_found("Shield `nope` not served"));
        }
        let last = serde_json::to_string(messages.last().unwrap()).unwrap();
        let violation = last.contains("bomb").then(
            || json!({ "violation_level": "error", "user_message": "not that", "metadata": {} }),
        );
        Ok(RunShieldResponse::from_json(json!({ "violation": violation })).unwrap())
    }
}

#[async_trait]
impl Retrieval for Script {
    async fn ensure(&self, _: &Context, id: &str, model: &str) -> Result<()> {
        assert_eq!(model, "all-MiniLM-L6-v2");
        self.databases.lock().unwrap().insert(id.to_owned());
        Ok(())
    }
    async fn remove(&self, _: &Context, id: &str) -> Result<()> {
        self.databases.lock().unwrap().remove(id);
        Ok(())
    }
    async fn insert(&self, _: &Context, _: &str, _: Vec<ChunkToInsert>) -> Result<()> {
        Err(Error::unsupported("not here"))
    }
    async fn search(&self, _: &Context, _: &str, _: Search) -> Result<Vec<ScoredChunk>> {
        Err(Error::unsupported("not here"))
    }
    async fn delete(&self, _: &Context, _: &str, _: &Selection) -> Result<()> {
        Err(Error::unsupported("not here"))
    }
    async fn list(
        &self,
        _: &Context,
        _: &str,
        _: Option<&Filter>,
        _: Option<&str>,
        _: usize,
    ) -> Result<ChunkPage> {
        Err(Error::unsupported("not here"))
    }
}

/// The events of a turn.
pub(super) struct Watched {
    pub(super) events: Vec<TurnStreamChunk>,
    pub(super) error: Option<Error>,
    /// Whether there may have been more.
    pub(super) were_left: bool,
}

impl Watched {
    /// What each event is, and of which step.
    pub(super) fn kinds(&self) -> Vec<String> {
        self.events.iter().map(kind).collect()
    }

    /// The turn of the last event.
    pub(super) fn turn(&self) -> Turn {
        match &self.events.last().expect("there are events").event.payload {
            TurnEventPayload::TurnComplete(end) => end.turn.clone(),
            TurnEventPayload::TurnAwaitingInput(end) => end.turn.clone(),
            TurnEventPayload::StepStart(_)
            | TurnEventPayload::StepProgress(_)
            | TurnEventPayload::StepComplete(_) => panic!("not an end: {:?}", self.kinds()),
        }
    }
}

pub(super) fn kind(chunk: &TurnStreamChunk) -> String {
    let of = |name: &str, step: StepType| format!("{name} {step}");
    match &chunk.event.payload {
        TurnEventPayload::StepStart(step) => of("step_start", step.step_type),
        TurnEventPayload::StepProgress(step) => of("step_progress", step.step_type),
        TurnEventPayload::StepComplete(step) => of("step_complete", step.step_type),
        TurnEventPayload::TurnComplete(_) => "turn_complete".to_owned(),
        TurnEventPayload::TurnAwaitingInput(_) => "turn_awaiting_input".to_owned(),
    }
}

type Held = (Arc<dyn Chat>, Arc<dyn Tools>, Arc<dyn Shields>, Arc<dyn Retrieval>);

/// An agent with a session.
pub(super) struct World {
    pub(super) script: Arc<Script>,
    /// Held for the providers, who do not.
    _routers: Held,
    pub(super) agents: Arc<dyn AgentsProvider>,
    pub(super) cx: Context,
    pub(super) agent_id: String,
    pub(super) session_id: String,
}

impl World {
    pub(super) async fn new(config: Value, says: impl IntoIterator<Item = Said>) -> Self {
        Self::at(Path::new(":memory:"), config, says).await
    }

    pub(super) async fn at(
        path: &Path,
        config: Value,
        says: impl IntoIterator<Item = Said>,
    ) -> Self {
        let mut world = Self::empty(path, says).await;
        let mut whole = json!({ "model": "m", "instructions": "Be brief." });
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let config = AgentConfig::from_json(whole).unwrap();
        world.agent_id = world.agents.create_agent(&world.cx, config).await.unwrap().agent_id;
        world.session_id = world.new_session().await;
        world
    }

    /// The provider, with no agent yet.
    pub(super) async fn empty(path: &Path, says: impl IntoIterator<Item = Said>) -> Self {
        let script = Arc::new(Script::default());
        script.says.lock().unwrap().extend(says);
        let deps = Deps {
            http: Http::new(HttpOptions::default()).unwrap(),
            weights_dir: "/nowhere".into(),
            compute_threads: 1,
            cpu: Cpu::new(1),
            documents: chaski_provider::Documents::in_process(),
            environment: Environment::default(),
            tasks: Tasks::default(),
            routers: Routers::default(),
        };
        let (chat, tools) = (script.clone() as Arc<dyn Chat>, script.clone() as Arc<dyn Tools>);
        let (shields, retrieval) =
            (script.clone() as Arc<dyn Shields>, script.clone() as Arc<dyn Retrieval>);
        deps.routers.set_chat(&chat);
        deps.routers.set_tools(&tools);
        deps.routers.set_shields(&shields);
        deps.routers.set_retrieval(&retrieval);
        let store = json!({ "persistence_store": { "db_path": path.to_str().unwrap() } });
        let config = MetaReferenceConfig::from_json(store).unwrap();
        let agents = MetaReference::build(config, deps).await.unwrap();
        let principal = Principal { id: "one".to_owned(), attributes: Map::new() };
        let cx = Context { principal: Some(Arc::new(principal)), ..Context::default() };
        let routers = (chat, tools, shields, retrieval);
        let (agent_id, session_id) = (String::new(), String::new());
        Self { script, _routers: routers, agents, cx, agent_id, session_id }
    }

    pub(super) async fn new_session(&self) -> String {
        let request =
            CreateSessionRequest { agent_id: self.agent_id.clone(), session_name: "s".to_owned() };
        self.agents.create_session(&self.cx, request).await.unwrap().session_id
    }

    fn request(&self, more: &Value) -> CreateTurnRequest {
        let mut request = json!({
            "agent_id": self.agent_id, "session_id": self.session_id,
            "messages": [{ "role": "user", "content": "hi" }], "stream": true,
        });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        CreateTurnRequest::from_json(request).unwrap()
    }

    pub(super) async fn turn(&self, text: &str) -> Watched {
        self.turn_with(json!({ "messages": [{ "role": "user", "content": text }] })).await
    }

    pub(super) async fn turn_with(&self, more: Value) -> Watched {
        some_of(self.begin(&more).await, usize::MAX).await
    }

    pub(super) async fn begin(&self, more: &Value) -> Result<TurnReply> {
        self.agents.create_turn(&self.cx, self.request(more)).await
    }

    /// The stream of a turn, to be read by the test.
    pub(super) async fn open_turn(
        &self,
    ) -> Result<chaski_provider::EventStream<Payload<TurnStreamChunk>>> {
        match self.agents.create_turn(&self.cx, self.request(&json!({}))).await? {
            Reply::Stream(events) => Ok(events),
            Reply::Full(_) => panic!("a stream was asked for"),
        }
    }

    pub(super) async fn whole_turn(&self, text: &str) -> Result<Turn> {
        let messages = json!([{ "role": "user", "content": text }]);
        let request = self.request(&json!({ "messages": messages, "stream": false }));
        match self.agents.create_turn(&self.cx, request).await? {
            Reply::Full(turn) => turn.into_value(),
            Reply::Stream(_) => panic!("no stream was asked for"),
        }
    }

    pub(super) async fn resume(&self, turn_id: &str, responses: Value) -> Watched {
        some_of(self.go_on(turn_id, responses).await, usize::MAX).await
    }

    pub(super) async fn go_on(&self, turn_id: &str, responses: Value) -> Result<TurnReply> {
        let request = ResumeTurnRequest::from_json(json!({
            "agent_id": self.agent_id, "session_id": self.session_id, "turn_id": turn_id,
            "tool_responses": responses, "stream": true,
        }))
        .unwrap();
        self.agents.resume_turn(&self.cx, request).await
    }

    /// Waits until no turn of the session is under way.
    pub(super) async fn is_free(&self) {
        within("the end of the turn", async {
            loop {
                // A session that is free accepts another turn; this one is refused for its group.
                let groups = json!({ "toolgroups": ["nope"] });
                if !is_conflict(&self.turn_with(groups).await.error.unwrap()) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The session, as requests name it.
    pub(super) fn which(&self) -> SessionRequest {
        SessionRequest {
            agent_id: self.agent_id.clone(),
            session_id: self.session_id.clone(),
            turn_ids: None,
        }
    }

    pub(super) async fn session(&self) -> Session {
        self.agents.get_session(&self.cx, self.which()).await.unwrap()
    }

    pub(super) fn asked(&self) -> Vec<Value> {
        self.script.asked.lock().unwrap().clone()
    }

    pub(super) fn made(&self) -> Vec<(String, Value)> {
        self.script.made.lock().unwrap().clone()
    }

    pub(super) fn invoked(&self) -> Vec<(String, Map<String, Value>)> {
        self.script.invoked.lock().unwrap().clone()
    }

    pub(super) fn databases(&self) -> Vec<String> {
        self.script.databases.lock().unwrap().iter().cloned().collect()
    }

    pub(super) fn inserted(&self) -> Vec<String> {
        self.script.inserted.lock().unwrap().clone()
    }
}

/// Reads the events of a turn, but no more than so many.
pub(super) async fn some_of(reply: Result<TurnReply>, most: usize) -> Watched {
    let mut events = Vec::new();
    let mut stream = match reply {
        Ok(Reply::Stream(stream)) => stream,
        Ok(Reply::Full(_)) => panic!("a stream was asked for"),
        Err(error) => return Watched { events, error: Some(error), were_left: false },
    };
    let mut error = None;
    while events.len() < most {
        match within("an event of a turn", stream.next()).await {
            Some(Ok(event)) => events.push(event.into_value().unwrap()),
            Some(Err(failure)) => error = Some(failure),
            None => return Watched { events, error, were_left: false },
        }
    }
    Watched { events, error, were_left: true }
}

/// The text of a tool's answer.
pub(super) fn plain(content: &InterleavedContent) -> String {
    content.texts(" ").unwrap()
}

pub(super) fn is_conflict(error: &Error) -> bool {
    error.kind == ErrorKind::Conflict
}
