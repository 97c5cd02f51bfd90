//! What is wrong with the files of an IOC, told without running it: `soft-ioc --lint`.
//!
//! It follows the start-up script, reads the databases it loads through their macros, and judges
//! records, links and protocols by the tables and parsers of the soft IOC. `docs/lint.md` lists
//! what it finds.

mod database;
mod fields;
mod finding;
mod grammar;
mod layout;
mod lexer;
mod loads;
mod protocol;
mod startup;
mod streams;
mod text;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use epics_base_rs::server::db_loader::{MacroDefs, MacroExpandOptions, MacroTable};
use serde_json::json;

use crate::build::Product;
use crate::check;
use crate::tree::{sorted, source_folders, top_of};
use database::Database;
use finding::{Place, Report};
use layout::Layout;
use protocol::Protocols;
use startup::Startup;
use text::{Text, UNKNOWN};

/// Variables that the IOC's surroundings set.
const SURROUNDINGS: [&str; 9] =
    ["HOME", "USER", "LOGNAME", "PATH", "PWD", "HOSTNAME", "LANG", "SHELL", "EPICS_HOST_ARCH"];

/// Variables in the environment of an IOC.
pub type Environment = BTreeMap<String, String>;

/// Findings and records as JSON, for the application `app` whose start-up script `script` is in the
/// current folder. Each of the environments is gone through.
pub fn run(app: &str, script: &Path, environments: &[Environment]) -> Result<String, String> {
    let (mut lint, script) = Lint::new(app, script)?;
    let commands = check::script::known_commands(app).map_err(|error| error.to_string())?;
    let names = lint.everything(app, &script, environments, &commands);
    let open = lint.report.open;
    Ok(json!({ "findings": lint.report.json(&lint.layout.top), "records": names, "complete": !open }).to_string())
}

/// The records that are loaded, as far as the files can be read. Names that they do not tell are left out.
pub fn database(app: &str, script: &Path, environment: &Environment) -> Result<Database, String> {
    let (mut lint, startup) = follow(app, script, environment)?;
    let mut database = lint.load(&startup);
    database.records.retain(|record| !record.name.contains(UNKNOWN));
    Ok(database)
}

/// What is to be known of a script before it runs.
#[derive(Debug, Default)]
pub struct Outlook {
    /// Why a C IOC would have no records by it where ours had some: the place, what is wrong, a hint.
    pub refusals: Vec<String>,
    /// Files that it loads and that `make` would not install, told likewise.
    pub missing: Vec<String>,
    /// The variables that are set when it is through.
    pub variables: Environment,
}

/// Looks at a script before it runs.
pub fn outlook(app: &str, script: &Path, environment: &Environment) -> Result<Outlook, String> {
    let (lint, startup) = follow(app, script, environment)?;
    let told = |codes| lint.report.told(codes, &lint.layout.top);
    Ok(Outlook { refusals: told(&startup::REFUSED), missing: told(&["not-installed"]), variables: startup.variables })
}

fn follow(app: &str, script: &Path, environment: &Environment) -> Result<(Lint, Startup), String> {
    let (mut lint, script) = Lint::new(app, script)?;
    let mut variables = lint.variables(&script);
    variables.extend(environment.clone());
    let given = (variables, &BTreeSet::new());
    let startup = startup::follow(&script, &lint.layout, given, &BTreeSet::new(), &mut lint.report);
    Ok((lint, startup))
}

struct Lint {
    layout: Layout,
    report: Report,
    protocols: Protocols,
    /// Files that were read.
    seen: BTreeSet<PathBuf>,
    /// Macros that were found to have no value: said once for each file and load.
    without_value: BTreeSet<(usize, Place, String)>,
}

impl Lint {
    /// With the path of the script.
    fn new(app: &str, script: &Path) -> Result<(Self, PathBuf), String> {
        let boot = std::env::current_dir().map_err(|error| format!("the current folder: {error}"))?;
        // An installed IOC has no configure/.
        let installed = || boot.ancestors().find(|top| top.join("iocBoot").is_dir()).map(Path::to_owned);
        let top = top_of(&boot).or_else(installed);
        let top = top.ok_or_else(|| format!("{} is in no EPICS top", boot.display()))?;
        let lint = Self {
            layout: Layout::read(&top, app),
            report: Report::default(),
            protocols: Protocols::default(),
            seen: BTreeSet::new(),
            without_value: BTreeSet::new(),
        };
        Ok((lint, boot.join(script)))
    }

    /// Returns the names of all records.
    fn everything(
        &mut self,
        app: &str,
        script: &Path,
        environments: &[Environment],
        commands: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        self.start(app, script);
        self.make();
        let mut names = BTreeSet::new();
        // What one check sets, the IOC of another one is not blamed for.
        let elsewhere: BTreeSet<String> = environments.iter().flat_map(BTreeMap::keys).cloned().collect();
        for environment in environments {
            let mut variables = self.variables(script);
            variables.extend(environment.clone());
            let startup = startup::follow(script, &self.layout, (variables, &elsewhere), commands, &mut self.report);
            self.report.open |= startup.open;
            let database = self.load(&startup);
            fields::judge(&database, &mut self.report);
            streams::judge(&database, &startup, &self.layout, &mut self.protocols, &mut self.report);
            names.extend(database.names().filter(|name| !name.contains(UNKNOWN)).map(str::to_owned));
        }
        self.rest(app);
        names
    }

