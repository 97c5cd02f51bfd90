use proptest::prelude::*;

use super::*;
use tool_project::Check;
use tool_runner::{Exec, Skipped, Subtest};

fn outcome(name: &str, attempt: u32, verdict: Verdict) -> Outcome {
    let check = Check { name: name.into(), script: Some(format!("/p/checks/{name}.py").into()), ..Check::default() };
    let exec = Exec { id: 0, check, repetition: 1, attempt, dir: "/nonexistent".into() };
    let failed = verdict.is_failure();
    let subtest =
        |name: &str, ok: bool| Subtest { name: name.into(), depth: 0, start: 0.5, seconds: ok.then_some(0.25), ok };
    let failure = failed.then(|| tool_runner::ScriptFailure {
        class: "AssertionError".into(),
        message: "5 < 6 & \"so\"\nmore".into(),
        line: Some(3),
        source: Some("    assert x".into()),
        subtest: Some("second".into()),
        unit: None,
    });
    Outcome {
        started: 1_795_469_585.25,
        subtests: vec![subtest("first", true), subtest("second", !failed)],
        ..Outcome::new(&exec, verdict, failure, 1.5)
    }
}

#[test]
fn a_report_has_all_that_happened() {
    let retried = |name| Outcome { retried: true, ..outcome(name, 1, Verdict::Failed(1)) };
    let summary = Summary {
        outcomes: vec![
            outcome("good", 1, Verdict::Passed),
            retried("flaky"),
            outcome("flaky", 2, Verdict::Passed),
            retried("bad"),
            outcome("bad", 2, Verdict::TimedOut(60)),
            outcome("stopped", 1, Verdict::Interrupted),
        ],
        skipped: vec![Skipped { check: "vm".into(), reason: "not meant for sandbox, only for nixos".into() }],
        not_run: 1,
        seconds: 9.0,
        ..Summary::default()
    };
    let checks = ["good", "flaky", "bad", "stopped", "late"].map(str::to_owned);
    insta::assert_snapshot!(document(
        &checks,
        &summary,
        &Again { limits: vec!["--strict".into()], ..Again::default() }
    ));
}

#[test]
fn all_that_tap_says_is_told_where_it_belongs() {
    let mut program = outcome("voltTest", 1, Verdict::Failed(1));
    let message = "it gave up: no memory\nnot ok second\n  at line 7\nit has 3 tests and ran 2".to_owned();
    program.failure = Some(tool_runner::ScriptFailure { class: "TAP".into(), message, ..Default::default() });
    let summary = Summary { outcomes: vec![program], ..Summary::default() };
    let text = document(&["voltTest".to_owned()], &summary, &Again::default());
    assert!(text.contains("tests=\"3\" failures=\"2\""), "{text}");
    for part in [
        "name=\"second\" time=\"1.000\"><failure type=\"TAP\" message=\"not ok second\">not ok second\n  at line 7</failure>",
        "<failure type=\"TAP\" message=\"it gave up: no memory\">it gave up: no memory\nit has 3 tests and ran 2</failure>",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_log_is_cut_at_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let line = "\u{1b}[31mred\u{1b}[0m\n";
    fs::write(dir.path().join("log"), line.repeat(usize::try_from(LOG).unwrap() / line.len() + 100)).unwrap();
    let log = log(dir.path());
    assert!(log.starts_with("[the first ") && log.ends_with("\nred\n"), "{log}");
    assert!(log.lines().skip(1).all(|line| line == "red"));
}

#[test]
fn what_cannot_be_written_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for path in ["file/junit.xml", "."] {
        let error = Junit::create(&dir.path().join(path), &Again::default()).unwrap_err();
        assert!(fail::render(&error).contains("cannot write the JUnit report"), "{error:#}");
    }
    let path = dir.path().join("new/folder/junit.xml");
    Junit::create(&path, &Again::default()).unwrap();
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn nothing_gets_out_of_its_place(text in "\\PC*|[\\x00-\\x7f]{0,40}") {
        let xml = xml(&text);
        prop_assert!(!xml.contains(['<', '>', '"']));
        let legal = |c| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
        prop_assert!(xml.chars().all(legal));
    }
}
