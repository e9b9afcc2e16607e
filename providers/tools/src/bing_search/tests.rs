use super::BingSearch;
use crate::search::tests::{KEY, asked};
use chaski_testkit::Answer;
use serde_json::json;

#[tokio::test]
async fn the_query_is_sent_with_the_key_and_pages_and_news_come_back() {
    let answer = Answer::json(json!({
        "queryContext": { "originalQuery": "a b" },
        "webPages": { "value": [
            { "id": "1", "name": "N", "url": "http://n", "snippet": "<b>S</b>", "language": "en" },
        ] },
        "news": { "value": [
            { "name": "M", "url": "http://m", "description": "D", "provider": [] },
        ] },
    }));
    let (said, seen) = asked::<BingSearch>(json!({ "top_k": 7 }), "a b", answer).await;
    assert_eq!(seen.method.as_str(), "GET");
    assert_eq!(seen.path, "/at?count=7&textDecorations=True&textFormat=HTML&q=a+b");
    assert_eq!(seen.header("ocp-apim-subscription-key"), KEY);
    assert_eq!(
        said.unwrap(),
        r#"{"query":"a b","top_k":[{"name":"N","url":"http://n","snippet":"<b>S</b>"},"#.to_owned()
            + r#"[{"name":"M","url":"http://m","description":"D"}]]}"#
    );
}

#[tokio::test]
async fn nothing_found_is_an_empty_list() {
    let answer = Answer::json(json!({ "queryContext": { "originalQuery": "x" } }));
    let (said, _) = asked::<BingSearch>(json!({}), "x", answer).await;
    assert_eq!(said.unwrap(), r#"{"query":"x","top_k":[]}"#);
}
