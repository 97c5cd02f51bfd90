//! Where files are once `make` has installed them, told from the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use epics_base_rs::server::db_loader::{MacroDefs, parse_db_with_breaktables};

use super::database::Types;
use super::report::{UNKNOWN, suggest};
use super::text::Text;
use crate::build::{Build, Definitions, Product, Recipe};
use crate::known;
use crate::top::plain;

/// An EPICS top.
#[derive(Debug)]
pub struct Layout {
    pub top: PathBuf,
    /// What `make` would install; nothing where it was installed already and the sources are elsewhere.
    pub build: Build,
    /// It has sources, so that `make` fills `db/` and the like.
    pub made: bool,
    /// What the definitions of the application have.
    pub types: Types,
}

impl Layout {
    pub fn read(top: &Path, app: &str) -> Self {
        Self::of(top, app, Build::read)
    }

    /// The same, were the variables of its Makefiles spelt right.
    pub fn mended(top: &Path, app: &str) -> Self {
        Self::of(top, app, Build::mended)
    }

    fn of(top: &Path, app: &str, read: impl FnOnce(&Path) -> Build) -> Self {
        let made = top.join("configure").is_dir();
        let build = if made { read(top) } else { Build::default() };
        let types = types(app, build.definitions.get(app));
        Self { top: top.to_owned(), build, made, types }
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
                && (self.types.open || name == format!("{}.dbd", self.types.app).as_str())
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

    /// What to say of a file that is not there: where it is, or what else may be meant.
    pub fn instead_of(&self, path: &Path) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let there: Vec<(String, String)> = self.names().collect();
        if let Some((_, own)) = there.iter().find(|(own, _)| *own == name) {
            return format!("make puts it into the top: ${{TOP}}/{own}");
        }
        suggest(&name, there.iter().map(|(own, _)| own.as_str()).chain(["envPaths"]), || {
            "paths start at the folder of st.cmd; databases come from *App/Db/".to_owned()
        })
    }

    /// Files that can be loaded: their names, and their paths below the top.
    pub fn names(&self) -> impl Iterator<Item = (String, String)> {
        let dbd = PathBuf::from(format!("dbd/{}.dbd", self.types.app));
        let all = self.build.installed.keys().cloned().chain([dbd]);
        all.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path.to_str()?.to_owned())))
    }
}

/// Where EPICS looks for databases: `EPICS_DB_INCLUDE_PATH`, or the current folder.
#[derive(Debug, Clone, Default)]
pub struct Search {
    current: PathBuf,
    folders: Vec<PathBuf>,
    /// A part of the path is not known.
    open: bool,
    /// Variables of the environment, which names may have.
    environment: Rc<BTreeMap<String, String>>,
}

impl Search {
    pub fn new(current: &Path, path: Option<&String>, environment: &BTreeMap<String, String>) -> Self {
        let folders = path.map_or(".", String::as_str).split(':').filter(|own| !own.is_empty());
        let folders = folders.map(|own| current.join(own)).collect();
        let open = path.is_some_and(|path| path.contains(UNKNOWN));
        Self { current: current.to_owned(), folders, open, environment: Rc::new(environment.clone()) }
    }

    /// A name as C opens it: with variables of the environment replaced (`macEnvExpand`), where all are known.
    fn meant(&self, name: &str) -> String {
        if !name.contains('$') {
            return name.to_owned();
        }
        let value = |own: &[u8]| self.environment.get(std::str::from_utf8(own).ok()?).map(String::as_bytes);
        Text::of_file(0, name.as_bytes()).expand(&value, |_| false).map_or_else(|_| name.to_owned(), |own| own.lossy())
    }

    /// Where a name may be. One with a `/` starts at the current folder and is looked for nowhere else.
    fn paths(&self, name: &str) -> Vec<PathBuf> {
        let name = &self.meant(name);
        if name.contains(['/', '\\']) {
            return vec![self.current.join(name)];
        }
        self.folders.iter().map(|folder| folder.join(name)).collect()
    }

    /// Whether a name may be somewhere that is not known.
    pub fn is_open(&self, name: &str) -> bool {
        let name = self.meant(name);
        name.contains(UNKNOWN) || self.open && !name.contains(['/', '\\'])
    }

    /// The path of a name, as the IOC sees it.
    pub fn path(&self, name: &str, layout: &Layout) -> Option<PathBuf> {
        self.paths(name).into_iter().find(|path| layout.find(path).is_some())
    }

    /// The file of a name.
    pub fn find(&self, name: &str, layout: &Layout) -> Option<PathBuf> {
        layout.find(&self.path(name, layout)?)
    }

    /// How the file of a name is made.
    pub fn find_recipe(&self, name: &str, layout: &Layout) -> Option<Recipe> {
        layout.recipe(&self.path(name, layout)?).cloned()
    }

    /// Why the file of a name is not installed.
    pub fn missing(&self, name: &str, layout: &Layout) -> Option<(String, String)> {
        self.paths(name).iter().find_map(|path| layout.missing(path))
    }
}

/// Record types and menus, as the definitions of an application bring them.
fn types(app: &str, definitions: Option<&Definitions>) -> Types {
    let Some(own) = definitions else { return Types { app: app.to_owned(), ..Types::default() } };
    let parts = own.parts.iter().map(|(name, _)| name.clone());
    let menu = own.menu_scan.as_ref().and_then(|path| fs::read_to_string(path).ok());
    let menu = menu
        .and_then(|text| Some(parse_db_with_breaktables(&text, MacroDefs::new()).ok()?.dbd.menu("menuScan")?.clone()));
    Types {
        app: app.to_owned(),
        parts: parts.collect(),
        open: own.open || own.parts.iter().any(|(name, _)| !known::has_definitions(name)),
        scan: menu.map(|menu| menu.choices.into_iter().map(|(_, choice)| choice).collect()),
    }
}
