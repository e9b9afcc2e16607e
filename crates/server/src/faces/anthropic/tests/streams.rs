//! Streams in Anthropic's form.

use super::answers::{answered, completion, wanted};
use crate::faces::{
    anthropic::{
        count::Answered, events::Translation, request::Wanted, segments::Out, upstream::Said,
    },
    tokens,
};
use chaski_api::{Result, openai::ChatChunk};
use chaski_provider::Payload;
use futures_util::FutureExt;
use serde_json::{Value, json};

/// The events of these deltas, each in a chunk of its own, in short.
fn events_of(wanted: Wanted, deltas: &[Value]) -> Result<Vec<Value>> {
    let mut translation = Translation::new(wanted, 42);
    let mut out = Out::new();
    for delta in deltas {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": delta["finish"] });
        let mut chunk = json!({ "id": "chatcmpl-1", "choices": [choice], "usage": delta["usage"] });
        if delta["usage"].is_object() {
            chunk["choices"] = json!([]);
        }
        translation.chunk(Payload::Raw(chunk.to_string().into()), &mut out)?;
    }
    translation.end(&mut out).now_or_never().expect("short texts are counted at once")?;
    Ok(out.into_iter().map(|event| serde_json::to_value(event).unwrap()).collect())
}

/// An event in a few characters.
fn short(event: &Value) -> String {
    let index = &event["index"];
    match event["type"].as_str().unwrap() {
        "message_start" => "start".to_owned(),
        "content_block_start" => {
            let block = &event["content_block"];
            match block["type"].as_str().unwrap() {
                "tool_use" => format!("{index}[{}", block["name"].as_str().unwrap()),
                kind => format!("{index}[{kind}"),
            }
        }
        "content_block_delta" => {
            let delta = &event["delta"];
            let texts = ["text", "thinking", "partial_json", "signature"];
            let piece = texts.iter().find_map(|key| delta[key].as_str()).unwrap();
            format!("{index}:{piece}")
        }
        "content_block_stop" => format!("{index}]"),
        "message_delta" => format!("end {}", event["delta"]["stop_reason"].as_str().unwrap()),
        other => other.to_owned(),
    }
}

fn shorts(deltas: &[Value]) -> Vec<String> {
    events_of(wanted(), deltas).unwrap().iter().map(short).collect()
}

fn call(index: i64, id: &str, name: &str, arguments: &str) -> Value {
    let function = json!({ "name": name, "arguments": arguments });
    json!({ "tool_calls": [{ "index": index, "id": id, "function": function }] })
}

#[test]
fn a_stream_has_the_order_of_anthropics() {
    assert_eq!(
        shorts(&[
            json!({ "role": "assistant", "content": "" }),
            json!({ "reasoning_content": "h" }),
            json!({ "reasoning_content": "m" }),
            json!({ "content": "a" }),
            json!({ "content": "b" }),
            call(0, "c1", "f", ""),
            call(0, "", "", "{\"x\":"),
            call(0, "", "", "1}"),
            call(1, "c2", "g", "{}"),
            json!({ "finish": "tool_calls" }),
            json!({ "usage": { "prompt_tokens": 7, "completion_tokens": 3 } }),
        ]),
        [
            "start",
            "0[thinking",
            "ping",
            "0:h",
            "0:m",
            "0]",
            "1[text",
            "1:a",
            "1:b",
            "1]",
            "2[f",
            "2:{\"x\":",
            "2:1}",
            "2]",
            "3[g",
            "3:{}",
            "3]",
            "end tool_use",
            "message_stop",
        ]
    );
}

