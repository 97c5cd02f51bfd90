//! Backends `nixos` and `driver`, `build` and `auto` on a real Nix, with a flake of plain derivations. No network.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;
#[path = "common/nix.rs"]
mod fixture;
#[path = "nix/inputs.rs"]
mod inputs;
#[path = "nix/project.rs"]
mod project;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::Run;
use common::processes::wait_until_gone;
use fixture::{Fixture, named_process, named_processes};
use unix::sys::signal::{Signal, kill};
use unix::unistd::Pid;

#[test]
fn a_pass_is_run_once_and_again_only_when_asked() {
    let Some(fixture) = Fixture::new() else { return };
    let run = fixture
        .nixos(&["good"])
        .expect(0, &["nixos, a NixOS machine by Nix ", " (asked for)\n", "PASS good", "1 passed in"]);
    assert!(!run.stderr.contains("not run again"), "{}", run.stderr);
    assert_eq!(fixture.result("good/log"), "begin\n");
    assert!(!fixture.result("good/out").is_empty(), "what the build left is at hand");
    assert!(fixture.result("nix.log").contains("a trace of good"), "{}", fixture.result("nix.log"));

    fixture.nixos(&["good"]).expect(0, &["PASS good  passed earlier, not run again"]);

    // Its output differs each time, which is nothing that a check is about.
    let run = fixture.nixos(&["good", "--rebuild"]).expect(0, &["PASS good", "1 passed"]);
    assert!(!run.stderr.contains("not run again"), "{}", run.stderr);
    assert_eq!(fixture.result("good/log"), "begin\n");
}

#[test]
fn all_checks_are_run_though_some_fail() {
    let Some(fixture) = Fixture::new() else { return };
    let run = fixture.nixos(&["bad", "good", "odd", "other"]).expect(
        1,
        &[
            "PASS good",
            "PASS other",
            "✗ voltage",
            "FAIL bad",
            "bad failed, in subtest \"voltage\", at checks/bad.py:2",
            "    false\n",
            "command `false` failed (exit code 1)",
            "FAIL odd",
            "giving up",
            "2 passed, 2 failed in",
        ],
    );
    // Told when it happens, at the end, and in the list of several failures.
    assert_eq!(run.stderr.matches("command `false` failed").count(), 3, "{}", run.stderr);
    // A failed rebuild of what had passed is a failure, too.
    let again = fixture.nixos(&["bad", "good", "odd", "--rebuild"]);
    again.expect(1, &["PASS good", "FAIL bad", "FAIL odd", "1 passed, 2 failed"]);
}

#[test]
fn warnings_of_nix_do_not_disturb() {
    let Some(fixture) = Fixture::new() else { return };
    let mut command = fixture.command(&["test", "good", "odd", "--backend", "nixos"]);
    command.env("NIX_CONFIG", "no-such-setting = 1\nbuild-users-group =\nsandbox = false\nsubstituters =\n");
    let run = Run::of(&command.output().unwrap());
    let run = run.expect(1, &["warning: unknown setting 'no-such-setting'", "PASS good", "FAIL odd"]);
    assert_eq!(run.stderr.matches("no-such-setting").count(), 1, "{}", run.stderr);
    assert!(!run.stderr.contains("dirty"), "{}", run.stderr);
    assert_eq!(fixture.result("good/log"), "begin\n");
}

#[test]
fn a_rebuild_that_fails_is_a_failure() {
    let Some(fixture) = Fixture::new() else { return };
    let flag = fixture.dir.path().join("flag");
    let check = |name: &str, end: &str| {
        let flag = flag.display();
        let text = format!("{{ nixosTest, ... }}: nixosTest {{ }} \"mkdir $out; test ! -e {flag} || {end}\"");
        fixture.write(&format!("checks/{name}.nix"), &text);
    };
    check("bad", "exit 4");
    check("odd", "exit 5");
    fixture.nixos(&["bad", "odd", "other"]).expect(0, &["3 passed"]);
    fs::write(&flag, "").unwrap();
    fixture.nixos(&["bad", "odd", "other"]).expect(0, &["3 passed"]);
    let run = fixture.nixos(&["bad", "odd", "other", "--rebuild"]);
    run.expect(1, &["ended with status 4", "ended with status 5", "PASS other", "1 passed, 2 failed"]);
}

