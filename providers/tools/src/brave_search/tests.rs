use super::BraveSearch;
use crate::search::tests::{KEY, asked};
use chaski_testkit::Answer;
use serde_json::json;

#[tokio::test]
async fn the_query_is_sent_with_the_key_in_its_header() {
    let (_, seen) = asked::<BraveSearch>(json!({}), "a b&c=é", Answer::json(json!({}))).await;
    assert_eq!((seen.method.as_str(), &*seen.path), ("GET", "/at?q=a+b%26c%3D%C3%A9"));
    assert_eq!(seen.header("x-subscription-token"), KEY);
    assert_eq!(seen.header("accept"), "application/json");
}

#[tokio::test]
async fn results_are_shown_in_the_order_of_the_ranking_with_their_fields_only() {
    let answer = Answer::json(json!({
        "type": "search",
        "mixed": { "main": [
            { "type": "web", "index": 1, "all": false },
            { "type": "faq", "all": true },
            { "type": "discussions", "index": 0 },
            { "type": "infobox", "index": 0 },
            { "type": "web", "index": 0 },
            { "type": "news", "all": true },
        ] },
        "web": { "results": [
            { "title": "late" },
            { "title": "T", "url": "http://t", "language": "en", "description": "D" },
        ] },
        "faq": { "results": [
            { "question": "Q", "answer": "A", "meta": 1 }, { "question": "R" },
        ] },
        "infobox": { "results": [{ "title": "I", "long_desc": "L", "images": [] }] },
        "discussions": { "results": [{ "title": "none" }] },
        "news": { "results": [{ "title": "beyond the limit" }] },
    }));
    let (said, _) = asked::<BraveSearch>(json!({ "max_results": 5 }), "x", answer).await;
    let expected = [
        r#"{"title":"T","url":"http://t","description":"D"}"#,
        r#"[{"question":"Q","answer":"A"},{"question":"R"}]"#,
        r#"{"title":"I","long_desc":"L"}"#,
        r#"{"title":"late"}"#,
    ];
    assert_eq!(said.unwrap(), expected.join("\n"));
}

#[tokio::test]
async fn a_ranking_of_what_is_not_there_finds_nothing() {
    for answer in [
        json!({}),
        json!({ "mixed": { "main": [] } }),
        json!({ "mixed": { "main": [{ "type": "web", "index": 7 }, { "type": "news" }] },
                "web": { "results": [] } }),
    ] {
        let (said, _) = asked::<BraveSearch>(json!({}), "x", Answer::json(answer)).await;
        assert_eq!(said.unwrap(), "web_search tool found nothing.");
    }
}
