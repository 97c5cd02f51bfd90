//! Changes to the tree of control groups.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use unix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where xtask stays while it has groups to look after.
const LEAF: &str = "xtask";
/// Start of the names of runs.
const RUN: &str = "sandbox-";
/// How long the processes of a run may take to go, after they have been killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Name of a run's group.
pub(super) fn run_name(pid: u32, count: usize) -> String {
    format!("{RUN}{pid}-{count}")
}

/// The process that a run's group was made by.
fn maker(name: &str) -> Option<u32> {
    name.strip_prefix(RUN)?.split_once('-')?.0.parse().ok()
}

/// Moves all processes of our group into a leaf of it and gives controllers to groups in it: the kernel has no processes
/// beside groups with controllers. The root of all groups may have both.
pub(super) fn enter(dir: &Path, controllers: &[String]) -> io::Result<()> {
    for name in subgroups(dir) {
        // In the root of all groups, nobody else clears away after an xtask that was killed together with its cage.
        if maker(&name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&dir.join(name));
        }
    }
    let entered = if is_root(dir) {
        Ok(())
    } else {
        let leaf = dir.join(LEAF);
        match fs::create_dir(&leaf) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => move_all(dir, &leaf),
        }
    };
    entered.and_then(|()| enable(dir, controllers)).inspect_err(|_| leave(dir))
}

/// Undoes [`enter`], unless groups of other runs are still there.
pub fn leave(dir: &Path) {
    let given = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
    if !is_root(dir) && write(dir, "cgroup.subtree_control", &signed('-', given.split_whitespace())).is_ok() {
        let leaf = dir.join(LEAF);
        let _ = move_all(&leaf, dir);
        let _ = fs::remove_dir(leaf);
    }
}

/// Gives controllers to the groups in a group.
pub fn enable(dir: &Path, controllers: &[String]) -> io::Result<()> {
    write(dir, "cgroup.subtree_control", &signed('+', controllers.iter().map(String::as_str)))
}

/// Removes a group with all groups in it, once their processes are gone.
pub fn remove(dir: &Path) {
    let _ = wait_until_empty(dir);
    remove_tree(dir);
}

fn remove_tree(dir: &Path) {
    for name in subgroups(dir) {
        remove_tree(&dir.join(name));
    }
    let _ = fs::remove_dir(dir);
}

fn wait_until_empty(dir: &Path) -> io::Result<()> {
    let limit = Instant::now() + PATIENCE;
    let mut events = File::open(dir.join("cgroup.events"))?;
    loop {
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        let left = limit.saturating_duration_since(Instant::now());
        if text.contains("populated 0") || left.is_zero() {
            return Ok(());
        }
        // The kernel tells of changes.
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout)?;
    }
}

/// Moves processes until none is left: they may start others meanwhile.
fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 0..1000 {
        let all = fs::read_to_string(from.join("cgroup.procs"))?;
        if all.is_empty() {
            return Ok(());
        }
        for pid in all.lines() {
            match fs::write(to.join("cgroup.procs"), pid) {
                // It has ended.
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
    }
    Err(io::Error::other(format!("processes in {} start others without end", from.display())))
}

/// Only the root of all groups has no type.
fn is_root(dir: &Path) -> bool {
    !dir.join("cgroup.type").exists()
}

fn subgroups(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn signed<'a>(sign: char, controllers: impl Iterator<Item = &'a str>) -> String {
    controllers.map(|controller| format!("{sign}{controller}")).collect::<Vec<_>>().join(" ")
}

fn write(dir: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = dir.join(file);
    fs::write(&path, text).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_names_its_maker() {
        assert_eq!(maker(&run_name(1234, 5)), Some(1234));
        assert_eq!((maker("sandbox-x-1"), maker("sandbox-12"), maker("init.scope")), (None, None, None));
    }
}
