//! The calls of a turn: to tools of the server, which run side by side, and to those of the client,
//! for which the turn waits.

use super::{
    attachments,
    run::{Flow, Run, completed, json, new_id, now},
    toolset::{CODE_INTERPRETER, KNOWLEDGE_SEARCH, ServerTool, Target},
    watch::Repetition,
};
use chaski_api::{
    Error, ErrorKind, Result,
    agents::{Step, StepProgress, StepType, ToolExecutionStep, ToolResponse, TurnEventPayload},
    inference::{
        AnswerMessage, ContentDelta, ContentItem, InterleavedContent, StopReason, TextContentItem,
        ToolCall, ToolCallDelta, ToolCallParseStatus,
    },
    tools::ToolHost,
};
use chaski_provider::{Context, Tools};
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use std::sync::Arc;

/// How many calls of one inference run at one time.
const AT_ONCE: usize = 8;

/// How many are made at all; the others are answered with an error.
const MOST: usize = 64;
/// The most bytes of the answer of a tool that a turn keeps and a model is told.
const LONGEST: usize = 1 << 20;

/// What calls are answered that are not made, or whose answers are not waited for.
const BROKEN_OFF: &str =
    "Error: the call was interrupted, and whether it has had its effect is not known";
const NO_TIME: &str = "Error: the call was not made: the time of the turn is used up";
const NO_CALLS: &str =
    "Error: the call was not made: the turn has made all calls of tools that it may make";
const LATE: &str = "Error: the time of the turn was used up before the tool answered, and whether the \
                    call has had its effect is not known";

/// A call on its way.
struct Started {
    call: ToolCall,
    begun_at: String,
    /// What it answers without being run, if it is not to run.
    answer: Option<String>,
    tool: Option<ServerTool>,
    /// Whether it counts as a call of the turn.
    counts: bool,
}

impl Run {
    /// Runs the calls of `answer` that belong to the server; the turn ends with those that are left.
    pub(super) async fn call(
        &mut self,
        calls: Vec<ToolCall>,
        answer: AnswerMessage,
    ) -> Result<Flow> {
        let (mut server, mut client) = (Vec::new(), Vec::new());
        for call in calls {
            if self.stored.unparsed.contains_key(&call.call_id) {
                server.push((call, None));
                continue;
            }
            match self.toolset.target(&call.tool_name) {
                Target::Client => client.push(call),
                Target::Server(tool) => server.push((call, Some(tool))),
                Target::Nowhere => server.push((call, None)),
            }
        }
        if !server.is_empty() {
            self.execute(server).await?;
        }
        if client.is_empty() {
            return Ok(Flow::GoOn);
        }
        self.stored.pending.clone_from(&client);
        Ok(Flow::End(AnswerMessage {
            stop_reason: StopReason::EndOfMessage,
            tool_calls: Some(client),
            ..answer
        }))
    }

