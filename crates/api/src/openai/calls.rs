//! Tool calls of an answer: which pieces belong together, and what a call says.

use super::{FunctionCall, FunctionToolCall};
use serde_json::{Map, Value};

impl FunctionToolCall {
    /// Which of the calls of a stream that have begun (each with its index and its id) this piece
    /// continues; nothing if it begins another call.
    pub fn continues<'a>(
        &self,
        begun: &(impl DoubleEndedIterator<Item = (Option<i64>, &'a str)> + ExactSizeIterator + Clone),
    ) -> Option<usize> {
        let has_name = self.function.is_named();
        let known = match self.index {
            Some(index) => begun.clone().rposition(|(other, _)| other == Some(index)),
            // Without an index, a piece without a name continues the last call.
            None => begun.len().checked_sub(1).filter(|_| !has_name),
        };
        // Some upstreams give every call the index 0: another id and a name begin another call.
        known.filter(|at| {
            let of_known = begun.clone().nth(*at).map_or("", |(_, id)| id);
            let id = self.id.as_deref().filter(|id| !id.is_empty());
            let is_other = id.is_some_and(|id| !of_known.is_empty() && id != of_known);
            !(has_name && is_other)
        })
    }
}

impl FunctionCall {
    /// Whether it says which function is called.
    pub fn is_named(&self) -> bool {
        self.name.as_deref().is_some_and(|name| !name.is_empty())
    }

    /// The arguments by name, none where nothing is said; nothing if they are not a JSON object.
    pub fn by_name(&self) -> Option<Map<String, Value>> {
        let text = self.arguments.as_deref().unwrap_or_default();
        if text.trim().is_empty() {
            return Some(Map::new());
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(arguments)) => Some(arguments),
            Ok(Value::Null) => Some(Map::new()),
            Ok(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | Err(_) => {
                None
            }
        }
    }
}
