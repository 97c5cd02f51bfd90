//! What the caller's shell has set, and how much is said: neither changes a verdict.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Run, Scratch};

/// Runs the check `simple` in a shell that has changed something first.
fn in_shell(scratch: &Scratch, prepare: &str, user: &[&str]) -> Run {
    let script = format!("set -e; {prepare}; exec \"$XTASK\" test simple --backend sandbox 0<&-");
    let words = [user, &["bash", "-c", &script]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    scratch.environment(&mut command);
    command.env("XTASK", env!("CARGO_BIN_EXE_foreign")).env("DIR", scratch.scratch_dir());
    Run::of(&command.output().unwrap())
}

#[test]
fn what_a_shell_has_set_changes_nothing() {
    let scratch = Scratch::new();
    let ordinary: &[&str] = &["unshare", "--user", "--map-user=1000", "--map-group=1000"];
    for user in [&[], ordinary] {
        for prepare in [
            "umask 077; ulimit -n 64; unset HOME; export TMPDIR=/nowhere",
            "export LC_ALL=xx_YY.broken LANG=nonsense TERM=$'\\xe9' X=$'\\xe9' TMPDIR=",
        ] {
            in_shell(&scratch, prepare, user).expect(0, &["PASS simple"]);
        }
    }
    let full = "mount -t tmpfs -o size=64k none /mnt; ! dd if=/dev/zero of=/mnt/x 2>/dev/null; export TMPDIR=/mnt";
    in_shell(&scratch, full, &["unshare", "--user", "--map-root-user", "--mount"]).expect(0, &["PASS simple"]);
}

#[test]
fn names_of_folders_may_be_odd() {
    let mut scratch = Scratch::new();
    let odd = scratch.scratch_dir().join("a\nb'c\"d $x `y`");
    fs::rename(&scratch.root, &odd).unwrap();
    scratch.root = odd;
    scratch.xtask(&["test", "simple", "--backend", "sandbox"]).expect(0, &["PASS simple"]);
}

/// Nobody reads what xtask says: then the script waits, and what it has said fills no memory.
#[test]
fn output_that_nobody_reads_is_not_gathered() {
    let scratch = Scratch::new();
    scratch.check("loud", "line = 'x' * 99\nfor n in range(400000):\n    print(line)\n");
    let mut command = scratch.command(&["test", "loud", "--no-lint", "--show-output", "--backend", "sandbox"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let size = || fs::metadata(scratch.root.join("target/checks/latest/loud/log")).map_or(0, |log| log.len());
    // Until it says no more. Where this is too early, there is less to be gathered.
    let mut sizes = vec![0];
    while child.try_wait().unwrap().is_none() && sizes[sizes.len().saturating_sub(20)] != *sizes.last().unwrap()
        || sizes.last() == Some(&0)
    {
        std::thread::sleep(Duration::from_millis(100));
        sizes.push(size());
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    reader.join().unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(child.wait().unwrap().success() && stderr.contains("PASS loud"), "{}", &stderr[stderr.len() - 1000..]);
    assert!(peak.parse::<u64>().unwrap() < 50_000, "xtask took {peak} kB");
}
