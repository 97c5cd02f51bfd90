//! `cargo xtask test`: runs checks and reports their verdicts.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::build;
use crate::cli::{IocChoice, MachineOptions, MessageFormat, Test};
use tool_backends::iocs::build::Base;
use tool_backends::unit::Unit;
use tool_base::fail::{Failure, Status};
use tool_base::{fail, files, interrupt, ui};
use tool_project::{Check, Config, Project};
use tool_report::Reporter;
use tool_report::again::Again;
use tool_report::github::Github;
use tool_report::json::Json;
use tool_report::junit::Junit;
use tool_report::terminal::{self, Telling, Terminal};
use tool_runner::slots::Slots;
use tool_runner::{
    Backend, Begun, Event, Job, Limits, Outcome, Planned, Repeat, Schedule, Skipped, Summary, Verdict, select, slots,
};

/// What a run is about, once it is decided.
struct Decided {
    machine: tool_backends::options::MachineOptions,
    decision: tool_backends::Decision,
    checks: Vec<Check>,
    skipped: Vec<Skipped>,
}

/// What a run needs.
struct Prepared {
    backend: Box<dyn Backend>,
    checks: Vec<Check>,
    skipped: Vec<Skipped>,
}

/// Runs the command.
pub fn run(args: &Test, github: Option<&mut Github<'static>>) -> Result<Status> {
    let project = &Project::load()?;
    if args.unit {
        return Ok(status(&perform(args, project, || unit_tests(args, project), github, interrupt::messages)?));
    }
    let decided = decide(args, project, select::select(project, &(&args.selection).into())?.or_nothing()?)?;
    if args.list {
        for check in decided.checks {
            ui::data(&check.name);
        }
        return Ok(Status::Done);
    }
    if args.debug && !std::io::stdin().is_terminal() {
        let failure = Failure::new(Status::Usage, "`--debug` needs a terminal for its prompt");
        return Err(failure.hint("without it, the log and the journals are kept in target/checks/latest/").into());
    }
    if args.dry_run {
        return tool_backends::dry_run(project, decided.decision, &decided.checks);
    }
    if args.no_run {
        return tool_backends::build_only(project, &decided.machine, &args.into(), decided.decision, &decided.checks);
    }
    Ok(status(&perform(args, project, || decided.prepare(args, project), github, interrupt::messages)?))
}

fn status(summary: &Summary) -> Status {
    match () {
        () if summary.interrupted() => Status::Interrupted,
        () if summary.passed() => Status::Done,
        () => Status::CheckFailed,
    }
}

/// Runs checks once; `stop` gives what ends the run and hears of that, when it begins.
pub(super) fn once(
    args: &Test,
    project: &Project,
    checks: Vec<Check>,
    stop: impl FnOnce() -> Result<(Sender<()>, Receiver<()>)>,
) -> Result<Summary> {
    let decided = decide(args, project, checks)?;
    perform(args, project, || decided.prepare(args, project), None, stop)
}

fn decide(args: &Test, project: &Project, chosen: Vec<Check>) -> Result<Decided> {
    let machine = args.machine.wanted(project);
    let decision = tool_backends::decide(project, &machine)?;
    let (checks, skipped) = select::fit(chosen, decision.name(), &args.selection.names)?;
    if checks.is_empty() {
        let message = format!("none of the chosen checks is meant for {}", decision.name());
        return Err(Failure::new(Status::NothingSelected, message).hint("choose another --backend").into());
    }
    Ok(Decided { machine, decision, checks, skipped })
}

impl Decided {
    fn prepare(self, args: &Test, project: &Project) -> Result<Prepared> {
        let Self { machine, decision, checks, skipped } = self;
        let backend = tool_backends::prepare(project, &machine, args.into(), decision, &checks)?;
        Ok(Prepared { backend, checks, skipped })
    }
}

