//! systemd is the oracle: the scripts of `semantics.rs` run, statement by statement, where the host's own systemd is PID 1.
//! What does not hold there stands in `oracle/accepted.txt`, with the reason, and nothing else does.
//!
//! Needs root, a cgroup v2 hierarchy to make a group in, and systemd 252 with its bus (Debian 12: packages systemd and dbus).
#![expect(clippy::print_stderr, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::copy;
use serde_json::Value;

/// The scripts that need no reboot, nor anything else that only the driver has.
const SCRIPTS: [(&str, &[&str]); 5] = [
    ("commands.py", &["commands.py"]),
    ("units.py", &["units.py"]),
    ("systemd.py", &["systemd.py"]),
    ("protect.py", &["protect.py"]),
    ("users.py", &["users.py", "users_there.py"]),
];

/// A control group of the test's own, where there may be one.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let base = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields[2] == "cgroup2");
        let base = base.ok_or("there is no cgroup v2")?;
        let path = Path::new(base[1]).join(format!("xtask-oracle-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // PID 1 of the machine is gone, and the kernel has ended the rest; groups go from the leaves.
        let kill = self.0.join("cgroup.kill");
        let _ = fs::write(kill, "1");
        for _ in 0..100 {
            let _ =
                Command::new("find").arg(&self.0).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]).output();
            if !self.0.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Why there is no systemd to ask.
fn missing() -> Option<&'static str> {
    let output = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
    };
    if output("id", &["-u"]).unwrap().trim() != "0" {
        return Some("only root can");
    }
    if !output("/lib/systemd/systemd", &["--version"]).is_ok_and(|text| text.starts_with("systemd 252 ")) {
        return Some("there is no systemd 252 here");
    }
    (!Path::new("/usr/bin/dbus-daemon").exists()).then_some("there is no dbus-daemon here")
}

/// The statements of the list, each with its reason in the next line.
fn accepted() -> BTreeSet<String> {
    let text = include_str!("oracle/accepted.txt");
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let pairs = lines.chunks(2).map(|pair| {
        assert!(pair.len() == 2 && !pair[0].starts_with(' ') && pair[1].starts_with("  "), "{pair:?}");
        pair[0].to_owned()
    });
    pairs.collect()
}

#[test]
fn systemd_answers_as_the_sandbox_does() {
    let accepted = accepted();
    if let Some(why) = missing() {
        common::skipped(&format!("systemd is not asked: {why}"));
        return;
    }
    let group = match Group::new() {
        Ok(group) => group,
        Err(why) => {
            common::skipped(&format!("systemd is not asked: {why}"));
            return;
        }
    };
    let differ = ask(&group);
    // journald takes the last lines of a process that is gone as they come: only what differs each time does.
    let mut new: BTreeMap<_, _> = differ.iter().filter(|(statement, _)| !accepted.contains(*statement)).collect();
    let again: Vec<_> = (0..2).map_while(|_| (!new.is_empty()).then(|| ask(&group))).collect();
    new.retain(|statement, _| again.iter().all(|differ| differ.contains_key(*statement)));
    assert!(new.is_empty(), "systemd answers otherwise: {new:#?}");
    let gone: Vec<_> = accepted.iter().filter(|statement| !differ.contains_key(*statement)).collect();
    assert!(gone.is_empty(), "these hold on systemd now: take them out of oracle/accepted.txt: {gone:#?}");
}

/// Boots systemd and runs the scripts on it: the statements that do not hold there, and what came instead.
fn ask(group: &Group) -> BTreeMap<String, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let (root, work) = (dir.path().join("root"), dir.path().join("work"));
    fs::create_dir(&root).unwrap();
    copy(&here.parent().unwrap().join("driver"), &work.join("driver"));
    fs::copy(here.join("tests/oracle/inside.py"), work.join("inside.py")).unwrap();
    for (name, parts) in SCRIPTS {
        let text: String =
            parts.iter().map(|part| fs::read_to_string(here.join("tests/scripts").join(part)).unwrap()).collect();
        fs::write(work.join(name), text).unwrap();
    }
    fs::write(work.join("scripts.json"), serde_json::to_string(&SCRIPTS.map(|(name, _)| name)).unwrap()).unwrap();

    let enter = "echo 0 > \"$1/cgroup.procs\"; shift; exec unshare --cgroup --mount --pid --ipc --uts --net --fork --kill-child -- \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", enter, "sh"]).arg(&group.0);
    command.arg("sh").arg(here.join("tests/oracle/boot.sh")).arg(&root).arg(&work);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = |name: &str| fs::read_to_string(work.join(name)).unwrap_or_default();
    let answers = told("answers.json");
    assert!(!answers.is_empty(), "no answers: {output:?}\n{}\n{}", told("stdout"), told("stderr"));
    let answers: BTreeMap<String, Value> = serde_json::from_str(&answers).unwrap();

    let mut differ = BTreeMap::new();
    for (name, answer) in &answers {
        let list = answer["differ"].as_array().unwrap();
        eprintln!("{name}: {} statements, {} do not hold on systemd", answer["count"], list.len());
        let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
        differ.extend(list.iter().map(|item| (text(item, "statement"), text(item, "why"))));
    }
    assert_eq!(answers.len(), SCRIPTS.len());
    differ
}
