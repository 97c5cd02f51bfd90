//! What the services of a machine said.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_fuzz::run::page("journal/machine/journal.jsonl", bytes));
