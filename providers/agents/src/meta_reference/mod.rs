//! Agents that keep their sessions, as those of the reference, in a SQLite database.

mod attachments;
mod budget;
mod calls;
mod documents;
mod gathered;
mod history;
mod journal;
mod records;
mod run;
mod toolset;
mod turns;
mod watch;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chaski_api::{
    Api, Error, Issue, Reader, Result, Segment,
    agents::{
        Agent, AgentConfig, AgentCreateResponse, AgentList, AgentSessionCreateResponse,
        AgentStepResponse, Session, SessionList, Step, Turn, TurnStatus,
    },
    endpoints::agents::{
        CreateSessionRequest, CreateTurnRequest, ListAgentsRequest, ListSessionsRequest,
        ResumeTurnRequest, SessionRequest, StepRequest, TurnRequest,
    },
};
use chaski_provider::{
    Agents, AgentsProvider, Context, Deps, Lifecycle, Provider, ProviderConfig, Spec, TurnReply,
};
use chaski_store::{Batch, Condition, Database, Held, Owner, Place, SqliteRows};
use journal::Kept;
use records::{SCHEMA, StoredAgent, StoredEntry, StoredSession, StoredTurn, TurnState};
use run::{new_id, now};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

/// The most records of a page, where the caller does not say.
const PAGE: usize = 100;

const DOCS: &str = "\
Agents with sessions, turns and steps. Everything is kept in the SQLite file of `persistence_store` and belongs to the
caller who made it.

- A turn asks the model, runs the tools that it calls, and asks again, until there is an answer, tools of the client are
  to answer, or a bound is reached: `max_infer_iters`, or one of `budget` (`tool_calls`, `tokens`, `seconds`).
- Calls beyond `tool_calls` are answered with an error and not made. Inferences and tools run no longer than `seconds`,
  and what a turn has used counts on when it is resumed; the time in which it waits for the client does not count.
- Each step is kept before its event is sent. A turn whose caller leaves is interrupted, and one whose server dies too:
  both have no `completed_at` and the `status` `interrupted` (one that is under way has `running`), and `.../resume` with
  an empty `tool_responses` goes on with them. A call of a tool that had begun is not made again; the model is told that
  its effect is not known.
- A turn that fails is left out of its session, and is read by its id, with the `status` `failed`; one that was in the
  session before it was resumed stays there as interrupted.
- Calls of several tools in one answer run side by side. What fails in a tool, wrong arguments, arguments that are no JSON
  and names of tools that there are not go to the model as the answer of the tool; only a key that the caller has to send,
  a right that it does not have, and a fault of the server end the turn. A call that is made three times in a row is not
  made again, and after six the turn ends.
- A call whose id the turn has seen gets a new one.
- Documents go into a vector database of the session where the agent has `knowledge_search`, to the code interpreter as
  files, byte for byte, and otherwise into the context of the last message. With the session, or its agent, they are removed.
- Files that tools make are `attachments` in the metadata of the tool's answer in its step, and `output_attachments` of the
  turn, by their names; of two with one name the later one is there. The files of a turn have at most 16 MiB, those of a
  session 64 MiB: what is more is named, with no `content`.
- `stream: false` answers the whole turn.
";

chaski_api::wire! {
    /// Where agents are kept.
    pub struct PersistenceStore {
        /// Always `sqlite` in this build.
        pub kind as "type": String = "sqlite".to_owned(),
        /// Has no effect.
        pub namespace: Option<String>,
        /// The file; `:memory:` keeps nothing.
        pub db_path: String,
    }

    /// The configuration of `inline::meta-reference`.
    pub struct MetaReferenceConfig {
        /// Where agents are kept.
        pub persistence_store: PersistenceStore,
        /// The embedding model of the vector databases that sessions get for documents.
        pub embedding_model: String = "all-MiniLM-L6-v2".to_owned(),
    }
}

impl ProviderConfig for MetaReferenceConfig {
    fn sample(dir: &str) -> Value {
        json!({ "persistence_store": {
            "type": "sqlite", "namespace": null,
            "db_path": format!("${{env.SQLITE_STORE_DIR:{dir}}}/agents_store.db"),
        } })
    }

    fn validate(&self, reader: &mut Reader) {
        let kind = &self.persistence_store.kind;
        if kind != "sqlite" {
            reader.key("persistence_store", |reader| {
                reader.key("type", |reader| {
                    let text = format!("this build keeps agents in `sqlite`, not in `{kind}`");
                    reader.issue::<()>("store", text)
                })
            });
        }
    }
}

/// Agents in a database.
#[derive(Clone)]
pub(crate) struct MetaReference {
    deps: Deps,
    database: Database,
    embedding_model: Arc<str>,
    busy: UnderWay,
}

