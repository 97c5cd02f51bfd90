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

/// What `make` generates is looked at once it is of the files as they are.
#[test]
fn lint_before_a_run_reads_what_make_builds_again() {
    let scratch = Scratch::new();
    scratch.write("ioc/configure/CONFIG", "");
    let rules = [
        "all:",
        "mkdir -p bin/linux-own db",
        "printf '#!/bin/sh\\n' >bin/linux-own/example; chmod +x bin/linux-own/example",
        "cp exampleApp/Db/example.* db; cp made.src db/made.db",
        "printf 'epicsEnvSet(\"%s\",\"%s\")\\n' IOC iocExample TOP '$(CURDIR)' >iocBoot/iocExample/envPaths",
    ];
    scratch.write("ioc/configure/RULES_TOP", &format!("{}\n", rules.join("\n\t")));
    let rule = "DB += example.db\nDB += made.db\nmade.db: ../../../made.src\n\tcp $< $@\n";
    scratch.edit("ioc/exampleApp/Db/Makefile", "DB += example.db\n", rule);
    scratch.edit("ioc/iocBoot/iocExample/st.cmd", "iocInit()", "dbLoadRecords(\"${TOP}/db/made.db\")\niocInit()");
    scratch.check("nothing", "print('no machine is needed')\n");
    let test = || {
        let mut command = scratch.command(&["test", "nothing", "--backend", "sandbox"]);
        common::Run::of(&command.env("EPICS_BASE", "/usr").output().unwrap())
    };
    let record =
        |field: &str| scratch.write("ioc/made.src", &format!("record(ai, \"MADE\") {{ field({field}, \"1\") }}\n"));
    record("EGUUU");
    common::Run::of(&scratch.command(&["build", "--backend", "sandbox"]).env("EPICS_BASE", "/usr").output().unwrap())
        .expect(0, &[]);
    test().expect(1, &["EGUUU", "nothing was started"]);
    record("PREC");
    test().expect(0, &["Building the IOC by make again", "PASS nothing"]);
    record("EGUUU");
    test().expect(1, &["Building the IOC by make again", "EGUUU", "nothing was started"]);
}

/// EPICS' own test programs: what `epicsUnitTest` prints is read as it is.
#[test]
fn unit_tests_by_epics_base() {
    let Some((scratch, base)) = scratch() else { return };
    scratch.write("ioc/configure/RELEASE.local", &format!("EPICS_BASE = {}\n", base.display()));
    let test = || scratch.xtask(&["test", "--unit", "--backend", "sandbox", "--junit", "target/junit.xml"]);
    test().expect(
        0,
        &["Testing the code of ioc/ by make (the sandbox was asked for, and ioc/configure", "PASS twiceTest"],
    );
    let report = fs::read_to_string(scratch.root.join("target/junit.xml")).unwrap();
    for name in ["1 - twice 3 is 6", "2 - twice(0) == 0", "3 - (skipped: no device here)"] {
        assert!(report.contains(&format!("<testcase classname=\"twiceTest\" name=\"{name}\"")), "{report}");
    }
    scratch.edit("ioc/tankApp/src/twiceTest.c", "2 * value", "3 * value");
    test().expect(1, &["FAIL twiceTest", "not ok 1 - twice 3 is 6"]);
    scratch.edit("ioc/tankApp/src/twiceTest.c", "testPlan(3);", "testPlan(3); return 0;");
    test().expect(1, &["it has 3 tests and ran 0"]);
    // The IOC that is current after them is that of the files.
    scratch.edit("ioc/tankApp/Db/tank.db", "\"3\"", "\"4\"");
    test().expect(1, &["it has 3 tests and ran 0"]);
    let run = scratch.xtask(&["test", "level", "--no-lint", "--backend", "sandbox"]).expect(1, &["FAIL level"]);
    assert!(!run.stderr.contains("Building"), "{}", run.stderr);
}

