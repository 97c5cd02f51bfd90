//! `test --watch` on a real terminal: what a save runs, what it ends, and how it ends itself.

mod common;

use std::fs;

use common::{Scratch, on_terminal};

const WAITS: &str = "waits for a save, or Ctrl-C";
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

#[test]
fn a_save_runs_what_it_concerns_until_ctrl_c() {
    let scratch = Scratch::new();
    let never = scratch.scratch_dir().join("never");
    let waiting = format!(
        "import os, time\nwith subtest('it waits'):\n    while not os.path.exists({never:?}):\n        time.sleep(0.05)\n"
    );
    scratch.check("a", "assert 1 == 2, 'no'\n");
    scratch.check("b", "pass\n");
    fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    let checks = scratch.root.join("checks");
    let save = |name: &str, text: &str| {
        // As editors do that keep a copy and rename. Other names beside it for a moment, on a busy computer, are saves, too.
        for beside in [".a.py.swp", "a.py~"] {
            fs::write(checks.join(beside), "x").unwrap();
        }
        let temporary = scratch.scratch_dir().join("saved");
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, checks.join(name)).unwrap();
    };
    let mut step = 0;
    let (code, text) = on_terminal(
        &scratch,
        "stty cols 80 rows 30; TERM=xterm",
        "test --watch --no-fail-fast --backend sandbox --timeout 120",
        |text| {
            let screen = text.rsplit(CLEAR).next().unwrap();
            let waits = screen.contains(WAITS);
            let go = match step {
                0 => waits && screen.contains("1 passed, 1 failed (a) ·"),
                // Only what was saved; what it says is as true as before of the other one.
                1 => waits && screen.starts_with("1 passed, 1 failed (a) · saved: checks/a.py\r\n"),
                // The run of a's former text is under way.
                2 => screen.starts_with("2 passed · saved: checks/a.py\r\n") && screen.contains("it waits"),
                3 => waits && screen.starts_with("2 passed · saved: checks/a.py\r\n"),
                4 => waits && screen.contains("expected"),
                5 => waits && screen.starts_with("1 passed, 1 failed (a) · saved: ioc.toml"),
                // What cannot run for a's settings runs once they are right; a check that is gone is not counted.
                6 => waits && screen.starts_with("1 passed, 1 failed (a) · saved: checks/a.toml\r\n"),
                7 => waits && screen.starts_with("1 passed, 1 failed (a) · saved: checks/b.py and 1 more\r\n"),
                8 => screen.contains("\n1 passed, 1 failed (a) · waits") && screen.contains("saved: checks/a.toml\r\n"),
                _ => false,
            };
            if !go {
                return None;
            }
            step += 1;
            match step {
                1 => save("a.py", "pass\n"),
                2 => save("a.py", &waiting),
                3 => save("a.py", "assert 1 == 2, 'again'\n"),
                4 => {
                    let config = scratch.root.join("ioc.toml");
                    fs::copy(&config, scratch.scratch_dir().join("ioc.toml")).unwrap();
                    fs::write(&config, "[ioc\n").unwrap();
                }
                5 => drop(fs::copy(scratch.scratch_dir().join("ioc.toml"), scratch.root.join("ioc.toml")).unwrap()),
                6 => fs::write(checks.join("a.toml"), "timeout\n").unwrap(),
                7 => fs::rename(checks.join("b.py"), checks.join("c.py")).unwrap(),
                8 => fs::remove_file(checks.join("a.toml")).unwrap(),
                _ => return Some("\u{3}"),
            }
            None
        },
    );
    assert_eq!((code, step), (130, 9), "{text}");
    let screens: Vec<&str> = text.split(CLEAR).collect();
    assert_eq!(screens.len(), 9, "each save is one run: {text}");
    for (number, run, not) in [
        (1, "PASS a", "PASS b"),
        (2, "STOP a", "PASS a"),
        (3, "FAIL a", "PASS b"),
        (6, "expected", "FAIL a"),
        (7, "0 passed, 1 failed (a) · waits", "PASS c"),
    ] {
        assert!(screens[number].contains(run) && !screens[number].contains(not), "{number}: {text}");
    }
    assert!(screens[5].contains("FAIL a") && screens[5].contains("PASS b"), "{text}");
    assert!(screens[8].contains("FAIL a") && screens[8].contains("PASS c"), "{text}");
}

#[test]
fn ctrl_c_ends_a_run_and_the_watch() {
    let scratch = Scratch::new();
    scratch.check("a", "import time\nwith subtest('a waits'):\n    time.sleep(3600)\n");
    let mut pressed = false;
    let before = "stty cols 60 rows 20; TERM=xterm";
    let (code, text) = on_terminal(&scratch, before, "test a --watch --backend sandbox", |text| {
        let now = !pressed && text.contains("a waits");
        pressed |= now;
        now.then_some("\u{3}")
    });
    assert_eq!(code, 130, "{text}");
    assert!(text.contains("STOP a"), "{text}");
}
