//! The engine with real models. They are fetched by `make weights`.

mod load;
mod thoughts;
mod vision;

use crate::*;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;

/// The file of a test model.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where weights are"
)]
pub(crate) fn weights(name: &str) -> PathBuf {
    let folder = std::env::var("CHASKI_TEST_WEIGHTS").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-weights")),
        PathBuf::from,
    );
    let path = folder.join(format!("{name}.gguf"));
    assert!(path.exists(), "`{}` is missing: run `make weights`", path.display());
    path
}

fn options() -> LoadOptions {
    LoadOptions { context_length: Some(2048), ..LoadOptions::default() }
}

/// The tiny model for one test, so that other tests do not work on it meanwhile.
async fn own(options: LoadOptions) -> TextModel {
    TextModel::load(&weights("smollm2-135m-instruct"), options, |_| ()).await.unwrap()
}

/// The tiny model that all tests share.
async fn small() -> TextModel {
    static MODEL: OnceCell<TextModel> = OnceCell::const_new();
    MODEL.get_or_init(|| own(options())).await.clone()
}

fn greedy(prompt: Prompt) -> Request {
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    Request { sampling, max_tokens: Some(24), ..Request::new(prompt) }
}

fn ask(question: &str) -> Prompt {
    Prompt::Chat(Chat {
        messages: vec![json!({ "role": "user", "content": question })],
        ..Chat::default()
    })
}

/// What a request brought: per choice its text, its tokens and its end.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    thoughts: String,
    texts: Vec<String>,
    tokens: Vec<Token>,
    prompt: Vec<Token>,
    reasons: Vec<Finish>,
    stopped_by: Vec<Option<String>>,
    prompt_tokens: usize,
    completion_tokens: usize,
}

async fn answers(model: &TextModel, request: Request) -> Result<Answers> {
    collect(model.generate(request).await?).await
}

async fn collect(mut events: Events) -> Result<Answers> {
    let mut found = Answers::default();
    while let Some(event) = events.next().await {
        match event? {
            Event::Prompt { tokens } => found.prompt = tokens,
            Event::Thoughts { text, .. } => found.thoughts.push_str(&text),
            Event::Text { choice, text, tokens } => {
                found.texts.resize((choice as usize + 1).max(found.texts.len()), String::new());
                found.texts[choice as usize].push_str(&text);
                found.tokens.extend(tokens);
            }
            Event::Finished { choice, reason, stopped_by } => {
                assert_eq!(choice as usize, found.reasons.len());
                found.texts.resize((choice as usize + 1).max(found.texts.len()), String::new());
                found.reasons.push(reason);
                found.stopped_by.push(stopped_by);
            }
            Event::Done { prompt_tokens, completion_tokens } => {
                found.prompt_tokens = prompt_tokens;
                found.completion_tokens = completion_tokens;
            }
        }
    }
    Ok(found)
}

#[tokio::test]
async fn a_chat_is_answered_and_counted() {
    let model = small().await;
    let found = answers(&model, greedy(ask("What is the capital of France?"))).await.unwrap();
    assert_eq!(found.texts.len(), 1);
    assert!(found.texts[0].len() > 10, "{found:?}");
    assert!(!found.texts[0].contains("<|"), "{found:?}");
    assert!(found.prompt_tokens > 20 && found.completion_tokens <= 24, "{found:?}");
    assert_eq!(model.facts().architecture, "llama");
    assert_eq!(model.context_length(), 2048);
}

#[tokio::test]
async fn most_tokens_are_not_passed() {
    let model = small().await;
    let request = Request { max_tokens: Some(3), ..greedy(Prompt::Text("Once upon a".into())) };
    let found = answers(&model, request).await.unwrap();
    assert_eq!((found.completion_tokens, found.reasons), (3, vec![Finish::Length]));
    let request = Request { max_tokens: Some(0), ..greedy(Prompt::Text("Once upon a".into())) };
    let found = answers(&model, request).await.unwrap();
    assert_eq!((found.completion_tokens, found.texts[0].as_str()), (0, ""));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_and_another_one_another() {
    let model = own(options()).await;
    let sampling = |seed| Sampling { temperature: 1.2, seed: Some(seed), ..Sampling::default() };
    let mut texts = Vec::new();
    for seed in [1, 1, 2] {
        let prompt = Prompt::Text("The best thing about summer is".into());
        let request = Request { sampling: sampling(seed), ..greedy(prompt) };
        texts.push(answers(&model, request).await.unwrap().texts);
    }
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[0], texts[2]);
}

