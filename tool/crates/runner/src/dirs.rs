//! Folders of runs: `target/checks/RUN/`, the newest as `target/checks/latest`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use tool_base::date;
use tool_base::fail;
use tool_project::Project;

/// Runs that are kept on disk.
const KEPT_RUNS: usize = 20;

/// The folder of a run. Other runs do not prune it as long as this value lives.
#[derive(Debug)]
pub struct RunDir {
    /// Where it is.
    pub path: PathBuf,
    _lock: File,
}

/// Makes the folder of a new run, points `latest` to it, and drops the oldest ones.
pub fn new_run_dir(project: &Project) -> Result<RunDir> {
    let checks = project.target.join("checks");
    let name = format!("{}-{}", date::stamp(SystemTime::now()), std::process::id());
    let path = fresh(&checks, &name).with_context(|| {
        fail::host(format!("cannot create {}", checks.join(&name).display()))
            .hint("in a read-only checkout, build elsewhere: export CARGO_TARGET_DIR=\"$HOME/target\"")
    })?;
    let lock = File::open(&path)?;
    // Not waited for: who may read a folder may lock it, another user too. Then nobody else does, who would remove it.
    let _ = lock.try_lock_shared();
    let link = checks.join("latest");
    let new_link = checks.join(format!(".latest-{}", std::process::id()));
    if let Some(name) = path.file_name() {
        // Renamed over the old one: there is always a `latest`.
        let _ = fs::remove_file(&new_link);
        symlink(name, &new_link)?;
        fs::rename(&new_link, &link)?;
    }
    prune(&checks)?;
    Ok(RunDir { path, _lock: lock })
}

/// A folder that was not there before: `--watch` may run twice within a second.
fn fresh(checks: &Path, name: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(checks)?;
    let mut path = checks.join(name);
    let mut number = 1;
    loop {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number += 1;
                path = checks.join(format!("{name}-{number}"));
            }
            made => return made.map(|()| path),
        }
    }
}

fn prune(checks: &Path) -> Result<()> {
    let mut runs: Vec<PathBuf> = fs::read_dir(checks)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !path.is_symlink() && path.is_dir())
        .collect();
    runs.sort();
    let superfluous = runs.len().saturating_sub(KEPT_RUNS);
    for run in &runs[..superfluous] {
        // A run that is under way holds the lock.
        if File::open(run).is_ok_and(|dir| dir.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(run).or_else(|_| {
                make_removable(run);
                fs::remove_dir_all(run)
            });
        }
    }
    Ok(())
}

/// Gives us back our rights to the folders in a run: a script may have copied one that is read-only.
fn make_removable(dir: &Path) {
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_removable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_within_a_second_share_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let checks = dir.path().join("target/checks");
        let made = [(); 3].map(|()| fresh(&checks, "20260101T000000Z-7").unwrap());
        assert_eq!(made, ["", "-2", "-3"].map(|end| checks.join(format!("20260101T000000Z-7{end}"))));
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(fresh(&dir.path().join("file"), "x").is_err());
    }

    #[test]
    fn old_runs_are_pruned_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..KEPT_RUNS + 3 {
            fs::create_dir(dir.path().join(format!("2026{i:04}"))).unwrap();
        }
        symlink("20260000", dir.path().join("latest")).unwrap();
        // As root, this is no hindrance.
        let closed = dir.path().join("20260002/a/b");
        fs::create_dir_all(&closed).unwrap();
        fs::write(closed.join("file"), "").unwrap();
        for dir in [&*closed, closed.parent().unwrap()] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o000)).unwrap();
        }
        let under_way = File::open(dir.path().join("20260001")).unwrap();
        under_way.lock_shared().unwrap();
        prune(dir.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left.len(), KEPT_RUNS + 2);
        assert_eq!(left[..2], ["20260001", "20260003"]);
    }
}
