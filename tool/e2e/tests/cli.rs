//! The command line around the commands: overview, mistakes, completion, manual page.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Run, Scratch};

#[test]
fn without_a_command_it_shows_what_one_does_most() {
    let run = Scratch::new().xtask(&[]).expect(0, &[]);
    insta::assert_snapshot!(run.stdout, @r"
    Try the IOC
      cargo xtask test                  run all checks, each on a machine of its own
      cargo xtask test simple           run one check
      cargo xtask run                   the IOC at its prompt, beside its simulator
      cargo xtask run --host            the same on this host, for any client

    Find out why
      cargo xtask test simple --debug   stay there after a failure
      cargo xtask interactive simple    a Python prompt on a check's machine
      cargo xtask exec                  a shell on the machine where the IOC runs
      cargo xtask doctor                what keeps checks from running here

    Make it yours
      cargo xtask rename --app psu      give everything your own names
      cargo xtask new-check ramp        one more check to start from
      cargo xtask lint                  mistakes in the IOC's files, at once
      cargo xtask build                 build the IOC: Nix, make or the soft IOC

    Before a change lands
      cargo xtask ci                    everything that must hold

    Of this project
      cargo xtask deploy                Copy the built IOC into a folder

    All commands: cargo xtask --help. One of them: cargo xtask test --help.
    ");
    assert_eq!(run.stderr, "");
}

#[test]
fn mistakes_are_told_with_what_was_meant() {
    let scratch = Scratch::new();
    scratch.xtask(&["tset"]).expect(2, &["'tset'", "similar", "'test'"]);
    scratch.xtask(&["run", "--hots"]).expect(2, &["'--hots'", "'--host'"]);
    scratch.xtask(&["run", "--ioc", "mak"]).expect(2, &["'mak'", "'make'"]);
    scratch.xtask(&["completions", "ksh"]).expect(2, &["bash", "fish", "zsh"]);
    let version = scratch.xtask(&["--version"]).expect(0, &[]).stdout;
    assert_eq!(version.trim(), format!("cargo xtask {}", env!("CARGO_PKG_VERSION")));
}

/// Completes the last of some words in a real bash, with a completion of cargo that is there already.
fn bash(scratch: &Scratch, words: &[&str]) -> Vec<String> {
    let script = scratch.xtask(&["completions", "bash"]).expect(0, &[]).stdout;
    scratch.write("completion.bash", &script);
    let ask = r#"
        _cargo() { COMPREPLY=(cargo-was-here); }
        complete -F _cargo cargo
        . ../completion.bash
        . ../completion.bash
        COMP_WORDS=(cargo "$@") COMP_CWORD=$#
        "$(complete -p cargo | sed 's/.*-F \([^ ]*\) .*/\1/')" cargo "${@: -1}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut command = Command::new("bash");
    command.args(["--norc", "-uc", ask, "bash"]).args(words);
    scratch.environment(&mut command);
    let run = Run::of(&command.current_dir(scratch.root.join("ioc")).output().unwrap()).expect(0, &[]);
    assert_eq!(run.stderr, "");
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_values_and_checks() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.root.join("target/debug")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_foreign"), scratch.root.join("target/debug/xtask")).unwrap();
    std::fs::create_dir(scratch.root.join("xtask")).unwrap();
    scratch.write("xtask/Cargo.toml", "");
    scratch.check("reconnect", "");
    assert_eq!(bash(&scratch, &["xtask", "inter"]), ["interactive"]);
    assert_eq!(bash(&scratch, &["xtask", "dep"]), ["deploy"], "the project's own, too");
    assert_eq!(bash(&scratch, &["xtask", "test", "re"]), ["reconnect"]);
    assert_eq!(bash(&scratch, &["xtask", "test", "--backend", "=", "s"]), ["sandbox"]);
    assert_eq!(bash(&scratch, &["xtask", "run", "--h"]), ["--host", "--help"]);
    assert_eq!(bash(&scratch, &["bui"]), ["cargo-was-here"], "all else is cargo's");
    assert_eq!(bash(&scratch, &["xt"]), ["cargo-was-here"]);
    scratch.write("ioc.toml", "nonsense");
    assert_eq!(bash(&scratch, &["xtask", "tes"]), ["test"], "also where the project is broken");
}

#[test]
fn the_scripts_of_all_shells_are_valid() {
    let scratch = Scratch::new();
    for shell in ["bash", "fish", "zsh"] {
        let script = scratch.xtask(&["completions", shell]).expect(0, &[]).stdout;
        scratch.write("script", &script);
        // A shell that is not here cannot be asked.
        if let Ok(output) = Command::new(shell).arg("-n").arg(scratch.root.join("script")).output() {
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
        assert!(script.contains("complete -- "), "{script}");
    }
}

#[test]
fn the_manual_opens_a_pager_before_a_terminal() {
    if Command::new("man").arg("--version").output().is_err() {
        return common::skipped("no man(1) here");
    }
    let scratch = Scratch::new();
    let mut script = Command::new("script");
    scratch.environment(&mut script);
    let command = format!("'{}' man", env!("CARGO_BIN_EXE_foreign"));
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).stdin(std::process::Stdio::null());
    let run = Run::of(&script.env("TERM", "xterm").env("MANPAGER", "sed s/^/PAGED:/").output().unwrap()).expect(0, &[]);
    assert!(run.stdout.contains("PAGED:CARGO-XTASK(1)") && !run.stdout.contains(".TH CARGO"), "{}", run.stdout);
    // As on a minimized system.
    std::fs::create_dir(scratch.root.join("bin")).unwrap();
    for (name, text) in [("man", "echo minimized"), ("less", "sed s/^/PAGED:/")] {
        let program = scratch.root.join("bin").join(name);
        std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", scratch.root.join("bin").display(), std::env::var("PATH").unwrap());
    let run = Run::of(&script.env("PATH", path).output().unwrap()).expect(0, &[]);
    assert!(run.stdout.contains("PAGED:# ") && !run.stdout.contains("minimized"), "{}", run.stdout);
}

#[test]
fn the_manual_page_is_roff() {
    let page = Scratch::new().xtask(&["man"]).expect(0, &[]).stdout;
    assert!(page.starts_with(".TH CARGO-XTASK 1"), "{page}");
    assert!(page.contains(".SS cargo xtask run\n"), "{page}");
}
