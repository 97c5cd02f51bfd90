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
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::build::Product;
use crate::growth::{Kind, Room};
use crate::known;
use crate::makefile::Problem;
use crate::mistakes::{Mistake, OfIoc, Parts, Port, Severity};
use crate::top::{plain, registration, sorted, source_folders, top_of};
use database::Database;
pub use database::Record;
use exchange::Said;
use layout::Layout;
use load::{Loader, Read};
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

/// What is to be known of an IOC before it runs, or beside it.
#[derive(Debug, Default)]
pub struct Outlook {
    /// Why the IOC does not start, the place and a hint: a C IOC would have no records by its script where ours had some, or
    /// there is too much for our readers.
    pub refusals: Vec<String>,
    /// Files that it loads and that `make` would not install, and commands that it has not, told likewise.
    pub missing: Vec<String>,
    /// What a C IOC does with its files and ours does not, told likewise.
    pub gaps: Vec<String>,
    /// Its definitions bring a server of PV Access.
    #[cfg_attr(not(feature = "pva"), expect(dead_code, reason = "nobody else asks"))]
    pub pv_access: bool,
    /// Commands that its definitions do not bring.
    pub absent: Vec<String>,
    /// The variables that are set when the script is through.
    pub variables: Environment,
    /// Scripts whose last line a C IOC never sees, by their paths below the top.
    pub unended: Vec<PathBuf>,
    /// The records that are loaded, as far as the files can be read. Names that they do not tell are left out.
    pub records: Vec<Record>,
    protocols: Protocols,
    /// The protocol file and the function that a record calls.
    calls: BTreeMap<String, (PathBuf, String)>,
}

impl Outlook {
    /// Reads the files of the application `app` whose start-up script `script` is in the current folder, in our own
    /// environment. The error is that there is no EPICS top.
    pub fn read(app: &str, script: &Path) -> Result<Self, String> {
        let (lint, script) = Lint::new(app, script)?;
        Ok(Self::of(lint, app, &script))
    }

    fn of(mut lint: Lint, app: &str, script: &Path) -> Self {
        lint.start(app, script);
        let startup = lint.follow(script, &ours(), &BTreeSet::new(), &BTreeSet::new());
        let database = lint.load(&startup);
        fields::judge(&database, &mut lint.report);
        let said = streams::judge(&database, &startup, &lint.layout, &mut lint.protocols, &mut lint.report);
        let calls = said.calls;
        let mut records = database.records;
        records.retain(|record| !record.name.contains(UNKNOWN));
        let told = |severity, codes: &[&str]| lint.report.told(severity, codes, &lint.layout.top);
        let mut by_c = told(Severity::Error, &startup::REFUSED);
        by_c.extend(startup.lost.into_iter().flat_map(|at| lint.report.told_at(at, &lint.layout.top)));
        let mut endless = told(Severity::Error, &startup::ENDLESS);
        endless.extend(lint.report.told_beyond(&lint.layout.top));
        let why = |what: &'static str| move |own: String| format!("{what}: {own}");
        let mut refusals: Vec<String> = by_c.into_iter().map(why("a C IOC does not come up by this script")).collect();
        refusals.extend(endless.into_iter().map(why("the soft IOC does not read this")));
        let below = |path: &PathBuf| Some(plain(path).strip_prefix(plain(&lint.layout.top)).ok()?.to_owned());
        let unended = startup.unended.iter().filter_map(below).collect();
        let missing = told(Severity::Error, &["not-installed", "no-command"]);
        let absent =
            known::commands().filter(|(_, files)| lint.layout.types.lack(files)).map(|(name, _)| name).collect();
        let gaps = told(Severity::Warning, &[NOT_IN_SOFT_IOC]);
        let mut parts = lint.layout.build.definitions.get(app).into_iter().flat_map(|own| &own.parts);
        let pv_access = parts.any(|(name, _)| known::has_pv_access(name));
        Self {
            refusals,
            missing,
            gaps,
            pv_access,
            absent,
            variables: startup.variables,
            unended,
            records,
            protocols: lint.protocols,
            calls,
        }
    }

    /// What is known in no EPICS top.
    pub fn without_top() -> Self {
        Self { variables: ours(), ..Self::default() }
    }