/// The sessions with a turn under way in this process, and its id once it is known.
type UnderWay = Arc<Mutex<HashMap<String, Option<String>>>>;

impl Provider for MetaReference {
    type Api = dyn AgentsProvider;
    type Config = MetaReferenceConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Agents,
            "inline::meta-reference",
            "Agents that use tools, with sessions that are kept.",
        )
    };

    async fn build(config: MetaReferenceConfig, deps: Deps) -> Result<Arc<dyn AgentsProvider>> {
        let backend = SqliteRows::open(config.persistence_store.db_path, &SCHEMA)?;
        Ok(Arc::new(Self {
            deps,
            database: Database::new(Arc::new(backend)),
            embedding_model: config.embedding_model.into(),
            busy: Arc::default(),
        }))
    }
}

/// Holds a session as long as a turn of it is under way.
struct Busy {
    sessions: UnderWay,
    id: String,
}

impl Busy {
    /// Notes which turn is under way.
    fn runs(&self, turn_id: &str) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(self.id.clone(), Some(turn_id.to_owned()));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl MetaReference {
    fn occupy(&self, session_id: &str) -> Result<Busy> {
        let mut sessions = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(place) = sessions.entry(session_id.to_owned()) {
            place.insert(None);
            return Ok(Busy { sessions: Arc::clone(&self.busy), id: session_id.to_owned() });
        }
        let message =
            format!("a turn of the session `{session_id}` is under way; wait for its end");
        Err(Error::new(chaski_api::ErrorKind::Conflict, message))
    }

    /// A turn as it is answered.
    fn shown(&self, stored: StoredTurn) -> Turn {
        let status = match stored.state {
            TurnState::Running if self.is_under_way(&stored.turn) => Some(TurnStatus::Running),
            TurnState::Running | TurnState::Interrupted => Some(TurnStatus::Interrupted),
            TurnState::Failed => Some(TurnStatus::Failed),
            TurnState::AwaitingInput | TurnState::Complete => None,
        };
        Turn { status, ..attachments::shown(stored.turn) }
    }

    fn is_under_way(&self, turn: &Turn) -> bool {
        let sessions = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&turn.session_id).is_some_and(|id| id.as_ref() == Some(&turn.turn_id))
    }

    async fn agent(&self, owner: &Owner, id: &str) -> Result<Held<StoredAgent>> {
        let agent = self.database.get::<StoredAgent>(owner, id).await?;
        agent.ok_or_else(|| Error::not_found(format!("Could not find agent config for {id}")))
    }

    /// The turn that a request names, if there is one.
    async fn turn_of(&self, owner: &Owner, request: &TurnRequest) -> Result<Option<StoredTurn>> {
        let kept = self.turn(owner, &request.session_id, &request.turn_id).await?;
        let of_agent = kept.filter(|kept| kept.row.record.agent_id == request.agent_id);
        Ok(of_agent.map(Kept::whole))
    }

    async fn session(
        &self,
        owner: &Owner,
        agent_id: &str,
        id: &str,
    ) -> Result<Held<StoredSession>> {
        let session = self.database.get::<StoredSession>(owner, id).await?;
        session
            .filter(|held| held.record.agent_id == agent_id)
            .ok_or_else(|| Error::not_found(format!("Session {id} not found")))
    }
}

fn place(after: Option<String>) -> Place {
    after.map_or(Place::Start, Place::After)
}

fn limit(limit: Option<i64>) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE)
}

#[async_trait]
impl Agents for MetaReference {
    async fn create_agent(
        &self,
        cx: &Context,
        mut config: AgentConfig,
    ) -> Result<AgentCreateResponse> {
        let settled = config.settled_tool_config().map_err(|why| {
            let key = |name: &'static str| Segment::Key(name.into());
            Error::malformed(vec![Issue {
                loc: vec![key("body"), key("agent_config")],
                msg: format!("Value error, {why}"),
                kind: "value_error",
            }])
        })?;
        config.tool_config = Some(settled);
        let agent_id = new_id();
        let agent = Agent { agent_id: agent_id.clone(), agent_config: config, created_at: now() };
        self.database.insert(&cx.owner(), &StoredAgent { agent }).await?;
        Ok(AgentCreateResponse { agent_id })
    }

    async fn list_agents(&self, cx: &Context, request: ListAgentsRequest) -> Result<AgentList> {
        let query = Database::query::<StoredAgent>(&cx.owner())
            .place(place(request.after))
            .limit(limit(request.limit.map(|limit| limit.0)));
        let page = self.database.list(query).await?;
        let data = page.records.into_iter().map(|held| held.record.agent).collect();
        Ok(AgentList { data, has_more: page.has_more })
    }

    async fn get_agent(&self, cx: &Context, agent_id: &str) -> Result<Agent> {
        Ok(self.agent(&cx.owner(), agent_id).await?.record.agent)
    }

