//! Spans: what was done for a request, how long it took, and what belonged to what.
//!
//! A span context travels in the [`Context`] of a request and nowhere else, so that no request can
//! get into the trace of another. Where nothing keeps spans it is empty, and costs nothing. A span
//! that ends is handed over as a plain structure; nothing is encoded on the way of a request.

use crate::Context;
use chaski_api::{Result, endpoints::telemetry::TTL_SECONDS, telemetry::SpanStatus};
use chaski_store::Owner;
use chaski_upstream::TraceParent;
use std::{
    borrow::Cow,
    fmt,
    num::{NonZeroU64, NonZeroU128},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};
use uuid::Uuid;

/// The most spans of one request; a loop that makes more is cut off.
const MOST: u64 = 10_000;
/// The longest text of an attribute, in bytes.
const TEXT: usize = 1024;
/// The longest content of an attribute: what was said to a model, or by one.
const CONTENT: usize = 16 * 1024;
/// What stands in place of the rest.
const CUT: &str = " [the rest is left out]";

/// Takes spans that have ended.
pub trait SpanSink: Send + Sync {
    /// Takes a span. It never waits: what is too much is lost, and counted.
    fn keep(&self, span: EndedSpan);

    /// Whether spans are to carry what was said to models and tools, and by them.
    fn keeps_contents(&self) -> bool;
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Text(Cow<'static, str>),
    Integer(i64),
    Truth(bool),
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Attribute {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct EndedSpan {
    /// Whose request it was part of.
    pub owner: Arc<Owner>,
    pub trace: NonZeroU128,
    pub span: NonZeroU64,
    /// The span that it is below, in this process or in that of the caller.
    pub parent: Option<NonZeroU64>,
    /// Whether it is that of a whole request.
    pub is_root: bool,
    pub name: Cow<'static, str>,
    pub start: SystemTime,
    pub end: SystemTime,
    pub status: SpanStatus,
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// What the spans of a request have in common.
struct Shared {
    sink: Arc<dyn SpanSink>,
    owner: Arc<Owner>,
    trace: NonZeroU128,
    flags: u8,
    state: Option<Arc<str>>,
    /// Where the ids of spans begin.
    seed: u64,
    count: AtomicU64,
}

impl Shared {
    /// An id that no other span of the trace has.
    fn next(&self) -> Option<NonZeroU64> {
        let count = self.count.fetch_add(1, Relaxed);
        (count < MOST).then(|| scattered(self.seed.wrapping_add(count)))
    }
}

/// A number that looks random, another one for each `number` (the last step of `SplitMix64`).
fn scattered(number: u64) -> NonZeroU64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    NonZeroU64::new(mixed ^ (mixed >> 31)).unwrap_or(NonZeroU64::MIN)
}

struct Here {
    /// Nothing where nobody keeps spans, and the caller's context is only passed on.
    shared: Option<Arc<Shared>>,
    parent: TraceParent,
    failed: AtomicBool,
}

/// Where a request is in its trace.
#[derive(Clone, Default)]
pub struct SpanContext(Option<Arc<Here>>);

impl SpanContext {
    /// Begins the span of a whole request, below that of the caller if it names one.
    pub fn begin(
        sink: Arc<dyn SpanSink>,
        owner: Owner,
        caller: Option<TraceParent>,
        name: String,
    ) -> OpenSpan {
        let random = Uuid::new_v4().as_u128();
        // The lower half has 62 random bits.
        #[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
        let seed = random as u64;
        let (trace, parent, flags, state) = match caller {
            Some(caller) => (caller.trace, Some(caller.span), caller.flags, caller.state),
            None => (NonZeroU128::new(random).unwrap_or(NonZeroU128::MIN), None, 1, None),
        };
        let (owner, count) = (Arc::new(owner), AtomicU64::new(0));
        let shared = Arc::new(Shared { sink, owner, trace, flags, state, seed, count });
        let mut span = OpenSpan::new(shared, parent, bounded(name, TEXT).into(), true);
        span.set("__root__", true);
        span.set("__location__", "server");
        span.set("__ttl__", TTL_SECONDS);
        span
    }

    /// The context of a caller, which is passed on where no spans are kept.
    pub fn passing_on(caller: TraceParent) -> Self {
        Self(Some(Arc::new(Here { shared: None, parent: caller, failed: AtomicBool::new(false) })))
    }

    /// Begins a span below this one; one that nobody sees where no spans are kept.
    pub fn start(&self, name: &'static str) -> OpenSpan {
        self.start_with(|| Cow::Borrowed(name))
    }

    /// The same, with a name that is made if there is a use for it.
    pub fn start_with(&self, name: impl FnOnce() -> Cow<'static, str>) -> OpenSpan {
        let Some(here) = &self.0 else { return OpenSpan(None) };
        let Some(shared) = &here.shared else { return OpenSpan(None) };
        let name = match name() {
            Cow::Owned(name) => bounded(name, TEXT).into(),
            name @ Cow::Borrowed(_) => name,
        };
        OpenSpan::new(Arc::clone(shared), Some(here.parent.span), name, false)
    }

    /// Says that what this span stands for failed.
    pub fn fail(&self) {
        if let Some(here) = &self.0 {
            here.failed.store(true, Relaxed);
        }
    }

    /// Whether spans are kept.
    pub fn is_kept(&self) -> bool {
        self.0.as_ref().is_some_and(|here| here.shared.is_some())
    }

    /// How the span is named to upstreams.
    pub fn parent(&self) -> Option<&TraceParent> {
        self.0.as_deref().map(|here| &here.parent)
    }
}

impl fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SpanContext").field(&self.parent()).finish()
    }
}

/// A span under way. It ends when it is dropped.
#[must_use = "a span that is dropped has ended"]
pub struct OpenSpan(Option<Box<Open>>);

struct Open {
    here: Arc<Here>,
    shared: Arc<Shared>,
    parent: Option<NonZeroU64>,
    is_root: bool,
    name: Cow<'static, str>,
    start: SystemTime,
    since: Instant,
    attributes: Vec<(&'static str, Attribute)>,
}

impl OpenSpan {
    fn new(
        shared: Arc<Shared>,
        parent: Option<NonZeroU64>,
        name: Cow<'static, str>,
        is_root: bool,
    ) -> Self {
        let Some(span) = shared.next() else { return Self(None) };
        let (trace, flags, state) = (shared.trace, shared.flags, shared.state.clone());
        let here = Here {
            shared: Some(Arc::clone(&shared)),
            parent: TraceParent { trace, span, flags, state },
            failed: AtomicBool::new(false),
        };
        Self(Some(Box::new(Open {
            here: Arc::new(here),
            shared,
            parent,
            is_root,
            name,
            start: SystemTime::now(),
            since: Instant::now(),
            attributes: Vec::with_capacity(8),
        })))
    }

