//! Makes a change of the project, all or nothing: an upgrade of `tool/`, a renaming. Everything new is on the disk before
//! anything old goes; then a journal says what is to be done, and from then on it will be: whoever finds the journal goes on
//! where it ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use unix::fcntl::{Flock, FlockArg};

use tool_base::process::Cmd;
use tool_base::{fail, files, git, ui};

/// Our folder in the project: on the same file system, and out of Git's sight.
const FOLDER: &str = ".xtask-change";
/// In there; whoever has it locked is at work.
const LOCK: &str = ".gitignore";
const JOURNAL: &str = "journal.json";
/// A file in the new tool/ until it is in its place.
const MARK: &str = ".not-in-place-yet";

/// What is to be done. Each step can be done twice.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Journal {
    /// What people call it: `the upgrade of tool/`.
    pub what: String,
    /// Folders and files that move, in this order.
    pub moves: Vec<(String, String)>,
    /// Files outside tool/ whose new text lies in our folder, below `outside/`.
    pub write: Vec<String>,
    /// Files outside tool/ that go.
    pub remove: Vec<String>,
    /// Paths for Git's index.
    pub stage: Vec<String>,
}

/// An empty folder of our own, ours alone as long as this value lives.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
    /// Where it is.
    pub path: PathBuf,
    _lock: Flock<File>,
}

/// Takes the folder; `None` where somebody else has it and we do not wait.
fn lock(root: &Path, how: FlockArg) -> Result<Option<Flock<File>>> {
    let folder = root.join(FOLDER);
    let cannot = || format!("cannot write to {}", folder.display());
    loop {
        fs::create_dir_all(&folder).with_context(cannot)?;
        let path = folder.join(LOCK);
        let file = OpenOptions::new().create(true).append(true).open(&path).with_context(cannot)?;
        let lock = match Flock::lock(file, how) {
            Ok(lock) => lock,
            Err((_, unix::Error::EWOULDBLOCK)) => return Ok(None),
            Err((_, error)) => return Err(error).with_context(cannot),
        };
        // Whoever had it before may have removed it.
        let ours = lock.metadata()?;
        if path.metadata().is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            fs::write(&path, "*\n").with_context(cannot)?;
            return Ok(Some(lock));
        }
    }
}

impl Scratch {
    /// Takes the folder of a project, and throws away what was prepared in there and never begun.
    ///
    /// # Errors
    /// It cannot be made, or somebody else is at work.
    pub fn new(root: &Path) -> Result<Self> {
        let lock = lock(root, FlockArg::LockExclusiveNonblock)?.ok_or_else(|| {
            fail::host("another `cargo xtask upgrade`, `rename` or `adopt` is at work in this project")
                .hint("wait for its end; whose is it? fuser -v .xtask-change/.gitignore")
        })?;
        let path = root.join(FOLDER);
        if path.join(JOURNAL).exists() {
            let failure = fail::host("another change of this project was interrupted just now");
            return Err(failure.hint("the next command finishes it: cargo xtask list").into());
        }
        for entry in fs::read_dir(&path)?.flatten().filter(|entry| entry.file_name() != LOCK) {
            let gone = if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            gone.with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
        Ok(Self { root: root.to_owned(), path, _lock: lock })
    }

    /// Puts a new text for a file outside tool/ aside.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_aside(&self, path: &str, text: &[u8]) -> io::Result<()> {
        let aside = self.path.join("outside").join(path);
        aside.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(aside, text)
    }

    /// Lets whoever may read a file that was put aside run it, too.
    ///
    /// # Errors
    /// Its permissions cannot be changed.
    pub fn set_runs(&self, path: &str) -> io::Result<()> {
        let aside = self.path.join("outside").join(path);
        let mode = aside.metadata()?.permissions().mode();
        fs::set_permissions(aside, fs::Permissions::from_mode(mode | ((mode & 0o444) >> 2)))
    }

    /// Makes the change; `tool` is the new folder tool/, if there is one, on the same file system.
    ///
    /// # Errors
    /// See [`Stopped`].
    pub fn apply(&self, tool: Option<&Path>, journal: &Journal) -> Result<(), Stopped> {
        self.begin(tool, journal).map_err(Stopped::Before)?;
        go_on(&self.root, journal).map_err(Stopped::Midway)
    }

    fn begin(&self, tool: Option<&Path>, journal: &Journal) -> Result<()> {
        within_reach(&self.root, journal)?;
        if let Some(new) = tool {
            fs::write(new.join(MARK), "")?;
            fs::rename(new, self.path.join("tool"))?;
        }
        pause("prepared");
        // All of it is to be on the disk before the journal is.
        let _ = Cmd::new("sync").arg("-f").arg(&self.path).read();
        files::replace(&self.path.join(JOURNAL), &serde_json::to_string(journal)?)?;
        pause("journal");
        Ok(())
    }

    /// Forgets a change that has begun: whoever calls it has taken all of it back.
    ///
    /// # Errors
    /// The journal cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        fs::remove_file(self.path.join(JOURNAL))
    }
}

