//! Many requests at once, and what is kept from one to the next.

use super::*;
use chaski_testkit::eventually;
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// An event that is there already.
fn now(events: &mut Events) -> Option<Event> {
    match pin!(events.next()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event.expect("the answer goes on").unwrap()),
        Poll::Pending => None,
    }
}

/// Waits for the end of the prompt.
async fn read(events: &mut Events) {
    loop {
        if let Event::Prompt { .. } = events.next().await.unwrap().unwrap() {
            return;
        }
    }
}

/// A request that goes on until the context is full.
fn endless(prompt: &str) -> Request {
    let sampling = Sampling {
        temperature: 0.0,
        logit_bias: vec![(0, -100.0), (1, -100.0), (2, -100.0)],
        ..Sampling::default()
    };
    Request { sampling, ..Request::new(Prompt::Text(prompt.into())) }
}

/// Texts whose continuation is beyond doubt, so that the last digits of scores do not decide: of each
/// token, the next likely one is at most half as likely.
const CERTAIN: [&str; 6] = [
    "1, 2, 3, 4, 5, 6, 7, 8,",
    "a b c d e f g h i j k",
    "red blue red blue red blue red blue red",
    "2 4 6 8 10 12 14 16 18",
    "10, 20, 30, 40, 50, 60,",
    "20, 21, 22, 23, 24, 25,",
];

fn text(prompt: &str) -> Request {
    Request { max_tokens: Some(12), ..greedy(Prompt::Text(prompt.into())) }
}

async fn alone(prompts: &[&str]) -> Vec<String> {
    let model = own(LoadOptions { parallel: 1, ..options() }).await;
    let mut texts = Vec::new();
    for prompt in prompts {
        texts.extend(answers(&model, text(prompt)).await.unwrap().texts);
    }
    texts
}

#[tokio::test]
async fn requests_side_by_side_are_answered_as_each_alone() {
    let model = own(options()).await;
    let mut running = Vec::new();
    for prompt in CERTAIN {
        running.push(tokio::spawn({
            let model = model.clone();
            async move { answers(&model, text(prompt)).await.unwrap().texts.remove(0) }
        }));
    }
    let mut texts = Vec::new();
    for answer in running {
        texts.push(answer.await.unwrap());
    }
    assert_eq!(texts, alone(&CERTAIN).await);
    let activity = model.activity();
    assert_eq!(activity.answer_tokens, 6 * 11, "the first token comes with the prompt");
    assert!(activity.batch > 1.0, "{activity:?}");
}

/// Texts that can go on in several ways.
const OPEN: [&str; 4] =
    ["Monday, Tuesday,", "The best thing about summer is", "Once upon a time", "In the year 1900"];

/// How far a log probability may be off: the engine adds up in another order where several
/// sequences are computed at once.
pub(super) const ROUNDING: f32 = 0.1;

#[tokio::test]
async fn tokens_side_by_side_are_as_likely_as_alone() {
    let likely = |prompt: &str| Request { logprobs: Some(2), ..text(prompt) };
    let model = own(options()).await;
    let mut running = Vec::new();
    for prompt in OPEN {
        running.push(model.generate(likely(prompt)).await.unwrap());
    }
    let one = own(LoadOptions { parallel: 1, ..options() }).await;
    for (prompt, events) in OPEN.iter().zip(running) {
        let together = collect(events).await.unwrap().tokens;
        let alone = answers(&one, likely(prompt)).await.unwrap().tokens;
        let same = together.iter().zip(&alone).take_while(|(one, other)| one.bytes == other.bytes);
        for (one, other) in same.clone() {
            let (one, other) = (one.logprob.unwrap(), other.logprob.unwrap());
            assert!((one - other).abs() < ROUNDING, "{prompt}: {one} and {other}");
        }
        // Where the answers part, both tokens were as good.
        if let Some(parting) = alone.get(same.count()) {
            let [(_, best), (_, second)] = &parting.top[..] else { panic!("{parting:?}") };
            assert!(best - second < ROUNDING, "{prompt}: {parting:?}, {together:?}");
        }
    }
    assert!(model.activity().batch > 1.0, "{:?}", model.activity());
}

