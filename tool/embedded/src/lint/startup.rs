//! Start-up scripts: what they set, load and open, told without running them.

mod commands;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use epics_base_rs::server::db_loader::MacroDefs;

use super::bounds;
use super::database::{Database, Record};
use super::layout::{Layout, Search};
use super::report::{Place, Report, UNKNOWN, suggest, unreplaced};
use super::shell;
use super::text::Text;
use crate::build::Recipe;
use crate::edits::distance;
use crate::growth::{Kind, LONGEST, Room};
use crate::known;
use crate::macros;
use crate::top::{REGISTRATION, registration};

/// Scripts that may call each other.
const DEEPEST: usize = 100;

/// Records that are looked for among the others by their spelling.
pub const SUGGESTED: usize = 20;

/// A database that a script loads.
#[derive(Debug)]
pub struct Load {
    pub path: PathBuf,
    /// How the database is made, where `make` makes it.
    pub recipe: Option<Recipe>,
    pub macros: MacroDefs,
    /// Where the script says so.
    pub at: Place,
    /// It is a file of substitutions (`dbLoadTemplate`).
    pub template: bool,
    /// Where files that it names are looked for.
    pub search: Search,
}

/// A port that a script opens.
#[derive(Debug)]
pub struct Opened {
    pub name: String,
    pub command: String,
    pub address: String,
    pub at: Place,
    /// What ends output and input where a protocol does not say.
    pub ends: [Vec<u8>; 2],
}

/// What a script does.
#[derive(Debug, Default)]
pub struct Startup {
    pub loads: Vec<Load>,
    /// The commands that are called.
    pub called: Vec<(String, Place)>,
    /// Databases of support modules that are nowhere, as `$(CALC)/db/transform.db`.
    pub of_modules: Vec<(String, Place)>,
    /// Names that may be asyn ports when `iocInit` looks for them.
    pub ports: BTreeSet<String>,
    /// Those that come later.
    pub late: BTreeSet<String>,
    /// Ports that surely are, in the order of the script.
    pub opened: Vec<Opened>,
    /// The first of each name.
    by_name: HashMap<String, usize>,
    /// The command that registers record support.
    pub registers: Option<String>,
    /// Records that it reads or sets, and how many files it has loaded then.
    puts: Vec<(String, Place, usize)>,
    /// Records that it makes by itself, with their types, and aliases, with their records; likewise.
    created: Vec<(bool, String, String, Place, usize)>,
    /// Rules of access security.
    pub acf: Option<(PathBuf, Place)>,
    /// The variables as `iocInit` finds them; without it, as the script leaves them.
    pub variables: BTreeMap<String, String>,
    pub folder: PathBuf,
    /// A script was run that could not be read, or a line is dropped that loads records.
    pub open: bool,
    /// Scripts whose last line is dropped.
    pub unended: Vec<PathBuf>,
    /// A line that is dropped, and without which a C IOC has no records.
    pub lost: Option<Place>,
    stage: Stage,
}

impl Startup {
    /// Adds the records that the script makes when it has loaded some files.
    pub fn create(&self, loaded: usize, database: &mut Database, report: &mut Report) {
        for (alias, what, name, at, _) in self.created.iter().filter(|own| own.4 == loaded) {
            if *alias {
                database.alias(what, name, *at, report);
            } else if database.get(name).is_none() {
                database.index.insert(name.clone(), database.records.len());
                let (name, kind) = (name.clone(), what.clone());
                database.records.push(Record { name, kind, at: *at, fields: Vec::new() });
            }
        }
        database.ends.push(database.records.len());
    }

    /// Looks whether the records are there that the script reads or sets.
    pub fn judge_puts(&self, database: &Database, report: &mut Report) {
        let mut told = 0;
        for (name, at, loaded) in &self.puts {
            let record = name.split('.').next().unwrap_or(name);
            let own = database.index.get(record);
            if report.open || own.is_some_and(|own| *own < database.ends[*loaded]) {
                continue;
            }
            if own.is_some() {
                let what = format!("there is no `{record}` yet: its database is loaded below");
                report.warning(*at, "unknown-pv", what, "move this line below the one that loads it");
            } else {
                let what = format!("no database that st.cmd loads defines `{record}`");
                told += 1;
                // To look through all names takes its time, and so many are not misspelt.
                let names = database.names().filter(|_| told <= SUGGESTED);
                let hint = suggest(record, names, || "load its database above".to_owned());
                report.warning(*at, "unknown-pv", what, hint);
            }
        }
    }

