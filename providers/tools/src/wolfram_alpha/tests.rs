use super::WolframAlpha;
use crate::search::tests::{KEY, asked};
use chaski_api::ErrorKind;
use chaski_testkit::Answer;
use serde_json::json;

#[tokio::test]
async fn the_query_is_sent_and_the_answer_is_shown_up_to_its_result() {
    let pod = |title: &str| {
        json!({
            "title": title, "scanner": "S", "id": "I", "position": 100, "error": false,
            "numsubpods": 1, "subpods": [{ "title": "", "plaintext": "4" }], "states": [],
            "expressiontypes": {}, "infos": {}, "primary": true,
        })
    };
    let answer = Answer::json(json!({ "queryresult": {
        "success": true, "error": false, "numpods": 3, "datatypes": "", "timing": 0.5,
        "timedout": "", "timedoutpods": "", "parsetiming": 0.1, "parsetimedout": false,
        "recalculate": "", "id": "M", "host": "h", "server": "s", "related": "r",
        "version": "2.6", "assumptions": {}, "inputstring": "2+2",
        "pods": [pod("Input"), pod("Result"), pod("Number line")],
    } }));
    let (said, seen) = asked::<WolframAlpha>(json!({}), "2+2", answer).await;
    assert_eq!(seen.method.as_str(), "GET");
    assert_eq!(seen.path, format!("/at?input=2%2B2&appid={KEY}&format=plaintext&output=json"));
    let shown = |title: &str| {
        let subpods = r#"[{"title":"","plaintext":"4"}]"#;
        format!(r#"{{"title":"{title}","subpods":{subpods},"primary":true}}"#)
    };
    let pods = [shown("Input"), shown("Result")].join(",");
    let result = format!(r#"{{"success":true,"inputstring":"2+2","pods":[{pods}]}}"#);
    assert_eq!(said.unwrap(), format!(r#"{{"queryresult":{result}}}"#));
}

#[tokio::test]
async fn an_answer_without_pods_is_shown_as_it_is() {
    let answer = Answer::json(json!({ "queryresult": { "success": false, "error": false } }));
    let (said, _) = asked::<WolframAlpha>(json!({}), "?", answer).await;
    assert_eq!(said.unwrap(), r#"{"queryresult":{"success":false}}"#);
}

#[tokio::test]
async fn an_error_in_an_answer_is_an_error_of_the_service() {
    let error = json!({ "code": "1", "msg": format!("Invalid appid {KEY}") });
    let answer = Answer::json(json!({ "queryresult": { "success": false, "error": error } }));
    let (said, _) = asked::<WolframAlpha>(json!({}), "x", answer).await;
    let error = said.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: None });
    assert_eq!(error.message, "Wolfram Alpha answered: Invalid appid ********");
}
