#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_fuzz::top::lint("exampleApp/Db/Makefile", bytes));
