//! Whether an ordinary user may make namespaces, which the sandbox is built of. Facts, the try, the judgement.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::advice;
use crate::finding::Finding;
use crate::kvm;
use tool_base::host::Host;
use tool_base::process::{Cmd, Limited};

/// What decides about user namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UsernsFacts {
    /// Whether this is Linux.
    pub linux: bool,
    /// `kernel.unprivileged_userns_clone`: Debian's switch, absent elsewhere.
    pub debian_switch: Option<u64>,
    /// `user.max_user_namespaces`.
    pub max: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`: Ubuntu's switch.
    pub apparmor: Option<u64>,
    /// The container that we run in.
    pub container: Option<String>,
    /// What trying gave; `None` where it was not tried.
    pub tried: Option<Tried>,
}

/// How far the try came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The step that was last tried.
    pub step: TryStep,
    /// Error number of that step.
    pub errno: Option<i32>,
}

/// The steps of the try, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TryStep {
    /// The child could not be started.
    Start,
    /// Making the namespaces.
    Unshare,
    /// Becoming root in them.
    Map,
    /// Mounting: `AppArmor` lets namespaces be made, but takes every capability in them away.
    Mount,
    /// Mounting /proc for a PID namespace: containers mask parts of theirs, which forbids a new one.
    Proc,
    /// All of it worked.
    Done,
}

/// Reads the switches and tries.
pub fn facts(host: &Host) -> UsernsFacts {
    let number = |path: &str| host.line(path)?.parse().ok();
    UsernsFacts {
        linux: cfg!(target_os = "linux"),
        debian_switch: number("/proc/sys/kernel/unprivileged_userns_clone"),
        max: number("/proc/sys/user/max_user_namespaces"),
        apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        container: kvm::read::container(host),
        tried: host.is_real().then(try_in_child),
    }
}

fn try_in_child() -> Tried {
    let run = || -> anyhow::Result<Tried> {
        let cmd = Cmd::new(tool_base::process::own_program()?).arg("userns-probe");
        match cmd.output_within(Duration::from_secs(5))? {
            Limited::Ended(output) => Ok(serde_json::from_slice(&output.stdout)?),
            Limited::TimedOut => anyhow::bail!("timed out"),
        }
    };
    run().unwrap_or(Tried { step: TryStep::Start, errno: None })
}

/// The child's part: makes the namespaces for itself and returns how far it came.
#[cfg(target_os = "linux")]
pub fn try_in_this_process(inner: bool) -> Tried {
    use unix::mount::{MsFlags, mount};
    use unix::sched::{CloneFlags, unshare};
    use unix::unistd::{getegid, geteuid};

    let mut step = TryStep::Unshare;
    let mut attempt = || -> Result<Tried, i32> {
        let number = |errno: unix::errno::Errno| errno as i32;
        let io = |e: std::io::Error| e.raw_os_error().unwrap_or(libc::EIO);
        if inner {
            // PID 1 of the new namespaces.
            step = TryStep::Proc;
            mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>).map_err(number)?;
            step = TryStep::Done;
            return Ok(Tried { step, errno: None });
        }
        let (uid, gid) = (geteuid(), getegid());
        unshare(
            CloneFlags::CLONE_NEWUSER
                | CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWIPC,
        )
        .map_err(number)?;
        step = TryStep::Map;
        std::fs::write("/proc/self/setgroups", "deny").map_err(io)?;
        std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).map_err(io)?;
        std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).map_err(io)?;
        step = TryStep::Mount;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).map_err(number)?;
        step = TryStep::Proc;
        let child = tool_base::process::own_program().map(|exe| Cmd::new(exe).args(["userns-probe", "--inner"]));
        let output = child.map_err(io)?.output().map_err(|_| libc::EIO)?;
        serde_json::from_slice(&output.stdout).map_err(|_| libc::EIO)
    };
    match attempt() {
        Ok(tried) => tried,
        Err(errno) => Tried { step, errno: Some(errno) },
    }
}

/// Only Linux has namespaces.
#[cfg(not(target_os = "linux"))]
pub fn try_in_this_process(_: bool) -> Tried {
    Tried { step: TryStep::Start, errno: None }
}

/// Why the sandbox's namespaces cannot be made here; `None` where they can. Pure.
pub fn diagnose_userns(facts: &UsernsFacts) -> Option<Finding> {
    if !facts.linux {
        return Some(Finding::new(&advice::NOT_LINUX, "this system has no Linux namespaces"));
    }
    let refused = match &facts.tried {
        Some(Tried { step: TryStep::Done, .. }) => return None,
        Some(tried) => seen(tried),
        None => "not tried".to_owned(),
    };
    let tried = facts.tried.as_ref();
    let at = |step| tried.is_none_or(|t| t.step == step);
    let switch = if facts.max == Some(0) && at(TryStep::Unshare) {
        Some((&advice::USERNS_MAX, "user.max_user_namespaces = 0"))
    } else if facts.debian_switch == Some(0) && at(TryStep::Unshare) {
        Some((&advice::USERNS_DEBIAN, "kernel.unprivileged_userns_clone = 0"))
    } else if facts.apparmor == Some(1) && tried.is_none_or(|t| t.step <= TryStep::Mount) {
        Some((&advice::USERNS_APPARMOR, "kernel.apparmor_restrict_unprivileged_userns = 1"))
    } else {
        None
    };
    // Whatever a container's kernel says, nothing of it can be changed in the container.
    match (&facts.container, switch) {
        (Some(container), Some((_, setting))) => {
            let evidence = format!("{container} container; {setting}; {refused}");
            return Some(Finding::of_case(&advice::USERNS_CONTAINER_HOST, container, evidence));
        }
        (Some(container), None) if tried.is_some() => {
            let evidence = format!("{container} container; {refused}");
            return Some(Finding::of_case(&advice::USERNS_CONTAINER, container, evidence));
        }
        (None, Some((entry, setting))) => return Some(Finding::new(entry, format!("{setting}; {refused}"))),
        (_, None) => {}
    }
    let tried = tried?;
    match (tried.step, tried.errno) {
        // EINVAL and ENOSYS: the kernel was built without them. ENOSPC: a limit, here or in a namespace above.
        (TryStep::Unshare, Some(22 | 38)) => Some(Finding::new(&advice::USERNS_KERNEL, refused)),
        (TryStep::Unshare, Some(28)) => {
            let max = facts.max.map_or("unknown".to_owned(), |m| m.to_string());
            Some(Finding::new(&advice::USERNS_MAX, format!("user.max_user_namespaces = {max}; {refused}")))
        }
        _ => Some(Finding::new(&advice::USERNS_UNKNOWN, refused)),
    }
}

/// `making namespaces: Operation not permitted (os error 1)`.
fn seen(tried: &Tried) -> String {
    let what = match tried.step {
        TryStep::Start => "starting the try",
        TryStep::Unshare | TryStep::Done => "making namespaces",
        TryStep::Map => "becoming root in a user namespace",
        TryStep::Mount => "mounting in new namespaces",
        TryStep::Proc => "mounting /proc in a new PID namespace",
    };
    let error = tried.errno.map(|n| std::io::Error::from_raw_os_error(n).to_string());
    format!("{what}: {}", error.unwrap_or_else(|| "failed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(step: TryStep, errno: i32) -> UsernsFacts {
        let tried = Some(Tried { step, errno: Some(errno) });
        UsernsFacts { linux: true, max: Some(60_000), tried, ..UsernsFacts::default() }
    }

    fn id(facts: &UsernsFacts) -> Option<&'static str> {
        diagnose_userns(facts).map(|f| f.id)
    }

    #[test]
    fn each_cause_has_its_name() {
        let refused = facts(TryStep::Unshare, 1);
        let done = UsernsFacts { tried: Some(Tried { step: TryStep::Done, errno: None }), ..refused.clone() };
        assert_eq!(id(&done), None);
        // What works is not talked down by a switch.
        assert_eq!(id(&UsernsFacts { apparmor: Some(1), ..done }), None);
        assert_eq!(id(&UsernsFacts { linux: false, ..refused.clone() }), Some("userns-not-linux"));
        assert_eq!(id(&UsernsFacts { max: Some(0), ..facts(TryStep::Unshare, 28) }), Some("userns-max-zero"));
        assert_eq!(id(&facts(TryStep::Unshare, 28)), Some("userns-max-zero"));
        assert_eq!(id(&UsernsFacts { debian_switch: Some(0), ..refused.clone() }), Some("userns-debian-switch"));
        assert_eq!(id(&UsernsFacts { apparmor: Some(1), ..facts(TryStep::Mount, 13) }), Some("userns-apparmor"));
        assert_eq!(id(&UsernsFacts { apparmor: Some(0), ..facts(TryStep::Mount, 13) }), Some("userns-unknown-error"));
        assert_eq!(id(&facts(TryStep::Unshare, 22)), Some("userns-not-in-kernel"));
        assert_eq!(id(&refused), Some("userns-unknown-error"));
    }

    #[test]
    fn a_container_comes_before_its_hosts_switches() {
        let at = |container: &str, tried: Option<(TryStep, i32)>| {
            let tried = tried.map(|(step, errno)| Tried { step, errno: Some(errno) });
            UsernsFacts { container: Some(container.to_owned()), tried, ..facts(TryStep::Unshare, 1) }
        };
        let switches: [fn(&mut UsernsFacts); 4] =
            [|_| {}, |f| f.max = Some(0), |f| f.debian_switch = Some(0), |f| f.apparmor = Some(1)];
        let tries = [None, Some((TryStep::Unshare, 1)), Some((TryStep::Mount, 13)), Some((TryStep::Proc, 1))];
        for container in ["docker", "podman", "lxc", "kubernetes", "systemd-nspawn"] {
            for (number, switch) in switches.iter().enumerate() {
                for tried in tries {
                    let mut facts = at(container, tried);
                    switch(&mut facts);
                    let Some(finding) = diagnose_userns(&facts) else {
                        assert!(tried.is_none() && number == 0);
                        continue;
                    };
                    assert!(finding.id.starts_with("userns-container"), "{container} {number} {tried:?}: {finding:?}");
                    let wrong = |c: &&str| c.contains("sudo") || c.contains("sysctl");
                    assert_eq!(finding.commands().into_iter().find(wrong), None, "{container}: cannot be done in it");
                }
            }
        }
        let fix = |container| diagnose_userns(&at(container, Some((TryStep::Mount, 13)))).unwrap().fix;
        for container in ["docker", "podman"] {
            // SELinux (Fedora, RHEL) refuses mounts to a container with a label.
            assert!(fix(container).contains("label=disable"), "{container}");
        }
    }

    #[test]
    fn each_switch_is_kept_in_a_file_of_its_own() {
        let commands = advice::ALL.iter().flat_map(|e| e.fixes).flat_map(|f| f.steps.lines());
        let mut files: Vec<&str> = commands.filter_map(|line| line.split("tee /etc/sysctl.d/").nth(1)).collect();
        files.sort_unstable();
        assert_eq!(files, ["60-userns-apparmor.conf", "60-userns-clone.conf", "60-userns-max.conf"]);
    }

    #[test]
    fn the_fix_for_ubuntu_lasts() {
        let finding = diagnose_userns(&UsernsFacts { apparmor: Some(1), ..facts(TryStep::Mount, 13) }).unwrap();
        assert_eq!(
            finding.commands(),
            [
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
                "echo kernel.apparmor_restrict_unprivileged_userns=0 | sudo tee /etc/sysctl.d/60-userns-apparmor.conf",
            ]
        );
        assert!(finding.evidence.contains("Permission denied"), "{}", finding.evidence);
    }

    #[test]
    fn switches_alone_are_judged_where_nothing_was_tried() {
        let facts = UsernsFacts { linux: true, max: Some(0), ..UsernsFacts::default() };
        assert_eq!(id(&facts), Some("userns-max-zero"));
        assert_eq!(id(&UsernsFacts { linux: true, ..UsernsFacts::default() }), None);
    }
}
