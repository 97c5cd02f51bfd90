//! Everything ambient in one place: where the machine's files are, the environment, who is asking.
//!
//! Tests put a made-up root in here; nothing else reads `/dev`, `/proc`, `/sys` or `/etc` to judge the machine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The machine as one person sees it.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    env: BTreeMap<String, String>,
    /// Effective user id.
    pub uid: u32,
    /// Groups of this session: the effective one and the supplementary ones.
    pub groups: Vec<u32>,
}

impl Host {
    /// The real machine, below `root` (`/` except for tests and mounted images).
    pub fn new(root: &Path) -> Self {
        let env = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let (uid, groups) = identity();
        Self { root: root.to_owned(), env: env.collect(), uid, groups }
    }

    /// A made-up machine, for tests.
    pub fn made_up(root: &Path, env: &[(&str, &str)], uid: u32, groups: &[u32]) -> Self {
        let env = env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { root: root.to_owned(), env, uid, groups: groups.to_vec() }
    }

    /// Where the absolute path `path` of this machine lies.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if self.is_real() { path.to_owned() } else { self.root.join(path.strip_prefix("/").unwrap_or(path)) }
    }

    /// Whether this is the machine that we run on, and not a folder that looks like one.
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The text of a file; `None` where it cannot be read. What is not UTF-8 is replaced.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        std::fs::read(self.path(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The first line of a small file such as those of `/sys`, without white space around it.
    pub fn line(&self, path: impl AsRef<Path>) -> Option<String> {
        self.read(path)?.lines().next().map(|l| l.trim().to_owned())
    }

    /// Whether something is there, a dangling link included.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// `ID` of os-release.
    pub fn distribution(&self) -> Option<String> {
        let text = self.read("/etc/os-release").or_else(|| self.read("/usr/lib/os-release"))?;
        let value = text.lines().find_map(|l| l.strip_prefix("ID="))?;
        Some(value.trim_matches(['"', '\'']).to_owned())
    }

    /// A variable of the environment that is set and not empty.
    pub fn env(&self, key: &str) -> Option<&str> {
        self.env.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The file of that name in the folders of PATH, or else where Nix's installer puts Nix: sudo drops that from PATH.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = std::env::split_paths(OsStr::new(self.env("PATH").unwrap_or_default()));
        let installed = self.path("/nix/var/nix/profiles/default/bin");
        path.chain([installed]).map(|dir| dir.join(name)).find(|p| p.is_file())
    }

    /// The name of the user, from `/etc/passwd`, else the environment, else the number.
    pub fn user_name(&self) -> String {
        let passwd = self.read("/etc/passwd").unwrap_or_default();
        let uid = self.uid.to_string();
        let name = passwd.lines().find(|l| l.split(':').nth(2) == Some(uid.as_str())).and_then(|l| l.split(':').next());
        name.or_else(|| self.env("USER")).map_or(uid.clone(), ToOwned::to_owned)
    }
}

#[cfg(target_os = "linux")]
fn identity() -> (u32, Vec<u32>) {
    use unix::unistd::{getegid, geteuid, getgroups};
    let mut groups: Vec<u32> = getgroups().unwrap_or_default().into_iter().map(unix::unistd::Gid::as_raw).collect();
    groups.push(getegid().as_raw());
    groups.sort_unstable();
    groups.dedup();
    (geteuid().as_raw(), groups)
}

#[cfg(not(target_os = "linux"))]
fn identity() -> (u32, Vec<u32>) {
    // Only Linux knows KVM; elsewhere nobody asks for the number.
    (u32::MAX, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        let host = Host::made_up(Path::new("/somewhere/else"), &[("EMPTY", "")], 1000, &[]);
        assert_eq!(host.path("/dev/kvm"), Path::new("/somewhere/else/dev/kvm"));
        assert_eq!(host.env("EMPTY"), None);
        assert_eq!(host.user_name(), "1000");
    }
}
