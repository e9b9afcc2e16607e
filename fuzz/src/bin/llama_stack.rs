//! See `chaski_fuzz::llama_stack`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaski_fuzz::llama_stack(data));
