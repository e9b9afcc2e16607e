//! The reader gives the messages of Pydantic, all of them, with their paths.

use crate::{
    Described, Error, Schemas, Secret, Wire,
    inference::{ChatCompletionRequest, InterleavedContent, Message},
    models::{Model, ModelType},
};
use serde_json::{Value, json};

crate::wire! {
    /// An example.
    struct Example {
        /// Must be given.
        name: String,
        /// Counts.
        count: i64 = 3,
        /// May be absent.
        ratio: Option<f64>,
        /// On or off.
        on as "switch": bool = false,
        /// A port.
        port: crate::wire::Between<1024, 65535> = crate::wire::Between(8321),
        /// A key.
        api_key: Secret = Secret::default(),
    }
}

fn problems<T: Wire + std::fmt::Debug>(value: Value) -> Vec<String> {
    let issues = T::from_json(value).expect_err("the value is wrong");
    issues.iter().map(|issue| format!("{issue} ({})", issue.kind)).collect()
}

#[test]
fn absent_fields_take_their_defaults() {
    let read = Example::from_json(json!({ "name": "a" })).unwrap();
    assert_eq!((read.count, read.ratio, read.on, read.port.0), (3, None, false, 8321));
}

#[test]
fn scalars_are_read_as_pydantic_reads_them_in_lax_mode() {
    let value =
        json!({ "name": "a", "count": "7", "ratio": "0.5", "switch": "YES", "port": 9000.0 });
    let read = Example::from_json(value).unwrap();
    assert_eq!((read.count, read.ratio, read.on, read.port.0), (7, Some(0.5), true, 9000));
}

#[test]
fn all_problems_are_reported_with_their_paths() {
    let value = json!({ "count": 1.5, "ratio": "x", "switch": "maybe", "port": 80 });
    assert_eq!(
        problems::<Example>(value),
        [
            "name: Field required (missing)",
            "count: Input should be a valid integer, got a number with a fractional part (int_from_float)",
            "ratio: Input should be a valid number, unable to parse string as a number (float_parsing)",
            "switch: Input should be a valid boolean, unable to interpret input (bool_parsing)",
            "port: Input should be greater than or equal to 1024 (greater_than_equal)",
        ]
    );
}

#[test]
fn a_wrong_tag_names_the_expected_ones() {
    let value = json!({ "model_id": "m", "messages": [{ "role": "robot", "content": "x" }, {}] });
    assert_eq!(
        problems::<ChatCompletionRequest>(value),
        [
            "messages[0]: Input tag 'robot' found using 'role' does not match any of the expected tags: 'user', 'system', 'tool', 'assistant' (union_tag_invalid)",
            "messages[1]: Unable to extract tag using discriminator 'role' (union_tag_not_found)",
        ]
    );
}

#[test]
fn a_problem_inside_a_union_has_the_tag_in_its_path() {
    let value = json!([{ "role": "assistant", "content": "x", "stop_reason": "banana" }]);
    assert_eq!(
        problems::<Vec<Message>>(value),
        [
            "[0].assistant.stop_reason: Input should be 'end_of_turn', 'end_of_message' or 'out_of_tokens' (enum)"
        ]
    );
}

#[test]
fn content_keeps_its_form_and_reports_every_branch() {
    let text = InterleavedContent::from_json(json!("x")).unwrap();
    assert_eq!(serde_json::to_value(&text).unwrap(), json!("x"));
    let item = json!({ "type": "text", "text": "x" });
    assert_eq!(
        serde_json::to_value(InterleavedContent::from_json(item.clone()).unwrap()).unwrap(),
        item
    );
    assert_eq!(problems::<InterleavedContent>(json!(5)).len(), 3);
}

#[test]
fn a_record_is_written_in_the_order_of_its_declaration_with_every_null() {
    let model = Model::from_json(json!({
        "identifier": "foo", "provider_resource_id": "foo", "provider_id": "vllm", "type": "model",
        "metadata": {}, "model_type": "llm",
    }))
    .unwrap();
    assert_eq!(model.model_type, ModelType::Llm);
    assert_eq!(
        serde_json::to_string(&model).unwrap(),
        r#"{"identifier":"foo","provider_resource_id":"foo","provider_id":"vllm","type":"model","metadata":{},"model_type":"llm"}"#
    );
}

#[test]
fn a_secret_is_neither_printed_nor_written() {
    let read = Example::from_json(json!({ "name": "a", "api_key": "sk-1" })).unwrap();
    assert_eq!(read.api_key.expose(), "sk-1");
    assert!(!format!("{read:?}").contains("sk-1"));
    assert!(!serde_json::to_string(&read).unwrap().contains("sk-1"));
}

#[test]
fn the_schema_holds_types_defaults_and_descriptions() {
    let mut schemas = Schemas::default();
    let reference = Example::schema(&mut schemas);
    let schema = schemas.resolve(&reference);
    assert_eq!(schema["required"], json!(["name"]));
    assert_eq!(schema["properties"]["count"]["default"], json!(3));
    assert_eq!(schema["properties"]["name"]["description"], json!("Must be given."));
    assert_eq!(schema["properties"]["api_key"]["format"], json!("password"));
}

#[test]
fn endpoints_are_declared_once() {
    const OURS: &[&str] = &["/v1/inspect/usage", "/v1/datasetio/rows"];
    let mut seen = std::collections::HashSet::new();
    for Described { spec, .. } in crate::endpoints::all() {
        assert!(seen.insert((spec.method, spec.path)), "{} is declared twice", spec.path);
    }
    let of_the_reference = crate::endpoints::all()
        .filter(|endpoint| endpoint.spec.face == crate::Face::LlamaStack)
        .filter(|endpoint| !OURS.contains(&endpoint.spec.path))
        .filter(|endpoint| endpoint.spec.path.starts_with("/v1/"))
        .count();
    assert_eq!(of_the_reference, 77, "the reference has 77 routes");
}

#[test]
fn an_error_shows_its_causes_to_the_log_only() {
    let error = Error::internal("a").caused_by(Error::internal("b"));
    assert_eq!((error.to_string().as_str(), error.chain().as_str()), ("a", "a: b"));
}