#[test]
fn what_a_check_needs_and_cannot_be_built_is_named_once() {
    let Some(fixture) = Fixture::new() else { return };
    let run = fixture.nixos(&["needy", "other"]).expect(
        1,
        &["PASS other", "FAIL needy", "it did not run: Nix could not build some-library", "failed with exit code 2"],
    );
    assert_eq!(run.stderr.matches("failed with exit code 2").count(), 1, "{}", run.stderr);
    assert!(fixture.result("needy/log").contains("some-library> no compiler"), "{}", fixture.result("needy/log"));
}

#[test]
fn a_missing_feature_is_the_hosts_trouble() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.nixos(&["kvm"]).expect(
        5,
        &[
            "no builder of Nix has the feature `kvm`",
            "check-kvm",
            "configure-nix",
            "--backend driver",
            "--backend sandbox",
        ],
    );
    // Neither the driver nor the variant for emulation asks for it.
    fixture.driver(&["kvm"]).expect(0, &["PASS kvm"]);
}

#[test]
fn a_dry_run_tells_what_would_be_built_and_who_can() {
    let Some(fixture) = Fixture::new() else { return };
    let machine = format!("{}-linux", std::env::consts::ARCH);
    let here = format!("this machine builds {machine}");
    // A library that is built for a check is told, too.
    let run = fixture.nixos(&["needy", "other", "--dry-run"]).expect(0, &["3 to build, 0 to fetch", &here]);
    let built = |run: &Run| {
        let names =
            run.stdout.lines().map(|line| line.strip_prefix("build /").unwrap().split_once('-').unwrap().1.to_owned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let wanted = ["some-library.drv", "vm-test-run-needy.drv", "vm-test-run-other.drv"];
    assert_eq!(built(&run), wanted.map(str::to_owned).into());
    assert!(!fixture.root.join("target/checks").exists(), "no run");
    fixture.nixos(&["other"]).expect(0, &["PASS other"]);
    assert_eq!(fixture.nixos(&["other", "--dry-run"]).expect(0, &["0 to build, 0 to fetch"]).stdout, "");

    // What no builder can build is the failure that a run would give.
    let asks = format!("vm-test-run-kvm asks for {machine} with {{kvm, nixos-test}}");
    let run = fixture.nixos(&["kvm", "--dry-run"]).expect(5, &["no builder of Nix has the feature `kvm`", &asks]);
    assert_eq!(built(&run), ["vm-test-run-kvm.drv".to_owned()].into());
    fixture.driver(&["kvm", "--dry-run"]).expect(0, &["1 to build, 0 to fetch"]);
    // A machine of a farm has it. Nobody asks whether it answers.
    let farm = format!("ssh-ng://farm.invalid {machine} - 1 1 kvm,nixos-test");
    fixture.nixos(&["kvm", "--dry-run", "--builders", &farm]).expect(0, &["ssh-ng://farm.invalid builds"]);
    let other = if cfg!(target_arch = "aarch64") { "x86_64-linux" } else { "aarch64-linux" };
    let nobody = format!("no builder of Nix is of the system `{other}`");
    fixture.nixos(&["kvm", "--dry-run", "--builders", &farm, "--system", other]).expect(5, &[&nobody]);
    fixture.nixos(&["kvm", "--dry-run", "--", "--option", "extra-system-features", "kvm"]).expect(0, &["1 to build"]);
    fixture.xtask(&["test", "kvm", "--backend", "sandbox", "--dry-run"]).expect(2, &["--backend nixos"]);
}

#[test]
fn what_the_host_lacks_is_neither_a_failure_nor_another_checks_library() {
    let Some(fixture) = Fixture::new() else { return };
    let library =
        "need = sh \"virtual-library\" { requiredSystemFeatures = [ \"kvm\" ]; } \"mkdir $out\"; } \"mkdir $out\"";
    fixture.write("checks/slow.nix", &format!("{{ nixosTest, sh, ... }}: nixosTest {{ {library}"));
    let run = fixture.nixos(&["bad", "kvm", "needy", "slow"]);
    let run = run.expect(5, &["FAIL bad", "FAIL needy", "no builder of Nix has the feature `kvm`", "2 failed"]);
    for wrong in ["FAIL kvm", "FAIL slow", "could not build virtual-library"] {
        assert!(!run.stderr.contains(wrong), "{wrong}: {}", run.stderr);
    }
}

#[test]
fn a_verdict_is_told_when_its_check_ends() {
    let Some(fixture) = Fixture::new() else { return };
    let mut command = fixture.command(&["test", "other", "bad", "slow", "--backend", "nixos", "-j", "3"]);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut wanted = vec!["PASS other", "FAIL bad"];
    while !wanted.is_empty() {
        let line = lines.next().expect("a verdict while the slow check runs");
        wanted.retain(|word| !line.contains(word));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("1 passed, 1 failed, 1 interrupted")), "{rest:#?}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_nix_that_dies_says_nothing_of_the_check() {
    let Some(fixture) = Fixture::new() else { return };
    let mut command = fixture.command(&["test", "slow", "--backend", "nixos"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let builder = named_processes(&fixture)[0].0;
    let stat = fs::read_to_string(format!("/proc/{builder}/stat")).unwrap();
    let parent = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    kill(Pid::from_raw(parent), Signal::SIGKILL).unwrap();
    let run = Run::of(&child.wait_with_output().unwrap());
    let run = run.expect(5, &["HOST slow", "error: Nix failed"]);
    assert!(!run.stderr.contains("FAIL"), "{}", run.stderr);
}

/// A program in Nix's place: what it says is no JSON.
#[test]
fn what_nix_says_in_plain_text_is_shown() {
    let Some(fixture) = Fixture::new() else { return };
    let bin = fixture.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let says = "#!/bin/sh\ncase \"$*\" in --version) echo 'nix (Nix) 2.31.2'; exit;; esac\n\
                echo 'nix: symbol lookup error: undefined symbol: XYZZY' >&2; exit 127\n";
    common::executable(&bin.join("nix"), says);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = fixture.command(&["test", "other", "--backend", "nixos"]);
    Run::of(&command.env("PATH", path).output().unwrap()).expect(5, &["Nix failed", "undefined symbol: XYZZY"]);
}

#[test]
fn a_system_without_a_builder_is_the_hosts_trouble() {
    let Some(fixture) = Fixture::new() else { return };
    let other = if cfg!(target_arch = "aarch64") { "x86_64-linux" } else { "aarch64-linux" };
    fixture
        .nixos(&["other", "--system", other])
        .expect(5, &[&format!("no builder of Nix is of the system `{other}`"), "--builders"]);
}

#[test]
fn options_reach_nix() {
    let Some(fixture) = Fixture::new() else { return };
    // Only a Nix that got them refuses them.
    fixture.nixos(&["other", "--", "--no-such-flag"]).expect(2, &["--no-such-flag"]);
    fixture.nixos(&["other", "--store", "nonsense://x"]).expect(5, &["nonsense"]);
    fixture.nixos(&["other", "--offline", "--builders", "", "--", "--max-jobs", "1"]).expect(0, &["PASS other"]);
    fixture.nixos(&["kvm", "--accel", "tcg"]).expect(5, &["feature `kvm`"]);
    fixture.nixos(&["other", "--accel", "tcg"]).expect(0, &["PASS other"]);
    assert!(fixture.result("nix.log").contains("tcg.other"), "{}", fixture.result("nix.log"));
}

#[test]
fn an_error_in_a_nix_file_is_shown_whole_and_once() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.write("checks/bad.nix", "{ nixosTest, ... }:\nnixosTset { } \"\"\n");
    let run = fixture.nixos(&["bad", "other"]).expect(3, &["undefined variable 'nixosTset'", "checks/bad.nix:2:1"]);
    assert_eq!(run.stderr.matches("undefined variable").count(), 1, "{}", run.stderr);
}

#[test]
fn files_that_git_does_not_track_are_named_or_tracked() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.write("checks/new.nix", "{ nixosTest, ... }: nixosTest { } \"mkdir $out\"");
    fixture.write("checks/new.py", "");
    let hint = "hint: git add -N -- checks/new.nix checks/new.py, or give --track";
    fixture.nixos(&["new"]).expect(3, &["checks/new.nix is not tracked by Git", hint]);
    fixture.nixos(&["other"]).expect(0, &["warning: not tracked by Git", hint, "PASS other"]);
    fixture.nixos(&["new", "--track"]).expect(0, &["git tracks now: checks/new.nix checks/new.py", "PASS new"]);
    fixture.write("checks/lone.py", "");
    fixture.nixos(&["lone"]).expect(3, &["checks/lone.py but no checks/lone.nix"]);
    fixture.write("checks/my check.nix", "");
    fixture.write("checks/my check.py", "");
    fixture.nixos(&["my check"]).expect(3, &["`my check` cannot be the name of a check"]);
}

#[test]
fn a_time_limit_is_told_from_a_failure() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.nixos(&["slow", "--timeout", "1"]).expect(1, &["TIME slow", "slow ran into its time limit of 1 s"]);
    fixture.driver(&["slow", "--timeout", "1"]).expect(1, &["TIME slow", "slow ran into its time limit of 1 s"]);
}

#[test]
fn ctrl_c_ends_a_build_and_a_driver() {
    let Some(fixture) = Fixture::new() else { return };
    for backend in ["nixos", "driver"] {
        let child = fixture
            .command(&["test", "slow", "--backend", backend])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pids = named_processes(&fixture);
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        Run::of(&output).expect(130, &["STOP slow", "1 interrupted"]);
        wait_until_gone(&pids);
        fs::remove_dir_all(fixture.root.join("target")).unwrap();
    }
}

#[test]
fn nothing_outlives_a_killed_xtask() {
    let Some(fixture) = Fixture::new() else { return };
    for backend in ["nixos", "driver"] {
        let mut child = fixture.command(&["test", "slow", "--backend", backend]).stderr(Stdio::null()).spawn().unwrap();
        let pids = named_processes(&fixture);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until_gone(&pids);
        fs::remove_dir_all(fixture.root.join("target")).unwrap();
    }
}

#[test]
fn the_driver_runs_as_the_user_with_folders_of_its_own() {
    let Some(fixture) = Fixture::new() else { return };
    let run = fixture
        .driver(&["good"])
        .expect(0, &["driver, a NixOS machine by Nix ", " (asked for)\n", "✓ all lines, one by one", "PASS good"]);
    assert_eq!(run.stdout, "");
    assert_eq!(fixture.result("good/out/file"), "kept\n");
    assert_eq!(fixture.result("good/junit.xml"), "<testsuites/>\n");
    let log = fixture.result("good/log");
    assert!(log.contains("\nsubtest: all lines, one by one\n"), "no colour: {log}");
    assert!(log.starts_with("QEMU_OPTS=\n"), "{log}");
    let runtime = log.lines().find_map(|line| line.strip_prefix("in ")).unwrap();
    assert!(!runtime.is_empty() && !Path::new(runtime).exists(), "{runtime}");

    fixture.driver(&["other", "--accel", "tcg"]).expect(0, &["PASS other"]);
    assert!(fixture.result("other/log").starts_with("QEMU_OPTS=-machine accel=tcg\n"));
}

#[test]
fn a_driver_that_fails_says_where() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.driver(&["bad"]).expect(
        1,
        &[
            "✗ all lines, one by one",
            "bad failed, in subtest \"all lines, one by one\", at checks/bad.py:2",
            "    false\n",
            "0 passed, 1 failed in",
        ],
    );
    // What it leaves behind goes, too: else this call would not return.
    fixture.driver(&["odd"]).expect(1, &["the driver ended with status 3"]);
}

