//! The chat of this face, for providers of the stack.

use super::chat_completion;
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    inference::{ChatCompletionRequest, ChatCompletionResponse, ChatStreamChunk},
};
use chaski_provider::{Chat, Context, Reply};
use chaski_stack::Stack;
use std::sync::{Arc, Weak};

/// Chat with all models of a stack, which it does not keep alive.
pub(crate) struct StackChat(Weak<Stack>);

impl StackChat {
    pub(crate) fn new(stack: &Arc<Stack>) -> Self {
        Self(Arc::downgrade(stack))
    }
}

#[async_trait]
impl Chat for StackChat {
    async fn chat_completion(
        &self,
        cx: &Context,
        request: ChatCompletionRequest,
    ) -> Result<Reply<ChatCompletionResponse, ChatStreamChunk>> {
        let stack = self.0.upgrade().ok_or_else(|| Error::unavailable("the stack has ended"))?;
        chat_completion(&stack, cx, request).await
    }
}
