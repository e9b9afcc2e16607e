//! A turn under way: the model is asked, tools run, shields look, until there is an answer.
//!
//! What has happened is kept before its event is sent, so that a caller never knows more than the
//! database.

use super::{
    Busy, attachments,
    budget::Clock,
    gathered::Gathered,
    history,
    journal::Journal,
    records::{StoredTurn, TurnState},
    toolset::Toolset,
};
use chaski_api::{
    Error, Result,
    agents::{
        AgentConfig, InferenceStep, ShieldCallStep, Step, StepComplete, StepProgress, StepStart,
        StepType, Turn, TurnAwaitingInput, TurnComplete, TurnEventPayload, TurnStreamChunk,
    },
    inference::{
        AnswerMessage, AssistantTag, ChatCompletionRequest, ChatEventType, CompletionMessage,
        Message, StopReason, ToolCall, ToolConfig,
    },
    safety::{SafetyViolation, ViolationLevel},
};
use chaski_provider::{Context, Deps, OpenSpan, Reply};
use futures_util::{StreamExt, future::try_join_all};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{io, sync::Arc};
use tokio::sync::mpsc;
use uuid::Uuid;

/// What a user is told where a shield objects without words.
const NO_WORDS: &str = "I can't answer that.";

/// The time as it stands in records.
pub(super) fn now() -> String {
    format!("{:.6}", Timestamp::now())
}

pub(super) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// A turn under way.
pub(super) struct Run {
    pub(super) deps: Deps,
    /// Within the span of the turn.
    pub(super) cx: Context,
    /// The span of the turn.
    pub(super) span: OpenSpan,
    pub(super) config: Arc<AgentConfig>,
    pub(super) tool_config: ToolConfig,
    pub(super) toolset: Toolset,
    /// The turns before, the oldest first.
    pub(super) before: Arc<Vec<Turn>>,
    pub(super) stored: StoredTurn,
    /// The last step of `stored`, while it is not kept yet: if nothing but the end of the turn comes
    /// after it, both are kept at once.
    pub(super) ended: Option<Step>,
    /// Where the turn is kept.
    pub(super) journal: Journal,
    /// The vector database of the session, if it has one.
    pub(super) vector_db: Option<String>,
    pub(super) events: mpsc::Sender<Result<TurnStreamChunk>>,
    pub(super) clock: Clock,
    /// How many bytes the files may still have that tools make.
    pub(super) attachments_left: usize,
    /// Keeps the session for this turn until its end is known.
    pub(super) busy: Option<Busy>,
}

/// How an inference or a tool ended the turn.
pub(super) enum Flow {
    GoOn,
    /// With this answer.
    End(AnswerMessage),
}

impl Run {
    /// Runs the turn to its end, and keeps how it ended.
    pub(super) async fn run(mut self) {
        let events = self.events.clone();
        let outcome = tokio::select! {
            outcome = self.go() => outcome,
            // The caller has left: nobody waits for the model and the tools any more.
            () = events.closed() => {
                self.span.set("interrupted", true);
                self.end_without_answer(TurnState::Interrupted).await;
                return;
            }
        };
        if let Err(error) = outcome {
            let state = if events.is_closed() { TurnState::Interrupted } else { TurnState::Failed };
            self.end_without_answer(state).await;
            self.busy = None;
            self.span.fail();
            let _gone = events.send(Err(error)).await;
        }
    }

    async fn end_without_answer(&mut self, state: TurnState) {
        self.note_time();
        self.journal.end_without_answer(state, self.stored.usage).await;
    }

