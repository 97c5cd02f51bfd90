//! What the caller's shell has set, and how much is said: neither changes a verdict.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use common::{Run, Scratch, processes};
use unix::sys::ptrace::{self, Event, Options};
use unix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use unix::unistd::Pid;

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

/// Soft limits and signals: on a machine they are those of systemd.
#[test]
fn a_machine_has_no_limits_and_signals_of_its_caller() {
    let scratch = Scratch::new();
    scratch.check("simple", include_str!("scripts/limits.py"));
    let ordinary: &[&str] = &["unshare", "--user", "--map-user=1000", "--map-group=1000"];
    let low = "for limit in f\\ 1 s\\ 128 t\\ 1 v\\ 200000 d\\ 20000 n\\ 32; do ulimit -S -$limit; done";
    for user in [&[], ordinary] {
        for prepare in
            [low, "ulimit -S -s unlimited -c unlimited -n 2000; trap '' HUP INT QUIT USR1 TERM CHLD XFSZ XCPU"]
        {
            in_shell(&scratch, prepare, user).expect(0, &["PASS simple"]);
        }
    }
}

/// Whatever the umask, xtask may use what it makes, and others change nothing of it.
#[test]
fn an_umask_locks_nobody_out_and_lets_nobody_in() {
    let ordinary: &[&str] = &["unshare", "--user", "--map-user=1000", "--map-group=1000"];
    for user in [&[], ordinary] {
        for mask in ["000", "777", "277"] {
            let scratch = Scratch::new();
            in_shell(&scratch, &format!("umask {mask}"), user).expect(0, &["PASS simple"]);
            let files = walkdir::WalkDir::new(scratch.root.join("target")).into_iter().map(Result::unwrap);
            let open = |entry: &walkdir::DirEntry| entry.metadata().unwrap().mode() & 0o2 != 0;
            // The journal, which another user of its machine writes to, is in a folder that only its owner enters.
            let own = |entry: &walkdir::DirEntry| !entry.path_is_symlink() && entry.file_name() != "journal.jsonl";
            let left: Vec<_> =
                files.filter(|entry| own(entry) && open(entry)).map(walkdir::DirEntry::into_path).collect();
            assert!(left.is_empty(), "umask {mask}: {left:?}");
        }
    }
}

#[test]
fn names_of_folders_may_be_odd() {
    let mut scratch = Scratch::new();
    // Between them what lists of paths, shells, patterns, iocsh, Make and terminals take for something else.
    for name in ["a\nb'c\"d $x `y`", ":;=,a:b", "-%s%20#${X}$(X)", "~*?[c]{d}<e>(f)&|!@+\\", " \t\x01\x1b[31m "] {
        let odd = scratch.scratch_dir().join(name);
        fs::rename(&scratch.root, &odd).unwrap();
        scratch.root = odd;
        scratch.xtask(&["lint"]).expect(0, &["nothing found"]);
        scratch.xtask(&["test", "simple", "--backend", "sandbox"]).expect(0, &["PASS simple"]);
        scratch.xtask(&["report"]).expect(0, &[]);
    }
}

/// Nobody reads what xtask says: the script goes on all the same, and what it has said waits on the disk.
#[test]
fn output_that_nobody_reads_keeps_no_script_waiting_and_fills_no_memory() {
    let scratch = Scratch::new();
    scratch.check("loud", "line = 'x' * 99\nfor n in range(400000):\n    print(line)\n");
    let mut command = scratch.command(&["test", "loud", "--no-lint", "--show-output", "--backend", "sandbox"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = scratch.root.join("target/checks/latest/loud/log");
    processes::wait_for(&mut child, "a whole log", || fs::metadata(&log).is_ok_and(|log| log.len() >= 40_000_000));
    let peak = peak(child.id());
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    reader.join().unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    let lines = stderr.lines().filter(|line| line.ends_with("xxx")).count();
    assert!(child.wait().unwrap().success() && stderr.contains("PASS loud"), "{}", stderr.replace("xxx", ""));
    assert_eq!(lines, 400_000);
    assert!(peak < 50_000, "xtask took {peak} kB");
}

/// The journal of a machine is read line by line, whatever its length: of a pass and of a failure.
#[test]
fn a_long_journal_fills_no_memory() {
    let scratch = Scratch::new();
    let flood = "machine.succeed('systemd-cat -t flood sh -c \"yes $(printf %04000d 0) | head -n 12000\"')\n";
    scratch.check("flood", flood);
    scratch.check("flooded", &format!("{flood}machine.succeed('false')\n"));
    for (name, code, word) in [("flood", 0, "PASS flood"), ("flooded", 1, "FAIL flooded")] {
        let mut command = scratch.command(&["test", name, "--no-lint", "--backend", "sandbox"]);
        let said = fs::File::create(scratch.scratch_dir().join("said")).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(said).spawn().unwrap();
        let peak = peak_at_end(&child);
        let said = fs::read_to_string(scratch.scratch_dir().join("said")).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{said}");
        assert!(said.contains(word), "{said}");
        let journal = scratch.root.join("target/checks/latest").join(name).join("journal/machine/journal.jsonl");
        let size = fs::metadata(journal).unwrap().len();
        assert!(size > 40_000_000, "{size} bytes are no flood");
        assert!(peak < 35_000, "xtask took {peak} kB for a journal of {size} bytes");
    }
}

/// Waits until a child is about to end; the most memory that it itself has had, in kB.
fn peak_at_end(child: &Child) -> u64 {
    let pid = Pid::from_raw(child.id().cast_signed());
    ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT).unwrap();
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceEvent(_, _, code) if code == Event::PTRACE_EVENT_EXIT as i32 => {
                let peak = peak(child.id());
                ptrace::detach(pid, None).unwrap();
                return peak;
            }
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal).unwrap(),
            _ => ptrace::cont(pid, None).unwrap(),
        }
    }
}

fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}
