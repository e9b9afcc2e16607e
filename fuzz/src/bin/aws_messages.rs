//! See `chaski_fuzz::aws_messages`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaski_fuzz::aws_messages(data));