    async fn execute(&mut self, mut calls: Vec<(ToolCall, Option<ServerTool>)>) -> Result<()> {
        let beyond = calls.split_off(calls.len().min(MOST));
        let calls = self.admit(calls);
        let new = calls.iter().filter(|started| started.answer.is_none());
        let new: Vec<String> = new.map(|started| started.call.call_id.clone()).collect();
        if new.is_empty() {
            self.keep().await?;
        } else {
            self.note_time();
            self.stored.begun.extend(new.iter().cloned());
            let step = self.ended.take();
            self.journal.begun(&self.stored, step.as_ref(), new).await?;
            if let Some(step) = step {
                self.send(completed(step)).await?;
            }
        }

        let tools = self.deps.routers.tools()?;
        let (extra, clock) = (self.extra_arguments(), self.clock);
        let runs: Vec<_> = calls
            .iter()
            .map(|started| {
                let (tools, cx) = (Arc::clone(&tools), self.cx.clone());
                let (call, tool) = (started.call.clone(), started.tool.clone());
                let (answer, extra) = (started.answer.clone(), extra.clone());
                async move {
                    let mut span = cx.spans.start("tool_execution");
                    span.set_with("tool_name", || call.tool_name.clone());
                    span.set_content("input", || json(&call.arguments));
                    let cx = cx.within(&span);
                    let answered: Result<Answered> = match (answer, tool) {
                        (Some(answer), _) => Ok((answer.into(), None)),
                        (None, Some(tool)) => clock
                            .within(run(tools.as_ref(), &cx, &tool, call, &extra))
                            .await
                            .unwrap_or_else(|| Ok((LATE.to_owned().into(), None))),
                        (None, None) => Err(Error::internal("a call without a tool")),
                    };
                    span.note(&answered);
                    if let Ok((content, _)) = &answered {
                        span.set_content("output", || json(content));
                    }
                    answered
                }
            })
            .collect();
        let mut results = stream::iter(runs).buffered(AT_ONCE);
        for started in calls {
            let (call, step_id) = (started.call, new_id());
            self.start(StepType::ToolExecution, &step_id, Map::new()).await?;
            let delta = ContentDelta::ToolCall(ToolCallDelta {
                tool_call: serde_json::to_value(&call).unwrap_or_default(),
                parse_status: ToolCallParseStatus::InProgress,
            });
            let progress = StepProgress {
                step_type: StepType::ToolExecution,
                step_id: step_id.clone(),
                delta,
            };
            self.send(TurnEventPayload::StepProgress(progress)).await?;
            let Some(result) = results.next().await else { break };
            let (content, mut metadata) = result?;
            let content = bounded(content);
            attachments::fit(&mut metadata, &mut self.attachments_left);
            self.stored.usage.calls += i64::from(started.counts);
            let response = ToolResponse {
                call_id: call.call_id.clone(),
                tool_name: call.tool_name.clone(),
                content,
                metadata,
            };
            self.complete(Step::ToolExecution(ToolExecutionStep {
                turn_id: self.stored.turn.turn_id.clone(),
                step_id,
                started_at: Some(started.begun_at),
                completed_at: Some(now()),
                tool_calls: vec![call],
                tool_responses: vec![response],
            }))
            .await?;
        }
        if beyond.is_empty() { Ok(()) } else { self.refuse(beyond).await }
    }

    /// Says which calls are made, and what the others are answered.
    fn admit(&self, calls: Vec<(ToolCall, Option<ServerTool>)>) -> Vec<Started> {
        let repetition = Repetition::of(&self.stored.turn);
        let mut left = self.calls_left();
        let calls = calls.into_iter().map(|(call, tool)| {
            // It began before the turn broke off: it may have done its work.
            let had_begun = tool.is_some() && self.stored.begun.contains(&call.call_id);
            let answer = if had_begun {
                Some(BROKEN_OFF.to_owned())
            } else if tool.is_none() {
                Some(self.unknown(&call))
            } else if self.clock.is_over() {
                Some(NO_TIME.to_owned())
            } else if let Some(warning) = repetition.warning(&call) {
                Some(warning)
            } else if left == 0 {
                Some(NO_CALLS.to_owned())
            } else {
                None
            };
            let counts = had_begun || answer.is_none();
            left = left.saturating_sub(usize::from(counts));
            Started { call, begun_at: now(), answer, tool, counts }
        });
        calls.collect()
    }

    /// What a call is answered that goes nowhere.
    fn unknown(&self, call: &ToolCall) -> String {
        let unparsed = self.stored.unparsed.get(&call.call_id).cloned();
        unparsed.unwrap_or_else(|| {
            let (name, names) = (&call.tool_name, self.toolset.names());
            format!("Error: there is no tool `{name}`; there are {names}")
        })
    }

