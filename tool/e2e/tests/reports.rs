//! Reports for programs: real runs, read as CI services read them.
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use common::{Run, Scratch};

/// Checks that start no machine, so that they take no time.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    std::fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    scratch
        .check("good", "with subtest('one'):\n    pass\nwith subtest('two & \"three\" \\x1b[31m\\x07'):\n    pass\n");
    scratch.check("bad", "with subtest('outer'):\n    with subtest('inner'):\n        assert 1 == 2, 'not <equal>'\n");
    let counter = format!("{:?}", scratch.root.join("counter").to_str().unwrap());
    scratch.check(
        "flaky",
        &format!(
            "import os\nif not os.path.exists({counter}):\n    open({counter}, 'w').close()\n    raise Exception('first')\n"
        ),
    );
    scratch.check("vm", "");
    scratch.write("checks/vm.toml", "backends = [\"nixos\", \"driver\"]\n");
    scratch
}

const SANDBOX: [&str; 3] = ["test", "--backend", "sandbox"];

/// `suite / case / children` of each case of a report that keeps to the rules.
fn cases(path: &Path) -> String {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/junit_rules.py");
    Run::of(&Command::new("python3").arg(rules).arg(path).output().unwrap()).expect(0, &[]).stdout
}

#[test]
fn junit_tells_what_the_run_told() {
    let scratch = scratch();
    let run = scratch
        .xtask(&[&SANDBOX[..], &["--junit", "new/junit.xml", "--no-fail-fast", "--retries", "1", "-j1"]].concat());
    run.expect(1, &["1 flaky"]);
    let path = scratch.root.join("new/junit.xml");
    assert_eq!(
        cases(&path),
        "bad / outer / \n\
         bad / inner / failure rerunFailure\n\
         bad / bad.py / skipped system-out\n\
         flaky / flaky.py / flakyFailure system-out\n\
         good / one / \n\
         good / two & \"three\" \u{fffd}[31m\u{fffd} / \n\
         good / good.py / system-out\n\
         vm / vm / skipped\n"
    );
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("type=\"AssertionError\" message=\"not &lt;equal&gt;\""), "{text}");
    assert!(text.contains("at checks/bad.py:3: assert 1 == 2"), "{text}");
    assert!(text.contains("run again: cargo xtask test bad --backend sandbox</failure>"), "{text}");
    assert_eq!(std::fs::read_dir(scratch.root.join("new")).unwrap().count(), 1, "nothing beside it");
}

#[test]
fn what_did_not_run_is_skipped_in_junit() {
    let scratch = scratch();
    let path = scratch.root.join("junit.xml");
    scratch.xtask(&[&SANDBOX[..], &["-j1", "bad", "good", "--junit", path.to_str().unwrap()]].concat()).expect(1, &[]);
    assert!(cases(&path).ends_with("good / good / skipped\n"), "{}", cases(&path));
}

#[test]
fn a_report_that_cannot_be_written_stops_the_run_before_it_begins() {
    let scratch = scratch();
    scratch.write("file", "");
    let run = scratch.xtask(&[&SANDBOX[..], &["good", "--junit", "file/junit.xml"]].concat());
    run.expect(5, &["error: cannot write the JUnit report file/junit.xml: ", "hint: "]);
    assert!(!scratch.root.join("target/checks").exists());
}

/// A stand-in for /dev/null, and a link to a pipe: what stands where the report goes stays what it is.
#[test]
fn a_report_goes_into_what_is_no_file() {
    use std::os::unix::fs::FileTypeExt;
    let scratch = scratch();
    let at = |name: &str| scratch.root.join(name);
    let made = |program: &str, args: &[&str]| {
        Command::new(program).args(args).current_dir(&scratch.root).status().unwrap().success()
    };
    assert!(made("mkfifo", &["fifo"]) && made("ln", &["-s", "fifo", "link"]));
    let reader = std::thread::spawn({
        let fifo = at("fifo");
        move || std::fs::read_to_string(fifo).unwrap()
    });
    scratch.xtask(&[&SANDBOX[..], &["good", "--junit", "link"]].concat()).expect(0, &[]);
    assert!(reader.join().unwrap().contains("<testsuite name=\"good\""));
    assert!(at("link").is_symlink() && at("fifo").metadata().unwrap().file_type().is_fifo());
    // Only root can make a device, and not everywhere can it be opened.
    if made("mknod", &["null", "c", "1", "3"]) {
        scratch.xtask(&[&SANDBOX[..], &["good", "--junit", "null"]].concat());
        scratch.xtask(&["report", "-o", "null"]);
        assert!(at("null").metadata().unwrap().file_type().is_char_device());
    }
}

