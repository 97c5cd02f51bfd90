//! What the process variables of a machine did.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_fuzz::run::page("record/machine.jsonl", bytes));
