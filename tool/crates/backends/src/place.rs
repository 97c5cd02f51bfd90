//! The IOC as a machine of the sandbox sees it: where its files are, and what runs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::iocs::{self, IocBuild, Programs};
use crate::units::{self, OnMachine};
use tool_base::process;
use tool_project::{Config, Ioc, Project};
use tool_sandbox::spec::{Bind, UnitFile};

/// Place of the EPICS top on a machine, for the embedded IOC.
const TOP: &str = "/machine/ioc";
/// Folder of the project for simulators of its own.
const SIMULATORS: &str = "simulators";

/// The soft IOC on its machine.
pub const SOFT_IOC: &str = "/machine/bin/soft-ioc";

/// The IOC as its machine sees it.
#[derive(Debug, Clone)]
pub struct InMachine {
    /// The EPICS top.
    pub top: PathBuf,
    /// The EPICS top on the host.
    pub source: PathBuf,
    /// Executables with their arguments before the script, by application.
    pub programs: BTreeMap<String, String>,
    /// Folders of the host that it needs.
    pub binds: Vec<Bind>,
    /// Whether they may lie where a protected service sees nothing.
    open: bool,
}

impl InMachine {
    /// The executable of an IOC with its arguments before the script.
    pub fn program(&self, ioc: &Ioc) -> &str {
        self.programs.get(&ioc.app).map_or("", String::as_str)
    }

    /// The unit of an IOC.
    pub fn unit(&self, config: &Config, name: &str, ioc: &Ioc, environment: &BTreeMap<String, String>) -> UnitFile {
        let (top, program, open) = (self.top.as_path(), self.program(ioc), self.open);
        units::ioc(config, &OnMachine { name, ioc, top, program, open, environment })
    }
}

/// Where a build of the IOC is on its machine.
pub fn in_machine(project: &Project, ioc: &IocBuild) -> InMachine {
    let mut machine = with_ioc(project, ioc);
    let simulators = project.root.join(SIMULATORS);
    if simulators.is_dir() {
        machine.binds.push(Bind { source: simulators, target: Path::new(units::PROJECT).join(SIMULATORS) });
    }
    machine
}

fn with_ioc(project: &Project, ioc: &IocBuild) -> InMachine {
    let dir = project.ioc_dir();
    let here = |path: &PathBuf| Bind { source: path.clone(), target: path.clone() };
    match ioc {
        IocBuild::Embedded => InMachine {
            top: PathBuf::from(TOP),
            source: dir.clone(),
            programs: project
                .config
                .apps()
                .into_iter()
                .map(|app| (app.to_owned(), format!("{SOFT_IOC} --app {app}")))
                .collect(),
            binds: vec![Bind { source: dir, target: PathBuf::from(TOP) }],
            open: false,
        },
        // Its files name each other, and EPICS base and the modules, by absolute paths: all stay where they are.
        IocBuild::Make(programs) => InMachine {
            programs: quoted(programs),
            binds: iocs::release_paths(project.config.iocs.values().map(|ioc| ioc.boot(&dir)))
                .iter()
                .chain([&dir])
                .map(here)
                .collect(),
            source: dir.clone(),
            top: dir,
            open: true,
        },
        // It is in the Nix store, which every machine sees.
        IocBuild::Nix(top, programs) => {
            let (top, source) = (top.clone(), top.clone());
            InMachine { top, source, programs: quoted(programs), binds: Vec::new(), open: false }
        }
    }
}

fn quoted(programs: &Programs) -> BTreeMap<String, String> {
    programs.iter().map(|(app, program)| (app.clone(), process::quote(program.as_os_str()))).collect()
}
