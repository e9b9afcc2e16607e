//! How spans are kept: in blocks, with an index in memory.

use super::{Kept, caller, field, read, rows};
use crate::meta_reference::{
    blocks::{BlockId, SPANS},
    index::MOST,
    records::{StoredBlock, now},
    writer::Writer,
};
use chaski_api::telemetry::SpanStatus;
use chaski_provider::{Context, EndedSpan, Lifecycle, SpanSink};
use chaski_store::{Batch, Cell, Condition, Database, Record, Scope, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    num::{NonZeroU64, NonZeroU128},
    sync::Arc,
    time::SystemTime,
};

/// A question for all spans.
fn everything() -> Value {
    json!({ "attribute_filters": [], "attributes_to_return": [] })
}

/// What a caller sees of everything, without the writer at work.
async fn seen(kept: &Kept, cx: &Context) -> Value {
    let owner = cx.owner();
    let newest = kept.0.traces(&owner, read(json!({ "limit": 10_000 }))).await.unwrap();
    let order = json!({ "limit": 10_000, "order_by": ["-created_at"] });
    let created = kept.0.traces(&owner, read(order)).await.unwrap();
    let spans = kept.0.spans(&owner, read(everything())).await.unwrap();
    json!([newest, created, spans])
}

/// Reports spans of traces, and writes them together.
async fn together(kept: &Kept, writer: &mut Writer, cx: &Context, ids: &[[&str; 2]]) {
    for ids in ids {
        kept.report(cx, *ids, None, json!({ "id": ids[1] })).await;
    }
    writer.write_waiting().await;
}

#[tokio::test]
async fn a_restart_changes_no_answer_whatever_of_the_blocks_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "sqlite_db_path": folder.path().join("t.db"), "max_traces": 30 });
    let (me, you) = (caller("me"), caller("you"));
    let (kept, mut writer) = Kept::idle(&settings);
    for round in 0..20 {
        let (first, second) = (format!("{round}"), format!("{round}b"));
        let ids = [[first.as_str(), "1"], ["goes on", &first], [&second, "2"]];
        together(&kept, &mut writer, &me, &ids).await;
        together(&kept, &mut writer, &you, &[[&first, "1"]]).await;
    }
    let before = [seen(&kept, &me).await, seen(&kept, &you).await];
    let mine = before[0][0]["data"].as_array().unwrap();
    assert_eq!(mine.len() + before[1][0]["data"].as_array().unwrap().len(), 30);
    assert_eq!(mine[1]["trace_id"], "goes on");
    let counts = writer.index.lock().counts();
    assert!(counts.2 > 20, "the trace that goes on is in 20 blocks: {counts:?}");
    drop(writer);
    let (kept, mut writer) = Kept::idle(&settings);
    assert_eq!(writer.index.lock().counts(), (0, 0, 0));
    writer.restore().await;
    assert_eq!([seen(&kept, &me).await, seen(&kept, &you).await], before);
    assert_eq!(writer.index.lock().counts(), counts);
    writer.sweep(now()).await;
    assert_eq!(rows(&writer).await, counts.2);
    assert_eq!([seen(&kept, &me).await, seen(&kept, &you).await], before);
}

#[tokio::test]
async fn a_block_goes_with_the_last_trace_that_needs_it() {
    let (kept, mut writer) = Kept::idle(&json!({ "max_traces": 2 }));
    let me = caller("me");
    together(&kept, &mut writer, &me, &[["1", "1"], ["2", "2"], ["3", "3"]]).await;
    for (id, left) in [("4", 2), ("5", 2), ("6", 2)] {
        together(&kept, &mut writer, &me, &[[id, id]]).await;
        writer.sweep(now()).await;
        assert_eq!(rows(&writer).await, left, "{id}");
    }
    // What goes with a block is removed by the next one that is written, too.
    for id in ["7", "8", "9"] {
        together(&kept, &mut writer, &me, &[[id, id]]).await;
    }
    assert_eq!(rows(&writer).await, 3);
}

