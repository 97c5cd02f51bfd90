//! The view that a service has on the file system: `ProtectSystem=` and its kind as steps of mounting, in the order in
//! which systemd makes them (namespace.c): what is cloned, what is laid over, what is read-only, what is not after all.

use std::ffi::CString;
use std::path::Path;

use anyhow::anyhow;

use super::{Failed, failed};
use crate::start::{Step, c_text};
use crate::unit::Service;
use crate::unit::protect::{Home, Place, Protection, System};
use crate::unit::service::DirKind;

/// Device nodes of `PrivateDevices=`.
const DEVICES: [&str; 11] =
    ["null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "mqueue", "hugepages", "log"];
/// Where folders and files lie that nobody may use, as on systemd's machines.
const NOBODYS: [&str; 2] = ["/run/systemd/inaccessible/dir", "/run/systemd/inaccessible/reg"];

/// What is known of a path on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Folder,
    File,
}

/// What the plan depends on beyond the settings.
pub(super) struct Facts<'a> {
    pub(super) found: &'a dyn Fn(&str) -> Found,
    /// Whether the path lies on a file system that is read-only for everybody.
    pub(super) read_only: &'a dyn Fn(&str) -> bool,
    /// The service's own folder for `PrivateTmp=`.
    pub(super) tmp: &'a str,
}

/// The folder below /tmp and /var/tmp that is /tmp for one run of a service.
pub(super) fn private_tmp(unit: &str, boot: &str, invocation: &str) -> String {
    let short: String = invocation.chars().take(6).collect();
    format!("systemd-private-{boot}-{unit}-{short}")
}

/// What to mount for a service; nothing where it sees the machine as it is.
pub(super) fn plan(service: &Service, facts: &Facts<'_>) -> Result<Vec<Step>, Failed> {
    let all = service.protection();
    let mut plan = Plan { steps: Vec::new(), clones: 0 };
    if !all.has_mounts() && !DirKind::ALL.iter().any(|kind| has_private(service, *kind)) {
        return Ok(plan.steps);
    }
    for kind in DirKind::ALL {
        plan.private_folders(service, kind);
    }
    if all.private_tmp == Some(true) {
        for at in ["/tmp", "/var/tmp"] {
            plan.clone_to(&format!("{at}/{}/tmp", facts.tmp), at);
        }
    }
    if all.private_devices {
        plan.devices(facts);
    }
    let procs = all.hide_processes.map(|hide| format!("{}/{hide}", crate::PROCS));
    // As systemd does on a kernel that does not know the option: without it.
    if let Some(procs) = procs.filter(|procs| (facts.found)(&format!("{procs}/1")) != Found::Nothing) {
        plan.clone_to(&procs, "/proc");
    }
    let mut settings = settings(service, &all, facts)?;
    // A path that is named twice is what the last setting says; a folder comes before what lies in it.
    settings.sort_by_key(|(path, _)| path.split('/').filter(|part| !part.is_empty()).count());
    if settings.contains(&("/".to_owned(), Setting::Writable)) {
        settings.retain(|(path, _)| path != "/");
    }
    // Taken before anything is read-only: what of it is so for everybody stays so, and the rest need not be opened again.
    let writable: Vec<_> = settings.iter().filter(|(_, setting)| *setting == Setting::Writable).collect();
    let mut clones: Vec<_> = writable.iter().map(|(path, _)| plan.take(path)).collect();
    clones.reverse();
    for (path, setting) in settings {
        match setting {
            Setting::ReadOnly => plan.read_only(&path),
            Setting::Writable => {
                let clone = clones.pop().unwrap_or_default();
                plan.steps.push(Step::Attach(clone, c_text(&path)));
            }
            Setting::Nobodys => {
                let over = NOBODYS[usize::from((facts.found)(&path) == Found::File)];
                plan.clone_to(over, &path);
                plan.steps.push(Step::ReadOnly(c_text(&path), true));
            }
            Setting::Empty => plan.steps.push(Step::Tmpfs(c_text(&path), c"mode=755".into(), true)),
        }
    }
    Ok(plan.steps)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    ReadOnly,
    Writable,
    Nobodys,
    /// An empty folder that cannot be written.
    Empty,
}

fn has_private(service: &Service, kind: DirKind) -> bool {
    service.is_private(kind) && service.directories.iter().any(|(k, _)| *k == kind)
}

