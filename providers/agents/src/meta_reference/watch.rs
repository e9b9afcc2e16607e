//! Whether a turn goes round in circles.

use chaski_api::{
    agents::{Step, Turn},
    inference::ToolCall,
};

/// After so many equal calls the next one is not run, and the model is told.
const WARNED: usize = 3;
/// After so many the turn ends.
const ENDLESS: usize = 6;

/// The equal calls at the end of a turn.
pub(super) struct Repetition<'a> {
    last: Option<&'a ToolCall>,
    times: usize,
}

impl<'a> Repetition<'a> {
    pub(super) fn of(turn: &'a Turn) -> Self {
        let mut calls = turn.steps.iter().rev().filter_map(|step| match step {
            Step::ToolExecution(step) => step.tool_calls.last(),
            Step::Inference(_) | Step::ShieldCall(_) | Step::MemoryRetrieval(_) => None,
        });
        let Some(last) = calls.next() else { return Self { last: None, times: 0 } };
        let times = 1 + calls.take_while(|call| is_same(last, call)).count();
        Self { last: Some(last), times }
    }

    /// What a call is answered that was made often enough.
    pub(super) fn warning(&self, call: &ToolCall) -> Option<String> {
        let last = self.last.filter(|_| self.times >= WARNED)?;
        is_same(last, call).then(|| {
            format!(
                "Error: `{}` was called {} times in a row with these arguments; use what it \
                 answered, or do something else",
                call.tool_name, self.times
            )
        })
    }

    pub(super) fn is_endless(&self) -> bool {
        self.times >= ENDLESS
    }
}

fn is_same(one: &ToolCall, other: &ToolCall) -> bool {
    one.tool_name == other.tool_name && one.arguments == other.arguments
}
