//! Reads where we are among this host's control groups. No judgement here.

use std::path::{Path, PathBuf};

use serde::Serialize;
use unix::unistd::{AccessFlags, access};

use crate::host::Host;

/// Who could give us a group of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// The host's systemd: we are root.
    System,
    /// The user's own systemd.
    User,
    /// There is a systemd, but it has none for this user.
    Others,
    /// There is no systemd.
    None,
}

/// Everything that is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The folder of the group that we are in; `None` where cgroup v2 is not mounted.
    pub dir: Option<PathBuf>,
    /// It is the root of all groups, which may have processes beside groups.
    pub root: bool,
    /// Controllers that it can give to groups in it (`cgroup.controllers`).
    pub controllers: Vec<String>,
    /// Controllers that hierarchies of version 1 have.
    pub version_1: Vec<String>,
    /// Whether we may make groups in it and move our processes there.
    pub writable: bool,
    /// A process in it that neither is ours nor was started by us.
    pub other: Option<String>,
    /// Who could give us a group of our own.
    pub manager: Manager,
}

/// Reads everything.
pub fn facts(host: &Host) -> Facts {
    let groups = host.read("/proc/self/cgroup").unwrap_or_default();
    let dir = own(&groups).and_then(|own| dir(&host.read("/proc/self/mountinfo")?, own));
    let file = |name: &str| dir.as_ref().map(|dir: &PathBuf| dir.join(name));
    let text = |name: &str| file(name).and_then(|path| host.read(path)).unwrap_or_default();
    let root = dir.is_some() && file("cgroup.type").is_some_and(|path| !host.exists(path));
    let may_write = |name: &str| file(name).is_some_and(|path| access(&host.path(path), AccessFlags::W_OK).is_ok());
    Facts {
        root,
        controllers: text("cgroup.controllers").split_whitespace().map(str::to_owned).collect(),
        version_1: version_1(&groups),
        writable: ["", "cgroup.procs", "cgroup.subtree_control"].into_iter().all(may_write),
        other: text("cgroup.procs").lines().find(|pid| !root && !is_ours(host, pid)).map(|pid| describe(host, pid)),
        manager: manager(host),
        dir,
    }
}

/// Our group, as `/proc/self/cgroup` names it.
fn own(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Controllers of version 1: `4:cpu,cpuacct:/`, but not `1:name=systemd:/`.
fn version_1(groups: &str) -> Vec<String> {
    let lists = groups.lines().filter_map(|line| line.split(':').nth(1));
    lists.flat_map(|list| list.split(',')).filter(|c| !c.is_empty() && !c.contains('=')).map(str::to_owned).collect()
}

/// Where a group can be seen. A mount may show a part of the hierarchy only, and ours need not be in it.
fn dir(mountinfo: &str, own: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let inside = Path::new(own).strip_prefix(root).ok().filter(|_| kind.starts_with("cgroup2 "))?;
        (!own.starts_with("/.."))
            .then(|| if inside == Path::new("") { place.into() } else { Path::new(place).join(inside) })
    })
}

/// Whether a process is this one or descends from it.
fn is_ours(host: &Host, pid: &str) -> bool {
    let ours = std::process::id().to_string();
    let mut at = pid.to_owned();
    // A number can stand for another process by the next look: no line is that long.
    for _ in 0..100 {
        if at == ours {
            return true;
        }
        let status = host.read(format!("/proc/{at}/status")).unwrap_or_default();
        match status.lines().find_map(|line| line.strip_prefix("PPid:")) {
            Some(parent) => parent.trim().clone_into(&mut at),
            // It has ended since.
            None => return at != "0" && at == pid,
        }
    }
    false
}

fn describe(host: &Host, pid: &str) -> String {
    match host.line(format!("/proc/{pid}/comm")) {
        Some(name) => format!("`{name}` (process {pid})"),
        None => "a process of another namespace".to_owned(),
    }
}

fn manager(host: &Host) -> Manager {
    let folder = host.env("XDG_RUNTIME_DIR").map_or_else(|| format!("/run/user/{}", host.uid), str::to_owned);
    if !host.exists("/run/systemd/system") {
        Manager::None
    } else if host.uid == 0 {
        Manager::System
    } else if host.exists(format!("{folder}/systemd/private")) {
        Manager::User
    } else {
        Manager::Others
    }
}

#[cfg(test)]
impl Facts {
    /// A scope that systemd delegates to its user.
    pub(crate) fn delegated() -> Self {
        Self {
            dir: Some("/sys/fs/cgroup/a.scope".into()),
            root: false,
            controllers: ["cpuset", "cpu", "io", "memory", "pids"].map(String::from).to_vec(),
            version_1: Vec::new(),
            writable: true,
            other: None,
            manager: Manager::User,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 0:21 / /proc rw - proc proc rw\n\
                          34 24 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro\n\
                          35 34 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n\
                          36 34 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory\n";

    #[test]
    fn where_a_group_is_seen() {
        let in_scope = Some("/sys/fs/cgroup/unified/user.slice/a.scope".into());
        assert_eq!(dir(MOUNTS, "/user.slice/a.scope"), in_scope);
        assert_eq!(dir(MOUNTS, "/"), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(dir(MOUNTS, "/../outside"), None);
        let part = "35 34 0:29 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(dir(part, "/docker/x/y"), Some("/sys/fs/cgroup/y".into()));
        assert_eq!(dir(part, "/docker/xy"), None);
    }

    #[test]
    fn both_versions_are_told_apart() {
        let both = "4:memory:/a\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/b:c\n";
        assert_eq!(own(both), Some("/b:c"));
        assert_eq!(version_1(both), ["memory", "cpu", "cpuacct"]);
        assert_eq!((own("4:memory:/\n"), version_1("0::/\n")), (None, Vec::new()));
    }

    #[test]
    fn processes_of_ours_and_of_others() {
        let host = Host::new(Path::new("/"));
        let mut child = crate::process::Cmd::new("sleep").arg("1000").to_std().spawn().unwrap();
        assert!(is_ours(&host, &std::process::id().to_string()) && is_ours(&host, &child.id().to_string()));
        assert!(!is_ours(&host, "1"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
