//! Several provider models behind one model: where its requests may go, and what they cost.

use crate::{
    wire,
    wire::{AtLeastNumber, Between},
};
use serde_json::{Map, Value};

/// The most targets of a model.
pub const MOST_TARGETS: usize = 32;

wire! {
    /// How a model with several targets chooses among them.
    pub enum Strategy {
        /// The first that works, in the order of the list.
        Fallback = "fallback",
        /// At random, in proportion to the weights.
        Weighted = "weighted",
        /// The one with the fewest requests under way, in proportion to the weights.
        LeastBusy = "least-busy",
    }

    /// What the tokens of a model cost.
    pub struct Cost {
        /// For a million tokens of prompts.
        pub prompt_per_million: AtLeastNumber<0>,
        /// For a million tokens of answers; nothing for models that only read, as those for
        /// embeddings.
        pub completion_per_million: AtLeastNumber<0> = AtLeastNumber(0.0),
        /// The currency.
        pub currency: String = "USD".to_owned(),
    }

    /// A provider model that requests may go to.
    pub struct Target {
        /// The provider instance.
        pub provider_id: String,
        /// The id that the provider uses; the `model_id` of the entry unless given.
        pub provider_model_id: Option<String>,
        /// Its share of the requests, compared with the other targets.
        pub weight: Between<1, 1_000_000> = Between(1),
        /// What its tokens cost, where that differs from the `cost` of the entry.
        pub cost: Option<Cost>,
    }

    /// Where the requests for a model may go.
    pub struct Routing {
        /// How one of the targets is chosen.
        pub strategy: Strategy = Strategy::Fallback,
        /// The provider models, in the order of the configuration.
        pub targets: Vec<Target>,
        /// For how long a target that failed is tried last, in seconds.
        pub cooldown_seconds: AtLeastNumber<0> = Routing::COOLDOWN,
    }
}

impl Routing {
    /// For how long a target that failed is tried last unless the configuration says otherwise.
    pub const COOLDOWN: AtLeastNumber<0> = AtLeastNumber(10.0);

    /// As JSON, with nothing in it that was not given.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        let targets = value.get_mut("targets").and_then(Value::as_array_mut);
        for target in targets.into_iter().flatten().filter_map(Value::as_object_mut) {
            target.retain(|_, value| !value.is_null());
        }
        value
    }
}

impl Cost {
    /// The price of so many tokens, in the currency.
    pub fn of(&self, prompt: u64, completion: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let (prompt, completion) = (prompt as f64, completion as f64);
        let sum = prompt * self.prompt_per_million.0 + completion * self.completion_per_million.0;
        sum / 1e6
    }
}

/// The key of the metadata of a model that holds its [`Routing`].
pub const ROUTING: &str = "routing";
/// The key of the metadata of a model that holds its [`Cost`].
pub const COST: &str = "cost";

/// The member `key` of `metadata` as a `T`, if it is one.
pub(crate) fn from_metadata<T: wire::Wire>(metadata: &Map<String, Value>, key: &str) -> Option<T> {
    metadata.get(key).cloned().and_then(|value| T::from_json(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{Cost, Routing};
    use crate::wire::Wire;
    use serde_json::json;

    #[test]
    fn a_price_is_that_of_the_prompt_and_of_the_answer() {
        let cost =
            Cost::from_json(json!({ "prompt_per_million": 2.5, "completion_per_million": "10" }));
        let cost = cost.unwrap();
        assert!((cost.of(1_000_000, 0) - 2.5).abs() < 1e-12);
        assert!((cost.of(1_000, 500) - 0.0075).abs() < 1e-12);
        assert_eq!(cost.currency, "USD");
    }

    #[test]
    fn what_was_not_given_is_not_written() {
        let given = json!({ "targets": [{ "provider_id": "a" }] });
        assert_eq!(
            Routing::from_json(given).unwrap().to_json(),
            json!({
                "strategy": "fallback",
                "targets": [{ "provider_id": "a", "weight": 1 }],
                "cooldown_seconds": 10.0,
            })
        );
    }
}
