//! See `chaski_fuzz::upstream_bedrock`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaski_fuzz::upstream_bedrock(data));
