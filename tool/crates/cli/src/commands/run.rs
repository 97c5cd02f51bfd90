//! `cargo xtask run`: the IOC on this terminal, its simulators beside it.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cli::Run;
use tool_backends::iocs::IocBuild;
use tool_backends::units::SIMULATOR_START_LIMIT;
use tool_backends::{by_hand, embedded, follow, iocs};
use tool_base::fail::Status;
use tool_base::guard::Guarded;
use tool_base::process::Cmd;
use tool_base::{fail, process, sys, ui};
use tool_project::{Ioc, Project, Simulator};
use tool_sandbox::run::Output;
use tool_sandbox::spec::Program;

/// Port of Channel Access servers where the environment names no other.
const CA_PORT: u16 = 5064;
/// How often we look whether a simulator is up.
const STEP: Duration = Duration::from_millis(20);

/// Runs the command; the IOC's exit status is ours.
pub fn run(args: &Run) -> Result<Status> {
    let project = Project::load()?;
    let own = project.config.the_ioc(args.name.as_deref())?;
    let build = iocs::choose(&project, args.ioc.into())?;
    let simulators = !args.no_simulator && project.config.simulators_of(own.0).next().is_some();
    let programs = if args.host && !simulators && build != IocBuild::Embedded {
        Vec::new()
    } else {
        embedded::programs(&project)?
    };
    if build == IocBuild::Embedded {
        for gap in embedded::gaps(&project, &programs)? {
            ui::warn(&format!("the soft IOC cannot do everything here: {gap}"));
        }
    }
    let run_dir = tool_runner::new_run_dir(&project)?;
    let dir = run_dir.path.join("run");
    fs::create_dir_all(&dir)?;
    // Ctrl-C belongs to the IOC.
    sys::block_interrupts()?;
    let _terminal = Terminal::save();
    let code = if args.host {
        on_host(&project, own, &build, &programs, simulators, &dir)?
    } else {
        in_sandbox(&project, own, &build, programs, simulators, &dir)?
    };
    if let Some(signal) = code.checked_sub(128).filter(|signal| i32::from(*signal) != libc::SIGINT && *signal > 0) {
        ui::warn(&format!("the IOC was ended by signal {signal}"));
    }
    Ok(Status::Other(code))
}

fn in_sandbox(
    project: &Project,
    own: (&str, &Ioc),
    build: &IocBuild,
    programs: Vec<Program>,
    simulators: bool,
    dir: &Path,
) -> Result<u8> {
    let spec = by_hand::console(project, own, build, programs, simulators, dir)?;
    line("IOC", &format!("{build}, on a sandbox machine of its own"), "");
    for (name, simulator) in project.config.simulators_of(own.0).filter(|_| simulators) {
        line("device", &format!("{name}, {} of that machine", simulator.place()), "");
        line("", "its output:", &format!("cargo xtask exec journalctl -u {name}"));
    }
    if !simulators {
        line("device", "none: the records will show that they are disconnected", "");
    }
    line("clients", "in another terminal:", "cargo xtask exec caget PV");
    line("", "a shell there:", "cargo xtask exec");
    say_how_to_end();
    let (run, _) = follow::start(&spec, dir, &Output::Terminal)
        .inspect_err(|_| ui::warn("no machine could be started; on this host itself: cargo xtask run --host"))?;
    follow::wait(run, &spec)
}

fn on_host(
    project: &Project,
    own: (&str, &Ioc),
    build: &IocBuild,
    programs: &[Program],
    simulators: bool,
    dir: &Path,
) -> Result<u8> {
    let mut running = Vec::new();
    let over = Arc::new(AtomicBool::new(false));
    line("IOC", &format!("{build}, on this host"), "");
    for (name, simulator) in project.config.simulators_of(own.0).filter(|_| simulators) {
        let log = dir.join(format!("{name}.log"));
        let simulated = start_simulator(project, name, simulator, programs, &log)?;
        let log = log.strip_prefix(&project.root).unwrap_or(&log).display();
        announce_end(name, &simulated, &log.to_string(), &over);
        running.push(simulated);
        line("device", &format!("{name}, {}", simulator.place()), "");
        line("", "its output:", &log.to_string());
    }
    if !simulators {
        line("device", "as st.cmd and the environment say", "");
    }
    line("clients", "in another terminal:", &clients(project, programs));
    let port = ca_port();
    if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_err() {
        ui::warn(&format!(
            "another IOC has port {port} of Channel Access: this one takes another port by itself, and clients find \
             both. Are PVs of the same name served twice?"
        ));
    }
    say_how_to_end();
    let code =
        Guarded::on_terminal(&ioc_on_host(project, own, build, programs, simulators)?, None, |command| command)?.wait();
    over.store(true, Ordering::Relaxed);
    code
}

/// Says when a simulator ends before the run is over.
fn announce_end(name: &str, simulator: &Guarded, log: &str, over: &Arc<AtomicBool>) {
    let (end, over) = (simulator.end(), Arc::clone(over));
    let said = format!("simulator `{name}` has ended");
    let log = format!("its output: {log}");
    std::thread::spawn(move || {
        let Some(code) = end() else { return };
        if over.load(Ordering::Relaxed) {
            return;
        }
        let how = match code.checked_sub(128).filter(|signal| *signal > 0) {
            Some(signal) => format!("by signal {signal}"),
            None => format!("with status {code}"),
        };
        ui::warn_above(&format!("{said} {how}; {log}"));
    });
}