    /// The port of a name.
    pub fn port(&self, name: &str) -> Option<&Opened> {
        self.by_name.get(name).map(|at| &self.opened[*at])
    }

    /// Whether surely no port of this name is opened.
    pub fn lacks_port(&self, name: &str) -> bool {
        !self.open && !self.ports.contains(name) && !self.ports.iter().any(|own| own.contains(UNKNOWN))
    }
}

/// How far a C IOC has come: each step needs the one before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// No .dbd is loaded: there are no record types, no menus.
    #[default]
    Bare,
    /// `dbLoadDatabase` was there.
    Defined,
    /// `APP_registerRecordDeviceDriver` was there: record types have their code.
    Registered,
    /// `iocInit` was there.
    Running,
}

/// Codes of findings for which a C IOC has no records where ours would have them.
pub const REFUSED: [&str; 8] = [
    "not-a-program",
    "no-dbd",
    "not-registered",
    "unknown-command",
    "long-name",
    "not-in-dbd",
    "not-built",
    "carriage-return",
];

/// Codes of findings that ours would never come to the end of.
pub const ENDLESS: [&str; 2] = ["endless-macro", "includes-itself"];

/// Goes through a script with variables, and names of those that may be set too; `commands` are those known here.
pub fn follow(
    script: &Path,
    layout: &Layout,
    (variables, env_paths, elsewhere): (BTreeMap<String, String>, BTreeMap<String, String>, &BTreeSet<String>),
    commands: &BTreeSet<String>,
    report: &mut Report,
) -> Startup {
    let folder = script.parent().unwrap_or(script).to_owned();
    let out = Startup { variables, folder, ..Startup::default() };
    let definitions = BTreeMap::new();
    let mut follower = Follower {
        layout,
        commands,
        elsewhere,
        env_paths,
        report,
        unread: false,
        definitions,
        at_init: None,
        room: Room::default(),
        out,
    };
    follower.script(script, &BTreeMap::new(), DEEPEST);
    follower.end(script);
    follower.out.variables = follower.at_init.unwrap_or(follower.out.variables);
    follower.out
}

/// Commands that write a file, and which of their words names it or its folder.
const WRITERS: [(&str, usize); 4] =
    [("set_savefile_path", 1), ("streamSetLogfile", 1), ("asynSetTraceFile", 3), ("makeAutosaveFileFromDbInfo", 1)];

/// Variables of where files are.
const PATHS: [&str; 2] = ["STREAM_PROTOCOL_PATH", "EPICS_DB_INCLUDE_PATH"];

/// Folders that EPNix's unit of an IOC lets it write to, beside its own one in /var/lib/epics.
const WRITABLE: [&str; 3] = ["/tmp", "/var/tmp", "/dev"];

struct Follower<'a> {
    layout: &'a Layout,
    commands: &'a BTreeSet<String>,
    elsewhere: &'a BTreeSet<String>,
    /// What `envPaths` sets.
    env_paths: BTreeMap<String, String>,
    report: &'a mut Report,
    /// A script could not be read, or a part of it.
    unread: bool,
    /// The definitions that were loaded.
    definitions: BTreeMap<String, Place>,
    at_init: Option<BTreeMap<String, String>>,
    room: Room,
    out: Startup,
}

