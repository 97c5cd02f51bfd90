//! What `make` would install from a top, read from its Makefiles: for the soft IOC and for lint alike.
//!
//! It goes where `make` goes, from the Makefile of the top through `DIRS`, and reads each Makefile as EPICS' rules
//! have it read. Nothing is run, and nothing is guessed: what cannot be known is a doubt with its place.

mod install;
mod programs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::makefile::{Makefile, Problem};
use crate::msi;
use crate::top::plain;

/// Folders below each other.
const DEEPEST: usize = 32;

/// Types of files that sites and modules install, though EPICS base does not know them.
const OF_SITES: [&str; 3] = ["PROTOCOL", "DATA", "IOCSH"];

/// What EPICS base sets before a Makefile is read.
const PRESET: [(&str, &str); 18] = [
    ("OS_CLASS", "Linux"),
    ("COMMON_DIR", "../O.Common"),
    ("INSTALL_DB", "$(INSTALL_LOCATION)/db"),
    ("INSTALL_DBD", "$(INSTALL_LOCATION)/dbd"),
    ("INSTALL_BIN", "$(INSTALL_LOCATION)/bin/$(T_A)"),
    ("INSTALL_CFG", "$(INSTALL_LOCATION)/cfg"),
    ("INSTALL_DOC", "$(INSTALL_LOCATION)/doc"),
    ("INSTALL_HTML", "$(INSTALL_LOCATION)/html"),
    ("INSTALL_ADL", "$(INSTALL_LOCATION)/adl"),
    ("INSTALL_ALH", "$(INSTALL_LOCATION)/alh"),
    ("INSTALL_EDL", "$(INSTALL_LOCATION)/edl"),
    ("FILE_TYPE", "ADL ALH CFG EDL"),
    ("SUBST_SUFFIX", ".substitutions"),
    ("TEMPL_SUFFIX", ".template"),
    ("BUILD_ARCHS", "$(EPICS_HOST_ARCH)"),
    ("MAKE", "make"),
    ("EPICS_BASE_IOC_LIBS", "dbRecStd dbCore ca Com"),
    ("EPICS_BASE_HOST_LIBS", "ca Com"),
];

/// What stands behind an installed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Product {
    /// A source, as it is.
    File(PathBuf),
    /// A database that `msi` makes.
    Expanded(Recipe),
    /// A rule of the Makefile makes it, which nobody runs here.
    Rule(Problem),
}

/// How `msi` is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe {
    pub request: msi::Request,
    current: PathBuf,
    folders: Vec<PathBuf>,
}

impl Recipe {
    /// The file that people would edit.
    pub fn source(&self) -> &Path {
        let own = self.request.substitutions.as_deref().or(self.request.template.as_deref());
        own.unwrap_or(&self.current)
    }
}

/// What `make` puts together for an application: `APP.dbd`.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// The files that its Makefile names, and where. Those that a condition decides are among them.
    pub parts: Vec<(String, Problem)>,
    /// Those that no condition decides.
    pub sure: BTreeSet<String>,
    /// There is more, which is not known.
    pub open: bool,
    /// Where its Makefile says that it is made.
    pub at: Option<Problem>,
    /// A menu of scan rates of its own, which takes the place of EPICS base's.
    pub menu_scan: Option<PathBuf>,
}

/// A program that `make` builds.
#[derive(Debug)]
pub struct Program {
    /// Where its Makefile says so.
    pub at: Problem,
    /// The applications whose record types it registers, where all of its sources and libraries are known.
    pub registers: Option<Vec<String>>,
}

/// What `make` would install.
#[derive(Debug, Default)]
pub struct Build {
    top: PathBuf,
    /// By the path below the top.
    pub installed: BTreeMap<PathBuf, Product>,
    /// By the name of the application.
    pub definitions: BTreeMap<String, Definitions>,
    /// The programs that it builds.
    pub programs: BTreeMap<String, Program>,
    /// The libraries that it builds, as far as make has come.
    libraries: BTreeSet<String>,
    /// There may be more programs and definitions.
    unsure: bool,
    /// Why `make` stops.
    pub faults: Vec<Problem>,
    /// What could not be understood about files that are installed. The first is a file name, empty where even
    /// that is not known.
    pub doubts: Vec<(String, Problem)>,
    /// What Makefiles include from elsewhere, which may install anything.
    foreign: Vec<Problem>,
    /// Folders that files are installed from.
    pub folders: BTreeSet<PathBuf>,
    entered: BTreeSet<PathBuf>,
    /// Misspelt definitions, if no other Makefile installs them.
    misspelt: Vec<(String, Problem)>,
    /// Variables that nothing reads, and what each was most likely meant to be.
    pub unread: Vec<(Problem, String)>,
    /// These are taken for what they were meant to be.
    mended: bool,
}