#[tokio::test]
async fn a_request_begins_and_ends_while_another_goes_on() {
    let model = own(options()).await;
    let mut long = model.generate(endless(CERTAIN[0])).await.unwrap();
    read(&mut long).await;
    let found = answers(&model, text(CERTAIN[4])).await.unwrap();
    assert_eq!(found.texts, alone(&[CERTAIN[4]]).await);
    assert_eq!(model.activity().running, 1);
    let mut text = String::new();
    while text.len() < 40 {
        if let Event::Text { text: more, .. } = long.next().await.unwrap().unwrap() {
            text.push_str(&more);
        }
    }
    assert!(text.starts_with(" 9, 10, 11, 12, 13, 14, 15, 16"), "{text}");
}

#[tokio::test]
async fn a_running_answer_keeps_its_pace_while_a_long_prompt_is_read() {
    let model = own(options()).await;
    let mut running = model.generate(endless(CERTAIN[0])).await.unwrap();
    read(&mut running).await;
    while now(&mut running).is_some() {}
    let mut long = model.generate(endless(&"word ".repeat(1000))).await.unwrap();
    read(&mut long).await;
    let between = std::iter::from_fn(|| now(&mut running)).count();
    assert!(between >= 1000 / 64, "{between} tokens came while 1000 were read");
}

#[tokio::test]
async fn a_caller_with_many_requests_does_not_hold_up_another() {
    let model = own(LoadOptions { parallel: 1, ..options() }).await;
    let by = |caller: &str, prompt| Request { caller: Arc::from(caller), ..text(prompt) };
    let mut first = model.generate(endless(CERTAIN[0])).await.unwrap();
    read(&mut first).await;
    let mut many = Vec::new();
    for _ in 0..3 {
        many.push(model.generate(by("many", CERTAIN[1])).await.unwrap());
    }
    let mut one = model.generate(by("one", CERTAIN[2])).await.unwrap();
    assert_eq!(model.activity().waiting, 4);
    drop(first);
    read(&mut many[1]).await;
    // The requests of both were served in turn: what came before is complete.
    for events in [&mut one, &mut many[0]] {
        let last = std::iter::from_fn(|| now(events)).find(|e| matches!(e, Event::Done { .. }));
        assert!(last.is_some());
    }
    assert_eq!(now(&mut many[2]), None);
}