#[test]
fn what_upstreams_write_in_their_own_way_is_understood_in_a_stream() {
    let part = |text: &str| json!({ "type": "text", "text": text });
    let thinking = |text: &str| json!({ "type": "thinking", "thinking": [part(text)] });
    let whole =
        json!({ "index": 0, "id": "c", "function": { "name": "f", "arguments": { "a": 1 } } });
    let end = [
        json!({ "content": "b", "tool_calls": [whole] }),
        json!({ "usage": { "prompt_tokens": null, "completion_tokens": null } }),
    ];
    for begin in [
        [json!({ "content": [thinking("h")] }), json!({ "content": [thinking("m"), part("a")] })],
        [json!({ "reasoning": "h" }), json!({ "reasoning": "m", "content": "a" })],
        [
            json!({ "reasoning": "h", "reasoning_content": "h" }),
            json!({ "reasoning": "m", "reasoning_content": "m", "content": [part("a")] }),
        ],
    ] {
        let deltas = [&begin[..], &end[..]].concat();
        assert_eq!(
            shorts(&deltas),
            [
                "start",
                "0[thinking",
                "ping",
                "0:h",
                "0:m",
                "0]",
                "1[text",
                "1:a",
                "1:b",
                "1]",
                "2[f",
                "2:{\"a\":1}",
                "2]",
                "end tool_use",
                "message_stop",
            ],
            "{begin:?}"
        );
    }
}

#[test]
fn thoughts_that_a_model_wants_back_are_signed_at_their_end() {
    let signed = |thinking: &str, signature: &str| {
        let block = json!({ "type": "thinking", "thinking": thinking, "signature": signature });
        json!({ "thinking_blocks": [block] })
    };
    let deltas = [
        json!({ "reasoning_content": "h" }),
        json!({ "reasoning_content": "m" }),
        signed("hm", "s1"),
        json!({ "thinking_blocks": [{ "type": "redacted_thinking", "data": "x" }] }),
        signed("silent", "s2"),
        json!({ "content": "a" }),
    ];
    let expected = [
        "start",
        "0[thinking",
        "ping",
        "0:h",
        "0:m",
        "0:s1",
        "0]",
        "1[redacted_thinking",
        "1]",
        "2[thinking",
        "2:silent",
        "2:s2",
        "2]",
        "3[text",
        "3:a",
        "3]",
    ];
    let found = shorts(&deltas);
    assert_eq!(found[..expected.len()], expected);
    let events = events_of(wanted(), &deltas).unwrap();
    let encrypted = events.iter().find(|event| event["content_block"]["data"] == "x");
    assert!(encrypted.is_some(), "{events:?}");
    let unasked = Wanted { thinking: false, signed: false, ..wanted() };
    let events = events_of(unasked, &deltas).unwrap();
    assert_eq!(short(&events[1]), "0[text");
}

#[test]
fn a_message_beside_the_delta_hides_nothing() {
    let thoughts = json!([{ "type": "redacted_thinking", "data": "x" }]);
    for message in [Value::Null, json!({}), json!({ "thinking_blocks": thoughts })] {
        let delta = json!({ "content": "a", "thinking_blocks": thoughts });
        let choice =
            json!({ "index": 0, "message": message, "delta": delta, "stop_reason": "END" });
        let chunk = json!({ "id": "1", "choices": [choice] }).to_string();
        let more = Said::<ChatChunk>::read(Payload::Raw(chunk.into())).unwrap().more;
        assert_eq!(more.stop.as_deref(), Some("END"), "{message}");
        assert_eq!(serde_json::to_value(&more.thoughts).unwrap(), thoughts, "{message}");
    }
}

#[test]
fn a_stream_begins_and_ends_with_counts() {
    let usage = json!({ "usage": {
        "prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": { "cached_tokens": 4 },
    } });
    let text = json!({ "content": "a" });
    let events = events_of(wanted(), &[text, json!({ "finish": "stop" }), usage]).unwrap();
    assert_eq!(
        events[0]["message"],
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": null, "stop_sequence": null,
            "usage": {
                "input_tokens": 42, "cache_creation_input_tokens": null,
                "cache_read_input_tokens": null, "output_tokens": 0,
            },
        })
    );
    let end = |events: &[Value]| {
        let usage = &events[events.len() - 2]["usage"];
        ["input_tokens", "cache_read_input_tokens", "output_tokens"].map(|key| usage[key].clone())
    };
    assert_eq!(end(&events), [json!(3), json!(4), json!(3)]);
    let words = ["one", " two"].map(|word| json!({ "content": word }));
    let without = events_of(wanted(), &words).unwrap();
    assert_eq!(end(&without), [json!(42), Value::Null, json!(2)]);
}

