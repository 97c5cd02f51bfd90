//! What is wrong with the files of an IOC, told without running it: `soft-ioc --lint`.
//!
//! It follows the start-up script, reads the databases it loads through their macros, and judges
//! records, links and protocols by the tables and parsers of the soft IOC. `docs/lint.md` lists
//! what it finds.
//!
//! One way: places and texts (`report`, `bounds`, `text`, `lexer`, `shell`, `address`) ← models (`database`, `layout`, `startup`) ← readers
//! (`grammar`, `load`, `protocol`) ← judges (`fields`, `streams`, `access`, `gaps`) ← this file.

mod access;
mod address;
mod answer;
mod bounds;
mod database;
mod exchange;
mod fields;
mod gaps;
mod grammar;
mod layout;
mod lexer;
mod load;
mod outlook;
mod program;
mod protocol;
mod quiet;
mod regexp;
mod report;
mod shell;
mod startup;
mod streams;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};

use crate::build::Product;
use crate::growth::{Kind, Room};
use crate::makefile::Problem;
use crate::mistakes::{Mistake, OfIoc, Parts, Port};
use crate::top::{sorted, source_folders, top_of};
use database::Database;
pub use database::Record;
use exchange::Said;
use layout::Layout;
use load::{Loader, Read};
pub use outlook::Outlook;
pub use protocol::Function;
use protocol::Protocols;
use report::{NOT_IN_SOFT_IOC, Place, Report, UNKNOWN};
pub use startup::is_no_variable;
use startup::{Opened, Startup};
use text::Text;

/// Variables that the IOC's surroundings set.
const SURROUNDINGS: [&str; 20] = [
    "HOME",
    "USER",
    "LOGNAME",
    "PATH",
    "PWD",
    "HOSTNAME",
    "LANG",
    "SHELL",
    "EPICS_HOST_ARCH",
    "ASYN",
    // The shell's own.
    "IOCSH_STARTUP_SCRIPT",
    "ARCH",
    "EPICS_VERSION_MAJOR",
    "EPICS_VERSION_MIDDLE",
    "EPICS_VERSION_MINOR",
    "EPICS_VERSION_PATCH",
    "EPICS_VERSION_SNAPSHOT",
    "EPICS_VERSION_SITE",
    "EPICS_VERSION_SHORT",
    "EPICS_VERSION_FULL",
];

/// Variables in the environment of an IOC.
pub type Environment = BTreeMap<String, String>;

/// Findings and records as JSON, for the application `app` whose start-up script `script` is in the
/// current folder and whose shell knows some commands. Each of the environments is gone through.
///
/// # Errors
/// There is no EPICS top.
pub fn run(
    app: &str,
    script: &Path,
    environments: &[Environment],
    commands: &BTreeSet<String>,
) -> Result<String, String> {
    let (mut lint, script) = Lint::new(app, script)?;
    let (records, parts) = lint.everything(app, &script, environments, commands);
    let findings = lint.report.all(&lint.layout.top);
    // Who looks once more reads them once more.
    stream_rs::protocol::free();
    let answer = OfIoc { findings, records, complete: !lint.report.open, parts };
    serde_json::to_string(&answer).map_err(|error| error.to_string())
}

/// What a soft IOC cannot do with these files, a line each: `FILE:LINE: what`, files as seen from the top.
pub fn gaps(app: &str, script: &Path, commands: &BTreeSet<String>) -> Result<Vec<String>, String> {
    let (mut lint, script) = Lint::new(app, script)?;
    let startup = lint.follow(&script, &ours(), &BTreeSet::new(), commands);
    let database = lint.load(&startup);
    streams::judge(&database, &startup, &lint.layout, &mut lint.protocols, &mut lint.report);
    // What is wrong with them is for others to say.
    let (mut report, top) = (std::mem::take(&mut lint.report).only(NOT_IN_SOFT_IOC), &lint.layout.top);
    gaps::judge(&lint.layout, &database, &startup, commands, &mut report);
    let told = |own: Mistake| {
        let file = Path::new(&own.file).components().skip(1).collect::<PathBuf>();
        format!("{}:{}: {}\n", file.display(), own.line, own.message)
    };
    Ok(report.all(top).into_iter().map(told).collect())
}

