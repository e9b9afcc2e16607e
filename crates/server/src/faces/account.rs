//! The metrics of an answer: how many tokens it took, and what they cost.

use super::tokens::{Count, of_answer};
use chaski_api::{inference::MetricInResponse, models::Model};
use chaski_provider::{Context, Tokens, Trail};
use serde_json::Number;
use std::sync::Arc;

/// What the metrics of one answer are made of.
pub(crate) struct Account {
    /// Whether tokens are counted as the reference counts them, whatever the provider says.
    as_the_reference: bool,
    prompt: Count,
    trail: Arc<Trail>,
}

impl Account {
    /// Opens the account of a request for `model`; `prompt` counts the tokens of its prompt.
    ///
    /// The reference counts with the tokenizer of Llama 3. That is right for Llama models; for
    /// others the provider's own count is taken where it gives one.
    pub(crate) fn open(
        model: &Model,
        cx: &Context,
        prompt: impl FnOnce() -> usize + Send + 'static,
    ) -> Self {
        let as_the_reference = is_llama(model);
        let prompt = if as_the_reference { Count::start(prompt) } else { Count::later(prompt) };
        Self { as_the_reference, prompt, trail: Arc::clone(&cx.trail) }
    }

    /// The metrics. `spent` is what the provider counted, if it did; `answer` counts the tokens of
    /// an answer of `bytes` bytes.
    pub(crate) async fn close(
        self,
        spent: Option<Tokens>,
        bytes: usize,
        answer: impl FnOnce() -> usize + Send + 'static,
    ) -> Vec<MetricInResponse> {
        let tokens = match spent {
            Some(spent) if !self.as_the_reference => spent,
            _ => Tokens {
                prompt: self.prompt.finish().await as u64,
                completion: of_answer(bytes, answer).await as u64,
            },
        };
        let mut metrics = Vec::from(
            [
                ("prompt_tokens", tokens.prompt),
                ("completion_tokens", tokens.completion),
                ("total_tokens", tokens.prompt.saturating_add(tokens.completion)),
            ]
            .map(|(metric, value)| metric_of(metric, value.into(), None)),
        );
        let served = self.trail.served();
        if let Some(cost) = served.as_ref().and_then(|served| served.cost.as_ref()) {
            // What is paid for is what the provider counted.
            let paid = spent.unwrap_or(tokens);
            let price = Number::from_f64(cost.of(paid.prompt, paid.completion));
            let unit = Some(cost.currency.clone());
            metrics.extend(price.map(|price| metric_of("cost", price, unit)));
        }
        metrics
    }
}

fn metric_of(metric: &str, value: Number, unit: Option<String>) -> MetricInResponse {
    MetricInResponse { metric: metric.to_owned(), value, unit }
}

fn is_llama(model: &Model) -> bool {
    [&model.identifier, &model.provider_resource_id]
        .iter()
        .any(|name| name.to_ascii_lowercase().contains("llama"))
}

/// Whether a stream is asked for the provider's own count: where that is what the metrics show, or
/// what is paid for.
pub(crate) fn wants_count(model: &Model) -> bool {
    let routing = model.routing();
    let by_target = routing.iter().flat_map(|routing| &routing.targets);
    !is_llama(model)
        || model.cost().is_some()
        || by_target.into_iter().any(|one| one.cost.is_some())
}