/// No EPICS base, only rules as EPICS has them, so that this runs everywhere.
#[test]
fn unit_tests_become_reports() {
    let scratch = Scratch::new();
    let missing =
        "unit tests are programs that EPICS base builds; the sandbox was asked for, and neither EPICS_BASE nor";
    let hint = "hint: EPICS_BASE=/path/to/base cargo xtask test --unit";
    scratch.xtask(&["test", "--unit", "--backend", "sandbox"]).expect(5, &[missing, hint]);
    let test = |more: &[&str]| {
        let words = [&["test", "--unit", "--backend", "sandbox"], more].concat();
        common::Run::of(&scratch.command(&words).env("EPICS_BASE", "/usr").output().unwrap())
    };
    scratch.write("ioc/Makefile", "all:\ntapfiles:\n");
    test(&[]).expect(4, &["`make tapfiles` ran no unit test in ioc/", "hint: TESTPROD_HOST"]);

    let rule = "O.host/%.tap: %.sh\n\tmkdir -p $(@D)\n\tsh $< >$@ || echo $(@F) >>$(@D)/.taps-failed.log\n";
    // A test needs what only the build installs.
    let all = "all:\n\ttouch built\n";
    scratch.write("ioc/Makefile", &format!("{all}tapfiles: O.host/good.tap O.host/bad.tap O.host/idle.tap\n{rule}"));
    scratch.write("ioc/good.sh", "echo 1..1; test -f built && echo ok 1 - it runs");
    scratch.write("ioc/bad.sh", "echo 1..3; echo ok 1 - one; echo not ok 2 - two; echo '# at line 7'; exit 1");
    scratch.write("ioc/idle.sh", "echo 1..0 '# SKIP no hardware'");
    let told = [
        "SKIP idle",
        "no hardware",
        "PASS good",
        "FAIL bad",
        "not ok 2 - two",
        "at line 7",
        "it has 3 tests and ran 2",
    ];
    let run = test(&["--junit", "target/junit.xml", "--message-format", "json"]).expect(1, &told);
    let run =
        run.expect(1, &["run again    cargo xtask test bad --backend sandbox --unit", "1 passed, 1 failed, 1 skipped"]);
    assert!(!run.stderr.contains("look inside"), "there is no machine: {}", run.stderr);
    assert!(run.stdout.contains("\"backend\":\"unit\"") && run.stdout.contains("2 - two"), "{}", run.stdout);
    let report = fs::read_to_string(scratch.root.join("target/junit.xml")).unwrap();
    assert!(report.contains("tests=\"6\" failures=\"2\""), "{report}");
    assert!(report.contains("name=\"2 - two\" time=\"0.000\"><failure"), "{report}");
    assert!(report.contains("  at line 7</failure>") && report.contains(">it has 3 tests and ran 2"), "{report}");
    scratch.xtask(&["report"]).expect(0, &[]);
    assert!(scratch.result("report.html").contains("not ok 2 - two"));
    scratch.xtask(&["test", "--rerun-failed"]).expect(4, &["no run is kept in"]);

    test(&["good"]).expect(0, &["1 passed in"]);
    // It takes the time of the program, not that of reading what it has said; one of Nix's store has it noted.
    scratch.write(
        "ioc/Makefile",
        "tapfiles:\n\tmkdir -p O.x && printf '1..1\\nok 1\\n' > O.x/a.tap && echo '100.0 163.0' > O.x/a.tap.times\n",
    );
    test(&["a"]).expect(0, &["PASS a  1 min 03 s", "1 passed in 1 min"]);
    fs::remove_dir_all(scratch.root.join("ioc/O.x")).unwrap();
    scratch.write("ioc/Makefile", &format!("tapfiles: O.host/good.tap O.host/bad.tap O.host/idle.tap\n{rule}"));
    test(&["go", "bad"]).expect(4, &["no unit test is called `go`", "hint: they are: bad, good, idle"]);
    // It ran anew although no source of make's is newer.
    scratch.write("ioc/bad.sh", "echo ok 1; echo 1..1; exit 3");
    test(&["b*"]).expect(1, &["each test passed, but the program ended with an error"]);
    // Neither its rules nor those of EPICS need to have a limit. The others are told.
    scratch.write("ioc/Makefile", &format!("all:\ntapfiles: O.host/hang.tap O.host/good.tap\n{rule}"));
    scratch.write("ioc/hang.sh", "echo 1..2; echo ok 1 - a; sleep 1000 & sleep 1001; echo ok 2");
    let told = [
        "`sleep 1001` still running after 2 s",
        "FAIL hang",
        "it gave up: it was still running after 2 s",
        "PASS good",
    ];
    test(&["--timeout", "2"]).expect(1, &told).expect(1, &["--unit --timeout 4"]);
    // What hangs is not always a test.
    scratch.write("ioc/Makefile", "all:\n\tsleep 1002\n");
    test(&["--timeout", "1"]).expect(1, &["`sleep 1002` still running after 1 s"]);
    // As gtest's rules do: `.NAME.run` is there once a program has passed, its TAP once it has ended.
    let gtest = "O.host/.%.run:\n\tmkdir -p $(@D)\n\techo '.$*.run: $*' >O.host/$*.make\n\tsh -c 'kill -SEGV $$$$'\n";
    scratch.write("ioc/Makefile", &format!("all:\ntapfiles: O.host/.crash.run O.host/good.tap\n{rule}{gtest}"));
    test(&[]).expect(1, &["FAIL crash", "it ran 0 tests and never said", "PASS good", "1 passed, 1 failed"]);
    test(&["good"]).expect(0, &["1 passed in"]);
    // Nobody waits for what a test leaves behind, nor hears without end.
    scratch.write("ioc/Makefile", &format!("all:\ntapfiles: O.host/good.tap O.host/loud.tap\n{rule}"));
    scratch.write("ioc/good.sh", "echo 1..1; echo ok 1; sleep 900 >/dev/null & echo $! >left");
    scratch.write("ioc/loud.sh", "echo 1..1; echo ok 1; head -c 5000000 /dev/zero | tr '\\0' 'x'");
    test(&[]).expect(1, &["PASS good", "FAIL loud", "it gave up: it said more than 4 MiB"]);
    let left = fs::read_to_string(scratch.root.join("ioc/left")).unwrap();
    assert!(std::process::Command::new("kill").arg(left.trim()).status().unwrap().success(), "it was waited for");
    scratch.write("ioc/good.sh", "echo 1..1; echo ok 1");
    scratch.write("ioc/Makefile", &format!("all:\ntapfiles: O.host/good.tap\n\tfalse\n{rule}"));
    test(&[]).expect(1, &["tapfiles` ended with exit status: 2"]);
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
    let only = "there is no `tank` in ioc/bin/ for this computer, only for linux-arm";
    build(&["test", "level", "--no-lint", "--ioc", "make", "--backend", "sandbox"]).expect(5, &[only]);
    // Of two applications one is misspelt.
    let two = ["tank", "tnak"].map(|app| format!("[iocs.{app}]\napp = \"{app}\"\nioc = \"iocTank\"\n"));
    scratch.write("ioc.toml", &two.concat());
    build(&["build", "--backend", "sandbox"]).expect(3, &["there is no `tnak`", "hint: `app` in ioc.toml"]);
}