#[tokio::test]
async fn several_answers_differ_and_each_is_complete() {
    let model = own(options()).await;
    let sampling = Sampling { temperature: 1.5, seed: Some(3), ..Sampling::default() };
    let request = Request {
        sampling,
        choices: 3,
        max_tokens: Some(8),
        ..greedy(Prompt::Text("My favourite animal is".into()))
    };
    let found = answers(&model, request.clone()).await.unwrap();
    assert_eq!(found.reasons.len(), 3);
    assert!(found.texts[0] != found.texts[1] || found.texts[1] != found.texts[2], "{found:?}");
    assert_eq!(answers(&model, request).await.unwrap(), found);
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_and_is_not_part_of_it() {
    let model = small().await;
    let prompt = || Prompt::Text("1, 2, 3, 4, 5, 6, 7,".into());
    let free = answers(&model, greedy(prompt())).await.unwrap();
    assert!(free.texts[0].contains(" 9, 10"), "{free:?}");
    let stop = vec!["99".into(), "9, 1".into()];
    let request = Request { stop, logprobs: Some(0), ..greedy(prompt()) };
    let found = answers(&model, request).await.unwrap();
    assert_eq!(found.texts[0].trim(), "8,");
    assert_eq!(found.reasons, [Finish::Stop]);
    assert_eq!(free.stopped_by, [None]);
    assert_eq!(found.stopped_by, [Some("9, 1".to_owned())]);
    let spelled: Vec<u8> = found.tokens.iter().flat_map(|token| token.bytes.clone()).collect();
    assert!(free.texts[0].as_bytes().starts_with(&spelled));
}

#[tokio::test]
async fn log_probabilities_come_with_the_tokens_and_spell_the_text() {
    let model = small().await;
    let request = Request { logprobs: Some(3), ..greedy(ask("Say hi with an emoji: 🦀")) };
    let found = answers(&model, request).await.unwrap();
    assert_eq!(found.tokens.len(), found.completion_tokens);
    let spelled: Vec<u8> = found.tokens.iter().flat_map(|token| token.bytes.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&spelled), found.texts[0]);
    for token in &found.tokens {
        assert_eq!(token.top.len(), 3);
        assert!((token.top[0].1 - token.logprob.unwrap()).abs() < 1e-6, "the best: {token:?}");
        assert!(token.top[0].1 <= 0.0 && token.top[0].1 >= token.top[1].1);
    }
}

#[tokio::test]
async fn the_log_probabilities_of_a_prompt_can_be_asked_for() {
    let model = small().await;
    let request = Request {
        logprobs: Some(1),
        prompt_logprobs: true,
        max_tokens: Some(0),
        ..greedy(Prompt::Text("The capital of France is Paris".into()))
    };
    let found = answers(&model, request).await.unwrap();
    assert_eq!(found.prompt.len(), found.prompt_tokens);
    let spelled: Vec<u8> = found.prompt.iter().flat_map(|token| token.bytes.clone()).collect();
    assert!(String::from_utf8_lossy(&spelled).ends_with("The capital of France is Paris"));
    assert_eq!(found.prompt[0].logprob, None);
    let likely = found.prompt.last().unwrap().logprob.unwrap();
    let unlikely = found.prompt[2].logprob.unwrap();
    assert!(likely > unlikely, "{likely} {unlikely}");
}

#[tokio::test]
async fn a_prompt_that_shares_its_beginning_with_the_last_one_is_answered_alike() {
    let model = own(options()).await;
    let long = "A list of colours: red, green, blue, yellow, black, white, orange, ".repeat(5);
    let fresh = |seed| Request {
        sampling: Sampling { temperature: 0.0, seed, ..Sampling::default() },
        ..greedy(Prompt::Text(long.clone()))
    };
    // A seed makes the model read the whole prompt, no seed lets it go on.
    let first = answers(&model, fresh(Some(1))).await.unwrap();
    let second = answers(&model, fresh(None)).await.unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_refused_with_both_numbers() {
    let model = small().await;
    let error = answers(&model, greedy(Prompt::Text("word ".repeat(5000)))).await.unwrap_err();
    let Error::TooLong { tokens, limit: 2048 } = error else { panic!("{error}") };
    assert!(tokens >= 5000);
    assert!(error.to_string().contains("holds 2048"), "{error}");
    let error = answers(&model, greedy(Prompt::Text("x".repeat(50_000_000)))).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error}");
}

