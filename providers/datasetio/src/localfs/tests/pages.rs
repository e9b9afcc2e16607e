//! Parts of the rows.

use super::{Kept, numbered};
use serde_json::{Value, json};

#[tokio::test]
async fn rows_come_in_parts_that_say_where_the_next_one_begins() {
    let kept = Kept::new();
    let csv = "data:text/csv,n%0A0%0A1%0A2%0A3%0A4";
    let short = "data:csv;base64,bgowCjEKMgozCjQ=";
    for source in
        [json!({ "rows": numbered(0..5) }), json!({ "uri": csv }), json!({ "uri": short })]
    {
        let dataset = kept.register(source).await;
        let whole = numbered(0..5);
        assert_eq!(kept.part(&dataset, 0, None).await, json!([whole, null]));
        assert_eq!(kept.part(&dataset, 0, Some(2)).await, json!([numbered(0..2), 2]));
        assert_eq!(kept.part(&dataset, 2, Some(2)).await, json!([numbered(2..4), 4]));
        assert_eq!(kept.part(&dataset, 4, Some(2)).await, json!([numbered(4..5), null]));
        assert_eq!(kept.part(&dataset, 3, Some(2)).await, json!([numbered(3..5), null]));
        assert_eq!(kept.part(&dataset, 2, Some(0)).await, json!([[], 2]));
        assert_eq!(kept.part(&dataset, 5, Some(0)).await, json!([[], null]));
        assert_eq!(kept.part(&dataset, 99, None).await, json!([[], null]));
    }
}

#[tokio::test]
async fn appended_rows_follow_those_of_the_source() {
    let kept = Kept::new();
    let dataset = kept.register(json!({ "rows": numbered(0..2) })).await;
    kept.append(&dataset, &numbered(2..4)).await.unwrap();
    kept.append(&dataset, &numbered(4..5)).await.unwrap();
    assert_eq!(kept.part(&dataset, 0, None).await, json!([numbered(0..5), null]));
    assert_eq!(kept.part(&dataset, 0, Some(2)).await, json!([numbered(0..2), 2]));
    assert_eq!(kept.part(&dataset, 1, Some(2)).await, json!([numbered(1..3), 3]));
    assert_eq!(kept.part(&dataset, 3, Some(1)).await, json!([numbered(3..4), 4]));
    assert_eq!(kept.part(&dataset, 4, Some(9)).await, json!([numbered(4..5), null]));
    assert_eq!(kept.part(&dataset, 5, None).await, json!([[], null]));
}

#[tokio::test]
async fn an_answer_has_a_bounded_number_of_rows_and_bytes() {
    let kept = Kept::new();
    let many: Vec<Value> = vec![json!({}); 100_001];
    let dataset = kept.register(json!({ "rows": many })).await;
    let part = kept.part(&dataset, 0, None).await;
    assert_eq!((part[0].as_array().unwrap().len(), &part[1]), (100_000, &json!(100_000)));
    assert_eq!(kept.part(&dataset, 100_000, None).await, json!([[{}], null]));
    kept.append(&dataset, &numbered(0..3)).await.unwrap();
    for (bytes, rows) in [(1, 1), (8, 1), (14, 2), (15, 2), (1000, 3)] {
        let found = kept.0.appendix.rows("d", 0, 9, bytes).await.unwrap();
        assert_eq!((found.rows.len(), found.has_more), (rows, rows < 3), "{bytes} bytes");
    }
}

#[tokio::test]
async fn every_way_of_paging_gives_every_row_once() {
    let kept = Kept::new();
    let dataset = kept.register(json!({ "rows": numbered(0..7) })).await;
    kept.append(&dataset, &numbered(7..1201)).await.unwrap();
    for limit in [1, 3, 7, 600, 1201, 5000] {
        let (mut seen, mut start) = (Vec::new(), 0);
        loop {
            let part = kept.part(&dataset, start, Some(limit)).await;
            seen.extend(part[0].as_array().unwrap().clone());
            let Some(next) = part[1].as_u64() else { break };
            start = usize::try_from(next).unwrap();
        }
        assert_eq!(Value::from(seen), numbered(0..1201), "{limit} at once");
    }
}