impl Follower<'_> {
    fn script(&mut self, path: &Path, macros: &BTreeMap<String, String>, depth: usize) {
        let Ok(bytes) = fs::read(path) else {
            self.out.open = true;
            return;
        };
        let file = self.report.file(path);
        if !bounds::within(&String::from_utf8_lossy(&bytes), file, Kind::Plain, self.report) {
            self.out.open = true;
            return;
        }
        let (lines, unended) = shell::lines(&Text::of_file(file, &bytes));
        for line in lines {
            // Else each of a thousand lines that run this script would be gone through at each depth.
            if self.report.is_beyond() {
                (self.out.open, self.unread) = (true, true);
                return;
            }
            if line.bytes.starts_with(b"\xef\xbb\xbf") {
                let what = "a byte order mark stands before this line, so the shell knows no such command";
                self.report.error(line.place(0), "byte-order-mark", what, "save the file as UTF-8 without a mark");
                continue;
            }
            if !self.line(&line, macros, depth) {
                return;
            }
        }
        if let Some(line) = unended {
            let what = "the file ends within this line, which the shell drops";
            self.report.error(line.place(0), "unended-line", what, "end it with a line feed");
            self.drop(&line, line.place(0));
            self.out.unended.push(path.to_owned());
        }
    }

    /// A line, as the shell takes it; false where it ends the script.
    fn line(&mut self, line: &Text, macros: &BTreeMap<String, String>, depth: usize) -> bool {
        let start = line.bytes.iter().position(|byte| !b" \t\r".contains(byte));
        let Some(start) = start.filter(|start| line.bytes[*start] != b'#') else { return true };
        let raw = line.slice(start, line.bytes.len());
        let line = match self.expanded(&raw, macros) {
            Ok(line) => line,
            Err(at) => {
                self.drop(&raw, at);
                return true;
            }
        };
        match shell::words(&line) {
            Ok(words) if words.is_empty() => {}
            Ok(words) if words[0].bytes == b"exit" => {
                let early = depth == DEEPEST && self.out.stage < Stage::Running && !self.out.open;
                if early && !self.out.loads.is_empty() {
                    let what = "exit ends the script before iocInit: no client would find a record";
                    self.report.error(words[0].place(0), "no-init", what, "put it behind iocInit, or take it out");
                    self.out.stage = Stage::Running;
                }
                return false;
            }
            Ok(words) => {
                let (stage, wrong) = (self.out.stage, self.typography(&line, &words));
                let words = wrong.and_then(|_| shell::meant(&line)).unwrap_or(words);
                self.command(&words, macros, depth);
                self.writes(&words, shell::redirected(&line));
                self.lose(stage, wrong);
            }
            Err(at) => {
                let what = "this quote is not closed, so the shell drops the whole line";
                let hint = "close it; inside quotes a backslash is a backslash, so take the other kind of quote there";
                self.report.error(line.place(at), "unbalanced-quote", what, hint);
                self.drop(&line, line.place(at));
            }
        }
        true
    }

    /// Where a quote of typography is a part of a name that a command looks for. In a text it may be meant.
    fn typography(&mut self, line: &Text, words: &[Text]) -> Option<Place> {
        let at = line.place(shell::typographic(line)?);
        let word = words.iter().position(|own| own.place(0) == at)?;
        let first = words[0].lossy();
        let (names, texts) = match &*first {
            "dbLoadDatabase" | "dbLoadRecords" | "dbLoadTemplate" | "iocshLoad" => (2, 0),
            "epicsEnvSet" | "dbpf" => (1, 1),
            "errlog" => (0, 1),
            "<" | "cd" | "chdir" | "dbgf" | "asSetFilename" => (1, 0),
            own if known::opens_a_port(own) => (2, 0),
            own if known::OF_PORT.contains(&own) || registers(own) => (1, 0),
            _ => return None,
        };
        let (what, hint) = (
            "this quote is a letter for the shell, which knows \" and ' alone",
            "type the line anew, or take \" from another one",
        );
        if (1..=names).contains(&word) {
            self.report.error(at, "syntax", what, hint);
            return Some(at);
        }
        if (names + 1..=names + texts).contains(&word) {
            self.report.warning(at, "syntax", what, hint);
        }
        None
    }

    /// A line that the shell drops: what comes behind it is not blamed.
    fn drop(&mut self, line: &Text, at: Place) {
        let text = line.lossy();
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let stage = self.out.stage;
        match first {
            _ if text.starts_with('<') => (self.out.open, self.unread) = (true, true),
            "iocshLoad" | "iocshCmd" | "iocshRun" => (self.out.open, self.unread) = (true, true),
            "dbLoadRecords" | "dbLoadTemplate" | "dbCreateRecord" | "dbCreateAlias" => self.out.open = true,
            "epicsEnvSet" => drop(self.out.variables.insert(second.to_owned(), UNKNOWN.to_owned())),
            "dbLoadDatabase" => {
                self.definitions.insert(UNKNOWN.to_owned(), at);
                self.out.stage = stage.max(Stage::Defined);
            }
            "iocInit" | "iocBuild" => self.out.stage = Stage::Running,
            _ if registers(first) => self.out.stage = stage.max(Stage::Registered),
            _ if opens_nothing(first) => {}
            _ => drop(self.out.ports.insert(UNKNOWN.to_owned())),
        }
        self.lose(stage, Some(at));
    }

    /// Without a line that was to bring the IOC further than a stage, a C IOC has no records. What could not be read may do so.
    fn lose(&mut self, stage: Stage, at: Option<Place>) {
        if self.out.stage > stage && !self.unread {
            self.out.lost = self.out.lost.or(at);
        }
    }

    /// The line with its variables replaced; the error is a reference that is not closed, at which the shell drops the line.
    fn expanded(&mut self, line: &Text, macros: &BTreeMap<String, String>) -> Result<Text, Place> {
        let variables = &self.out.variables;
        let value = value_of(macros, variables);
        // What could not be read may set any.
        let open = self.unread;
        let (report, elsewhere, env_paths) = (&mut *self.report, self.elsewhere, &self.env_paths);
        let mut unclosed = None;
        let expanded = line.expand(&value, |fault| {
            match fault.name {
                Some(name) if open || elsewhere.contains(&name) => {}
                Some(name) if env_paths.contains_key(&name) => {
                    let what = format!("`{name}` comes with envPaths, which the script has not read here");
                    report.warning(fault.place, "undefined-variable", what, "add this line before: < envPaths");
                }
                Some(name) => {
                    // What any IOC has is not what a mistyped name was meant to be.
                    let set = variables.iter().chain(macros).filter(|(_, value)| *value != UNKNOWN);
                    let hint = suggest(&name, set.map(|(name, _)| name.as_str()), || {
                        format!("give it a default, as in ${{{name}=…}}, or set it with epicsEnvSet(\"{name}\", …)")
                    });
                    report.warning(fault.place, "undefined-variable", format!("nothing here sets `{name}`"), hint);
                }
                None => {
                    let what = "this reference to a variable is not closed, so the shell drops the whole line";
                    report.error(fault.place, "syntax", what, "add the `)` or `}`");
                    unclosed.get_or_insert(fault.place);
                }
            }
            true
        });
        let expanded = expanded.inspect_err(|at| {
            let what = format!("this line has more than {} MB once its variables are replaced", LONGEST >> 20);
            report.error(*at, "endless-macro", what, "give one of them a shorter value");
        })?;
        if unclosed.is_none() && !bounds::text_within(&expanded, Kind::Plain, self.report) {
            unclosed = Some(line.place(0));
        }
        unclosed.map_or(Ok(expanded), Err)
    }

    /// Sets a variable, unless it stands for too much.
    fn set(&mut self, name: String, value: String, at: Place) {
        self.out.variables.insert(name.clone(), value);
        if self.out.variables[&name].len() > bounds::VALUE {
            let hint = "shorten it: each line that puts a value into another one twice doubles it";
            self.report.error(at, "endless-macro", format!("`{name}` stands for too much"), hint);
            self.out.variables.insert(name, UNKNOWN.to_owned());
        }
    }

    fn command(&mut self, words: &[Text], macros: &BTreeMap<String, String>, depth: usize) {
        let first = words[0].lossy();
        self.out.called.push((first.clone(), words[0].place(0)));
        let word = |at: usize| words.get(at).filter(|word| !word.bytes.is_empty());
        match first.as_str() {
            _ if first.starts_with('<') && behind_a_file(words).is_some() => {
                let other = behind_a_file(words).map_or(words[0].place(0), |own| own.place(0));
                let what = "what stands behind the file is a command for the shell, which has that file as its input";
                self.report.error(other, "syntax", what, "end the line behind the name of the file");
                (self.out.open, self.unread) = (true, true);
            }
            "<" => self.run(word(1), macros, depth),
            _ if first.starts_with('<') => {
                self.run(Some(&words[0].slice(1, words[0].bytes.len())), macros, depth);
            }
            "iocshLoad" => {
                let all = self.macros(word(2), macros);
                self.run(word(1), &all, depth);
            }
            "iocshCmd" | "iocshRun" => match word(1) {
                Some(own) if depth > 0 && !own.is_unknown() => {
                    let all = self.macros(word(2).filter(|_| first == "iocshRun"), macros);
                    self.line(own, &all, depth - 1);
                }
                _ => drop(self.out.ports.insert(UNKNOWN.to_owned())),
            },
            "var" => {
                let name = word(1).map(Text::lossy).unwrap_or_default();
                let near = known::VARIABLES.into_iter().find(|own| distance(&name, own) == 1);
                // Alone, it is a pattern of those to print.
                if let (Some(near), false, Some(at), Some(_)) =
                    (near, known::VARIABLES.contains(&&*name), word(1), word(2))
                {
                    let what = format!("there is no variable `{name}`: the shell sets nothing");
                    self.report.warning(at.place(0), "unknown-variable", what, format!("did you mean `{near}`?"));
                }
            }
            "dbpf" | "dbgf" => {
                let name = word(1).filter(|own| !own.is_unknown());
                self.out.puts.extend(name.map(|own| (own.lossy(), own.place(0), self.out.loads.len())));
            }
            "dbCreateRecord" | "dbCreateAlias" => {
                if let (Some(what), Some(name)) = (word(2), word(3)) {
                    let (alias, at) = (first == "dbCreateAlias", name.place(0));
                    self.out.created.push((alias, what.lossy(), name.lossy(), at, self.out.loads.len()));
                }
            }
            "cd" | "chdir" => {
                if let Some(folder) = word(1) {
                    self.out.folder = self.out.folder.join(folder.lossy());
                    if !folder.is_unknown() && !self.layout.is_folder(&self.out.folder) {
                        let what = format!("there is no folder `{}`", folder.lossy());
                        let hint = unreplaced(&folder.lossy());
                        let hint = hint.unwrap_or_else(|| "paths start at the folder of st.cmd".to_owned());
                        self.report.error(folder.place(0), "no-file", what, hint);
                    }
                }
            }
            "epicsEnvSet" => self.set_variable(words),
            "epicsEnvUnset" => self.unset_variable(words),
            "dbLoadDatabase" => {
                if let Some(file) = word(1) {
                    let name = file.lossy();
                    let name = name.rsplit('/').next().unwrap_or(&name);
                    // A file that is not there is a finding of its own.
                    if !(file.is_unknown() && known::has_definitions(name)) {
                        let path = word(2).map(Text::lossy);
                        let path = path.as_ref().or_else(|| self.out.variables.get("EPICS_DB_INCLUDE_PATH"));
                        let search = Search::new(&self.out.folder, path, &self.out.variables);
                        if search.path(&file.lossy(), self.layout).is_none() && !search.is_open(&file.lossy()) {
                            // Says so.
                            drop(self.file(file));
                        }
                    }
                    self.definitions.insert(name.to_owned(), file.place(0));
                }
                self.out.stage = self.out.stage.max(Stage::Defined);
            }
            "dbLoadRecords" | "dbLoadTemplate" => {
                self.may_load(&words[0]);
                self.load(&words[0], word(1), word(2));
            }
            "iocInit" | "iocBuild" => {
                self.needs(&words[0], Stage::Registered);
                self.needs_definitions();
                self.at_init.get_or_insert_with(|| self.out.variables.clone());
                self.out.stage = Stage::Running;
            }
            "asSetFilename" => {
                let file = word(1).filter(|word| !word.is_unknown());
                self.out.acf = file.and_then(|file| Some((self.file(file)?, file.place(0))));
            }
            _ => self.other(words),
        }
    }

    /// The macros of a script or a line, with those of the one that runs it. The shell replaces what is in all of them for each line.
    fn macros(&mut self, given: Option<&Text>, around: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let own = given.map(|word| shell::pairs(&word.lossy())).unwrap_or_default();
        let all = around.clone().into_iter().chain(own).collect();
        let endless =
            macros::are_endless(BTreeMap::values(&all).map(String::as_bytes), &value_of(&all, &self.out.variables));
        match given.filter(|_| endless) {
            None => all,
            Some(word) => {
                let what = "these macros stand for each other too often";
                self.report.error(word.place(0), "endless-macro", what, "give one of them its value");
                (self.out.open, self.unread) = (true, true);
                around.clone()
            }
        }
    }

    /// `epicsEnvSet`.
    fn set_variable(&mut self, words: &[Text]) {
        if let (Some(name), value) = (words.get(1), words.get(2)) {
            let text = name.lossy();
            let (own, meant) = text.split_once('=').unwrap_or((&text, "…"));
            let hint = || format!("epicsEnvSet(\"{}\", \"{meant}\")", if own.is_empty() { "NAME" } else { own });
            if value.is_none() {
                let what = "epicsEnvSet has a name here, and no value: the shell sets nothing";
                self.report.error(name.place(0), "syntax", what, hint());
            } else if is_no_variable(&text) {
                let what = format!("no variable can have the name `{text}`: the shell sets nothing");
                self.report.error(words[0].place(0), "syntax", what, hint());
                return;
            }
            let value = value.map_or_else(|| UNKNOWN.to_owned(), Text::lossy);
            if let Some(near) = PATHS.into_iter().find(|near| distance(own, near) == 1) {
                let what = format!("nothing reads the variable `{own}`");
                let hint = format!("did you mean `{near}`?");
                self.report.warning(name.place(0), "unknown-variable", what, hint);
                self.set(near.to_owned(), UNKNOWN.to_owned(), words[0].place(0));
            }
            self.set(own.to_owned(), value, words[0].place(0));
        }
    }

    /// `epicsEnvUnset`.
    fn unset_variable(&mut self, words: &[Text]) {
        let name = words.get(1).map(Text::lossy).unwrap_or_default();
        if words.len() > 1 && is_no_variable(&name) {
            let what = format!("no variable can have the name `{name}`");
            self.report.error(words[0].place(0), "syntax", what, "epicsEnvUnset(\"NAME\")");
        }
        self.out.variables.remove(&name);
    }

    /// Files that a command writes: an IOC on NixOS may do so in few places.
    fn writes(&mut self, words: &[Text], redirected: Option<Text>) {
        // The unit has the history of the shell in the folder of the IOC.
        let folder = self.out.variables.get("EPICS_IOCSH_HISTFILE").and_then(|path| Path::new(path).parent());
        let folder = folder.map(Path::to_owned);
        let first = words[0].lossy();
        let own = WRITERS.iter().find(|(name, _)| *name == first).and_then(|(_, at)| words.get(*at));
        for file in own.cloned().into_iter().chain(redirected).filter(|file| !file.bytes.is_empty()) {
            let name = file.lossy();
            let path = crate::top::plain(&self.out.folder.join(&name));
            let place = if first == "set_savefile_path" { &path } else { path.parent().unwrap_or(&path) };
            // Without the name of the unit, any folder may be its own.
            let state = Path::new("/var/lib/epics");
            let is_own =
                folder.as_ref().map_or(place.starts_with(state) && place != state, |own| place.starts_with(own));
            let may = is_own || WRITABLE.iter().any(|own| place.starts_with(own));
            // asyn's words for streams.
            let stream = first == "asynSetTraceFile" && ["stdout", "stderr"].contains(&name.as_str());
            if file.is_unknown() || stream || may && !path.starts_with(&self.layout.top) {
                continue;
            }
            let what =
                format!("on NixOS, and on a machine of a check, an IOC cannot write `{}`", plain(&name, self.layout));
            let hint = match &folder {
                Some(own) => format!("take a file in /tmp, or in {}, which outlives the IOC", own.display()),
                None => "take a file in /tmp, or in /var/lib/epics/NAME, which outlives the IOC: NAME is that of its unit, as `ioc`".to_owned(),
            };
            self.report.warning(file.place(0), "read-only", what, hint);
        }
    }

    /// A finding where a command comes before what it needs.
    fn needs(&mut self, command: &Text, stage: Stage) {
        if self.out.open || self.out.stage >= stage {
            return;
        }
        let name = command.lossy();
        let register = registration(&self.layout.types.app);
        if self.out.stage == Stage::Bare {
            let what = format!("{name} comes before any dbLoadDatabase: a C IOC knows no record types here");
            let hint = format!("dbLoadDatabase(\"dbd/{}.dbd\") comes first", self.layout.types.app);
            self.report.error(command.place(0), "no-dbd", what, hint);
        } else {
            let what = format!("{name} comes before {register}: a C IOC has no record support here");
            let hint = format!("{register}(pdbbase) comes between dbLoadDatabase and {name}");
            self.report.error(command.place(0), "not-registered", what, hint);
        }
    }

    /// A finding where the script loads definitions of EPICS base and modules by themselves, and not all of the application's.
    fn needs_definitions(&mut self) {
        let types = &self.layout.types;
        let Some((name, at)) = self.definitions.first_key_value().filter(|_| !types.open && !self.out.open) else {
            return;
        };
        let alone = self.definitions.keys().all(|own| known::has_definitions(own));
        let wanted = self.layout.build.definitions.get(&types.app).map(|own| &own.sure).into_iter().flatten();
        if let Some(lacks) = wanted.into_iter().find(|own| alone && !self.definitions.contains_key(*own)) {
            let app = &types.app;
            let what = format!("the script loads {name}, and never {app}.dbd: a C IOC has nothing of {lacks}");
            self.report.error(*at, "no-dbd", what, format!("dbLoadDatabase(\"${{TOP}}/dbd/{app}.dbd\")"));
        }
    }

    /// Records are loaded when their types are there, and before `iocInit`.
    fn may_load(&mut self, command: &Text) {
        self.needs(command, Stage::Registered);
        if self.out.stage == Stage::Running {
            let what = format!("{} comes after iocInit: a C IOC loads no records any more", command.lossy());
            self.report.error(command.place(0), "after-init", what, "move it above iocInit");
        }
    }

    /// What the script should have done by its end.
    fn end(&mut self, script: &Path) {
        if !self.out.open && self.out.stage < Stage::Running && !self.out.loads.is_empty() {
            let place = self.report.line(script, 1);
            let what = "the script never calls iocInit: no client would find a record";
            self.report.error(place, "no-init", what, "put iocInit behind the last dbLoadRecords");
        }
        if !self.out.open && self.out.stage == Stage::Running && self.out.loads.is_empty() {
            let place = self.report.line(script, 1);
            let hint = "dbLoadRecords(\"${TOP}/db/FILE.db\") comes before iocInit";
            self.report.warning(place, "no-records", "the script loads no database: the IOC has no records", hint);
            // Whoever looks for some is not blamed as well.
            self.report.open = true;
        }
    }

    fn run(&mut self, file: Option<&Text>, macros: &BTreeMap<String, String>, depth: usize) {
        let Some(file) = file else { return };
        let name = file.lossy();
        // There once make has written it.
        if Path::new(&name).file_name().is_some_and(|name| name == "envPaths") {
            self.out.variables.extend(self.env_paths.clone());
            return;
        }
        match self.file(file) {
            Some(path) if !self.room.takes_script(size(&path)) => {
                self.report.beyond(file.place(0), "more than 4000 scripts, or more than 16 MB of them, come of this");
                (self.out.open, self.unread) = (true, true);
            }
            Some(path) if depth > 0 => self.script(&path, macros, depth - 1),
            Some(_) => {
                let what = format!("`{name}` runs itself");
                self.report.error(file.place(0), "includes-itself", what, "take this line out");
            }
            None => (self.out.open, self.unread) = (true, true),
        }
    }

    fn search(&self) -> Search {
        Search::new(&self.out.folder, self.out.variables.get("EPICS_DB_INCLUDE_PATH"), &self.out.variables)
    }

    /// The file that a word names; it is a finding where there is none.
    fn file(&mut self, word: &Text) -> Option<PathBuf> {
        if word.is_unknown() {
            self.out.open = true;
            return None;
        }
        let name = word.lossy();
        let path = self.out.folder.join(&name);
        let found = self.layout.find(&path);
        if found.is_none() {
            if let Some((what, hint)) = self.layout.missing(&path) {
                // Where make stops, that is what is wrong.
                if !self.layout.build.faults.is_empty() {
                    return None;
                }
                let what = format!("there is no file `{}`: {what}", plain(&name, self.layout));
                self.report.error(word.place(0), "not-installed", what, hint);
                return None;
            }
            let hint = unreplaced(&name).unwrap_or_else(|| self.layout.instead_of(&path));
            self.report.error(
                word.place(0),
                "no-file",
                format!("there is no file `{}`", plain(&name, self.layout)),
                hint,
            );
        }
        found
    }

    fn load(&mut self, command: &Text, file: Option<&Text>, macros: Option<&Text>) {
        let name = command.lossy();
        let Some(file) = file else {
            let hint = format!("{name}(\"db/FILE\", \"MACRO=VALUE\")");
            self.report.error(command.place(0), "syntax", format!("{name} needs a file"), hint);
            return;
        };
        let (search, own) = (self.search(), file.lossy());
        // dbLoadTemplate looks into the current folder first, and is not particular about a `/`.
        let here = Some(self.out.folder.join(&own))
            .filter(|path| name == "dbLoadTemplate" && self.layout.find(path).is_some());
        let path = here.or_else(|| search.path(&own, self.layout));
        if let Some(rest) = own.strip_prefix(UNKNOWN).filter(|rest| !rest.starts_with('/') && rest.contains('/')) {
            let name = rest.replacen('/', ")/", 1);
            self.out.of_modules.push((format!("$({name}"), file.place(0)));
        }
        if path.is_none() && !search.is_open(&own) {
            // Says so.
            self.file(file);
        }
        if let Some((source, path)) = path.and_then(|path| Some((self.layout.find(&path)?, path))) {
            let mut defs = MacroDefs::new();
            let mut pairs = macros.map(|word| shell::pairs(&word.lossy())).unwrap_or_default();
            for (name, value) in &mut pairs {
                let itself = ["$(", "${"].iter().any(|open| {
                    let rest = value.split(&format!("{open}{name}")).nth(1);
                    rest.is_some_and(|rest| rest.starts_with([')', '}', '=']))
                });
                if let Some(word) = macros.filter(|_| itself) {
                    let what = format!("the value of `{name}` is `{name}` itself, so it has none");
                    let hint = unreplaced(&word.lossy()).unwrap_or_default();
                    self.report.error(word.place(0), "undefined-macro", what, hint);
                    UNKNOWN.clone_into(value);
                }
            }
            for pair in &pairs {
                let meant = macros.and_then(|word| self.without_comma(pair, &pairs, &source, word.place(0)));
                for (name, value) in meant.unwrap_or_else(|| vec![pair.clone()]) {
                    defs.put(name, value);
                }
            }
            let recipe = self.layout.recipe(&path).cloned();
            let template = name == "dbLoadTemplate";
            self.out.loads.push(Load { path: source, recipe, macros: defs, at: command.place(0), template, search });
        } else {
            self.out.open = true;
        }
    }

    /// What was meant where a value runs into the next macro, `PREFIX=A: PORT=PS1`, which the file uses and nothing else sets.
    fn without_comma(
        &mut self,
        (name, value): &(String, String),
        pairs: &[(String, String)],
        file: &Path,
        at: Place,
    ) -> Option<Vec<(String, String)>> {
        let (before, after) = value.split_once('=')?;
        let (own, next) = before.rsplit_once([' ', '\t', ';']).unwrap_or(("", before));
        let text = fs::read(file).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?;
        let used = |open| {
            let start = format!("{open}{next}");
            text.match_indices(&start).any(|(at, _)| text[at + start.len()..].starts_with([')', '}', '=', ',']))
        };
        let used = !next.is_empty() && (used("$(") || used("${"));
        if !used || pairs.iter().any(|(name, _)| name == next) {
            return None;
        }
        let what = format!("no comma stands before `{next}=`, so it is a part of `{name}`");
        self.report.error(at, "syntax", what, format!("\"{name}={own},{next}={after}\""));
        Some(vec![(name.clone(), own.trim_end().to_owned()), (next.to_owned(), after.to_owned())])
    }
}

