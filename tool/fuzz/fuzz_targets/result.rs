//! How a check ended.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_fuzz::run::page("result.json", bytes));