/// What holds for which path. Paths that are not there are left out, or refused where they must be there.
fn settings(service: &Service, all: &Protection, facts: &Facts<'_>) -> Result<Vec<(String, Setting)>, Failed> {
    let mut list: Vec<(String, Setting)> = Vec::new();
    let mut put = |paths: &[&str], setting| list.extend(paths.iter().map(|path| ((*path).to_owned(), setting)));
    match all.system.unwrap_or_default() {
        System::No => {}
        System::Yes => put(&["/usr", "/boot", "/efi"], Setting::ReadOnly),
        System::Full => put(&["/usr", "/boot", "/efi", "/etc"], Setting::ReadOnly),
        System::Strict => {
            put(&["/"], Setting::ReadOnly);
            put(&["/dev", "/proc", "/sys", "/home", "/root", "/run/user"], Setting::Writable);
        }
    }
    let home = ["/home", "/root", "/run/user"];
    match all.home.unwrap_or_default() {
        Home::No => {}
        Home::Yes => put(&home, Setting::Nobodys),
        Home::ReadOnly => put(&home, Setting::ReadOnly),
        Home::Tmpfs => put(&home, Setting::Empty),
    }
    if all.kernel_tunables {
        put(&["/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/sysrq-trigger", "/sys"], Setting::ReadOnly);
        put(&["/proc/kallsyms", "/proc/kcore"], Setting::Nobodys);
    }
    if all.kernel_modules {
        put(&["/lib/modules", "/usr/lib/modules"], Setting::Nobodys);
    }
    if all.kernel_logs {
        put(&["/proc/kmsg", "/dev/kmsg"], Setting::Nobodys);
    }
    if all.control_groups {
        put(&["/sys/fs/cgroup"], Setting::ReadOnly);
    }
    if all.private_tmp == Some(true) {
        put(&["/tmp", "/var/tmp"], Setting::Writable);
    }
    if all.private_devices {
        put(&["/dev"], Setting::ReadOnly);
        put(&["/dev/hugepages", "/dev/mqueue", "/dev/pts", "/dev/shm"], Setting::Writable);
    }
    for (kind, name) in &service.directories {
        put(&[folder(service, *kind, name).as_str()], Setting::Writable);
    }
    list.retain(|(path, _)| (facts.found)(path) != Found::Nothing);
    let named = [
        (&all.read_only, Setting::ReadOnly),
        (&all.read_write, Setting::Writable),
        (&all.inaccessible, Setting::Nobodys),
    ];
    for (places, setting) in named {
        for Place { path, optional } in places {
            match (facts.found)(path) {
                Found::Nothing if *optional => {}
                Found::Nothing => {
                    let reason = std::io::Error::from_raw_os_error(libc::ENOENT).to_string();
                    let reason = reason.split(" (os error").next().unwrap_or_default().to_owned();
                    let first = format!("Failed to set up mount namespacing: /run/systemd/unit-root{path}: {reason}");
                    return Err(Failed { first: Some(first), ..failed(226, "NAMESPACE", anyhow!(reason)) });
                }
                _ => list.push((path.clone(), setting)),
            }
        }
    }
    // What nobody may write is not opened by this.
    list.retain(|(path, setting)| *setting != Setting::Writable || !(facts.read_only)(path));
    Ok(list)
}

/// Where a folder of a service lies.
pub(super) fn folder(service: &Service, kind: DirKind, name: &str) -> String {
    let (root, ..) = kind.facts();
    let name = name.split(':').next().unwrap_or(name);
    if service.is_private(kind) { format!("{root}/private/{name}") } else { format!("{root}/{name}") }
}

struct Plan {
    steps: Vec<Step>,
    /// Clones that are not attached yet.
    clones: usize,
}

impl Plan {
    /// Takes hold of what lies at a path, whatever is laid over it later.
    fn take(&mut self, path: &str) -> usize {
        self.steps.push(Step::Clone(self.clones, c_text(path)));
        self.clones += 1;
        self.clones - 1
    }

    fn clone_to(&mut self, from: &str, to: &str) {
        let clone = self.take(from);
        self.steps.push(Step::Attach(clone, c_text(to)));
        self.clones -= 1;
    }

    /// `private/` is root's alone; the service gets one that holds its own folders only.
    fn private_folders(&mut self, service: &Service, kind: DirKind) {
        if !has_private(service, kind) {
            return;
        }
        let private = format!("{}/private", kind.facts().0);
        let own: Vec<String> = service
            .directories
            .iter()
            .filter(|(k, _)| *k == kind)
            .map(|(_, name)| folder(service, kind, name))
            .collect();
        let clones: Vec<usize> = own.iter().map(|path| self.take(path)).collect();
        self.clones = 0;
        self.steps.push(Step::Tmpfs(c_text(&private), c"mode=755".into(), false));
        for (path, clone) in own.iter().zip(clones) {
            for (at, _) in path.match_indices('/').skip_while(|(at, _)| *at <= private.len()) {
                self.steps.push(Step::Folder(c_text(&path[..at])));
            }
            self.steps.push(Step::Folder(c_text(path)));
            self.steps.push(Step::Attach(clone, c_text(path)));
        }
    }

