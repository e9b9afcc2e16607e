//! The text of a block, which is written by hand and read by serde.

use crate::meta_reference::{
    ids::{SpanId, TraceId},
    records::{Facts, Part, StoredBlock, StoredEvent, StoredSpan},
};
use chaski_api::telemetry::SpanStatus;
use chaski_store::Record;
use serde_json::{Map, Value, json};

/// Texts that JSON has to write in another way, and one that it has not.
const TEXTS: [&str; 6] =
    ["", "plain/text", "a \"quoted\" one", "C:\\path", "two\nlines\u{1}", "día ✓"];

fn span(text: &str, parent: Option<SpanId>, attributes: Facts) -> StoredSpan {
    let attribute = json!({ "fact": text });
    let event = StoredEvent {
        time: 7,
        message: text.to_owned(),
        severity: "info".to_owned(),
        attributes: attribute.as_object().cloned().unwrap(),
    };
    StoredSpan {
        id: SpanId::from(0x00f0_67aa_0ba9_02b7_u128),
        is_root: parent.is_none(),
        parent,
        name: text.to_owned().into(),
        start: -5,
        end: i64::MAX,
        status: if text.is_empty() { SpanStatus::Error } else { SpanStatus::Ok },
        attributes,
        events: if text.is_empty() { Vec::new() } else { vec![event.clone(), event] },
        expires: 9,
    }
}

fn block() -> StoredBlock {
    let own = |text: &'static str| {
        Facts::Own(vec![
            ("text", text.into()),
            ("owned", text.to_owned().into()),
            ("number", i64::MIN.into()),
            ("truth", true.into()),
        ])
    };
    let any =
        |text: &str| Facts::Any(Map::from_iter([("list".to_owned(), json!([text, 1.5, null]))]));
    let spans = TEXTS.into_iter().flat_map(|text| {
        let parent = (!text.is_empty()).then(|| SpanId::from(text));
        [span(text, parent.clone(), own(text)), span(text, parent, any(text))]
    });
    let nothing = span("plain", None, Facts::Own(Vec::new()));
    let part = |trace: TraceId, spans| Part { trace, created: 3, spans };
    StoredBlock {
        id: "00".to_owned(),
        service: "a \"service\"".to_owned(),
        parts: vec![
            part(TraceId::from(15), spans.collect()),
            part(TraceId::from("any text"), vec![nothing]),
        ],
    }
}

/// The block with all names, as the general encoder writes it.
fn with_names(block: &StoredBlock) -> Value {
    serde_json::to_value(block).unwrap()
}

#[test]
fn a_block_is_read_as_it_was_written() {
    let block = block();
    let text = block.text();
    let read: StoredBlock = serde_json::from_str(&text).unwrap();
    assert_eq!(with_names(&read), with_names(&block));
    assert!(!text.contains("\"expires\""), "{text}");
    let order = |facts: &Facts| Map::from(facts.clone()).keys().cloned().collect::<Vec<_>>();
    let first = |block: &StoredBlock| order(&block.parts[0].spans[0].attributes);
    assert_eq!(first(&read), first(&block));
}

#[test]
fn a_block_without_parts_is_read_too() {
    let block = StoredBlock { parts: Vec::new(), ..block() };
    let read: StoredBlock = serde_json::from_str(&block.text()).unwrap();
    assert_eq!(with_names(&read), with_names(&block));
}

#[test]
fn blocks_of_earlier_versions_are_read() {
    let names = with_names(&block());
    let read: StoredBlock = serde_json::from_value(names.clone()).unwrap();
    assert_eq!(with_names(&read), names);

    let lists = json!({
        "id": "00", "service": "a", "parts": [["any text", 3, [
            ["00f067aa0ba902b7", "parent", false, "name", 4, 5, "error", { "a": 1 }, [
                { "time": 7, "message": "m", "severity": "info", "attributes": {} },
            ], 9],
        ]]],
    });
    let read: StoredBlock = serde_json::from_value(lists).unwrap();
    let span = &read.parts[0].spans[0];
    let parent = span.parent.as_ref().unwrap().to_string();
    assert_eq!((parent.as_str(), &*span.name, span.events.len()), ("parent", "name", 1));
    assert_eq!((span.start, span.end, span.expires), (4, 5, 9));
}