#[test]
fn a_driver_that_cannot_be_built_fails_its_check_alone() {
    let Some(fixture) = Fixture::new() else { return };
    let text = "{ nixosTest, sh, ... }: nixosTest { } \"\" // { driver = sh \"nixos-test-driver-bad\" { } \"echo wrong type; exit 1\"; }";
    fixture.write("checks/bad.nix", text);
    fixture
        .driver(&["bad", "other", "--no-fail-fast"])
        .expect(1, &["FAIL bad", "its test driver could not be built", "failed with exit code 1", "PASS other"]);
    assert!(fixture.result("bad/log").contains("wrong type"));
}

#[test]
fn interactive_hands_the_terminal_over() {
    let Some(fixture) = Fixture::new() else { return };
    let run = fixture.xtask(&["interactive", "other", "--backend", "driver"]);
    run.expect(0, &["start_all()", "root, without password", "loadkeys", "Ctrl-d, then y", "test script finished"]);
    fixture.xtask(&["interactive", "bad", "--backend", "nixos"]).expect(1, &["RequestedAssertionFailed"]);
}

#[test]
fn a_closed_terminal_leaves_no_folder() {
    let Some(fixture) = Fixture::new() else { return };
    let temporary = fixture.dir.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let mut command = fixture.command(&["interactive", "slow", "--backend", "driver"]);
    // What a terminal signals when it is closed: its foreground process group.
    command.env("TMPDIR", &temporary).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pids: Vec<_> = lines.filter_map(|line| named_process(&line)).take(2).collect();
    let left = || {
        let folder = fixture.root.join("target/checks/latest/slow/run");
        let names = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("xtask-")).count() + usize::from(folder.exists())
    };
    assert_eq!(left(), 1);
    unix::sys::signal::killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGHUP).unwrap();
    child.wait().unwrap();
    wait_until_gone(&pids);
    let deadline = Instant::now() + Duration::from_secs(30);
    while left() > 0 {
        assert!(Instant::now() < deadline, "a folder is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn build_says_by_what_and_where() {
    let Some(fixture) = Fixture::new() else { return };
    let run = fixture.xtask(&["build"]).expect(0, &["Building .#packages.", "compiling"]);
    let result = fixture.root.join("result");
    assert_eq!(run.stdout.trim(), result.to_str().unwrap());
    assert!(result.join("bin/linux-x86_64/example").is_file());
    let flake = fs::read_to_string(fixture.root.join("flake.nix")).unwrap();
    fixture.write("flake.nix", &flake.replace("echo compiling;", "echo compiling; exit 1;"));
    fixture.xtask(&["build"]).expect(1, &["Nix could not build it", "failed with exit code 1"]);
    // That Nix builds them is all: their output tells the rest.
    let told =
        ["Building .#legacyPackages.", "FAIL badTest", "not ok 2 - twice", "FAIL goodTest", "ended with an error"];
    fixture.xtask(&["test", "--unit"]).expect(1, &told);
}

#[test]
fn a_folder_with_a_blank_works_or_is_named() {
    let Some(fixture) = Fixture::named("my project") else { return };
    let run = fixture.nixos(&["other"]);
    if run.code == Some(0) {
        run.expect(0, &["PASS other"]);
    } else {
        run.expect(5, &["this Nix cannot read a flake in a folder whose path has such characters"]);
    }
}
