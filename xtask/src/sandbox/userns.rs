//! User namespaces: who is who in them, and what to do where they are forbidden.

use std::fs;

use anyhow::{Context, Result};

use crate::fail;

/// Makes the caller root in the user namespace of a process. Root brings all users along.
pub fn map(pid: u32) -> Result<()> {
    let (uid, gid) = (unix::unistd::geteuid(), unix::unistd::getegid());
    let all = "0 0 4294967295\n";
    if uid.is_root() && fs::write(format!("/proc/{pid}/uid_map"), all).is_ok() {
        return fs::write(format!("/proc/{pid}/gid_map"), all).context("cannot write gid_map");
    }
    // Without privileges a group map may only be written once setgroups(2) is off (user_namespaces(7)).
    fs::write(format!("/proc/{pid}/setgroups"), "deny").context("cannot write setgroups")?;
    fs::write(format!("/proc/{pid}/uid_map"), format!("0 {uid} 1\n")).context("cannot write uid_map")?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("0 {gid} 1\n")).context("cannot write gid_map")
}

/// The error for a host that forbids user namespaces, with the fix for this host.
pub fn forbidden(cause: &str) -> anyhow::Error {
    let read = |path: &str| fs::read_to_string(path).ok().map(|s| s.trim().to_owned());
    let switches = Switches {
        apparmor: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        clone: read("/proc/sys/kernel/unprivileged_userns_clone"),
        max: read("/proc/sys/user/max_user_namespaces"),
        container: ["/.dockerenv", "/run/.containerenv"].iter().any(|p| fs::exists(p).unwrap_or(false)),
    };
    fail::host(format!("this host does not allow the sandbox's namespaces: {cause}")).hint(advise(&switches)).into()
}

/// Kernel settings that decide about user namespaces; `None` where the kernel does not have the setting.
#[derive(Debug, Default)]
struct Switches {
    apparmor: Option<String>,
    clone: Option<String>,
    max: Option<String>,
    container: bool,
}

fn advise(switches: &Switches) -> String {
    if switches.max.as_deref() == Some("0") {
        return "allow user namespaces: sudo sysctl -w user.max_user_namespaces=10000".to_owned();
    }
    if switches.clone.as_deref() == Some("0") {
        return "allow them to ordinary users: sudo sysctl -w kernel.unprivileged_userns_clone=1".to_owned();
    }
    if switches.apparmor.as_deref() == Some("1") {
        return "Ubuntu restricts them by AppArmor; switch that off: \
                sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
            .to_owned();
    }
    if switches.container {
        return "this is a container whose seccomp profile forbids them; start it with \
                `--security-opt seccomp=unconfined` (docker, podman), or run on the host itself"
            .to_owned();
    }
    "see which setting of this host forbids user namespaces: unshare --user --map-root-user --mount true".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_fix() {
        let one = || Some("1".to_owned());
        let zero = || Some("0".to_owned());
        let ubuntu = Switches { apparmor: one(), clone: one(), max: Some("95000".to_owned()), container: false };
        assert!(advise(&ubuntu).contains("kernel.apparmor_restrict_unprivileged_userns=0"));
        let debian = Switches { clone: zero(), ..Switches::default() };
        assert!(advise(&debian).contains("kernel.unprivileged_userns_clone=1"));
        let none = Switches { max: zero(), ..Switches::default() };
        assert!(advise(&none).contains("user.max_user_namespaces"));
        let docker = Switches { container: true, max: one(), ..Switches::default() };
        assert!(advise(&docker).contains("seccomp"));
        assert!(advise(&Switches::default()).contains("unshare"));
    }
}
