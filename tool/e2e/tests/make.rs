//! An IOC that `make` builds with EPICS base, in C++ of its own: built, run, and never run once it is stale.
//!
//! EPICS base is that of the package `epicscorelibs` of PyPI, which .ci/run puts below the target folder.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Scratch, copy};

const EXE: &str = "tank";

/// EPICS base and a project with an IOC in C++. `None`, and a loud word, where there is no EPICS base.
fn scratch() -> Option<(Scratch, PathBuf)> {
    let target = Path::new(env!("CARGO_BIN_EXE_foreign")).ancestors().nth(2).unwrap();
    let pythons = fs::read_dir(target.join("ci-tools/lib")).into_iter().flatten().flatten();
    let base = pythons.map(|python| python.path().join("site-packages/epicscorelibs")).find(|base| base.is_dir());
    let Some(base) = base else {
        common::skipped("no EPICS base; .ci/run gets one from PyPI");
        return None;
    };
    let scratch = Scratch::new();
    fs::remove_dir_all(scratch.root.join("ioc")).unwrap();
    fs::remove_dir_all(scratch.root.join("checks")).unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/make"), &scratch.root);
    Some((scratch, base))
}

/// RELEASE.local alone is enough to build by `make`, and to build again.
#[test]
fn a_stale_build_is_built_again_or_refused() {
    let Some((scratch, base)) = scratch() else { return };
    let built = format!("bin/linux-{}/{EXE}", std::env::consts::ARCH);
    let test = || scratch.xtask(&["test", "level", "--no-lint", "--backend", "sandbox"]);
    let release = format!("EPICS_BASE = {}\n", base.display());
    scratch.write("ioc/configure/RELEASE.local", &release);
    let said =
        format!("Building the IOC by make (the sandbox was asked for, and ioc/configure/RELEASE.local has {release}");
    let run = scratch.xtask(&["build", "--backend", "sandbox"]).expect(0, &[said.trim_end(), "cp tankApp/Db/tank.db"]);
    assert_eq!(
        run.stdout.trim_end(),
        scratch.root.join("ioc").join(&built).to_str().unwrap(),
        "what make says is talk"
    );
    let run = test().expect(0, &["with the IOC that make built in ioc/", "PASS level"]);
    assert!(!run.stderr.contains("Building"), "{}", run.stderr);
    scratch.xtask(&["doctor", "--json"]).expect_out("the IOC that make built in ioc/");

    // What a check would have passed with.
    scratch.edit("ioc/tankApp/Db/tank.db", "\"3\"", "\"4\"");
    scratch
        .xtask(&["doctor", "--json"])
        .expect_out("not of the files as they are (ioc/tankApp/Db/tank.db is not the one that is installed)");
    let again = "Building the IOC by make again (ioc/tankApp/Db/tank.db is not the one that is installed)\n";
    test().expect(1, &[again, "FAIL level"]);
    scratch.edit("ioc/tankApp/Db/tank.db", "\"4\"", "\"3\"");
    test().expect(0, &[again]);

    scratch.edit("ioc/tankApp/src/tankMain.cpp", "return 0;\n}\n\nstatic", "return nothing;\n}\n\nstatic");
    test().expect(1, &["tankMain.cpp is newer than what make built", "‘nothing’ was not declared"]);
    scratch.write("ioc/configure/RELEASE.local", "");
    let refused = "the IOC in ioc/bin/ is not of the files as they are: ioc/configure/RELEASE.local is newer than what make built";
    test().expect(
        5,
        &[refused, "hint: build it again: EPICS_BASE=/path/to/base make -C ioc; or run another one: --ioc embedded"],
    );
    scratch.xtask(&["interactive", "level", "--backend", "sandbox"]).expect(5, &[refused]);
    scratch.xtask(&["run", "--ioc", "make"]).expect(5, &[refused]);

    scratch.write("ioc/configure/RELEASE.local", &release);
    scratch.edit("ioc/tankApp/src/tankMain.cpp", "return nothing", "return 0");
    let run = test().expect(0, &["PASS level"]);
    assert!(!run.stderr.contains("Building"), "all is as it was when make had built it: {}", run.stderr);
    let clean =
        std::process::Command::new("make").arg("-C").arg(scratch.root.join("ioc")).arg("clean").output().unwrap();
    assert!(clean.status.success());
    test().expect(0, &["again (ioc/iocBoot/iocTank/envPaths is not there, as after `make clean`)"]);
}

#[test]
fn an_ioc_for_another_computer_is_not_run() {
    let Some((scratch, base)) = scratch() else { return };
    let build = |words: &[&str]| {
        let mut command = scratch.command(words);
        common::Run::of(&command.env("EPICS_BASE", &base).output().unwrap())
    };
    build(&["build", "--backend", "sandbox"]).expect(0, &["and EPICS_BASE is set"]);
    let (arm, own) = (scratch.root.join("ioc/bin/linux-arm"), format!("ioc/bin/linux-{}", std::env::consts::ARCH));
    let mut program = fs::read(scratch.root.join(&own).join(EXE)).unwrap();
    // The machine of its header: ARM, of 32 bits.
    program[18..20].copy_from_slice(&[40, 0]);
    fs::create_dir(&arm).unwrap();
    fs::write(arm.join(EXE), program).unwrap();
    build(&["test", "level", "--no-lint", "--ioc", "make", "--backend", "sandbox"]).expect(0, &["PASS level"]);
    fs::remove_dir_all(scratch.root.join(own)).unwrap();
    let only = "there is no IOC in ioc/bin/ for this computer, only for linux-arm";
    build(&["test", "level", "--no-lint", "--ioc", "make", "--backend", "sandbox"]).expect(5, &[only]);
}
