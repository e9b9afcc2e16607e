//! Promises about searches.

use super::{Store, by_words, chunk, cx, filter, fresh, ids, nearest, three};
use chaski_api::{ErrorKind, retrieval::SearchMode};
use chaski_provider::{Selection, VectorQuery};
use serde_json::{Value, json};

pub(super) async fn nearest_scores(
    store: &Store,
    db: &chaski_api::retrieval::VectorDb,
) -> Vec<f64> {
    let found = store.query(&cx(), db, &nearest([2.0, 0.0, 0.0], 5)).await.expect("a query");
    assert_eq!(ids(&found), ["a", "b", "c"]);
    found.iter().map(|found| found.score).collect()
}

pub(super) async fn nearest_first(store: Store) {
    let db = fresh(&store).await;
    store.insert(&cx(), &db, three()).await.expect("an insert");
    let scores = nearest_scores(&store, &db).await;
    let cosines = [1.0, 0.8, 0.0];
    let close = scores.iter().zip(cosines).all(|(one, other)| (one - other).abs() < 1e-3);
    assert!(close, "{scores:?}, not {cosines:?}");
    let mut query = nearest([2.0, 0.0, 0.0], 1);
    let found = store.query(&cx(), &db, &query).await.expect("a query");
    assert_eq!(ids(&found), ["a"]);
    query.max = 5;
    query.min_score = Some(0.5);
    let found = store.query(&cx(), &db, &query).await.expect("a query");
    assert_eq!(ids(&found), ["a", "b"]);
}

pub(super) async fn filtered(store: Store) {
    let db = fresh(&store).await;
    let metadata = [
        json!({ "n": 1, "t": "x", "b": true }),
        json!({ "n": 2.5, "t": "y", "b": false }),
        json!({ "n": -3, "t": "x y" }),
        json!({ "n": "1", "t": "\u{e9}" }),
        json!({ "n": true }),
        json!({ "dotted.key": "z", "with space": 4, "n": null }),
        json!({ "document_id": "d" }),
    ];
    let chunks = metadata.iter().enumerate();
    let chunks = chunks
        .map(|(index, facts)| chunk(&index.to_string(), "text", facts.clone(), [1.0, 1.0, 1.0]));
    store.insert(&cx(), &db, chunks.collect()).await.expect("an insert");

    let compare = |operator: &str, key: &str, value: Value| json!({ "type": operator, "key": key, "value": value });
    let join = |tag: &str, filters: &[Value]| json!({ "type": tag, "filters": filters });
    let one = compare("eq", "n", json!(1));
    let x = compare("eq", "t", json!("x"));
    let filters = [
        one.clone(),
        compare("eq", "n", json!(1.0)),
        compare("eq", "n", json!("1")),
        compare("eq", "n", json!(true)),
        compare("eq", "b", json!(false)),
        compare("eq", "t", json!("\u{e9}")),
        compare("eq", "t", json!("X")),
        compare("eq", "absent", json!(1)),
        compare("ne", "n", json!(1)),
        compare("ne", "t", json!("x")),
        compare("ne", "b", json!(true)),
        compare("ne", "absent", json!("x")),
        compare("gt", "n", json!(1)),
        compare("gte", "n", json!(1)),
        compare("lt", "n", json!(2.5)),
        compare("lte", "n", json!(2.5)),
        compare("lt", "absent", json!(2.5)),
        compare("in", "n", json!([1, 2.5, "1"])),
        compare("in", "t", json!(["x", "nope"])),
        compare("in", "b", json!([true])),
        compare("in", "t", json!([])),
        compare("nin", "n", json!([1, 2.5])),
        compare("nin", "t", json!(["x", "x y"])),
        compare("nin", "t", json!([])),
        compare("eq", "dotted.key", json!("z")),
        compare("gte", "with space", json!(4)),
        join("and", &[one.clone(), x.clone()]),
        join("and", &[one.clone(), compare("eq", "t", json!("y"))]),
        join("or", &[one.clone(), compare("eq", "t", json!("y"))]),
        join("and", &[]),
        join("or", &[]),
        join("or", &[join("and", &[one, x.clone()]), join("and", &[compare("lt", "n", json!(0))])]),
        join(
            "and",
            &[join("or", &[x, compare("eq", "b", json!(false))]), compare("gt", "n", json!(1))],
        ),
    ];
    for given in filters {
        let filter = filter(given.clone());
        let expected: Vec<String> = metadata
            .iter()
            .enumerate()
            .filter(|(_, facts)| filter.holds(facts.as_object().expect("an object")))
            .map(|(index, _)| index.to_string())
            .collect();
        let mut query = super::nearest([1.0, 1.0, 1.0], 20);
        query.filter = Some(filter.clone());
        let found = store.query(&cx(), &db, &query).await.unwrap_or_else(|error| {
            panic!("{given}: {}", error.chain());
        });
        let mut found: Vec<&str> = ids(&found);
        found.sort_unstable();
        assert_eq!(found, expected, "{given}");
    }
    // The order of texts is not something that every store knows.
    let mut query = super::nearest([1.0, 1.0, 1.0], 20);
    query.filter = Some(filter(compare("gt", "t", json!("x"))));
    match store.query(&cx(), &db, &query).await {
        Ok(found) => {
            let mut found = ids(&found);
            found.sort_unstable();
            assert_eq!(found, ["1", "2", "3"]);
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Unsupported);
            assert!(error.message.contains("`gt`"), "{}", error.message);
        }
    }
}

