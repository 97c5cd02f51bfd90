//! A machine cannot change what is its host's, whoever runs it.
#![expect(clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::processes::{tree, wait_for};
use common::{Run, Scratch, on_terminal};

#[test]
fn what_is_the_hosts_stays_as_it_is() {
    let scratch = Scratch::new();
    scratch.write("locked.py", include_str!("scripts/locked.py"));
    let words = ["driver", "-o", ".", "locked.py"];
    scratch.xtask(&words).expect(0, &["test script finished"]);
    let mut ordinary = Command::new("unshare");
    ordinary.args(["--user", "--map-user=1000", "--map-group=1000", env!("CARGO_BIN_EXE_foreign")]).args(words);
    scratch.environment(&mut ordinary);
    Run::of(&ordinary.output().unwrap()).expect(0, &["test script finished"]);
}

#[test]
fn what_the_caller_has_open_or_in_his_environment_does_not_reach_a_machine() {
    let scratch = Scratch::new();
    scratch.write("secret", "");
    // The pattern is not what it finds.
    scratch.write(
        "open.py",
        "t.assertNotIn('/secret', machine.succeed('ls -l /proc/[0-9]*/fd || :'))\n\
         machine.wait_for_unit('multi-user.target')\n\
         t.assertEqual(machine.execute('grep -l hunter[2] /proc/[0-9]*/environ')[1], '')\n",
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9<secret; exec \"$0\" driver -o . open.py", env!("CARGO_BIN_EXE_foreign")]);
    scratch.environment(&mut shell);
    shell.env("TOKEN", "hunter2");
    Run::of(&shell.output().unwrap()).expect(0, &["test script finished"]);
    let found = Command::new("grep").args(["-rl", "hunter2"]).arg(scratch.root.join("target/checks")).output().unwrap();
    assert_eq!(found.status.code(), Some(1), "{}", String::from_utf8_lossy(&found.stdout));
}

/// Where everybody finds a Python.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Of the host: he sees no file, descriptor or socket of the processes, and ends none. Whose run it is may all of it.
#[test]
fn another_user_reaches_nothing_of_a_run() {
    if !unix::unistd::geteuid().is_root() {
        return common::skipped("only root can become another user");
    }
    for own in [0, 1001] {
        let scratch = Scratch::new();
        let file = |name: &str| scratch.scratch_dir().join(name);
        scratch.check(
            "it",
            &format!(
                "import os, time\nmachine.wait_for_unit('ioc.service')\nopen({:?}, 'w').close()\n\
                 while not os.path.exists({:?}):\n    time.sleep(0.05)\n",
                file("up"),
                file("go")
            ),
        );
        fs::write(file("attack.py"), include_str!("scripts/attack.py")).unwrap();
        let program = scratch.give(Some(own));
        let become_user = |user: u32, program: &Path| {
            let mut command = Command::new("setpriv");
            let user = [format!("--reuid={user}"), format!("--regid={user}")];
            command.args(user).args(["--clear-groups", "--pdeathsig", "KILL"]).arg(program);
            scratch.environment(&mut command);
            command.env("PATH", PATH).env("HOME", scratch.scratch_dir());
            command
        };
        let mut command = become_user(own, &program);
        command.args(["test", "it", "--no-lint", "--backend", "sandbox"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&mut run, "the machine", || file("up").exists());
        let processes = tree(run.id());
        assert!(processes.len() > 5, "{processes:?}");
        let attack = |user| {
            let mut command = become_user(user, Path::new("python3"));
            command.arg(file("attack.py")).args(processes.iter().map(|(pid, _)| pid.to_string()));
            let tried = Run::of(&command.current_dir("/").output().unwrap());
            assert!(tried.stderr.is_empty(), "{}", tried.stderr);
            tried.stdout
        };
        let (theirs, ours) = (attack(65534), attack(own));
        fs::write(file("go"), "").unwrap();
        Run::of(&run.wait_with_output().unwrap()).expect(0, &["PASS it"]);
        assert_eq!(theirs, "", "against user {own}");
        // Else it tried nothing.
        let can = |what: &str| ours.lines().any(|line| line.ends_with(what));
        assert!(can(" environ") && can(" opens 1") && can(" takes 3") && can(" kill"), "{ours}");
        assert!(!ours.contains("named"), "{ours}");
    }
}

/// What `scripts/refused.py` says on a terminal.
const REFUSED: &str = "of the caller: all of it is refused";

#[test]
fn a_machine_reaches_neither_keys_nor_the_terminal_of_its_caller() {
    let scratch = Scratch::new();
    scratch.write("ioc/refused.py", include_str!("scripts/refused.py"));
    scratch.check("it", "machine.succeed('python3 /machine/ioc/refused.py')\n");
    scratch.xtask(&["test", "it", "--backend", "sandbox"]).expect(0, &["PASS it"]);
    // A shell of the driver's, and a program from a second terminal.
    let steps = [
        (">>> ", "machine.shell_interact()\n"),
        (":~# ", "python3 /machine/ioc/refused.py\n"),
        (REFUSED, "exit\n"),
        ("exit\r\n>>> ", "exit()\n"),
    ];
    let mut seen = 0;
    let (_, text) = on_terminal(&scratch, "", "interactive it --backend sandbox", |text| {
        // What readline says to the terminal before each prompt.
        let text = text.replace("\u{1b}[?2004h", "");
        let (_, words) = steps.get(seen).filter(|(sight, _)| text.contains(sight))?;
        seen += 1;
        if seen == 3 {
            let (code, text) = on_terminal(&scratch, "", "exec python3 /machine/ioc/refused.py", |_| None);
            assert!(code == 0 && text.contains(REFUSED), "{text}");
        }
        Some(*words)
    });
    assert!(text.contains(REFUSED), "{text}");
}

/// Threads are processes to the kernel, and cheaper ones.
const BOMB: &str = r"
import threading
threading.stack_size(1 << 16)
stop, count = threading.Event(), 0
try:
    while True:
        threading.Thread(target=stop.wait).start()
        count += 1
except RuntimeError:
    stop.set()
print(count)
";

#[test]
fn a_fork_bomb_is_its_machines_trouble() {
    let limit = || std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    let before = limit();
    let scratch = Scratch::new();
    scratch.write("ioc/bomb.py", BOMB);
    scratch.check(
        "it",
        "major, minor = map(int, machine.succeed('uname -r').split('-')[0].split('.')[:2])\n\
         count = int(machine.succeed('python3 /machine/ioc/bomb.py'))\n\
         if (major, minor) >= (6, 14):\n    t.assertLess(count, 4096)\n",
    );
    scratch.xtask(&["test", "it", "--backend", "sandbox"]).expect(0, &["PASS it"]);
    assert_eq!(limit(), before, "that of the host");
}
