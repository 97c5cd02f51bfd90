//! `cargo xtask rename`: makes the template the user's. Plans, shows what changes, and with `--apply` makes it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::cli::Rename;
use tool_base::fail::Status;
use tool_base::git::git;
use tool_base::{fail, git, ui};
use tool_project::Project;
use tool_project::scaffold::places::Names;
use tool_project::scaffold::plan::{Change, Files, Plan, Wish};
use tool_project::scaffold::{apply, plan};

/// Runs the command.
pub fn run(args: &Rename) -> Result<Status> {
    let project = Project::load()?;
    let own = project.config.iocs.get("ioc").filter(|_| project.config.iocs.len() == 1).ok_or_else(|| {
        fail::config("rename is for the IOC of [ioc], and ioc.toml has [iocs]")
            .hint("each of them has its names there: change them by hand")
    })?;
    let old = Names { app: own.app.clone(), ioc: own.ioc.clone() };
    let wish = Wish { app: args.app.clone(), ioc: args.ioc.clone(), prefix: args.prefix.clone() };
    let root = &project.root;
    let files = tracked(root, "rename")?;
    let plan = plan::plan(&files, &old, &wish)?;
    if plan.changes.is_empty() {
        ui::data("Nothing to do: the names are so already.");
        return Ok(Status::Done);
    }
    git::clean(root, &["."], "the renaming")?;
    unbuilt(root, &plan)?;
    print(&plan);
    if !args.apply {
        ui::data("Nothing was written yet. The same command with --apply writes it.");
        return Ok(Status::Done);
    }
    apply::apply(root, &plan)?;
    ui::data(&ui::paint(ui::GOOD, &format!("Renamed: {} files, staged in Git as one change.", plan.changes.len())));
    ui::say(
        "\ntry it       cargo xtask test\nlook at it   git diff --staged\nkeep it      git commit\n\
         undo it      git restore --staged --worktree .",
    );
    Ok(Status::Done)
}

/// All files that Git tracks, with what they hold.
pub(super) fn tracked(root: &Path, command: &str) -> Result<Files> {
    let output = git(root).args(["ls-files", "-z", "--", "."]).output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("fatal: ").to_owned();
        // Git knows the way out where the folder is somebody else's.
        let hint = why.lines().map(str::trim).find(|line| line.starts_with("git config"));
        let hint = hint.unwrap_or("git init && git add -A && git commit -m 'Start from the template'").to_owned();
        let why = why.lines().next().unwrap_or_default();
        return Err(fail::config(format!(
            "{command} works on a Git repository only, so that it can be reviewed and undone: {why}"
        ))
        .hint(hint)
        .into());
    }
    let mut files = Files::new();
    for path in git::paths(&output.stdout) {
        let full = root.join(&path);
        // What is no plain file (a link, a submodule) is moved with its folder, but not looked into.
        let text = match full.symlink_metadata() {
            Ok(meta) if meta.is_file() => std::fs::read(&full).with_context(|| format!("cannot read {path}"))?,
            _ => Vec::new(),
        };
        files.insert(path, text);
    }
    if !files.contains_key("ioc.toml") {
        return Err(fail::config(format!("Git does not track ioc.toml in {}", root.display()))
            .hint("git init && git add -A && git commit -m 'Start from the template'")
            .into());
    }
    Ok(files)
}

/// An error where `make` has left files in the folders that are renamed: it would go on with the old names.
fn unbuilt(root: &Path, plan: &Plan) -> Result<()> {
    let folders = plan.moves.iter().map(|(from, _)| from).filter(|from| root.join(from).is_dir());
    let ignored = git(root).args(["ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--"]).args(folders);
    let made = |path: &&str| path.split('/').any(|part| part.starts_with("O.") || part == "envPaths");
    if let Some(path) = ignored.read()?.split('\0').find(made) {
        return Err(fail::config(format!("{path} is left from a build, with the old names in it"))
            .hint("make -C ioc distclean")
            .into());
    }
    for (_, to) in &plan.moves {
        if root.join(to).symlink_metadata().is_ok() {
            return Err(fail::config(format!("{to} is there already"))
                .hint("choose another name, or remove it")
                .into());
        }
    }
    Ok(())
}

fn print(plan: &Plan) {
    if !plan.moves.is_empty() {
        ui::data(&ui::paint(ui::STRONG, "folders and files"));
        for (from, to) in &plan.moves {
            ui::data(&format!(
                "  {} {} {}",
                ui::paint(ui::BAD, from),
                ui::paint(ui::DIM, "→"),
                ui::paint(ui::GOOD, to)
            ));
        }
        ui::data("");
    }
    for change in plan.changes.iter().filter(|c| c.before != c.after) {
        ui::data(&ui::paint(ui::STRONG, &change.to));
        for (number, before, after) in lines(change) {
            ui::data(&format!("  {}", ui::paint(ui::BAD, &format!("{number:>3} -{before}"))));
            ui::data(&format!("  {}", ui::paint(ui::GOOD, &format!("    +{after}"))));
        }
        ui::data("");
    }
    if let Some((before, after)) = &plan.record {
        ui::data(&format!("Records are called like {after} instead of {before}."));
    }
    if !plan.left.is_empty() {
        ui::data("Left as they are, because they may mean something else; look whether they name a record:");
        for place in &plan.left {
            ui::data(&format!("  {place}"));
        }
    }
}

/// Number, old and new text of the lines that differ. A renaming adds no line and takes none away.
fn lines(change: &Change) -> Vec<(usize, String, String)> {
    let lines = |text: &[u8]| String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>();
    let pairs = lines(&change.before).into_iter().zip(lines(&change.after)).enumerate();
    pairs.filter(|(_, (before, after))| before != after).map(|(i, (before, after))| (i + 1, before, after)).collect()
}
