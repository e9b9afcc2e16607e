//! How turns begin, and how they go on.

use super::{
    Busy, MetaReference, attachments,
    budget::Clock,
    documents, history,
    journal::{Journal, Kept},
    records::{StoredSession, StoredTurn, TurnState, Usage},
    run::{Run, completed, json, new_id, now, said},
    toolset::{CODE_INTERPRETER, KNOWLEDGE_SEARCH, Toolset},
};
use chaski_api::{
    Error, Result,
    agents::{
        AgentConfig, AgentToolGroup, Document, Step, ToolExecutionStep, ToolResponse, Turn,
        TurnEventPayload, TurnMessage, TurnStreamChunk,
    },
    endpoints::{
        agents::{CreateTurnRequest, ResumeTurnRequest},
        rag_tool::InsertDocumentsRequest,
    },
    inference::{StopReason, ToolCall, ToolResponseMessage},
    wire::Between,
};
use chaski_provider::{Context, OpenSpan, Payload, Reply, SESSION_VECTOR_DB, TurnReply};
use chaski_store::{Held, Owner};
use futures_util::StreamExt;
use serde_json::Map;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use tokio::sync::mpsc;
use tracing::Instrument;

/// Events that wait for a slow caller.
const WAITING: usize = 64;
/// The tokens of the chunks of documents, as in the reference.
const CHUNK: i64 = 512;

/// What a turn is run with.
struct Prepared {
    config: Arc<AgentConfig>,
    toolset: Toolset,
    before: Vec<Turn>,
    session: Held<StoredSession>,
    busy: Busy,
}

/// A session that is taken for a turn.
struct Taken {
    config: AgentConfig,
    session: Held<StoredSession>,
    busy: Busy,
    /// Its turns, the oldest first.
    turns: Vec<Kept>,
}

/// A turn, and the events that come before those of its run.
struct Begun {
    stored: StoredTurn,
    journal: Journal,
    first: Vec<TurnStreamChunk>,
}

impl MetaReference {
    pub(super) async fn begin_turn(
        &self,
        cx: &Context,
        request: CreateTurnRequest,
    ) -> Result<TurnReply> {
        let CreateTurnRequest { agent_id, session_id, messages, .. } = request;
        let toolgroups = request.toolgroups.unwrap_or_default();
        let owner = cx.owner();
        let taken = self.take(&owner, &agent_id, &session_id).await?;
        let mut prepared = self.prepare(cx, taken, &toolgroups).await?;
        let turn = Turn {
            turn_id: new_id(),
            session_id,
            input_messages: messages,
            steps: Vec::new(),
            output_message: said(String::new(), StopReason::EndOfTurn),
            output_attachments: Some(Vec::new()),
            started_at: now(),
            completed_at: None,
            status: None,
        };
        let mut stored = StoredTurn {
            agent_id,
            turn,
            state: TurnState::Running,
            toolgroups,
            tool_config: request.tool_config,
            files: Map::new(),
            usage: Usage::default(),
            pending: Vec::new(),
            begun: BTreeSet::new(),
            unparsed: BTreeMap::new(),
        };
        let documents = request.documents.unwrap_or_default();
        self.take_in(cx, &mut prepared, &mut stored, &documents).await?;
        prepared.busy.runs(&stored.turn.turn_id);
        let journal = Journal::begin(self.database.clone(), owner, &stored).await?;
        let span = cx.spans.start("create_and_execute_turn");
        let begun = Begun { stored, journal, first: Vec::new() };
        self.reply(cx, span, prepared, begun, request.stream == Some(true)).await
    }

    pub(super) async fn go_on(
        &self,
        cx: &Context,
        request: ResumeTurnRequest,
    ) -> Result<TurnReply> {
        let ResumeTurnRequest { agent_id, session_id, turn_id, tool_responses, stream } = request;
        let mut taken = self.take(&cx.owner(), &agent_id, &session_id).await?;
        let place = taken.turns.iter().position(|kept| kept.row.record.turn.turn_id == turn_id);
        let mut from_it = taken.turns.split_off(place.unwrap_or(taken.turns.len())).into_iter();
        let Some(kept) = from_it.next() else {
            return Err(Error::not_found(format!("Turn {turn_id} not found")));
        };
        let is_last = from_it.next().is_none();
        let groups = kept.row.record.toolgroups.clone();
        let prepared = self.prepare(cx, taken, &groups).await?;
        prepared.busy.runs(&turn_id);
        let edit = |turn: &mut StoredTurn| {
            let step = resumed(turn, tool_responses, is_last)?;
            turn.state = TurnState::Running;
            turn.turn.completed_at = None;
            Ok(step.map(Step::ToolExecution))
        };
        let (journal, stored, step) = Journal::resume(self.database.clone(), kept, edit).await?;
        let first = step.map(|step| TurnStreamChunk::from(completed(step)));
        let span = cx.spans.start("resume_turn");
        let begun = Begun { stored, journal, first: first.into_iter().collect() };
        self.reply(cx, span, prepared, begun, stream == Some(true)).await
    }

