//! Streams that are judged as they pass: events wait until the shields have judged what they say.

use super::{
    Asked, Guard,
    spoken::{Spoken, pieces, question},
};
use chaski_api::{Error, Result};
use chaski_provider::{EventStream, Payload};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// The most characters of a call that wait for its end. Longer ones are judged in parts.
const LONGEST_CALL: usize = 64 * 1024;
/// The most events that wait, whatever they say.
const MOST_EVENTS: usize = 4096;

/// The events of `events` that the shields do not object to, a window of text at a time.
///
/// A choice that a shield objects to ends with what the user is told, and nothing of its window is
/// seen. The parts of calls wait for the end of the answer, so that none is carried out before the
/// last one is judged.
pub(super) fn held<E: Spoken>(
    events: EventStream<Payload<E>>,
    guard: Guard,
    asked: Arc<[Asked]>,
    choices: usize,
) -> EventStream<Payload<E>> {
    let size = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let held = Held {
        window: size(guard.shields.stream_window.0),
        context: size(guard.shields.stream_context.0),
        events,
        guard,
        asked,
        choices,
        last: None,
        said: BTreeMap::new(),
        waiting: VecDeque::new(),
        ready: VecDeque::new(),
        begun: false,
        failure: None,
        over: false,
    };
    stream::unfold(held, |mut held| async move {
        let event = held.next().await?;
        Some((event, held))
    })
    .boxed()
}

/// How far a choice is.
#[derive(Default, PartialEq)]
enum Course {
    #[default]
    Open,
    /// The model has ended it.
    Ended,
    /// A shield objected.
    Cut,
}

/// What one choice has said.
#[derive(Default)]
struct Said {
    /// The end of what was judged.
    before: String,
    /// What was not.
    fresh: String,
    /// The number of characters of it.
    length: usize,
    /// Whether a call is among it.
    calls: bool,
    /// Whether something of it was let through.
    passed: bool,
    course: Course,
}

impl Said {
    fn is_due(&self, window: usize) -> bool {
        let limit = if self.calls { window.max(LONGEST_CALL) } else { window };
        !self.fresh.is_empty() && (self.course == Course::Ended || self.length >= limit)
    }
}

struct Held<E> {
    window: usize,
    context: usize,
    events: EventStream<Payload<E>>,
    guard: Guard,
    asked: Arc<[Asked]>,
    /// How many choices there are to be.
    choices: usize,
    /// The last event, whose head the events are given that end a choice.
    last: Option<Payload<E>>,
    said: BTreeMap<i64, Said>,
    waiting: VecDeque<Payload<E>>,
    ready: VecDeque<Payload<E>>,
    /// Whether anything was judged.
    begun: bool,
    /// What comes after everything that is ready.
    failure: Option<Error>,
    over: bool,
}

impl<E: Spoken> Held<E> {
    async fn next(&mut self) -> Option<Result<Payload<E>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return self.failure.take().map(Err);
            }
            let due = match self.events.next().await {
                Some(Ok(event)) => match self.take(event) {
                    Ok(due) => due,
                    Err(error) => self.fail(error),
                },
                Some(Err(error)) => self.fail(error),
                None => {
                    self.over = true;
                    true
                }
            };
            if due && let Err(error) = self.judge().await {
                // Nothing that was not judged is seen.
                self.waiting.clear();
                self.ready.clear();
                self.fail(error);
            }
        }
    }

    fn fail(&mut self, error: Error) -> bool {
        self.over = true;
        self.failure.get_or_insert(error);
        true
    }

    /// Lets an event wait; says whether it is time to judge.
    fn take(&mut self, event: Payload<E>) -> Result<bool> {
        let pieces = pieces(&event)?;
        self.last = Some(event.clone());
        let said = &self.said;
        let is_cut = |choice: i64| said.get(&choice).is_some_and(|said| said.course == Course::Cut);
        let event = if pieces.iter().any(|piece| is_cut(piece.choice)) {
            event.into_value()?.kept(|choice| !is_cut(choice)).map(Payload::Value)
        } else {
            Some(event)
        };
        for piece in pieces {
            let said = self.said.entry(piece.choice).or_default();
            if said.course == Course::Cut {
                continue;
            }
            said.length += piece.text.chars().count();
            said.fresh.push_str(&piece.text);
            said.calls |= piece.calls;
            if piece.ended {
                said.course = Course::Ended;
            }
        }
        self.waiting.extend(event);
        let nothing_fresh = self.said.values().all(|said| said.fresh.is_empty());
        Ok(self.said.values().any(|said| said.is_due(self.window))
            || self.waiting.len() >= MOST_EVENTS
            || self.begun && nothing_fresh)
    }

    /// Has everything judged that waits, and lets through what no shield objects to.
    async fn judge(&mut self) -> Result<()> {
        let mut objections = Vec::new();
        let fresh = self.said.iter_mut().filter(|(_, said)| !said.fresh.is_empty());
        for (choice, said) in fresh {
            let text = format!("{}{}", said.before, said.fresh);
            if let Some(asked) = question(&self.asked, self.choices, *choice)
                && let Some(objection) = self.guard.objection_to_answer(asked, text.clone()).await?
            {
                objections.push((*choice, objection, !said.passed));
                said.course = Course::Cut;
            }
            said.before = end(text, self.context);
            said.fresh.clear();
            said.length = 0;
            said.passed = true;
        }
        self.begun = true;
        if objections.is_empty() {
            self.ready.append(&mut self.waiting);
            return Ok(());
        }
        let said = &self.said;
        let keep = |choice: i64| said.get(&choice).is_none_or(|said| said.course != Course::Cut);
        for event in std::mem::take(&mut self.waiting) {
            self.ready.extend(event.into_value()?.kept(keep).map(Payload::Value));
        }
        let head = match self.last.clone() {
            Some(event) => event.into_value()?.head(),
            None => E::begun(&self.guard.model),
        };
        for (choice, text, first) in objections {
            self.ready.push_back(Payload::Value(E::ending(&head, choice, &text, first)));
        }
        let finished = self.said.values().filter(|said| said.course != Course::Open).count();
        if finished >= self.choices {
            self.over = true;
            self.failure = None;
            // The upstream need not go on.
            self.events = stream::empty().boxed();
        }
        Ok(())
    }
}

/// The last `count` characters.
fn end(mut text: String, count: usize) -> String {
    let Some(last) = count.checked_sub(1) else { return String::new() };
    if let Some((start, _)) = text.char_indices().rev().nth(last) {
        text.drain(..start);
    }
    text
}
