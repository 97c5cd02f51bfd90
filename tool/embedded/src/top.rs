//! An EPICS top: its folders, and the names that `make` gives.

use std::fs;
use std::io::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// A path without `.` and `..`.
pub fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// The EPICS top around a folder: the nearest one that holds a `configure`.
pub fn top_of(boot: &Path) -> Option<PathBuf> {
    let is_top = |folder: &&Path| folder.join("configure").is_dir();
    boot.ancestors().skip(1).find(is_top).map(Path::to_owned)
}

/// The command that registers an application's record support, as `make` names it: letters that C's names have not are `_`.
pub fn registration(app: &str) -> String {
    app.replace(|c: char| !c.is_ascii_alphanumeric(), "_") + REGISTRATION
}

/// What every such command ends with.
pub const REGISTRATION: &str = "_registerRecordDeviceDriver";

/// The folders that databases and protocols usually stand in: `*App/*Db` and `*App/*db`.
pub fn source_folders(top: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for app in sorted(top)?.iter().filter(|path| path.is_dir() && ends_with(path, &["App"])) {
        let databases = |path: &PathBuf| path.is_dir() && ends_with(path, &["Db", "db"]);
        found.extend(sorted(app)?.into_iter().filter(databases));
    }
    Ok(found)
}

/// The entries of a folder, in order of their names.
pub fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", folder.display()));
    let entries = fs::read_dir(folder).map_err(named)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn ends_with(path: &Path, ends: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ends.iter().any(|end| name.ends_with(end))
}
