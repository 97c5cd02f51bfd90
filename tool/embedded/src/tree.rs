//! An installed view of an EPICS top: what `make` would have put beside the sources.
//!
//! A start-up script loads `db/X.db` and `dbd/APP.dbd` and reads `envPaths`, which only `make`
//! creates. So the IOC runs in a temporary folder that shows the top with these in place, the
//! rest by symbolic links. What an earlier `make` installed and this one would not is not shown.

use std::ffi::OsStr;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use crate::build::{Build, Product};

/// Where `make` installs databases and definitions.
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

        self.install(top, &Build::read(top))?;
        if top.join("dbd").is_dir() {
            link_all(&top.join("dbd"), &self.root.join("dbd"), &[])?;
        }
        let dbd = self.root.join("dbd").join(format!("{app}.dbd"));
        if !dbd.exists() {
            fs::write(dbd, "# record types and device support are built into the soft IOC\n")?;
        }
        Ok(())
    }

    /// Puts in place what `make` would install.
    fn install(&self, top: &Path, build: &Build) -> Result<()> {
        if let Some(fault) = build.fault() {
            return Err(Error::new(ErrorKind::InvalidData, fault));
        }
        for folder in INSTALLED {
            fs::create_dir(self.root.join(folder))?;
            // Sources may stand where make installs to.
            if build.folders.contains(&top.join(folder)) {
                link_all(&top.join(folder), &self.root.join(folder), &[])?;
            }
        }
        for (path, product) in &build.installed {
            self.make_room(top, path)?;
            let link = self.root.join(path);
            match product {
                Product::File(source) => show(source, &link)?,
                // Only an earlier make can have run the rule.
                Product::Rule(_) if top.join(path).is_file() => show(&top.join(path), &link)?,
                Product::Rule(_) => {}
                Product::Expanded(recipe) => {
                    let made = build
                        .expand(recipe)
                        .map_err(|refused| Error::new(ErrorKind::InvalidData, format!("make stops: {refused}")))?;
                    fs::write(link, made.bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the folders that a path leads through folders of their own. Until then they are links to the top's.
    fn make_room(&self, top: &Path, path: &Path) -> Result<()> {
        let (mut shown, mut view) = (top.to_owned(), self.root.clone());
        for step in path.parent().into_iter().flatten() {
            shown.push(step);
            view.push(step);
            if view.symlink_metadata().is_ok_and(|data| data.is_dir()) {
                continue;
            }
            if view.symlink_metadata().is_ok() {
                fs::remove_file(&view)?;
            }
            fs::create_dir(&view)?;
            if shown.is_dir() {
                link_all(&shown, &view, &[])?;
            }
        }
        Ok(())
    }
}

/// Links a file, in the place of what may be there.
fn show(file: &Path, link: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link)?;
    }
    symlink(file, link)
}

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