    /// Whether somebody will see it.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Notes a fact, in place of one with the same name.
    pub fn set(&mut self, name: &'static str, value: impl Into<Attribute>) {
        self.set_with(name, || value.into());
    }

    /// The same, with a value that is made if there is a use for it.
    pub fn set_with<T: Into<Attribute>>(&mut self, name: &'static str, value: impl FnOnce() -> T) {
        let Some(open) = &mut self.0 else { return };
        let value = match value().into() {
            Attribute::Text(Cow::Owned(text)) => Attribute::Text(bounded(text, TEXT).into()),
            value @ (Attribute::Text(_) | Attribute::Integer(_) | Attribute::Truth(_)) => value,
        };
        open.put(name, value);
    }

    /// Notes what was said to a model or a tool, or by one, where that is kept.
    pub fn set_content(&mut self, name: &'static str, content: impl FnOnce() -> String) {
        let Some(open) = &mut self.0 else { return };
        if open.shared.sink.keeps_contents() {
            open.put(name, Attribute::Text(bounded(content(), CONTENT).into()));
        }
    }

    /// Says that what it stands for failed.
    pub fn fail(&self) {
        if let Some(open) = &self.0 {
            open.here.failed.store(true, Relaxed);
        }
    }

    /// Says whether what it stands for failed.
    pub fn note<T>(&self, outcome: &Result<T>) {
        if outcome.is_err() {
            self.fail();
        }
    }

    /// Gives it up; it was not worth a span.
    pub fn forget(mut self) {
        self.0 = None;
    }

    /// Where spans below this one begin; `outer` where nobody sees this one.
    pub fn context(&self, outer: &SpanContext) -> SpanContext {
        match &self.0 {
            Some(open) => SpanContext(Some(Arc::clone(&open.here))),
            None => outer.clone(),
        }
    }
}

impl Open {
    fn put(&mut self, name: &'static str, value: Attribute) {
        match self.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.attributes.push((name, value)),
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { here, shared, parent, is_root, name, start, since, attributes } = *open;
        let failed = here.failed.load(Relaxed);
        shared.sink.keep(EndedSpan {
            owner: Arc::clone(&shared.owner),
            trace: shared.trace,
            span: here.parent.span,
            parent,
            is_root,
            name,
            start,
            // The clock of the wall may be set meanwhile.
            end: start + since.elapsed(),
            status: if failed { SpanStatus::Error } else { SpanStatus::Ok },
            attributes,
        });
    }
}

impl fmt::Debug for OpenSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_ref().map(|open| &open.name);
        f.debug_tuple("OpenSpan").field(&name).finish()
    }
}

/// The text, cut where it is longer than `most` bytes.
fn bounded(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - CUT.len()));
        text.push_str(CUT);
    }
    text
}

impl Context {
    /// The context of what happens within a span.
    #[must_use]
    pub fn within(&self, span: &OpenSpan) -> Self {
        Self { spans: span.context(&self.spans), ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
