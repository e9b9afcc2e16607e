//! The messages of a chat, by role.

use super::{InterleavedContent, ToolCall};

crate::wire! {
    /// Why generation ended.
    pub enum StopReason {
        /// The model finished its turn.
        EndOfTurn = "end_of_turn",
        /// The model finished a message and expects a tool to answer.
        EndOfMessage = "end_of_message",
        /// The token limit was reached.
        OutOfTokens = "out_of_tokens",
    }

    /// A message of the user.
    pub struct UserMessage {
        /// What the user says.
        pub content: InterleavedContent,
        /// Text for the model only, put after the content, separated by an empty line.
        pub context: Option<InterleavedContent>,
    }

    /// Instructions to the model.
    pub struct SystemMessage {
        /// The instructions.
        pub content: InterleavedContent,
    }

    /// What a tool answered.
    pub struct ToolResponseMessage {
        /// The call that it answers.
        pub call_id: String,
        /// The answer.
        pub content: InterleavedContent,
    }

    /// A message of the model.
    pub struct CompletionMessage {
        /// What the model says.
        pub content: InterleavedContent,
        /// Why generation ended.
        pub stop_reason: StopReason,
        /// The tools that the model calls.
        pub tool_calls: Option<Vec<ToolCall>> = Some(Vec::new()),
    }

    /// A message of a chat.
    pub union Message by "role" {
        User(UserMessage) = "user",
        System(SystemMessage) = "system",
        Tool(ToolResponseMessage) = "tool",
        Assistant(CompletionMessage) = "assistant",
    }
}
