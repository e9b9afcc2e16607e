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
}

#[test]
fn a_block_without_parts_is_read_too() {
    let block = StoredBlock { parts: Vec::new(), ..block() };
    let read: StoredBlock = serde_json::from_str(&block.text()).unwrap();
    assert_eq!(with_names(&read), with_names(&block));
}

#[test]
fn blocks_of_earlier_versions_have_names_and_are_read() {
    let names = with_names(&block());
    let read: StoredBlock = serde_json::from_value(names.clone()).unwrap();
    assert_eq!(with_names(&read), names);
}
