//! Processes of a unit, found without cgroups: by `INVOCATION_ID` in their environment, by session, by descent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Processes and threads that a machine may have. A virtual machine of 1 GB would not bear more either.
const MOST: &str = "4096";

/// Limits the processes of our PID namespace, so that a fork bomb is its machine's trouble. The setting is the host's before
/// Linux 6.14: then nothing is done.
pub(super) fn limit() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if has_limit(&release) {
        let _ = fs::write("/proc/sys/kernel/pid_max", MOST);
    }
}

fn has_limit(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6, 14))
}

/// A process as `/proc` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proc {
    /// Its number.
    pub(super) pid: i32,
    /// Parent.
    pub(super) parent: i32,
    /// Session.
    pub(super) session: i32,
    /// Ended, but not yet waited for.
    pub(super) zombie: bool,
    /// `INVOCATION_ID` in its environment.
    pub(super) invocation: Option<String>,
}

/// All processes of the machine but PID 1.
pub(super) fn all() -> Vec<Proc> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != 1).filter_map(read).collect()
}

fn read(pid: i32) -> Option<Proc> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let mut proc = parse_stat(pid, &stat)?;
    proc.invocation = invocation(pid);
    Some(proc)
}

fn parse_stat(pid: i32, stat: &[u8]) -> Option<Proc> {
    // The name stands in brackets and may hold anything.
    let end = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    let mut words = rest.split(' ');
    let state = words.next()?;
    let parent = words.next()?.parse().ok()?;
    let _group = words.next()?;
    let session = words.next()?.parse().ok()?;
    Some(Proc { pid, parent, session, zombie: matches!(state, "Z" | "X"), invocation: None })
}

/// The name of a process as the kernel knows it.
pub(super) fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map_or_else(|_| "n/a".to_owned(), |text| text.trim_end().to_owned())
}

/// Who says what a process sends to its manager. Root's `systemd-notify` speaks for its parent; in a user namespace below that of
/// its PID namespace the kernel lets nobody send in another's name.
pub(super) fn speaker(pid: i32, uid: u32) -> i32 {
    let parent = || read(pid).map(|p| p.parent).filter(|parent| *parent > 1);
    if uid == 0 && name(pid) == "systemd-notify" { parent().unwrap_or(pid) } else { pid }
}

fn variable(pid: i32, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut all = environ.split(|b| *b == 0);
    let value = all.find_map(|v| v.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn invocation(pid: i32) -> Option<String> {
    variable(pid, "INVOCATION_ID")
}

/// Unit and run that a process belongs to, as its environment says.
pub(super) fn unit_of(pid: i32) -> Option<(String, String)> {
    let invocation = invocation(pid)?;
    let unit = fs::read_to_string(format!("/run/systemd/units/{invocation}")).ok()?;
    Some((unit, invocation))
}

/// The processes of one run of a unit; `roots` are the ones that the manager started.
pub(super) fn members(all: &[Proc], invocation: &str, roots: &[i32]) -> Vec<i32> {
    let by_pid: BTreeMap<i32, &Proc> = all.iter().map(|p| (p.pid, p)).collect();
    let own = |p: &Proc| {
        roots.contains(&p.pid)
            || roots.contains(&p.session)
            || (!invocation.is_empty() && p.invocation.as_deref() == Some(invocation))
    };
    let mut found: BTreeSet<i32> = all.iter().filter(|p| own(p)).map(|p| p.pid).collect();
    for proc in all {
        // A descendant belongs to the unit too, whatever its environment.
        let mut line = vec![proc.pid];
        let mut at = proc;
        while at.parent > 1 && !found.contains(&at.pid) {
            let Some(parent) = by_pid.get(&at.parent).filter(|p| !line.contains(&p.pid)) else { break };
            line.push(parent.pid);
            at = parent;
        }
        if found.contains(&at.pid) {
            found.extend(line);
        }
    }
    found.retain(|pid| by_pid.get(pid).is_some_and(|p| !p.zombie));
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_kernels_have_a_limit_for_each_machine() {
        for (release, has) in
            [("6.14.0-rc1", true), ("6.18.44-fc", true), ("10.0", true), ("6.9.7", false), ("5.15", false), ("", false)]
        {
            assert_eq!(has_limit(release), has, "{release}");
        }
    }

    fn proc(pid: i32, parent: i32, session: i32, invocation: Option<&str>) -> Proc {
        Proc { pid, parent, session, zombie: false, invocation: invocation.map(String::from) }
    }

    #[test]
    fn names_with_brackets_are_read() {
        let proc = parse_stat(7, b"7 (a) b) S 3 7 5 0 -1").unwrap();
        assert_eq!((proc.parent, proc.session, proc.zombie), (3, 5, false));
    }

    #[test]
    fn members_by_environment_session_and_descent() {
        let all = [
            proc(10, 1, 10, Some("a")),
            proc(11, 10, 10, None),
            proc(12, 1, 10, None),
            proc(13, 1, 13, Some("a")),
            proc(14, 13, 14, None),
            proc(20, 1, 20, Some("b")),
            proc(21, 1, 21, None),
            Proc { zombie: true, ..proc(15, 10, 10, None) },
        ];
        assert_eq!(members(&all, "a", &[10]), [10, 11, 12, 13, 14]);
        assert_eq!(members(&all, "b", &[]), [20]);
    }
}
