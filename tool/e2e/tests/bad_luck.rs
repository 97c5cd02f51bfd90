//! What goes wrong on a machine, and what is left of it: real sandboxes, real signals.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::processes::{command_line, tree, wait_for, wait_until_gone};
use common::{Run, Scratch};

/// A run that has come to a given place in its script.
struct Running {
    child: Child,
    processes: Vec<(u32, String)>,
}

/// Starts a check whose script calls `reached()` and waits until it does.
fn start(scratch: &Scratch, name: &str, script: &str) -> Running {
    let mark = scratch.root.join(format!("{name}.reached"));
    let reached = format!("def reached():\n    open({:?}, 'w').close()\n\n", mark.to_str().unwrap());
    scratch.check(name, &(reached + script));
    let mut child = scratch
        .command(&["test", name, "--backend", "sandbox"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut child, "the script calls reached()", || mark.exists());
    let processes = tree(child.id());
    Running { child, processes }
}

impl Running {
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Status and stderr of xtask, once nothing of the run is left.
    fn finish(mut self) -> Run {
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        wait_until_gone(&self.processes);
        Run { code, stdout: String::new(), stderr }
    }
}

fn assert_no_mount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let dir = dir.to_str().unwrap();
    assert!(!mounts.contains(dir), "{mounts}");
}

/// Folders that runs mount their memory on; empty outside the run.
fn state_dirs(scratch: &Scratch) -> Vec<PathBuf> {
    walkdir::WalkDir::new(scratch.root.join("target/checks"))
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_name() == "state")
        .map(walkdir::DirEntry::into_path)
        .collect()
}

const UP: &str = "start_all()\nmachine.wait_for_unit('ioc.service')\n";

