//! See `chaski_fuzz::framing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaski_fuzz::framing(data));