/// Our environment, as far as it is text.
fn ours() -> Environment {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

/// A boot folder and its top by another path where no line of a script could name theirs, or only in quotes. An IOC on a
/// machine has one that can.
fn nameable(boot: PathBuf, top: PathBuf) -> Result<(PathBuf, PathBuf), String> {
    // What iocsh splits at, StreamDevice's path as well.
    let odd = |c: char| c.is_control() || " \"'\\$#(),<>:;".contains(c);
    let is_odd = |path: &Path| path.to_str().is_none_or(|path| path.contains(odd));
    let (Some(around), Some(name)) = (top.parent(), top.file_name()) else { return Ok((boot, top)) };
    let (open, name) = match (is_odd(around), is_odd(Path::new(name))) {
        (false, false) => return Ok((boot, top)),
        (_, true) => (&*top, Path::new("")),
        (true, false) => (around, Path::new(name)),
    };
    let folder = fs::File::open(open).map_err(|error| format!("{}: {error}", open.display()))?;
    // Without a slash at its end.
    let other: PathBuf =
        Path::new("/proc/self/fd").join(folder.into_raw_fd().to_string()).join(name).components().collect();
    let within = boot.strip_prefix(&top).map(|within| other.join(within));
    Ok((within.map_err(|error| error.to_string())?, other))
}

struct Lint {
    layout: Layout,
    report: Report,
    protocols: Protocols,
    read: Read,
}

impl Lint {
    /// With the path of the script.
    fn new(app: &str, script: &Path) -> Result<(Self, PathBuf), String> {
        let boot = std::env::current_dir().map_err(|error| format!("the current folder: {error}"))?;
        Self::of(boot, app, script)
    }

    /// The same, as seen from a boot folder.
    fn of(boot: PathBuf, app: &str, script: &Path) -> Result<(Self, PathBuf), String> {
        // An installed IOC has no configure/.
        let installed = || boot.ancestors().find(|top| top.join("iocBoot").is_dir()).map(Path::to_owned);
        let top = top_of(&boot).or_else(installed);
        let top = top.ok_or_else(|| {
            let what = format!("{} is in no EPICS top: no folder above it holds a `configure`", boot.display());
            what + "\n\nhint: run it in the folder of st.cmd, below ioc/iocBoot/"
        })?;
        let (boot, top) = nameable(boot, top)?;
        let layout = Layout::read(&top, app);
        let lint = Self { layout, report: Report::default(), protocols: Protocols::default(), read: Read::default() };
        Ok((lint, boot.join(script)))
    }

    /// Returns the names of all records, and what the IOC is made of in the first environment.
    fn everything(
        &mut self,
        app: &str,
        script: &Path,
        environments: &[Environment],
        commands: &BTreeSet<String>,
    ) -> (BTreeSet<String>, Parts) {
        let found = self.once(app, script, environments, commands);
        if self.layout.build.unread.is_empty() {
            return found;
        }
        // A misspelt variable of a Makefile: what comes of it is no mistake of its own.
        let top = self.layout.top.clone();
        let without = self.report.all(&top);
        let layout = Layout::mended(&top, app);
        *self = Self { layout, report: Report::default(), protocols: Protocols::default(), read: Read::default() };
        let found = self.once(app, script, environments, commands);
        let harmless = self.report.all(&top) == without;
        for (Problem { file, line, what }, meant) in self.layout.build.unread.clone() {
            let (place, hint) = (self.report.line(&file, line), format!("did you mean `{meant}`?"));
            if harmless {
                self.report.warning(place, "unknown-variable", what, hint);
            } else {
                self.report.error(place, "unknown-variable", what, hint);
            }
        }
        found
    }

    fn once(
        &mut self,
        app: &str,
        script: &Path,
        environments: &[Environment],
        commands: &BTreeSet<String>,
    ) -> (BTreeSet<String>, Parts) {
        self.start(app, script);
        self.make();
        let (mut names, mut parts) = (BTreeSet::new(), None);
        // What one check sets, the IOC of another one is not blamed for.
        let elsewhere: BTreeSet<String> = environments.iter().flat_map(BTreeMap::keys).cloned().collect();
        for environment in environments {
            let startup = self.follow(script, environment, &elsewhere, commands);
            self.report.open |= startup.open;
            let database = self.load(&startup);
            access::judge(&startup, &database, &mut self.report);
            fields::judge(&database, &mut self.report);
            let said = streams::judge(&database, &startup, &self.layout, &mut self.protocols, &mut self.report);
            startup.judge_puts(&database, &mut self.report);
            parts.get_or_insert_with(|| self.parts(startup, said));
            names.extend(database.names().filter(|name| !name.contains(UNKNOWN)).map(str::to_owned));
        }
        self.rest(app);
        (names, parts.unwrap_or_default())
    }

    fn parts(&self, startup: Startup, said: Said) -> Parts {
        let file = |at: Place| report::shown(self.report.path(at.file), &self.layout.top);
        // What is not known here is no word of the user's.
        let plain = |text: String| text.replace(UNKNOWN, "…");
        let port = |Opened { name, command, address, at, .. }| Port {
            name: plain(name),
            command,
            address: plain(address),
            file: file(at),
            line: at.line,
            column: at.column,
        };
        let (exchanges, inputs) = said.exchanges();
        Parts {
            applications: self.layout.build.definitions.keys().cloned().collect(),
            registers: startup.registers,
            ports: startup.opened.into_iter().map(port).collect(),
            of_modules: startup.of_modules.into_iter().map(|(name, _)| plain(name)).collect(),
            inputs,
            exchanges,
        }
    }

    /// Goes through the script in an environment.
    fn follow(
        &mut self,
        script: &Path,
        environment: &Environment,
        elsewhere: &BTreeSet<String>,
        commands: &BTreeSet<String>,
    ) -> Startup {
        let mut variables: Environment =
            SURROUNDINGS.iter().map(|name| ((*name).to_owned(), UNKNOWN.to_owned())).collect();
        variables.extend(environment.clone());
        let env_paths = self.env_paths(script);
        startup::follow(script, &self.layout, (variables, env_paths, elsewhere), commands, &mut self.report)
    }

    /// What `envPaths` sets.
    fn env_paths(&self, script: &Path) -> Environment {
        let boot = script.parent().unwrap_or(script);
        // The name of a module tells whose files a path leads to.
        let unknown = |name: &str| (name.to_owned(), format!("{UNKNOWN}{name}"));
        let mut variables: Environment = ["CALC", "STREAM", "EPICS_BASE"].into_iter().map(unknown).collect();
        let configure = sorted(&self.layout.top.join("configure")).unwrap_or_default();
        let release =
            |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("RELEASE"));
        for text in configure.iter().filter(release).filter_map(|path| fs::read_to_string(path).ok()) {
            let names = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
            variables.extend(names.filter(|name| !name.starts_with('#')).map(unknown));
        }
        // asyn has its databases here, whatever RELEASE says.
        variables.retain(|name, _| !SURROUNDINGS.contains(&name.as_str()));
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
        let mut database = Database::new(&self.layout.types);
        // What is too much is not gone through to its end.
        let beyond = self.report.is_beyond();
        for (number, load) in startup.loads.iter().enumerate().filter(|_| !beyond) {
            startup.create(number, &mut database, &mut self.report);
            let text = self.loader().text(load);
            database.before = Some((database.records.len(), load.at));
            grammar::read(&text, &mut database, &mut self.report);
        }
        startup.create(startup.loads.len(), &mut database, &mut self.report);
        database
    }

    fn loader(&mut self) -> Loader<'_> {
        Loader { layout: &self.layout, report: &mut self.report, read: &mut self.read, room: Room::default() }
    }

    /// What `make` would stop at, and what of its Makefiles cannot be understood.
    fn make(&mut self) {
        for fault in self.layout.build.faults.clone() {
            let place = self.report.line(&fault.file, fault.line);
            self.report.error(place, "make-stops", fault.what, "make builds nothing until this is right");
        }
        for (_, doubt) in self.layout.build.doubts.clone() {
            let place = self.report.line(&doubt.file, doubt.line);
            let hint = "name the files themselves, where nothing else decides: DB += NAME";
            self.report.warning(place, "undecided", doubt.what, hint);
        }
        let recipes = self.layout.build.installed.values().filter_map(|product| match product {
            Product::Expanded(recipe) => Some(recipe.clone()),
            _ => None,
        });
        for recipe in recipes.collect::<Vec<_>>() {
            self.loader().expanded(&recipe);
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
                    Some("db" | "vdb" | "template") if !self.read.files.contains(&path) && path.is_file() => {
                        let bytes = fs::read(&path).unwrap_or_default();
                        // There a macro may stand for anything.
                        if text::has_bare_macro(&bytes) {
                            continue;
                        }
                        let number = self.report.file(&path);
                        if !bounds::within(&String::from_utf8_lossy(&bytes), number, Kind::Database, &mut self.report) {
                            continue;
                        }
                        let text = Text::of_file(number, &bytes).expand(&|_| None, |_| true).unwrap_or_default();
                        let mut database = Database::new(&self.layout.types);
                        let open = std::mem::replace(&mut self.report.open, true);
                        grammar::read(&without_includes(&text), &mut database, &mut self.report);
                        fields::judge(&database, &mut self.report);
                        self.report.open = open;
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
