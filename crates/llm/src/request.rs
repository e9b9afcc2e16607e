//! What a chat model is asked, and what it tells while it answers.

use crate::{Chat, Constraint, Error, Result, Sampling};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the model goes on from.
#[derive(Debug, Clone)]
pub enum Prompt {
    /// Messages, rendered with the template of the model.
    Chat(Chat),
    /// Text as it is.
    Text(String),
    /// Token ids as they are.
    Tokens(Vec<i32>),
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct Request {
    pub prompt: Prompt,
    pub sampling: Sampling,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// The most tokens of an answer; nothing means what the context has room for.
    pub max_tokens: Option<usize>,
    /// Asks for log probabilities, and for so many likely tokens at each position.
    pub logprobs: Option<usize>,
    /// Asks for the log probabilities of the prompt too.
    pub prompt_logprobs: bool,
    pub constraint: Constraint,
    /// How many answers.
    pub choices: u32,
    /// Who asks: callers take turns.
    pub caller: Arc<str>,
}

impl Request {
    /// A request for one answer with the usual settings.
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            sampling: Sampling::default(),
            stop: Vec::new(),
            max_tokens: None,
            logprobs: None,
            prompt_logprobs: false,
            constraint: Constraint::None,
            choices: 1,
            caller: Arc::default(),
        }
    }
}

/// A token of an answer or a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The bytes of its text; a character may be spread over tokens.
    pub bytes: Vec<u8>,
    /// Its natural log probability; nothing for the first token of a prompt.
    pub logprob: Option<f32>,
    /// The likely tokens at its place, the best first.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model was done, or a stop text came.
    Stop,
    /// The most tokens were reached, or the context was full.
    Length,
}

/// What happens while answers are generated.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The prompt was read; its tokens, if their log probabilities were asked for.
    Prompt { tokens: Vec<Token> },
    /// A piece of what the model thinks before an answer to a chat.
    Thoughts { choice: u32, text: String },
    /// A piece of an answer: whole characters, and the tokens that it ends.
    Text { choice: u32, text: String, tokens: Vec<Token> },
    /// An answer is complete; the stop text that ended it, if one did.
    Finished { choice: u32, reason: Finish, stopped_by: Option<String> },
    /// All answers are complete.
    Done { prompt_tokens: usize, completion_tokens: usize },
}

/// The answers of a request as they come. Dropping it ends the work within one token.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Result<Event>>,
    done: bool,
}

impl Events {
    pub(crate) fn new(receiver: mpsc::UnboundedReceiver<Result<Event>>) -> Self {
        Self { receiver, done: false }
    }

    /// The next event; nothing after [`Event::Done`] or an error.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        if self.done {
            return None;
        }
        let event = self.receiver.recv().await.unwrap_or(Err(Error::Gone));
        self.done = matches!(event, Err(_) | Ok(Event::Done { .. }));
        Some(event)
    }
}
