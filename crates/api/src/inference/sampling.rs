//! How the next token is chosen.

use crate::wire::{Above, AtLeast};
use serde_json::{Map, Value};

crate::wire! {
    /// The most likely token, always.
    pub struct GreedySamplingStrategy {}

    /// A token of the most likely ones that together have the probability `top_p`.
    pub struct TopPSamplingStrategy {
        /// Above 0; 1 leaves the distribution as it is. May be null, may not be absent.
        pub temperature: Nullable,
        /// From 0 to 1.
        pub top_p: Option<f64> = Some(0.95),
    }

    /// One of the `top_k` most likely tokens.
    pub struct TopKSamplingStrategy {
        /// At least 1.
        pub top_k: AtLeast<1>,
    }

    /// How the next token is chosen.
    pub union SamplingStrategy by "type" {
        Greedy(GreedySamplingStrategy) = "greedy",
        TopP(TopPSamplingStrategy) = "top_p",
        TopK(TopKSamplingStrategy) = "top_k",
    }

    /// How text is generated.
    pub struct SamplingParams {
        /// How the next token is chosen.
        pub strategy: SamplingStrategy = SamplingStrategy::Greedy(GreedySamplingStrategy {}),
        /// The most tokens to generate; 0 sets no limit.
        pub max_tokens: Option<i64> = Some(0),
        /// Above 1 makes repetition less likely; 1 changes nothing.
        pub repetition_penalty: Option<f64> = Some(1.0),
        /// Texts that end the generation; they are not part of the answer.
        pub stop: Option<Vec<String>>,
    }

    /// Text that is valid JSON of a schema.
    pub struct JsonSchemaResponseFormat {
        /// The JSON schema.
        pub json_schema: Map<String, Value>,
    }

    /// Text of a grammar.
    pub struct GrammarResponseFormat {
        /// The grammar.
        pub bnf: Map<String, Value>,
    }

    /// The form that the answer must have.
    pub union ResponseFormat by "type" {
        JsonSchema(JsonSchemaResponseFormat) = "json_schema",
        Grammar(GrammarResponseFormat) = "grammar",
    }

    /// Asks for the probabilities of the tokens.
    pub struct LogProbConfig {
        /// How many tokens per position.
        pub top_k: Option<i64> = Some(0),
    }
}

/// A number above 0 that may be null but not absent.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct Nullable(pub Option<f64>);

impl crate::Wire for Nullable {
    fn read(value: Value, reader: &mut crate::Reader) -> Option<Self> {
        Option::<Above<0>>::read(value, reader).map(|number| Self(number.map(|above| above.0)))
    }
    fn schema(schemas: &mut crate::Schemas) -> Value {
        Option::<Above<0>>::schema(schemas)
    }
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            strategy: SamplingStrategy::Greedy(GreedySamplingStrategy {}),
            max_tokens: Some(0),
            repetition_penalty: Some(1.0),
            stop: None,
        }
    }
}
