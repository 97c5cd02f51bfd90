//! ioc.toml.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = tool_project::parse(text) {
        config.iocs.iter().for_each(|(name, ioc)| drop(config.environment(name, ioc, true)));
    }
});