impl Build {
    /// Reads all Makefiles of a top.
    pub fn read(top: &Path) -> Self {
        Self::of(top, false)
    }

    /// The same, were its variables spelt right.
    pub fn mended(top: &Path) -> Self {
        Self::of(top, true)
    }

    fn of(top: &Path, mended: bool) -> Self {
        let mut build = Self { top: top.to_owned(), mended, ..Self::default() };
        build.enter(top, DEEPEST);
        for (name, fault) in std::mem::take(&mut build.misspelt) {
            let made = name.strip_suffix(".dbd").is_some_and(|own| build.definitions.contains_key(own));
            if !made && !build.installed.keys().any(|own| own.ends_with(&name)) {
                build.faults.push(fault);
            }
        }
        build.doubts.sort();
        build.doubts.dedup();
        build
    }

    fn enter(&mut self, folder: &Path, depth: usize) {
        let path = folder.join("Makefile");
        if depth == 0 || !folder.starts_with(&self.top) || !self.entered.insert(folder.to_owned()) {
            return;
        }
        if !path.is_file() {
            let shown = folder.strip_prefix(&self.top).ok().filter(|own| !own.as_os_str().is_empty());
            let what = match shown {
                Some(own) => format!("make stops: it enters {}, where no Makefile is", own.display()),
                None => "make stops: there is no Makefile".to_owned(),
            };
            self.faults.push(Problem { file: path, line: 1, what });
            return;
        }
        let arch = host_arch();
        let asyn = crate::asyn::folder();
        let unset = [
            ("EPICS_HOST_ARCH", arch.as_str()),
            ("INSTALL_LOCATION", "$(TOP)"),
            ("ASYN", asyn),
            ("EPICS_BASE", NOWHERE),
        ];
        let mut first = Makefile::read(&path, folder, &self.top, &PRESET, &unset);
        if let Some(stopped) = first.stopped.take() {
            self.faults.push(stopped);
            return;
        }
        let uses = |names: &[&str]| names.iter().any(|name| first.included.contains(*name));
        let (installs, descends, other) = (
            uses(&["RULES", "RULES.Db", "RULES_BUILD", "RULES_ARCHS"]),
            uses(&["RULES_DIRS", "RULES_TOP"]),
            uses(&["RULES.ioc"]),
        );
        let of_site = first.included.iter().any(|name| name.starts_with("RULES"));
        if !installs && !descends && !other && !of_site && first.rules.is_empty() && first.foreign.is_empty() {
            let what = "make stops: no rule of this Makefile makes anything".to_owned();
            self.faults.push(Problem { file: path.clone(), line: 1, what });
        } else if !installs && !descends && !other {
            let what = "what this Makefile makes is not known here: it does not include EPICS' rules".to_owned();
            self.doubts.push((String::new(), Problem { file: path.clone(), line: 1, what }));
        }
        if descends {
            self.unread(&mut first, &path, &["DIRS".to_owned()]);
            for word in first.words("DIRS") {
                match word.doubt {
                    Some(doubt) if word.partial => self.doubts.push((String::new(), doubt)),
                    // Whether or not make goes there: what it would find is worth to know.
                    Some(doubt) => self.perhaps(&folder.join(&word.text), &doubt, depth - 1),
                    None => self.enter(&plain(&folder.join(&word.text)), depth - 1),
                }
            }
        }
        if installs {
            let place = folder.join(format!("O.{arch}"));
            let upper = first.words("TOP").first().map_or(".".to_owned(), |word| format!("../{}", word.text));
            let given: Vec<(&str, &str)> =
                unset.into_iter().chain([("TOP", upper.as_str()), ("T_A", arch.as_str())]).collect();
            let mut makefile = Makefile::read(&path, &place, &self.top, &PRESET, &given);
            if let Some(stopped) = makefile.stopped.take() {
                self.faults.push(stopped);
            } else {
                self.unsure |= self.foreign.len() + makefile.foreign.len() > 0;
                self.foreign.append(&mut makefile.foreign);
                let read = install::read_variables(&mut makefile);
                self.unread(&mut makefile, &path, &read);
                install::take(self, &mut makefile, folder, &place);
            }
        }
    }

    /// Looks for variables that nothing reads, among them those that a folder of rules reads.
    fn unread(&mut self, makefile: &mut Makefile, path: &Path, read: &[String]) {
        for (name, meant, problem) in makefile.unread(path, read) {
            if self.mended {
                makefile.rename(&name, &meant);
            }
            self.unread.push((problem, meant));
        }
    }

