//! What an IOC knows of its own files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::database::Record;
use super::protocol::{Function, Protocols};
use super::report::{NOT_IN_SOFT_IOC, UNKNOWN};
use super::{Environment, Lint, fields, ours, startup, streams};
use crate::known;
use crate::mistakes::Severity;
use crate::top::plain;

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

    pub(super) fn of(mut lint: Lint, app: &str, script: &Path) -> Self {
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
