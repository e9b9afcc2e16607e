//! Promises about chunks.

use super::{Store, all, chunk, cx, filter, fresh, nearest, three};
use chaski_api::{Wire, inference::InterleavedContent};
use chaski_provider::{EmbeddedChunk, Selection, Timestamp};
use serde_json::json;
use std::{collections::HashSet, time::Duration};

pub(super) async fn whole(store: Store) {
    let db = fresh(&store).await;
    let metadata = json!({
        "document_id": "d",
        "text": "\u{4e16}\u{754c} \"quoted\" \\ 'single' \u{1f389}\n",
        "whole": 9_007_199_254_740_993_i64,
        "part": 0.1,
        "truth": true,
        "nothing": null,
        "list": [1, "x", { "y": [] }],
        "object": { "a.b": { "$c": 1 } },
        "": "empty key",
    });
    let mut one = chunk("id with / and \u{e9}", "text", metadata, [0.0, 1.0, 0.0]);
    one.chunk.content = InterleavedContent::from_json(json!([
        { "type": "text", "text": "two" }, { "type": "text", "text": "items \u{1f389}" },
    ]))
    .expect("content");
    let bare = chunk("bare", "", json!({}), [0.0, 1.0, 0.0]);
    store.insert(&cx(), &db, vec![one.clone(), bare.clone()]).await.expect("an insert");
    let mut found = store.query(&cx(), &db, &nearest([0.0, 1.0, 0.0], 5)).await.expect("a query");
    found.sort_by(|one, other| other.chunk.id.cmp(&one.chunk.id));
    let found: Vec<_> = found.into_iter().map(|found| found.chunk).collect();
    assert_eq!(found, [one.chunk, bare.chunk]);
}

pub(super) async fn replaced(store: Store) {
    let db = fresh(&store).await;
    store.insert(&cx(), &db, three()).await.expect("an insert");
    let other = chunk("a", "other text", json!({ "document_id": "x" }), [0.0, 1.0, 0.0]);
    store.insert(&cx(), &db, vec![other.clone()]).await.expect("another insert");
    assert_eq!(all(&store, &db).await, ["a", "b", "c"]);
    let found = store.query(&cx(), &db, &nearest([0.0, 1.0, 0.0], 1)).await.expect("a query");
    assert_eq!(found[0].chunk, other.chunk);
    // What was said before is forgotten.
    let mut old = nearest([1.0, 0.0, 0.0], 5);
    old.filter = Some(filter(json!({ "type": "eq", "key": "n", "value": 1 })));
    assert_eq!(store.query(&cx(), &db, &old).await.expect("a query"), []);
}

pub(super) async fn many(store: Store) {
    let db = fresh(&store).await;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let one = |number: usize| {
        let angle = number as f32 / 1000.0;
        let metadata = json!({ "document_id": "d", "n": number });
        chunk(&format!("{number:04}"), "text", metadata, [angle.cos(), angle.sin(), 0.0])
    };
    store.insert(&cx(), &db, (0..700).map(one).collect()).await.expect("an insert");
    assert_eq!(all(&store, &db).await.len(), 700);
    let found = store.query(&cx(), &db, &nearest([1.0, 0.0, 0.0], 300)).await.expect("a query");
    assert_eq!(found.len(), 300);
    assert!(found.is_sorted_by(|one, other| one.score >= other.score));
    assert_eq!(found[0].chunk.id, "0000");
}

pub(super) async fn removed(store: Store) {
    let db = fresh(&store).await;
    store.insert(&cx(), &db, three()).await.expect("an insert");
    let ids = |ids: &[&str]| Selection::Ids(ids.iter().map(|id| (*id).to_owned()).collect());
    let nothing = filter(json!({ "type": "or", "filters": [] }));
    for none in [ids(&[]), ids(&["zzz"]), Selection::document("zzz"), Selection::Where(nothing)] {
        store.delete(&cx(), &db, &none).await.unwrap_or_else(|error| {
            panic!("{none:?}: {}", error.chain());
        });
    }
    assert_eq!(all(&store, &db).await, ["a", "b", "c"]);
    store.delete(&cx(), &db, &Selection::document("one")).await.expect("a document is removed");
    assert_eq!(all(&store, &db).await, ["c"]);
    store.insert(&cx(), &db, three()).await.expect("an insert");
    store.delete(&cx(), &db, &ids(&["a", "c", "zzz"])).await.expect("chunks are removed");
    assert_eq!(all(&store, &db).await, ["b"]);
    let found = store.query(&cx(), &db, &nearest([1.0, 0.0, 0.0], 5)).await.expect("a query");
    assert_eq!(super::ids(&found), ["b"]);
    let rest = filter(json!({ "type": "gte", "key": "n", "value": 2 }));
    store.delete(&cx(), &db, &Selection::Where(rest)).await.expect("chunks are removed");
    assert!(all(&store, &db).await.is_empty());
}

pub(super) async fn expired(store: Store) {
    let db = fresh(&store).await;
    let mut chunks = three();
    chunks[0].chunk.expires_at = Some(Timestamp(1000));
    chunks[1].chunk.expires_at = Some(Timestamp::now().after(Duration::from_hours(1)));
    store.insert(&cx(), &db, chunks.clone()).await.expect("an insert");
    assert_eq!(all(&store, &db).await, ["b", "c"]);
    let found = store.query(&cx(), &db, &nearest([1.0, 0.0, 0.0], 2)).await.expect("a query");
    assert_eq!(super::ids(&found), ["b", "c"]);
    // The lifetime is kept, so that a chunk can be inserted again as it is.
    let page = store.list(&cx(), &db, None, None, 9).await.expect("chunks are listed");
    let listed = page.chunks.iter().find(|one| one.chunk.id == "b").expect("it is listed");
    assert_eq!(listed.chunk.expires_at, chunks[1].chunk.expires_at);
    // A chunk that is inserted without a lifetime stays.
    store.insert(&cx(), &db, three()).await.expect("another insert");
    assert_eq!(all(&store, &db).await, ["a", "b", "c"]);
}

pub(super) async fn listed(store: Store) {
    let db = fresh(&store).await;
    let one = |number: usize| {
        let metadata = json!({ "document_id": if number < 4 { "one" } else { "two" } });
        chunk(&format!("{number}"), "text", metadata, [3.0, 4.0, 0.0])
    };
    store.insert(&cx(), &db, (0..7).map(one).collect()).await.expect("an insert");
    let one_only = filter(json!({ "type": "eq", "key": "document_id", "value": "one" }));
    for (filter, count) in [(None, 7), (Some(&one_only), 4)] {
        let (mut after, mut seen) = (None, Vec::<EmbeddedChunk>::new());
        loop {
            let page = store.list(&cx(), &db, filter, after.as_deref(), 3).await.expect("a page");
            assert!(page.chunks.len() <= 3);
            seen.extend(page.chunks);
            assert!(seen.len() < 20, "pages without end");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let ids: HashSet<&str> = seen.iter().map(|one| one.chunk.id.as_str()).collect();
        assert_eq!((ids.len(), seen.len()), (count, count));
        for one in &seen {
            // Stores may bring vectors to length 1.
            let length = one.vector.iter().map(|number| number * number).sum::<f32>().sqrt();
            let direction: Vec<f32> = one.vector.iter().map(|number| number / length).collect();
            let wanted = [0.6, 0.8, 0.0];
            let close = direction.iter().zip(wanted).all(|(one, other)| (one - other).abs() < 1e-3);
            assert!(close && direction.len() == 3, "{direction:?}");
        }
    }
}