/// The IOC's command line, as an engineer would run it by hand.
fn ioc_on_host(
    project: &Project,
    (name, ioc): (&str, &Ioc),
    build: &IocBuild,
    programs: &[Program],
    simulators: bool,
) -> Result<Cmd> {
    let top = project.ioc_dir();
    let cmd = match build {
        IocBuild::Embedded => Cmd::new(program("soft-ioc", programs)?).args(["--app", &ioc.app]).cwd(ioc.boot(&top)),
        IocBuild::Make(all) => Cmd::new(&all[&ioc.app]).cwd(ioc.boot(&top)),
        IocBuild::Nix(top, all) => Cmd::new(&all[&ioc.app]).cwd(ioc.boot(top)),
    };
    let variables = by_hand::or_the_callers(project.config.environment(name, ioc, simulators));
    let cmd = variables.into_iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
    Ok(cmd.arg(&ioc.script))
}

/// A program by its name: one of `tool/embedded/`, else one on PATH.
fn program(name: &str, programs: &[Program]) -> Result<PathBuf> {
    let ours = programs.iter().find(|program| program.name == name).map(|program| program.path.clone());
    ours.or_else(|| process::which(name)).ok_or_else(|| {
        fail::config(format!("ioc.toml: the simulator's program `{name}` was not found"))
            .hint("give its full path, or run without it: cargo xtask run --host --no-simulator")
            .into()
    })
}

/// Starts a simulator and waits until its port answers.
fn start_simulator(
    project: &Project,
    name: &str,
    simulator: &Simulator,
    programs: &[Program],
    log: &Path,
) -> Result<Guarded> {
    let port = simulator.port.filter(|_| simulator.serial.is_none()).ok_or_else(|| {
        fail::config(format!("simulator `{name}` needs {}, which only a machine has", simulator.place()))
            .hint("leave out --host, or run without simulators: cargo xtask run --host --no-simulator")
    })?;
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
        return Err(fail::host(format!("port {port} of simulator `{name}` is taken by another program"))
            .hint("if it is the simulator, or the device, use it as it is: cargo xtask run --host --no-simulator")
            .into());
    }
    let (first, arguments) = simulator.command.split_first().context("the simulator has no command")?;
    // Paths are meant from the project's folder, as on a machine.
    let first = if first.contains('/') { project.root.join(first) } else { program(first, programs)? };
    let cmd = Cmd::new(first).args(arguments).cwd(&project.root);
    let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut running = Guarded::in_background(&cmd, &file)?;
    let limit = Instant::now() + Duration::from_secs(SIMULATOR_START_LIMIT.into());
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if running.has_ended()? || Instant::now() >= limit {
            let said = fs::read_to_string(log).unwrap_or_default();
            let last = said.lines().last().unwrap_or("nothing");
            return Err(fail::host(format!("simulator `{name}` did not open port {port}; it said: {last}"))
                .hint(format!("try it by hand: {cmd}"))
                .into());
        }
        std::thread::sleep(STEP);
    }
    Ok(running)
}

/// How to talk to the IOC on this host.
fn clients(project: &Project, programs: &[Program]) -> String {
    let ours = programs.iter().find(|program| program.name == "caget").map(|program| &program.path);
    match (process::which("caget"), ours) {
        (None, Some(caget)) => {
            let caget = caget.strip_prefix(&project.root).unwrap_or(caget);
            format!("{} PV", process::quote(caget.as_os_str()))
        }
        _ => "caget PV".to_owned(),
    }
}

/// The TCP port that a Channel Access server asks for, as EPICS reads it from the environment.
fn ca_port() -> u16 {
    let set = |name| std::env::var(name).ok()?.trim().parse().ok();
    set("EPICS_CAS_SERVER_PORT").or_else(|| set("EPICS_CA_SERVER_PORT")).unwrap_or(CA_PORT)
}

/// One fact about the run, before the IOC speaks. What can be pasted stays in one piece.
fn line(what: &str, text: &str, paste: &str) {
    let (indent, width) = (9, ui::width());
    let label = ui::paint(ui::STRONG, &format!("{what:<indent$}"));
    let fits = indent + text.len() + 1 + paste.len() <= width;
    let between = if fits || paste.is_empty() { " ".to_owned() } else { format!("\n{}", " ".repeat(indent)) };
    ui::say(format!("{label}{}{between}{paste}", ui::wrap(text, indent, width)).trim_end());
}

fn say_how_to_end() {
    if std::io::stdin().is_terminal() {
        line("end", "exit, or Ctrl-D", "");
    }
    ui::say("");
}

/// The terminal's settings: an IOC that is killed at its prompt leaves them as its line editor wants them.
struct Terminal(Option<String>);

impl Terminal {
    fn save() -> Self {
        Self(std::io::stdin().is_terminal().then(|| stty("-g")).flatten())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            stty(settings);
        }
    }
}

fn stty(argument: &str) -> Option<String> {
    let output = Cmd::new("stty").arg(argument).to_std().stdin(Stdio::inherit()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
