//! Many checks at once: isolation, totals, exit statuses and files, with real sandboxes.
#![expect(clippy::unwrap_used, reason = "tests run programs")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Run, Scratch};
use serde_json::Value;

/// Rounds of the mix; `XTASK_ROUNDS=200` for a longer hunt.
fn rounds() -> u64 {
    common::dice::number("XTASK_ROUNDS", || if common::slow() { 50 } else { 5 })
}

/// `run.json` of the newest run.
fn run_json(scratch: &Scratch) -> Value {
    serde_json::from_str(&scratch.result("run.json")).unwrap()
}

/// Verdicts by folder.
fn verdicts(scratch: &Scratch) -> BTreeMap<String, String> {
    let run = run_json(scratch);
    let outcomes = run["summary"]["outcomes"].as_array().unwrap().iter();
    let run_dir = std::path::Path::new(run["run"]["dir"].as_str().unwrap());
    outcomes
        .map(|o| {
            let dir = std::path::Path::new(o["dir"].as_str().unwrap()).strip_prefix(run_dir).unwrap();
            let dir = dir.to_str().unwrap().to_owned();
            let retried = if o["retried"] == true { ", retried" } else { "" };
            (dir, format!("{}{retried}", o["verdict"]).replace('"', ""))
        })
        .collect()
}

/// Each check has the same PVs, the same port and the same files as the others, and sees only its own.
#[test]
fn twenty_checks_at_once_do_not_see_each_other() {
    let scratch = Scratch::new();
    for n in 0..20 {
        scratch.check(
            &format!("c{n}"),
            &format!(
                "start_all()\n\
                 machine.wait_for_unit('ioc.service')\n\
                 machine.wait_for_open_port(9999)\n\
                 machine.succeed('test ! -e /tmp/mine; echo {n} > /tmp/mine; caput -w 20 VOLT {n}')\n\
                 machine.wait_until_succeeds('test $(caget -w 20 -t VOLT-RB) = {n}')\n\
                 for _ in range(3):\n    \
                     machine.succeed('test $(caget -w 20 -t VOLT) = {n}; test $(cat /tmp/mine) = {n}')\n"
            ),
        );
    }
    fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    let run = scratch.xtask(&["test", "--backend", "sandbox", "-j", "20", "--no-fail-fast"]);
    run.expect(0, &["20 passed"]);
    assert_eq!(verdicts(&scratch).values().filter(|v| *v == "passed").count(), 20);
}

/// Passes, fails, is flaky, hangs, dies: every time the same totals, status and files.
#[test]
fn a_mix_ends_the_same_every_time() {
    let scratch = Scratch::new();
    let counter = scratch.scratch_dir().join("attempts");
    scratch.check("fails", "with subtest('one'):\n    pass\nwith subtest('two'):\n    assert False, 'as it must'\n");
    scratch.check("dies", "import os\nos.kill(os.getpid(), 9)\n");
    scratch.check("hangs", "with subtest('for ever'):\n    while True:\n        pass\n");
    // On a busy computer, Python needs a second before it comes to the subtest.
    scratch.write("checks/hangs.toml", "timeout = 4\n");
    scratch.check(
        "flaky",
        &format!(
            "path = {:?}\nopen(path, 'a').write('x')\nassert len(open(path).read()) > 1, 'not yet'\n",
            counter.to_str().unwrap()
        ),
    );
    scratch.write("checks/flaky.toml", "retries = 2\n");
    scratch.check("passes", "machine.succeed('true')\n");
    scratch.check("retried", "raise Exception('again')\n");
    scratch.write("checks/retried.toml", "retries = 1\n");
    fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    for round in 0..rounds() {
        let _ = fs::remove_file(&counter);
        let run = scratch.xtask(&["test", "--backend", "sandbox", "-j", "6", "--no-fail-fast"]);
        let run = run.expect(1, &["2 passed", "1 flaky", "4 failed"]);
        let expected = [
            ("dies", "{failed:137}"),
            ("fails", "{failed:1}"),
            ("flaky", "{failed:1}, retried"),
            ("flaky/retry1", "passed"),
            ("hangs", "{timed-out:4}"),
            ("passes", "passed"),
            ("retried", "{failed:1}, retried"),
            ("retried/retry1", "{failed:1}"),
        ];
        let found = verdicts(&scratch);
        let found: Vec<_> = found.iter().map(|(dir, verdict)| (dir.as_str(), verdict.as_str())).collect();
        assert_eq!(found, expected, "round {round}: {}", run.stderr);
        for (dir, _) in expected {
            for file in ["log", "result.json", "events.jsonl"] {
                let path = scratch.root.join("target/checks/latest").join(dir).join(file);
                assert!(path.is_file(), "round {round}: no {dir}/{file}");
            }
        }
        let fails: Value = serde_json::from_str(&scratch.result("fails/result.json")).unwrap();
        assert_eq!(fails["result"]["failure"]["line"], 4);
        assert_eq!(fails["result"]["subtests"][0]["ok"], true);
        assert_eq!(fails["result"]["subtests"][1]["ok"], false);
        let hangs: Value = serde_json::from_str(&scratch.result("hangs/result.json")).unwrap();
        assert_eq!(hangs["result"]["subtests"][0]["name"], "for ever");
    }
}

