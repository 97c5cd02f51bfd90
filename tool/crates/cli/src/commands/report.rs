//! `cargo xtask report`: a run as one web page, or all runs as one file.

use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::cli::Report;
use tool_base::fail::{Failure, Status};
use tool_base::files::Given;
use tool_base::process::{Cmd, which};
use tool_base::{fail, ui};
use tool_project::Project;
use tool_report::html;

/// Runs the command. The path of what was written goes to stdout.
pub fn run(args: &Report) -> Result<Status> {
    let project = Project::load()?;
    if let Some(file) = &args.archive {
        return archive(&project, file);
    }
    let dir = find(&project, &args.run)?;
    let file = match &args.output {
        Some(file) => place(file).with_context(|| format!("cannot tell where {} is", file.display()))?,
        None => dir.join("report.html"),
    };
    if !page(&project, &dir, &file)? {
        return Err(Failure::new(Status::NothingSelected, format!("no check has run in {}", dir.display()))
            .hint("cargo xtask test")
            .into());
    }
    ui::data(&file.display().to_string());
    if args.open {
        open(&file)?;
    }
    Ok(Status::Done)
}

/// Where a page will be, without `..`: its links are ways from there.
fn place(file: &Path) -> io::Result<PathBuf> {
    let file = std::path::absolute(file)?;
    let folder = file.parent().filter(|folder| folder.components().any(|part| part == Component::ParentDir));
    match (folder.and_then(|folder| folder.canonicalize().ok()), file.file_name()) {
        (Some(folder), Some(name)) => Ok(folder.join(name)),
        _ => Ok(file),
    }
}

/// Writes the page of a run, if a check has run.
fn page(project: &Project, dir: &Path, file: &Path) -> Result<bool> {
    let facts = html::read::run(dir, &project.root);
    if facts.executions.is_empty() {
        return Ok(false);
    }
    let page = html::page::page(&facts, file.parent().unwrap_or(dir));
    Given::new(file)
        .and_then(|given| given.write(&page))
        .map_err(|e| fail::host(format!("cannot write {}: {e}", file.display())).hint("-o FILE names another file"))?;
    Ok(true)
}

/// Keeps all runs in one file. What keeps artifacts for a CI service refuses names such as `LAB1:VOLT.txt`.
fn archive(project: &Project, file: &Path) -> Result<Status> {
    let checks = project.target.join("checks");
    let runs = runs(&checks);
    if runs.is_empty() {
        ui::remark(&format!("there is no run in {}, so nothing to keep", checks.display()));
        return Ok(Status::Done);
    }
    for dir in runs {
        page(project, &dir, &dir.join("report.html"))?;
    }
    let file = std::path::absolute(file).with_context(|| format!("cannot tell where {} is", file.display()))?;
    // `latest` is a link to one of the runs beside it.
    let tar = Cmd::new("tar").arg("-czf").arg(&file).args(["--exclude=checks/latest", "-C"]).arg(&project.target);
    tar.arg("checks").read()?;
    ui::data(&file.display().to_string());
    Ok(Status::Done)
}

/// Folders of runs, the oldest first.
fn runs(checks: &Path) -> Vec<PathBuf> {
    let mut runs: Vec<PathBuf> = checks.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    runs.retain(|dir| !dir.is_symlink() && dir.is_dir());
    runs.sort();
    runs
}

/// The folder of a run: as it is, or by its name below target/checks/.
fn find(project: &Project, run: &Path) -> Result<PathBuf> {
    let checks = project.target.join("checks");
    // `run` and `interactive` have folders, too, and nothing to report.
    let told = |dir: &PathBuf| !html::read::folders(dir).is_empty();
    if let Some(newest) = (run == Path::new("latest")).then(|| runs(&checks).into_iter().rev().find(told)).flatten() {
        return Ok(newest);
    }
    let named = checks.join(run);
    let dir = if named.is_dir() { named } else { run.to_owned() };
    // `latest` is a link that will point elsewhere tomorrow.
    if let (true, Ok(dir)) = (dir.is_dir(), dir.canonicalize()) {
        return Ok(dir);
    }
    let what = match run.to_str() {
        Some("latest") => format!("there is no run in {} yet", checks.display()),
        _ => format!("there is no run `{}`, neither in {} nor as a folder", run.display(), checks.display()),
    };
    Err(Failure::new(Status::NothingSelected, what).hint("cargo xtask test").into())
}

fn open(file: &Path) -> Result<()> {
    let hint = "copy the file to a machine that has one: it needs no network and no other file";
    let opener = which("xdg-open").ok_or_else(|| {
        fail::host("the page is written, but nothing here can show it: `xdg-open` was not found").hint(hint)
    })?;
    if std::env::var_os("DISPLAY").is_none() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        return Err(fail::host("the page is written, but there is no display to show it on (over ssh, perhaps)")
            .hint(hint)
            .into());
    }
    let open = Cmd::new(opener).arg(file);
    let status = open.status()?;
    if !status.success() {
        return Err(fail::host(format!("`{open}` ended with {status}")).hint(hint).into());
    }
    Ok(())
}
