//! See `chaski_fuzz::relay`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaski_fuzz::relay(data));
