//! `bare-loop FILE PROMPT DECODE THREADS`: the speed of the engine with nothing around it, measured
//! as the engine's own benchmark program does: a prompt of so many tokens in one go, then so many
//! tokens one after another. Prints JSON with tokens a second; the best of two rounds.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use anyhow::{Context, Result};
use llama_cpp_2::{
    LogOptions,
    context::params::LlamaContextParams,
    llama_backend::LlamaBackend,
    llama_batch::LlamaBatch,
    model::{LlamaModel, params::LlamaModelParams},
    send_logs_to_tracing,
    token::LlamaToken,
};
use std::{env, num::NonZeroU32, time::Instant};

/// A token that every vocabulary of the measured models has; the speed does not depend on which.
const TOKEN: LlamaToken = LlamaToken(100);

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, prompt, decode, threads] = &arguments[..] else {
        anyhow::bail!("usage: bare-loop FILE PROMPT DECODE THREADS")
    };
    let (prompt, decode, threads): (usize, usize, i32) =
        (prompt.parse()?, decode.parse()?, threads.parse()?);

    send_logs_to_tracing(LogOptions::default().with_logs_enabled(false));
    let backend = LlamaBackend::init()?;
    let model = LlamaModel::load_from_file(&backend, file, &LlamaModelParams::default())?;
    let size = NonZeroU32::new(u32::try_from(prompt + decode + 8)?).context("a size")?;
    let parameters = LlamaContextParams::default()
        .with_n_ctx(Some(size))
        .with_n_batch(512)
        .with_n_ubatch(512)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    let mut context = model.new_context(&backend, parameters)?;
    let mut batch = LlamaBatch::new(512, 1);

    let (mut best_prompt, mut best_decode) = (0.0_f64, 0.0_f64);
    for _ in 0..2 {
        context.clear_kv_cache();
        let began = Instant::now();
        for start in (0..prompt).step_by(512) {
            let end = (start + 512).min(prompt);
            batch.clear();
            for position in start..end {
                batch.add(TOKEN, i32::try_from(position)?, &[0], position + 1 == prompt)?;
            }
            context.decode(&mut batch)?;
        }
        best_prompt = best_prompt.max(rate(prompt, began));
        let began = Instant::now();
        for position in prompt..prompt + decode {
            batch.clear();
            batch.add(TOKEN, i32::try_from(position)?, &[0], true)?;
            context.decode(&mut batch)?;
        }
        best_decode = best_decode.max(rate(decode, began));
    }
    println!("{}", serde_json::json!({ "prompt": best_prompt, "decode": best_decode }));
    Ok(())
}

fn rate(tokens: usize, since: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "thousands of tokens at most")]
    let tokens = tokens as f64;
    tokens / since.elapsed().as_secs_f64()
}
