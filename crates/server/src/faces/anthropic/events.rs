//! Streams: from the chunks of OpenAI's form to the events of Anthropic's.

use super::{
    answer::{begun, message_id, no_usage, stop_reason},
    count::Answered,
    request::Wanted,
    segments::{Out, Segments, Text},
    upstream::Said,
};
use crate::faces::tokens::Count;
use chaski_api::{
    Result,
    anthropic::{
        MessageDelta, MessageEnd, MessageStart, MessageStop, MessagesEvent, MessagesResponse,
        MessagesStopReason, MessagesUsage,
    },
    openai::{ChatChunk, ChatChunkChoice},
};
use chaski_provider::{EventStream, Payload};
use futures_util::{StreamExt, stream};

/// Translates the chunks of an answer.
#[derive(Debug)]
pub(super) struct Translation {
    wanted: Wanted,
    started: bool,
    segments: Segments,
    finish: Option<String>,
    refused: bool,
    stop: Option<String>,
    usage: Option<MessagesUsage>,
    /// The tokens of the prompt, estimated.
    prompt: i64,
    /// What came of the answer.
    answered: Answered,
}

impl Translation {
    /// `prompt` is the number of tokens that is said before the upstream says it.
    pub(super) fn new(wanted: Wanted, prompt: i64) -> Self {
        Self {
            wanted,
            started: false,
            segments: Segments::default(),
            finish: None,
            refused: false,
            stop: None,
            usage: None,
            prompt,
            answered: Answered::default(),
        }
    }

    /// Translates one chunk into none, one or several events.
    ///
    /// # Errors
    /// `Upstream` if the chunk cannot be understood or passed on.
    pub(super) fn chunk(&mut self, chunk: Payload<ChatChunk>, out: &mut Out) -> Result<()> {
        let Said { value: chunk, mut more } = Said::read(chunk)?;
        let thoughts = std::mem::take(&mut more.thoughts);
        if let Some(usage) = &chunk.usage {
            self.usage = Some(more.usage(usage));
        }
        self.start(&chunk.id, out);
        for choice in chunk.choices {
            // The other answers of a request for several have no place in this form.
            if choice.index == 0 {
                self.choice(choice);
            }
        }
        if self.wanted.signed {
            for thought in thoughts {
                self.segments.thought(thought);
            }
        }
        self.stop = more.stop.or(self.stop.take());
        self.segments.advance(out)
    }

    /// The events after the last chunk. What the upstream has not counted is estimated.
    ///
    /// # Errors
    /// `Upstream` if a call has no name.
    pub(super) async fn end(&mut self, out: &mut Out) -> Result<()> {
        self.start("", out);
        self.segments.finish(out)?;
        let stop = self.stop.take().filter(|text| self.wanted.stop_sequences.contains(text));
        let (called, finish) = (self.segments.called(), self.finish.as_deref());
        let reason = stop_reason(finish, called, self.refused, stop.is_some());
        let delta = MessageEnd {
            stop_reason: Some(reason),
            stop_sequence: stop.filter(|_| reason == MessagesStopReason::StopSequence),
        };
        let usage = match self.usage.take() {
            Some(usage) => usage,
            None => MessagesUsage {
                input_tokens: self.prompt,
                output_tokens: std::mem::take(&mut self.answered).tokens().await,
                ..no_usage()
            },
        };
        out.push_back(MessagesEvent::MessageDelta(MessageDelta { delta, usage }));
        out.push_back(MessagesEvent::MessageStop(MessageStop {}));
        Ok(())
    }

    fn start(&mut self, id: &str, out: &mut Out) {
        if self.started {
            return;
        }
        self.started = true;
        // Some upstreams count from the first chunk on; others write zeros there.
        let counted = self.usage.clone().map(|usage| MessagesUsage { output_tokens: 0, ..usage });
        let usage = counted.filter(|usage| *usage != no_usage());
        let estimate = || MessagesUsage { input_tokens: self.prompt, ..no_usage() };
        let message = MessagesResponse {
            id: message_id(id),
            usage: usage.unwrap_or_else(estimate),
            ..begun(&self.wanted.model)
        };
        out.push_back(MessagesEvent::MessageStart(MessageStart { message }));
    }

    fn choice(&mut self, choice: ChatChunkChoice) {
        let delta = choice.delta;
        if let Some(thoughts) = delta.reasoning_content.filter(|text| !text.is_empty()) {
            self.answered.add(&thoughts);
            if self.wanted.thinking {
                self.segments.text(Text::Thoughts, &thoughts);
            }
        }
        if let Some(text) = delta.content.filter(|text| !text.is_empty()) {
            self.answered.add(&text);
            self.segments.text(Text::Answer, &text);
        }
        if let Some(refusal) = delta.refusal.filter(|text| !text.is_empty()) {
            self.answered.add(&refusal);
            self.refused = true;
            self.segments.text(Text::Answer, &refusal);
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.answered.add_call(&call.function);
            self.segments.call(call);
        }
        self.finish = choice.finish_reason.or(self.finish.take());
    }
}

struct State {
    chunks: EventStream<Payload<ChatChunk>>,
    /// What is needed for the translation, until the first chunk has come.
    before: Option<(Wanted, Count)>,
    translation: Option<Translation>,
    ready: Out,
    ended: bool,
}

impl State {
    /// The translation; the first call waits for the count of the prompt.
    async fn translation(&mut self) -> &mut Translation {
        if let Some((wanted, prompt)) = self.before.take() {
            let prompt = i64::try_from(prompt.finish().await).unwrap_or(i64::MAX);
            return self.translation.insert(Translation::new(wanted, prompt));
        }
        self.translation.as_mut().expect("it was made when `before` was taken")
    }

    async fn advance(&mut self) -> Result<()> {
        let chunk = self.chunks.next().await.transpose()?;
        let mut ready = std::mem::take(&mut self.ready);
        let translation = self.translation().await;
        let outcome = match chunk {
            Some(chunk) => translation.chunk(chunk, &mut ready).map(|()| false),
            None => translation.end(&mut ready).await.map(|()| true),
        };
        self.ready = ready;
        self.ended = outcome?;
        Ok(())
    }
}

/// The translated stream; `prompt` is the estimated number of tokens that were asked with.
pub(super) fn translated(
    chunks: EventStream<Payload<ChatChunk>>,
    wanted: Wanted,
    prompt: Count,
) -> EventStream<Payload<MessagesEvent>> {
    let state = State {
        chunks,
        before: Some((wanted, prompt)),
        translation: None,
        ready: Out::new(),
        ended: false,
    };
    stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        loop {
            if let Some(event) = state.ready.pop_front() {
                return Some((Ok(Payload::Value(event)), Some(state)));
            }
            if state.ended {
                return None;
            }
            if let Err(error) = state.advance().await {
                return Some((Err(error), None));
            }
        }
    })
    .boxed()
}
