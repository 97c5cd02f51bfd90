use std::path::PathBuf;

use super::super::{Alarm, Kind, Line, Pv, Recording, Room, Span, Update};
use super::*;

pub fn failed() -> Execution {
    let update = |time, value, alarm| Update { time, value: Kind::Number(value), alarm };
    Execution {
        label: "ramp/2".into(),
        check: "ramp".into(),
        state: State::Failed,
        cached: false,
        started: Some(1_795_469_585.5),
        seconds: 2.0,
        failure: Some(Cause {
            message: "expected 42, got </script><script>alert(1)</script>".into(),
            script: "checks/ramp.py".into(),
            line: Some(7),
            excerpt: vec![(6, "with subtest(\"<up>\"):".into()), (7, "    machine.succeed('x')".into())],
            subtest: Some("<up>".into()),
            unit: Some("ioc.service".into()),
        }),
        spans: vec![Span { subtest: true, name: "<up>".into(), depth: 1, start: 0.5, end: Some(1.5), ok: false }],
        log: Text {
            lines: vec![Line { text: "one".into(), error: false }, Line { text: "!!! <b>".into(), error: true }],
            cut: Some((1, 5_000_000)),
        },
        journals: vec![Journal {
            machine: "machine".into(),
            unit: "ioc.service".into(),
            text: Text { lines: vec![Line { text: "iocInit".into(), error: false }], cut: None },
        }],
        recordings: vec![Recording {
            machine: "machine".into(),
            pvs: vec![
                Pv {
                    name: "VOLT\"><x".into(),
                    updates: vec![update(0.2, 0.0, Alarm::None), update(1.0, 42.0, Alarm::Minor)],
                    ..Pv::default()
                },
                Pv { name: "CURR".into(), updates: vec![update(0.2, 1.0, Alarm::None)], ..Pv::default() },
            ],
            ..Recording::default()
        }],
        room: Room::of(false, 1),
        files: vec![Left { path: "ramp/2/out/a b#.txt".into(), size: 1234, copy: Some(b"any".to_vec()) }],
        more_files: 7,
        pass: None,
    }
}

fn run(executions: Vec<Execution>) -> Run {
    Run {
        name: "20261123T213305Z-7".into(),
        dir: PathBuf::from("/p/target/checks/20261123T213305Z-7"),
        backend: "sandbox".into(),
        started: Some(1_795_469_585.0),
        seconds: Some(3.0),
        not_run: 1,
        trouble: String::new(),
        revision: "commit 0123456789ab with changes".into(),
        tool: "0.0.0 (0123456789ab)".into(),
        jobs: Some(4),
        executions,
        coverage: None,
    }
}

/// The page without style and script.
fn body(run: &Run) -> String {
    let page = page(run, &run.dir);
    let body = &page[page.find("<body>").unwrap()..page.find("<script>\n").unwrap()];
    body.replace("><", ">\n<")
}

#[test]
fn a_failure_as_a_page() {
    insta::assert_snapshot!(body(&run(vec![failed()])));
}

#[test]
fn what_others_wrote_is_text() {
    let page = page(&run(vec![failed(), failed()]), Path::new("/p/else/where"));
    assert_eq!(page.matches("<script>").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(!page.contains("<up>") && !page.contains("<x") && !page.contains("!!! <b>"));
    assert!(page.contains("href=\"../../target/checks/20261123T213305Z-7/ramp/2/out/a%20b%23.txt\""));
}

#[test]
fn many_long_executions_stay_a_page_that_a_browser_can_show() {
    let span = |n: u32| Span {
        subtest: true,
        name: format!("step {n}"),
        depth: 1,
        start: f64::from(n) / 1000.0,
        end: Some(f64::from(n + 1) / 1000.0),
        ok: true,
    };
    let update = |n: u32| Update {
        time: f64::from(n) / 200.0,
        value: Kind::Number(f64::from(n % 7)),
        alarm: if n < 3 { Alarm::Minor } else { Alarm::None },
    };
    let noise = |n: usize| Pv { name: format!("NOISE{n}"), updates: (0..400).map(update).collect(), ..Pv::default() };
    let mut recording = failed().recordings.remove(0);
    recording.pvs.extend((0..30).map(noise));
    let long = Execution {
        spans: (0..2000).map(span).collect(),
        recordings: vec![recording],
        room: Room::of(false, 25),
        ..failed()
    };
    let page = page(&run(vec![long; 25]), Path::new("/elsewhere"));
    assert!(page.len() < 8_000_000, "{} bytes", page.len());
    for part in [
        "The first 1940 of 2000 subtests are not drawn.",
        "… the first 1760 are left out here; events.jsonl has them …",
        "that never changed, or changed most often and are not drawn (12)",
        "<span class=\"pvname\" title=\" ()\">VOLT&quot;&gt;&lt;x</span>",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
}

#[test]
fn base64_as_the_standard_has_it() {
    let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
    for (plain, coded) in pairs {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
}

#[test]
fn the_worst_names_the_run() {
    let with = |states: &[State]| {
        let executions = states.iter().map(|state| Execution { state: *state, ..failed() }).collect();
        let (state, words) = verdict(&Run { not_run: 0, ..run(executions) });
        format!("{} {words}", state.sign())
    };
    assert_eq!(with(&[State::Passed]), "✓ 1 passed");
    assert_eq!(with(&[State::Failed, State::Flaky, State::Passed, State::Passed]), "✗ 1 failed, 1 flaky, 2 passed");
    assert_eq!(with(&[State::Retried, State::Flaky]), "≈ 1 flaky");
    assert_eq!(with(&[]), "? ");
}
