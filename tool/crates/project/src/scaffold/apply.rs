//! Makes a planned renaming, all or nothing: killed midway, the next command goes on; what was done is taken back when a later
//! step fails.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use super::plan::Plan;
use crate::change::{self, Journal, Scratch, Stopped};
use tool_base::files::Aside;

/// Renames the files below `root`, and puts the change into Git's index.
///
/// # Errors
/// A step failed: then everything is as before, or the error says how to get there.
pub fn apply(root: &Path, plan: &Plan) -> Result<()> {
    let scratch = Scratch::new(root)?;
    let mut stage = BTreeSet::new();
    let mut journal = Journal { what: "the renaming".to_owned(), moves: plan.moves.clone(), ..Journal::default() };
    for change in &plan.changes {
        if change.before != change.after {
            scratch
                .set_aside(&change.to, &change.after)
                .with_context(|| format!("cannot write the new {}", change.to))?;
            journal.write.push(change.to.clone());
        }
        stage.extend([change.from.clone(), change.to.clone()]);
    }
    journal.stage = stage.into_iter().collect();
    match scratch.apply(None, &journal) {
        Ok(()) => Ok(()),
        Err(Stopped::Before(error)) => Err(error.context("nothing was renamed")),
        Err(Stopped::Midway(error)) => match back(root, plan).and_then(|()| scratch.forget()) {
            Ok(()) => Err(error.context("nothing was renamed")),
            Err(_) => Err(change::unfinished(&journal.what, &error)),
        },
    }
}

/// Takes back whatever was done.
fn back(root: &Path, plan: &Plan) -> io::Result<()> {
    for (from, to) in plan.moves.iter().rev() {
        if root.join(to).symlink_metadata().is_ok() {
            fs::rename(root.join(to), root.join(from))?;
        }
    }
    for change in plan.changes.iter().filter(|change| change.before != change.after) {
        let path = root.join(&change.from);
        if fs::read(&path)? != change.before {
            Aside::write(&path, &change.before)?.put()?;
        }
    }
    Ok(())
}
