//! Where the programs of tool/embedded/ come from.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Run, Scratch};

fn shell(folder: &Path, line: &str) {
    assert!(Command::new("sh").args(["-ec", line]).current_dir(folder).status().unwrap().success(), "{line}");
}

#[test]
fn another_clone_takes_what_is_built_from_the_cache() {
    let scratch = Scratch::new();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    shell(tool, &format!("cp -a embedded '{}'", scratch.root.join("tool").display()));
    let cache = scratch.scratch_dir().join("cache");
    let key = fs::read_to_string(scratch.root.join("target/embedded/built")).unwrap();
    let (entry, target) = (cache.join("cargo-xtask-ioc").join(&key), scratch.root.join("target/embedded"));
    fs::create_dir_all(&entry).unwrap();
    shell(&target.join(&key), &format!("sha256sum * > '{0}/SHA256SUMS'; cp * '{0}'", entry.display()));
    // No cargo: nothing can be built.
    let lint = |off: &str| {
        let mut command = scratch.command(&["lint"]);
        command.env("CARGO", "false").env("XDG_CACHE_HOME", &cache).env("XTASK_NO_CACHE", off);
        Run::of(&command.output().unwrap())
    };

    fs::remove_file(&target).unwrap();
    lint("1").expect(5, &["could not be built"]);
    lint("").expect(0, &["that another clone of the same sources has built"]);
    assert!(!lint("").expect(0, &[]).stderr.contains("clone"), "said once");

    fs::remove_dir_all(&target).unwrap();
    fs::write(entry.join("soft-ioc"), "#!/bin/sh\n").unwrap();
    lint("").expect(5, &["was broken, and is removed", "could not be built"]);
    assert!(!entry.exists());
}
