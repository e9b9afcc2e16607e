//! See `chaski_fuzz::upstream_anthropic`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaski_fuzz::upstream_anthropic(data));