    async fn go(&mut self) -> Result<()> {
        let shields = self.config.input_shields.clone().unwrap_or_default();
        let mut end = self.shield(&shields, "user-input", None).await?;
        if end.is_none() {
            end = Some(self.answer().await?);
            let shields = self.config.output_shields.clone().unwrap_or_default();
            if let Some(refusal) = self.shield(&shields, "assistant-output", end.as_ref()).await? {
                // What was refused is not handed to tools of the client either.
                self.stored.pending.clear();
                end = Some(refusal);
            }
        }
        let answer = end.unwrap_or_else(|| said(String::new(), StopReason::EndOfTurn));
        let waits = answer.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
        self.stored.state = if self.stored.pending.is_empty() {
            TurnState::Complete
        } else {
            TurnState::AwaitingInput
        };
        self.stored.turn.output_message = answer;
        self.stored.turn.completed_at = Some(now());
        self.note_time();
        let step = self.ended.take();
        self.journal.end(&mut self.stored, step.as_ref()).await?;
        // Whoever sees the end may begin the next turn.
        self.busy = None;
        if let Some(step) = step {
            self.send(completed(step)).await?;
        }
        let turn = attachments::shown(self.stored.turn.clone());
        self.send(if waits {
            TurnEventPayload::TurnAwaitingInput(TurnAwaitingInput { turn })
        } else {
            TurnEventPayload::TurnComplete(TurnComplete { turn })
        })
        .await
    }

    /// Asks the model and runs tools until there is an answer.
    async fn answer(&mut self) -> Result<AnswerMessage> {
        // What was begun before the turn was resumed comes first.
        if let Flow::End(answer) = self.unfinished().await? {
            return Ok(answer);
        }
        loop {
            if let Some(end) = self.exhausted() {
                return Ok(end);
            }
            let answer = self.infer().await?;
            if let Flow::End(answer) = self.follow(answer).await? {
                return Ok(answer);
            }
        }
    }

    /// The last inference of the turn, if its calls have no answers yet.
    async fn unfinished(&mut self) -> Result<Flow> {
        let answered = history::answered(&self.stored.turn);
        let Some(Step::Inference(step)) =
            self.stored.turn.steps.iter().rev().find(|step| matches!(step, Step::Inference(_)))
        else {
            return Ok(Flow::GoOn);
        };
        let calls = || step.model_response.tool_calls.iter().flatten();
        let open: Vec<ToolCall> =
            calls().filter(|call| !answered.contains(call.call_id.as_str())).cloned().collect();
        let were_let = calls().any(|call| self.stored.begun.contains(&call.call_id));
        let last = step.model_response.clone();
        let asked_after =
            self.stored.turn.steps.last().is_some_and(|step| matches!(step, Step::Inference(_)));
        if open.is_empty() {
            // The turn broke off between an answer without calls and its end.
            let said = last.tool_calls.iter().flatten().next().is_none();
            return Ok(if said && asked_after { Flow::End(last) } else { Flow::GoOn });
        }
        // Calls that were left at a bound stay so, however often the turn is gone on with.
        if last.stop_reason == StopReason::OutOfTokens || !were_let && self.is_spent() {
            return Ok(if asked_after { Flow::End(last) } else { Flow::GoOn });
        }
        self.call(open, last).await
    }

    /// What follows from what the model said.
    async fn follow(&mut self, answer: AnswerMessage) -> Result<Flow> {
        let calls: Vec<ToolCall> = answer.tool_calls.iter().flatten().cloned().collect();
        if calls.is_empty() && answer.content.texts("").is_some_and(|text| text.is_empty()) {
            // Where the model did not get to say anything, the turn says why.
            return Ok(Flow::End(self.exhausted().unwrap_or(answer)));
        }
        if calls.is_empty() || answer.stop_reason == StopReason::OutOfTokens || self.is_spent() {
            return Ok(Flow::End(answer));
        }
        self.call(calls, answer).await
    }

    /// One inference, with its step, which is kept with what comes next.
    async fn infer(&mut self) -> Result<AnswerMessage> {
        let (step_id, started_at) = (new_id(), now());
        self.start(StepType::Inference, &step_id, Map::new()).await?;
        let mut span = self.cx.spans.start("inference");
        let answer = self.ask(&self.cx.within(&span), &step_id, &mut span).await;
        span.note(&answer);
        drop(span);
        let answer = answer?;
        self.stored.usage.iterations += 1;
        let step = InferenceStep {
            turn_id: self.stored.turn.turn_id.clone(),
            step_id,
            started_at: Some(started_at),
            completed_at: Some(now()),
            model_response: answer.clone(),
        };
        self.note(Step::Inference(step));
        Ok(answer)
    }