    /// Takes a session for a turn, until the turn has ended.
    async fn take(&self, owner: &Owner, agent_id: &str, session_id: &str) -> Result<Taken> {
        let config = self.agent(owner, agent_id).await?.record.agent.agent_config;
        let session = self.session(owner, agent_id, session_id).await?;
        let busy = self.occupy(session_id)?;
        let turns = self.turns(owner, session_id).await?;
        Ok(Taken { config, session, busy, turns })
    }

    /// Finds the tools of a turn after the turns of `taken`.
    async fn prepare(
        &self,
        cx: &Context,
        taken: Taken,
        toolgroups: &[AgentToolGroup],
    ) -> Result<Prepared> {
        let Taken { config, session, busy, turns } = taken;
        let tools = self.deps.routers.tools()?;
        let toolset = Toolset::of(tools.as_ref(), cx, &config, toolgroups).await?;
        let before = turns
            .into_iter()
            .filter(|kept| kept.row.record.state != TurnState::Failed)
            .map(|kept| kept.whole().turn)
            .collect();
        Ok(Prepared { config: Arc::new(config), toolset, before, session, busy })
    }

    /// Puts the documents of a turn where its tools find them, or into the context of the model.
    async fn take_in(
        &self,
        cx: &Context,
        prepared: &mut Prepared,
        stored: &mut StoredTurn,
        documents: &[Document],
    ) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        let searches = prepared.toolset.has(KNOWLEDGE_SEARCH);
        let runs_code = prepared.toolset.has(CODE_INTERPRETER);
        if searches {
            let id = self.vector_db(cx, prepared).await?;
            let tools = self.deps.routers.tools()?;
            let request = InsertDocumentsRequest {
                documents: documents::for_search(documents),
                vector_db_id: id,
                chunk_size_in_tokens: Between(CHUNK),
            };
            tools.insert_documents(cx, request).await?;
        }
        if runs_code {
            let mut names = Vec::with_capacity(documents.len());
            for document in documents {
                let (name, content) = documents::file(&self.deps, document).await?;
                names.push(format!("`{name}`"));
                stored.files.insert(name, content);
            }
            let context = format!(
                "The user attached files, which code that `{CODE_INTERPRETER}` runs finds in its \
                 folder: {}",
                names.join(", ")
            );
            history::add_context(&mut stored.turn.input_messages, &context);
        } else if !searches {
            let mut texts = Vec::with_capacity(documents.len());
            for document in documents {
                texts.push(documents::text(&self.deps, document).await?);
            }
            history::add_context(&mut stored.turn.input_messages, &texts.join("\n"));
        }
        Ok(())
    }

    /// The vector database of the session, which is made with its first document.
    async fn vector_db(&self, cx: &Context, prepared: &mut Prepared) -> Result<String> {
        if let Some(id) = &prepared.session.record.vector_db {
            return Ok(id.clone());
        }
        let mut session = prepared.session.record.clone();
        let id = vector_db_of(&session.session.session_id);
        self.deps.routers.retrieval()?.ensure(cx, &id, &self.embedding_model).await?;
        session.vector_db = Some(id.clone());
        if let Err(error) = self.database.replace(&prepared.session, &session).await {
            // The session was removed meanwhile, and what belongs to it is to go too.
            self.forget_documents(cx, &session.session.session_id).await?;
            return Err(error.into());
        }
        prepared.session = prepared.session.replaced(session);
        Ok(id)
    }

    /// Removes the vector database of a session that is removed, if it has one.
    pub(super) async fn forget_documents(&self, cx: &Context, session_id: &str) -> Result<()> {
        self.deps.routers.retrieval()?.remove(cx, &vector_db_of(session_id)).await
    }

    /// Runs a turn, and gives its events or the turn.
    async fn reply(
        &self,
        cx: &Context,
        mut span: OpenSpan,
        prepared: Prepared,
        begun: Begun,
        stream: bool,
    ) -> Result<TurnReply> {
        let Prepared { config, toolset, mut before, session, busy } = prepared;
        let Begun { stored, journal, first } = begun;
        let attachments_left = attachments::room(&before, &stored.turn);
        before.iter_mut().for_each(attachments::forget);
        let of_agent = config.tool_config.clone().unwrap_or_default();
        let clock = Clock::start(&config, stored.usage);
        let turn = &stored.turn;
        span.set_with("session_id", || turn.session_id.clone());
        span.set_with("agent_id", || stored.agent_id.clone());
        span.set_with("turn_id", || turn.turn_id.clone());
        span.set_content("request", || json(&turn.input_messages));
        let (events, mut received) = mpsc::channel(WAITING);
        let run = Run {
            deps: self.deps.clone(),
            cx: cx.within(&span),
            span,
            tool_config: stored.tool_config.clone().unwrap_or(of_agent),
            config,
            toolset,
            before: Arc::new(before),
            stored,
            ended: None,
            journal,
            vector_db: session.record.vector_db.clone(),
            events,
            clock,
            attachments_left,
            busy: Some(busy),
        };
        // What it tells the log belongs to the request.
        self.deps.tasks.spawn(run.run().in_current_span());
        let later = futures_util::stream::poll_fn(move |cx| received.poll_recv(cx));
        let mut all = futures_util::stream::iter(first.into_iter().map(Ok)).chain(later).boxed();
        if stream {
            return Ok(Reply::Stream(all.map(|event| event.map(Payload::Value)).boxed()));
        }
        let mut end = None;
        while let Some(event) = all.next().await {
            match event?.event.payload {
                TurnEventPayload::TurnComplete(complete) => end = Some(complete.turn),
                TurnEventPayload::TurnAwaitingInput(waiting) => end = Some(waiting.turn),
                TurnEventPayload::StepStart(_)
                | TurnEventPayload::StepProgress(_)
                | TurnEventPayload::StepComplete(_) => {}
            }
        }
        let turn = end.ok_or_else(|| Error::internal("a turn ended without an answer"))?;
        Ok(Reply::Full(Payload::Value(turn)))
    }
}

