//! What people see while checks run, on a real terminal and in a log.
#![expect(clippy::unwrap_used, reason = "tests run programs")]

mod common;

use common::{Run, Scratch, on_terminal};

/// Waits, in a subtest, until it is told to go on; so a test needs no time of its own.
fn waiting(scratch: &Scratch, name: &str) -> String {
    let go = scratch.scratch_dir().join(format!("go-{name}"));
    let text = format!(
        "import os, time\nwith subtest('{name} waits'):\n    while not os.path.exists({:?}):\n        time.sleep(0.05)\n",
        go.to_str().unwrap()
    );
    scratch.check(name, &text);
    go.to_str().unwrap().to_owned()
}

const SIZE: &str = "stty cols 60 rows 20; TERM=xterm";

/// Two at once: both have a line below what scrolls, and none of the lines is left at the end.
#[test]
fn running_checks_have_a_line_each_and_nothing_is_left_of_it() {
    let scratch = Scratch::new();
    let goes = [waiting(&scratch, "a"), waiting(&scratch, "b")];
    let mut told = false;
    let (code, text) = on_terminal(&scratch, SIZE, "test a b --backend sandbox -j 2 --timeout 120", |text| {
        let frame = text.rsplit("\u{1b}[?2026h").next().unwrap();
        if !told && frame.contains("a     a waits") && frame.contains("b     b waits") && frame.contains("2 running") {
            told = true;
            for go in &goes {
                std::fs::write(go, "").unwrap();
            }
        }
        None
    });
    assert!(told && code == 0, "{text}");
    let (frames, after) = text.rsplit_once("\u{1b}[?2026l").unwrap();
    assert!(frames.ends_with("\u{1b}[J"), "the lines are taken away: {text}");
    assert!(after.contains("2 passed in") && !after.contains('\u{1b}'), "{text}");
    for part in ["PASS a", "PASS b", "  ✓ a waits"] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    for mode in ["\u{1b}[?25l", "\u{1b}[?1049h", "\u{1b}[?7l"] {
        assert!(!text.contains(mode), "a terminal that would have to be restored: {mode:?}");
    }
}

#[test]
fn ctrl_c_lets_checks_clean_up_and_says_so() {
    let scratch = Scratch::new();
    for name in ["a", "b"] {
        waiting(&scratch, name);
    }
    let mut pressed = false;
    let (code, text) = on_terminal(&scratch, SIZE, "test a b --backend sandbox -j 2 --timeout 120", |text| {
        let now = !pressed && text.contains("a waits") && text.contains("b waits");
        pressed |= now;
        now.then_some("\u{3}")
    });
    assert_eq!(code, 130, "{text}");
    for part in [
        "stopping: the checks clean up; Ctrl-C again kills them",
        "STOP a",
        "2 interrupted",
        "a was interrupted, in subtest \"a waits\"",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(text.contains("\n  run again    cargo xtask test a b --backend sandbox --timeout 120\r\n"), "{text}");
    assert!(!text.rsplit_once("\u{1b}[?2026l").unwrap().1.contains("running"), "{text}");
}

/// A terminal that can do nothing, and one in a CI service, get plain lines.
#[test]
fn no_lines_move_where_they_cannot() {
    let scratch = Scratch::new();
    scratch.check("a", "with subtest('one'):\n    pass\n");
    for before in ["TERM=dumb", "TERM=xterm CI=true"] {
        let (code, text) = on_terminal(&scratch, before, "test a --backend sandbox", |_| None);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("  ✓ one") && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn a_log_has_a_block_for_each_of_several_checks() {
    let scratch = Scratch::new();
    for name in ["a", "b", "c"] {
        scratch.check(name, &format!("with subtest('one of {name}'):\n    with subtest('inner'):\n        pass\n"));
    }
    let args = ["test", "a", "b", "c", "--backend", "sandbox", "-j", "3"];
    let output = scratch.command(&args).env("CLICOLOR_FORCE", "0").output().unwrap();
    let run = Run::of(&output).expect(0, &["3 passed in"]);
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().collect();
    for name in ["a", "b", "c"] {
        let at = lines.iter().position(|line| line.starts_with(&format!("PASS {name}  "))).unwrap();
        assert!(lines[at + 1].starts_with(&format!("  ✓ one of {name}  ")), "{}", run.stderr);
        assert!(lines[at + 2].starts_with("    ✓ inner  "), "{}", run.stderr);
    }
}

/// The command that runs it again has the options that the run had.
#[test]
fn a_failure_names_commands_that_work_when_pasted() {
    let scratch = Scratch::new();
    scratch.check("a", "assert 1 == 2, 'no'\n");
    let args = ["test", "a", "--backend", "sandbox", "--ioc", "embedded", "--timeout", "50"];
    let options = "a --backend sandbox --ioc embedded";
    let again = format!("  run again    cargo xtask test {options} --timeout 50\n");
    let open = format!("  look inside  cargo xtask interactive {options}\n");
    scratch.xtask(&args).expect(1, &["a failed, at checks/a.py:1", "last lines of log:", &again, &open]);
}
