//! `cargo xtask run` and `exec`: the real IOC and simulator, on a machine and on this host.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;
#[path = "../../embedded/tests/common/port.rs"]
mod port;

use std::fs::{self, Permissions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::processes::{tree, wait_until_gone};
use common::{Run, Scratch, on_terminal};

/// The IOC at its prompt, on pipes.
struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Session {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut session = Self { stdin: child.stdin.take(), child, stdout };
        session.prompt();
        session
    }

    /// What the IOC says until its next prompt.
    fn prompt(&mut self) -> String {
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"epics> ") {
            assert_eq!(self.stdout.read(&mut byte).unwrap(), 1, "ended: {}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        String::from_utf8(said).unwrap()
    }

    fn say(&mut self, line: &str) -> String {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.prompt()
    }

    /// Status and stderr, once nothing of the run is left.
    fn finish(mut self, end: impl FnOnce(&mut ChildStdin)) -> Run {
        let processes = tree(self.child.id());
        assert!(processes.len() >= 3, "{processes:?}");
        end(self.stdin.as_mut().unwrap());
        let output = self.child.wait_with_output().unwrap();
        wait_until_gone(&processes);
        Run::of(&output)
    }
}

fn exec(scratch: &Scratch, words: &[&str]) -> Run {
    scratch.xtask(&[&["exec"], words].concat())
}

#[test]
fn commands_on_a_pipe_are_run_to_the_end() {
    let scratch = Scratch::new();
    let mut child = scratch
        .command(&["run", "--ioc", "embedded"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"dbl\n").unwrap();
    let run = Run::of(&child.wait_with_output().unwrap()).expect(0, &["the embedded soft IOC", "cargo xtask exec"]);
    assert!(run.stdout.lines().any(|line| line == "CURR-MEAS"), "{}", run.stdout);
    assert!(!run.stdout.contains("cargo xtask"), "talk goes to stderr: {}", run.stdout);
}

#[test]
fn a_second_terminal_reaches_the_machine() {
    let scratch = Scratch::new();
    exec(&scratch, &["true"]).expect(5, &["no machine of this project runs", "hint:", "cargo xtask run"]);
    fs::create_dir(scratch.root.join("tools")).unwrap();
    scratch.write("tools/tell", "#!/bin/sh\necho told\n");
    fs::set_permissions(scratch.root.join("tools/tell"), Permissions::from_mode(0o755)).unwrap();
    scratch.edit("ioc.toml", "[ioc]\n", "path = [\"tools\"]\n[ioc]\n");
    // A machine's umask is that of NixOS, whatever the caller's.
    let private = |words: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 077; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_foreign")]).args(words);
        scratch.environment(&mut command);
        command
    };
    let mut session = Session::start(private(&["run"]));
    let masks = "umask; cat /proc/[0-9]*/status | grep ^Umask | sort -u";
    let masks = Run::of(&private(&["exec", "sh", "-c", masks]).output().unwrap()).expect(0, &[]);
    assert_eq!(masks.stdout, "0022\nUmask:\t0022\n");
    let put = exec(&scratch, &["caput", "VOLT", "12.5"]).expect(0, &[]);
    assert!(put.stdout.contains("12.5"), "{}", put.stdout);
    assert!(session.say("dbgf VOLT").contains("12.5"));
    let unit = exec(&scratch, &["systemctl", "is-active", "simulator"]).expect(0, &[]);
    assert_eq!(unit.stdout, "active\n");
    let mut shell = scratch.command(&["exec"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(b"hostname; pwd; exit 7\n").unwrap();
    let shell = shell.wait_with_output().unwrap();
    assert_eq!((shell.status.code(), &shell.stdout[..]), (Some(7), &b"machine\n/root\n"[..]));
    exec(&scratch, &["tell"]).expect_out("told");
    exec(&scratch, &["no-such-program"]).expect(5, &["`no-such-program` could not be started"]);
    exec(&scratch, &["--machine", "machin", "true"]).expect(4, &["hint: cargo xtask exec --machine machine"]);
    session.finish(|stdin| writeln!(stdin, "exit").unwrap()).expect(0, &[]);
}

#[test]
fn without_a_simulator_nothing_answers() {
    let scratch = Scratch::new();
    let session = Session::start(scratch.command(&["run", "--no-simulator"]));
    let unit = exec(&scratch, &["systemctl", "is-active", "simulator"]);
    assert_eq!(unit.stdout, "inactive\n");
    let severity = "until caget -t IDN.SEVR | grep INVALID; do sleep 0.1; done";
    exec(&scratch, &["timeout", "60", "bash", "-c", severity]).expect(0, &[]);
    session.finish(|stdin| writeln!(stdin, "exit").unwrap()).expect(0, &["none"]);
}

#[test]
fn a_simulator_that_does_not_start_is_shown() {
    let scratch = Scratch::new();
    let sulky = r#"command = ["/bin/sh", "-c", "echo I would rather not; exit 1"]"#;
    scratch.edit("ioc.toml", r#"command = ["psu-simulator"]"#, sulky);
    let wanted = ["simulator", "I would rather not"];
    scratch.xtask(&["run"]).expect(5, &wanted);
    let port = port::free();
    scratch.edit("ioc.toml", "port = 9999", &format!("port = {port}"));
    scratch.xtask(&["run", "--host"]).expect(5, &[&wanted[..], &["hint: try it by hand:"]].concat());
}

/// A project whose simulator has a port of its own, and the command that runs it on this host.
fn on_host(scratch: &Scratch) -> (Command, u16, u16) {
    let port = port::free();
    let ca = port::free();
    scratch.edit("ioc.toml", r#"["psu-simulator"]"#, &format!(r#"["psu-simulator", "--port", "{port}"]"#));
    scratch.edit("ioc.toml", "port = 9999", &format!("port = {port}"));
    let mut command = scratch.command(&["run", "--host"]);
    command.env("PSU_ADDRESS", format!("localhost:{port}")).env("PREFIX", "HERE:");
    command.env("EPICS_CA_SERVER_PORT", ca.to_string()).env("EPICS_CAS_INTF_ADDR_LIST", "127.0.0.1");
    (command, port, ca)
}

#[test]
fn on_this_host_any_client_reaches_the_ioc() {
    let scratch = Scratch::new();
    let (command, port, ca) = on_host(&scratch);
    let session = Session::start(command);
    let caget = scratch.program("caget");
    let got = Command::new(caget)
        .args(["-w", "30", "-t", "HERE:IDN"])
        .env("EPICS_CA_SERVER_PORT", ca.to_string())
        .envs([("EPICS_CA_ADDR_LIST", "127.0.0.1"), ("EPICS_CA_AUTO_ADDR_LIST", "NO")])
        .output()
        .unwrap();
    assert!(got.status.success() && !got.stdout.trim_ascii().is_empty(), "{got:?}");
    let hint = "hint: if it is the simulator";
    scratch.xtask(&["run", "--host"]).expect(5, &[&format!("port {port}"), hint, "--no-simulator"]);
    let log = format!("port {port}");
    session.finish(|stdin| writeln!(stdin, "exit").unwrap()).expect(0, &["simulator.log", &log]);
}

#[test]
fn ctrl_c_is_the_iocs_business_and_leaves_nothing() {
    for host in [false, true] {
        let scratch = Scratch::new();
        let mut command = if host { on_host(&scratch).0 } else { scratch.command(&["run"]) };
        // What a terminal signals at Ctrl-C: its foreground process group.
        command.process_group(0);
        let session = Session::start(command);
        let group = format!("-{}", session.child.id());
        let interrupt = || assert!(Command::new("kill").args(["-s", "INT", "--", &group]).status().unwrap().success());
        session.finish(|_| interrupt()).expect(130, &[]);
    }
}

/// Anybody can give a process the words of a run: whoever is not us, or runs another program, is none.
#[test]
fn exec_enters_no_machine_of_others() {
    let scratch = Scratch::new();
    let poses = "import os, subprocess\n\
        if os.geteuid() == 0:\n    os.setuid(65534)\n\
        subprocess.Popen(['/bin/sh', 'sandbox-init', '--name', 'machine']).wait()\n";
    let waits = "echo ready\nread line\n";
    let dir = scratch.scratch_dir();
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    std::fs::write(dir.join("sandbox-keeper"), poses).unwrap();
    std::fs::write(dir.join("sandbox-init"), waits).unwrap();
    let spec = scratch.root.join("target/checks/29991231T000000Z-1/machine/sandbox.json");
    let mut command = Command::new("python3");
    command.arg("sandbox-keeper").arg("--spec").arg(spec).current_dir(dir);
    let mut evil = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 6];
    evil.stdout.take().unwrap().read_exact(&mut line).unwrap();
    exec(&scratch, &["true"]).expect(5, &["no machine of this project runs"]);
    drop(evil.stdin.take());
    evil.wait().unwrap();
}

#[test]
fn nothing_that_exec_started_outlives_it() {
    let scratch = Scratch::new();
    let session = Session::start(scratch.command(&["run"]));
    let daemons = "setsid sleep 1000 >/dev/null 2>&1 </dev/null & sleep 1000 >/dev/null 2>&1 & echo up; ";
    // It ends by itself, or by a signal that nobody can catch.
    for (end, code) in [("read line; exit 3", Some(3)), ("wait", None)] {
        let mut command = scratch.command(&["exec", "bash", "-c", &format!("{daemons}{end}")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
        let processes = tree(child.id());
        assert!(processes.len() >= 5, "exec, its guard, bash and two more: {processes:?}");
        match code {
            Some(_) => drop(child.stdin.take()),
            None => child.kill().unwrap(),
        }
        assert_eq!(child.wait().unwrap().code(), code);
        wait_until_gone(&processes);
    }
    session.finish(|stdin| writeln!(stdin, "exit").unwrap()).expect(0, &[]);
}

#[test]
fn exec_asks_which_of_several_machines() {
    let scratch = Scratch::new();
    scratch.check("pair", "");
    scratch.write("checks/pair.toml", "[nodes.first]\n[nodes.second]\n");
    let mut prompt = scratch.command(&["interactive", "pair"]);
    let mut prompt = prompt.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = prompt.stdin.take().unwrap();
    stdin.write_all(b"start_all(); print('they', 'run', flush=True)\n").unwrap();
    let mut said = Vec::new();
    let mut byte = [0];
    let mut stdout = prompt.stdout.take().unwrap();
    while !said.ends_with(b"they run\n") {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "ended: {}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    exec(&scratch, &["hostname"]).expect(2, &["first, second", "hint: choose one: cargo xtask exec --machine first"]);
    let second = exec(&scratch, &["--machine", "second", "hostname"]).expect(0, &[]);
    assert_eq!(second.stdout, "second\n");
    drop(stdin);
    prompt.wait().unwrap();
}

#[test]
fn nothing_outlives_kill_9() {
    for host in [false, true] {
        let scratch = Scratch::new();
        let temporary = scratch.scratch_dir().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let mut command = if host { on_host(&scratch).0 } else { scratch.command(&["run"]) };
        command.env("TMPDIR", &temporary);
        let session = Session::start(command);
        let pid = session.child.id().to_string();
        let run = session.finish(|_| assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success()));
        assert_eq!(run.code, None, "killed");
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "left in TMPDIR");
    }
}

/// On a terminal the typed line is drawn anew below the word on the simulator; what was typed is not lost.
#[test]
fn a_simulator_that_dies_is_announced_above_the_prompt() {
    let scratch = Scratch::new();
    let port = port::free();
    let pid = scratch.scratch_dir().join("pid");
    // One that the IOC has nothing to do with: its death is not the IOC's to tell.
    let idle = format!(
        "import os, socket\ns = socket.create_server(('127.0.0.1', {port}))\nopen({pid:?}, 'w').write(str(os.getpid()))\n\
         s.accept()\ns.accept()\n"
    );
    scratch.write("idle.py", &idle);
    scratch.write(
        "ioc.toml",
        &format!(
            "[ioc]\napp = \"example\"\nioc = \"iocExample\"\n[simulators.idle]\npackage = \"x\"\n\
             command = [\"python3\", \"./idle.py\"]\nport = {port}\n"
        ),
    );
    let ca = port::free();
    let before =
        format!("stty cols 200 rows 40; TERM=xterm EPICS_CA_SERVER_PORT={ca} EPICS_CAS_INTF_ADDR_LIST=127.0.0.1");
    let typed = "dbgf \"VOLT";
    let mut step = 0;
    let (code, text) = on_terminal(&scratch, &before, "run --host", |text| {
        let prompted = text.rsplit_once("initialization complete").is_some_and(|(_, after)| after.contains("epics> "));
        match step {
            0 if prompted => {
                step = 1;
                Some(typed)
            }
            1 if text.contains(typed) => {
                step = 2;
                let pid = std::fs::read_to_string(&pid).unwrap();
                assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
                None
            }
            2 if text.contains("has ended by signal 9; ") => {
                step = 3;
                Some("\"\r")
            }
            3 if text.rsplit_once("DBF_DOUBLE").is_some_and(|(_, after)| after.contains("epics> ")) => {
                step = 4;
                Some("exit\r")
            }
            _ => None,
        }
    });
    assert!(code == 0 && step == 4, "{step}: {text}");
    // A row of its own is made above the line, which is not touched.
    let word = "\u{1b}D\u{1b}[1A\u{1b}7\r\u{1b}[1Lwarning: simulator `idle` has ended by signal 9; its output: ";
    let (_, after) = text.split_once(word).unwrap();
    assert!(after.split_once("idle.log").unwrap().1.starts_with("\u{1b}8\u{1b}[1B"), "{text}");
}