#[test]
fn a_stream_begins_with_the_count_of_an_upstream_that_counts_from_the_first_chunk() {
    let counts = |prompt: i64, cached: i64| {
        json!({ "usage": {
            "prompt_tokens": prompt, "completion_tokens": 1,
            "prompt_tokens_details": { "cached_tokens": cached },
        } })
    };
    let start = |first: Value| {
        let deltas = [first, json!({ "content": "a" }), json!({ "finish": "stop" })];
        let usage = events_of(wanted(), &deltas).unwrap()[0]["message"]["usage"].clone();
        ["input_tokens", "cache_read_input_tokens", "output_tokens"].map(|key| usage[key].clone())
    };
    assert_eq!(start(counts(7, 4)), [json!(3), json!(4), json!(0)]);
    let nothing = json!({ "usage": { "prompt_tokens": 0, "completion_tokens": 0 } });
    assert_eq!(start(nothing), [json!(42), Value::Null, json!(0)]);
}

#[tokio::test]
async fn what_the_upstream_does_not_count_is_estimated_alike_in_every_form() {
    let arguments = "{\"place\": \"Montevideo\"}";
    let function = json!({ "name": "weather", "arguments": arguments });
    let mut whole = completion(
        json!({
            "reasoning_content": "They ask for the weather.", "content": "Let me see.",
            "tool_calls": [{ "id": "c", "function": function }],
        }),
        "tool_calls",
    );
    whole["usage"] = Value::Null;
    let plain = answered(&whole, &wanted()).await.unwrap()["usage"].clone();
    let deltas = [
        json!({ "reasoning_content": "They ask for" }),
        json!({ "reasoning_content": " the weather.", "content": "Let me" }),
        json!({ "content": " see." }),
        call(0, "c", "weather", ""),
        call(0, "", "", &arguments[..9]),
        call(0, "", "", &arguments[9..]),
    ];
    let events = events_of(wanted(), &deltas).unwrap();
    let streamed = &events[events.len() - 2]["usage"];
    assert_eq!(streamed, &plain);
    assert_eq!(
        plain["output_tokens"],
        tokens::of_text("They ask for the weather.Let me see.weather{\"place\": \"Montevideo\"}",)
    );
}

#[tokio::test]
async fn what_is_not_kept_of_a_very_long_answer_counts_like_the_rest() {
    let (mut short, mut long) = (Answered::default(), Answered::default());
    let piece = "hello ".repeat(1000);
    short.add(&piece);
    for _ in 0..400 {
        long.add(&piece);
    }
    let (short, long) = (short.tokens().await, long.tokens().await);
    assert!(long.abs_diff(short * 400) < 1000, "{long} for 400 times {short}");
}

#[test]
fn thoughts_that_nobody_wants_are_left_out() {
    let silent = Wanted { thinking: false, ..wanted() };
    let deltas = [json!({ "reasoning_content": "h" }), json!({ "content": "a" })];
    let events: Vec<String> = events_of(silent, &deltas).unwrap().iter().map(short).collect();
    assert_eq!(events, ["start", "0[text", "ping", "0:a", "0]", "end end_turn", "message_stop"]);
}

#[test]
fn a_stream_of_nothing_is_a_message_all_the_same() {
    assert_eq!(shorts(&[]), ["start", "end end_turn", "message_stop"]);
    let cut = [json!({ "content": "a", "finish": "length" })];
    assert_eq!(
        shorts(&cut),
        ["start", "0[text", "ping", "0:a", "0]", "end max_tokens", "message_stop"]
    );
}

#[test]
fn arguments_may_be_cut_anywhere() {
    let arguments = r#"{"a": "}é\"]", "b": [{}]}"#;
    for at in (0..=arguments.len()).filter(|at| arguments.is_char_boundary(*at)) {
        let (left, right) = arguments.split_at(at);
        let deltas = [call(0, "c", "f", left), call(0, "", "", right), call(1, "d", "g", "{}")];
        let events = events_of(wanted(), &deltas).unwrap();
        let first: String = events
            .iter()
            .filter(|event| event["index"] == 0)
            .filter_map(|event| event["delta"]["partial_json"].as_str())
            .collect();
        assert_eq!(first, arguments, "cut at {at}");
        assert_eq!(short(&events[events.len() - 3]), "1]");
    }
}

