//! A unit file, as a service, as a target, and as a drop-in.
#![no_main]

use tool_init::unit::load::check_text;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = check_text("a@b.service", text, &[]);
    let _ = check_text("a.target", text, &[]);
    let _ = check_text("a.service", "[Service]\nExecStart=/bin/true\n", &[("a.conf", text)]);
});
