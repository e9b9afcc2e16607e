//! See `chaski_fuzz::raw_prompts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaski_fuzz::raw_prompts(data));
