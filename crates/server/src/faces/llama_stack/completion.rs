//! Text completion.
//!
//! The prompt goes to the engine as it is: engines put the token that begins a text before it by
//! themselves. (The reference writes `<|begin_of_text|>` into the prompt of Llama models, which
//! then begin twice.)

use super::{
    check_generates_text, content, no_choice, sampling,
    stream::{Translation, translated, write_stream},
};
use crate::faces::{
    account::{Account, wants_count},
    tokens,
};
use chaski_api::{
    Result,
    inference::{
        CompletionRequest, CompletionResponse, CompletionStreamChunk, MetricInResponse, StopReason,
    },
    models::Model,
    openai::{Body, TextCompletion, TextCompletionRequest},
};
use chaski_provider::{Context, Counted, Inference, Payload, Reply};
use std::collections::VecDeque;

/// Continues a text with `model`, the one that the request names.
///
/// # Errors
/// Those of the request, and those of the provider.
pub(super) async fn completion(
    inference: &dyn Inference,
    model: &Model,
    cx: &Context,
    request: CompletionRequest,
) -> Result<Reply<CompletionResponse, CompletionStreamChunk>> {
    check_generates_text(model)?;
    let body = body(&request, wants_count(model))?;
    let content = request.content;
    let account = Account::open(model, cx, move || tokens::of_prompt(&content));
    match inference.completion(cx, body).await? {
        Reply::Stream(events) => {
            Ok(Reply::Stream(translated(events, TextEvents::default(), account)))
        }
        Reply::Full(payload) => {
            let completion = payload.into_value()?;
            let spent = completion.tokens();
            let choice = completion.choices.into_iter().next().ok_or_else(no_choice)?;
            let text = choice.text.clone();
            let count = move || tokens::of_completion(&text);
            Ok(Reply::Full(Payload::Value(CompletionResponse {
                metrics: Some(account.close(spent, choice.text.len(), count).await),
                content: choice.text,
                stop_reason: stop_reason(choice.finish_reason.as_deref()),
                logprobs: sampling::text_logprobs(choice.logprobs),
            })))
        }
    }
}

/// The request in OpenAI's form.
fn body(request: &CompletionRequest, counted: bool) -> Result<TextCompletionRequest> {
    let prompt = content::plain_text(&request.content, "completions")?;
    let mut body = Body::default();
    body.insert("model".to_owned(), request.model_id.clone().into());
    body.insert("prompt".to_owned(), prompt.into());
    write_stream(request.stream == Some(true), counted, &mut body);
    sampling::write_sampling(request.sampling_params.as_ref(), &mut body);
    sampling::write_format(request.response_format.as_ref(), &mut body)?;
    if let Some(most) = sampling::wanted_logprobs(request.logprobs.as_ref()) {
        body.insert("logprobs".to_owned(), most.into());
    }
    Ok(TextCompletionRequest { body })
}

fn stop_reason(finish: Option<&str>) -> StopReason {
    match finish {
        Some("length") => StopReason::OutOfTokens,
        _ => StopReason::EndOfTurn,
    }
}

/// Translates a completion stream: a chunk per event of the upstream, and a last one that says why
/// it ended.
#[derive(Debug, Default)]
pub(super) struct TextEvents {
    text: String,
    finish: Option<String>,
}

impl Translation for TextEvents {
    type From = TextCompletion;
    type To = CompletionStreamChunk;

    fn event(&mut self, event: TextCompletion, out: &mut VecDeque<CompletionStreamChunk>) {
        let Some(choice) = event.choices.into_iter().find(|choice| choice.index == 0) else {
            return;
        };
        self.text.push_str(&choice.text);
        out.push_back(CompletionStreamChunk {
            metrics: None,
            logprobs: sampling::text_logprobs(choice.logprobs).filter(|_| !choice.text.is_empty()),
            delta: choice.text,
            stop_reason: None,
        });
        if choice.finish_reason.is_some() {
            self.finish = choice.finish_reason;
        }
    }

    fn kept(&self) -> usize {
        self.text.len()
    }

    fn answered(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    fn tokens(text: &str) -> usize {
        tokens::of_completion(text)
    }

    fn end(&mut self, metrics: Vec<MetricInResponse>, out: &mut VecDeque<CompletionStreamChunk>) {
        out.push_back(CompletionStreamChunk {
            metrics: Some(metrics),
            delta: String::new(),
            stop_reason: Some(stop_reason(self.finish.as_deref())),
            logprobs: None,
        });
    }
}
