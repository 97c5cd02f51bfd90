//! `cargo xtask interactive`: a Python prompt on a check's machine.

use anyhow::Result;

use crate::cli::Interactive;
use tool_backends::nix::Nix;
use tool_backends::options::MachineOptions;
use tool_backends::sandbox::Sandbox;
use tool_backends::{Decision, driver};
use tool_backends::{embedded, follow, lint};
use tool_base::fail::{Failure, Status};
use tool_base::guard::Guarded;
use tool_base::{sys, ui};
use tool_project::{Check, Project};
use tool_runner::select;
use tool_sandbox::run::Output;

/// What one forgets; the driver itself says nothing of it.
const REMINDER: &str = "\
start_all()                 boots the machines: nothing starts by itself
test_script()               runs the check's script
machine.shell_interact()    gives a shell; in a machine's window log in as root, without password
loadkeys de                 in that window: another keyboard, here a German one
Ctrl-d, then y              leaves the prompt and stops the machines";

/// Runs the command.
pub fn run(args: &Interactive) -> Result<Status> {
    let project = Project::load()?;
    let all = project.checks()?;
    let name = args.name.clone().or_else(|| usual(&all));
    let machine = args.machine.wanted(&project);
    let decision = tool_backends::decide(&project, &machine)?;
    let Some(name) = name else {
        let Decision::Sandbox(why) = decision else {
            let names: Vec<&str> = all.iter().map(|check| check.name.as_str()).collect();
            let hint = format!("the checks are: {}", names.join(", "));
            return Err(Failure::new(Status::Usage, "a NixOS machine is that of a check: name one").hint(hint).into());
        };
        ui::remark("no check is named: a machine with the IOC and its simulators");
        return in_sandbox(&project, &machine, None, &why);
    };
    let names = std::slice::from_ref(&name);
    let (checks, _) = select::fit(select::by_names(&all, names)?, decision.name(), names)?;
    match decision {
        Decision::Sandbox(why) => in_sandbox(&project, &machine, Some(&checks[0]), &why),
        Decision::Nix(choice, nix, why) => {
            tool_backends::ready_for_nix(&project, &nix, &checks[..1], choice, &why)?;
            on_nixos(&project, &nix, &checks[0])
        }
    }
}

/// The check whose machine is meant where none is named: the only one, or that of the template.
fn usual(checks: &[Check]) -> Option<String> {
    let simple = checks.iter().find(|check| check.name == "simple");
    simple.or(if let [only] = checks { Some(only) } else { None }).map(|check| check.name.clone())
}

fn on_nixos(project: &Project, nix: &Nix, check: &Check) -> Result<Status> {
    ui::say(REMINDER);
    let run_dir = tool_runner::new_run_dir(project)?;
    let dir = run_dir.path.join(&check.name);
    std::fs::create_dir_all(&dir)?;
    let runtime = driver::runtime_dir(&dir)?;
    let mut cmd = nix.run(&format!("{}.driverInteractive", nix.check(check))).env("XDG_RUNTIME_DIR", &runtime);
    if let (Some(old), Some(display)) = (std::env::var_os("XDG_RUNTIME_DIR"), std::env::var_os("WAYLAND_DISPLAY")) {
        // Its socket stays where it was.
        cmd = cmd.env("WAYLAND_DISPLAY", std::path::Path::new(&old).join(display));
    }
    // Ctrl-C belongs to the prompt.
    sys::block_interrupts()?;
    let code = Guarded::on_terminal(&cmd, Some(&runtime), |command| command)?.wait()?;
    Ok(Status::Other(code))
}

/// Without a check: the machine that a check without settings has, and a script that does nothing.
fn in_sandbox(project: &Project, machine: &MachineOptions, check: Option<&Check>, why: &str) -> Result<Status> {
    let run_dir = tool_runner::new_run_dir(project)?;
    let dir = run_dir.path.join(check.map_or("machine", |check| &check.name));
    std::fs::create_dir_all(&dir)?;
    let bare = Check { name: "machine".to_owned(), script: Some(dir.join("script.py")), ..Check::default() };
    if check.is_none() {
        std::fs::write(dir.join("script.py"), "")?;
    }
    let check = check.unwrap_or(&bare);
    let sandbox = Sandbox::prepare(project, machine, std::slice::from_ref(check), None, why)?.by_hand();
    // For the Tab key; where lint cannot read the IOC, there are none, and nothing is built for it.
    let pvs = embedded::built(project).and_then(|_| lint::records(project, check).ok()).unwrap_or_default();
    let pvs: String = pvs.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(dir.join("pvs"), pvs)?;
    let mut spec = sandbox.spec(check, &dir)?;
    spec.interactive = true;
    spec.junit = None;
    // Ctrl-C belongs to the prompt.
    sys::block_interrupts()?;
    let (run, _) = follow::start(&spec, &dir, &Output::Terminal)?;
    follow::wait(run, &spec).map(Status::Other)
}
