//! Agents, their sessions, and the turns and steps in those.

mod events;
mod inputs;

pub use events::*;
pub use inputs::{AgentToolGroup, TurnMessage};

use crate::{
    inference::{
        AnswerMessage, InterleavedContent, ResponseFormat, SamplingParams, ToolCall, ToolChoice,
        ToolConfig, ToolPromptFormat,
    },
    retrieval::RagSource,
    safety::SafetyViolation,
    tools::ToolDef,
    wire::{AtLeast, Between},
};
use serde_json::{Map, Value};

crate::wire! {
    /// Bounds of a turn, beyond the number of inferences. Each is off unless given.
    pub struct TurnBudget {
        /// The most calls of tools that the server makes.
        pub tool_calls: Option<AtLeast<0>>,
        /// The most tokens that the model reads and writes in all inferences together.
        pub tokens: Option<AtLeast<1>>,
        /// The most seconds, without those in which the client is waited for.
        pub seconds: Option<AtLeast<1>>,
    }

    /// What an agent is.
    pub struct AgentConfig {
        /// How text is generated.
        pub sampling_params: Option<SamplingParams> = Some(SamplingParams::default()),
        /// The shields that look at what users say.
        pub input_shields: Option<Vec<String>> = Some(Vec::new()),
        /// The shields that look at what the agent answers.
        pub output_shields: Option<Vec<String>> = Some(Vec::new()),
        /// The tool groups, or single tools as `group/tool`.
        pub toolgroups: Option<Vec<AgentToolGroup>> = Some(Vec::new()),
        /// Tools that run in the program that asks.
        pub client_tools: Option<Vec<ToolDef>> = Some(Vec::new()),
        /// Whether the model calls tools; `tool_config` is the newer form.
        pub tool_choice: Option<ToolChoice>,
        /// How tool calls are written in a prompt; `tool_config` is the newer form.
        pub tool_prompt_format: Option<ToolPromptFormat>,
        /// How tools are used.
        pub tool_config: Option<ToolConfig>,
        /// The most inferences of a turn.
        pub max_infer_iters: Option<Between<1, 1000>> = Some(Between(10)),
        /// The registered model.
        pub model: String,
        /// What the model is told first; nothing if empty.
        pub instructions: String,
        /// Has no effect: sessions are always kept.
        pub enable_session_persistence: Option<bool> = Some(false),
        /// The form that answers must have.
        pub response_format: Option<ResponseFormat>,
        /// Bounds of a turn, beyond the number of inferences.
        pub budget: Option<TurnBudget>,
    }

    /// A document that comes with a turn.
    pub struct Document {
        /// What it contains, or where it is. A text that is an `http:`, `https:` or `data:` address is one.
        pub content: RagSource,
        /// Its media type.
        pub mime_type: String,
    }

    /// A file that an answer comes with.
    pub struct Attachment {
        /// What it contains, or where it is.
        pub content: RagSource,
        /// Its media type.
        pub mime_type: String,
        /// Its name, which may have folders in it.
        pub name: Option<String>,
    }

    /// What a step is.
    pub enum StepType {
        /// The model is asked.
        Inference = "inference",
        /// Tools run.
        ToolExecution = "tool_execution",
        /// Shields look at messages.
        ShieldCall = "shield_call",
        /// A context is put together.
        MemoryRetrieval = "memory_retrieval",
    }

    /// What a tool answered to a call.
    pub struct ToolResponse {
        /// The call.
        pub call_id: String,
        /// The tool.
        pub tool_name: String,
        /// The answer.
        pub content: InterleavedContent,
        /// Free-form facts about the answer.
        pub metadata: Option<Map<String, Value>>,
    }

    /// The model was asked.
    pub struct InferenceStep {
        /// The turn.
        pub turn_id: String,
        /// Its id.
        pub step_id: String,
        /// When it began.
        pub started_at: Option<String>,
        /// When it ended.
        pub completed_at: Option<String>,
        /// What the model said.
        pub model_response: AnswerMessage,
    }

    /// Tools ran.
    pub struct ToolExecutionStep {
        /// The turn.
        pub turn_id: String,
        /// Its id.
        pub step_id: String,
        /// When it began.
        pub started_at: Option<String>,
        /// When it ended.
        pub completed_at: Option<String>,
        /// What was called.
        pub tool_calls: Vec<ToolCall>,
        /// What was answered.
        pub tool_responses: Vec<ToolResponse>,
    }

    /// Shields looked at messages.
    pub struct ShieldCallStep {
        /// The turn.
        pub turn_id: String,
        /// Its id.
        pub step_id: String,
        /// When it began.
        pub started_at: Option<String>,
        /// When it ended.
        pub completed_at: Option<String>,
        /// What they found.
        pub violation: Option<SafetyViolation>,
    }

    /// A context was put together.
    pub struct MemoryRetrievalStep {
        /// The turn.
        pub turn_id: String,
        /// Its id.
        pub step_id: String,
        /// When it began.
        pub started_at: Option<String>,
        /// When it ended.
        pub completed_at: Option<String>,
        /// The vector databases that were asked.
        pub vector_db_ids: String,
        /// What the model was given.
        pub inserted_context: InterleavedContent,
    }

    /// A step of a turn.
    pub union Step by "step_type" {
        Inference(InferenceStep) = "inference",
        ToolExecution(ToolExecutionStep) = "tool_execution",
        ShieldCall(ShieldCallStep) = "shield_call",
        MemoryRetrieval(MemoryRetrievalStep) = "memory_retrieval",
    }

    /// Why a turn has no end.
    pub enum TurnStatus {
        /// It is under way.
        Running = "running",
        /// It is not under way any more: its caller left, or its server ended. It can be resumed.
        Interrupted = "interrupted",
        /// It ended with an error.
        Failed = "failed",
    }

    /// A turn of a session: what the user says, what is done, and what is answered.
    pub struct Turn {
        /// Its id.
        pub turn_id: String,
        /// The session.
        pub session_id: String,
        /// What the user and the tools of the user said.
        pub input_messages: Vec<TurnMessage>,
        /// What was done, in order.
        pub steps: Vec<Step>,
        /// The answer.
        pub output_message: AnswerMessage,
        /// Files that the answer comes with.
        pub output_attachments: Option<Vec<Attachment>> = Some(Vec::new()),
        /// When it began.
        pub started_at: String,
        /// When it ended; nothing for one that has no end.
        pub completed_at: Option<String>,
        /// Why it has no end; left out where it has one.
        pub status unless "Option::is_none": Option<TurnStatus>,
    }

    /// A conversation with an agent.
    pub struct Session {
        /// Its id.
        pub session_id: String,
        /// Its name.
        pub session_name: String,
        /// Its turns, in order.
        pub turns: Vec<Turn>,
        /// When it was made.
        pub started_at: String,
    }

    /// A kept agent.
    pub struct Agent {
        /// Its id.
        pub agent_id: String,
        /// What it is.
        pub agent_config: AgentConfig,
        /// When it was made.
        pub created_at: String,
    }

    /// A page of agents, the newest first.
    pub struct AgentList {
        /// The agents.
        pub data: Vec<Agent>,
        /// Whether there are more.
        pub has_more: bool = false,
    }

    /// A page of the sessions of an agent, the newest first, without their turns.
    pub struct SessionList {
        /// The sessions.
        pub data: Vec<Session>,
        /// Whether there are more.
        pub has_more: bool = false,
    }

    /// The new agent.
    pub struct AgentCreateResponse {
        /// Its id.
        pub agent_id: String,
    }

    /// The new session.
    pub struct AgentSessionCreateResponse {
        /// Its id.
        pub session_id: String,
    }

    /// A step.
    pub struct AgentStepResponse {
        /// The step.
        pub step: Step,
    }
}

