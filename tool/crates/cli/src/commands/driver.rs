//! `cargo xtask driver`: any script on one sandbox machine, with units and programs from folders.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cli::Driver;
use tool_backends::{follow, sandbox};
use tool_base::fail::{Failure, Status};
use tool_base::process::quote;
use tool_base::{interrupt, sys, ui};
use tool_init::unit::limits;
use tool_project::Project;
use tool_sandbox::rootfs::APPLETS;
use tool_sandbox::run::Output;
use tool_sandbox::spec::{MachineSpec, Program, Spec, UnitFile};

/// Runs the command; the driver's exit status is ours.
pub fn run(args: &Driver) -> Result<Status> {
    let project = Project::load()?;
    let run_dir = tool_runner::new_run_dir(&project)?;
    let dir = run_dir.path.join("driver");
    fs::create_dir_all(&dir)?;
    let machine = MachineSpec { units: units(&args.units)?, programs: programs(&args.path)?, ..MachineSpec::only() };
    let spec = Spec {
        interactive: args.interactive,
        global_timeout: args.timeout,
        out_dir: absolute("output folder", &args.output)?,
        junit: args.junit_xml.clone(),
        ..sandbox::plain(&project, absolute("test script", &args.script)?, machine, &dir)?
    };
    // Ctrl-C belongs to the driver; in the terminal's foreground it gets it by itself.
    sys::block_interrupts()?;
    let (run, _) = follow::start(&spec, &dir, &Output::Terminal)?;
    let mut interrupter = run.interrupter()?;
    if !args.interactive {
        interrupt::each(move || interrupter.interrupt().is_ok())?;
    }
    follow::wait(run, &spec).map(Status::Other)
}

fn units(dirs: &[PathBuf]) -> Result<Vec<UnitFile>> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read the unit {}", path.display()))?;
        let unit = UnitFile { name: file_name(&path), text };
        if let Some(text) = limits::warning(&unit.name, &unit.text) {
            ui::warn(&text);
        }
        Ok(unit)
    };
    files(dirs)?.into_iter().map(read).collect()
}

fn programs(dirs: &[PathBuf]) -> Result<Vec<Program>> {
    let program = |path: PathBuf| {
        let name = file_name(&path);
        if APPLETS.contains(&name.as_str()) {
            let what = format!("{}: a machine has a program of this name itself", path.display());
            return Err(Failure::new(Status::Usage, what).hint("give it another name").into());
        }
        Ok(Program { name, path, searches: false })
    };
    files(dirs)?.into_iter().map(program).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The whole path of something that must be there.
fn absolute(what: &str, path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| {
        let mut failure = Failure::new(Status::Usage, format!("cannot use the {what} {}: {error}", path.display()));
        if what == "output folder" && error.kind() == ErrorKind::NotFound {
            failure = failure.hint(format!("mkdir -p {}", quote(path.as_os_str())));
        }
        failure.into()
    })
}

/// The files of some folders.
fn files(dirs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for dir in dirs {
        let dir = absolute("folder", dir)?;
        let entries =
            fs::read_dir(&dir).and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>());
        let entries = entries
            .map_err(|e| Failure::new(Status::Usage, format!("cannot read the folder {}: {e}", dir.display())))?;
        files.extend(entries.into_iter().filter(|path| path.is_file()));
    }
    files.sort();
    Ok(files)
}
