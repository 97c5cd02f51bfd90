//! Folders of runs: `target/checks/RUN/`, the newest as `target/checks/latest`.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

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
    let path = checks.join(format!("{}-{}", timestamp(SystemTime::now()), std::process::id()));
    fs::create_dir_all(&path).with_context(|| {
        fail::host(format!("cannot create {}", path.display()))
            .hint("in a read-only checkout, build elsewhere: export CARGO_TARGET_DIR=\"$HOME/target\"")
    })?;
    let lock = File::open(&path)?;
    lock.lock_shared().with_context(|| format!("cannot lock {}", path.display()))?;
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
            let _ = fs::remove_dir_all(run);
        }
    }
    Ok(())
}

/// `20261123T213305Z`: sorts by time.
pub fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Days to civil date, counted from 0000-03-01 in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day_of_month:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps_are_dates() {
        let at = |seconds| timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(1_795_469_585), "20261123T213305Z");
        assert_eq!(at(4_107_542_400), "21000301T000000Z");
    }

    #[test]
    fn old_runs_are_pruned_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..KEPT_RUNS + 3 {
            fs::create_dir(dir.path().join(format!("2026{i:04}"))).unwrap();
        }
        symlink("20260000", dir.path().join("latest")).unwrap();
        let under_way = File::open(dir.path().join("20260001")).unwrap();
        under_way.lock_shared().unwrap();
        prune(dir.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left.len(), KEPT_RUNS + 2);
        assert_eq!(left[..2], ["20260001", "20260003"]);
    }
}
