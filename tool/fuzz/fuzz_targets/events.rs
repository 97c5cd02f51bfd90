//! What the driver said.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_fuzz::run::page("events.jsonl", bytes));
