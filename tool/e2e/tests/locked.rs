//! A machine cannot change what is its host's, whoever runs it.
#![expect(clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::process::Command;

use common::{Run, Scratch};

#[test]
fn what_is_the_hosts_stays_as_it_is() {
    let scratch = Scratch::new();
    scratch.write("locked.py", include_str!("scripts/locked.py"));
    let words = ["driver", "-o", ".", "locked.py"];
    scratch.xtask(&words).expect(0, &["test script finished"]);
    let mut ordinary = Command::new("unshare");
    ordinary.args(["--user", "--map-user=1000", "--map-group=1000", env!("CARGO_BIN_EXE_foreign")]).args(words);
    scratch.environment(&mut ordinary);
    Run::of(&ordinary.output().unwrap()).expect(0, &["test script finished"]);
}
