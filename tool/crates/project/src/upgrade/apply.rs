//! Makes an upgrade, all or nothing. Everything new is on the disk before anything old goes; then a journal says what is to
//! be done, and from then on it will be: whoever finds the journal goes on where it ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use unix::fcntl::{Flock, FlockArg};

use tool_base::process::Cmd;
use tool_base::{fail, files, ui};

/// Our folder in the project: on the same file system, and out of Git's sight.
const FOLDER: &str = ".xtask-upgrade";
const JOURNAL: &str = "journal.json";
/// A file in the new tool/ until it is in its place.
const MARK: &str = ".not-in-place-yet";

/// What is to be done. Each step can be done twice.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Journal {
    /// Files outside tool/ whose new text lies in our folder, below `outside/`.
    pub write: Vec<String>,
    /// Files outside tool/ that go.
    pub remove: Vec<String>,
}

/// An empty folder of our own.
///
/// # Errors
/// It cannot be made, or an upgrade in there has not been finished.
pub fn scratch(root: &Path) -> Result<PathBuf> {
    let folder = root.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(folder.join(".gitignore"), "*\n").with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(folder)
}

/// Removes our folder, unless a change has begun: that one is to be finished.
pub fn clean(root: &Path) {
    let folder = root.join(FOLDER);
    if !folder.join(JOURNAL).exists() {
        let _ = fs::remove_dir_all(folder);
    }
}

/// Puts a new text for a file outside tool/ aside.
pub fn set_aside(scratch: &Path, path: &str, text: &[u8]) -> io::Result<()> {
    let aside = scratch.join("outside").join(path);
    aside.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(aside, text)
}

/// Makes the change: `new` is the new folder tool/, on the same file system.
///
/// # Errors
/// Before the journal is written: nothing has changed. After: it is finished by the next call of [`finish`].
pub fn apply(root: &Path, new: &Path, journal: &Journal) -> Result<()> {
    let folder = root.join(FOLDER);
    fs::write(new.join(MARK), "")?;
    fs::rename(new, folder.join("tool"))?;
    pause("prepared");
    // All of it is to be on the disk before the journal is.
    let _ = Cmd::new("sync").arg("-f").arg(&folder).read();
    files::replace(&folder.join(JOURNAL), &serde_json::to_string(journal)?)?;
    pause("journal");
    go_on(root).map_err(|error| unfinished(&error))
}

/// Finishes an upgrade that was interrupted; says so. Nothing, where there is none.
///
/// # Errors
/// It cannot be finished; the next call tries again.
pub fn finish(root: &Path) -> Result<()> {
    if !root.join(FOLDER).join(JOURNAL).exists() {
        return Ok(());
    }
    go_on(root).map_err(|error| unfinished(&error))?;
    ui::warn(
        "an upgrade of tool/ was interrupted: it is finished now, and staged (undo it: git restore --staged --worktree .)",
    );
    Ok(())
}

fn unfinished(error: &anyhow::Error) -> anyhow::Error {
    fail::host(format!("the upgrade of tool/ has begun and is not finished: {error:#}"))
        .hint(format!(
            "mend that; the next command goes on: cargo xtask list\n\
             or go back: rm -rf {FOLDER} && git restore --staged --worktree . && git clean -fd tool"
        ))
        .into()
}

fn go_on(root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    // Two of us at once would each take the other's work for done.
    let lock = fs::File::open(folder.join(".gitignore"))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| io::Error::from(error))?;
    if !folder.join(JOURNAL).exists() {
        return Ok(());
    }
    let journal: Journal = serde_json::from_slice(&fs::read(folder.join(JOURNAL))?)?;
    if folder.join("tool").join(MARK).exists() {
        exchange(&folder.join("tool"), &root.join("tool"))?;
        pause("tool");
    }
    for path in &journal.write {
        let aside = folder.join("outside").join(path);
        if aside.exists() {
            let target = root.join(path);
            target.parent().map_or(Ok(()), fs::create_dir_all)?;
            if let Ok(old) = fs::metadata(&target) {
                fs::set_permissions(&aside, old.permissions())?;
            }
            fs::rename(&aside, &target).with_context(|| format!("cannot replace {path}"))?;
            pause("outside");
        }
    }
    for path in &journal.remove {
        match fs::remove_file(root.join(path)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {path}"));
            }
            _ => {}
        }
    }
    let _ = fs::remove_file(root.join("tool").join(MARK));
    pause("files");
    // One step for Git: its index is the old one or the new one.
    let add =
        Cmd::new("git").arg("-C").arg(root).args(["-c", "core.safecrlf=false", "--literal-pathspecs", "add", "--all"]);
    let add = add.args(["--force", "--", "tool"]);
    let there = journal.write.iter().chain(&journal.remove);
    let tracked = |path: &&String| {
        let list = Cmd::new("git").arg("-C").arg(root).args(["--literal-pathspecs", "ls-files", "--", path]).read();
        root.join(path).exists() || list.is_ok_and(|list| !list.is_empty())
    };
    add.args(there.filter(tracked)).read().context("git could not stage the upgrade")?;
    pause("staged");
    // The journal first: without it the rest is litter.
    fs::remove_file(folder.join(JOURNAL))?;
    clean(root);
    Ok(())
}

/// Two folders change places, at once where the file system can.
fn exchange(one: &Path, other: &Path) -> Result<()> {
    use unix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    match renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => Ok(()),
        Err(unix::Error::EINVAL | unix::Error::ENOSYS) => {
            // NFS and the like: the old one is aside for a moment, and the mark still says what is to be done.
            let aside = one.with_extension("old");
            if !aside.exists() {
                fs::rename(other, &aside)?;
            }
            fs::rename(one, other)?;
            Ok(fs::rename(aside, one)?)
        }
        Err(error) => Err(error).with_context(|| format!("cannot put {} in its place", other.display())),
    }
}

/// Tests end the program here by SIGKILL, to see what it leaves.
fn pause(step: &str) {
    if std::env::var("XTASK_UPGRADE_DIES_AT").is_ok_and(|at| at == step) {
        let _ = unix::sys::signal::kill(unix::unistd::Pid::this(), unix::sys::signal::Signal::SIGKILL);
    }
}