#[tokio::test]
async fn a_dropped_answer_frees_the_model_for_the_next() {
    let model = small().await;
    let endless = Request {
        max_tokens: None,
        sampling: Sampling { logit_bias: vec![(0, -100.0), (2, -100.0)], ..Sampling::default() },
        ..greedy(ask("Tell a very long story."))
    };
    let mut events = model.generate(endless).await.unwrap();
    assert!(events.next().await.unwrap().is_ok());
    drop(events);
    let found = answers(&model, greedy(ask("Hi"))).await.unwrap();
    assert_eq!(found.reasons.len(), 1);
}

#[tokio::test]
async fn token_ids_can_be_the_prompt_and_unknown_ones_are_refused() {
    let model = small().await;
    let found = answers(&model, greedy(Prompt::Tokens(vec![504, 3575]))).await.unwrap();
    assert_eq!(found.prompt_tokens, 2);
    let error = answers(&model, greedy(Prompt::Tokens(vec![-1]))).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no token `-1`");
    assert_eq!(
        answers(&model, greedy(Prompt::Text(String::new()))).await.unwrap().prompt_tokens,
        1
    );
}

fn constrained(question: &str, constraint: Constraint) -> Request {
    Request { constraint, max_tokens: Some(300), ..greedy(ask(question)) }
}

#[tokio::test]
async fn a_schema_is_kept_to_by_construction() {
    let model = small().await;
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 20 },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "kind": { "enum": ["cat", "dog"] },
            "tags": { "type": "array", "items": { "type": "string", "maxLength": 5 }, "maxItems": 2 },
        },
        "required": ["name", "age", "kind", "tags"],
        "additionalProperties": false,
    });
    for temperature in [0.0, 1.5] {
        let mut request = constrained("Describe a pet.", Constraint::JsonSchema(schema.clone()));
        request.sampling = Sampling { temperature, seed: Some(5), ..Sampling::default() };
        let found = answers(&model, request).await.unwrap();
        let value: Value = serde_json::from_str(&found.texts[0]).unwrap();
        assert_eq!(found.reasons, [Finish::Stop]);
        assert!(value["age"].as_i64().is_some_and(|age| age <= 150), "{value}");
        assert!(["cat", "dog"].contains(&value["kind"].as_str().unwrap()), "{value}");
        assert!(value["tags"].as_array().unwrap().len() <= 2, "{value}");
    }
}