/// What a name stands for in a line of the shell.
fn value_of<'a>(
    macros: &'a BTreeMap<String, String>,
    variables: &'a BTreeMap<String, String>,
) -> impl Fn(&[u8]) -> Option<&'a [u8]> {
    |name| {
        let name = std::str::from_utf8(name).ok()?;
        macros.get(name).or_else(|| variables.get(name)).map(String::as_bytes)
    }
}

/// EPICS base's own command that registers all that the definitions name, since 7.0.5.
const REGISTERS_ALL: &str = "registerAllRecordDeviceDrivers";

/// Whether a command registers record support.
fn registers(command: &str) -> bool {
    command.ends_with(REGISTRATION) || command == REGISTERS_ALL
}

/// Whether a variable can have no such name (`setenv`).
pub fn is_no_variable(name: &str) -> bool {
    name.is_empty() || name.contains(['=', '\0'])
}

/// What stands behind `< FILE`, but for where output goes.
fn behind_a_file(words: &[Text]) -> Option<&Text> {
    let behind = words.get(if words[0].bytes == b"<" { 2 } else { 1 });
    behind.filter(|own| !own.bytes.contains(&b'>'))
}

/// Whether a command surely opens no port.
fn opens_nothing(command: &str) -> bool {
    let of_asyn = ["asynSet", "asynOctet", "asynInterpose", "asynReport", "asynShow", "asynEnable", "asynAuto"];
    let mut all = of_asyn.iter().chain(&["db", "echo", "epics", "errlog", "var"]);
    all.any(|prefix| command.starts_with(prefix))
}

fn size(path: &Path) -> usize {
    fs::metadata(path).map_or(0, |data| usize::try_from(data.len()).unwrap_or(usize::MAX))
}

/// A path as people read it: without the top.
fn plain(name: &str, layout: &Layout) -> String {
    name.replace(&format!("{}/", layout.top.display()), "")
}
