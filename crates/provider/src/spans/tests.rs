//! Spans of requests, as a sink gets them.

use super::{Attribute, CONTENT, EndedSpan, MOST, OpenSpan, SpanContext, SpanSink, TEXT};
use crate::Context;
use chaski_api::telemetry::SpanStatus;
use chaski_store::Owner;
use chaski_upstream::TraceParent;
use std::{
    collections::HashSet,
    num::{NonZeroU64, NonZeroU128},
    sync::{Arc, Mutex},
};

#[derive(Default)]
struct Kept {
    spans: Mutex<Vec<EndedSpan>>,
    contents: bool,
}

impl SpanSink for Kept {
    fn keep(&self, span: EndedSpan) {
        self.spans.lock().unwrap().push(span);
    }

    fn keeps_contents(&self) -> bool {
        self.contents
    }
}

fn begin(sink: &Arc<Kept>, caller: Option<TraceParent>, name: &str) -> (OpenSpan, Context) {
    let owner = Owner { tenant: String::new(), principal: "me".to_owned() };
    let root = SpanContext::begin(Arc::clone(sink) as _, owner, caller, name.to_owned());
    let cx = Context::default().within(&root);
    (root, cx)
}

fn caller() -> TraceParent {
    TraceParent {
        trace: NonZeroU128::new(7).unwrap(),
        span: NonZeroU64::new(9).unwrap(),
        flags: 0,
        state: Some("a=1".into()),
    }
}

#[test]
fn spans_end_when_they_are_dropped_below_the_one_they_began_in() {
    let sink = Arc::new(Kept::default());
    let (mut root, cx) = begin(&sink, None, "/v1/models");
    let child = cx.spans.start("inference");
    let inner = cx.within(&child);
    drop(inner.spans.start_with(|| "run_shield_x".into()));
    cx.spans.fail();
    drop(child);
    root.set("status", 500_i64);
    drop(root);
    let spans = sink.spans.lock().unwrap();
    let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["run_shield_x", "inference", "/v1/models"]);
    let [shield, inference, root] = spans.as_slice() else { panic!("three spans") };
    assert_eq!(root.parent, None);
    assert!(root.is_root && !inference.is_root);
    assert_eq!(inference.parent, Some(root.span));
    assert_eq!(shield.parent, Some(inference.span));
    assert_eq!((root.status, inference.status), (SpanStatus::Error, SpanStatus::Ok));
    assert!(spans.iter().all(|span| span.trace == root.trace && span.owner.principal == "me"));
    assert!(root.attributes.contains(&("__root__", Attribute::Truth(true))));
    assert!(root.attributes.contains(&("status", Attribute::Integer(500))));
    assert!(root.start <= inference.start && inference.end <= root.end);
}

#[test]
fn the_trace_of_the_caller_goes_on_with_ids_of_its_own() {
    let sink = Arc::new(Kept::default());
    for _ in 0..2 {
        let (root, cx) = begin(&sink, Some(caller()), "/");
        let upstream = cx.spans.parent().unwrap();
        assert_eq!(upstream.trace, caller().trace);
        assert_eq!((upstream.flags, upstream.state.as_deref()), (0, Some("a=1")));
        drop(root);
    }
    let spans = sink.spans.lock().unwrap();
    assert!(spans.iter().all(|span| span.parent == Some(caller().span)));
    assert_ne!(spans[0].span, spans[1].span);
}

#[test]
fn nothing_happens_where_no_spans_are_kept() {
    let mut span = Context::default().spans.start_with(|| unreachable!("a name is made"));
    span.set_with::<i64>("a", || unreachable!("a value is made"));
    span.set_content("b", || unreachable!("a content is made"));
    assert!(!span.is_kept());
    let passing = SpanContext::passing_on(caller());
    assert!(!passing.start("x").is_kept() && !passing.is_kept());
    assert_eq!(span.context(&passing).parent(), Some(&caller()));
}

#[test]
fn texts_are_bounded_and_contents_are_kept_only_where_they_are_wanted() {
    for contents in [false, true] {
        let sink = Arc::new(Kept { contents, ..Kept::default() });
        let (mut root, _) = begin(&sink, None, &"/é".repeat(TEXT));
        root.set("text", "é".repeat(TEXT));
        root.set_content("input", || "é".repeat(CONTENT));
        drop(root);
        let span = sink.spans.lock().unwrap().pop().unwrap();
        assert!(span.name.len() <= TEXT && span.name.ends_with("left out]"));
        let length = |name: &str| {
            span.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| match value {
                Attribute::Text(text) => text.len(),
                Attribute::Integer(_) | Attribute::Truth(_) => 0,
            })
        };
        assert!(length("text").is_some_and(|length| length <= TEXT));
        assert_eq!(length("input").map(|length| length <= CONTENT), contents.then_some(true));
    }
}

#[test]
fn a_request_has_so_many_spans_and_no_two_with_the_same_id() {
    let sink = Arc::new(Kept::default());
    let (root, cx) = begin(&sink, None, "/");
    for _ in 0..MOST + 10 {
        drop(cx.spans.start("loop"));
    }
    drop(root);
    let spans = sink.spans.lock().unwrap();
    let ids: HashSet<NonZeroU64> = spans.iter().map(|span| span.span).collect();
    assert_eq!((spans.len() as u64, ids.len() as u64), (MOST, MOST));
}
