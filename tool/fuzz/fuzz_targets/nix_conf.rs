//! nix.conf: as Nix reads it, and what is added and taken away again.
#![no_main]

use std::path::Path;

use tool_host::nixconf::{ConfValues, plan};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut settings = ConfValues::default();
    // A file may include itself.
    let read = |path: &Path| path.ends_with("more.conf").then(|| bytes.to_vec());
    if bytes.len() < 100 && settings.add(Path::new("/nix.conf"), bytes, &read).is_ok() {
        settings.features();
    }
    let _ = settings.add(Path::new("/nix.conf"), bytes, &|_| None);
    plan::removed(bytes);
    let added = plan::added(Some(bytes));
    assert_eq!(plan::removed(&added), plan::Undone::File(bytes.to_vec()));
    plan::diff(bytes, &added);
});
