//! Backend `sandbox`: checks on machines made of Linux namespaces.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cli::MachineOptions;
use crate::fail;
use crate::iocs::{self, IocBuild};
use crate::process;
use crate::project::{Check, Project};
use crate::runner::{self, Backend, Job, Outcome};
use crate::sandbox::spec::{Bind, Machine, Program, Spec};
use crate::sandbox::units;
use crate::{embedded, ui};

/// Limit of a check's script where nothing else is said, in seconds (as nixpkgs' `globalTimeout`).
const DEFAULT_TIMEOUT: u64 = 3600;
/// Place of the EPICS top on a machine, for the embedded IOC.
const TOP: &str = "/machine/ioc";

/// Everything that sandbox runs of this project share.
#[derive(Debug, Clone)]
pub struct Sandbox {
    python: PathBuf,
    driver: PathBuf,
    xtask: PathBuf,
    machine: Machine,
    timeout: u64,
}

impl Sandbox {
    /// Builds what a sandbox run needs and says on one line what will run, and why.
    pub fn prepare(project: &Project, options: &MachineOptions, timeout: Option<u64>, why: &str) -> Result<Self> {
        let ioc = iocs::choose(options.ioc, iocs::find(project))?;
        let python = python()?;
        let programs = embedded::programs(project)?;
        ui::say(&ui::paint(ui::DIM, &announcement(&ioc, why)));
        Ok(Self {
            python,
            driver: project.root.join("xtask/driver"),
            xtask: std::env::current_exe()?,
            machine: machine(project, &ioc, programs),
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        })
    }

    /// The run of one check, whose results go to `dir`.
    pub fn spec(&self, check: &Check, script: &Path, dir: &Path) -> Spec {
        Spec {
            check: check.name.clone(),
            script: script.to_owned(),
            interactive: false,
            global_timeout: self.timeout,
            python: self.python.clone(),
            driver: self.driver.clone(),
            xtask: self.xtask.clone(),
            out_dir: dir.join("out"),
            journal_dir: dir.join("journal"),
            state_dir: dir.join("state"),
            junit: Some("../junit.xml".to_owned()),
            machines: vec![self.machine.clone()],
        }
    }
}

impl Backend for Sandbox {
    fn run(&self, checks: &[Check], job: &mut Job) -> Result<Vec<Outcome>> {
        runner::one_by_one(checks, job, |check, dir, job| {
            runner::follow(&self.spec(check, check.script()?, dir), check, dir, job)
        })
    }
}

/// The Python that runs test scripts.
pub fn python() -> Result<PathBuf> {
    process::which("python3").ok_or_else(|| {
        fail::host("`python3` was not found: it runs the test scripts")
            .hint("install Python 3.9 or newer, for example: sudo apt-get install python3")
            .into()
    })
}

/// What runs, why, and what that leaves untested.
fn announcement(ioc: &IocBuild, why: &str) -> String {
    let untested = match ioc {
        IocBuild::Embedded => "the NixOS machine and code of your own in *App/src",
        IocBuild::Make(_) | IocBuild::Nix(..) => "the NixOS machine",
    };
    format!("sandbox ({why}) with {ioc}; untested: {untested}")
}

fn machine(project: &Project, ioc: &IocBuild, programs: Vec<Program>) -> Machine {
    let app = &project.config.ioc.app;
    let (top, source, program) = match ioc {
        IocBuild::Embedded => (PathBuf::from(TOP), project.ioc_dir(), format!("/machine/bin/soft-ioc --app {app}")),
        // Its files name each other by absolute paths: it stays where it is.
        IocBuild::Make(exe) => (project.ioc_dir(), project.ioc_dir(), process::quote(exe.as_os_str())),
        IocBuild::Nix(top, exe) => (top.clone(), top.clone(), process::quote(exe.as_os_str())),
    };
    let mut binds = vec![Bind { source, target: top.clone() }];
    if let (IocBuild::Make(_), Some(base)) = (ioc, std::env::var_os("EPICS_BASE")) {
        binds.push(Bind { source: PathBuf::from(&base), target: PathBuf::from(base) });
    }
    Machine { name: "machine".to_owned(), units: units::units(&project.config, &top, &program), programs, binds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_names_what_is_untested() {
        assert_eq!(
            announcement(&IocBuild::Embedded, "Nix is not here"),
            "sandbox (Nix is not here) with the embedded soft IOC; \
             untested: the NixOS machine and code of your own in *App/src"
        );
    }
}