    /// Asks the model, and passes on what it says as it comes.
    async fn ask(
        &mut self,
        cx: &Context,
        step_id: &str,
        span: &mut OpenSpan,
    ) -> Result<AnswerMessage> {
        let request = self.request();
        span.set_content("input", || json(&request.messages));
        let chat = self.deps.routers.chat()?;
        let mut gathered = Gathered::after(&self.stored);
        let reply = self.clock.within(chat.chat_completion(cx, request)).await.transpose()?;
        let answer = match reply {
            Some(Reply::Stream(mut chunks)) => {
                loop {
                    let Some(next) = self.clock.within(chunks.next()).await else {
                        gathered.stop_reason = Some(StopReason::OutOfTokens);
                        break;
                    };
                    let Some(chunk) = next else { break };
                    let mut chunk = chunk?.into_value()?;
                    for metric in chunk.metrics.iter().flatten() {
                        if metric.metric == "total_tokens" {
                            self.stored.usage.tokens += metric.value.as_i64().unwrap_or_default();
                        }
                    }
                    let is_middle = chunk.event.event_type == ChatEventType::Progress;
                    if chunk.event.event_type == ChatEventType::Complete {
                        gathered.stop_reason = chunk.event.stop_reason;
                    }
                    if is_middle && gathered.take(&mut chunk.event.delta) {
                        let (step_type, delta) = (StepType::Inference, chunk.event.delta);
                        let step_id = step_id.to_owned();
                        let progress = StepProgress { step_type, step_id, delta };
                        self.send(TurnEventPayload::StepProgress(progress)).await?;
                    }
                }
                let (answer, unparsed) = gathered.into_answer();
                self.stored.unparsed.extend(unparsed);
                answer
            }
            Some(Reply::Full(payload)) => gathered.whole(payload.into_value()?.completion_message),
            None => said(String::new(), StopReason::OutOfTokens),
        };
        span.set("stop_reason", answer.stop_reason.as_str());
        span.set_content("output", || {
            json(&json!({ "content": answer.content, "tool_calls": answer.tool_calls }))
        });
        Ok(answer)
    }

    fn request(&self) -> ChatCompletionRequest {
        let turn = &self.stored.turn;
        let messages = history::messages(&self.config.instructions, &self.before, turn);
        let tools = Some(self.toolset.definitions.clone()).filter(|tools| !tools.is_empty());
        let mut tool_config = self.tool_config.clone();
        let forced = !matches!(tool_config.tool_choice.as_deref(), None | Some("auto" | "none"));
        // A call that is forced is forced once; else the model could never answer.
        if forced && turn.steps.iter().any(|step| matches!(step, Step::ToolExecution(_))) {
            tool_config.tool_choice = Some("auto".to_owned());
        }
        ChatCompletionRequest {
            model_id: self.config.model.clone(),
            messages,
            sampling_params: self.config.sampling_params.clone(),
            response_format: self.config.response_format.clone(),
            tool_config: tools.is_some().then_some(tool_config),
            tools,
            tool_choice: None,
            tool_prompt_format: None,
            stream: Some(true),
            logprobs: None,
        }
    }

