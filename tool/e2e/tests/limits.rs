//! Limits of services by control groups: for real where systemd delegates some to us, loudly skipped elsewhere.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, reason = "tests run programs")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Run, Scratch};

/// Runs a command in a group that is its own, beside one for this shell, which tells at the end what is left there.
/// After `kill -9` of xtask, its cage needs a moment.
const KEEPER: &str = r#"
top=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir "$top/keeper" "$top/run" || exit 99
echo $$ >"$top/keeper/cgroup.procs"
echo +cpu +memory +pids >"$top/cgroup.subtree_control"
sh -c 'echo $$ >"$0/cgroup.procs"; echo $$ >xtask.pid; exec "$@"' "$top/run" "$@"
code=$?
left() { find "$top/run" -mindepth 1 -type d; cat "$top/run/cgroup.procs" "$top/run/cgroup.subtree_control"; }
for _ in $(seq 200); do [ $code = 137 ] && [ -n "$(left)" ] && sleep 0.05; done
echo "left in its control group: [$(left)]" >&2
exit $code
"#;

const NOTHING_LEFT: &str = "left in its control group: []";

/// A command line that gives what follows a delegated control group; `None`, said aloud, where there is none.
fn delegated() -> Option<Command> {
    let uid = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap();
    let scope = || {
        let mut command = Command::new("systemd-run");
        command.args(["--scope", "--quiet", "-p", "Delegate=yes"]);
        if uid.trim() != "0" {
            command.arg("--user").env("XDG_RUNTIME_DIR", format!("/run/user/{}", uid.trim()));
        }
        command
    };
    let look = "cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/cgroup.controllers";
    let said = match scope().args(["sh", "-c", look]).stdin(Stdio::null()).output() {
        Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned(),
        Err(error) => format!("systemd-run: {error}"),
    };
    let has = |controller| said.split_whitespace().any(|word| word == controller);
    if ["cpu", "memory", "pids"].into_iter().all(has) {
        return Some(scope());
    }
    eprintln!("SKIPPED: systemd delegates no control group with cpu, memory and pids here: {said}");
    None
}

/// xtask alone in a delegated group.
fn alone(scratch: &Scratch, mut scope: Command, args: &[&str]) -> Command {
    scope.args(["sh", "-c", KEEPER, "sh", env!("CARGO_BIN_EXE_xtask")]).args(args);
    let runtime = scope.get_envs().find(|(key, _)| *key == "XDG_RUNTIME_DIR").and_then(|(_, v)| Some(v?.to_owned()));
    scratch.environment(&mut scope);
    scope.envs(runtime.map(|dir| ("XDG_RUNTIME_DIR", dir)));
    scope
}

#[test]
fn limits_are_kept_as_systemd_keeps_them() {
    let Some(scope) = delegated() else { return };
    let scratch = Scratch::new();
    scratch.check("limits", include_str!("scripts/limits.py"));
    let run = alone(&scratch, scope, &["test", "limits", "--backend", "sandbox"]).output().unwrap();
    Run::of(&run).expect(0, &["PASS limits", NOTHING_LEFT]);
}

#[test]
fn runs_side_by_side_keep_their_limits_apart() {
    let Some(scope) = delegated() else { return };
    let scratch = Scratch::new();
    let text = "[Service]\\nExecStart=/bin/sleep 1000\\nTasksMax=7\\n";
    scratch.check(
        "many",
        &format!(
            "machine.succeed(\"printf '{text}' > /etc/systemd/system/some.service; systemctl start some\")\n\
             t.assertEqual(machine.get_unit_property('some', 'TasksCurrent'), '1')\n\
             t.assertEqual(machine.succeed('find /sys/fs/cgroup -name \"*.service\"').count('\\n'), 1)\n"
        ),
    );
    scratch.check("plain", "machine.wait_for_unit('ioc.service')\n");
    let args = ["test", "many", "plain", "--backend", "sandbox", "--repeat", "3", "-j", "4"];
    let run = alone(&scratch, scope, &args).output().unwrap();
    Run::of(&run).expect(0, &["PASS many", "PASS plain", NOTHING_LEFT]);
}

#[test]
fn kill_9_leaves_no_control_group() {
    let Some(scope) = delegated() else { return };
    let scratch = Scratch::new();
    let text = "[Service]\\nExecStart=/bin/sleep 1000\\nMemoryMax=1G\\n";
    scratch.check(
        "killed",
        &format!(
            "machine.succeed(\"printf '{text}' > /etc/systemd/system/some.service; systemctl start some\")\n\
             t.assertNotEqual(machine.get_unit_property('some', 'MemoryCurrent'), '[not set]')\n\
             print('reached', flush=True)\nimport time\ntime.sleep(1000)\n"
        ),
    );
    let mut run = alone(&scratch, scope, &["test", "killed", "--backend", "sandbox", "--show-output"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines().map(Result::unwrap);
    let before: Vec<String> = lines.by_ref().take_while(|line| line != "reached").collect();
    let xtask = fs::read_to_string(scratch.root.join("xtask.pid")).unwrap();
    let killed = Command::new("kill").args(["-s", "KILL", xtask.trim()]).status().unwrap();
    assert!(killed.success(), "{before:#?}");
    let after: Vec<String> = lines.collect();
    assert_eq!((run.wait().unwrap().code(), after.last().map(String::as_str)), (Some(137), Some(NOTHING_LEFT)));
}

#[test]
fn where_nothing_is_delegated_the_cause_is_said_before_and_in_the_journal() {
    // These tests are in their group themselves, so that it is not xtask's own.
    let root = Path::new("/sys/fs/cgroup");
    if !root.join("cgroup.type").exists()
        && fs::read_to_string(root.join("cgroup.controllers")).is_ok_and(|c| !c.is_empty())
    {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        if own.trim() == "0::/" {
            eprintln!("SKIPPED: this is the root of all control groups, where nothing need be delegated");
            return;
        }
    }
    let scratch = Scratch::new();
    fs::create_dir(scratch.root.join("units")).unwrap();
    scratch.write("units/some.service", "[Service]\nExecStart=/bin/sleep 1000\nMemoryMax=1G\nTasksMax=7\nCPUQuota=\n");
    let word = "some.service: MemoryMax= and TasksMax= have no effect in the sandbox: ";
    let script = format!(
        "machine.succeed('systemctl start some')\n\
         journal = machine.succeed('journalctl -u some -o cat --no-pager')\n\
         t.assertIn('{word}', journal)\n\
         t.assertIn('(hint: ', journal)\n\
         t.assertEqual(machine.get_unit_property('some', 'MemoryMax'), '1073741824')\n\
         t.assertEqual(machine.get_unit_property('some', 'MemoryCurrent'), '[not set]')\n"
    );
    scratch.write("script.py", &script);
    let run = scratch.xtask(&["driver", "--units", "units", "-o", ".", "script.py"]);
    run.expect(0, &[&format!("warning: {word}"), "(hint: ", "; backend nixos has them\n"]);
}
