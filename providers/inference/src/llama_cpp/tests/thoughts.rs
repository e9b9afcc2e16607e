//! Thoughts before answers, whole and in a stream.

use super::*;
use chaski_llm::gguf::tiny;

/// The tiny model with a template that makes it go on with lines of thoughts and answers.
fn thinker(folder: &std::path::Path) -> LlamaCpp {
    let own = weights_dir(TINY).join(format!("{TINY}.gguf"));
    let path = folder.join(format!("{TINY}.gguf"));
    tiny::with_template(&own, &path, "{{ messages[0].content }} <think>").unwrap();
    provider(json!({ "models_dir": folder.to_str().unwrap() }))
}

fn lines() -> Value {
    let lines = "1: <think>one</think>A\n2: <think>two</think>B\n3: <think>three</think>C\n\
                 4: <think>four</think>D\n5:";
    json!({ "messages": [{ "role": "user", "content": lines }], "stop": "\n", "n": 2 })
}

#[tokio::test]
async fn thoughts_come_apart_from_the_answer_whole_and_in_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let provider = thinker(folder.path());
    let full = chat(&provider, lines()).await.unwrap();
    for choice in &full.choices {
        let message = &choice.message;
        let said = (message.reasoning_content.as_deref(), message.content.as_deref());
        assert_eq!(said, (Some("five"), Some("E")));
    }
    let events = chat_events(&provider, lines()).await;
    for index in 0..2 {
        let choices = events.iter().flat_map(|event| &event.choices);
        let choices = choices.filter(|choice| choice.index == index);
        let (mut thoughts, mut text) = (String::new(), String::new());
        for choice in choices {
            thoughts += choice.delta.reasoning_content.as_deref().unwrap_or_default();
            text += choice.delta.content.as_deref().unwrap_or_default();
        }
        assert_eq!((thoughts.as_str(), text.as_str()), ("five", "E"));
    }
    assert_eq!(events[0].choices[0].delta.role.as_deref(), Some("assistant"));
}

#[tokio::test]
async fn a_schema_leaves_no_place_for_thoughts() {
    let folder = tempfile::tempdir().unwrap();
    let schema = json!({ "enum": ["<think>no</think>yes"] });
    let mut more = lines();
    more["response_format"] = json!({ "type": "json_schema", "json_schema": { "schema": schema } });
    let full = chat(&thinker(folder.path()), more).await.unwrap();
    let message = &full.choices[0].message;
    assert_eq!(message.reasoning_content, None);
    assert_eq!(message.content.as_deref(), Some("\"<think>no</think>yes\""));
}
