//! Files of the project that are saved while somebody waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use unix::errno::Errno;
use unix::poll::{PollFd, PollFlags, PollTimeout, poll};
use unix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use walkdir::{DirEntry, WalkDir};

use tool_base::{fail, git};

/// An editor has written all that belongs to one save when it has been silent for so long.
const SILENCE: u8 = 100;
/// Somebody who is never silent is not waited for any longer.
const BURST: Duration = Duration::from_secs(1);

/// The project's files, watched.
pub struct Saved {
    root: PathBuf,
    target: PathBuf,
    inotify: Inotify,
    known: BTreeMap<String, Stamp>,
}

/// Inode, time and size: what a save changes, also one of the same text.
type Stamp = (u64, i64, i64, u64);

impl Saved {
    /// Watches a project from now on; not what is generated in `target`.
    ///
    /// # Errors
    /// Where the host's limits allow it no more.
    pub fn watch(root: &Path, target: &Path) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(limited)?;
        let mut saved = Self { root: root.into(), target: target.into(), inotify, known: BTreeMap::new() };
        saved.known = saved.look()?;
        Ok(saved)
    }

    /// Waits until files were saved, came or went, and their writer is silent. Paths from the project's root; not those that
    /// Git ignores, and not the files that editors keep beside yours.
    ///
    /// # Errors
    /// As [`Saved::watch`].
    pub fn wait(&mut self) -> Result<Vec<String>> {
        loop {
            self.happened(PollTimeout::NONE)?;
            let begun = Instant::now();
            while begun.elapsed() < BURST && self.happened(SILENCE.into())? {}
            // Events only wake: what was renamed or is gone again by now is best told by a look.
            let now = self.look()?;
            let before = std::mem::replace(&mut self.known, now);
            let differs = |path: &&String| before.get(*path) != self.known.get(*path);
            let mut paths: Vec<&String> = before.keys().chain(self.known.keys()).filter(differs).collect();
            paths.sort_unstable();
            paths.dedup();
            let ignored = BTreeSet::from_iter(git::ignored(&self.root, &paths));
            let saved: Vec<String> = paths.into_iter().filter(|path| !ignored.contains(*path)).cloned().collect();
            if !saved.is_empty() {
                return Ok(saved);
            }
        }
    }

    /// Whether something happened within the time.
    fn happened(&self, limit: PollTimeout) -> Result<bool> {
        let mut events = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        let happened = match poll(&mut events, limit) {
            Err(Errno::EINTR) => false,
            answer => answer? > 0,
        };
        while happened && self.inotify.read_events().is_ok() {}
        Ok(happened)
    }

    /// All files as they are, each folder being watched before it is read.
    fn look(&self) -> Result<BTreeMap<String, Stamp>> {
        let ours = |entry: &DirEntry| entry.depth() == 0 || !(is_beside(entry) || entry.path() == self.target);
        let mut files = BTreeMap::new();
        for entry in WalkDir::new(&self.root).into_iter().filter_entry(ours).flatten() {
            if entry.file_type().is_dir() {
                let writes = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE;
                // A folder that is gone again, or not to be read, has nothing to tell.
                if let Err(Errno::ENOSPC) = self.inotify.add_watch(entry.path(), writes | AddWatchFlags::IN_MOVE) {
                    return Err(limited(Errno::ENOSPC));
                }
            } else if let (Ok(path), Ok(data)) = (entry.path().strip_prefix(&self.root), entry.metadata()) {
                let stamp = (data.ino(), data.mtime(), data.mtime_nsec(), data.size());
                files.insert(path.to_string_lossy().into_owned(), stamp);
            }
        }
        Ok(files)
    }
}

/// Whether a name is one of those that Git, editors and tools have beside the user's files.
fn is_beside(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    name.starts_with(['.', '#']) || name.ends_with('~') || name == "__pycache__"
}

fn limited(error: Errno) -> anyhow::Error {
    let failure = fail::host(format!("the project's files cannot be watched: {}", error.desc()));
    failure.hint("sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024").into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn watched() -> (tempfile::TempDir, Saved) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a b");
        for folder in ["checks", "ioc", "target"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("checks/simple.py"), "1").unwrap();
        let saved = Saved::watch(&root, &root.join("target")).unwrap();
        (dir, saved)
    }

    #[test]
    fn a_save_is_told_however_it_is_written_and_nothing_else_is() {
        let (_dir, mut saved) = watched();
        let root = saved.root.clone();
        let write = |path: &str| fs::write(root.join(path), "12").unwrap();
        for noise in ["target/x", "checks/.simple.py.swp", "checks/#simple.py#", "checks/simple.py~"] {
            write(noise);
        }
        // As vim tries whether it may write, and as editors that rename save.
        write("checks/4913");
        fs::remove_file(root.join("checks/4913")).unwrap();
        write("checks/simple.py.tmp");
        fs::rename(root.join("checks/simple.py.tmp"), root.join("checks/simple.py")).unwrap();
        assert_eq!(saved.wait().unwrap(), ["checks/simple.py"]);
        // A new folder, and what was in there before it was watched.
        fs::create_dir_all(root.join("ioc/new/Db")).unwrap();
        write("ioc/new/Db/a.db");
        assert_eq!(saved.wait().unwrap(), ["ioc/new/Db/a.db"]);
        write("ioc/new/Db/b.db");
        fs::remove_file(root.join("ioc/new/Db/a.db")).unwrap();
        assert_eq!(saved.wait().unwrap(), ["ioc/new/Db/a.db", "ioc/new/Db/b.db"]);
    }

    #[test]
    fn what_git_ignores_is_no_save() {
        let (_dir, mut saved) = watched();
        let root = saved.root.clone();
        git::git(&root).args(["init", "-q"]).read().unwrap();
        for built in ["built.o", "a \"b\"\\\n.o"] {
            fs::write(root.join(built), "").unwrap();
        }
        // More than fits a command line.
        let long = "x".repeat(240);
        for number in 0..10_000 {
            fs::write(root.join(format!("ioc/{long}{number}.o")), "").unwrap();
        }
        fs::write(root.join(".gitignore"), "*.o\n").unwrap();
        fs::write(root.join("ioc/new.db"), "").unwrap();
        assert_eq!(saved.wait().unwrap(), ["ioc/new.db"]);
    }
    #[test]
    fn what_git_ignores_beside_and_in_a_submodule_is_no_save() {
        let (_dir, mut saved) = watched();
        let root = saved.root.clone();
        let motor = root.join("ioc/motor");
        fs::create_dir(&motor).unwrap();
        fs::write(motor.join(".gitignore"), "*.o\n").unwrap();
        fs::write(root.join(".gitignore"), "*.log\n").unwrap();
        let who = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
        for (folder, words) in [
            (&motor, &["init", "-q"][..]),
            (&motor, &["add", "-A"]),
            (&motor, &["commit", "-qm", "x"]),
            (&root, &["init", "-q"]),
            (&root, &["add", "-A"]),
        ] {
            git::git(folder).args(who).args(words).read().unwrap();
        }
        for file in ["ioc/motor/built.o", "ioc/build.log", "ioc/motor/motor.db"] {
            fs::write(root.join(file), "").unwrap();
        }
        assert_eq!(saved.wait().unwrap(), ["ioc/motor/motor.db"]);
    }
}
