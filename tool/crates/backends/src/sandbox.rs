//! Backend `sandbox`: checks on machines made of Linux namespaces.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result};

use super::follow::follow;
use crate::aftermath;
use crate::by_hand::or_the_callers;
use crate::iocs::IocBuild;
use crate::nix::services;
use crate::nix::services::Evaluated;
use crate::options::{IocChoice, MachineOptions};
use crate::packages::{Packages, Provided, provide};
use crate::place::{InMachine, SOFT_IOC, in_machine};
use crate::python::{pycache, python};
use crate::{announce, embedded, faults, fit, iocs, units};
use tool_base::fail::{Failure, Status};
use tool_base::ui;
use tool_project::settings::{DEFAULT_TIMEOUT, Node, Settings};
use tool_project::{Check, Config, Ioc, Project};
use tool_runner::{Backend, Exec, Job, Outcome, Verdict, Watch};
use tool_sandbox::recorder;
use tool_sandbox::spec::{COVERAGE, MachineSpec, Program, Recorder, Spec};

/// The test driver and what runs it.
#[derive(Debug, Clone)]
struct Driver {
    python: PathBuf,
    folder: PathBuf,
    pycache: PathBuf,
}

impl Driver {
    fn of(project: &Project) -> Result<Self> {
        let (python, folder) = (python()?, project.tool("driver")?);
        Ok(Self { python, folder, pycache: pycache(project) })
    }
}

/// Everything that sandbox runs of this project share.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Sandbox {
    driver: Driver,
    config: Config,
    lib: Option<PathBuf>,
    /// What programs have on machines that `ioc.toml` describes, by check.
    provided: BTreeMap<String, Provided>,
    /// The IOC and the programs of machines that `ioc.toml` describes; none where no check has such a machine.
    ours: Option<(InMachine, Vec<Program>)>,
    /// Checks whose machines come from Nix.
    evaluated: BTreeMap<String, Evaluated>,
    /// What records process variables, where it is built.
    soft_ioc: Option<PathBuf>,
    timeout: Option<u64>,
    debug: bool,
    record: bool,
    coverage: bool,
    strict: bool,
    /// Whether the caller's variables go before those of ioc.toml and of the check.
    by_hand: bool,
}

impl Sandbox {
    /// Builds what the checks need in the sandbox and says what will run, and why.
    pub fn prepare(
        project: &Project,
        options: &MachineOptions,
        checks: &[Check],
        timeout: Option<u64>,
        why: &str,
    ) -> Result<Self> {
        fit::all(project, checks)?;
        let driver = Driver::of(project)?;
        let evaluated = services::evaluate(project, &options.nix, checks)?;
        let ours = if checks.iter().all(|check| evaluated.contains_key(&check.name)) {
            ui::remark(&announcement(None, why));
            None
        } else {
            let ioc = iocs::choose(project, options.ioc)?;
            let programs = embedded::programs(project)?;
            ui::remark(&announcement(Some(&ioc), why));
            if let Some(text) = units::without_effect() {
                ui::remark(&text);
            }
            if ioc == IocBuild::Embedded {
                for gap in embedded::gaps(project, &programs)? {
                    ui::warn(&format!("the soft IOC cannot do everything here: {gap}"));
                }
            }
            Some((in_machine(project, &ioc), programs))
        };
        if let Some(name) = evaluated.keys().next().filter(|_| options.ioc != IocChoice::Auto) {
            let what = format!("`--ioc` cannot be honoured: check `{name}` has the IOC that Nix builds");
            return Err(Failure::new(Status::Usage, what).hint(format!("see services in checks/{name}.toml")).into());
        }
        let programs = ours.as_ref().map(|(_, programs)| programs.clone()).or_else(|| embedded::built(project));
        let soft_ioc = programs.unwrap_or_default().into_iter().find(|p| p.name == "soft-ioc").map(|p| p.path);
        Ok(Self {
            soft_ioc,
            driver,
            config: project.config.clone(),
            lib: project.lib(),
            provided: provide(project, checks.iter().filter(|check| !evaluated.contains_key(&check.name)))?,
            ours,
            evaluated,
            timeout,
            debug: false,
            record: false,
            coverage: false,
            strict: false,
            by_hand: false,
        })
    }

    /// Checks whose machines come from Nix.
    pub(crate) fn evaluated(&self) -> &BTreeMap<String, Evaluated> {
        &self.evaluated
    }

