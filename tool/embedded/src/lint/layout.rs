//! Where files are once `make` has installed them, told from the sources.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::{Build, Product, Recipe};
use crate::check::foreign_definitions;
use crate::tree::plain;

/// An EPICS top.
#[derive(Debug)]
pub struct Layout {
    pub top: PathBuf,
    pub app: String,
    /// What `make` would install; nothing where it was installed already and the sources are elsewhere.
    pub build: Build,
    /// It has sources, so that `make` fills `db/` and the like.
    made: bool,
    /// The application has definitions of modules that are not known here.
    pub open_types: bool,
}

impl Layout {
    pub fn read(top: &Path, app: &str) -> Self {
        let made = top.join("configure").is_dir();
        let build = if made { Build::read(top) } else { Build::default() };
        let makefiles = [top.join(format!("{app}App/src")), top.join(format!("{app}App/Src"))];
        let open_types = makefiles
            .iter()
            .any(|folder| fs::read_to_string(folder.join("Makefile")).is_ok_and(|text| foreign_definitions(&text)));
        Self { top: top.to_owned(), app: app.to_owned(), build, made, open_types }
    }

    /// The source of an installed file: for a database of substitutions, these.
    pub fn find(&self, path: &Path) -> Option<PathBuf> {
        let path = plain(path);
        if let Ok(own) = path.strip_prefix(&self.top) {
            match self.build.installed.get(own) {
                Some(Product::File(source)) => return Some(source.clone()),
                Some(Product::Expanded(recipe)) => return Some(recipe.source().to_owned()),
                Some(Product::Rule(_)) => return path.is_file().then_some(path),
                None => {}
            }
            let name = own.file_name()?;
            if own.parent() == Some(Path::new("dbd"))
                && (self.open_types || name == format!("{}.dbd", self.app).as_str())
            {
                return Some(path);
            }
            // An earlier make may have put it there: the next one would not.
            if self.made && own.starts_with("db") && !self.build.folders.contains(path.parent()?) {
                return None;
            }
        }
        // Folders of objects are made by `make` too.
        let made = path.parent()?.file_name().is_some_and(|name| name.to_string_lossy().starts_with("O."));
        (path.is_file() || made).then_some(path)
    }

    /// How the database at a path is made.
    pub fn recipe(&self, path: &Path) -> Option<&Recipe> {
        match self.build.installed.get(plain(path).strip_prefix(&self.top).ok()?)? {
            Product::Expanded(recipe) => Some(recipe),
            _ => None,
        }
    }

    /// Why a file that is looked for is not installed: what is said, and what to do.
    pub fn missing(&self, path: &Path) -> Option<(String, String)> {
        let path = plain(path);
        path.strip_prefix(&self.top).ok().and_then(|own| self.build.missing(own))
    }

    pub fn is_folder(&self, path: &Path) -> bool {
        let path = plain(path);
        let made = |own: &Path| self.build.installed.keys().any(|file| file.starts_with(own));
        path.is_dir()
            || ["db", "dbd"].iter().any(|name| path == self.top.join(name))
            || path.strip_prefix(&self.top).is_ok_and(made)
    }

    /// Names of files that can be loaded.
    pub fn names(&self) -> Vec<String> {
        let installed = self.build.installed.keys().filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        installed.chain([format!("{}.dbd", self.app)]).collect()
    }
}