    /// The script as a program.
    fn start(&mut self, app: &str, script: &Path) {
        let place = Place { file: self.report.file(script), line: 1, column: 1 };
        let text = match fs::read(script) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                let hint = "`ioc` in ioc.toml names the folder below iocBoot/ that holds it";
                self.report.error(place, "no-file", format!("the start-up script cannot be read: {error}"), hint);
                self.report.open = true;
                return;
            }
        };
        let first = text.lines().next().unwrap_or_default();
        let program = first.strip_prefix("#!").map(str::trim).and_then(|line| line.split_whitespace().next());
        match program.map(|program| program.rsplit('/').next().unwrap_or(program)) {
            None => {
                let hint = format!("start it with #!../../bin/linux-x86_64/{app}");
                self.report.error(place, "not-a-program", "the script does not say which program runs it", hint);
            }
            Some(program) if program != app && !["env", "sh", "bash"].contains(&program) => {
                let place = Place { column: 3, ..place };
                let what = format!("the script is run by `{program}`, the application is `{app}`");
                self.report.warning(place, "other-program", what, format!("#!../../bin/linux-x86_64/{app}"));
            }
            Some(_) => {}
        }
        if fs::metadata(script).is_ok_and(|data| data.permissions().mode() & 0o111 == 0) {
            let hint = format!("chmod +x {}", finding::shown(script, &self.layout.top));
            // The package of Nix mends it, and the sandbox needs no run bit; `./st.cmd` by hand does.
            self.report.warning(place, "not-executable", "the script cannot be executed", hint);
        }
    }

    /// What `envPaths` and the surroundings set.
    fn variables(&self, script: &Path) -> Environment {
        let boot = script.parent().unwrap_or(script);
        let unknown = |name: &str| (name.to_owned(), UNKNOWN.to_owned());
        let mut variables: Environment = SURROUNDINGS.into_iter().map(unknown).collect();
        variables.extend(["ASYN", "CALC", "STREAM", "EPICS_BASE"].into_iter().map(unknown));
        let configure = sorted(&self.layout.top.join("configure")).unwrap_or_default();
        let release =
            |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("RELEASE"));
        for text in configure.iter().filter(release).filter_map(|path| fs::read_to_string(path).ok()) {
            let names = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
            variables.extend(names.filter(|name| !name.starts_with('#')).map(unknown));
        }
        for line in fs::read_to_string(boot.join("envPaths")).unwrap_or_default().lines() {
            if let [_, name, _, value, ..] = line.split('"').collect::<Vec<_>>()[..] {
                variables.insert(name.to_owned(), value.to_owned());
            }
        }
        let ioc = boot.file_name().unwrap_or_default().to_string_lossy().into_owned();
        variables.extend([("IOC".to_owned(), ioc), ("TOP".to_owned(), self.layout.top.to_string_lossy().into_owned())]);
        variables
    }

    fn load(&mut self, startup: &Startup) -> Database {
        let mut database = Database::new(self.layout.open_types);
        for load in &startup.loads {
            let text = self.text(load);
            database.read(&text, &mut self.report);
        }
        database
    }

    /// What `make` would stop at, and what of its Makefiles cannot be understood.
    fn make(&mut self) {
        for fault in self.layout.build.faults.clone() {
            let place = Place { file: self.report.file(&fault.file), line: fault.line, column: 1 };
            self.report.error(place, "make-stops", fault.what, "make builds nothing until this is right");
        }
        for (_, doubt) in self.layout.build.doubts.clone() {
            let place = Place { file: self.report.file(&doubt.file), line: doubt.line, column: 1 };
            let hint = "name the files themselves, where nothing else decides: DB += NAME";
            self.report.warning(place, "undecided", doubt.what, hint);
        }
        let recipes = self.layout.build.installed.values().filter_map(|product| match product {
            Product::Expanded(recipe) => Some(recipe.clone()),
            _ => None,
        });
        for recipe in recipes.collect::<Vec<_>>() {
            self.expanded(&recipe);
        }
    }

    /// Databases and protocols of the application that the script does not load: what can be said without macros.
    fn rest(&mut self, app: &str) {
        let own = self.layout.top.join(format!("{app}App"));
        for folder in
            source_folders(&self.layout.top).unwrap_or_default().into_iter().filter(|folder| folder.starts_with(&own))
        {
            for path in sorted(&folder).unwrap_or_default() {
                match path.extension().and_then(|own| own.to_str()) {
                    Some("db" | "vdb" | "template") if !self.seen.contains(&path) && path.is_file() => {
                        let bytes = fs::read(&path).unwrap_or_default();
                        // There a macro may stand for anything.
                        if text::has_bare_macro(&bytes) {
                            continue;
                        }
                        let number = self.report.file(&path);
                        let mut table = MacroTable::new(MacroDefs::new(), MacroExpandOptions::default());
                        let text = Text::of_file(number, &bytes).expand(&mut table, |_| true);
                        let mut database = Database::new(self.layout.open_types);
                        let mut report = std::mem::take(&mut self.report);
                        let open = std::mem::replace(&mut report.open, true);
                        database.read(&without_includes(&text), &mut report);
                        fields::judge(&database, &mut report);
                        report.open = open;
                        self.report = report;
                    }
                    Some("proto" | "protocol") => drop(self.protocols.read(&path, &mut self.report)),
                    _ => {}
                }
            }
        }
    }
}

/// A text but for its lines that include others.
fn without_includes(text: &Text) -> Text {
    let mut out = Text::default();
    for line in text.lines() {
        if !line.lossy().trim_start().starts_with("include") {
            out.extend(&line);
            out.push(b'\n', line.place(line.bytes.len()));
        }
    }
    out
}
