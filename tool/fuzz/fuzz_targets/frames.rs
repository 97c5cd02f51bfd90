//! What processes of a machine and the driver send to its PID 1.
#![no_main]

use tool_base::protocol::{control, keeper, shell};
use tool_init::frames::{Lines, heading, native, syslog};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = native(bytes);
    let _ = syslog(bytes);
    let mut lines = Lines::default();
    for part in heading(bytes).body.chunks(1000) {
        lines.push(part);
    }
    lines.finish();
    let mut from = bytes;
    while shell::read(&mut from).is_some() {}
    let _ = serde_json::from_slice::<control::Request>(bytes);
    let _ = serde_json::from_slice::<keeper::Request>(bytes);
});