#[test]
fn after_a_failure_nothing_more_is_started() {
    let scratch = Scratch::new();
    scratch.check("a", "assert False\n");
    scratch.check("b", "");
    scratch
        .xtask(&["test", "a", "b", "--backend", "sandbox", "-j", "1"])
        .expect(1, &["0 passed", "1 failed", "1 not run"]);
    scratch
        .xtask(&["test", "a", "b", "--backend", "sandbox", "-j", "1", "--no-fail-fast"])
        .expect(1, &["1 passed", "1 failed"]);
}

#[test]
fn repetitions_have_folders_of_their_own_and_end_with_a_failure() {
    let scratch = Scratch::new();
    let counter = scratch.scratch_dir().join("runs");
    let path = counter.to_str().unwrap();
    scratch.check("third", &format!("open({path:?}, 'a').write('x')\nassert len(open({path:?}).read()) != 3\n"));
    scratch
        .xtask(&["test", "third", "--backend", "sandbox", "--until-failure", "-j", "1"])
        .expect(1, &["2 passed", "1 failed"]);
    assert_eq!(verdicts(&scratch).keys().collect::<Vec<_>>(), ["third", "third/2", "third/3"]);
    fs::remove_file(&counter).unwrap();
    scratch.xtask(&["test", "third", "--backend", "sandbox", "--repeat", "2"]).expect(0, &["2 passed"]);
    scratch.xtask(&["test", "third", "--until-failure", "--repeat", "2"]).expect(2, &["cannot be used with"]);
}

/// A check may be called as a repetition of another one used to be: each has its own folder, and its own verdict.
#[test]
fn names_of_checks_make_no_folder_of_a_repetition() {
    let scratch = Scratch::new();
    fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    let counter = scratch.scratch_dir().join("runs");
    let path = counter.to_str().unwrap();
    let script = format!("open({path:?}, 'a').write('x')\nassert len(open({path:?}).read()) != 2\n");
    scratch.check("psu", &script);
    for name in ["psu.2", "psu.retry1", "psu.2.retry1"] {
        scratch.check(name, "");
    }
    let args = ["test", "--backend", "sandbox", "--repeat", "2", "-j4", "--no-fail-fast"];
    scratch.xtask(&args).expect(1, &["7 passed", "1 failed", "psu/2 failed"]);
    let found = verdicts(&scratch);
    assert_eq!(found.iter().filter(|(_, verdict)| *verdict == "passed").count(), 7, "{found:?}");
    assert_eq!(found["psu/2"], "{failed:1}");
    let page = scratch.xtask(&["report"]).expect(0, &[]).stdout;
    let page = fs::read_to_string(page.trim()).unwrap();
    for dir in found.keys() {
        let result: Value = serde_json::from_str(&scratch.result(&format!("{dir}/result.json"))).unwrap();
        let check = dir.split('/').next().unwrap();
        assert_eq!(result["result"]["check"], check);
        assert!(page.contains(&format!("<h2>{dir}</h2>")), "the page leaves out {dir}");
    }
}

#[test]
fn a_run_has_a_limit_of_its_own() {
    let scratch = Scratch::new();
    for name in ["a", "b", "c"] {
        scratch.check(name, "while True:\n    machine.execute('sleep 0.1')\n");
    }
    let args = ["test", "a", "b", "c", "--backend", "sandbox", "-j", "2", "--global-timeout", "3"];
    let run: Run = scratch.xtask(&args);
    run.expect(1, &["2 failed", "1 not run", "time limit of 3 s"]);
}

/// A Python that is too old is the host's trouble and no verdict on the check.
#[test]
fn a_python_that_is_too_old_is_no_failed_check() {
    let scratch = Scratch::new();
    let bin = scratch.scratch_dir().join("bin");
    fs::create_dir(&bin).unwrap();
    let python = bin.join("python3");
    // The real driver under a real Python that says it is old.
    let script = "#!/bin/sh\nshift 2\nexec /usr/bin/env -i PATH=/usr/bin:/bin python3 -c \
                  'import sys; sys.version_info = (3, 8); exec(open(sys.argv[1]).read())' \"$DRIVER/__main__.py\" \"$@\"\n";
    let driver = scratch.root.join("tool/driver");
    common::executable(&python, &script.replace("$DRIVER", driver.to_str().unwrap()));
    scratch.check("a", "");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = scratch.command(&["test", "a", "--backend", "sandbox"]).env("PATH", path).output().unwrap();
    Run::of(&output).expect(5, &["Python 3.8 is too old", "hint: install Python 3.9 or newer"]);
}