/// Builds the unit tests of the code in `ioc/`, and lets them run.
fn unit_tests(args: &Test, project: &Project) -> Result<Prepared> {
    let unit = match (build::why_not_nix(project, args.machine.backend), Base::find(project)) {
        (None, _) => Unit::by_nix(project, &(&args.machine.nix).into(), args.timeout)?,
        (Some(why), Some(base)) => {
            let verb = ui::paint(ui::STRONG, "Testing");
            ui::say(&format!("{verb} the code of ioc/ by make ({why}, and {})", base.said_by));
            Unit::by_make(project, &base, args.show_output, args.timeout)?
        }
        (Some(why), None) => {
            let what = format!("unit tests are programs that EPICS base builds; {why}, and {}", build::NO_BASE);
            return Err(fail::host(what).hint("EPICS_BASE=/path/to/base cargo xtask test --unit").into());
        }
    };
    let unit = unit.only(&args.selection.names)?;
    let (checks, skipped) = unit.checks();
    Ok(Prepared { backend: Box::new(unit), checks, skipped })
}

fn perform(
    args: &Test,
    project: &Project,
    prepare: impl FnOnce() -> Result<Prepared>,
    mut github: Option<&mut Github<'static>>,
    stop: impl FnOnce() -> Result<(Sender<()>, Receiver<()>)>,
) -> Result<Summary> {
    let again = Again { machine: args.machine.words(), limits: args.limits() };
    if let Some(github) = &mut github {
        github.tell(&again);
    }
    let mut reporters = for_programs(args, &again)?;
    let Prepared { backend, checks, skipped } = prepare()?;
    let slots = Slots::of(if args.debug { Some(1) } else { args.jobs }, backend.name(), &slots::host_size());
    let plan = plan(args, checks, &slots)?;
    let (interrupt, interrupts) = stop()?;
    let mut terminal = Terminal::new(Telling { root: project.root.clone(), show_output: args.show_output, again });
    let run_dir = tool_runner::new_run_dir(project)?;
    let repeat = if args.until_failure { Repeat::UntilFailure } else { Repeat::Times(args.repeat) };
    let keep_going = args.no_fail_fast || args.unit;
    let limits = Limits { jobs: slots.jobs, memory: slots.memory, keep_going, repeat };
    let begun = Begun {
        checks: plan.iter().map(|planned| planned.check.name.clone()).collect(),
        skipped,
        jobs: (backend.name() != "nixos").then_some(slots.jobs).or(args.jobs),
        repeat: (!args.until_failure).then_some(args.repeat),
        backend: backend.name().to_owned(),
        dir: run_dir.path.clone(),
        tool: tool_project::upgrade::version(Some(&project.root)),
    };
    let mut trouble = None;
    let mut report = |event: &Event| {
        if let Some(github) = &mut github {
            github.before(event);
        }
        terminal.report(event);
        for reporter in &mut reporters {
            trouble = reporter.report(event).err().or(trouble.take());
        }
        if let Some(Err(trouble)) = github.as_mut().map(|github| github.after(event)) {
            ui::warn(&fail::render(&trouble));
        }
    };
    let job = Job::new(run_dir.path.clone(), Schedule::new(plan, limits, run_dir.path.clone()), &mut report)
        .limited(args.global_timeout, interrupt)
        .of(&project.root);
    let result = tool_runner::run(backend.as_ref(), &begun, job, &interrupts);
    if let (true, Ok(summary)) = (args.coverage, &result) {
        trouble = trouble.or(coverage(project, &run_dir.path, summary).err());
    }
    if let Some(trouble) = trouble {
        // Whoever asked for the report must hear that it is not there; a check's failure is worse.
        if result.as_ref().is_ok_and(Summary::passed) {
            return Err(trouble);
        }
        ui::error(&fail::render(&trouble));
    }
    result
}

