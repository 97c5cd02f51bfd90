//! Prompts on a real terminal: `test --debug`, in the machine as a failure left it, and `interactive`.

mod common;

use std::process::Stdio;

use common::{Scratch, on_terminal};

#[test]
fn a_failure_leads_to_a_prompt_with_the_scripts_names_and_machines() {
    let scratch = Scratch::new();
    scratch.check(
        "fails",
        "machine.succeed('echo left > /tmp/trace')\nanswer = 21\nwith subtest('breaks'):\n    machine.succeed('false')\n",
    );
    // Each is typed once its cue has been printed.
    let mut steps = [
        (">>> ", "print('twice', 2 * answer)\n"),
        ("twice 42", "print(machine.succeed('cat /tmp/trace').upper())\n"),
        ("LEFT", "exit()\n"),
    ]
    .into_iter()
    .peekable();
    let (code, text) = on_terminal(&scratch, "", "test fails --backend sandbox --debug", |text| {
        steps.next_if(|(cue, _)| text.contains(cue)).map(|(_, typed)| typed)
    });
    assert_eq!(code, 1, "{text}");
    assert_eq!(steps.next(), None, "{text}");
    for part in ["line 4: machine.succeed('false')", "fails failed, in subtest \"breaks\"", "1 failed"] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn a_pass_needs_no_prompt_and_a_prompt_needs_a_terminal() {
    let scratch = Scratch::new();
    scratch.check("passes", "");
    let (code, text) = on_terminal(&scratch, "", "test passes --backend sandbox --debug", |_| None);
    assert_eq!(code, 0, "{text}");
    let output = scratch.command(&["test", "passes", "--debug"]).stdin(Stdio::null()).output().unwrap();
    common::Run::of(&output).expect(2, &["`--debug` needs a terminal"]);
    scratch.xtask(&["test", "passes", "--debug", "-j", "2"]).expect(2, &["cannot be used with"]);
}

/// With several checks, none of them the template's: a machine with the IOC, whose records Tab knows.
#[test]
fn a_prompt_needs_no_check() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    std::fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    scratch.check("a", "");
    scratch.check("b", "");
    let mut steps = [
        (">>> ", "start_all(); machine.wait_for_unit('ioc.service'); print('it is ' + 'up')\n"),
        ("it is up", "print('RB', machine.succeed('caget -t VOLT-R\t').strip())\n"),
        ("RB 0", "exit()\n"),
    ]
    .into_iter()
    .peekable();
    let before = "TERM=xterm PYTHON_BASIC_REPL=1";
    let (code, text) = on_terminal(&scratch, before, "interactive --backend sandbox", |text| {
        steps.next_if(|(cue, _)| text.contains(cue)).map(|(_, typed)| typed)
    });
    assert_eq!((code, steps.next()), (0, None), "{text}");
    assert!(!text.contains("test_script()"), "{text}");
    let history = scratch.root.join("target/state/cargo-xtask-ioc/history");
    assert!(std::fs::read_to_string(&history).unwrap().contains("'caget -t VOLT-RB'"));
    assert_eq!(history.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}
