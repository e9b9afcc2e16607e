//! Agents, their sessions, and the turns in those.

use crate::{
    Api, EndpointSpec,
    agents::{
        Agent, AgentConfig, AgentCreateResponse, AgentList, AgentSessionCreateResponse,
        AgentStepResponse, AgentToolGroup, Document, Session, SessionList, ToolResponse, Turn,
        TurnMessage, TurnStreamChunk,
    },
    inference::ToolConfig,
    wire::Between,
};

crate::wire! {
    /// An agent to make.
    pub struct CreateAgentRequest {
        /// What it is.
        pub agent_config: AgentConfig,
    }

    /// Which page of the agents.
    pub struct ListAgentsRequest {
        /// The most agents of the page.
        pub limit: Option<Between<1, 1000>>,
        /// The last agent of the page before.
        pub after: Option<String>,
    }

    /// Which agent.
    pub struct AgentRequest {
        /// The agent.
        pub agent_id: String,
    }

    /// Which page of the sessions of an agent.
    pub struct ListSessionsRequest {
        /// The agent.
        pub agent_id: String,
        /// The most sessions of the page.
        pub limit: Option<Between<1, 1000>>,
        /// The last session of the page before.
        pub after: Option<String>,
    }

    /// A session to make.
    pub struct CreateSessionRequest {
        /// The agent.
        pub agent_id: String,
        /// The name of the session.
        pub session_name: String,
    }

    /// Which session.
    pub struct SessionRequest {
        /// The agent.
        pub agent_id: String,
        /// The session.
        pub session_id: String,
        /// The turns that are wanted; all unless given.
        pub turn_ids: Option<Vec<String>>,
    }

    /// A turn to make.
    pub struct CreateTurnRequest {
        /// The agent.
        pub agent_id: String,
        /// The session.
        pub session_id: String,
        /// What the user says.
        pub messages: Vec<TurnMessage>,
        /// Whether the answer comes as a stream of events.
        pub stream: Option<bool> = Some(false),
        /// Documents that come with it.
        pub documents: Option<Vec<Document>>,
        /// The tool groups of this turn, in place of those of the agent.
        pub toolgroups: Option<Vec<AgentToolGroup>>,
        /// How tools are used in this turn, in place of what the agent says.
        pub tool_config: Option<ToolConfig>,
    }

    /// What tools of the client answered, for a turn that waits for it.
    pub struct ResumeTurnRequest {
        /// The agent.
        pub agent_id: String,
        /// The session.
        pub session_id: String,
        /// The turn.
        pub turn_id: String,
        /// What was answered, by call.
        pub tool_responses: Vec<ToolResponse>,
        /// Whether the answer comes as a stream of events.
        pub stream: Option<bool> = Some(false),
    }

    /// Which turn.
    pub struct TurnRequest {
        /// The agent.
        pub agent_id: String,
        /// The session.
        pub session_id: String,
        /// The turn.
        pub turn_id: String,
    }

    /// Which step.
    pub struct StepRequest {
        /// The agent.
        pub agent_id: String,
        /// The session.
        pub session_id: String,
        /// The turn.
        pub turn_id: String,
        /// The step.
        pub step_id: String,
    }
}

endpoints! {
    like EndpointSpec::of(Api::Agents);

    CreateAgent(CreateAgentRequest) -> AgentCreateResponse =
        Post "/v1/agents", "create_agent", "Makes an agent.";

    ListAgents(ListAgentsRequest) -> AgentList =
        Get "/v1/agents", "list_agents", "A page of the agents, the newest first.";

    GetAgent(AgentRequest) -> Agent =
        Get "/v1/agents/{agent_id}", "get_agent", "One agent.";

    DeleteAgent(AgentRequest) -> () =
        Delete "/v1/agents/{agent_id}", "delete_agent", "Removes an agent with all its sessions.";

    ListAgentSessions(ListSessionsRequest) -> SessionList =
        Get "/v1/agents/{agent_id}/sessions", "list_agent_sessions",
        "A page of the sessions of an agent, the newest first, without their turns.";

    CreateAgentSession(CreateSessionRequest) -> AgentSessionCreateResponse =
        Post "/v1/agents/{agent_id}/session", "create_agent_session", "Makes a session.";

    GetAgentSession(SessionRequest) -> Session =
        Get "/v1/agents/{agent_id}/session/{session_id}", "get_agents_session",
        "A session with its turns.";

    DeleteAgentSession(SessionRequest) -> () =
        Delete "/v1/agents/{agent_id}/session/{session_id}", "delete_agents_session",
        "Removes a session with its turns.";

    CreateAgentTurn(CreateTurnRequest) -> Turn | TurnStreamChunk =
        Post "/v1/agents/{agent_id}/session/{session_id}/turn", "create_agent_turn",
        "Lets the agent answer, with all that it does on the way.";

    ResumeAgentTurn(ResumeTurnRequest) -> Turn | TurnStreamChunk =
        Post "/v1/agents/{agent_id}/session/{session_id}/turn/{turn_id}/resume", "resume_agent_turn",
        "Goes on with a turn that waits for tools of the client.";

    GetAgentTurn(TurnRequest) -> Option<Turn> =
        Get "/v1/agents/{agent_id}/session/{session_id}/turn/{turn_id}", "get_agents_turn",
        "A turn; `null` if there is none of this id.";

    GetAgentStep(StepRequest) -> AgentStepResponse =
        Get "/v1/agents/{agent_id}/session/{session_id}/turn/{turn_id}/step/{step_id}", "get_agents_step",
        "A step of a turn.";
}
