//! Makes a planned renaming, all or nothing: what was done is taken back when a later step fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::{Change, Plan};
use tool_base::fail;
use tool_base::files::Aside;
use tool_base::process::Cmd;

/// What takes a step back.
enum Back<'a> {
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
    let aside = |change: &Change| {
        let path = root.join(&change.from);
        Aside::write(&path, &change.after).with_context(|| format!("cannot write beside {}", path.display()))
    };
    let asides = changed().map(aside).collect::<Result<Vec<_>>>()?;
    for (change, aside) in changed().zip(asides) {
        let path = root.join(&change.from);
        aside.put().with_context(|| format!("cannot replace {}", path.display()))?;
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