    /// Stays in a machine after a failure, at a prompt on the terminal.
    #[must_use]
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// Whether to record what the process variables do, and what is used of the IOC.
    #[must_use]
    pub fn recording(mut self, record: bool, coverage: bool) -> Self {
        (self.record, self.coverage) = (record, coverage);
        self
    }

    /// Whether a pass with remarks is a failure.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Somebody tries by hand: where the caller has a variable that ioc.toml or the check sets, the caller's counts.
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    /// Runs one check, and looks at what its machines have to say about a pass.
    fn run_one(&self, exec: &Exec, watch: &Watch) -> Result<Outcome> {
        let spec = self.spec(&exec.check, &exec.dir)?;
        let mut outcome = follow(&spec, exec, watch)?;
        if outcome.verdict == Verdict::Passed {
            let may_fail = &exec.check.settings()?.may_fail;
            outcome.remarks.extend(aftermath::remarks(&spec.journal_dir, &self.lasting(), may_fail));
            if self.strict && !outcome.remarks.is_empty() {
                let message = format!("the script passed, but {}", outcome.remarks.join("; "));
                outcome.verdict = Verdict::Failed(1);
                outcome.failure =
                    Some(tool_runner::ScriptFailure { class: "Remarks".to_owned(), message, ..Default::default() });
            }
        } else {
            outcome.remarks.clear();
        }
        Ok(outcome)
    }

    /// The units of ioc.toml.
    fn lasting(&self) -> Vec<String> {
        let names = self.config.iocs.keys().chain(self.config.simulators.keys());
        names.map(|name| format!("{name}.service")).collect()
    }

    /// The run of one check, whose results go to `dir`.
    pub fn spec(&self, check: &Check, dir: &Path) -> Result<Spec> {
        let settings = check.settings()?;
        let evaluated = self.evaluated.get(&check.name);
        let scripts: Vec<&str> = self.config.iocs.values().map(|ioc| ioc.script.as_str()).collect();
        let script = match (&check.script, evaluated) {
            (None, Some(evaluated)) => {
                let file = dir.join("script.py");
                std::fs::write(&file, &evaluated.script).with_context(|| format!("cannot write {}", file.display()))?;
                file
            }
            _ => check.script()?.to_owned(),
        };
        let own_limit = settings.timeout.or(evaluated.and_then(|evaluated| evaluated.timeout));
        Ok(Spec {
            script,
            lib: self.lib.clone(),
            debug: self.debug,
            global_timeout: self.timeout.or(own_limit).unwrap_or(DEFAULT_TIMEOUT),
            python: self.driver.python.clone(),
            driver: self.driver.folder.clone(),
            pycache: self.driver.pycache.clone(),
            junit: Some("../junit.xml".to_owned()),
            machines: match evaluated {
                Some(evaluated) => evaluated
                    .machines
                    .iter()
                    .map(|machine| {
                        self.recorded(machine.clone(), recorder::starts(&machine.units, &scripts), &dir.join("record"))
                    })
                    .collect::<Result<_>>()?,
                None => self.machines(&check.name, settings, dir)?,
            },
            ..Spec::new(&check.name, dir)?
        })
    }

    /// The machines that `ioc.toml` and the settings of a check describe.
    fn machines(&self, check: &str, settings: &Settings, dir: &Path) -> Result<Vec<MachineSpec>> {
        let Some((place, programs)) = &self.ours else { return Ok(Vec::new()) };
        let Provided { packages, programs: more } = self.provided.get(check).cloned().unwrap_or_default();
        let machine = |((name, node), number): ((String, Node), u8)| {
            let iocs = node.iocs_of(&self.config);
            let variables = node.variables(iocs.len());
            let mut starts = Vec::new();
            let mut units = Vec::new();
            for (name, ioc) in &iocs {
                let own = self.environment(name, ioc, &node);
                // What the check says of the IOC comes last, so it holds.
                let mut environment: BTreeMap<_, _> = variables.clone().into_iter().chain(own.clone()).collect();
                if self.coverage {
                    environment.insert("SOFT_IOC_COVERAGE".to_owned(), COVERAGE.to_owned());
                }
                units.push(place.unit(&self.config, name, ioc, &environment));
                starts.push(recorder::Start {
                    unit: format!("{name}.service"),
                    boot: ioc.boot(&place.source),
                    script: ioc.script.clone(),
                    environment: own,
                });
            }
            let names: Vec<&str> = iocs.iter().map(|(name, _)| *name).collect();
            units.extend(units::simulators(&self.config, &names));
            let soft = place.programs.values().all(|program| program.starts_with(SOFT_IOC));
            let coverage = (self.coverage && soft && !iocs.is_empty())
                .then(|| dir.join("record").join(format!("{name}.coverage")));
            // As on NixOS, where the module of the IOC brings them.
            let packages = packages.as_ref().filter(|_| !iocs.is_empty());
            let more = if iocs.is_empty() { [].iter() } else { more.iter() };
            let mut programs: Vec<Program> = programs.iter().chain(more).cloned().collect();
            if !node.faults.is_empty() {
                units.extend(faults::units(&self.config.simulators, &node.faults, &units));
                programs.push(faults::program(&self.driver.folder));
            }
            let machine = MachineSpec {
                coverage,
                name,
                number,
                variables,
                vlans: node.vlans.clone(),
                units,
                programs,
                binds: place.binds.clone().into_iter().chain(packages.map(Packages::bind)).collect(),
                tools: packages.map(Packages::tools),
                ..MachineSpec::default()
            };
            self.recorded(machine, starts, &dir.join("record"))
        };
        settings.machines().into_iter().zip(1..).map(machine).collect()
    }