#[tokio::test]
async fn json_is_whole_also_when_the_limit_comes_before_the_model_is_done() {
    let model = small().await;
    let open = json!({
        "type": "object",
        "properties": {
            "story": { "type": "string" },
            "numbers": { "type": "array", "items": { "type": "number" }, "minItems": 2 },
            "more": { "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] },
        },
        "required": ["story", "numbers", "more"],
        "additionalProperties": false,
    });
    for constraint in [Constraint::JsonObject, Constraint::JsonSchema(open)] {
        for (seed, temperature) in [(1, 0.0), (2, 1.0), (3, 2.0)] {
            let request = Request {
                sampling: Sampling { temperature, seed: Some(seed), ..Sampling::default() },
                max_tokens: Some(100),
                ..constrained("Tell me a very long story.", constraint.clone())
            };
            let found = answers(&model, request).await.unwrap();
            let value: Value = serde_json::from_str(&found.texts[0])
                .unwrap_or_else(|error| panic!("{error}: {}", found.texts[0]));
            assert!(value.is_object());
            assert!(found.completion_tokens <= 100);
            if found.completion_tokens < 50 {
                assert_eq!(found.reasons, [Finish::Stop], "{found:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_recursive_schema_is_followed() {
    let model = small().await;
    let schema = json!({
        "$ref": "#/$defs/node",
        "$defs": { "node": {
            "type": "object",
            "properties": {
                "value": { "enum": [1, 2, 3] },
                "next": { "anyOf": [{ "$ref": "#/$defs/node" }, { "type": "null" }] },
            },
            "required": ["value", "next"],
            "additionalProperties": false,
        } },
    });
    let request = constrained("Write a list.", Constraint::JsonSchema(schema));
    let found = answers(&model, request).await.unwrap();
    assert!(found.texts[0].starts_with("{\"value\": "), "{found:?}");
}

#[tokio::test]
async fn a_forced_call_is_one_of_an_offered_function() {
    let model = small().await;
    let functions = vec![
        Function {
            name: "get_weather".into(),
            description: Some("The weather of a city.".into()),
            parameters: json!({
                "type": "object",
                "properties": { "city": { "$ref": "#/$defs/city" } },
                "$defs": { "city": { "type": "string", "maxLength": 20 } },
                "required": ["city"],
                "additionalProperties": false,
            }),
        },
        Function {
            name: "say \"hi\"".into(),
            description: None,
            parameters: json!({ "maxProperties": 0 }),
        },
    ];
    let request = constrained("Is it sunny in Rome?", Constraint::Call(functions[..1].to_vec()));
    let found = answers(&model, request).await.unwrap();
    let mut reader = CallReader::new(functions.clone());
    assert_eq!(reader.push(&found.texts[0]), "");
    let (_, calls) = reader.finish(false);
    assert_eq!(calls.len(), 1, "{found:?}");
    assert!(calls[0].arguments["city"].is_string(), "{found:?}");
    let request = constrained("Greet me.", Constraint::Call(functions[1..].to_vec()));
    let found = answers(&model, request).await.unwrap();
    assert_eq!(found.texts[0], r#"{"name": "say \"hi\"", "arguments": {}}"#);
}

#[tokio::test]
async fn hostile_schemas_end_in_an_error_within_a_moment() {
    let model = small().await;
    // The table of tokens is built for the first schema.
    let warm = constrained("x", Constraint::JsonSchema(json!({ "const": 1 })));
    assert_eq!(answers(&model, warm).await.unwrap().texts, ["1"]);
    // The same run says how fast the machine is.
    let usual = constrained("x", Constraint::JsonSchema(json!({ "type": "string" })));
    let began = std::time::Instant::now();
    answers(&model, Request { max_tokens: Some(8), ..usual }).await.unwrap();
    let limit = began.elapsed().max(std::time::Duration::from_millis(50)) * 100;
    let wide: Vec<Value> = (0..19_000).map(|index| json!(format!("{index:0>20}"))).collect();
    let mut nested = json!({ "type": "string" });
    for _ in 0..30 {
        nested = json!({ "anyOf": [nested, { "type": "array", "items": { "type": "number" } }] });
    }
    // A chain of references as long as one may be, and one whose parts would double at each link.
    let (mut links, mut doubled) = (json!({}), json!({}));
    for number in 0..60 {
        let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
        links[format!("d{number}")] = json!({ "type": "object", "properties": { "a": next } });
        let both = json!({ "allOf": [next, { "type": "object" }] });
        doubled[format!("d{number}")] =
            json!({ "type": "object", "properties": { "a": both, "b": both } });
    }
    links["d60"] = json!({ "type": "string" });
    doubled["d60"] = links["d60"].clone();
    let schemas = [
        json!({ "$ref": "#" }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } }),
        json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] }),
        json!({ "$ref": "#/nowhere" }),
        json!({ "$ref": "#/$defs/d0", "$defs": links }),
        json!({ "$ref": "#/$defs/d0", "$defs": doubled }),
        json!({ "type": "strnig" }),
        json!({ "type": "string", "pattern": "(a{1000}){1000}" }),
        json!({ "type": "string", "pattern": "((" }),
        json!({ "not": {} }),
        json!({ "enum": [] }),
        json!({ "type": "array", "minItems": 4_000_000_000_u64 }),
        json!({ "enum": wide }),
        json!([1, 2]),
        json!(false),
        nested,
    ];
    for schema in schemas {
        let shown: String = schema.to_string().chars().take(80).collect();
        let mut request = constrained("x", Constraint::JsonSchema(schema));
        request.max_tokens = Some(8);
        let began = std::time::Instant::now();
        let result = answers(&model, request).await;
        let took = began.elapsed();
        assert!(took < limit, "{shown}: {took:?}, more than {limit:?}");
        match result {
            Ok(found) => assert_eq!(found.reasons.len(), 1, "{shown}"),
            Err(error) => assert!(
                matches!(error, Error::Invalid { param: Some("response_format"), .. }),
                "{shown}: {error}"
            ),
        }
    }
}

#[tokio::test]
async fn a_model_that_does_not_fit_is_refused_before_it_is_loaded() {
    let options = LoadOptions { context_length: Some(u32::MAX), ..LoadOptions::default() };
    let error = TextModel::load(&weights("smollm2-135m-instruct"), options, |_| ()).await.err();
    let error = error.unwrap();
    assert!(matches!(error, Error::NoMemory { .. }), "{error}");
    assert!(error.to_string().contains("of memory, and"), "{error}");
}

#[tokio::test]
async fn a_model_of_the_other_kind_is_refused_by_name() {
    let path = weights("all-minilm-l6-v2");
    let error = TextModel::load(&path, LoadOptions::default(), |_| ()).await.err().unwrap();
    assert!(error.to_string().ends_with("all-minilm-l6-v2.gguf` does not generate text"));
    let path = weights("smollm2-135m-instruct");
    let error = Embedder::load(&path, 256, LoadOptions::default(), |_| ()).await.err().unwrap();
    assert!(error.to_string().ends_with("is not an embedding model"));
}

#[tokio::test]
async fn loading_tells_how_far_it_is() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = heard.clone();
    let path = weights("smollm2-135m-instruct");
    let options = LoadOptions { context_length: Some(128), ..LoadOptions::default() };
    let model =
        TextModel::load(&path, options, move |share| listener.lock().unwrap().push(share)).await;
    assert!(model.unwrap().memory() > 90_000_000);
    let heard = heard.lock().unwrap();
    assert!(heard.windows(2).all(|pair| pair[0] <= pair[1]), "{heard:?}");
    assert!((heard.last().unwrap() - 1.0).abs() < 1e-6);
}

