//! checks/NAME.toml.
#![no_main]

use tool_project::settings::parse;

libfuzzer_sys::fuzz_target!(|text: &str| drop(parse("checks/a.toml", text).map(|settings| settings.machines())));