impl Step {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Inference(step) => &step.step_id,
            Self::ToolExecution(step) => &step.step_id,
            Self::ShieldCall(step) => &step.step_id,
            Self::MemoryRetrieval(step) => &step.step_id,
        }
    }

    /// What it is.
    pub fn step_type(&self) -> StepType {
        match self {
            Self::Inference(_) => StepType::Inference,
            Self::ToolExecution(_) => StepType::ToolExecution,
            Self::ShieldCall(_) => StepType::ShieldCall,
            Self::MemoryRetrieval(_) => StepType::MemoryRetrieval,
        }
    }
}

impl AgentConfig {
    /// How tools are used, from the newer form or the older one.
    ///
    /// # Errors
    /// The text for a configuration in which both forms are given and differ.
    pub fn settled_tool_config(&self) -> Result<ToolConfig, &'static str> {
        let Some(config) = &self.tool_config else {
            let choice = self.tool_choice.unwrap_or(ToolChoice::Auto);
            return Ok(ToolConfig {
                tool_choice: Some(choice.to_string()),
                tool_prompt_format: self.tool_prompt_format,
                ..ToolConfig::default()
            });
        };
        let choice = self.tool_choice.map(|choice| choice.to_string());
        if choice.is_some() && choice != config.tool_choice {
            return Err("tool_choice is deprecated. Use tool_choice in tool_config instead.");
        }
        if self.tool_prompt_format.is_some() && self.tool_prompt_format != config.tool_prompt_format
        {
            return Err(
                "tool_prompt_format is deprecated. Use tool_prompt_format in tool_config instead.",
            );
        }
        Ok(config.clone())
    }
}
