//! Sampling, response format and log probabilities in OpenAI's form.

use chaski_api::{
    Error, Result,
    inference::{LogProbConfig, ResponseFormat, SamplingParams, SamplingStrategy, TokenLogProbs},
    openai::{Body, ChoiceLogprobs, TextLogprobs},
};
use serde_json::{Map, Value, json};

/// Puts the sampling parameters into a request; what is not given is left to the upstream.
pub(super) fn write_sampling(params: Option<&SamplingParams>, body: &mut Body) {
    let defaults = SamplingParams::default();
    let params = params.unwrap_or(&defaults);
    match &params.strategy {
        SamplingStrategy::Greedy(_) => {
            body.insert("temperature".to_owned(), json!(0.0));
        }
        SamplingStrategy::TopP(top_p) => {
            if let Some(temperature) = top_p.temperature.0 {
                body.insert("temperature".to_owned(), json!(temperature));
            }
            if let Some(top_p) = top_p.top_p {
                body.insert("top_p".to_owned(), json!(top_p));
            }
        }
        SamplingStrategy::TopK(top_k) => {
            body.insert("top_k".to_owned(), json!(top_k.top_k.0));
        }
    }
    if let Some(max_tokens) = params.max_tokens.filter(|most| *most != 0) {
        body.insert("max_tokens".to_owned(), max_tokens.into());
    }
    #[expect(clippy::float_cmp, reason = "1 is written as 1 by callers that mean `no penalty`")]
    if let Some(penalty) = params.repetition_penalty.filter(|penalty| *penalty != 1.0) {
        body.insert("repetition_penalty".to_owned(), json!(penalty));
    }
    if let Some(stop) = params.stop.as_ref().filter(|stop| !stop.is_empty()) {
        body.insert("stop".to_owned(), json!(stop));
    }
}

/// Puts the wanted form of the answer into a request.
///
/// # Errors
/// `Unsupported` for grammars.
pub(super) fn write_format(format: Option<&ResponseFormat>, body: &mut Body) -> Result<()> {
    match format {
        None => Ok(()),
        Some(ResponseFormat::Grammar(_)) => {
            Err(Error::unsupported("Grammar response format not supported yet"))
        }
        Some(ResponseFormat::JsonSchema(format)) => {
            let schema = &format.json_schema;
            let format = json!({
                "type": "json_schema",
                "json_schema": { "name": schema_name(schema), "schema": schema },
            });
            body.insert("response_format".to_owned(), format);
            Ok(())
        }
    }
}

/// A name that OpenAI's API accepts: the title of the schema as far as it can be one.
fn schema_name(schema: &Map<String, Value>) -> String {
    let title = schema.get("title").and_then(Value::as_str).unwrap_or_default();
    let name: String = title
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' })
        .take(64)
        .collect();
    if name.is_empty() { "response".to_owned() } else { name }
}

/// How many log probabilities per position are wanted; nothing where none are.
pub(super) fn wanted_logprobs(config: Option<&LogProbConfig>) -> Option<i64> {
    config.and_then(|config| config.top_k).filter(|top_k| *top_k > 0)
}

/// The log probabilities of a chat answer, by position; nothing where there are none.
pub(super) fn chat_logprobs(logprobs: Option<ChoiceLogprobs>) -> Option<Vec<TokenLogProbs>> {
    let positions = logprobs?.content.filter(|positions| !positions.is_empty())?;
    let positions = positions.into_iter().map(|position| {
        let logprobs_by_token = if position.top_logprobs.is_empty() {
            [(position.token, position.logprob)].into()
        } else {
            position.top_logprobs.into_iter().map(|likely| (likely.token, likely.logprob)).collect()
        };
        TokenLogProbs { logprobs_by_token }
    });
    Some(positions.collect())
}

/// The log probabilities of a completion, by position; nothing where there are none.
pub(super) fn text_logprobs(logprobs: Option<TextLogprobs>) -> Option<Vec<TokenLogProbs>> {
    let logprobs = logprobs?;
    let positions: Vec<TokenLogProbs> = if let Some(positions) = logprobs.top_logprobs {
        positions
            .into_iter()
            .map(|position| TokenLogProbs { logprobs_by_token: position.unwrap_or_default() })
            .collect()
    } else {
        let tokens = logprobs.tokens.unwrap_or_default();
        let chosen = logprobs.token_logprobs.unwrap_or_default();
        tokens
            .into_iter()
            .zip(chosen)
            .filter_map(|(token, logprob)| Some([(token, logprob?)].into()))
            .map(|logprobs_by_token| TokenLogProbs { logprobs_by_token })
            .collect()
    };
    Some(positions).filter(|positions| !positions.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;

    fn sampled(params: Value) -> Value {
        let params = SamplingParams::from_json(params).expect("the parameters are well formed");
        let mut body = Body::default();
        write_sampling(Some(&params), &mut body);
        body.into()
    }

    #[test]
    fn sampling_is_written_as_given() {
        let mut body = Body::default();
        write_sampling(None, &mut body);
        assert_eq!(Value::from(body), json!({ "temperature": 0.0 }));
        let top_p = json!({ "strategy": { "type": "top_p", "temperature": 0.7 }, "max_tokens": 5 });
        assert_eq!(sampled(top_p), json!({ "temperature": 0.7, "top_p": 0.95, "max_tokens": 5 }));
        let top_k = json!({
            "strategy": { "type": "top_k", "top_k": 40 },
            "max_tokens": 0,
            "repetition_penalty": 1.3,
            "stop": ["x"],
        });
        assert_eq!(
            sampled(top_k),
            json!({ "top_k": 40, "repetition_penalty": 1.3, "stop": ["x"] })
        );
    }

    #[test]
    fn a_schema_becomes_a_named_response_format_and_a_grammar_is_refused() {
        let mut body = Body::default();
        let format = |value| ResponseFormat::from_json(value).expect("the format is well formed");
        let schema = json!({ "type": "object", "title": "My answer" });
        let schema_format = format(json!({ "type": "json_schema", "json_schema": schema }));
        write_format(Some(&schema_format), &mut body).unwrap();
        assert_eq!(body["response_format"]["json_schema"]["name"], "My_answer");
        assert_eq!(body["response_format"]["json_schema"]["schema"], schema);
        let grammar = format(json!({ "type": "grammar", "bnf": {} }));
        let error = write_format(Some(&grammar), &mut body).unwrap_err();
        assert_eq!(error.message, "Grammar response format not supported yet");
    }

    #[test]
    fn logprobs_of_completions_come_from_either_list() {
        let read = |value| text_logprobs(Some(TextLogprobs::from_json(value).unwrap()));
        let top = read(json!({ "top_logprobs": [{ "a": -0.5 }, null] })).unwrap();
        assert_eq!(json!(top[0].logprobs_by_token), json!({ "a": -0.5 }));
        assert!(top[1].logprobs_by_token.is_empty());
        let chosen = json!({ "tokens": ["a", "b"], "token_logprobs": [-0.5, null] });
        assert_eq!(read(chosen).unwrap().len(), 1);
        assert!(read(json!({ "tokens": [] })).is_none());
    }
}
