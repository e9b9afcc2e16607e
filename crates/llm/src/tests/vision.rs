//! Images, with projectors of random numbers: no projector of a real model is small enough.

use super::{load::ROUNDING, *};
use crate::gguf::{
    Tensor, Value as Meta,
    tiny::{
        self,
        ProjectorKind::{self, Gemma3, Idefics3, Mlp},
    },
};
use chaski_testkit::eventually;
use image::{Rgb, RgbImage};
use std::io::Cursor;

/// The length of the vectors of the tiny model.
const WIDTH: usize = 576;

/// The tiny model with a projector that is changed before it is loaded.
async fn changed(
    kind: ProjectorKind,
    width: usize,
    change: impl FnOnce(&mut Vec<(&'static str, Meta)>, &mut Vec<Tensor>),
) -> Result<TextModel> {
    let file = file();
    tiny::projector(file.path(), kind, width, change).unwrap();
    let projector = Some(file.path().to_owned());
    let options = LoadOptions { projector, ..options() };
    TextModel::load(&weights("smollm2-135m-instruct"), options, |_| ()).await
}

async fn seeing(kind: ProjectorKind) -> TextModel {
    if kind != Idefics3 {
        return changed(kind, WIDTH, |_, _| {}).await.unwrap();
    }
    let (projector, marked) = (file(), with_marks());
    tiny::projector(projector.path(), kind, WIDTH, |_, _| {}).unwrap();
    let options = LoadOptions { projector: Some(projector.path().to_owned()), ..options() };
    TextModel::load(marked.path(), options, |_| ()).await.unwrap()
}

fn file() -> tempfile::NamedTempFile {
    tempfile::NamedTempFile::new().unwrap()
}

/// The tiny model with two words of its vocabulary renamed to the marks around images, and a longer
/// name, so that its numbers still begin at a multiple of 32 bytes.
fn with_marks() -> tempfile::NamedTempFile {
    let mut bytes = std::fs::read(weights("smollm2-135m-instruct")).unwrap();
    let name = "Smollm2 135M 8k Lc100K Mix1 Ep2";
    let renamed = [
        (name, format!("{name}, with marks of pictures")),
        ("<issue_comment>", "<fake_token_around_image>".to_owned()),
        ("<jupyter_code>", "<global-img>".to_owned()),
    ];
    let form = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let length = bytes.len();
    for (from, to) in renamed {
        let from = form(from);
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes.splice(at..at + from.len(), form(&to));
    }
    assert_eq!(bytes.len(), length + 32);
    let file = file();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

/// A picture of stripes in two colours.
fn picture(colour: [u8; 3]) -> Arc<[u8]> {
    let image =
        RgbImage::from_fn(40, 40, |x, _| Rgb(if x / 8 % 2 == 0 { colour } else { [9, 9, 9] }));
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner().into()
}

fn red() -> Arc<[u8]> {
    picture([250, 0, 0])
}

fn blue() -> Arc<[u8]> {
    picture([0, 0, 250])
}

fn white() -> Arc<[u8]> {
    picture([255, 255, 255])
}

/// A question behind images.
fn show(images: &[Arc<[u8]>], question: &str) -> Prompt {
    let numbers = 0..images.len();
    let mut parts: Vec<Value> =
        numbers.map(|number| json!({ "type": "image", "image": number })).collect();
    parts.push(question.into());
    Prompt::Chat(Chat {
        messages: vec![json!({ "role": "user", "content": parts })],
        images: images.to_vec(),
        ..Chat::default()
    })
}

/// A request whose whole prompt is computed, with log probabilities.
fn afresh(prompt: Prompt) -> Request {
    let sampling = Sampling { temperature: 0.0, seed: Some(1), ..Sampling::default() };
    Request { sampling, logprobs: Some(20), max_tokens: Some(8), ..Request::new(prompt) }
}

/// A request that may go on from what is in memory.
fn going_on(prompt: Prompt) -> Request {
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    Request { sampling, ..afresh(prompt) }
}

/// The log probabilities of the first token: they depend on the prompt alone.
fn first(found: &Answers) -> Vec<(Vec<u8>, f32)> {
    found.tokens[0].top.clone()
}

/// The mean difference of the log probabilities that two answers give to the likely first tokens.
fn distance(one: &Answers, other: &Answers) -> f32 {
    let other = first(other);
    let of_other = |token: &[u8]| {
        let found = other.iter().find(|(known, _)| known == token).or(other.last());
        found.unwrap().1
    };
    let all = first(one);
    let sum: f32 = all.iter().map(|(token, logprob)| (logprob - of_other(token)).abs()).sum();
    sum / f32::from(u8::try_from(all.len()).unwrap())
}

/// Whether an answer is far nearer to one than to another.
fn nearer(found: &Answers, one: &Answers, other: &Answers) -> bool {
    2.0 * distance(found, one) < distance(found, other)
}

#[tokio::test]
async fn an_image_changes_the_answer_and_the_same_one_gives_the_same() {
    for kind in [Mlp, Gemma3, Idefics3] {
        let model = seeing(kind).await;
        assert!(model.sees());
        let ask = |image| afresh(show(&[image], "What is this?"));
        let one = answers(&model, ask(red())).await.unwrap();
        let same = answers(&model, ask(red())).await.unwrap();
        let other = answers(&model, ask(white())).await.unwrap();
        assert_eq!(one, same, "{kind:?}");
        assert_eq!(one.prompt_tokens, other.prompt_tokens);
        assert!(distance(&one, &other) > ROUNDING, "{kind:?}: {}", distance(&one, &other));
    }
}

#[tokio::test]
async fn the_tokens_of_images_count_as_tokens_of_the_prompt() {
    // What stands around images of the other kinds is read as text by the tiny model.
    for kind in [Mlp, Gemma3, Idefics3] {
        let model = seeing(kind).await;
        let mut counts = Vec::new();
        for images in [&[][..], &[red()], &[red(), blue()], &[red(), blue(), red()]] {
            let count = model.count(show(images, "Hi")).await.unwrap();
            let request = Request { max_tokens: Some(1), ..greedy(show(images, "Hi")) };
            assert_eq!(answers(&model, request).await.unwrap().prompt_tokens, count);
            counts.push(count);
        }
        let steps: Vec<usize> = counts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps[1] == steps[2] && steps[0] >= steps[1], "{steps:?}");
        match kind {
            // With the line break behind it.
            Mlp => assert_eq!(steps[1], 17),
            Gemma3 => assert!((5..40).contains(&steps[1]), "{steps:?}"),
            // The image, and four tiles of it.
            Idefics3 => assert!((20..140).contains(&steps[1]), "{steps:?}"),
        }
    }
}

#[tokio::test]
async fn prompts_share_what_stands_before_different_images_and_the_same_image() {
    let model = seeing(Mlp).await;
    let question = "Which colour do you see in this picture?";
    let ask = |image, question: &str| going_on(show(&[image], question));
    let fresh_red = answers(&model, afresh(show(&[red()], question))).await.unwrap();
    let fresh_white = answers(&model, afresh(show(&[white()], question))).await.unwrap();
    let reused = || usize::try_from(model.activity().reused_tokens).unwrap();
    let found = answers(&model, ask(red(), question)).await.unwrap();
    assert!(nearer(&found, &fresh_red, &fresh_white));
    // The same again: only the last token is computed.
    let before = reused();
    let found = answers(&model, ask(red(), question)).await.unwrap();
    assert_eq!(reused() - before, found.prompt_tokens - 1);
    assert!(nearer(&found, &fresh_red, &fresh_white));
    // Another image: what stands before it is shared.
    let before = reused();
    let found = answers(&model, ask(blue(), question)).await.unwrap();
    let beginning = reused() - before;
    assert!(beginning > 0 && beginning + 17 < found.prompt_tokens, "{beginning}");
    let found = answers(&model, ask(white(), question)).await.unwrap();
    assert!(nearer(&found, &fresh_white, &fresh_red));
    // Another text behind the image: that is shared too.
    let before = reused();
    let found = answers(&model, ask(white(), "Which shape?")).await.unwrap();
    assert!(reused() - before >= beginning + 16, "{} {beginning}", reused() - before);
    let fresh = answers(&model, afresh(show(&[white()], "Which shape?"))).await.unwrap();
    assert!(nearer(&found, &fresh, &fresh_white));
}

/// Batches of other sizes change the last digits, of texts as of images. So an answer is held
/// against what the same happens to be for texts, and against the answers to the other prompts.
#[tokio::test]
async fn requests_with_and_without_images_run_side_by_side() {
    let model = seeing(Mlp).await;
    let texts =
        [ask("What is the capital of France?"), ask("Count to five."), ask("Compare them.")];
    let seen = [
        show(&[red()], "What is this?"),
        show(&[white()], "What is this?"),
        show(&[white(), red()], "Compare them."),
        show(&[red(), white()], "Compare them."),
        show(&[red(), red()], "Compare them."),
        show(&[blue()], "What is this?"),
    ];
    let prompts = [&texts[..], &seen[..]].concat();
    let mut alone = Vec::new();
    for prompt in &prompts {
        alone.push(answers(&model, afresh(prompt.clone())).await.unwrap());
    }
    let mut running = Vec::new();
    for prompt in &prompts {
        running.push(model.generate(afresh(prompt.clone())).await.unwrap());
    }
    let mut together = Vec::new();
    for events in running {
        together.push(collect(events).await.unwrap());
    }
    let own = |at: usize| distance(&together[at], &alone[at]);
    let rounding = (0..texts.len()).map(own).fold(ROUNDING, f32::max);
    for (at, found) in together.iter().enumerate() {
        assert_eq!(found.prompt_tokens, alone[at].prompt_tokens);
        assert!(own(at) < 2.0 * rounding, "{at}: {} and {rounding}", own(at));
        for (other, answer) in alone.iter().enumerate().filter(|(other, _)| *other != at) {
            assert!(nearer(found, &alone[at], answer), "the answer to {at} is that to {other}");
        }
    }
    assert!(model.activity().batch > 1.0, "{:?}", model.activity());
}

#[tokio::test]
async fn the_memory_of_a_projector_counts_as_that_of_its_model() {
    let file = file();
    tiny::projector(file.path(), Mlp, WIDTH, |_, _| {}).unwrap();
    let path = weights("smollm2-135m-instruct");
    let projector = Some(file.path().to_owned());
    let with = LoadOptions { projector, ..options() };
    let needed = TextModel::memory_needed(&path, &with).await.unwrap();
    let plain = TextModel::memory_needed(&path, &options()).await.unwrap();
    let weights = std::fs::metadata(file.path()).unwrap().len();
    assert!((weights / 2..4 * weights).contains(&(needed - plain)), "{needed} {plain}");
    assert_eq!(TextModel::load(&path, with, |_| ()).await.unwrap().memory(), needed);
}

#[tokio::test]
async fn text_is_answered_as_by_a_model_without_a_projector() {
    let (seeing, plain) = (seeing(Mlp).await, own(options()).await);
    for question in ["What is the capital of France?", "<__media__> and <image>", "\u{e000}"] {
        let one = answers(&seeing, afresh(ask(question))).await.unwrap();
        assert_eq!(one, answers(&plain, afresh(ask(question))).await.unwrap());
    }
}

#[tokio::test]
async fn markers_in_the_text_are_text_also_beside_an_image() {
    let model = seeing(Mlp).await;
    let text = "<__media__> <image> \u{e000}\u{e001}";
    let alone = model.count(ask(text)).await.unwrap();
    assert_eq!(model.count(show(&[red()], text)).await.unwrap(), alone + 17);
}

#[tokio::test]
async fn several_answers_to_an_image_can_be_had() {
    let model = seeing(Mlp).await;
    let request = Request { choices: 3, ..afresh(show(&[red()], "What is this?")) };
    let found = answers(&model, request).await.unwrap();
    assert_eq!(found.reasons.len(), 3);
    assert!(found.texts.iter().all(|text| *text == found.texts[0]), "{found:?}");
}

async fn refused(model: &TextModel, prompt: Prompt) -> String {
    let error = answers(model, greedy(prompt)).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { param: Some("messages"), .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn images_that_cannot_be_used_are_refused_with_the_reason() {
    let model = seeing(Mlp).await;
    let red = red();
    let half: Arc<[u8]> = red[..red.len() / 2].into();
    let why = refused(&model, show(&[half], "Hi")).await;
    assert!(why.starts_with("an image cannot be read: "), "{why}");
    let why = refused(&model, show(&vec![red.clone(); 17], "Hi")).await;
    assert_eq!(why, "there are 17 images, and 16 are allowed");
    let one = std::slice::from_ref(&red);
    let why = refused(&small().await, show(one, "Hi")).await;
    assert!(why.contains("it had no projector when it was loaded"), "{why}");
    let request = Request { prompt_logprobs: true, ..greedy(show(one, "Hi")) };
    let why = answers(&model, request).await.unwrap_err().to_string();
    assert!(why.contains("the log probabilities of a prompt with images"), "{why}");
    // The model goes on.
    assert!(answers(&model, greedy(show(one, "Hi"))).await.is_ok());
}

#[tokio::test]
async fn projectors_that_cannot_be_used_are_refused_when_the_model_is_loaded() {
    let failed = |result: Result<TextModel>| result.err().unwrap().to_string();
    let why = failed(changed(Mlp, 100, |_, _| {}).await);
    assert!(why.contains("its vectors have 100 numbers, and those of the model have 576"), "{why}");
    let why = failed(changed(Mlp, WIDTH, |_, tensors| _ = tensors.pop()).await);
    assert!(why.ends_with("`mm.2.bias` is missing"), "{why}");
    let why = failed(changed(Idefics3, WIDTH, |_, _| {}).await);
    assert!(why.contains("the vocabulary of the model lacks the marks"), "{why}");
    let file = weights("smollm2-135m-instruct");
    let options = LoadOptions { projector: Some(file.clone()), ..options() };
    let why = failed(TextModel::load(&file, options, |_| ()).await);
    assert!(why.ends_with("its architecture is `llama`, not `clip`"), "{why}");
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_the_model_free() {
    let model = seeing(Mlp).await;
    let images: Vec<_> = (0..16).map(|shade| picture([shade * 15, 0, 99])).collect();
    let waiting = model.generate(going_on(show(&images, "Hi"))).await.unwrap();
    drop(waiting);
    let found = answers(&model, going_on(show(&[red()], "Hi"))).await.unwrap();
    assert_eq!(found.reasons.len(), 1);
    eventually("nobody is served", || model.activity().running == 0).await;
    assert!(!model.in_use());
}

/// The context is smaller than the images of the request.
#[tokio::test]
async fn images_that_do_not_fit_into_the_context_are_refused_with_both_numbers() {
    let file = file();
    tiny::projector(file.path(), Mlp, WIDTH, |_, _| {}).unwrap();
    let projector = Some(file.path().to_owned());
    let options = LoadOptions { projector, context_length: Some(64), ..options() };
    let model = own(options).await;
    let error = answers(&model, greedy(show(&vec![red(); 8], "Hi"))).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { limit: 64, tokens } if tokens > 8 * 16), "{error}");
    // Requests that fit one at a time wait for each other.
    let ask = |image| answers(&model, going_on(show(&[image], "Hi")));
    let (one, two, three) = tokio::join!(ask(red()), ask(blue()), ask(red()));
    for found in [one, two, three] {
        assert_eq!(found.unwrap().reasons.len(), 1);
    }
}