/// An error where a file would be written through a link, into a repository of somebody else's, or over what Git could not give back.
fn within_reach(root: &Path, journal: &Journal) -> Result<()> {
    for path in journal.write.iter().chain(&journal.remove) {
        for folder in Path::new(path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            let there = root.join(folder);
            let what = match there.symlink_metadata() {
                Ok(data) if data.is_symlink() => "is a link",
                Ok(data) if !data.is_dir() => "is no folder",
                Ok(_) if there.join(".git").exists() => "is a repository of its own",
                _ => continue,
            };
            let folder = folder.display();
            return Err(fail::config(format!(
                "{folder} {what}: {path} cannot be changed there so that Git can undo it"
            ))
            .hint(format!("let it be a folder whose files this repository has: mv {folder} {folder}.old"))
            .into());
        }
    }
    let tracked = git::git(root).args(["--literal-pathspecs", "ls-files", "-z", "--"]).args(&journal.write).read()?;
    let unknown = |path: &&String| {
        root.join(path).symlink_metadata().is_ok() && !tracked.split('\0').any(|own| own == path.as_str())
    };
    match journal.write.iter().find(unknown) {
        Some(path) => Err(fail::config(format!("{path} is there, and Git does not have it: it would be lost"))
            .hint(format!("mv {path} {path}.old"))
            .into()),
        None => Ok(()),
    }
}

impl Drop for Scratch {
    /// Removes the folder, unless a change has begun: that one is to be finished.
    fn drop(&mut self) {
        clean(&self.root);
    }
}

fn clean(root: &Path) {
    let folder = root.join(FOLDER);
    if !folder.join(JOURNAL).exists() {
        let _ = fs::remove_dir_all(folder);
    }
}

/// Why a change was not made.
#[derive(Debug)]
pub enum Stopped {
    /// Nothing has changed.
    Before(anyhow::Error),
    /// It has begun: the next call of [`finish`] goes on, unless whoever made it takes it back.
    Midway(anyhow::Error),
}

/// Finishes a change that was interrupted; says so. Nothing, where there is none.
///
/// # Errors
/// It cannot be finished; the next call tries again.
pub fn finish(root: &Path) -> Result<()> {
    let file = root.join(FOLDER).join(JOURNAL);
    if !file.exists() {
        return Ok(());
    }
    // Two of us at once would each take the other's work for done.
    let _lock = lock(root, FlockArg::LockExclusive)?;
    let Ok(text) = fs::read(&file) else {
        clean(root);
        return Ok(());
    };
    let journal: Journal = serde_json::from_slice(&text).with_context(|| format!("{}", file.display()))?;
    go_on(root, &journal).map_err(|error| unfinished(&journal.what, &error))?;
    ui::warn(&format!(
        "{} was interrupted: it is finished now, and staged (undo it: git restore --staged --worktree .)",
        journal.what
    ));
    clean(root);
    Ok(())
}

/// What to say of a change that has begun and cannot go on.
pub fn unfinished(what: &str, error: &anyhow::Error) -> anyhow::Error {
    fail::host(format!("{what} has begun and is not finished: {error:#}"))
        .hint(format!(
            "mend that; the next command goes on: cargo xtask list\n\
             or go back: rm -rf {FOLDER} && git restore --staged --worktree . && git clean -fd"
        ))
        .into()
}

fn go_on(root: &Path, journal: &Journal) -> Result<()> {
    let folder = root.join(FOLDER);
    if folder.join("tool").join(MARK).exists() {
        exchange(&folder.join("tool"), &root.join("tool"))?;
        pause("tool");
    }
    for (from, to) in &journal.moves {
        let (from_path, to_path) = (root.join(from), root.join(to));
        if from_path.symlink_metadata().is_ok() {
            fs::rename(&from_path, &to_path).with_context(|| format!("cannot rename {from} to {to}"))?;
            pause("moves");
        }
    }
    for path in &journal.write {
        let aside = folder.join("outside").join(path);
        if aside.exists() {
            let target = root.join(path);
            target.parent().map_or(Ok(()), fs::create_dir_all)?;
            if let Ok(old) = fs::metadata(&target) {
                let new = aside.metadata()?;
                if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
                    lchown(&aside, Some(old.uid()), Some(old.gid()))?;
                }
                let mode = old.permissions().mode() | (new.permissions().mode() & 0o111);
                fs::set_permissions(&aside, fs::Permissions::from_mode(mode))?;
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
        // As Git does: a folder without files is none.
        let folders = Path::new(path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        folders.map_while(|folder| fs::remove_dir(root.join(folder)).ok()).count();
    }
    let _ = fs::remove_file(root.join("tool").join(MARK));
    pause("files");
    // One step for Git: its index is the old one or the new one.
    let git = || git::git(root).args(["-c", "core.safecrlf=false", "--literal-pathspecs"]);
    let tracked = |path: &&String| {
        let list = git().args(["ls-files", "--", path]).read();
        root.join(path).symlink_metadata().is_ok() || list.is_ok_and(|list| !list.is_empty())
    };
    let add = git().args(["add", "--all", "--force", "--"]).args(journal.stage.iter().filter(tracked));
    add.read().with_context(|| format!("git could not stage {}", journal.what))?;
    pause("staged");
    // The journal first: without it the rest is litter.
    fs::remove_file(folder.join(JOURNAL))?;
    Ok(())
}

/// Two folders change places, at once where the file system can.
fn exchange(one: &Path, other: &Path) -> Result<()> {
    match files::exchange(one, other) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error().is_some_and(|code| files::CANNOT_EXCHANGE.contains(&code)) => {
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
    if std::env::var("XTASK_DIES_AT").is_ok_and(|at| at == step) {
        let _ = unix::sys::signal::kill(unix::unistd::Pid::this(), unix::sys::signal::Signal::SIGKILL);
    }
}
