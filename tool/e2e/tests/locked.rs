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

#[test]
fn what_the_caller_left_open_does_not_reach_a_machine() {
    let scratch = Scratch::new();
    scratch.write("secret", "");
    scratch.write("open.py", "t.assertNotIn('/secret', machine.succeed('ls -l /proc/[0-9]*/fd || :'))\n");
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9<secret; exec \"$0\" driver -o . open.py", env!("CARGO_BIN_EXE_foreign")]);
    scratch.environment(&mut shell);
    Run::of(&shell.output().unwrap()).expect(0, &["test script finished"]);
}
