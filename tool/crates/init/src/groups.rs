//! The machine's part of the host's control groups: one group for each service with limits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use anyhow::{Context, Result};
use unix::mount::{MsFlags, mount};
use unix::sched::{CloneFlags, unshare};
use unix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::manager::types::Event;
use super::unit::Unit;
use super::unit::service::OomPolicy;
use super::{Machine, Message};
use crate::sandbox::cgroups::{self, enable};
use crate::sandbox::rootfs;

/// Where the machine sees its groups.
const ROOT: &str = "/sys/fs/cgroup";

/// The groups of services.
pub(super) struct Groups {
    controllers: Vec<String>,
    /// Wakes the manager when the kernel has something to tell.
    watch: Arc<Inotify>,
    /// Services with a group, and how many of their processes the kernel has killed for want of memory.
    killed: BTreeMap<String, u64>,
}

impl Groups {
    /// Makes the group that this process was started in the root of what the machine sees. Before any thread starts.
    pub(super) fn set_up(kept: &cgroups::Groups) -> Result<Option<Self>> {
        if kept.dir.is_none() {
            return Ok(None);
        }
        unshare(CloneFlags::CLONE_NEWCGROUP).context("the machine's cgroup namespace cannot be made")?;
        // The kernel does not mount a file system on itself, and the host's stands there.
        rootfs::tmpfs(Path::new(ROOT), "mode=755")?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("cgroup2"), ROOT, Some("cgroup2"), flags, None::<&str>).context("cannot mount /sys/fs/cgroup")?;
        let root = Path::new(ROOT);
        let make = || -> io::Result<()> {
            let [scope, slice] = ["init.scope", "system.slice"].map(|name| root.join(name));
            fs::create_dir(&scope)?;
            fs::write(scope.join("cgroup.procs"), "0")?;
            fs::create_dir(&slice)?;
            enable(root, &kept.controllers)?;
            enable(&slice, &kept.controllers)
        };
        make().context("cannot make the machine's control groups")?;
        let watch = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC)?);
        Ok(Some(Self { controllers: kept.controllers.clone(), watch, killed: BTreeMap::new() }))
    }

    /// Lets the manager know when it should look for [`Machine::out_of_memory`].
    pub(super) fn serve(&self, sender: Sender<Message>) {
        let watch = Arc::clone(&self.watch);
        std::thread::spawn(move || while watch.read_events().is_ok() && sender.send(Message::Memory).is_ok() {});
    }

    /// The group of a service that is to get a process; `None` for a service without limits.
    fn make(&mut self, unit: &Unit, say: impl Fn(String)) -> io::Result<Option<File>> {
        let settings = unit.group_limits().map(|limits| limits.settings(&self.controllers)).unwrap_or_default();
        if settings.is_empty() {
            return Ok(None);
        }
        let dir = dir(&unit.name);
        match fs::create_dir(&dir) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        for setting in settings {
            if let Err(e) = fs::write(dir.join(setting.file), &setting.value) {
                say(format!("{}: {}= has no effect: {}: {e}", unit.name, setting.directive, setting.file));
            }
        }
        if unit.service().is_some_and(|service| service.oom_policy == OomPolicy::Kill) {
            // Without the controller there is nothing to run out of.
            let _ = fs::write(dir.join("memory.oom.group"), "1");
        }
        if !self.killed.contains_key(&unit.name) {
            let _ = self.watch.add_watch(&dir.join("memory.events"), AddWatchFlags::IN_MODIFY);
            self.killed.insert(unit.name.clone(), killed(&dir));
        }
        File::options().write(true).open(dir.join("cgroup.procs")).map(Some)
    }

    /// Services that have lost a process for want of memory since the last call.
    fn out_of_memory(&mut self) -> Vec<String> {
        let mut units = Vec::new();
        for (unit, known) in &mut self.killed {
            let now = killed(&dir(unit));
            if now > *known {
                *known = now;
                units.push(unit.clone());
            }
        }
        units
    }

    /// The service is down. A group with processes that were left alone stays.
    pub(super) fn remove(&mut self, unit: &str) {
        if self.killed.contains_key(unit) && fs::remove_dir(dir(unit)).is_ok() {
            self.killed.remove(unit);
        }
    }

    /// Properties that tell what a service with limits uses.
    pub(super) fn usage(&self, unit: &str) -> Vec<(&'static str, String)> {
        let files = [("MemoryCurrent", "memory.current"), ("TasksCurrent", "pids.current")];
        let here = files.into_iter().filter(|_| self.killed.contains_key(unit));
        here.filter_map(|(name, file)| Some((name, fs::read_to_string(dir(unit).join(file)).ok()?.trim().to_owned())))
            .collect()
    }
}

impl Machine {
    /// `cgroup.procs` of the group that a service with limits is to have its processes in.
    pub(super) fn control_group(&mut self, unit: &str) -> io::Result<Option<File>> {
        let (Some(groups), Some(rt)) = (&mut self.groups, self.manager.units.get(unit)) else { return Ok(None) };
        groups.make(&rt.unit, |text| self.journal.manager(unit, &rt.invocation, 4, &text))
    }

    /// Tells the manager of services that have run out of memory.
    pub(super) fn out_of_memory(&mut self) {
        for unit in self.groups.as_mut().map(Groups::out_of_memory).unwrap_or_default() {
            self.handle(Event::OutOfMemory { unit });
        }
    }
}

fn dir(unit: &str) -> PathBuf {
    Path::new(ROOT).join("system.slice").join(unit)
}

/// Processes in a group that were killed for want of memory.
fn killed(dir: &Path) -> u64 {
    let text = fs::read_to_string(dir.join("memory.events")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}