/// Tells what the checks used of the IOC, and keeps it for programs.
fn coverage(project: &Project, dir: &Path, summary: &Summary) -> Result<()> {
    let coverage = tool_runner::coverage::gather(summary.outcomes.iter().map(|outcome| outcome.exec.dir.as_path()));
    let file = dir.join(tool_runner::coverage::FILE);
    files::replace(&file, &serde_json::to_string_pretty(&coverage)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let told = terminal::coverage(&coverage, &terminal::relative(&project.root, &file));
    ui::say(told.trim_end());
    let idle = idle(&project.config, &summary.outcomes)?;
    if !idle.is_empty() {
        let idle = Vec::from_iter(idle).join(", ");
        ui::say(&format!("  of IOCs that these checks have on no machine nothing is known: {idle}"));
    }
    Ok(())
}

/// IOCs that were on no machine. A check that the host ended may have had none yet.
fn idle<'a>(config: &'a Config, outcomes: &[Outcome]) -> Result<BTreeSet<&'a str>> {
    let mut idle: BTreeSet<&str> = config.iocs.keys().map(String::as_str).collect();
    for outcome in outcomes.iter().filter(|outcome| outcome.verdict != Verdict::HostFailed) {
        for node in outcome.exec.check.settings()?.machines().values() {
            node.iocs_of(config).iter().for_each(|(name, _)| _ = idle.remove(name));
        }
    }
    Ok(idle)
}

impl Test {
    /// The options that were given and that the verdict depends on.
    fn limits(&self) -> Vec<String> {
        let mut words = self.timeout.map_or_else(Vec::new, |limit| vec!["--timeout".to_owned(), limit.to_string()]);
        let flags = [(self.unit, "--unit"), (self.strict, "--strict"), (self.no_lint, "--no-lint")];
        words.extend(flags.iter().filter(|(given, _)| *given).map(|(_, flag)| (*flag).to_owned()));
        words
    }
}

impl MachineOptions {
    /// The options that were given, as words of a command line.
    fn words(&self) -> Vec<String> {
        let Self { backend, ioc, nix } = self;
        let value = |value: Option<clap::builder::PossibleValue>| value.map(|v| v.get_name().to_owned());
        let options = [
            ("--backend", backend.and_then(|b| value(b.to_possible_value()))),
            ("--ioc", Some(*ioc).filter(|ioc| *ioc != IocChoice::Auto).and_then(|ioc| value(ioc.to_possible_value()))),
            ("--accel", nix.accel.and_then(|a| value(a.to_possible_value()))),
            ("--system", nix.system.clone()),
            ("--builders", nix.builders.clone()),
            ("--store", nix.store.clone()),
        ];
        let mut words: Vec<String> =
            options.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?])).flatten().collect();
        words.extend(nix.offline.then(|| "--offline".to_owned()));
        if !nix.args.is_empty() {
            words.push("--".to_owned());
            words.extend(nix.args.iter().cloned());
        }
        words
    }
}

/// The reports that programs read.
fn for_programs(args: &Test, again: &Again) -> Result<Vec<Box<dyn Reporter>>> {
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    if let Some(path) = &args.junit {
        reporters.push(Box::new(Junit::create(path, again)?));
    }
    if args.message_format == MessageFormat::Json {
        reporters.push(Box::new(Json::new(
            Box::new(ui::Data::default()),
            Box::new(tool_runner::now),
            args.show_output,
        )));
    }
    Ok(reporters)
}

/// What each check needs.
fn plan(args: &Test, checks: Vec<Check>, slots: &Slots) -> Result<Vec<Planned>> {
    let planned = |check: Check| {
        let settings = check.settings()?;
        let machines = u64::try_from(settings.machines().len())?;
        let retries = if args.until_failure { 0 } else { args.retries.unwrap_or(settings.retries) };
        let memory = settings.memory.unwrap_or(machines * slots.machine);
        Ok(Planned { check, retries, memory })
    };
    checks.into_iter().map(planned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tool_runner::Exec;

    #[test]
    fn an_ioc_is_idle_that_no_check_had() {
        let two = "[iocs.a]\napp = \"a\"\nioc = \"iocA\"\n[iocs.b]\napp = \"b\"\nioc = \"iocB\"\n";
        let config = tool_project::parse(two).unwrap();
        let exec = Exec { id: 0, check: Check::default(), repetition: 1, attempt: 1, dir: "x".into() };
        let idle = |verdict| Vec::from_iter(idle(&config, &[Outcome::new(&exec, verdict, None, 0.0)]).unwrap());
        assert_eq!(idle(Verdict::Failed(1)), Vec::<&str>::new());
        assert_eq!(idle(Verdict::HostFailed), ["a", "b"]);
    }
}