#[tokio::test]
async fn a_full_queue_refuses_further_requests_and_says_when_to_come_again() {
    let model = own(LoadOptions { parallel: 1, queue_size: 1, ..options() }).await;
    let mut running = model.generate(endless("Once upon")).await.unwrap();
    // Once the first one is served, the queue has room for one more.
    read(&mut running).await;
    let waiting = model.generate(greedy(ask("Hi"))).await.unwrap();
    let error = model.generate(greedy(ask("Hi"))).await.unwrap_err();
    let Error::Busy { waiting: 1, pause } = error else { panic!("{error}") };
    assert!(pause.as_secs() >= 1, "{pause:?}");
    // Who went away makes room.
    drop(waiting);
    assert!(model.generate(greedy(ask("Hi"))).await.is_ok());
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_the_reading_of_a_prompt() {
    let model = own(LoadOptions { context_length: Some(8192), ..options() }).await;
    let long = model.generate(endless(&"word ".repeat(6000))).await.unwrap();
    eventually("the prompt is being read", || model.activity().prompt_tokens > 0).await;
    drop(long);
    let found = answers(&model, text(CERTAIN[0])).await.unwrap();
    assert_eq!(found.texts, alone(&[CERTAIN[0]]).await);
    let read = model.activity().prompt_tokens;
    assert!(read < 6000, "{read} tokens were read");
}

#[tokio::test]
async fn a_common_beginning_is_read_once_and_changes_no_answer() {
    let model = own(options()).await;
    let system = "You count and spell, and say nothing else. ".repeat(10);
    let prompts: Vec<String> = CERTAIN.iter().map(|end| format!("{system}{end}")).collect();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let fresh = {
        // A seed makes the model read the whole prompt.
        let model = own(options()).await;
        let mut texts = Vec::new();
        for prompt in &prompts {
            let sampling = Sampling { temperature: 0.0, seed: Some(1), ..Sampling::default() };
            let request = Request { sampling, ..text(prompt) };
            texts.extend(answers(&model, request).await.unwrap().texts);
        }
        assert_eq!(model.activity().reused_tokens, 0);
        texts
    };
    let mut texts = Vec::new();
    for prompt in &prompts {
        texts.extend(answers(&model, text(prompt)).await.unwrap().texts);
    }
    assert_eq!(texts, fresh);
    let activity = model.activity();
    assert_eq!(activity.reuses, 5);
    assert!(activity.reused_tokens > 5 * 90, "{activity:?}");
    // The beginning takes its room once.
    assert!(activity.cached < 300, "{activity:?}");
}

#[tokio::test]
async fn a_chat_goes_on_from_its_last_turn_also_beside_others() {
    let model = own(options()).await;
    let first = format!("{} {}", CERTAIN[0], "9, 10, 11,");
    let (turn, other) =
        tokio::join!(answers(&model, text(CERTAIN[0])), answers(&model, text(CERTAIN[1])));
    assert!(other.is_ok());
    assert!(turn.unwrap().texts[0].starts_with(" 9, 10, 11"));
    let before = model.activity().reused_tokens;
    let found = answers(&model, text(&first)).await.unwrap();
    assert!(found.texts[0].starts_with(" 12, 13"), "{found:?}");
    let reused = model.activity().reused_tokens - before;
    assert!(reused + 4 >= found.prompt_tokens as u64, "{reused} of {}", found.prompt_tokens);
}

#[tokio::test]
async fn when_the_memory_is_full_the_youngest_wait_and_all_are_answered_alike() {
    let small = LoadOptions { context_length: Some(256), parallel: 4, ..options() };
    let request = |prompt: &str| Request { max_tokens: Some(100), ..text(prompt) };
    let single = own(LoadOptions { parallel: 1, ..small.clone() }).await;
    let model = own(small).await;
    let mut running = Vec::new();
    for prompt in &CERTAIN[..4] {
        running.push(model.generate(request(prompt)).await.unwrap());
    }
    for (prompt, events) in CERTAIN.iter().zip(running) {
        let together = collect(events).await.unwrap();
        let alone = answers(&single, request(prompt)).await.unwrap();
        // Later on, one more token can begin another course; the beginning is beyond doubt.
        assert_eq!(together.texts[0][..40], alone.texts[0][..40]);
        assert_eq!(together.prompt_tokens, alone.prompt_tokens);
    }
    let activity = model.activity();
    assert!(activity.paused > 0, "{activity:?}");
    assert_eq!((activity.running, activity.cache_length), (0, 256));
}

#[tokio::test]
async fn prompts_that_come_together_are_read_also_where_the_context_is_small() {
    // The engine takes no larger batch than the context, and ends the process for one.
    let small = LoadOptions { context_length: Some(64), parallel: 4, ..options() };
    let model = own(small).await;
    let request = |number: usize| Request {
        max_tokens: Some(4),
        ..text(&format!("{number}{}", " red blue".repeat(24)))
    };
    let mut running = Vec::new();
    for number in 0..4 {
        running.push(model.generate(request(number)).await.unwrap());
    }
    for events in running {
        let found = collect(events).await.unwrap();
        assert!(found.prompt_tokens > 40 && !found.texts[0].is_empty(), "{found:?}");
    }
}

#[tokio::test]
async fn unloading_waits_for_those_who_use_the_model() {
    let model = own(options()).await;
    assert!(!model.in_use());
    let mut running = model.generate(endless("Once upon")).await.unwrap();
    read(&mut running).await;
    assert!(model.in_use());
    let idle = tokio::spawn(model.idle());
    let used = model.clone();
    let unloaded = tokio::spawn(model.unload());
    tokio::task::yield_now().await;
    assert!(!unloaded.is_finished() && !idle.is_finished());
    assert!(running.next().await.unwrap().is_ok());
    drop(running);
    idle.await.unwrap();
    assert!(!unloaded.is_finished());
    drop(used);
    unloaded.await.unwrap();
}

#[tokio::test]
async fn many_texts_of_one_request_do_not_hold_up_another() {
    let model = embedder().await;
    let texts = |count: usize| -> Vec<Input> {
        (0..count).map(|index| Input::Text(format!("{index} ").repeat(200))).collect()
    };
    let many = tokio::spawn({
        let (model, texts) = (model.clone(), texts(60));
        async move { model.embed("many".into(), texts).await }
    });
    eventually("the first request is begun", || model.activity().prompt_tokens > 0).await;
    assert_eq!(model.embed("one".into(), texts(1)).await.unwrap().vectors.len(), 1);
    assert!(!many.is_finished());
    let found = many.await.unwrap().unwrap();
    assert_eq!((found.vectors.len(), found.tokens), (60, 60 * 202));
}