/// The id of the vector database of a session.
fn vector_db_of(session_id: &str) -> String {
    format!("{SESSION_VECTOR_DB}{session_id}")
}

/// Notes what a client answered with which a turn is to go on; gives the step that this is.
///
/// # Errors
/// `InvalidRequest` where the turn does not wait for these answers.
fn resumed(
    stored: &mut StoredTurn,
    responses: Vec<ToolResponse>,
    is_last: bool,
) -> Result<Option<ToolExecutionStep>> {
    let turn_id = &stored.turn.turn_id;
    match stored.state {
        TurnState::AwaitingInput => answered(stored, responses).map(Some),
        // A client that reads calls from the text of an answer has run them after its end.
        TurnState::Complete if is_last && is_news(stored, &responses) => {
            let calls = responses.iter().map(|response| ToolCall {
                call_id: response.call_id.clone(),
                tool_name: response.tool_name.clone(),
                arguments: Map::new(),
            });
            let calls = calls.collect();
            Ok(Some(executed(stored, calls, responses)))
        }
        TurnState::Complete => Err(Error::invalid(format!(
            "the turn `{turn_id}` is complete; there is nothing to go on with"
        ))),
        TurnState::Running | TurnState::Interrupted | TurnState::Failed => {
            if responses.is_empty() {
                return Ok(None);
            }
            Err(Error::invalid(format!(
                "the turn `{turn_id}` waits for no tools; send empty `tool_responses` to go on with it"
            )))
        }
    }
}

/// Notes what tools of the client answered; gives the step that this is.
///
/// # Errors
/// `InvalidRequest` for a call without an answer or with two, and for an answer without a call or by
/// another tool.
fn answered(stored: &mut StoredTurn, responses: Vec<ToolResponse>) -> Result<ToolExecutionStep> {
    let by_id = |call: &ToolCall| (call.call_id.clone(), call.tool_name.clone());
    let mut open: HashMap<String, String> = stored.pending.iter().map(by_id).collect();
    let asked: HashMap<String, String> = open.clone();
    for ToolResponse { call_id, tool_name, .. } in &responses {
        match (asked.get(call_id), open.remove(call_id)) {
            (None, _) => {
                return Err(Error::invalid(format!(
                    "`tool_responses` has an answer to `{call_id}`, which is no open call of the turn"
                )));
            }
            (Some(_), None) => {
                return Err(Error::invalid(format!(
                    "`tool_responses` has two answers to the call `{call_id}`; send one"
                )));
            }
            (Some(asked), Some(_)) if asked != tool_name => {
                return Err(Error::invalid(format!(
                    "`tool_responses` has an answer of `{tool_name}` to the call `{call_id}`, which is \
                     one of `{asked}`"
                )));
            }
            (Some(_), Some(_)) => {}
        }
    }
    if let Some(missing) = open.keys().min() {
        return Err(Error::invalid(format!(
            "`tool_responses` has no answer to the call `{missing}`; answer all calls of the turn"
        )));
    }
    let calls = std::mem::take(&mut stored.pending);
    Ok(executed(stored, calls, responses))
}

/// Whether all answers are to calls that the turn has never seen.
fn is_news(stored: &StoredTurn, responses: &[ToolResponse]) -> bool {
    let mut seen = history::call_ids(&stored.turn);
    !responses.is_empty() && responses.iter().all(|response| seen.insert(&response.call_id))
}

/// Notes that the client ran `calls`; gives the step.
fn executed(
    stored: &mut StoredTurn,
    calls: Vec<ToolCall>,
    responses: Vec<ToolResponse>,
) -> ToolExecutionStep {
    let step = ToolExecutionStep {
        turn_id: stored.turn.turn_id.clone(),
        step_id: new_id(),
        started_at: stored.turn.completed_at.clone(),
        completed_at: Some(now()),
        tool_calls: calls,
        tool_responses: responses.clone(),
    };
    stored.turn.input_messages.extend(responses.into_iter().map(|response| {
        let ToolResponse { call_id, content, .. } = response;
        TurnMessage::Tool(ToolResponseMessage { call_id, content })
    }));
    step
}
