//! Streams that are judged a window at a time.

use super::*;

#[tokio::test]
async fn a_stream_is_cut_off_at_the_window_that_a_shield_objects_to() {
    let world = world(json!({ "output": ["guard"], "stream_window": 10, "stream_context": 5 }));
    world.says(content("one two three four bad six seven eight nine"));
    let (events, error) = world.stream(ask("hi")).await;
    assert!(error.is_none());
    let told = ("one two three ".to_owned(), "no".to_owned(), json!(["content_filter"]));
    assert_eq!(heard(&events), told);
    let last = events.last().unwrap();
    assert_eq!((&last["id"], &last["model"]), (&json!("c"), &json!("theirs")));
    assert_eq!(world.judged(), ["\"one two three \"", "\"hree four bad six \""]);
    let left = Arc::clone(&world.model.left);
    eventually("the model is left", || left.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_word_that_two_windows_share_is_found() {
    let world = world(json!({ "output": ["guard"], "stream_window": 2, "stream_context": 4 }));
    world.says(["a b", "a", "d", " c"].map(|piece| json!({ "content": piece })).to_vec());
    let (events, _) = world.stream(ask("hi")).await;
    assert_eq!(heard(&events), ("a b".to_owned(), "no".to_owned(), json!(["content_filter"])));
}

#[tokio::test]
async fn a_stream_without_objection_comes_through_event_by_event() {
    let world = world(json!({ "output": ["guard"] }));
    world.says(content("one two three"));
    let usage = json!({ "id": "c", "choices": [], "usage": { "total_tokens": 3 } });
    world.model.events.lock().unwrap().push(Ok(usage.clone()));
    let (events, error) = world.stream(ask("hi")).await;
    assert!(error.is_none());
    assert_eq!(events.len(), 5);
    assert_eq!(heard(&events[..4]).0, "one two three");
    assert_eq!(events[4], usage);
}

#[tokio::test]
async fn calls_in_a_stream_wait_until_all_of_them_are_judged() {
    let world = world(json!({ "output": ["guard"], "stream_window": 1 }));
    let call = |index: i64, name: Value, arguments: &str| {
        let function = json!({ "name": name, "arguments": arguments });
        json!({ "tool_calls": [{ "index": index, "id": "c", "type": "function", "function": function }] })
    };
    world.says(vec![
        call(0, json!("first"), "{\"a\":1}"),
        call(1, json!("second"), "{\"a\":\"b"),
        call(1, Value::Null, "ad\"}"),
    ]);
    let (events, error) = world.stream(ask("hi")).await;
    assert!(error.is_none());
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(heard(&events), (String::new(), "no".to_owned(), json!(["content_filter"])));
}
