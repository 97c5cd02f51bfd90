//! An installed view of an EPICS top: what `make` would have put beside the sources.
//!
//! A start-up script loads `db/X.db` and `dbd/APP.dbd` and reads `envPaths`, which only `make`
//! creates. So the IOC runs in a temporary folder that shows the top with these in place, the
//! rest by symbolic links. What an earlier `make` installed and this one would not is not shown.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::build::{Build, Product};
use crate::top::{sorted, top_of};

/// How the names of our folders for temporary files begin.
const NAME: &str = "soft-ioc-";

/// Where `make` installs databases and definitions.
const INSTALLED: [&str; 2] = ["db", "dbd"];

/// Variables that `envPaths` sets in every IOC of this kind, though no module is installed: a
/// script may name them in a search path. ASYN is set already, to where asyn-rs has its database.
const MODULES: [&str; 4] = ["AUTOSAVE", "CALC", "STREAM", "EPICS_BASE"];

/// The installed view of a top. Removed by [`View::remove`].
#[derive(Debug)]
pub struct View {
    root: PathBuf,
    _lock: File,
    /// The boot folder within the view, which the start-up script runs in.
    pub boot: PathBuf,
}

impl View {
    /// Shows the top that `boot` belongs to, as an IOC of application `app`, below a new folder
    /// of the system's folder for temporary files. `None` where `boot` is in no EPICS top. The last line of scripts that no
    /// line feed ends is not shown: our shell would run it, and C's drops it.
    pub fn create(boot: &Path, app: &str, unended: &[PathBuf]) -> Result<Option<Self>> {
        let Some(top) = top_of(boot) else {
            return Ok(None);
        };
        let within = boot.strip_prefix(&top).map_err(Error::other)?;
        let (root, lock) = new_folder()?;
        let view = Self { boot: root.join(within), root, _lock: lock };
        match view.fill(&top, within, app, unended) {
            Ok(()) => Ok(Some(view)),
            Err(error) => {
                view.remove();
                Err(error)
            }
        }
    }

    /// Removes the folder; one that cannot be removed is left to whoever cleans temporary files.
    pub fn remove(&self) {
        remove(&self.root);
    }

    fn fill(&self, top: &Path, within: &Path, app: &str, unended: &[PathBuf]) -> Result<()> {
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
        fs::write(view.join("envPaths"), env_paths(&shown, &self.root)?)?;

        let build = Build::read(top);
        self.install(top, &build)?;
        if top.join("dbd").is_dir() {
            link_all(&top.join("dbd"), &self.root.join("dbd"), &[])?;
        }
        let dbd = self.root.join("dbd").join(format!("{app}.dbd"));
        if !dbd.exists() {
            let own = build.definitions.get(app).and_then(|own| own.menu_scan.as_ref());
            let own = own.map(fs::read_to_string).transpose()?.unwrap_or_default();
            fs::write(dbd, format!("# record types and device support are built into the soft IOC\n{own}"))?;
        }
        for script in unended {
            let mut text = fs::read(top.join(script))?;
            text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
            let source = Product::File(top.join(script));
            let installed = build.installed.iter().filter(|(_, own)| **own == source).map(|(path, _)| path);
            for path in installed.chain([script]) {
                self.make_room(top, path)?;
                fs::remove_file(self.root.join(path))?;
                fs::write(self.root.join(path), &text)?;
            }
        }
        // In the Nix store an IOC writes nothing beside its script. (Root is not held back by this; on a machine, by the mount.)
        allow(&self.root, 0o500)
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

fn remove(folder: &Path) {
    let _ = allow(folder, 0o700);
    let _ = fs::remove_dir_all(folder);
}

/// Gives a folder, with those below it, its rights.
fn allow(folder: &Path, mode: u32) -> Result<()> {
    // Before what is in there, which else nobody may look at or change.
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
    for path in sorted(folder)? {
        if path.symlink_metadata()?.is_dir() {
            allow(&path, mode)?;
        } else if !path.is_symlink() {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o644))?;
        }
    }
    Ok(())
}

/// Links a file, in the place of what may be there.
fn show(file: &Path, link: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link)?;
    }
    symlink(file, link)
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
fn env_paths(boot: &Path, root: &Path) -> Result<String> {
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
                let path = root.join("no-such-module").join(module);
                lines += &set(module, &path.to_string_lossy());
            }
        }
        Err(error) => return Err(error),
    }
    Ok(lines)
}

/// A new folder that only this user may enter, and its lock, which goes away with this process. What others left there that
/// were killed is removed.
pub fn new_folder() -> Result<(PathBuf, File)> {
    let temporary = std::env::temp_dir();
    let name = |attempt: u32| format!("{NAME}{}-{attempt}", std::process::id());
    // Empty, it has a name of its own: by the other one it is looked for, and is locked.
    let new = (0..1000).map(|attempt| temporary.join(format!(".{}", name(attempt))));
    let mut made = new.map(|new| fs::DirBuilder::new().mode(0o700).create(&new).map(|()| new));
    let made = made.find(|made| !made.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists));
    let new = made
        .unwrap_or_else(|| Err(Error::other("no name is left")))
        .map_err(|error| Error::new(error.kind(), format!("{}: {error}", temporary.join(name(0)).display())))?;
    let lock = File::open(&new)?;
    lock.lock()?;
    let mut names = (0..1000).map(|attempt| temporary.join(name(attempt)));
    let path = names.find(|path| path.symlink_metadata().is_err() && fs::rename(&new, path).is_ok());
    let path = path.ok_or_else(|| Error::other("no name is left for a temporary folder"))?;
    sweep(&temporary, lock.metadata()?.uid());
    Ok((path.canonicalize()?, lock))
}

/// Removes folders of a user's processes that are gone. One that was killed early has a dot before its name still; one of an
/// older version has no lock.
fn sweep(temporary: &Path, user: u32) {
    for left in sorted(temporary).unwrap_or_default() {
        let name = left.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let numbers = name.strip_prefix('.').unwrap_or(name).strip_prefix(NAME).and_then(|own| own.split_once('-'));
        let is_number = |own: &str| !own.is_empty() && own.bytes().all(|byte| byte.is_ascii_digit());
        let ended =
            |(process, attempt)| is_number(process) && is_number(attempt) && !Path::new("/proc").join(process).exists();
        if numbers.is_some_and(ended)
            && left.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == user)
            && File::open(&left).is_ok_and(|left| left.try_lock().is_ok())
        {
            remove(&left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_processes_that_are_gone_are_removed() {
        let around = std::env::temp_dir().join(format!("soft-ioc-sweep-{}", std::process::id()));
        let user = fs::metadata("/proc/self").unwrap().uid();
        // More than any system has.
        let (gone, lives) = (4_194_305, std::process::id());
        let names = [
            (format!("{NAME}{gone}-0"), false),
            (format!(".{NAME}{gone}-0"), false),
            (format!("{NAME}{gone}-1"), true),
            (format!("{NAME}{lives}-0"), true),
            (format!("{NAME}{gone}"), true),
            (format!("{NAME}{gone}-x"), true),
        ];
        for (name, _) in &names {
            fs::create_dir_all(around.join(name)).unwrap();
        }
        let held = File::open(around.join(&names[2].0)).unwrap();
        held.lock().unwrap();
        sweep(&around, user);
        for (name, stays) in &names {
            assert_eq!(around.join(name).exists(), *stays, "{name}");
        }
        sweep(&around.join("none"), user);
        fs::remove_dir_all(around).unwrap();
    }
}
