//! Which limits can be kept here, why not the others, and what to type to have them. Pure functions over facts.

use std::path::PathBuf;

use super::facts::{Facts, Manager};

/// The controllers that limits of units need.
const WANTED: [&str; 3] = ["cpu", "memory", "pids"];

/// What can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The group to make groups in; none where no limit can be kept.
    pub dir: Option<PathBuf>,
    /// The controllers to give to them.
    pub controllers: Vec<String>,
    /// What keeps us from the others, and what to do about it.
    obstacle: Option<(String, String)>,
}

impl Verdict {
    /// Why limits are not kept, with what to do about it; empty where all of them are.
    pub fn why_not(&self) -> String {
        self.obstacle.as_ref().map(|(cause, remedy)| format!("{cause} (hint: {remedy})")).unwrap_or_default()
    }
}

/// Judges.
pub fn judge(facts: &Facts) -> Verdict {
    let (controllers, missing): (Vec<&str>, Vec<&str>) =
        WANTED.into_iter().partition(|wanted| facts.controllers.iter().any(|c| c == wanted));
    let version_1 = missing.iter().any(|wanted| facts.version_1.iter().any(|c| c == wanted));
    let obstacle = match (&facts.dir, &facts.other) {
        _ if controllers.is_empty() && version_1 => {
            ("this host has control groups of version 1".to_owned(), VERSION_2.to_owned())
        }
        (None, _) => {
            ("no cgroup2 file system is mounted that shows our control group".to_owned(), CONTAINER.to_owned())
        }
        (Some(dir), _) if !facts.writable => {
            (format!("xtask may not make control groups in {}", dir.display()), own_group(facts.manager))
        }
        (Some(_), Some(other)) => (format!("{other} is in xtask's control group, too"), own_group(facts.manager)),
        (Some(dir), None) => {
            let mut verdict = Verdict {
                dir: (!controllers.is_empty()).then(|| dir.clone()),
                controllers: controllers.into_iter().map(str::to_owned).collect(),
                obstacle: None,
            };
            if !missing.is_empty() {
                let cause = format!("{} has no controller {}", dir.display(), missing.join(", "));
                verdict.obstacle = Some((cause, delegation(facts.manager)));
            }
            return verdict;
        }
    };
    Verdict { dir: None, controllers: Vec::new(), obstacle: Some(obstacle) }
}

const VERSION_2: &str = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line";
const CONTAINER: &str = "docker run --privileged --cgroupns=private IMAGE cargo xtask test";

/// How to get a control group for xtask alone.
fn own_group(manager: Manager) -> String {
    let scope = "--scope -p Delegate=yes cargo xtask test";
    match manager {
        Manager::System => format!("systemd-run {scope}"),
        Manager::User => format!("systemd-run --user {scope}"),
        Manager::Others => {
            format!("sudo loginctl enable-linger $USER; XDG_RUNTIME_DIR=/run/user/$(id -u) systemd-run --user {scope}")
        }
        Manager::None => CONTAINER.to_owned(),
    }
}

/// How to get more controllers.
fn delegation(manager: Manager) -> String {
    let own = own_group(manager);
    match manager {
        Manager::None | Manager::System => own,
        Manager::User | Manager::Others => format!(
            "{own}; if that is how xtask was started: sudo systemctl edit user@.service, with the lines [Service] and \
             Delegate=cpu memory pids, then log in again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(facts: &Facts) -> String {
        let verdict = judge(facts);
        assert_eq!((verdict.dir.as_ref(), verdict.controllers.len()), (None, 0));
        verdict.why_not()
    }

    #[test]
    fn a_delegated_group_keeps_all() {
        let verdict = judge(&Facts::delegated());
        assert_eq!(verdict.dir, Facts::delegated().dir);
        assert_eq!((verdict.controllers.join(" ").as_str(), verdict.why_not().as_str()), ("cpu memory pids", ""));
    }

    #[test]
    fn what_is_delegated_in_part_is_kept_in_part() {
        let some = vec!["memory".to_owned(), "pids".to_owned()];
        let verdict = judge(&Facts { controllers: some.clone(), ..Facts::delegated() });
        assert_eq!((verdict.dir, verdict.controllers), (Facts::delegated().dir, some));
        let why = judge(&Facts { controllers: vec!["memory".to_owned()], ..Facts::delegated() }).why_not();
        assert!(
            why.starts_with("/sys/fs/cgroup/a.scope has no controller cpu, pids (hint: systemd-run --user --scope -p "),
            "{why}"
        );
        assert!(
            refused(&Facts { controllers: Vec::new(), ..Facts::delegated() })
                .contains("no controller cpu, memory, pids")
        );
    }

    #[test]
    fn the_cause_is_named_with_what_to_type() {
        let version_1 = ["memory", "cpu", "cpuacct", "pids"].map(String::from).to_vec();
        let hybrid = Facts { controllers: Vec::new(), version_1, ..Facts::delegated() };
        assert!(refused(&hybrid).starts_with("this host has control groups of version 1 (hint: boot with systemd."));
        assert!(refused(&Facts { dir: None, ..hybrid }).starts_with("this host has control groups of version 1"));
        assert!(
            refused(&Facts { dir: None, controllers: Vec::new(), ..Facts::delegated() }).starts_with("no cgroup2 file")
        );
        let foreign = Facts { writable: false, ..Facts::delegated() };
        assert_eq!(
            refused(&foreign),
            "xtask may not make control groups in /sys/fs/cgroup/a.scope \
             (hint: systemd-run --user --scope -p Delegate=yes cargo xtask test)"
        );
        let shared = Facts { other: Some("`bash` (process 7)".into()), ..Facts::delegated() };
        for (manager, hint) in [
            (Manager::User, "(hint: systemd-run --user --scope -p Delegate=yes cargo xtask test)"),
            (Manager::System, "(hint: systemd-run --scope -p Delegate=yes cargo xtask test)"),
            (Manager::Others, "(hint: sudo loginctl enable-linger $USER; XDG_RUNTIME_DIR="),
            (Manager::None, "(hint: docker run --privileged"),
        ] {
            let why = refused(&Facts { manager, ..shared.clone() });
            assert!(why.starts_with("`bash` (process 7) is in xtask's control group, too (hint: "), "{why}");
            assert!(why.contains(hint), "{why}");
        }
    }
}
