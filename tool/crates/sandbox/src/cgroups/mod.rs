//! Control groups for the limits of services, where this host delegates some to us (cgroups(7); "Delegation" in
//! Documentation/admin-guide/cgroup-v2.rst of the kernel).
//!
//! ```text
//! GROUP                     the one that xtask was started in, empty while a run has limits to keep
//!  ├ xtask                  xtask itself, the cages, the driver: a group with controllers may have no processes
//!  └ sandbox-PID-N          one run; gone with it
//!     └ MACHINE             what the machine sees as /sys/fs/cgroup
//!        ├ init.scope       PID 1, commands, services without limits
//!        └ system.slice     one group for each service with limits, of its name
//! ```

mod facts;
mod judge;
mod tree;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::init::unit::limits::{Limits, are_named};
use super::spec::Spec;
use crate::host::Host;

pub use facts::{Facts, facts};
pub use judge::{Verdict, judge};
pub use tree::{enable, leave, remove};

/// What a run's machines can keep of limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// The run's group; none where no limit is kept.
    pub dir: Option<PathBuf>,
    /// The controllers in it.
    pub controllers: Vec<String>,
    /// Why other limits are not kept.
    pub why_not: String,
}

impl Default for Groups {
    fn default() -> Self {
        let why_not = "no unit or script that was known before the run started names one".to_owned();
        Self { dir: None, controllers: Vec::new(), why_not }
    }
}

impl Groups {
    /// A fresh group for a boot of a machine; what is written to the file joins it.
    pub fn machine(&self, name: &str) -> io::Result<Option<File>> {
        let Some(dir) = self.dir.as_ref().map(|dir| dir.join(name)) else { return Ok(None) };
        remove(&dir);
        fs::create_dir(&dir)?;
        File::options().write(true).open(dir.join("cgroup.procs")).map(Some)
    }
}

/// What to say before a run of limits in a unit's text that it will not keep.
pub fn warning(unit: &str, text: &str) -> Option<String> {
    let limits = Limits::of_text(text);
    limits.without_effect(unit, &[], "")?;
    let verdict = judge(&facts(&Host::new(Path::new("/"))));
    limits.without_effect(unit, &verdict.controllers, &verdict.why_not())
}

/// Our stay in a leaf, for as long as any run of this process has groups.
struct Stay {
    verdict: Verdict,
    dir: PathBuf,
    runs: usize,
    /// Runs so far.
    count: usize,
}

static STAY: Mutex<Option<Stay>> = Mutex::new(None);

fn stay() -> MutexGuard<'static, Option<Stay>> {
    STAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The group of a run. It goes when this is dropped; all its processes must have been killed.
#[derive(Debug)]
pub struct RunGroup(PathBuf);

/// Makes the group of a run that may have limits to keep.
pub fn for_run(spec: &Spec) -> (Groups, Option<RunGroup>) {
    let units = spec.machines.iter().flat_map(|machine| &machine.units).map(|unit| unit.text.as_str());
    let script = fs::read_to_string(&spec.script).unwrap_or_default();
    if !units.chain([script.as_str()]).any(are_named) {
        return (Groups::default(), None);
    }
    match make() {
        Ok(groups) => {
            let group = groups.dir.clone().map(RunGroup);
            (groups, group)
        }
        Err(error) => {
            let why_not = format!("control groups cannot be made here: {error}");
            (Groups { dir: None, controllers: Vec::new(), why_not }, None)
        }
    }
}

fn make() -> io::Result<Groups> {
    let mut stay = stay();
    if stay.is_none() {
        let verdict = judge(&facts(&Host::new(Path::new("/"))));
        let Some(dir) = verdict.dir.clone() else {
            return Ok(Groups { dir: None, controllers: Vec::new(), why_not: verdict.why_not() });
        };
        tree::enter(&dir, &verdict.controllers)?;
        *stay = Some(Stay { verdict, dir, runs: 0, count: 0 });
    }
    let Some(here) = stay.as_mut() else { return Err(io::ErrorKind::NotFound.into()) };
    here.count += 1;
    let dir = here.dir.join(tree::run_name(std::process::id(), here.count));
    let made = fs::create_dir(&dir).and_then(|()| enable(&dir, &here.verdict.controllers));
    here.runs += 1;
    let groups = Groups {
        dir: Some(dir.clone()),
        controllers: here.verdict.controllers.clone(),
        why_not: here.verdict.why_not(),
    };
    drop(stay);
    // What was made of it goes.
    made.map(|()| groups).inspect_err(|_| drop(RunGroup(dir)))
}

impl Drop for RunGroup {
    fn drop(&mut self) {
        remove(&self.0);
        let mut stay = stay();
        if let Some(here) = stay.as_mut() {
            here.runs -= 1;
            if here.runs == 0 {
                leave(&here.dir);
                *stay = None;
            }
        }
    }
}