pub(super) async fn hostile(store: Store) {
    let db = fresh(&store).await;
    let texts = [
        "'; drop table chunks; --",
        "\" or \"\" = \"",
        "') or 1=1 --",
        "{\"$gt\": \"\"}",
        "%' or '%' = '",
        "\\",
        "$1 ${x} {{x}} `x`",
        "*:* AND NOT x",
        "NEAR(a b) OR \"",
    ];
    let chunks = texts
        .iter()
        .map(|text| chunk(text, text, json!({ "document_id": text, "t": text }), [1.0, 0.0, 0.0]));
    store.insert(&cx(), &db, chunks.collect()).await.expect("an insert");
    for text in texts {
        let equal = filter(json!({ "type": "eq", "key": "t", "value": text }));
        let mut query = super::nearest([1.0, 0.0, 0.0], 20);
        query.filter = Some(equal);
        let found = store.query(&cx(), &db, &query).await.unwrap_or_else(|error| {
            panic!("{text}: {}", error.chain());
        });
        assert_eq!(ids(&found), [text]);
        // A key that is not there, however it is called.
        query.filter = Some(filter(json!({ "type": "eq", "key": text, "value": text })));
        match store.query(&cx(), &db, &query).await {
            Ok(found) => assert_eq!(ids(&found), [""; 0], "{text}"),
            Err(error) => assert_eq!(error.kind, ErrorKind::Unsupported, "{text}"),
        }
        if store.modes().contains(&SearchMode::Keyword) {
            let found = store.query(&cx(), &db, &by_words(text, 20)).await;
            found.unwrap_or_else(|error| panic!("{text}: {}", error.chain()));
        }
    }
    for text in texts {
        let ids = Selection::Ids(vec![text.to_owned()]);
        store.delete(&cx(), &db, &ids).await.expect("a chunk is removed");
    }
    assert!(super::all(&store, &db).await.is_empty());
}

pub(super) async fn words(store: Store) {
    let db = fresh(&store).await;
    store.insert(&cx(), &db, three()).await.expect("an insert");
    let asked = store.query(&cx(), &db, &by_words("PLUM", 5)).await;
    if !store.modes().contains(&SearchMode::Keyword) {
        assert_eq!(asked.expect_err("a mode that it does not have").kind, ErrorKind::Unsupported);
        return;
    }
    let found = asked.expect("a query");
    assert_eq!(ids(&found), ["c"]);
    assert!(found[0].score > 0.0);
    let found = store.query(&cx(), &db, &by_words("green zebra apple green pear", 5)).await;
    assert_eq!(ids(&found.expect("a query")), ["b", "a"]);
    for nothing in ["zebra", "", "?!"] {
        let found = store.query(&cx(), &db, &by_words(nothing, 5)).await.expect("a query");
        assert_eq!(ids(&found), [""; 0], "{nothing}");
    }
    let document = filter(json!({ "type": "eq", "key": "document_id", "value": "two" }));
    let query = VectorQuery { filter: Some(document), ..by_words("apple plum", 5) };
    assert_eq!(ids(&store.query(&cx(), &db, &query).await.expect("a query")), ["c"]);
}

pub(super) async fn hybrid(store: Store) {
    let db = fresh(&store).await;
    store.insert(&cx(), &db, three()).await.expect("an insert");
    let mut query = super::nearest([1.0, 0.0, 0.0], 3);
    query.mode = SearchMode::Hybrid;
    query.text = "plum pear".to_owned();
    let asked = store.query(&cx(), &db, &query).await;
    if !store.modes().contains(&SearchMode::Hybrid) {
        assert_eq!(asked.expect_err("a mode that it does not have").kind, ErrorKind::Unsupported);
        return;
    }
    // Second by its vector and among the first by its words.
    let found = asked.expect("a query");
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].chunk.id, "b");
    assert!(found.is_sorted_by(|one, other| one.score >= other.score));
    query.max = 1;
    assert_eq!(ids(&store.query(&cx(), &db, &query).await.expect("a query")), ["b"]);
    query.filter = Some(filter(json!({ "type": "eq", "key": "document_id", "value": "two" })));
    assert_eq!(ids(&store.query(&cx(), &db, &query).await.expect("a query")), ["c"]);
}
