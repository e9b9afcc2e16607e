//! The events of a turn, as they are streamed.

use super::{Step, StepType, Turn};
use crate::inference::ContentDelta;
use serde_json::{Map, Value};

crate::wire! {
    /// A step begins.
    pub struct StepStart {
        /// What it is.
        pub step_type: StepType,
        /// Its id.
        pub step_id: String,
        /// For shields, `touchpoint`: `user-input` or `assistant-output`.
        pub metadata: Option<Map<String, Value>> = Some(Map::new()),
    }

    /// A step goes on.
    pub struct StepProgress {
        /// What it is.
        pub step_type: StepType,
        /// Its id.
        pub step_id: String,
        /// What it adds.
        pub delta: ContentDelta,
    }

    /// A step has ended.
    pub struct StepComplete {
        /// What it is.
        pub step_type: StepType,
        /// Its id.
        pub step_id: String,
        /// The step.
        pub step_details: Step,
    }

    /// A turn has ended.
    pub struct TurnComplete {
        /// The turn.
        pub turn: Turn,
    }

    /// A turn waits for what tools of the client answer.
    pub struct TurnAwaitingInput {
        /// The turn so far.
        pub turn: Turn,
    }

    /// What happens in a turn.
    pub union TurnEventPayload by "event_type" {
        StepStart(StepStart) = "step_start",
        StepProgress(StepProgress) = "step_progress",
        StepComplete(StepComplete) = "step_complete",
        TurnComplete(TurnComplete) = "turn_complete",
        TurnAwaitingInput(TurnAwaitingInput) = "turn_awaiting_input",
    }

    /// What happens in a turn.
    pub struct TurnEvent {
        /// What happens.
        pub payload: TurnEventPayload,
    }

    /// An event of the stream of a turn.
    pub struct TurnStreamChunk {
        /// The event.
        pub event: TurnEvent,
    }
}

impl From<TurnEventPayload> for TurnStreamChunk {
    fn from(payload: TurnEventPayload) -> Self {
        Self { event: TurnEvent { payload } }
    }
}