/// Root of a machine puts links and pipes where the host reads, and programs with rights of their own where it writes.
#[test]
fn what_a_machine_leaves_is_neither_followed_nor_waited_for() {
    let scratch = Scratch::new();
    fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    let secret = scratch.scratch_dir().join("secret");
    fs::write(&secret, "{\"_SYSTEMD_UNIT\":\"x.service\",\"MESSAGE\":\"stolen\"}\n").unwrap();
    let secret = secret.to_str().unwrap();
    // The journal stays where it is, and is all that is on the host's disk: whatever its mode and owner, and however long.
    let refused = ["rm", "umount", "unshare --mount umount", "mv -t /tmp", "ln -sf /dev/zero", "ln -T /etc/hosts"];
    scratch.check(
        "journal",
        &format!(
            "machine.succeed('rm -rf /var/log/journal/*', 'mv /var/log/journal /srv')\n\
             machine.wait_until_succeeds('journalctl -u ioc | grep Starting')\n\
             for what in {refused:?}:\n    machine.fail(f'{{what}} /machine/journal.jsonl')\n\
             machine.succeed('cd /machine; cp /bin/true x; chmod 4755 x journal.jsonl; truncate -s 1T journal.jsonl')\n\
             machine.execute('cd /machine; chmod 777 .; mkdir d; touch d/e; chown -R 1000 d journal.jsonl; chmod 0 d')\n\
             assert False\n"
        ),
    );
    // At the next boot its disk is set up on the host's side.
    let aside = scratch.scratch_dir().join("aside");
    fs::create_dir(&aside).unwrap();
    // A service that starts meanwhile would make a /tmp of its own.
    let rebooted = |put: &str| {
        let put = format!("machine.succeed('systemctl stop ioc simulator && {put}')");
        format!("{put}\nmachine.crash()\nmachine.start()\nmachine.succeed('true')\n")
    };
    scratch.check("boots", &rebooted(&format!("mv /tmp /srv && mkdir /tmp && ln -s {} /tmp/shared", aside.display())));
    scratch.check("file", &rebooted("mv /tmp /srv && mkdir /tmp && touch /tmp/shared"));
    scratch.check("nowhere", &rebooted("mv /tmp /srv && ln -s /usr/nope /tmp"));
    scratch
        .check("copies", &format!("machine.succeed('ln -s {secret} /tmp/x')\nmachine.copy_from_machine('/tmp/x')\n"));
    let run = scratch.xtask(&["test", "--backend", "sandbox", "-j1", "--no-fail-fast", "--coverage"]);
    let in_place = |path: &str| format!("something else is in the place of the machine's {path}");
    let run = run.expect(
        1,
        &["1 passed", "4 failed", &in_place("/tmp/shared"), &in_place("/usr/nope: Read-only"), "is a link to"],
    );
    assert!(!run.stderr.contains("stolen"), "{}", run.stderr);
    assert_eq!(fs::read_dir(&aside).unwrap().count(), 0, "{}", run.stderr);
    let page = scratch.xtask(&["report"]).expect(0, &[]).stdout;
    assert!(!fs::read_to_string(page.trim()).unwrap().contains("stolen"));
    let latest = scratch.root.join("target/checks/latest");
    let left = |dir: &str| fs::read_dir(latest.join(dir)).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(left("copies/out"), [""; 0]);
    assert_eq!(left("journal/journal/machine"), ["journal.jsonl"]);
    for dir in ["journal/journal", "journal/record"] {
        let mode = fs::metadata(latest.join(dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "others get at a program that a machine made of a file in {dir}");
    }
}

#[test]
fn simple_passes_and_leaves_nothing() {
    let scratch = Scratch::new();
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox"]);
    run.expect(0, &["✓ check services", "✓ check voltage", "PASS simple", "1 passed"]);
    assert_eq!(state_dirs(&scratch), [] as [PathBuf; 0]);
    assert!(scratch.result("simple/junit.xml").contains("check voltage"));
}

#[test]
fn a_broken_protocol_fails_the_check_at_its_line() {
    let scratch = Scratch::new();
    scratch.edit("ioc/exampleApp/Db/example.proto", "out \":volt %f\"; in \"OK\";", "out \":vlt %f\"; in \"OK\";");
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox"]);
    run.expect(
        1,
        &[
            "✗ check voltage",
            "FAIL simple",
            "in subtest \"check voltage\", at checks/simple.py:25",
            "retry(voltage_is_42, 10)",
            "action timed out",
            "No reply within 500 ms to \":vlt 42.000000<0a>\"",
        ],
    );
}

#[test]
fn an_ioc_without_its_database_fails_quickly_and_its_journal_is_shown() {
    const ST_CMD: &str = "ioc/iocBoot/iocExample/st.cmd";
    let scratch = Scratch::new();
    scratch.edit(ST_CMD, "${TOP}/db/example.db", "${TOP}/db/other.db");
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox", "--no-lint"]);
    run.expect(1, &["at checks/simple.py:11", "caget VOLT-RB", "last lines of ioc.service", "other.db"]);
    // Without its source, make would not even build the IOC.
    scratch.edit(ST_CMD, "${TOP}/db/other.db", "${TOP}/db/example.db");
    fs::remove_file(scratch.root.join("ioc/exampleApp/Db/example.db")).unwrap();
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox"]);
    run.expect(
        1,
        &[
            "Db/Makefile:5:1: error[make-stops]",
            "st.cmd:17:16: error[no-file]",
            "nothing was started",
            "hint: run the checks all the same: --no-lint",
        ],
    );
}

#[test]
fn an_ioc_with_a_broken_database_fails_and_its_journal_names_the_place() {
    let scratch = Scratch::new();
    scratch.edit("ioc/exampleApp/Db/example.db", "field(DESC, \"Identification\")", "field(DESC \"Identification\")");
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox", "--no-lint"]);
    run.expect(1, &["at checks/simple.py:11", "last lines of ioc.service", "example.db"]);
}

#[test]
fn an_ioc_without_its_protocol_fails_and_its_journal_names_the_file() {
    let scratch = Scratch::new();
    scratch.edit("ioc/exampleApp/Db/example.db", "@example.proto", "@other.proto");
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox", "--no-lint"]);
    run.expect(1, &["last lines of ioc.service", "other.proto"]);
}

#[test]
fn a_pass_hides_nothing_and_strict_makes_it_a_failure() {
    let scratch = Scratch::new();
    let script = "machine.wait_for_unit('ioc.service')\nmachine.succeed('systemctl kill -s KILL ioc')\n\
                  machine.wait_until_succeeds('journalctl -u ioc | grep \"restart counter is at 1\"')\n";
    scratch.check("kills", script);
    let remark = "ioc.service was restarted once on machine (signal)";
    scratch.xtask(&["test", "kills"]).expect(0, &["PASS kills", "kills passed, but", remark, "1 passed"]);
    scratch.xtask(&["test", "kills", "--strict"]).expect(1, &["FAIL kills", "the script passed, but", remark]);
    scratch.write("checks/kills.toml", "may_fail = [\"ioc.service\"]\n");
    let run = scratch.xtask(&["test", "kills", "--strict"]).expect(0, &["PASS kills"]);
    assert!(!run.stderr.contains("passed, but"), "{}", run.stderr);
    scratch.check("ends", "import sys\nstart_all()\nwith subtest('early'):\n    sys.exit(0)\nmachine.fail('true')\n");
    scratch.xtask(&["test", "ends"]).expect(0, &["ends passed, but", "the script ended early, by sys.exit, in line 4"]);
    scratch.xtask(&["test", "ends", "--strict"]).expect(1, &["FAIL ends", "the script ended early"]);
}

#[test]
fn an_ioc_writes_nothing_beside_its_script() {
    let scratch = Scratch::new();
    scratch.edit(
        "ioc/iocBoot/iocExample/st.cmd",
        "iocInit()",
        "dbl > records.txt\ndbl > \"${TOP}/db/x\"\ndbl > /tmp/x\niocInit()",
    );
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox"]);
    let [warned, told] = ["warning[read-only]", "ERROR st.cmd line"].map(|part| run.stderr.matches(part).count());
    assert_eq!((run.code, warned, told), (Some(0), 2, 2), "{}", run.stderr);
}

#[test]
fn a_simulator_that_dies_at_start_fails_at_once() {
    let scratch = Scratch::new();
    scratch.edit("ioc.toml", "[\"psu-simulator\"]", "[\"/bin/sh\", \"-c\", \"echo no device here; exit 3\"]");
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox"]);
    run.expect(
        1,
        &["at checks/simple.py:5", "unit \"simulator.service\"", "last lines of simulator.service", "no device here"],
    );
}

#[test]
fn a_simulator_that_is_not_there_is_named() {
    let scratch = Scratch::new();
    scratch.edit("ioc.toml", "[\"psu-simulator\"]", "[\"no-such-simulator\"]");
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox"]);
    run.expect(1, &["unit \"simulator.service\"", "no-such-simulator"]);
}

#[test]
fn a_unit_that_never_comes_up_fails_by_its_own_limit() {
    let scratch = Scratch::new();
    scratch.edit(
        "ioc.toml",
        "[\"psu-simulator\"]",
        "[\"/bin/sh\", \"-c\", \"echo listening elsewhere; exec sleep 300\"]",
    );
    let run = scratch.xtask(&["test", "simple", "--backend", "sandbox", "--timeout", "100"]);
    run.expect(1, &["unit \"simulator.service\"", "listening elsewhere"]);
}

#[test]
fn scripts_that_fail_in_their_own_ways() {
    let scratch = Scratch::new();
    scratch.check("raises", "start_all()\n\nwith subtest('sums'):\n    raise ValueError('one and one')\n");
    scratch.check("syntax", "start_all()\ndef broken(:\n    pass\n");
    scratch.check("exits", "import sys\nsys.exit(3)\n");
    scratch.check("hangs", "import time\ntime.sleep(1000)\n");
    scratch.check("name", "start_all()\nmachne.succeed('true')\n");
    scratch.check("vmonly", "start_all()\nmachine.screenshot('x')\n");
    let test = |name: &str, more: &[&str]| {
        let mut args = vec!["test", name, "--backend", "sandbox"];
        args.extend(more);
        scratch.xtask(&args)
    };
    test("raises", &[]).expect(1, &["raises failed, in subtest \"sums\", at checks/raises.py:4", "one and one"]);
    test("syntax", &[]).expect(1, &["checks/syntax.py:2:12: error[python-syntax]", "nothing was started"]);
    test("syntax", &["--no-lint"]).expect(1, &["syntax failed, at checks/syntax.py:2", "invalid syntax"]);
    test("exits", &[]).expect(1, &["exits failed, at checks/exits.py:2", "sys.exit(3)"]);
    test("hangs", &["--timeout", "1"]).expect(1, &["TIME hangs", "ran into its time limit of 1 s"]);
    test("name", &[]).expect(1, &["checks/name.py:2", "machne", "machine"]);
    test("vmonly", &[]).expect(1, &["checks/vmonly.py:2", "screenshot", "--backend nixos"]);
}

#[test]
fn output_of_any_kind_and_size_is_survived() {
    let scratch = Scratch::new();
    scratch.check(
        "odd",
        "start_all()\n\
         out = machine.succeed(r\"printf 'a\\377b\\033[31mc'; printf '\\376\\n' >&2\")\n\
         t.assertEqual(out, 'a\\ufffdb\\x1b[31mc')\n\
         big = machine.succeed('head -c 10000000 /dev/zero | tr \"\\\\0\" x')\n\
         t.assertEqual(len(big), 10000000)\n\
         machine.succeed('head -c 10000000 /dev/zero | tr \"\\\\0\" y >&2')\n",
    );
    scratch.xtask(&["test", "odd", "--backend", "sandbox"]).expect(0, &["PASS odd"]);
}

#[test]
fn kill_9_at_any_moment_leaves_no_process_and_no_mount() {
    let scratch = Scratch::new();
    let moments = [
        ("before", "reached()\nimport time\ntime.sleep(1000)\n".to_owned()),
        ("booting", "start_all()\nreached()\nimport time\ntime.sleep(1000)\n".to_owned()),
        ("command", format!("{UP}import threading\nthreading.Timer(0.2, reached).start()\nmachine.succeed('setsid sleep 1000 & sleep 1000')\n")),
        ("child", "import subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\nreached()\nimport time\ntime.sleep(1000)\n".to_owned()),
    ];
    for (name, script) in moments {
        let running = start(&scratch, name, &script);
        assert!(running.processes.len() >= 4, "{name}: {:?}", running.processes);
        running.signal("KILL");
        assert_eq!(running.finish().code, None);
    }
    assert_no_mount_below(scratch.scratch_dir());
    for dir in state_dirs(&scratch) {
        assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
    }
}

#[test]
fn the_death_of_any_stage_ends_the_run() {
    let scratch = Scratch::new();
    let running = start(&scratch, "stages", &format!("{UP}reached()\nimport time\ntime.sleep(1000)\n"));
    let stage = |word: &str| running.processes.iter().find(|(pid, _)| command_line(*pid).contains(word)).unwrap().0;
    let host = stage("sandbox-keeper").to_string();
    assert!(Command::new("kill").args(["-s", "KILL", &host]).status().unwrap().success());
    running.finish().expect(1, &["FAIL stages"]);
}

#[test]
fn ctrl_c_cleans_up_and_exits_with_130() {
    let scratch = Scratch::new();
    let script = format!(
        "{UP}try:\n    reached()\n    machine.succeed('sleep 1000')\nfinally:\n    open(driver.out_dir / 'cleaned', 'w')\n"
    );
    let running = start(&scratch, "interrupted", &script);
    running.signal("INT");
    running.finish().expect(130, &["STOP interrupted", "1 interrupted"]);
    assert!(scratch.root.join("target/checks/latest/interrupted/out/cleaned").exists());
}

/// What a CI service sends, and a terminal that closes: the run is told all the same.
#[test]
fn term_and_hup_end_as_ctrl_c_does() {
    let scratch = Scratch::new();
    // Of whom nohup has started, xtask too, nobody hears of a hang-up.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let deaf = u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1;
    if deaf {
        common::skipped("SIGHUP is ignored here, as by nohup");
    }
    for signal in if deaf { &["TERM"][..] } else { &["TERM", "HUP"] } {
        let running = start(&scratch, signal, &format!("{UP}reached()\nmachine.succeed('sleep 1000')\n"));
        running.signal(signal);
        running.finish().expect(130, &[&format!("STOP {signal}"), "1 interrupted"]);
        assert!(scratch.result("run.json").contains("\"interrupted\""));
    }
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_script() {
    let scratch = Scratch::new();
    let script = format!(
        "{UP}import time\ntry:\n    reached()\n    time.sleep(1000)\nfinally:\n    open({:?}, 'w').close()\n    time.sleep(1000)\n",
        scratch.root.join("stubborn2.fifo").to_str().unwrap()
    );
    assert!(Command::new("mkfifo").arg(scratch.root.join("stubborn2.fifo")).status().unwrap().success());
    let running = start(&scratch, "stubborn", &script);
    running.signal("INT");
    fs::File::open(scratch.root.join("stubborn2.fifo")).unwrap();
    running.signal("INT");
    running.finish().expect(130, &["STOP stubborn"]);
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let scratch = Scratch::new();
    let script = |volts: u32| {
        format!(
            "{UP}machine.wait_until_succeeds('caget VOLT-RB', timeout=60)\n\
             machine.succeed('caput -w 60 -c VOLT {volts}')\n\
             reached()\n\
             machine.sleep(1)\n\
             machine.succeed('caget -w 60 -t VOLT-RB | grep -qxF {volts}')\n"
        )
    };
    let (one, two) = (start(&scratch, "one", &script(11)), start(&scratch, "two", &script(22)));
    one.finish().expect(0, &["PASS one"]);
    two.finish().expect(0, &["PASS two"]);
}

/// Runs xtask as root of a user namespace in which a shell command has changed something first.
fn in_namespace(scratch: &Scratch, prepare: &str) -> Run {
    let script = format!("{prepare} && exec \"$XTASK\" test simple --backend sandbox");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    scratch.environment(&mut command);
    command.env("XTASK", env!("CARGO_BIN_EXE_foreign")).env("ROOT", &scratch.root);
    Run::of(&command.output().unwrap())
}

#[test]
fn forbidden_user_namespaces_are_explained() {
    let scratch = Scratch::new();
    in_namespace(&scratch, "echo 0 > /proc/sys/user/max_user_namespaces").expect(
        5,
        &[
            "the sandbox does not work on this host: unshare: a user namespace cannot be made",
            "\nsudo sysctl -w user.max_user_namespaces=",
        ],
    );
}

#[test]
fn a_readonly_checkout_is_enough() {
    let scratch = Scratch::new();
    let readonly = "mount --bind \"$ROOT\" \"$ROOT\" && mount --bind \"$ROOT/target\" \"$ROOT/target\" && mount -o remount,bind,ro \"$ROOT\"";
    in_namespace(&scratch, readonly).expect(0, &["PASS simple"]);
    let all = format!("{readonly} && mount -o remount,bind,ro \"$ROOT/target\"");
    in_namespace(&scratch, &all)
        .expect(5, &["cannot create", "hint: in a read-only checkout, build elsewhere: export CARGO_TARGET_DIR="]);
}

/// What newgidmap has written stays written: the other map has to do without.
#[test]
fn a_newuidmap_that_refuses_is_done_without() {
    if unix::unistd::geteuid().is_root() {
        common::skipped("a_newuidmap_that_refuses_is_done_without: root asks no newuidmap");
        return;
    }
    let scratch = Scratch::new();
    let bin = scratch.scratch_dir().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/false", bin.join("newuidmap")).unwrap();
    let mut command = scratch.command(&["test", "simple", "--backend", "sandbox"]);
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    Run::of(&command.output().unwrap()).expect(0, &["PASS simple"]);
}
