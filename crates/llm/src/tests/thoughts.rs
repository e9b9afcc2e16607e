//! Models that think before they answer: the tiny model with templates that make it go on with lines
//! of thoughts and answers.

use super::*;
use crate::gguf::tiny;

const LINES: &str = "1: <think>one</think>A\n2: <think>two</think>B\n3: <think>three</think>C\n\
                     4: <think>four</think>D\n5:";
/// A template that has thoughts, and leaves it to the model to begin them.
const TAGGED: &str = "{{ messages[0].content }}{# <think> #}";
/// One that begins them.
const BEGUN: &str = "{{ messages[0].content }} <think>";

async fn thinker(template: &str) -> TextModel {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thinker.gguf");
    tiny::with_template(&weights("smollm2-135m-instruct"), &path, template).unwrap();
    TextModel::load(&path, options(), |_| ()).await.unwrap()
}

fn lines() -> Request {
    Request { stop: vec!["\n".into()], ..greedy(ask(LINES)) }
}

#[tokio::test]
async fn thoughts_come_apart_from_the_answer() {
    for template in [TAGGED, BEGUN] {
        let model = thinker(template).await;
        let found = answers(&model, Request { logprobs: Some(0), ..lines() }).await.unwrap();
        assert_eq!((found.thoughts.as_str(), found.texts[0].as_str()), ("five", "E"));
        // The log probabilities are those of the answer, and may be of the stop text.
        let spelled: Vec<u8> = found.tokens.iter().flat_map(|token| token.bytes.clone()).collect();
        assert_eq!(String::from_utf8_lossy(&spelled).trim_end(), "E");
        assert!(found.completion_tokens > 4, "{found:?}");
    }
}

#[tokio::test]
async fn thoughts_that_the_limit_cuts_are_no_answer() {
    let model = thinker(BEGUN).await;
    let found = answers(&model, Request { max_tokens: Some(1), ..lines() }).await.unwrap();
    assert_eq!((found.thoughts.as_str(), found.texts[0].as_str()), ("five", ""));
    assert_eq!(found.reasons, [Finish::Length]);
}

#[tokio::test]
async fn texts_and_constrained_answers_have_no_thoughts() {
    let model = thinker(BEGUN).await;
    let request = Request { stop: vec!["\n".into()], ..greedy(Prompt::Text(LINES.into())) };
    let found = answers(&model, request).await.unwrap();
    assert_eq!((found.thoughts.as_str(), found.texts[0].as_str()), ("", " <think>five</think>E"));
    let schema = json!({ "enum": ["<think>no</think>yes"] });
    let request = Request { constraint: Constraint::JsonSchema(schema), ..greedy(ask(LINES)) };
    let found = answers(&model, request).await.unwrap();
    let expected = ("", "\"<think>no</think>yes\"");
    assert_eq!((found.thoughts.as_str(), found.texts[0].as_str()), expected);
}

#[tokio::test]
async fn a_model_without_thoughts_may_write_of_them() {
    let model = thinker("{{ messages[0].content }}").await;
    let found = answers(&model, lines()).await.unwrap();
    assert_eq!((found.thoughts.as_str(), found.texts[0].as_str()), ("", " <think>five</think>E"));
}