/// As many requests as fill a block, each with a call of a model.
fn requests(count: u64) -> StoredBlock {
    let part = |number: u64| {
        let (root, call) = (2 * u128::from(number), 2 * u128::from(number) + 1);
        let number = i64::try_from(number).unwrap();
        let one = |id: u128, parent: Option<u128>, name: &'static str, facts| StoredSpan {
            id: SpanId::from(id << 40),
            parent: parent.map(|id| SpanId::from(id << 40)),
            is_root: parent.is_none(),
            name: name.into(),
            start: 1_795_764_233_000_000 + number,
            end: 1_795_764_233_000_125 + 2 * number,
            status: SpanStatus::Ok,
            attributes: Facts::Own(facts),
            events: Vec::new(),
            expires: 1_795_764_233_000_125 + 2 * number + 604_800_000_000,
        };
        let asked = format!("{number:032x}");
        let facts = vec![("method", "POST".into()), ("request", asked.into())];
        let model = vec![("model", "m".into()), ("tokens", (number % 3).into())];
        let spans = vec![one(call, Some(root), "call", model), one(root, None, "/v1", facts)];
        Part { trace: TraceId::from(root << 80), created: 1_795_764_233_000_500, spans }
    };
    let parts = (0..count).map(part).collect();
    StoredBlock { id: "00".to_owned(), service: "s".to_owned(), parts }
}

#[test]
fn what_requests_have_in_common_is_written_once() {
    let block = requests(64);
    let text = block.text();
    assert_eq!(with_names(&serde_json::from_str(&text).unwrap()), with_names(&block));
    assert_eq!(text.matches("\"POST\"").count(), 1);
    assert_eq!(text.matches("\"tokens\"").count(), 1);
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["shapes"].as_array().unwrap().len(), 2);
    // The parent is the span after it.
    assert_eq!(written["traces"][5][2][0][2], 1);
    // Three ids in hexadecimal digits have 80 bytes, the time of the trace 16.
    assert!(text.len() < 64 * 190, "{}", text.len());
}

#[test]
fn spans_of_different_shapes_stay_different() {
    let mut block = requests(6);
    let one = |block: &mut StoredBlock, place: usize, change: fn(&mut StoredSpan)| {
        change(&mut block.parts[place].spans[0]);
    };
    one(&mut block, 1, |span| span.status = SpanStatus::Error);
    one(&mut block, 2, |span| span.expires += 1);
    one(&mut block, 3, |span| span.attributes = Facts::Own(vec![("model", "other".into())]));
    one(&mut block, 4, |span| span.name = "other".into());
    one(&mut block, 5, |span| span.is_root = true);
    let read: StoredBlock = serde_json::from_str(&block.text()).unwrap();
    assert_eq!(with_names(&read), with_names(&block));
}

#[test]
fn a_damaged_block_is_an_error_that_says_what_is_wrong() {
    let whole: Value = serde_json::from_str(&requests(2).text()).unwrap();
    let broken = |change: fn(&mut Value)| {
        let mut broken = whole.clone();
        change(&mut broken["traces"][0][2][0]);
        serde_json::from_value::<StoredBlock>(broken).unwrap_err().to_string()
    };
    let expected = "a span has the shape 9, which is not there";
    assert_eq!(broken(|span| span[0] = 9.into()), expected);
    let expected = "a span has the parent at 2, which is not there";
    assert_eq!(broken(|span| span[2] = 2.into()), expected);
    let expected = "a span has other values than its shape has attributes";
    assert_eq!(broken(|span| span[5] = json!([])), expected);
    assert_eq!(broken(|span| span[5] = json!([1, 2])), expected);
}
