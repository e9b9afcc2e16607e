//! Text completions.

use super::{
    Usage,
    body::{Field, Kind, open_body},
    tolerant,
};
use std::collections::BTreeMap;

open_body! {
    /// A continuation of a text (OpenAI API, "Create completion").
    TextCompletionRequest, &[
        Field::required("model", Kind::Text, "The registered model."),
        Field::required("prompt", Kind::Any, "A text, a list of texts, or token ids."),
        Field::optional("stream", Kind::Bool, "Whether the answer comes as a stream of events."),
        Field::optional("stream_options", Kind::Object, "`include_usage` asks for the token counts."),
        Field::optional("max_tokens", Kind::Integer(0, 10_000_000), "The most tokens to generate."),
        Field::optional("temperature", Kind::Number(0.0, 2.0), "0 always takes the most likely token."),
        Field::optional("top_p", Kind::Number(0.0, 1.0), "Only the most likely tokens with this total probability."),
        Field::optional("n", Kind::Integer(1, 128), "How many answers."),
        Field::optional("best_of", Kind::Integer(1, 20), "How many to generate, of which the best are answered."),
        Field::optional("stop", Kind::TextOrList(64), "Texts that end the generation."),
        Field::optional("seed", Kind::Integer(i64::MIN, i64::MAX), "The same seed gives the same answer."),
        Field::optional("presence_penalty", Kind::Number(-2.0, 2.0), "Above 0 makes new topics more likely."),
        Field::optional("frequency_penalty", Kind::Number(-2.0, 2.0), "Above 0 makes repetition less likely."),
        Field::optional("logit_bias", Kind::Object, "A bias by token id."),
        Field::optional("logprobs", Kind::Integer(0, 20), "How many likely tokens per position."),
        Field::optional("echo", Kind::Bool, "Whether the prompt is part of the answer."),
        Field::optional("suffix", Kind::Text, "The text after the answer, for models that fill in."),
        Field::optional("user", Kind::Text, "The end user, for the upstream's abuse detection."),
    ]
}

crate::wire! {
    /// The log probabilities of a text.
    pub struct TextLogprobs {
        /// Where each token begins in the text, in characters.
        pub text_offset: Option<Vec<i64>>,
        /// The log probability of each token.
        pub token_logprobs: Option<Vec<Option<f64>>>,
        /// The texts of the tokens.
        pub tokens: Option<Vec<String>>,
        /// The likely tokens at each position.
        pub top_logprobs: Option<Vec<Option<BTreeMap<String, f64>>>>,
    }

    /// One answer, or in a stream what is added to it.
    pub struct TextChoice after tolerant::without_nulls {
        /// Which answer, from 0.
        pub index: i64 = 0,
        /// The text.
        pub text: String,
        /// The log probabilities, if asked for.
        pub logprobs: Option<TextLogprobs>,
        /// `stop` or `length`.
        pub finish_reason: Option<String>,
    }

    /// The answers of a completion; also an event of a completion stream.
    pub struct TextCompletion after tolerant::answer {
        /// An id, unique to the request.
        pub id: String = String::new(),
        /// `text_completion`.
        pub object: String = "text_completion".to_owned(),
        /// In seconds since 1970.
        pub created: i64 = 0,
        /// The model that answered.
        pub model: String = String::new(),
        /// One entry per answer.
        pub choices: Vec<TextChoice> = Vec::new(),
        /// The tokens used.
        pub usage: Option<Usage>,
    }
}
