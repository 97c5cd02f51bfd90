//! The processes of a run, and their end.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

/// Parent of each process.
pub fn parents() -> BTreeMap<u32, u32> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            Some((pid, rest.split(' ').nth(1)?.parse().ok()?))
        })
        .collect()
}

/// A process and all below it, each with the time of its start.
pub fn tree(top: u32) -> Vec<(u32, String)> {
    let parents = parents();
    let mut found = vec![top];
    let mut next = 0;
    while next < found.len() {
        let top = found[next];
        found.extend(parents.iter().filter(|(_, parent)| **parent == top).map(|(pid, _)| *pid));
        next += 1;
    }
    found.into_iter().filter_map(|pid| Some((pid, start_time(pid)?))).collect()
}

/// Waits until none of the processes is left. A process that has become another one since does not count.
pub fn wait_until_gone(processes: &[(u32, String)]) {
    let limit = Instant::now() + Duration::from_mins(2);
    for (pid, started) in processes {
        while start_time(*pid).as_ref() == Some(started) {
            assert!(Instant::now() < limit, "process {pid} is left: {}", command_line(*pid));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits for what a process brings about, as long as it runs and not for ever.
pub fn wait_for(child: &mut Child, what: &str, mut there: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_mins(5);
    while !there() {
        assert_eq!(child.try_wait().unwrap(), None, "{what}: it has ended before");
        assert!(Instant::now() < limit, "{what}: not in 5 minutes");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// When a process was started; `None` if it has ended, also if nobody has waited for it.
pub fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    (fields[0] != "Z").then(|| fields[19].to_owned())
}

pub fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}
