//! What one Makefile installs, by the rules of EPICS base (`RULES.Db`, `RULES_FILE_TYPE`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Build, Definitions, OF_SITES, Product, Recipe};
use crate::known;
use crate::makefile::{Makefile, Problem, Word};
use crate::msi::Request;
use crate::top::plain;

/// Adds what a Makefile installs. It stands in `folder`; make runs in `place`, a folder of objects below.
pub fn take(build: &mut Build, makefile: &mut Makefile, folder: &Path, place: &Path) {
    let mut step = Step { build, makefile, folder, place };
    step.databases("DB", "INSTALL_DB");
    step.databases("DBD", "INSTALL_DBD");
    step.copies("DB_INSTALLS", "INSTALL_DB");
    step.copies("DBD_INSTALLS", "INSTALL_DBD");
    step.types();
    step.programs();
}

/// The variables that say what a Makefile makes, those of its own programs and definitions among them.
pub fn read_variables(makefile: &mut Makefile) -> Vec<String> {
    const OF_ALL: [&str; 8] = ["DB", "DBD", "DIRS", "DB_INSTALLS", "DBD_INSTALLS", "PROD_IOC", "PROD_HOST", "SRC_DIRS"];
    const OF_ONE: [&str; 8] = ["SRCS", "SRCS_DEFAULT", "SRCS_Linux", "LIBS", "LIBS_DEFAULT", "SYS_LIBS", "OBJS", "DBD"];
    const OWNERS: [&str; 7] = ["PROD_IOC", "PROD_HOST", "PROD", "TESTPROD", "LIBRARY", "LIBRARY_IOC", "LIBRARY_HOST"];
    let mut read: Vec<String> = OF_ALL.map(str::to_owned).into();
    let named = |makefile: &mut Makefile, variable: &str| makefile.words(variable).into_iter().map(|word| word.text);
    for variable in OWNERS {
        for owner in named(makefile, variable) {
            read.extend(OF_ONE.map(|kind| format!("{owner}_{kind}")));
        }
    }
    // A program and its definitions have one name as a rule: where they have not, one of them is wrong, and not these.
    for own in named(makefile, "DBD") {
        read.extend(OF_ONE.map(|kind| format!("{}_{kind}", own.trim_end_matches(".dbd"))));
    }
    read
}

pub(super) struct Step<'a> {
    pub(super) build: &'a mut Build,
    pub(super) makefile: &'a mut Makefile,
    pub(super) folder: &'a Path,
    pub(super) place: &'a Path,
}