    async fn delete_agent(&self, cx: &Context, agent_id: &str) -> Result<()> {
        let owner = cx.owner();
        let of_agent = || vec![Condition::is("agent", agent_id)];
        let mut query = Database::query::<StoredSession>(&owner).limit(usize::MAX);
        query = query.with(Condition::is("agent", agent_id));
        let held = self.database.list(query).await?.records;
        let sessions = Condition::among::<StoredSession>("session", "id", of_agent());
        let batch = Batch::default()
            .clear::<StoredEntry>(&owner, vec![sessions])
            .clear::<StoredAgent>(&owner, vec![Condition::is("id", agent_id)])
            .clear::<StoredSession>(&owner, of_agent())
            .clear::<StoredTurn>(&owner, of_agent());
        self.database.apply(batch).await?;
        for session in held {
            self.forget_documents(cx, &session.record.session.session_id).await?;
        }
        Ok(())
    }

    async fn create_session(
        &self,
        cx: &Context,
        request: CreateSessionRequest,
    ) -> Result<AgentSessionCreateResponse> {
        let owner = cx.owner();
        self.agent(&owner, &request.agent_id).await?;
        let session_id = new_id();
        let session = Session {
            session_id: session_id.clone(),
            session_name: request.session_name,
            turns: Vec::new(),
            started_at: now(),
        };
        let stored = StoredSession { agent_id: request.agent_id, session, vector_db: None };
        self.database.insert(&owner, &stored).await?;
        Ok(AgentSessionCreateResponse { session_id })
    }

    async fn list_sessions(
        &self,
        cx: &Context,
        request: ListSessionsRequest,
    ) -> Result<SessionList> {
        let owner = cx.owner();
        self.agent(&owner, &request.agent_id).await?;
        let query = Database::query::<StoredSession>(&owner)
            .with(Condition::is("agent", request.agent_id.as_str()))
            .place(place(request.after))
            .limit(limit(request.limit.map(|limit| limit.0)));
        let page = self.database.list(query).await?;
        let data = page.records.into_iter().map(|held| held.record.session).collect();
        Ok(SessionList { data, has_more: page.has_more })
    }

    async fn get_session(&self, cx: &Context, request: SessionRequest) -> Result<Session> {
        let owner = cx.owner();
        let held = self.session(&owner, &request.agent_id, &request.session_id).await?;
        let turns = self.turns(&owner, &request.session_id).await?;
        let wanted = request.turn_ids;
        let shown = turns.into_iter().filter(|kept| match &wanted {
            Some(ids) => ids.contains(&kept.row.record.turn.turn_id),
            // The caller was told that it failed; it can still be read by its id.
            None => kept.row.record.state != TurnState::Failed,
        });
        let turns = shown.map(|kept| self.shown(kept.whole())).collect();
        Ok(Session { turns, ..held.record.session })
    }

    async fn delete_session(&self, cx: &Context, request: SessionRequest) -> Result<()> {
        let owner = cx.owner();
        let id = request.session_id.as_str();
        if self.session(&owner, &request.agent_id, id).await.is_err() {
            return Ok(());
        }
        let batch = Batch::default()
            .clear::<StoredSession>(&owner, vec![Condition::is("id", id)])
            .clear::<StoredTurn>(&owner, vec![Condition::is("session", id)])
            .clear::<StoredEntry>(&owner, vec![Condition::is("session", id)]);
        self.database.apply(batch).await?;
        self.forget_documents(cx, id).await
    }

    async fn create_turn(&self, cx: &Context, request: CreateTurnRequest) -> Result<TurnReply> {
        self.begin_turn(cx, request).await
    }

    async fn resume_turn(&self, cx: &Context, request: ResumeTurnRequest) -> Result<TurnReply> {
        self.go_on(cx, request).await
    }

    async fn get_turn(&self, cx: &Context, request: TurnRequest) -> Result<Option<Turn>> {
        let turn = self.turn_of(&cx.owner(), &request).await?;
        Ok(turn.map(|turn| self.shown(turn)))
    }

    async fn get_step(&self, cx: &Context, request: StepRequest) -> Result<AgentStepResponse> {
        let StepRequest { agent_id, session_id, turn_id, step_id } = request;
        let request = TurnRequest { agent_id, session_id, turn_id };
        let Some(turn) = self.turn_of(&cx.owner(), &request).await? else {
            return Err(Error::not_found("the turn of the step cannot be found"));
        };
        let found: Option<Step> = turn.turn.steps.into_iter().find(|step| step.id() == step_id);
        let step = found.ok_or_else(|| {
            Error::not_found(format!("Provided step_id {step_id} could not be found"))
        })?;
        Ok(AgentStepResponse { step })
    }
}

#[async_trait]
impl Lifecycle for MetaReference {}