#[test]
fn calls_that_are_mixed_come_one_after_another() {
    let deltas = [
        call(0, "c", "f", "{\"a\":"),
        call(1, "d", "g", "{\"b\""),
        json!({ "content": "text" }),
        call(0, "", "", "1}"),
        call(1, "", "", ":2}"),
        json!({ "content": " more" }),
    ];
    assert_eq!(
        shorts(&deltas),
        [
            "start",
            "0[f",
            "ping",
            "0:{\"a\":",
            "0:1}",
            "0]",
            "1[g",
            "1:{\"b\"",
            "1::2}",
            "1]",
            "2[text",
            "2:text",
            "2: more",
            "2]",
            "end tool_use",
            "message_stop",
        ]
    );
}

#[test]
fn calls_without_indexes_arguments_or_ids_are_told_apart() {
    let whole = |name: &str| json!({ "tool_calls": [{ "function": { "name": name } }] });
    let deltas = [whole("f"), whole("g")];
    let events = events_of(wanted(), &deltas).unwrap();
    assert_eq!(
        events.iter().map(short).collect::<Vec<_>>(),
        ["start", "0[f", "ping", "0]", "1[g", "1]", "end tool_use", "message_stop"]
    );
    let ids: Vec<_> =
        events.iter().filter_map(|event| event["content_block"]["id"].as_str()).collect();
    assert!(ids.iter().all(|id| id.starts_with("toolu_")) && ids[0] != ids[1], "{ids:?}");
    // Two calls with the same index, as some upstreams send them.
    let same = [call(0, "c", "f", "{}"), call(0, "d", "g", "{}")];
    assert_eq!(shorts(&same)[1..7], ["0[f", "ping", "0:{}", "0]", "1[g", "1:{}"]);
}

#[test]
fn a_name_may_come_late_but_must_come() {
    let late = [call(0, "c", "", ""), call(0, "", "f", "{}")];
    assert_eq!(shorts(&late)[1..4], ["0[f", "ping", "0:{}"]);
    let error = events_of(wanted(), &[call(0, "c", "", "{}")]).unwrap_err();
    assert_eq!(error.message, "the upstream sent a tool call without a name");
}

#[test]
fn what_has_to_wait_is_bounded() {
    let mut translation = Translation::new(wanted(), 0);
    let mut out = Out::new();
    let mut send = |delta: Value| {
        let chunk = json!({ "choices": [{ "index": 0, "delta": delta }] });
        let outcome = translation.chunk(Payload::Raw(chunk.to_string().into()), &mut out);
        out.clear();
        outcome
    };
    send(call(0, "c", "f", "{")).unwrap();
    let piece = "x".repeat(1024 * 1024);
    let error = (0..20).find_map(|_| send(call(1, "d", "g", &piece)).err()).unwrap();
    assert!(error.message.contains("would have to wait"), "{}", error.message);
    // What is passed on at once has no bound.
    let mut translation = Translation::new(wanted(), 0);
    for _ in 0..20 {
        let chunk = json!({ "choices": [{ "index": 0, "delta": call(0, "c", "f", &piece) }] });
        translation.chunk(Payload::Raw(chunk.to_string().into()), &mut out).unwrap();
        out.clear();
    }
}

#[test]
fn only_the_first_answer_is_told() {
    let mut translation = Translation::new(wanted(), 0);
    let mut out = Out::new();
    let chunk = json!({ "choices": [
        { "index": 1, "delta": { "content": "b" } }, { "index": 0, "delta": { "content": "a" } },
    ] });
    translation.chunk(Payload::Raw(chunk.to_string().into()), &mut out).unwrap();
    let events: Vec<String> =
        out.iter().map(|event| short(&serde_json::to_value(event).unwrap())).collect();
    assert_eq!(events, ["start", "0[text", "ping", "0:a"]);
    let broken = Payload::Raw("{\"choices\": 5}".into());
    assert!(translation.chunk(broken, &mut out).is_err());
}
