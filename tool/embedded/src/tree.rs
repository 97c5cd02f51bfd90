//! An installed view of an EPICS top: what `make` would have put beside the sources.
//!
//! A start-up script loads `db/X.db` and `dbd/APP.dbd` and reads `envPaths`, which only `make`
//! creates. So the IOC runs in a temporary folder that shows the top with these in place, the
//! rest by symbolic links. The sources win over what an earlier `make` installed: they are newer.

use std::ffi::OsStr;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::slice;

use crate::msi;

/// Folders that `make` fills.
const INSTALLED: [&str; 2] = ["db", "dbd"];

/// Variables that `envPaths` sets in every IOC of this kind, though no module is installed: a
/// script may name them in a search path. ASYN is set already, to where asyn-rs has its database.
const MODULES: [&str; 3] = ["CALC", "STREAM", "EPICS_BASE"];

/// The installed view of a top. Removed by [`View::remove`].
#[derive(Debug)]
pub struct View {
    root: PathBuf,
    /// The boot folder within the view, which the start-up script runs in.
    pub boot: PathBuf,
}

impl View {
    /// Shows the top that `boot` belongs to, as an IOC of application `app`, below a new folder
    /// of the system's folder for temporary files. `None` where `boot` is in no EPICS top.
    pub fn create(boot: &Path, app: &str) -> Result<Option<Self>> {
        let Some(top) = top_of(boot) else {
            return Ok(None);
        };
        let within = boot.strip_prefix(&top).map_err(Error::other)?;
        let root = new_folder()?;
        let view = Self { boot: root.join(within), root };
        match view.fill(&top, within, app) {
            Ok(()) => Ok(Some(view)),
            Err(error) => {
                view.remove();
                Err(error)
            }
        }
    }

    /// Removes the folder; one that cannot be removed is left to whoever cleans temporary files.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(&self.root);
    }

    fn fill(&self, top: &Path, within: &Path, app: &str) -> Result<()> {
        let mut shown = top.to_owned();
        let mut view = self.root.clone();
        let mut skipped: Vec<&OsStr> = INSTALLED.iter().map(OsStr::new).collect();
        for step in within {
            skipped.push(step);
            link_all(&shown, &view, &skipped)?;
            skipped.clear();
            shown.push(step);
            view.push(step);
            fs::create_dir(&view)?;
        }
        link_all(&shown, &view, &[OsStr::new("envPaths")])?;
        fs::write(view.join("envPaths"), env_paths(&shown, top, &self.root)?)?;

        for folder in INSTALLED {
            fs::create_dir(self.root.join(folder))?;
        }
        let sources = source_folders(top)?;
        for source in &sources {
            link_all(source, &self.root.join("db"), &[OsStr::new("Makefile")])?;
            for (name, substitutions) in msi::generated(source) {
                let folders = [slice::from_ref(source), &sources, &[top.join("db")]].concat();
                fs::write(self.root.join("db").join(name), msi::expand(&substitutions, &folders)?)?;
            }
        }
        for folder in INSTALLED {
            if top.join(folder).is_dir() {
                link_all(&top.join(folder), &self.root.join(folder), &[])?;
            }
        }
        let dbd = self.root.join("dbd").join(format!("{app}.dbd"));
        if !dbd.exists() {
            fs::write(dbd, "# record types and device support are built into the soft IOC\n")?;
        }
        Ok(())
    }
}

/// The EPICS top around a folder: the nearest one that holds a `configure`.
pub fn top_of(boot: &Path) -> Option<PathBuf> {
    let is_top = |folder: &&Path| folder.join("configure").is_dir();
    boot.ancestors().skip(1).find(is_top).map(Path::to_owned)
}

/// The folders databases and protocols are installed from: `*App/*Db` and `*App/*db`.
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

/// Links every entry of `from` into `to`, but those named in `but` and those already there.
fn link_all(from: &Path, to: &Path, but: &[&OsStr]) -> Result<()> {
    for entry in sorted(from)? {
        let name = entry.file_name().unwrap_or_default();
        let link = to.join(name);
        if !but.contains(&name) && link.symlink_metadata().is_err() {
            symlink(&entry, &link)?;
        }
    }
    Ok(())
}

/// What `make` writes to `envPaths`: the name of the IOC, its top, and the paths of the modules.
/// One that `make` wrote keeps its modules.
fn env_paths(boot: &Path, top: &Path, root: &Path) -> Result<String> {
    let set = |name: &str, value: &str| format!("epicsEnvSet(\"{name}\",\"{value}\")\n");
    let ioc = boot.file_name().unwrap_or_default().to_string_lossy();
    let mut lines = set("IOC", &ioc) + &set("TOP", &root.to_string_lossy());
    match fs::read_to_string(boot.join("envPaths")) {
        Ok(made) => {
            let own = |line: &&str| line.contains("(\"IOC\"") || line.contains("(\"TOP\"");
            lines.extend(made.lines().filter(|line| !own(line)).flat_map(|line| [line, "\n"]));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            for module in MODULES {
                let path = top.join("no-such-module").join(module);
                lines += &set(module, &path.to_string_lossy());
            }
        }
        Err(error) => return Err(error),
    }
    Ok(lines)
}

/// A new folder that only this user may enter.
fn new_folder() -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    for attempt in 0_u32.. {
        let name = format!("soft-ioc-{}-{attempt}", std::process::id());
        let path = std::env::temp_dir().join(name);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return path.canonicalize(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        }
    }
    Err(Error::other("no name is left for a temporary folder"))
}
