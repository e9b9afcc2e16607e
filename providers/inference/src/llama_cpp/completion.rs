//! Completions: texts that the model goes on with, as events or as one answer.

use super::{
    chat::{finite, usage},
    request::Completion,
};
use crate::{head::Head, local::failed};
use chaski_api::{
    Result,
    openai::{TextChoice, TextCompletion, TextLogprobs, Usage},
};
use chaski_llm::{Event, Events, Finish, Prompt, Request, TextModel, Token};
use chaski_provider::{Payload, Reply, TextReply};
use futures_util::{StreamExt, stream};
use std::collections::VecDeque;

pub(super) async fn reply(model: &TextModel, completion: Completion) -> Result<TextReply> {
    let Completion { model: name, requests, echo, choices, stream, usage_event } = completion;
    let with_logprobs = requests.iter().any(|request| request.logprobs.is_some());
    let total = choices as usize * requests.len();
    let mut writer = Writer {
        head: Head::of_text(name),
        model: model.clone(),
        waiting: requests.into(),
        events: None,
        echo,
        choices,
        begun: 0,
        offset: 0,
        prompt: String::new(),
        prompt_tokens: Vec::new(),
        tokens: (0, 0),
        usage_event: usage_event || !stream,
        ready: VecDeque::new(),
        ended: false,
    };
    // A request that cannot be served fails here, before a stream begins.
    writer.start().await?;
    if stream {
        let chunks = stream::unfold(writer, |mut writer| async move {
            let chunk = writer.next().await?;
            Some((chunk.map(Payload::Value), writer))
        });
        return Ok(Reply::Stream(chunks.boxed()));
    }
    let empty = |index: usize| TextChoice {
        index: i64::try_from(index).unwrap_or_default(),
        text: String::new(),
        logprobs: with_logprobs.then(no_logprobs),
        finish_reason: None,
    };
    let mut whole: Vec<TextChoice> = (0..total).map(empty).collect();
    let mut used: Option<Usage> = None;
    while let Some(chunk) = writer.next().await {
        let chunk = chunk?;
        used = chunk.usage.or(used);
        for part in chunk.choices {
            let index = usize::try_from(part.index).unwrap_or_default();
            if let Some(choice) = whole.get_mut(index) {
                choice.text.push_str(&part.text);
                choice.finish_reason = part.finish_reason.or(choice.finish_reason.take());
                if let (Some(all), Some(more)) = (&mut choice.logprobs, part.logprobs) {
                    extend(all, more);
                }
            }
        }
    }
    Ok(Reply::Full(Payload::Value(writer.head.text(whole, used))))
}

/// Turns the events of one request after another into parts of the answer.
struct Writer {
    head: Head,
    model: TextModel,
    waiting: VecDeque<Request>,
    events: Option<Events>,
    echo: bool,
    choices: u32,
    /// How many requests have begun.
    begun: u32,
    /// How many characters the answer at hand has.
    offset: usize,
    prompt: String,
    prompt_tokens: Vec<Token>,
    /// The tokens of the prompts, and of the answers.
    tokens: (usize, usize),
    usage_event: bool,
    ready: VecDeque<TextCompletion>,
    ended: bool,
}

impl Writer {
    /// Begins the next request, if there is one.
    async fn start(&mut self) -> Result<()> {
        let Some(request) = self.waiting.pop_front() else { return Ok(()) };
        if self.echo {
            self.prompt = match &request.prompt {
                Prompt::Text(text) => text.clone(),
                Prompt::Tokens(tokens) => self.model.detokenize(tokens),
                Prompt::Chat(_) => String::new(),
            };
        }
        self.events = Some(self.model.generate(request).await.map_err(failed)?);
        self.begun += 1;
        self.offset = 0;
        Ok(())
    }

    async fn next(&mut self) -> Option<Result<TextCompletion>> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Some(Ok(part));
            }
            if self.ended {
                return None;
            }
            let event = match &mut self.events {
                Some(events) => events.next().await,
                None => None,
            };
            let step = match event {
                Some(Ok(event)) => {
                    self.take(event);
                    Ok(())
                }
                Some(Err(error)) => Err(failed(error)),
                None if self.waiting.is_empty() => {
                    self.end();
                    Ok(())
                }
                None => self.start().await,
            };
            if let Err(error) = step {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if self.usage_event {
            let usage = Some(usage(self.tokens.0, self.tokens.1));
            self.ready.push_back(self.head.text(Vec::new(), usage));
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Prompt { tokens } => {
                self.prompt_tokens = tokens;
                self.put_prompt(0);
            }
            // Of chats only.
            Event::Thoughts { .. } => {}
            Event::Text { choice, text, tokens } => self.put(choice, text, tokens, None),
            Event::Finished { choice, reason, .. } => {
                let reason = match reason {
                    Finish::Stop => "stop",
                    Finish::Length => "length",
                };
                self.put(choice, String::new(), Vec::new(), Some(reason.to_owned()));
                self.offset = 0;
                if choice + 1 < self.choices {
                    self.put_prompt(choice + 1);
                }
            }
            Event::Done { prompt_tokens, completion_tokens } => {
                self.tokens.0 += prompt_tokens;
                self.tokens.1 += completion_tokens;
            }
        }
    }

    fn put_prompt(&mut self, choice: u32) {
        if self.echo {
            self.put(choice, self.prompt.clone(), self.prompt_tokens.clone(), None);
        }
    }

    fn put(&mut self, choice: u32, text: String, tokens: Vec<Token>, reason: Option<String>) {
        let index = (self.begun.saturating_sub(1)) * self.choices + choice;
        let logprobs = (!tokens.is_empty()).then(|| {
            let mut logprobs = no_logprobs();
            for token in tokens {
                extend(&mut logprobs, described(&token, &mut self.offset));
            }
            logprobs
        });
        let choice = TextChoice { index: index.into(), text, logprobs, finish_reason: reason };
        self.ready.push_back(self.head.text(vec![choice], None));
    }
}

fn no_logprobs() -> TextLogprobs {
    TextLogprobs {
        text_offset: Some(Vec::new()),
        token_logprobs: Some(Vec::new()),
        tokens: Some(Vec::new()),
        top_logprobs: Some(Vec::new()),
    }
}

fn described(token: &Token, offset: &mut usize) -> TextLogprobs {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let shown = text(&token.bytes);
    let begin = i64::try_from(*offset).unwrap_or(i64::MAX);
    *offset += shown.chars().count();
    let top = token.top.iter().map(|(bytes, logprob)| (text(bytes), finite(*logprob))).collect();
    TextLogprobs {
        text_offset: Some(vec![begin]),
        token_logprobs: Some(vec![token.logprob.map(finite)]),
        tokens: Some(vec![shown]),
        top_logprobs: Some(vec![token.logprob.map(|_| top)]),
    }
}

fn extend(all: &mut TextLogprobs, more: TextLogprobs) {
    all.text_offset.get_or_insert_default().extend(more.text_offset.unwrap_or_default());
    all.token_logprobs.get_or_insert_default().extend(more.token_logprobs.unwrap_or_default());
    all.tokens.get_or_insert_default().extend(more.tokens.unwrap_or_default());
    all.top_logprobs.get_or_insert_default().extend(more.top_logprobs.unwrap_or_default());
}