    /// The functions of its protocol files.
    pub fn functions(&self) -> Vec<Function> {
        self.protocols.functions(&self.calls)
    }

    /// The port of the Channel Access server, as C reads it (caservertask.c).
    pub fn port(&self) -> u16 {
        let names = ["EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT"];
        names.iter().find_map(|name| self.variables.get(*name)?.trim().parse().ok()).unwrap_or(5064)
    }
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

    /// The script as a program.
    fn start(&mut self, app: &str, script: &Path) {
        let place = self.report.line(script, 1);
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
        if first.starts_with("#!") && text.split('\n').next().is_some_and(|line| line.ends_with('\r')) {
            let what = "this line ends with a carriage return, so the system looks for a program with one in its name";
            let hint = format!("sed -i 's/\\r$//' {}", report::shown(script, &self.layout.top));
            self.report.error(place, "carriage-return", what, hint);
        }
        if let Some(own) = program.filter(|own| !own.starts_with('/')) {
            let place = Place { column: 3, ..place };
            let path = plain(&script.parent().unwrap_or(script).join(own));
            let within = path.strip_prefix(self.layout.top.join("bin")).unwrap_or(Path::new(""));
            if within.components().count() != 2 || !within.to_string_lossy().starts_with("linux-") {
                let what = format!("`{own}` is no place where make puts a program: the script does not start");
                self.report.error(place, "not-a-program", what, format!("#!../../bin/linux-x86_64/{app}"));
                return;
            }
            let program = own.rsplit('/').next().unwrap_or(own);
            if !self.built(program, app, place) {
                return;
            }
            let build = &self.layout.build;
            let known = build.programs.get(program).filter(|_| self.layout.made && !build.is_open());
            if let Some(registers) = known.and_then(|own| own.registers.as_ref())
                && program != app
                && (!registers.iter().any(|own| own == app) || !build.programs.contains_key(app))
            {
                // It was said, or this is the program of the application, under a name of its own.
                return;
            }
        }
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
            let hint = format!("chmod +x {}", report::shown(script, &self.layout.top));
            // The package of Nix mends it, and the sandbox needs no run bit; `./st.cmd` by hand does.
            self.report.warning(place, "not-executable", "the script cannot be executed", hint);
        }
    }

    /// Looks whether `make` builds the definitions of the application, and the program that runs the script: false where not.
    fn built(&mut self, program: &str, app: &str, script: Place) -> bool {
        let build = &self.layout.build;
        if !self.layout.made || build.is_open() {
            return true;
        }
        let place = |report: &mut Report, own: &Problem| report.line(&own.file, own.line);
        let programs: BTreeMap<String, Problem> =
            build.programs.iter().map(|(name, own)| (name.clone(), own.at.clone())).collect();
        if !programs.contains_key(program) {
            let other = programs.values().next().filter(|_| !programs.contains_key(app));
            let at = other.map_or(script, |own| place(&mut self.report, own));
            let what = format!("nothing here builds `{program}`, the program that runs the script");
            let hint = if programs.contains_key(app) {
                format!("#!../../bin/linux-x86_64/{app}")
            } else {
                format!("PROD_IOC = {program}")
            };
            self.report.error(at, "not-built", what, hint);
            return false;
        }
        let name = format!("{app}.dbd");
        if !build.definitions.contains_key(app) && !build.installed.contains_key(&Path::new("dbd").join(&name)) {
            let others: Vec<Problem> = build.definitions.values().filter_map(|own| own.at.clone()).collect();
            let at = others.first().or(programs.get(program)).map_or(script, |own| place(&mut self.report, own));
            let what = format!("nothing here makes dbd/{name}, the definitions of the application `{app}`");
            self.report.error(at, "not-built", what, format!("DBD += {name}"));
            return true;
        }
        let registers = build.programs[program].registers.as_ref();
        if registers.is_some_and(|own| !own.iter().any(|own| own == app)) {
            let at = place(&mut self.report, &programs[program]);
            let what = format!(
                "no source of `{program}` has {}: a C IOC has no such command, and no records",
                registration(app)
            );
            let hint = format!("{program}_SRCS += {app}_registerRecordDeviceDriver.cpp");
            self.report.error(at, "not-built", what, hint);
        }
        true
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