#[tokio::test]
async fn of_a_block_only_the_newest_traces_within_the_bounds_are_seen() {
    for settings in [json!({ "max_traces": 3 }), json!({ "max_spans": 3 })] {
        let (kept, mut writer) = Kept::idle(&settings);
        let me = caller("me");
        let ids = [["1", "1"], ["2", "2"], ["3", "3"], ["4", "4"], ["5", "5"]];
        together(&kept, &mut writer, &me, &ids).await;
        assert_eq!(rows(&writer).await, 1);
        let found = seen(&kept, &me).await;
        assert_eq!(field(found[0]["data"].as_array().unwrap(), "trace_id"), ["5", "4", "3"]);
        assert_eq!(field(found[2]["data"].as_array().unwrap(), "trace_id"), ["5", "4", "3"]);
        for [id, _] in ids {
            let is_kept = ["3", "4", "5"].contains(&id);
            let owner = me.owner();
            let filters = json!([{ "key": "id", "op": "eq", "value": id }]);
            let question = read(json!({ "attribute_filters": filters }));
            let found = kept.0.traces(&owner, question).await.unwrap();
            assert_eq!(found.data.len(), usize::from(is_kept), "{id}");
            assert_eq!(kept.0.trace(&owner, id).is_ok(), is_kept, "{id}");
            let question = read(json!({ "trace_id": id, "span_id": id }));
            assert_eq!(kept.0.span(&owner, question).await.is_ok(), is_kept, "{id}");
            let tree = kept.0.tree(&owner, read(json!({ "span_id": id }))).await;
            assert_eq!(tree.is_ok(), is_kept, "{id}");
        }
    }
}

#[tokio::test]
async fn a_trace_that_was_removed_and_begins_anew_has_none_of_its_former_spans() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "sqlite_db_path": folder.path().join("t.db"), "max_traces": 2 });
    let me = caller("me");
    let (kept, mut writer) = Kept::idle(&settings);
    together(&kept, &mut writer, &me, &[["a", "former"], ["b", "b"], ["c", "c"]]).await;
    together(&kept, &mut writer, &me, &[["a", "later"]]).await;
    for _ in 0..2 {
        let before = seen(&kept, &me).await;
        assert_eq!(field(before[2]["data"].as_array().unwrap(), "span_id"), ["later", "c"]);
        let former = kept.0.tree(&me.owner(), read(json!({ "span_id": "former" }))).await;
        assert!(former.is_err());
        writer.restore().await;
        assert_eq!(seen(&kept, &me).await, before);
    }
}

#[tokio::test]
async fn traces_of_two_callers_with_the_same_ids_stay_apart_in_a_batch_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "sqlite_db_path": folder.path().join("t.db") });
    let callers = [caller("me"), caller("you"), Context::default()];
    let (kept, mut writer) = Kept::idle(&settings);
    for whose in 0..3 {
        for cx in &callers[..=whose] {
            let id = format!("{whose}");
            kept.report(cx, ["t", &id], None, json!({ "session_id": id })).await;
        }
    }
    writer.write_waiting().await;
    assert_eq!(writer.index.lock().counts(), (3, 6, 3));
    for _ in 0..2 {
        for (index, cx) in callers.iter().enumerate() {
            for id in 0..3 {
                let sees = id >= index;
                let filters = json!([{ "key": "session_id", "op": "eq", "value": id.to_string() }]);
                let question = json!({ "attribute_filters": filters });
                let found = kept.0.traces(&cx.owner(), read(question)).await.unwrap();
                assert_eq!(found.data.len(), usize::from(sees), "{index} {id}");
                let span = json!({ "trace_id": "t", "span_id": id.to_string() });
                assert_eq!(kept.0.span(&cx.owner(), read(span)).await.is_ok(), sees);
            }
        }
        writer.restore().await;
    }
}

#[tokio::test]
async fn a_span_is_found_in_whichever_block_it_is() {
    let (kept, mut writer) = Kept::idle(&json!({}));
    let me = caller("me");
    kept.report(&me, ["t", "0"], None, json!({})).await;
    for id in 1..20 {
        writer.write_waiting().await;
        let (own, parent) = (id.to_string(), (id - 1).to_string());
        kept.report(&me, ["t", &own], Some(&parent), json!({})).await;
        kept.report(&me, [&format!("other {own}"), &own], None, json!({})).await;
    }
    writer.write_waiting().await;
    assert_eq!(writer.index.lock().counts(), (20, 39, 20));
    for id in 0..20 {
        let question = json!({ "trace_id": "t", "span_id": id.to_string() });
        let span = kept.0.span(&me.owner(), read(question)).await.unwrap();
        assert_eq!((span.span_id, span.trace_id), (id.to_string(), "t".to_owned()));
    }
    let tree = kept.0.tree(&me.owner(), read(json!({ "span_id": "0" }))).await.unwrap();
    let ids: Vec<String> = tree.data.keys().cloned().collect();
    assert_eq!(ids, (0..20).map(|id| id.to_string()).collect::<Vec<_>>());
}

/// A row that is no block.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Junk(String);

impl Record for Junk {
    const TABLE: &'static Table = StoredBlock::TABLE;

    fn id(&self) -> &str {
        &self.0
    }