    /// The variables that ioc.toml and a check give to an IOC.
    fn environment(&self, name: &str, ioc: &Ioc, node: &Node) -> BTreeMap<String, String> {
        let all = self.config.environment(name, ioc, true).into_iter().chain(node.environment.clone()).collect();
        if self.by_hand { or_the_callers(all) } else { all }
    }

    /// A machine with what records its IOC. What is not recorded is told in a file of `dir`, which the report reads.
    fn recorded(&self, mut machine: MachineSpec, starts: Vec<recorder::Start>, dir: &Path) -> Result<MachineSpec> {
        let starts: Vec<_> = starts.into_iter().filter(|_| self.record).collect();
        let (several, mut notes) = (starts.len() > 1, String::new());
        for start in starts {
            let unit = start.unit.strip_suffix(".service").unwrap_or(&start.unit).to_owned();
            let app = self.config.iocs.get(&unit).or(self.config.iocs.values().next());
            let script = start.boot.join(&start.script);
            match &self.soft_ioc {
                // Once, for all of them.
                None if notes.is_empty() => {
                    notes += "not recorded: the recorder is not built; cargo xtask build --backend sandbox builds it\n";
                }
                None => {}
                Some(_) if !script.is_file() => {
                    notes += &format!("not recorded: {}: there is no {} on this host\n", start.unit, script.display());
                }
                Some(program) => {
                    // No machine has such a name.
                    let name = if several { format!("{unit}@{}", machine.name) } else { machine.name.clone() };
                    machine.recorders.push(Recorder {
                        program: program.clone(),
                        app: app.map(|ioc| ioc.app.clone()).unwrap_or_default(),
                        boot: start.boot,
                        script: start.script,
                        environment: start.environment,
                        file: dir.join(format!("{name}.jsonl")),
                    });
                }
            }
        }
        if !notes.is_empty() {
            let file = dir.join(format!("{}.log", machine.name));
            std::fs::create_dir_all(dir)
                .and_then(|()| std::fs::write(&file, notes))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(machine)
    }
}

/// A run of any script on one machine, with units and programs of the caller's.
pub fn plain(project: &Project, script: PathBuf, machine: MachineSpec, dir: &Path) -> Result<Spec> {
    let Driver { python, folder, pycache } = Driver::of(project)?;
    Ok(Spec { script, python, driver: folder, pycache, machines: vec![machine], ..Spec::new("driver", dir)? })
}

impl Backend for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn run(&self, job: &mut Job, interrupts: &Receiver<()>) -> Result<()> {
        tool_runner::side_by_side(job, interrupts, |exec, watch| self.run_one(exec, watch))
    }
}

fn announcement(ioc: Option<&IocBuild>, why: &str) -> String {
    let Some(ioc) = ioc else {
        return announce("sandbox with the services of NixOS", why, "its boot, its kernel, its firewall");
    };
    let untested = match ioc {
        IocBuild::Embedded => "the NixOS machine and code of your own in *App/src",
        IocBuild::Make(_) | IocBuild::Nix(..) => "the NixOS machine",
    };
    announce(&format!("sandbox with {ioc}"), why, untested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_names_what_is_untested() {
        assert_eq!(
            announcement(Some(&IocBuild::Embedded), "Nix is not here"),
            "sandbox with the embedded soft IOC (Nix is not here)\n\
             untested: the NixOS machine and code of your own in *App/src"
        );
        let why = "KVM cannot be used: KVM answers but is emulated: tests would hang or crawl";
        let text = announcement(Some(&IocBuild::Embedded), why);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
