//! Programs that a `make` of ours has started and that do not end.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use unix::sys::signal::{Signal, kill};
use unix::unistd::Pid;

/// How often to look.
const LOOK: Duration = Duration::from_millis(500);
/// Those that wait for others all the time.
const MAKE: [&str; 3] = ["make", "gmake", "gnumake"];

/// One of these that make has started gets to say that its command has failed: make deletes what a recipe made that a signal ended.
const SHELLS: [&str; 3] = ["sh", "bash", "dash"];

/// A program that was ended, with all that it had started.
#[derive(Debug)]
pub struct Ended {
    /// The command line of the last that it started.
    pub command: String,
    /// Words of all these command lines, without folders and endings.
    names: BTreeSet<String>,
}

impl Ended {
    /// Whether it is, or runs, the program of this name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

/// Ends what runs for longer than its limit.
#[derive(Debug)]
pub struct Watch {
    /// How long one may run.
    pub limit: Duration,
    /// What did not end by itself.
    pub ended: Vec<Ended>,
    /// When processes were seen first, by their number and the time of their start.
    since: HashMap<(i32, u64), Instant>,
    /// Shells that were left to themselves.
    spared: BTreeSet<(i32, u64)>,
}

#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
    started: u64,
    name: String,
}

impl Watch {
    /// A watch that has ended nothing yet.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, ended: Vec::new(), since: HashMap::new(), spared: BTreeSet::new() }
    }

    /// Looks after what `root` has started until `over` is dropped.
    pub fn over(&mut self, root: i32, over: &Receiver<()>) {
        while over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            self.look(root);
        }
    }

    fn look(&mut self, root: i32) {
        let below = below(root, processes());
        let now = Instant::now();
        let key = |own: &Process| (own.pid, own.started);
        self.since.retain(|known, _| below.iter().any(|own| key(own) == *known));
        let mut gone = BTreeSet::new();
        for own in below.iter().filter(|own| !MAKE.contains(&own.name.as_str())) {
            let since = *self.since.entry(key(own)).or_insert(now);
            if now.duration_since(since) < self.limit || gone.contains(&own.pid) {
                continue;
            }
            let mut whole = vec![own.pid];
            whole.extend(below.iter().filter(|other| is_below(other, own.pid, &below)).map(|other| other.pid));
            let lines: Vec<Vec<String>> = whole.iter().map(|pid| words(*pid)).collect();
            let new = self.spared.insert(key(own));
            let spares = new && whole.len() > 1 && SHELLS.contains(&own.name.as_str());
            // First those who would start another one.
            for pid in &whole[usize::from(spares)..] {
                let _gone = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            let stem = |word: &String| Some(Path::new(word).file_stem()?.to_string_lossy().into_owned());
            let last = lines.iter().rev().find(|line| !line.is_empty()).map_or(own.name.clone(), |line| line.join(" "));
            gone.extend(whole);
            if !new {
                continue;
            }
            self.ended.push(Ended { command: last, names: lines.iter().flatten().filter_map(stem).collect() });
        }
    }
}

/// What a process has started and they have in turn, parents first.
fn below(root: i32, all: Vec<Process>) -> Vec<Process> {
    let mut by_parent: HashMap<i32, Vec<Process>> = HashMap::new();
    for own in all {
        by_parent.entry(own.parent).or_default().push(own);
    }
    let mut found = by_parent.remove(&root).unwrap_or_default();
    let mut at = 0;
    while at < found.len() {
        let more = by_parent.remove(&found[at].pid).unwrap_or_default();
        found.extend(more);
        at += 1;
    }
    found
}

fn is_below(own: &Process, top: i32, all: &[Process]) -> bool {
    let parent = |own: &Process| all.iter().find(|other| other.pid == own.parent);
    std::iter::successors(Some(own), |own| parent(own)).any(|own| own.parent == top)
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// A process, by proc_pid_stat(5).
fn read(pid: i32) -> Option<Process> {
    let text = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?).into_owned();
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, started: fields.nth(17)?.parse().ok()?, name: name.to_owned() })
}

fn words(pid: i32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}