    fn cells(&self) -> Vec<Cell> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_damaged_block_hides_nothing_but_itself() {
    let (kept, mut writer) = Kept::idle(&json!({}));
    let me = caller("me");
    for id in ["1", "2", "3"] {
        together(&kept, &mut writer, &me, &[[id, id]]).await;
    }
    let query = Database::query::<StoredBlock>(Scope::Upkeep);
    let second = writer.database.each(query).await.unwrap()[1].0.clone();
    let batch = Batch::default()
        .clear::<StoredBlock>(Scope::Upkeep, vec![Condition::is("id", second.as_str())])
        .insert(&me.owner(), &Junk(second))
        .insert(&me.owner(), &Junk("not even an id".to_owned()));
    writer.database.apply(batch).await.unwrap();
    let traces = [["3", "2", "1"].as_slice(), &["3", "1"]];
    for traces in traces {
        let found = seen(&kept, &me).await;
        assert_eq!(field(found[0]["data"].as_array().unwrap(), "trace_id"), traces);
        assert_eq!(field(found[2]["data"].as_array().unwrap(), "trace_id"), ["3", "1"]);
        writer.restore().await;
    }
    writer.sweep(now()).await;
    assert_eq!(rows(&writer).await, 4);
}

#[tokio::test]
async fn a_trace_that_goes_on_for_long_keeps_no_spans_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "sqlite_db_path": folder.path().join("t.db"), "max_traces": 8 });
    let (kept, mut writer) = Kept::idle(&settings);
    let me = caller("me");
    for round in 0..10 {
        let round = round.to_string();
        let others: Vec<String> = (0..7).map(|other| format!("{round} {other}")).collect();
        let mut ids: Vec<[&str; 2]> = others.iter().map(|id| [id.as_str(), "1"]).collect();
        ids.push(["goes on", &round]);
        together(&kept, &mut writer, &me, &ids).await;
    }
    let before = seen(&kept, &me).await;
    let held = async |writer: &Writer| -> Vec<usize> {
        let query = Database::query::<StoredBlock>(Scope::Upkeep);
        let rows = writer.database.list(query).await.unwrap().records.into_iter();
        rows.map(|held| held.record.parts.iter().map(|part| part.spans.len()).sum()).collect()
    };
    assert_eq!(held(&writer).await, [8; 10]);
    writer.sweep(now()).await;
    assert_eq!(held(&writer).await, [8, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert!(writer.index.lock().sparse().is_empty());
    assert_eq!(seen(&kept, &me).await, before);
    writer.restore().await;
    assert_eq!(seen(&kept, &me).await, before);
}

#[tokio::test]
async fn blocks_are_bounded_and_so_are_the_spans_of_a_trace() {
    let (kept, mut writer) = Kept::idle(&json!({}));
    let owner = Arc::new(caller("me").owner());
    let span = |number: u64, text: &str| EndedSpan {
        owner: Arc::clone(&owner),
        trace: NonZeroU128::MIN,
        span: NonZeroU64::new(number).unwrap(),
        parent: None,
        is_root: false,
        name: "work".into(),
        start: SystemTime::now(),
        end: SystemTime::now(),
        status: SpanStatus::Ok,
        attributes: vec![("text", text.to_owned().into())],
    };
    // A span that is larger than a block has one for itself.
    for (number, size) in [(1, 100_000), (2, 50_000), (3, 10_000), (4, 10_000), (5, 10)] {
        kept.0.keep(span(number, &"x".repeat(size)));
    }
    writer.write_waiting().await;
    assert_eq!(rows(&writer).await, 3);
    let most = u64::try_from(MOST).unwrap();
    for number in 6..=most + 7 {
        kept.0.keep(span(number, "x"));
        if number.is_multiple_of(5000) {
            writer.write_waiting().await;
        }
    }
    writer.write_waiting().await;
    assert_eq!(kept.0.health().message.as_deref(), Some("7 spans are lost since the start"));
    let blocks = (4995_usize.div_ceil(SPANS) + 5000_usize.div_ceil(SPANS)) + 3;
    assert_eq!(writer.index.lock().counts(), (1, MOST, blocks));
    let spans = kept.0.spans(&owner, read(everything())).await.unwrap().data;
    let ids: Vec<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    assert_eq!(ids.len(), MOST);
    let last = json!({ "trace_id": spans[0].trace_id, "span_id": format!("{most:016x}") });
    assert!(kept.0.span(&owner, read(last)).await.is_ok());
    let beyond = json!({ "trace_id": spans[0].trace_id, "span_id": format!("{:016x}", most + 1) });
    assert!(kept.0.span(&owner, read(beyond)).await.is_err());
}

#[test]
fn a_block_is_named_by_a_number() {
    let id = BlockId::read("00000000000000050000000000000007").unwrap();
    assert_eq!(id.written(), 5);
    assert_eq!(id.text(), "00000000000000050000000000000007");
    assert!(BlockId::read("not even an id").is_none());
}
