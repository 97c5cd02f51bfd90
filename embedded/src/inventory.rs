//! The records of an IOC, from the databases that its start-up script loads. Nothing is started.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use epics_base_rs::server::db_loader::{
    DbLoadConfig, DbRecordDef, MacroDefs, MacroExpandOptions, MacroTable, parse_db, parse_db_file,
};
use epics_base_rs::server::iocsh::macro_defn_pairs;

use crate::check::script::words;
use crate::msi;
use crate::tree::View;

/// How many scripts may run each other.
const DEEPEST: usize = 32;
/// Fields that tell a reader what a value means: text, unit, digits, limits.
const TELLING: [&str; 9] = ["DESC", "EGU", "PREC", "LOPR", "HOPR", "LOLO", "LOW", "HIGH", "HIHI"];

/// A record as its database defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Its type, `ai`.
    pub kind: String,
    /// Those of its fields that tell what its value means, and that are set.
    pub fields: Vec<(String, String)>,
}

/// The records of the IOC of application `app` whose start-up script is `script`, as seen from the current folder.
pub fn records(app: &str, script: &Path) -> Result<Vec<Record>> {
    let boot = std::env::current_dir()?;
    let view = View::create(&boot, app)?;
    let folder = view.as_ref().map_or(boot, |view| view.boot.clone());
    let options = MacroExpandOptions { env_fallback: true, suppress_warnings: true, ..MacroExpandOptions::default() };
    let mut reader = Reader { folder, macros: MacroTable::new(MacroDefs::new(), options), records: Vec::new() };
    let read = reader.script(&script.to_string_lossy(), DEEPEST);
    if let Some(view) = view {
        view.remove();
    }
    read?;
    let mut records = reader.records;
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records.dedup_by(|a, b| a.name == b.name);
    Ok(records)
}

/// Reads scripts as the IOC's shell does, but for everything that acts.
struct Reader {
    folder: PathBuf,
    macros: MacroTable,
    records: Vec<Record>,
}

impl Reader {
    fn script(&mut self, name: &str, depth: usize) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| Error::other(format!("`{name}` runs itself")))?;
        let path = self.folder.join(name);
        let text = std::fs::read(&path).map_err(|error| Error::other(format!("{}: {error}", path.display())))?;
        for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.trim_start().starts_with('#')) {
            let line = self.macros.expand(line).text;
            // What a line of the IOC's own cannot do is told in its own journal.
            if let Err(error) = self.command(&words(line.trim()), depth) {
                crate::complain(&error.to_string());
            }
        }
        Ok(())
    }

    fn command(&mut self, words: &[&str], depth: usize) -> Result<()> {
        match words {
            ["epicsEnvSet", name, value @ ..] => {
                self.macros.define(name, value.first().copied().unwrap_or_default());
            }
            ["cd" | "chdir", folder] => self.folder = self.folder.join(folder),
            ["iocshLoad", name, rest @ ..] => {
                for (name, value) in macro_defn_pairs(rest.first().copied().unwrap_or_default()) {
                    self.macros.define(name, value.unwrap_or_default());
                }
                self.script(name, depth)?;
            }
            ["<", name] => self.script(name, depth)?,
            [word, ..] if word.len() > 1 && word.starts_with('<') => self.script(&word[1..], depth)?,
            ["dbLoadRecords", name, rest @ ..] => {
                let config = DbLoadConfig { include_paths: vec![self.folder.clone()], ..DbLoadConfig::default() };
                let loaded = parse_db_file(&self.folder.join(name), definitions(rest), &config);
                self.add(loaded.map_err(|error| Error::other(format!("{name}: {error}")))?);
            }
            ["dbLoadTemplate", name, rest @ ..] => {
                let path = self.folder.join(name);
                let folders = [path.parent().unwrap_or(&self.folder).to_owned(), self.folder.clone()];
                let text = msi::expand(&path, &folders)?;
                let loaded = parse_db(&String::from_utf8_lossy(&text), definitions(rest));
                self.add(loaded.map_err(|error| Error::other(format!("{name}: {error}")))?);
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, loaded: Vec<DbRecordDef>) {
        self.records.extend(loaded.into_iter().map(|record| {
            Record {
                name: record.name.to_str_lossy().into_owned(),
                kind: record.record_type,
                fields: record
                    .fields
                    .iter()
                    .filter(|field| TELLING.contains(&field.name.as_str()))
                    .map(|field| (field.name.clone(), field.value.to_string()))
                    .collect(),
            }
        }));
    }
}

/// The macros of a command, `A=1,B=2`.
fn definitions(argument: &[&str]) -> MacroDefs {
    let mut macros = MacroDefs::new();
    for (name, value) in macro_defn_pairs(argument.first().copied().unwrap_or_default()) {
        if let Some(value) = value {
            macros.put(name, value);
        }
    }
    macros
}
