use super::TavilySearch;
use crate::search::tests::{KEY, asked};
use chaski_testkit::Answer;
use serde_json::{Value, json};

#[tokio::test]
async fn the_query_and_the_key_are_sent_and_the_first_results_come_back() {
    let result = |n: u32| json!({ "title": n, "url": "http://a", "content": "é", "score": 0.5 });
    let results: Vec<Value> = (0..5).map(result).collect();
    let answer = json!({ "query": "who?", "answer": null, "images": [], "results": results });
    let (said, seen) = asked::<TavilySearch>(json!({}), "who?", Answer::json(answer)).await;
    assert_eq!((seen.method.as_str(), &*seen.path), ("POST", "/at"));
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.json(), json!({ "api_key": KEY, "query": "who?" }));
    let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
    assert_eq!(said, json!({ "query": "who?", "top_k": results[..3] }));
}

#[tokio::test]
async fn nothing_found_is_an_empty_list() {
    let answer = Answer::json(json!({ "query": "x", "results": [] }));
    let (said, _) = asked::<TavilySearch>(json!({ "max_results": 1 }), "x", answer).await;
    assert_eq!(said.unwrap(), r#"{"query":"x","top_k":[]}"#);
}