async fn embedder() -> Embedder {
    let path = weights("all-minilm-l6-v2");
    Embedder::load(&path, 256, LoadOptions::default(), |_| ()).await.unwrap()
}

/// The vectors were computed from the original's weights and tokeniser in 64-bit numbers; the
/// similarities of the first three are those that the makers publish.
#[tokio::test]
async fn vectors_are_those_of_the_original() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/minilm.json")).unwrap();
    let model = embedder().await;
    let texts = cases.iter().map(|case| Input::Text(case["text"].as_str().unwrap().into()));
    let found = model.embed(Arc::default(), texts.collect()).await.unwrap();
    let mut tokens = 0;
    for (case, vector) in cases.iter().zip(&found.vectors) {
        let original = case["vector"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
        let cosine: f64 = original.zip(vector).map(|(a, b)| a * f64::from(*b)).sum();
        assert!(cosine > 0.999_99, "{cosine} {:.40}", case["text"].as_str().unwrap());
        tokens += usize::try_from(case["tokens"].as_u64().unwrap()).unwrap();
    }
    assert_eq!(found.tokens, tokens);
}

#[tokio::test]
async fn a_text_has_the_same_vector_alone_and_among_many() {
    let model = embedder().await;
    let texts: Vec<Input> =
        (0..100).map(|index| Input::Text(format!("text number {index} ").repeat(5))).collect();
    let together = model.embed(Arc::default(), texts.clone()).await.unwrap().vectors;
    assert_eq!(together.len(), 100);
    for index in [0, 50, 99] {
        let alone = model.embed(Arc::default(), vec![texts[index].clone()]).await.unwrap().vectors;
        let cosine: f32 = alone[0].iter().zip(&together[index]).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.9999, "{cosine}");
    }
    assert!(model.embed(Arc::default(), Vec::new()).await.unwrap().vectors.is_empty());
}

#[tokio::test]
async fn token_ids_are_embedded_like_their_text() {
    let model = embedder().await;
    let inputs = vec![Input::Text("hello world".into()), Input::Tokens(vec![7592, 2088])];
    let vectors = model.embed(Arc::default(), inputs).await.unwrap().vectors;
    let cosine: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.9999, "{cosine}");
    let error = model.embed(Arc::default(), vec![Input::Tokens(vec![30_522])]).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no token `30522`");
}
