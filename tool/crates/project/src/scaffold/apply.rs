//! Makes a planned renaming, all or nothing: what was done is taken back when a later step fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::Plan;
use tool_base::fail;
use tool_base::process::Cmd;

/// What takes a step back.
enum Back<'a> {
    Remove(PathBuf),
    Write(PathBuf, &'a [u8]),
    Move(PathBuf, PathBuf),
}

/// Renames the files below `root`, and puts the change into Git's index.
///
/// # Errors
/// A step failed: then everything is as before, or the error says how to get there.
pub fn apply(root: &Path, plan: &Plan) -> Result<()> {
    let mut backs = Vec::new();
    let Err(error) = steps(root, plan, &mut backs) else { return Ok(()) };
    let back = |step| match step {
        Back::Remove(path) => fs::remove_file(&path).or_else(|e| if path.exists() { Err(e) } else { Ok(()) }),
        Back::Write(path, text) => fs::write(path, text),
        Back::Move(from, to) => fs::rename(from, to),
    };
    let failed: Vec<_> = backs.into_iter().rev().filter_map(|step| back(step).err()).collect();
    match failed.first() {
        None => Err(error.context("nothing was renamed")),
        Some(why) => {
            Err(fail::host(format!("the renaming stopped half-way ({error:#}) and could not be taken back: {why}"))
                .hint("git restore --staged --worktree . && git clean -d --interactive")
                .into())
        }
    }
}

fn steps<'a>(root: &Path, plan: &'a Plan, backs: &mut Vec<Back<'a>>) -> Result<()> {
    let changed = || plan.changes.iter().filter(|c| c.before != c.after);
    // All new texts are on the disk before the first old one goes.
    for change in changed() {
        let path = root.join(&change.from);
        let new = beside(&path);
        backs.push(Back::Remove(new.clone()));
        fs::write(&new, &change.after)
            .and_then(|()| fs::set_permissions(&new, path.metadata()?.permissions()))
            .with_context(|| format!("cannot write {}", new.display()))?;
    }
    for change in changed() {
        let path = root.join(&change.from);
        fs::rename(beside(&path), &path).with_context(|| format!("cannot replace {}", path.display()))?;
        backs.push(Back::Write(path, &change.before));
    }
    for (from, to) in &plan.moves {
        let (from_path, to_path) = (root.join(from), root.join(to));
        fs::rename(&from_path, &to_path).with_context(|| format!("cannot rename {from} to {to}"))?;
        backs.push(Back::Move(to_path, from_path));
    }
    // One step for Git: its index is the old one or the new one.
    let paths = plan.changes.iter().flat_map(|c| [Some(&c.from).filter(|from| **from != c.to), Some(&c.to)]);
    let git = Cmd::new("git").arg("-C").arg(root).args(["--literal-pathspecs", "add", "--all", "--force", "--"]);
    git.args(paths.flatten()).read().context("git could not stage the renaming").map(drop)
}

/// A hidden name beside a file.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.xtask-new"))
}