impl Step<'_> {
    /// Words of a variable that are certain; the others become doubts.
    pub(super) fn words(&mut self, variable: &str) -> Vec<String> {
        let mut found = Vec::new();
        for word in self.makefile.words(variable) {
            match word {
                Word { doubt: None, text, .. } => found.push(text),
                Word { doubt: Some(doubt), text, partial } => {
                    let name = text.rsplit('/').next().unwrap_or_default();
                    let name = if partial && !name.contains('.') { "" } else { name };
                    self.build.doubts.push((name.to_owned(), doubt));
                }
            }
        }
        found
    }

    fn first(&mut self, variable: &str) -> String {
        self.makefile.words(variable).first().map(|word| word.text.clone()).unwrap_or_default()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        plain(&self.place.join(name))
    }

    /// Where a variable names a word.
    pub(super) fn problem(&self, variable: &str, word: &str, what: String) -> Problem {
        let blank =
            (word == "\\").then(|| "make stops: a blank stands behind this `\\`, so the line ends here".to_owned());
        let what = blank.unwrap_or(what);
        let (file, last) = self.makefile.place(variable).unwrap_or((self.folder.join("Makefile"), 1));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let named = |line: &str| {
            let line = line.split('#').next().unwrap_or_default();
            line.split(|c: char| c.is_whitespace() || c == '=').any(|own| own == word)
        };
        let both = text.lines().position(|line| named(line) && line.contains(variable));
        let line = both.or_else(|| text.lines().position(named));
        let line = line.map_or(last, |at| u32::try_from(at).unwrap_or(0) + 1);
        Problem { file, line, what }
    }

    /// The folder below the top that a variable such as `INSTALL_DB` names; `None` where it is elsewhere.
    fn target(&mut self, variable: &str) -> Option<PathBuf> {
        let words = self.makefile.words(variable);
        let [Word { text, doubt: None, .. }] = &words[..] else { return None };
        self.path(text).strip_prefix(&self.build.top).ok().map(Path::to_owned)
    }

    fn install(&mut self, folder: &Path, name: &str, product: Product) {
        self.build.folders.insert(self.folder.to_owned());
        self.build.installed.entry(folder.join(name)).or_insert(product);
    }

    /// Files of `DB` and `DBD`: copied, or made.
    fn databases(&mut self, variable: &str, target: &str) {
        let words = self.words(variable);
        self.build.folders.insert(self.folder.to_owned());
        let Some(target) = self.target(target) else { return };
        // Where make looks for sources (`vpath`): for other kinds, beside the Makefile only.
        let mut listed = Vec::new();
        for own in ["USR_VPATH", "SRC_DIRS"] {
            let more = self.words(own);
            listed.extend(more.iter().map(|name| self.path(name)));
        }
        let beside = [self.place.to_owned(), self.folder.to_owned()];
        let mut named: Vec<PathBuf> = Vec::new();
        let mut known = HashSet::new();
        for folder in words.iter().filter_map(|word| Some(self.path(word).parent()?.to_owned())) {
            if known.insert(folder.clone()) {
                named.push(folder);
            }
        }
        let made_from = [&beside[..1], &listed, &beside[1..]].concat();
        let copied_from = [&beside[..1], &listed, &named, &beside[1..]].concat();
        let suffixes = [self.first("SUBST_SUFFIX"), self.first("TEMPL_SUFFIX")];
        for word in &words {
            let name = word.rsplit('/').next().unwrap_or(word).to_owned();
            let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
            let folders = if ends(&[".db", ".vdb", ".dbd"]) {
                &copied_from
            } else if ends(&[&suffixes[0], &suffixes[1], ".acf", ".acs"]) {
                &made_from
            } else {
                &beside.to_vec()
            };
            let source = folders.iter().map(|folder| folder.join(&name)).find(|path| path.is_file());
            let product = match source {
                Some(source) => Some(Product::File(source)),
                None if variable == "DB" => self.made(&name, &made_from),
                None => {
                    let at = self.problem(variable, word, String::new());
                    self.definitions(name.strip_suffix(".dbd").unwrap_or(&name), at, &made_from);
                    continue;
                }
            };
            if let Some(product) = product.or_else(|| self.by_rule(&name)) {
                self.install(&target, &name, product);
            } else {
                let what = format!("make stops: nothing makes `{name}`, and no source of it is there");
                let fault = self.problem(variable, word, what);
                self.build.faults.push(fault);
            }
        }
    }

    /// What goes into the definitions of an application.
    fn definitions(&mut self, app: &str, at: Problem, folders: &[PathBuf]) {
        let variable = format!("{app}_DBD");
        let own = folders.iter().map(|folder| folder.join("menuScan.dbd")).find(|path| path.is_file());
        let mut all = Definitions { menu_scan: own, at: Some(at), ..Definitions::default() };
        let words = self.makefile.words(&variable);
        let is_there = |own: &str| words.iter().any(|word| word.text == own);
        for word in &words {
            all.open |= word.partial;
            if !word.partial {
                let there = folders.iter().any(|folder| folder.join(&word.text).is_file());
                if let Some(near) = known::misspelt(&word.text, is_there)
                    .filter(|_| word.doubt.is_none() && !there && self.by_rule(&word.text).is_none())
                {
                    let what = format!("make stops: there is no `{}`; did you mean `{near}`?", word.text);
                    let fault = self.problem(&variable, &word.text, what);
                    self.build.misspelt.push((word.text.clone(), fault));
                }
                if word.doubt.is_none() {
                    all.sure.insert(word.text.clone());
                }
                let what = format!("what `{}` defines is not built into a soft IOC", word.text);
                all.parts.push((word.text.clone(), self.problem(&variable, &word.text, what)));
            }
        }
        self.build.definitions.entry(app.to_owned()).or_insert(all);
    }

    pub(super) fn by_rule(&self, name: &str) -> Option<Product> {
        let suffix = name.rfind('.').map(|at| format!("%{}", &name[at..]));
        let rule = [Some(name.to_owned()), suffix].into_iter().flatten().find_map(|own| self.makefile.rules.get(&own));
        let (file, line) = rule?.clone();
        let what = format!("a rule makes `{name}`, which is not run here");
        Some(Product::Rule(Problem { file, line, what }))
    }

    /// A database that `msi` makes, from substitutions or a template.
    fn made(&mut self, name: &str, folders: &[PathBuf]) -> Option<Product> {
        let stem = name.strip_suffix(".db")?;
        let (substitutions, template) = (self.first("SUBST_SUFFIX"), self.first("TEMPL_SUFFIX"));
        let find = |suffix: &str| {
            let path = format!("{stem}{suffix}");
            folders.iter().map(|folder| folder.join(&path)).find(|path| path.is_file())
        };
        let request = if let Some(path) = find(&substitutions) {
            Request { substitutions: Some(path), template: self.template(stem, &template), ..Request::default() }
        } else {
            Request { template: Some(find(&template)?), ..Request::default() }
        };
        let mut recipe = Recipe { request, current: self.place.to_owned(), folders: Vec::new() };
        for variable in [&format!("{stem}_DBFLAGS"), "USR_DBFLAGS", "CMD_DBFLAGS"] {
            self.flags(variable, &mut recipe);
        }
        recipe.folders.push(self.place.to_owned());
        recipe.folders.push(self.folder.to_owned());
        let sources = self.words("SRC_DIRS");
        recipe.folders.extend(sources.iter().map(|name| self.path(name)));
        if let Some(installed) = self.target("INSTALL_DB") {
            recipe.folders.push(self.build.top.join(installed));
        }
        recipe.folders.push(Path::new(crate::asyn::folder()).join("db"));
        Some(Product::Expanded(recipe))
    }

    /// The template that takes the place of those that substitutions name: `X_TEMPLATE`, one of the same name, also
    /// without digits at its end, or a file `template`.
    fn template(&mut self, stem: &str, suffix: &str) -> Option<PathBuf> {
        let given = self.first(&format!("{stem}_TEMPLATE"));
        let mut short = stem;
        for _ in 0..2 {
            short = short.strip_suffix(|c: char| c.is_ascii_digit()).unwrap_or(short);
        }
        let names = [
            given.clone(),
            format!("../{given}"),
            format!("../{stem}{suffix}"),
            format!("../{short}{suffix}"),
            "../template".to_owned(),
        ];
        names.iter().map(|name| self.path(name)).find(|path| path.is_file())
    }

    /// `-I FOLDER` and `-M MACROS`.
    fn flags(&mut self, variable: &str, recipe: &mut Recipe) {
        let mut words = self.words(variable).into_iter();
        while let Some(word) = words.next() {
            let Some(kind) = ["-I", "-M"].into_iter().find(|kind| word.starts_with(kind)) else { continue };
            let value = if word.len() > 2 { word[2..].to_owned() } else { words.next().unwrap_or_default() };
            if kind == "-I" {
                recipe.folders.push(self.path(&value));
            } else {
                // What the shell would take off.
                let value = value.replace(['"', '\''], "");
                let macros = &mut recipe.request.macros;
                *macros = if macros.is_empty() { value } else { format!("{macros},{value}") };
            }
        }
    }

    /// Files of `DB_INSTALLS`: copied from where they are.
    fn copies(&mut self, variable: &str, target: &str) {
        let words = self.words(variable);
        let Some(target) = self.target(target) else { return };
        for word in words {
            let name = word.rsplit('/').next().unwrap_or(&word).to_owned();
            let path = self.path(&word);
            if path.is_file() {
                self.install(&target, &name, Product::File(path));
            } else if path.starts_with(&self.build.top) {
                let fault = self.problem(variable, &word, format!("make stops: there is no file `{word}` to install"));
                self.build.faults.push(fault);
            } else {
                let doubt = self.problem(variable, &word, format!("`{word}` is outside of this top, and not here"));
                self.build.doubts.push((name, doubt));
            }
        }
    }

    /// Files of other types, as `FILE_TYPE` tells them.
    fn types(&mut self) {
        let mut types = self.words("FILE_TYPE");
        types.sort();
        types.dedup();
        for kind in OF_SITES.iter().filter(|kind| !types.iter().any(|own| own == *kind)) {
            for word in self.words(kind) {
                let name = word.rsplit('/').next().unwrap_or(&word).to_owned();
                let what = format!(
                    "where files of {kind} go is not known here: nothing in this top sets FILE_TYPE += {kind} and INSTALL_{kind}"
                );
                let doubt = self.problem(kind, &word, what);
                self.build.doubts.push((name, doubt));
            }
        }
        for kind in types {
            let own = self.words(&format!("{kind}_Linux"));
            let mut words = self.words(&kind);
            let system = if own.is_empty() { self.words(&format!("{kind}_DEFAULT")) } else { own };
            words.extend(system.into_iter().filter(|word| word != "-nil-"));
            let Some(target) = self.target(&format!("INSTALL_{kind}")) else { continue };
            for word in words {
                let source = self.folder.join(&word);
                if source.is_file() {
                    self.install(&target, &word, Product::File(plain(&source)));
                } else if let Some(product) = self.by_rule(&word) {
                    self.install(&target, &word, product);
                } else {
                    let fault = self.problem(
                        &kind,
                        &word,
                        format!("make stops: nothing makes `{word}`, and no source of it is there"),
                    );
                    self.build.faults.push(fault);
                }
            }
        }
    }
}
