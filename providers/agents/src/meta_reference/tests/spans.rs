//! The spans of turns and their steps.

use super::*;
use chaski_api::telemetry::SpanStatus;
use chaski_provider::{Attribute, EndedSpan, OpenSpan, SpanContext, SpanSink};
use chaski_testkit::eventually;
use futures_util::StreamExt;

/// The spans that have ended.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<EndedSpan>>);

impl SpanSink for Kept {
    fn keep(&self, span: EndedSpan) {
        self.0.lock().unwrap().push(span);
    }

    fn keeps_contents(&self) -> bool {
        true
    }
}

impl Kept {
    /// Puts the requests of a world into a trace.
    pub(super) fn watching(world: &mut World) -> (Arc<Self>, OpenSpan) {
        let sink = Arc::new(Self::default());
        let as_sink = Arc::clone(&sink) as Arc<dyn SpanSink>;
        let root = SpanContext::begin(as_sink, world.cx.owner(), None, "/turn".to_owned());
        world.cx = world.cx.within(&root);
        (sink, root)
    }

    pub(super) fn has_ended(&self, name: &str) -> bool {
        self.0.lock().unwrap().iter().any(|span| span.name == name)
    }

    /// Each span that has ended: its name, after that of the one it is below, and its status.
    fn places(&self, root: OpenSpan) -> Vec<String> {
        drop(root);
        let spans = self.0.lock().unwrap();
        let line = |span: &EndedSpan| {
            let parent = spans.iter().find(|other| Some(other.span) == span.parent);
            let above = parent.map_or("", |parent| &parent.name);
            format!("{above} > {} {}", span.name, span.status)
        };
        spans.iter().map(line).collect()
    }

    fn text(&self, name: &str, attribute: &str) -> String {
        let spans = self.0.lock().unwrap();
        let span = spans.iter().find(|span| span.name == name).expect("the span has ended");
        match span.attributes.iter().find(|(known, _)| *known == attribute) {
            Some((_, Attribute::Text(text))) => text.to_string(),
            other => panic!("{attribute} of {name} is {other:?}"),
        }
    }
}

#[tokio::test]
async fn each_step_of_a_turn_is_a_span_below_that_of_the_turn() {
    let config = json!({
        "toolgroups": ["my::math"], "input_shields": ["s1", "s2"], "output_shields": ["s1"],
    });
    let says = [calls(&[("add", json!({ "a": 1 })), ("picky", json!({}))]), text(&["two"])];
    let mut world = World::new(config, says).await;
    let (kept, root) = Kept::watching(&mut world);
    let turn = world.turn("hi").await.turn();
    assert_eq!(kept.text("create_and_execute_turn", "turn_id"), turn.turn_id);
    assert_eq!(kept.text("create_and_execute_turn", "session_id"), world.session_id);
    assert_eq!(kept.text("create_and_execute_turn", "agent_id"), world.agent_id);
    assert!(kept.text("create_and_execute_turn", "request").contains("hi"));
    assert_eq!(kept.text("inference", "stop_reason"), "end_of_turn");
    assert!(kept.text("inference", "input").contains("Be brief."));
    assert!(kept.text("inference", "output").contains("add"));
    assert_eq!(kept.text("tool_execution", "tool_name"), "add");
    assert_eq!(kept.text("tool_execution", "input"), r#"{"a":1}"#);
    assert_eq!(kept.text("tool_execution", "output"), r#""add done""#);
    assert_eq!(kept.text("run_shields", "output"), "no violations");
    let mut places = kept.places(root);
    places.sort();
    assert_eq!(
        places,
        [
            " > /turn ok",
            "/turn > create_and_execute_turn ok",
            "create_and_execute_turn > inference ok",
            "create_and_execute_turn > inference ok",
            "create_and_execute_turn > run_shields ok",
            "create_and_execute_turn > run_shields ok",
            "create_and_execute_turn > tool_execution ok",
            "create_and_execute_turn > tool_execution ok",
            "run_shields > run_shield_s1 ok",
            "run_shields > run_shield_s1 ok",
            "run_shields > run_shield_s2 ok",
        ]
    );
}

#[tokio::test]
async fn a_failure_marks_the_step_and_the_turn() {
    let mut world = World::new(json!({}), [Said::Failure]).await;
    let (kept, root) = Kept::watching(&mut world);
    assert!(world.turn("hi").await.error.is_some());
    assert_eq!(
        kept.places(root),
        [
            "create_and_execute_turn > inference error",
            "/turn > create_and_execute_turn error",
            " > /turn ok",
        ]
    );
}

#[tokio::test]
async fn what_a_shield_objects_to_is_in_its_span() {
    let mut world = World::new(json!({ "input_shields": ["s"] }), []).await;
    let (kept, _root) = Kept::watching(&mut world);
    world.turn("a bomb").await.turn();
    assert!(kept.text("run_shields", "output").contains("not that"));
    assert!(kept.text("run_shields", "input").contains("a bomb"));
}

#[tokio::test]
async fn a_turn_whose_caller_leaves_ends_its_spans_and_says_so() {
    let mut world = World::new(json!({}), [Said::Stuck, text(&["ok"])]).await;
    let (kept, _root) = Kept::watching(&mut world);
    let mut events = world.open_turn().await.unwrap();
    assert!(events.next().await.is_some());
    drop(events);
    eventually("the end of the turn", || kept.has_ended("create_and_execute_turn")).await;
    let spans = kept.0.lock().unwrap().clone();
    let turn = spans.iter().find(|span| span.name == "create_and_execute_turn").unwrap();
    assert!(turn.attributes.contains(&("interrupted", Attribute::Truth(true))));
    assert_eq!(turn.status, SpanStatus::Ok);
    let turn_id = kept.text("create_and_execute_turn", "turn_id");
    assert!(world.resume(&turn_id, json!([])).await.error.is_none());
    assert_eq!(kept.text("resume_turn", "turn_id"), turn_id);
}

#[test]
fn no_more_is_written_for_a_span_than_it_takes() {
    let whole = json!({ "a": ["b", 1] });
    assert_eq!(run::json(&whole), whole.to_string());
    for text in ["é".repeat(1 << 20), format!("x{}", "é".repeat(1 << 20))] {
        let cut = run::json(&text);
        assert!(cut.len() > 30_000 && cut.len() <= 32 * 1024, "{}", cut.len());
        assert!(cut.ends_with('é'));
    }
}
