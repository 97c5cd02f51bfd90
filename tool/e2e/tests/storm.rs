//! Signals at random moments to random processes of a run, in every mode and under every terminal: nothing is left of it.
//!
//! `XTASK_SLOW_TESTS=1` runs it. `XTASK_TRIES` and `XTASK_SEED` repeat one; `XTASK_UID` is whom root takes for an ordinary user.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::dice::{Dice, number, seed};
use common::processes::{command_line, parents, tree, wait_for};
use common::{Scratch, skipped, tell};
use unix::sys::signal::{Signal, kill};
use unix::sys::wait::{WaitPidFlag, waitpid};
use unix::unistd::Pid;

const MODES: [(&str, &[&str]); 5] = [
    ("test", &["test", "c0", "--no-lint", "--backend", "sandbox"]),
    ("test -j 8", &["test", "c*", "--no-lint", "--backend", "sandbox", "-j", "8", "--no-fail-fast"]),
    ("interactive", &["interactive", "c0", "--backend", "sandbox"]),
    ("run", &["run", "--ioc", "embedded"]),
    ("exec", &["exec", "bash", "-c", "setsid sleep 1000 & sleep 1000"]),
];
/// Who starts it, and where its output goes: a shell waits for it as cargo does, nobody reads, a terminal.
const AROUND: [&str; 3] = ["shell", "closed pipe", "terminal"];
/// Words in the command lines of what is hit, beside whatever was started.
const VICTIMS: [&str; 7] =
    ["sandbox-cage", "sandbox-keeper", "driver.json", "sandbox-init", "soft-ioc", "sleep", "/foreign"];
const SIGNALS: [Signal; 6] =
    [Signal::SIGKILL, Signal::SIGKILL, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGSTOP];

/// What a run may leave on the host, but for processes: what names the folder of the test, and kernel objects.
fn left(dir: &Path) -> BTreeSet<String> {
    let here = dir.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: BTreeSet<String> = mounts.lines().filter(|line| line.contains(here)).map(str::to_owned).collect();
    for folder in [dir.join("tmp"), "/dev/shm".into(), "/sys/class/net".into()] {
        found.extend(fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path().display().to_string()));
    }
    let groups = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().flatten().filter(|e| e.file_type().is_dir());
    found.extend(groups.map(|entry| entry.path().display().to_string()));
    found
}

/// Waits for what has become ours. The kernel does not let a PID namespace go before.
fn reap(own: &[Child]) {
    for (pid, parent) in parents() {
        if parent == std::process::id() && own.iter().all(|child| child.id() != pid) {
            let _ = waitpid(Pid::from_raw(pid.cast_signed()), Some(WaitPidFlag::WNOHANG));
        }
    }
}

struct Storm<'a> {
    scratch: &'a Scratch,
    dice: Dice,
    user: Option<u32>,
    hits: u64,
}

