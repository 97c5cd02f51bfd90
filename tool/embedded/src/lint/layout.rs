//! Where files are once `make` has installed them, told from the sources.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::check::foreign_definitions;
use crate::msi;
use crate::tree::{sorted, source_folders};

/// An EPICS top.
#[derive(Debug)]
pub struct Layout {
    pub top: PathBuf,
    app: String,
    /// Folders that databases and protocols are installed from.
    pub sources: Vec<PathBuf>,
    /// Databases that `make` expands, and the substitutions they come from.
    generated: Vec<(String, PathBuf)>,
    /// The application has definitions of modules that are not known here.
    pub open_types: bool,
}

impl Layout {
    pub fn read(top: &Path, app: &str) -> std::io::Result<Self> {
        let sources = source_folders(top)?;
        let generated = sources.iter().flat_map(|folder| msi::generated(folder)).collect();
        let makefiles = [top.join(format!("{app}App/src")), top.join(format!("{app}App/Src"))];
        let open_types = makefiles
            .iter()
            .any(|folder| fs::read_to_string(folder.join("Makefile")).is_ok_and(|text| foreign_definitions(&text)));
        Ok(Self { top: top.to_owned(), app: app.to_owned(), sources, generated, open_types })
    }

    /// The source of an installed file: for a database of substitutions, these.
    pub fn find(&self, path: &Path) -> Option<PathBuf> {
        let path = plain(path);
        if let Ok(own) = path.strip_prefix(&self.top) {
            let name = own.file_name()?;
            if own.parent() == Some(Path::new("db")) {
                let source = self.sources.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
                let generated = self.generated.iter().find(|(own, _)| name == own.as_str());
                if let Some(found) = source.or_else(|| generated.map(|(_, path)| path.clone())) {
                    return Some(found);
                }
            }
            if own.parent() == Some(Path::new("dbd"))
                && (self.open_types || name == format!("{}.dbd", self.app).as_str())
            {
                return Some(path);
            }
        }
        // Folders of objects are made by `make` too.
        let made = path.parent()?.file_name().is_some_and(|name| name.to_string_lossy().starts_with("O."));
        (path.is_file() || made).then_some(path)
    }

    pub fn is_folder(&self, path: &Path) -> bool {
        let path = plain(path);
        path.is_dir() || ["db", "dbd"].iter().any(|name| path == self.top.join(name))
    }

    /// Names of files that can be loaded.
    pub fn names(&self) -> Vec<String> {
        let files = self.sources.iter().flat_map(|folder| sorted(folder).unwrap_or_default());
        let sources =
            files.filter(|path| path.is_file()).filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        let made = self.generated.iter().map(|(name, _)| name.clone());
        sources.chain(made).chain([format!("{}.dbd", self.app)]).filter(|name| name != "Makefile").collect()
    }
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
