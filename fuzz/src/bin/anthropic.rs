//! See `chaski_fuzz::anthropic`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaski_fuzz::anthropic(data));