impl Storm<'_> {
    fn command(&self, around: &str, words: &[&str]) -> Command {
        let program = self.scratch.scratch_dir().join("foreign");
        let mut line = vec![program.to_str().unwrap()];
        line.extend(words);
        let quoted: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
        let mut whole = Vec::new();
        let text = quoted.join(" ");
        let waits = format!("{text}; exit $?");
        match around {
            "terminal" => whole.extend(["script", "--quiet", "--flush", "--command", &text, "/dev/null"]),
            "shell" => whole.extend(["sh", "-c", &waits]),
            _ => whole.extend(line),
        }
        // It ends with the test, however that ends: nobody else would end script(1).
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = self.user {
            command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
        }
        command.args(&whole);
        self.scratch.environment(&mut command);
        command.env("TMPDIR", self.scratch.scratch_dir().join("tmp")).env("HOME", self.scratch.scratch_dir());
        command
    }

    fn start(&self, around: &str, words: &[&str]) -> Child {
        let mut command = self.command(around, words);
        let said = File::create(self.scratch.scratch_dir().join("said")).unwrap();
        command.stdin(Stdio::piped()).stderr(said);
        if around == "closed pipe" {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            command.stdout(writer.try_clone().unwrap()).stderr(writer);
        } else {
            command.stdout(Stdio::null());
        }
        command.spawn().unwrap()
    }

    /// A machine for `exec` to enter.
    fn session(&self) -> Child {
        let mut command = self.command("", &["run", "--ioc", "embedded"]);
        let said = self.scratch.scratch_dir().join("session");
        command.stdin(Stdio::piped()).stdout(File::create(&said).unwrap()).stderr(Stdio::null());
        let mut session = command.spawn().unwrap();
        wait_for(&mut session, "the IOC says a word", || said.metadata().unwrap().len() > 0);
        session
    }

    /// One run, hit once or twice. What was done, once nothing is left.
    fn strike(&mut self) -> String {
        let (mode, words) = self.dice.of(&MODES);
        let around = self.dice.of(&AROUND);
        let session = (mode == "exec").then(|| self.session());
        let mut child = self.start(around, words);
        let mut told = format!("{mode}, {around}");
        for _ in 0..=self.dice.below(2) {
            let many = 1 + self.dice.below(if mode == "test -j 8" { 60 } else { 12 });
            let limit = Instant::now() + Duration::from_secs(2);
            while Instant::now() < limit && child.try_wait().unwrap().is_none() {
                if tree(child.id()).len() >= many {
                    break;
                }
            }
            let signal = self.dice.of(&SIGNALS);
            let there = tree(child.id());
            if there.is_empty() {
                break;
            }
            // Each kind as often as another, however many there are of it.
            let mut kinds = BTreeMap::from([("", vec![child.id()])]);
            for (pid, _) in &there {
                let line = command_line(*pid);
                let kind = VICTIMS.iter().find(|word| line.contains(**word)).unwrap_or(&"another");
                kinds.entry(kind).or_default().push(*pid);
            }
            let kinds: Vec<_> = kinds.into_iter().collect();
            let (kind, pids) = &kinds[self.dice.below(kinds.len())];
            let victim = self.dice.of(pids);
            told += &format!(", {signal} to {kind:?} when {} ran", there.len());
            self.hits += 1;
            let _ = kill(Pid::from_raw(victim.cast_signed()), signal);
            if signal == Signal::SIGSTOP {
                std::thread::sleep(Duration::from_millis(self.dice.below(200) as u64));
                let _ = kill(Pid::from_raw(victim.cast_signed()), Signal::SIGCONT);
            }
        }
        // What was not hit deadly goes on, and ends with what had been started.
        let limit = Instant::now() + Duration::from_millis(self.dice.below(1000) as u64);
        while Instant::now() < limit && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut own = vec![child];
        own.extend(session);
        for child in &mut own {
            drop(child.stdin.take());
        }
        // All is below us, whatever has lost its parent too. Of it, only the command itself is ended.
        let limit = Instant::now() + Duration::from_mins(2);
        loop {
            reap(&own);
            // script(1) stops with what runs in it.
            let mut ended = true;
            for child in &mut own {
                if child.try_wait().unwrap().is_none() {
                    ended = false;
                    let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGCONT);
                }
            }
            let left: Vec<_> = tree(std::process::id()).split_off(1);
            let lines: Vec<String> = left.iter().map(|(pid, _)| command_line(*pid)).collect();
            if ended && lines.is_empty() {
                return told;
            }
            assert!(Instant::now() < limit, "{told}: {lines:?} is left");
            for ((pid, _), line) in left.iter().zip(lines) {
                if line.split(' ').next().is_some_and(|program| program.ends_with("/foreign"))
                    && !line.contains("sandbox-")
                {
                    let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn nothing_is_left_whatever_is_hit() {
    if !common::slow() {
        return skipped("minutes; XTASK_SLOW_TESTS=1 runs it");
    }
    // What loses its parent becomes ours, so whatever runs on is found.
    unix::sys::prctl::set_child_subreaper(true).unwrap();
    let (seed, tries) = (seed(), number("XTASK_TRIES", || 100));
    let root = unix::unistd::geteuid().is_root();
    let users = if root { vec![None, Some(u32::try_from(number("XTASK_UID", || 65534)).unwrap())] } else { vec![None] };
    for user in users {
        let scratch = Scratch::new();
        let dir = scratch.scratch_dir();
        fs::create_dir(dir.join("tmp")).unwrap();
        for n in 0..8 {
            let script = "machine.wait_for_unit('ioc.service')\nmachine.succeed('setsid sleep 1000 & sleep 1000')\n";
            scratch.check(&format!("c{n}"), script);
        }
        scratch.give(user);
        let before = left(dir);
        let mut storm = Storm { scratch: &scratch, dice: Dice(seed), user, hits: 0 };
        for n in 1..=tries {
            let told = storm.strike();
            eprintln!("{n} of {tries}, seed {seed}: {told}");
            let said = String::from_utf8_lossy(&fs::read(dir.join("said")).unwrap()).into_owned();
            assert!(!said.contains("panicked"), "{told}: {said}");
        }
        let more: Vec<String> = left(dir).difference(&before).cloned().collect();
        assert!(more.is_empty(), "{more:?}");
        let who = user.map_or("whoever runs this".to_owned(), |user| format!("user {user}"));
        tell(&format!("storm as {who}, seed {seed}: {tries} runs and {} signals tried, all survived", storm.hits));
    }
}