    fn devices(&mut self, facts: &Facts<'_>) {
        let here: Vec<(&str, Found)> = DEVICES
            .iter()
            .map(|name| (*name, (facts.found)(&format!("/dev/{name}"))))
            .filter(|(_, found)| *found != Found::Nothing)
            .collect();
        let clones: Vec<usize> = here.iter().map(|(name, _)| self.take(&format!("/dev/{name}"))).collect();
        self.clones = 0;
        self.steps.push(Step::Tmpfs(c"/dev".into(), c"mode=755".into(), false));
        for ((name, found), clone) in here.into_iter().zip(clones) {
            let path = format!("/dev/{name}");
            self.steps.push(match found {
                Found::Folder => Step::Folder(c_text(&path)),
                _ => Step::File(c_text(&path)),
            });
            self.steps.push(Step::Attach(clone, c_text(path)));
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            self.steps.push(Step::Link(c_text(target), c_text(format!("/dev/{name}"))));
        }
    }

    fn read_only(&mut self, path: &str) {
        if path != "/" {
            self.clone_to(path, path);
        }
        self.steps.push(Step::ReadOnly(c_text(path), true));
    }
}

/// What is there, as the service will find it.
pub(super) fn found(path: &str) -> Found {
    match Path::new(path).metadata() {
        Ok(meta) if meta.is_dir() => Found::Folder,
        Ok(_) => Found::File,
        Err(_) => Found::Nothing,
    }
}

/// Whether a path lies on a read-only file system.
pub(super) fn is_read_only(path: &str) -> bool {
    use unix::sys::statvfs::{FsFlags, statvfs};
    CString::new(path)
        .is_ok_and(|path| statvfs(path.as_c_str()).is_ok_and(|facts| facts.flags().contains(FsFlags::ST_RDONLY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(service: &Service, there: &[&str]) -> Result<Vec<String>, String> {
        let found = |path: &str| match path {
            "/dev/null" | "/etc/secret" => Found::File,
            _ if path == "/" || there.contains(&path) => Found::Folder,
            _ => Found::Nothing,
        };
        let facts = Facts { found: &found, read_only: &|path| path == "/usr", tmp: "systemd-private-b-u-1" };
        let steps = plan(service, &facts).map_err(|failed| format!("{} {}", failed.status, failed.reason))?;
        Ok(steps.iter().map(|step| format!("{step:?}").replace('"', "")).collect())
    }

    fn place(path: &str, optional: bool) -> Place {
        Place { path: path.to_owned(), optional }
    }

    #[test]
    fn a_service_without_settings_sees_the_machine() {
        assert_eq!(steps(&Service::default(), &["/usr"]), Ok(Vec::new()));
    }

    #[test]
    fn an_ioc_as_epnix_runs_it() {
        let mut service = Service { dynamic_user: true, ..Service::default() };
        service.directories.push((DirKind::State, "epics/ioc".to_owned()));
        service.protection.home = Some(Home::Yes);
        let there = ["/var/lib/private/epics/ioc", "/home", "/tmp", "/var/tmp", "/dev", "/usr"];
        let steps = steps(&service, &there).unwrap();
        assert_eq!(
            steps,
            [
                "Clone(0, /var/lib/private/epics/ioc)",
                "Tmpfs(/var/lib/private, mode=755, false)",
                "Folder(/var/lib/private/epics)",
                "Folder(/var/lib/private/epics/ioc)",
                "Attach(0, /var/lib/private/epics/ioc)",
                "Clone(0, /tmp/systemd-private-b-u-1/tmp)",
                "Attach(0, /tmp)",
                "Clone(0, /var/tmp/systemd-private-b-u-1/tmp)",
                "Attach(0, /var/tmp)",
                "Clone(0, /dev)",
                "Clone(1, /home)",
                "Clone(2, /tmp)",
                "Clone(3, /var/tmp)",
                "Clone(4, /var/lib/private/epics/ioc)",
                "ReadOnly(/, true)",
                "Attach(0, /dev)",
                "Attach(1, /home)",
                "Clone(5, /run/systemd/inaccessible/dir)",
                "Attach(5, /home)",
                "ReadOnly(/home, true)",
                "Attach(2, /tmp)",
                "Attach(3, /var/tmp)",
                "Attach(4, /var/lib/private/epics/ioc)",
            ]
        );
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_unless_it_may_be_missing() {
        let mut service = Service::default();
        service.protection.inaccessible = vec![place("/srv", true), place("/etc/secret", false)];
        let steps_of = |service: &Service| steps(service, &[]);
        assert_eq!(
            steps_of(&service).unwrap(),
            ["Clone(0, /run/systemd/inaccessible/reg)", "Attach(0, /etc/secret)", "ReadOnly(/etc/secret, true)"]
        );
        service.protection.read_only = vec![place("/none", false)];
        assert_eq!(steps_of(&service), Err("226 No such file or directory".to_owned()));
    }

    #[test]
    fn what_nobody_may_write_stays_so() {
        let mut service = Service::default();
        service.protection.read_write = vec![place("/usr", false)];
        assert_eq!(steps(&service, &["/usr"]), Ok(Vec::new()));
    }
}
