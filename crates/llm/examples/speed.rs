//! `speed FILE [PROMPT [DECODE]]`: tokens a second of a model through this crate: a prompt of so
//! many tokens, then so many tokens of an answer; the best of five rounds.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use chaski_llm::{Event, LoadOptions, Prompt, Request, Sampling, TextModel};
use std::{error::Error, path::Path, time::Instant};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().ok_or("usage: speed FILE [PROMPT [DECODE]]")?;
    let number = |at: usize, usual| arguments.get(at).map_or(Ok(usual), |text| text.parse());
    let (prompt, decode): (usize, usize) = (number(1, 512)?, number(2, 128)?);

    let began = Instant::now();
    let model = TextModel::load(Path::new(file), LoadOptions::default(), |_| ()).await?;
    println!("loaded in {:.2} s", began.elapsed().as_secs_f64());

    let (mut best_prompt, mut best_decode) = (0.0_f64, 0.0_f64);
    for round in 0..5 {
        // No token that ends the answer, and another beginning each time.
        let tokens = (0..prompt).map(|at| 100 + i32::try_from(at % 50).unwrap_or(0) + round);
        let ends = (0..3).map(|token| (token, -100.0)).collect();
        let request = Request {
            sampling: Sampling { temperature: 0.0, logit_bias: ends, ..Sampling::default() },
            max_tokens: Some(decode),
            ..Request::new(Prompt::Tokens(tokens.collect()))
        };
        let began = Instant::now();
        let mut events = model.generate(request).await?;
        let (mut first, mut tokens) = (0.0, 0);
        while let Some(event) = events.next().await {
            match event? {
                Event::Prompt { .. } => first = began.elapsed().as_secs_f64(),
                Event::Done { completion_tokens, .. } => tokens = completion_tokens,
                Event::Thoughts { .. } | Event::Text { .. } | Event::Finished { .. } => {}
            }
        }
        let rest = began.elapsed().as_secs_f64() - first;
        best_prompt = best_prompt.max(rate(prompt, first));
        best_decode = best_decode.max(rate(tokens.saturating_sub(1), rest));
    }
    println!("prompt {best_prompt:.1} tokens/s, decode {best_decode:.1} tokens/s");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "thousands of tokens at most")]
fn rate(tokens: usize, seconds: f64) -> f64 {
    tokens as f64 / seconds
}