/// A full disk: whoever asked for data hears that it is not there.
#[test]
fn data_that_cannot_be_written_is_an_error() {
    let scratch = scratch();
    let full = || std::fs::File::create("/dev/full").unwrap();
    for args in [
        &["list"][..],
        &["list", "--json"],
        &["ci-matrix"],
        &["doctor", "--json"],
        &["check-kvm", "--json"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
        &[],
        &["test", "--backend", "sandbox", "good", "--message-format", "json"],
    ] {
        let run = Run::of(&scratch.command(args).stdout(full()).output().unwrap());
        let what = "error: stdout could not be written: No space left on device";
        assert!(run.stderr.contains(what) && run.stderr.contains("hint: "), "{args:?}: {}", run.stderr);
        assert_eq!(run.code, Some(5), "{args:?}");
    }
    // What failed before is worse.
    let args = ["test", "--backend", "sandbox", "bad", "--message-format", "json"];
    Run::of(&scratch.command(&args).stdout(full()).output().unwrap()).expect(1, &["error: stdout could not"]);
}

fn json_lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Looks whether a stream is in order: the run around all, each execution around what is said of it.
fn in_order(events: &[Value]) {
    let kind = |event: &Value| event["event"].as_str().unwrap().to_owned();
    assert_eq!((kind(&events[0]).as_str(), &events[0]["version"]), ("run-begun", &json!(1)));
    assert_eq!(kind(events.last().unwrap()), "run-finished");
    let mut open: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut time = 0.0;
    for event in &events[1..events.len() - 1] {
        assert!(event["time"].as_f64().unwrap() >= time, "{event}");
        time = event["time"].as_f64().unwrap();
        let id = event["id"].as_u64().unwrap();
        let name = event["name"].as_str().unwrap_or_default().to_owned();
        match kind(event).as_str() {
            "check-started" => assert!(open.insert(id, Vec::new()).is_none(), "{event}"),
            "subtest-entered" => open.get_mut(&id).unwrap().push(name),
            "subtest-left" => assert_eq!(open.get_mut(&id).unwrap().pop(), Some(name)),
            "failure" | "line" => assert!(open.contains_key(&id), "{event}"),
            "check-ended" => assert_eq!(open.remove(&id), Some(vec![]), "{event}"),
            other => panic!("{other} is new: add it to tool/docs/events.md"),
        }
    }
    assert!(open.is_empty());
}

#[test]
fn json_lines_tell_all_in_order_and_agree_with_run_json() {
    let scratch = scratch();
    let args =
        [&SANDBOX[..], &["--message-format", "json", "--no-fail-fast", "--retries", "1", "--show-output"]].concat();
    let run = scratch.xtask(&args).expect(1, &["FAIL bad", "1 flaky"]);
    let events = json_lines(&run.stdout);
    in_order(&events);
    let count = |kind: &str| events.iter().filter(|e| e["event"] == kind).count();
    assert_eq!((count("check-started"), count("check-ended"), count("failure")), (5, 5, 3));
    assert!(count("line") > 10);
    let failure = events.iter().find(|e| e["event"] == "failure" && e["subtest"] == "inner").unwrap();
    assert_eq!((&failure["message"], &failure["line"]), (&json!("not <equal>"), &json!(3)));
    let last = events.last().unwrap();
    assert_eq!(
        [&last["ok"], &last["passed"], &last["flaky"], &last["failed"], &last["not_run"], &last["skipped"]],
        [&json!(false), &json!(2), &json!(1), &json!(1), &json!(0), &json!(1)]
    );
    let kept: Value = serde_json::from_str(&scratch.result("run.json")).unwrap();
    assert_eq!(kept["summary"]["seconds"], last["seconds"]);
    assert_eq!(kept["run"]["dir"], events[0]["dir"]);
}

#[test]
fn a_reader_of_json_lines_may_leave_early() {
    let scratch = scratch();
    let args = [&SANDBOX[..], &["good", "--message-format", "json"]].concat();
    let mut child = scratch.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    Run::of(&child.wait_with_output().unwrap()).expect(0, &["1 passed"]);
}

/// tool/docs/events.md names every event and key, and shows real lines.
#[test]
fn the_events_are_documented() {
    let docs = include_str!("../../docs/events.md");
    let shown: Vec<&str> = docs.lines().map(str::trim).filter(|line| line.starts_with('{')).collect();
    in_order(&json_lines(&shown.join("\n")));
    let snapshot = include_str!("../../crates/report/src/snapshots/tool_report__json__tests__the_form_is_stable.snap");
    for event in snapshot.lines().filter(|line| line.starts_with('{')) {
        let event: Value = serde_json::from_str(event).unwrap();
        for key in event.as_object().unwrap().keys() {
            assert!(docs.contains(&format!("`{key}`")), "tool/docs/events.md says nothing of `{key}`");
        }
        assert!(docs.contains(&format!("`{}`", event["event"].as_str().unwrap())), "{event}");
    }
}

/// The host fails in mid-run: what is known by then is kept and reported, and the rest is an error of the host.
#[test]
fn a_host_that_fails_in_mid_run_leaves_whole_reports() {
    let scratch = scratch();
    // A script runs on the host, so it can put a file where the next check's folder is to be.
    let latest = scratch.root.join("target/checks/latest");
    let spoil = |path: &str| format!("open({:?}, 'w').close()\n", latest.join(path).to_str().unwrap());
    scratch.check("good", &format!("with subtest('one'):\n    {}", spoil("late")));
    scratch.check("late", "");
    scratch.check("never", "");
    let args = ["-j1", "good", "late", "never", "--junit", "junit.xml", "--message-format", "json"];
    let run = scratch.xtask(&[&SANDBOX[..], &args].concat()).expect(5, &["PASS good", "HOST late"]);
    let trouble = format!("error: cannot write to {}/", latest.canonicalize().unwrap().display());
    assert!(
        run.stderr.contains(&trouble) && run.stderr.contains("1 passed, 1 could not run, 1 not run"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("--no-fail-fast"), "{}", run.stderr);
    assert_eq!(
        cases(&scratch.root.join("junit.xml")),
        "good / one / \ngood / good.py / system-out\nlate / late.py / error system-out\nnever / never / error\n"
    );
    let kept: Value = serde_json::from_str(&scratch.result("run.json")).unwrap();
    let outcomes = &kept["summary"]["outcomes"];
    assert_eq!([&outcomes[0]["verdict"], &outcomes[1]["verdict"]], [&json!("passed"), &json!("host-failed")]);
    assert_eq!(kept["summary"]["not_run"], 1);
    let events = json_lines(&run.stdout);
    in_order(&events);
    let last = events.last().unwrap();
    assert_eq!((&last["host_failed"], &last["trouble"]), (&json!(1), &kept["summary"]["trouble"]));
    // They are what is left to do.
    let run = scratch.xtask(&[&SANDBOX[..], &["--rerun-failed", "--list"]].concat()).expect(0, &[]);
    assert_eq!(run.stdout, "late\nnever\n");
}

/// The sandbox of one check cannot start: those beside it are ended, and it is not theirs.
#[test]
fn a_sandbox_that_cannot_start_ends_the_run_and_not_the_reports() {
    let scratch = scratch();
    let latest = scratch.root.join("target/checks/latest");
    let (state, beside) = (latest.join("on/state"), latest.join("long/events.jsonl"));
    // `on` starts when `good` ends: by then `long` runs, and there is no place for the state of `on`.
    let script = format!(
        "import os, time\nwhile 'waits' not in open({beside:?}).read():\n    time.sleep(0.02)\n\
         os.mkdir(os.path.dirname({state:?}))\nopen({state:?}, 'w').close()\n"
    );
    scratch.check("good", &script);
    scratch.check("long", "import time\nwith subtest('waits'):\n    time.sleep(600)\n");
    scratch.check("on", "");
    let args = ["-j2", "good", "long", "on", "--junit", "junit.xml"];
    scratch.xtask(&[&SANDBOX[..], &args].concat()).expect(5, &["HOST long", "HOST on", "error: cannot create "]);
    let cases = cases(&scratch.root.join("junit.xml"));
    assert!(cases.contains("on / on.py / error system-out\n"), "{cases}");
    assert!(cases.contains("long / long.py / error system-out\n"), "{cases}");
    let kept: Value = serde_json::from_str(&scratch.result("run.json")).unwrap();
    assert!(kept["summary"]["trouble"].as_str().unwrap().contains("on/state"), "{kept}");
}

/// Not even run.json can be written: the other reports still come.
#[test]
fn a_run_that_cannot_be_kept_is_reported_all_the_same() {
    let scratch = scratch();
    let path = scratch.root.join("target/checks/latest/run.json");
    scratch.check("good", &format!("import os\nos.mkdir({:?})\n", path.to_str().unwrap()));
    let run = scratch.xtask(&[&SANDBOX[..], &["good", "--junit", "junit.xml"]].concat());
    run.expect(5, &["1 passed in", "error: cannot write ", "run.json"]);
    assert_eq!(cases(&scratch.root.join("junit.xml")), "good / good.py / system-out\n");
    let left = std::fs::read_dir(path.parent().unwrap()).unwrap().flatten();
    assert!(left.map(|e| e.file_name().into_string().unwrap()).all(|name| !name.contains(".part")));
}

#[test]
fn a_run_names_the_commit_that_it_checked() {
    let scratch = scratch();
    let revision = || {
        scratch.xtask(&[&SANDBOX[..], &["good"]].concat()).expect(0, &[]);
        serde_json::from_str::<Value>(&scratch.result("run.json")).unwrap()["summary"]["revision"].take()
    };
    assert_eq!(revision(), Value::Null);
    let git = |args: &[&str]| common::git(&scratch.root, args);
    scratch.write(".gitignore", "target\n");
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    let commit = git(&["rev-parse", "HEAD"]);
    assert_eq!(revision(), json!({"commit": commit, "changed": false}));
    scratch.check("new", "");
    assert_eq!(revision(), json!({"commit": commit, "changed": true}));
    let page = scratch.xtask(&["report"]).expect(0, &[]).stdout;
    let page = std::fs::read_to_string(page.trim()).unwrap();
    assert!(page.contains(&format!("commit {} with changes", &commit[..12])));
}
