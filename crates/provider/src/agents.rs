//! The contract of agents, and the chat in Llama Stack's form that they are made of.

use crate::{Context, Lifecycle, Reply};
use async_trait::async_trait;
use chaski_api::{
    Result,
    agents::{
        Agent, AgentConfig, AgentCreateResponse, AgentList, AgentSessionCreateResponse,
        AgentStepResponse, Session, SessionList, Turn, TurnStreamChunk,
    },
    endpoints::agents::{
        CreateSessionRequest, CreateTurnRequest, ListAgentsRequest, ListSessionsRequest,
        ResumeTurnRequest, SessionRequest, StepRequest, TurnRequest,
    },
    inference::{ChatCompletionRequest, ChatCompletionResponse, ChatStreamChunk},
};

pub type TurnReply = Reply<Turn, TurnStreamChunk>;

/// Agents with their sessions and turns. Everything belongs to the caller who made it, and is not
/// there for others.
#[async_trait]
pub trait Agents: Send + Sync {
    /// Makes an agent. Its model, shields and tools are looked for when a turn needs them.
    ///
    /// # Errors
    /// The configuration contradicts itself.
    async fn create_agent(&self, cx: &Context, config: AgentConfig) -> Result<AgentCreateResponse>;

    /// A page of the agents of the caller, the newest first.
    async fn list_agents(&self, cx: &Context, request: ListAgentsRequest) -> Result<AgentList>;

    async fn get_agent(&self, cx: &Context, agent_id: &str) -> Result<Agent>;

    /// Removes an agent with all its sessions; one that is not there is no failure.
    async fn delete_agent(&self, cx: &Context, agent_id: &str) -> Result<()>;

    async fn create_session(
        &self,
        cx: &Context,
        request: CreateSessionRequest,
    ) -> Result<AgentSessionCreateResponse>;

    /// A page of the sessions of an agent, the newest first.
    async fn list_sessions(
        &self,
        cx: &Context,
        request: ListSessionsRequest,
    ) -> Result<SessionList>;

    async fn get_session(&self, cx: &Context, request: SessionRequest) -> Result<Session>;

    /// Removes a session with its turns; one that is not there is no failure.
    async fn delete_session(&self, cx: &Context, request: SessionRequest) -> Result<()>;

    /// Lets the agent answer. What has happened is kept before its event is sent; when the reply is
    /// dropped the turn is interrupted, and stays so until it is resumed.
    async fn create_turn(&self, cx: &Context, request: CreateTurnRequest) -> Result<TurnReply>;

    /// Goes on with a turn that waits for tools of the client, or that was interrupted.
    async fn resume_turn(&self, cx: &Context, request: ResumeTurnRequest) -> Result<TurnReply>;

    /// A turn; nothing if there is none of this id.
    async fn get_turn(&self, cx: &Context, request: TurnRequest) -> Result<Option<Turn>>;

    async fn get_step(&self, cx: &Context, request: StepRequest) -> Result<AgentStepResponse>;
}

/// What a provider of agents must be.
pub trait AgentsProvider: Agents + Lifecycle {}
impl<T: Agents + Lifecycle> AgentsProvider for T {}

/// Chat with all models of the stack, in Llama Stack's form.
#[async_trait]
pub trait Chat: Send + Sync {
    /// The next message of a chat, as a whole or as events.
    ///
    /// # Errors
    /// Those of the request, the registry and the provider.
    async fn chat_completion(
        &self,
        cx: &Context,
        request: ChatCompletionRequest,
    ) -> Result<Reply<ChatCompletionResponse, ChatStreamChunk>>;
}