    /// Whether more programs and definitions may be built than are known.
    pub fn is_open(&self) -> bool {
        self.unsure
            || !self.faults.is_empty()
            || !self.foreign.is_empty()
            || self.doubts.iter().any(|(own, _)| own.is_empty())
    }

    /// Enters a folder that make may not enter: what it would install is in doubt.
    fn perhaps(&mut self, folder: &Path, doubt: &Problem, depth: usize) {
        let (top, entered, mended) = (self.top.clone(), self.entered.clone(), self.mended);
        let mut other = Self { top, entered, mended, ..Self::default() };
        other.enter(&plain(folder), depth);
        let names = other.installed.keys().filter_map(|path| path.file_name()?.to_str());
        self.doubts.extend(names.map(|name| (name.to_owned(), doubt.clone())));
        self.doubts.extend(other.doubts);
        self.unsure |= !other.programs.is_empty() || !other.definitions.is_empty() || other.unsure;
    }

    /// The file that a path stands for once all is installed. `None` also for what has to be made first.
    pub fn real(&self, path: &Path) -> Option<PathBuf> {
        let path = plain(path);
        match path.strip_prefix(&self.top).ok().and_then(|own| self.installed.get(own)) {
            Some(Product::File(source)) => Some(source.clone()),
            _ => path.is_file().then_some(path),
        }
    }

    /// Makes a database as `msi` would.
    pub fn expand(&self, recipe: &Recipe) -> Result<msi::Expanded, msi::Notice> {
        let real = |path: &Path| self.real(path);
        let files = msi::Files { current: recipe.current.clone(), folders: recipe.folders.clone(), real: &real };
        msi::expand(&recipe.request, &files)
    }

    /// Why a file below the top is not installed, and what to do: where that can be told.
    pub fn missing(&self, path: &Path) -> Option<(String, String)> {
        let name = path.file_name()?.to_str()?;
        if self.installed.keys().any(|own| own.ends_with(name)) {
            return None;
        }
        if let Some((_, doubt)) = self.doubts.iter().find(|(own, _)| own == name) {
            let hint = format!("write `DB += {name}` where no condition and no variable decides");
            return Some((format!("whether make installs it is not known here: {}", self.at(doubt)), hint));
        }
        let source = self.source_of(name)?;
        let folder = source.parent()?;
        let own = self.shown(&folder.join("Makefile"));
        let unnamed = self.doubts.iter().filter(|(own, _)| own.is_empty()).map(|(_, doubt)| doubt);
        if let Some(doubt) = unnamed.chain(&self.foreign).find(|doubt| doubt.file.parent() == Some(folder)) {
            let what = format!("no Makefile is known to install it: {}", self.at(doubt));
            return Some((what, format!("add to {own}: DB += {name}")));
        }
        let what = format!("no Makefile installs it: make never puts {} there", self.shown(&source));
        let hint = if self.folders.contains(folder) {
            format!("add to {own}: DB += {name}")
        } else {
            let folder = self.shown(folder);
            format!("make does not enter {folder}: add it to DIRS of the Makefile above, and DB += {name} to {own}")
        };
        Some((what, hint))
    }

    /// A path as seen from the folder that holds the top.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.top.parent().unwrap_or(&self.top)).unwrap_or(path).display().to_string()
    }

    fn at(&self, problem: &Problem) -> String {
        format!("{}:{}: {}", self.shown(&problem.file), problem.line, problem.what)
    }

    /// Why `make` stops, as text to print.
    pub fn fault(&self) -> Option<String> {
        self.faults.first().map(|fault| self.at(fault))
    }

    /// A source of this name, somewhere in the folders of an application.
    fn source_of(&self, name: &str) -> Option<PathBuf> {
        let stem = name.strip_suffix(".db");
        let made = [stem.map(|stem| format!("{stem}.substitutions")), stem.map(|stem| format!("{stem}.template"))];
        let names: Vec<String> = [Some(name.to_owned())].into_iter().chain(made).flatten().collect();
        let known = self.folders.iter().cloned();
        let others = crate::top::source_folders(&self.top).unwrap_or_default();
        known.chain(others).find_map(|folder| names.iter().map(|name| folder.join(name)).find(|path| path.is_file()))
    }
}

/// A path that is nowhere: where EPICS base is, only the machine that builds knows.
const NOWHERE: &str = "/no-such-module/EPICS_BASE";

/// EPICS' name of this machine.
fn host_arch() -> String {
    format!("linux-{}", std::env::consts::ARCH)
}