    /// Answers the calls that are too many, in one step.
    async fn refuse(&mut self, calls: Vec<(ToolCall, Option<ServerTool>)>) -> Result<()> {
        let (step_id, started_at) = (new_id(), now());
        self.start(StepType::ToolExecution, &step_id, Map::new()).await?;
        let tool_calls: Vec<ToolCall> = calls.into_iter().map(|(call, _)| call).collect();
        let refused = |call: &ToolCall| ToolResponse {
            call_id: call.call_id.clone(),
            tool_name: call.tool_name.clone(),
            content: format!("Error: of one answer, {MOST} calls of tools are made").into(),
            metadata: None,
        };
        self.complete(Step::ToolExecution(ToolExecutionStep {
            turn_id: self.stored.turn.turn_id.clone(),
            step_id,
            started_at: Some(started_at),
            completed_at: Some(now()),
            tool_responses: tool_calls.iter().map(refused).collect(),
            tool_calls,
        }))
        .await
    }

    /// What the session adds to the calls of some tools.
    fn extra_arguments(&self) -> Extra {
        Extra {
            session_id: self.stored.turn.session_id.clone(),
            vector_db: self.vector_db.clone(),
            files: self.stored.files.clone(),
        }
    }
}

/// The content, cut where it is too long.
fn bounded(content: InterleavedContent) -> InterleavedContent {
    let mut left = LONGEST;
    let mut cut = |mut text: String| {
        if text.len() > left {
            let end = text.floor_char_boundary(left);
            text.truncate(end);
            text.push_str(" [the rest is left out]");
        }
        left = left.saturating_sub(text.len());
        text
    };
    match content {
        InterleavedContent::Text(text) => InterleavedContent::Text(cut(text)),
        InterleavedContent::Item(one) => InterleavedContent::Item(in_item(one, &mut cut)),
        InterleavedContent::Items(all) => {
            InterleavedContent::Items(all.into_iter().map(|one| in_item(one, &mut cut)).collect())
        }
    }
}

fn in_item(item: ContentItem, change: &mut impl FnMut(String) -> String) -> ContentItem {
    match item {
        ContentItem::Text(piece) => ContentItem::Text(TextContentItem { text: change(piece.text) }),
        image @ ContentItem::Image(_) => image,
    }
}

/// What the session adds to the calls of some tools.
#[derive(Clone)]
struct Extra {
    session_id: String,
    vector_db: Option<String>,
    files: Map<String, Value>,
}

type Answered = (InterleavedContent, Option<Map<String, Value>>);

/// Runs a call. What goes wrong in the tool is an answer, which the model sees; what the caller
/// alone can mend is an error.
async fn run(
    tools: &dyn Tools,
    cx: &Context,
    tool: &ServerTool,
    call: ToolCall,
    extra: &Extra,
) -> Result<Answered> {
    let mut arguments = call.arguments;
    if tool.host == ToolHost::Distribution {
        arguments.insert("session_id".to_owned(), extra.session_id.clone().into());
    }
    arguments.extend(tool.args.clone());
    if let Some(id) = extra.vector_db.as_ref().filter(|_| tool.name == KNOWLEDGE_SEARCH) {
        let ids = arguments.entry("vector_db_ids").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(ids) = ids {
            ids.push(id.clone().into());
        }
    }
    if tool.name == CODE_INTERPRETER && !extra.files.is_empty() {
        arguments.insert("files".to_owned(), extra.files.clone().into());
    }
    match tools.invoke(cx, &tool.name, arguments).await {
        Ok(result) => {
            let failed = result.error_code.is_some_and(|code| code != 0);
            let content = match result.error_message.filter(|_| failed) {
                Some(message) => format!("Error: {message}").into(),
                None => result.content,
            };
            Ok((content, result.metadata))
        }
        Err(error) if goes_to_the_model(&error) => {
            Ok((format!("Error: {}", error.message).into(), None))
        }
        Err(error) => Err(error),
    }
}

/// Whether the model can do something about an error: call anew with other arguments, or do without
/// the tool. What is left is for the caller, who may not, or has to send a key, and for the operator.
fn goes_to_the_model(error: &Error) -> bool {
    match error.kind {
        ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Internal => false,
        ErrorKind::InvalidRequest
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::RateLimited { .. }
        | ErrorKind::Unsupported
        | ErrorKind::Upstream { .. }
        | ErrorKind::Timeout
        | ErrorKind::Unavailable { .. } => !error.is_for_want_of_a_key(),
    }
}
