//! `cargo xtask new-check`: the files of one more check.

use std::path::Path;

use anyhow::{Context, Result};

use crate::cli::NewCheck;
use tool_backends::nix::git;
use tool_base::fail::{Failure, Status};
use tool_base::ui;
use tool_project::scaffold::{check, names};
use tool_project::{Ioc, Project, nearest};

/// Runs the command.
pub fn run(args: &NewCheck) -> Result<Status> {
    let project = Project::load()?;
    let name = &args.name;
    names::check(name).map_err(|why| {
        Failure::new(Status::Usage, format!("{name:?} cannot be the name of a check: {why}"))
            .hint("cargo xtask new-check ramp")
    })?;
    let folder = project.root.join("checks");
    let there = project.checks()?;
    if let Some(other) = there.iter().find(|c| c.name.eq_ignore_ascii_case(name)) {
        let file = other.script.as_ref().or(other.nix.as_ref()).and_then(|path| path.file_name()?.to_str());
        return Err(check::exists(file.unwrap_or(name)).into());
    }
    if let Some(kind) = check::KINDS.iter().find(|kind| folder.join(format!("{name}.{kind}")).exists()) {
        return Err(check::exists(&format!("{name}.{kind}")).into());
    }
    let files = match &args.from {
        Some(from) => copies(&folder, from, name).map_err(|error| {
            let known: Vec<&str> = there.iter().map(|c| c.name.as_str()).collect();
            match nearest(from, &known).filter(|_| !known.contains(&from.as_str())) {
                Some(near) => no_check(from).hint(format!("cargo xtask new-check {name} --from {near}")).into(),
                None if known.contains(&from.as_str()) => error,
                None => no_check(from).hint(format!("the checks are: {}", known.join(", "))).into(),
            }
        })?,
        None => start(&project, name),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    check::write_new(&folder, &files)?;
    tool_project::editor::keep_names(&project)?;
    let paths: Vec<String> = files.iter().map(|(file, _)| format!("checks/{file}")).collect();
    ui::data(&format!("{} {}", ui::paint(ui::GOOD, "made"), paths.join(" ")));
    track(&project.root, &paths);
    ui::say(&format!(
        "\nrun it         cargo xtask test {name}\ntry by hand    cargo xtask interactive {name}\n\
         change it      checks/{name}.py; tool/docs/checks.md says what it can use"
    ));
    Ok(Status::Done)
}

fn no_check(name: &str) -> Failure {
    Failure::new(Status::NothingSelected, format!("no check is called `{name}`"))
}

/// The files of another check under the new name.
fn copies(folder: &Path, from: &str, name: &str) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    // A path that leads elsewhere is no name of a check.
    if names::check(from).is_ok() {
        for kind in check::KINDS {
            let path = folder.join(format!("{from}.{kind}"));
            if path.is_file() {
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                files.push((format!("{name}.{kind}"), check::copied(kind, &text, from, name)));
            }
        }
    }
    if files.is_empty() { Err(no_check(from).into()) } else { Ok(files) }
}

/// The files of a check to start from.
fn start(project: &Project, name: &str) -> Vec<(String, String)> {
    let simulators: Vec<&str> = project.config.simulators.keys().map(String::as_str).collect();
    let units: Vec<&str> = project.config.iocs.keys().map(String::as_str).chain(simulators).collect();
    let script = check::script(&units, a_record(project).as_deref());
    vec![(format!("{name}.py"), script), (format!("{name}.nix"), check::nix(name))]
}

/// A record of the IOC, where its name can be told from the files.
fn a_record(project: &Project) -> Option<String> {
    // What a variable makes of its names, nobody can tell from the files.
    let plain = |ioc: &&Ioc| ioc.environment.is_empty();
    let (top, ioc) = (project.ioc_dir(), project.config.iocs.values().next().filter(plain)?);
    let script = std::fs::read(ioc.boot(&top).join(&ioc.script)).ok()?;
    let mut databases = Vec::new();
    for file in std::fs::read_dir(top.join(format!("{}App/Db", ioc.app))).ok()?.flatten() {
        let text = std::fs::read(file.path()).unwrap_or_default();
        databases.push((file.file_name().to_string_lossy().into_owned(), String::from_utf8_lossy(&text).into_owned()));
    }
    databases.sort();
    check::record(&script, &databases)
}

/// Lets Git track the files: Nix sees no others. Where that cannot be, says so.
fn track(root: &Path, paths: &[String]) {
    let inside = tool_base::git::git(root).args(["rev-parse", "--is-inside-work-tree"]);
    if !inside.output().is_ok_and(|output| output.status.success()) {
        ui::say("this is no Git repository: nothing to track them in");
        return;
    }
    match git::track(root, paths) {
        Ok(()) => ui::say("git tracks them now (git add -N): Nix sees no others"),
        Err(error) => ui::warn(&format!("git does not track them, so Nix does not see them: {error:#}")),
    }
}