    /// Lets shields look at the conversation, and at `answer` if there is one: the answer in its
    /// place, if one of them objects.
    async fn shield(
        &mut self,
        shields: &[String],
        touchpoint: &str,
        answer: Option<&AnswerMessage>,
    ) -> Result<Option<AnswerMessage>> {
        if shields.is_empty() {
            return Ok(None);
        }
        self.keep().await?;
        let (step_id, started_at) = (new_id(), now());
        let metadata = Map::from_iter([("touchpoint".to_owned(), Value::from(touchpoint))]);
        self.start(StepType::ShieldCall, &step_id, metadata).await?;
        let instructions = &self.config.instructions;
        let mut messages = history::messages(instructions, &self.before, &self.stored.turn);
        if let Some(answer) = answer {
            let last = matches!(messages.last(), Some(Message::Assistant(said)) if said.content == answer.content);
            if !last {
                messages.push(Message::Assistant(CompletionMessage::from(answer.clone())));
            }
        }
        let router = self.deps.routers.shields()?;
        let mut span = self.cx.spans.start("run_shields");
        span.set_content("input", || json(&messages));
        let (router, cx, messages) = (&router, &self.cx.within(&span), &messages);
        let runs = shields.iter().map(|shield| async move {
            let span = cx.spans.start_with(|| format!("run_shield_{shield}").into());
            let answer = router.run_shield(&cx.within(&span), shield, messages, None).await;
            span.note(&answer);
            answer.map(|answer| (shield, answer))
        });
        let mut refused: Option<SafetyViolation> = None;
        let answers = try_join_all(runs).await;
        span.note(&answers);
        for (shield, answer) in answers? {
            let Some(violation) = answer.violation else { continue };
            match violation.violation_level {
                ViolationLevel::Error if refused.is_none() => refused = Some(violation),
                ViolationLevel::Error | ViolationLevel::Info => {}
                ViolationLevel::Warn => {
                    tracing::warn!(target: "agents", shield, "a shield warns of a conversation");
                }
            }
        }
        span.set_content("output", || match &refused {
            Some(violation) => json(violation),
            None => "no violations".to_owned(),
        });
        drop(span);
        let step = ShieldCallStep {
            turn_id: self.stored.turn.turn_id.clone(),
            step_id,
            started_at: Some(started_at),
            completed_at: Some(now()),
            violation: refused.clone(),
        };
        self.complete(Step::ShieldCall(step)).await?;
        Ok(refused.map(|violation| {
            let words = violation.user_message.unwrap_or_else(|| NO_WORDS.to_owned());
            said(words, StopReason::EndOfTurn)
        }))
    }

    pub(super) async fn start(
        &self,
        step_type: StepType,
        step_id: &str,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        let (step_id, metadata) = (step_id.to_owned(), Some(metadata));
        self.send(TurnEventPayload::StepStart(StepStart { step_type, step_id, metadata })).await
    }

    /// Keeps a step, and says that it has ended.
    pub(super) async fn complete(&mut self, step: Step) -> Result<()> {
        self.note(step);
        self.keep().await
    }

    /// Takes in a step that has ended.
    fn note(&mut self, step: Step) {
        self.note_time();
        self.stored.turn.steps.push(step.clone());
        self.ended = Some(step);
    }

    /// Keeps the last step, if it is not kept yet, and says that it has ended.
    pub(super) async fn keep(&mut self) -> Result<()> {
        let Some(step) = self.ended.take() else { return Ok(()) };
        self.journal.step(&self.stored, &step).await?;
        self.send(completed(step)).await
    }

    pub(super) async fn send(&self, payload: TurnEventPayload) -> Result<()> {
        let gone = |_| Error::unavailable("the caller has left");
        self.events.send(Ok(payload.into())).await.map_err(gone)
    }
}

/// What a caller is told of a step that has ended.
pub(super) fn completed(step: Step) -> TurnEventPayload {
    TurnEventPayload::StepComplete(StepComplete {
        step_type: step.step_type(),
        step_id: step.id().to_owned(),
        step_details: step,
    })
}

/// The JSON text of what a span carries, or as much of it as a span can.
pub(super) fn json(value: &impl Serialize) -> String {
    let mut text = Beginning(Vec::new());
    // A value that is too long fails when there is enough of it.
    let _cut = serde_json::to_writer(&mut text, value);
    String::from_utf8(text.0).unwrap_or_else(|cut| {
        let end = cut.utf8_error().valid_up_to();
        String::from_utf8_lossy(&cut.as_bytes()[..end]).into_owned()
    })
}

/// The beginning of a text. Conversations are long, and are noted with each step.
struct Beginning(Vec<u8>);

/// More bytes than a span takes, so that it says that something is left out.
const BEGINNING: usize = 32 * 1024;

impl io::Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BEGINNING - self.0.len());
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message of the agent without calls.
pub(super) fn said(text: String, stop_reason: StopReason) -> AnswerMessage {
    AnswerMessage {
        role: AssistantTag::Assistant,
        content: text.into(),
        stop_reason,
        tool_calls: Some(Vec::new()),
    }
}
