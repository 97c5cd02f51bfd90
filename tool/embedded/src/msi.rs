//! Databases that `make` expands from substitutions with EPICS' `msi`.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use epics_base_rs::server::db_loader::{
    MacroDefs, MacroExpandOptions, MacroTable, SubstitutionEvent, TemplateLoad, parse_substitutions,
};

/// How many files may include each other.
const DEEPEST: usize = 32;

/// The databases that the Makefile of a source folder asks for and that come from substitutions,
/// as pairs of `X.db` and the path of `X.substitutions`.
pub fn generated(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(makefile) = fs::read_to_string(folder.join("Makefile")) else { return Vec::new() };
    let rules = makefile.lines().filter(|line| line.trim_start().starts_with("DB"));
    let names =
        rules.flat_map(str::split_whitespace).filter(|word| Path::new(word).extension().is_some_and(|own| own == "db"));
    let pairs = names.map(|name| (name.to_owned(), folder.join(name).with_extension("substitutions")));
    pairs.filter(|(name, path)| path.is_file() && !folder.join(name).exists()).collect()
}

/// The database that a file of substitutions stands for. Templates are looked for in `folders`.
pub fn expand(substitutions: &Path, folders: &[PathBuf]) -> Result<Vec<u8>> {
    let named = |what: String| Error::other(format!("{}: {what}", substitutions.display()));
    let parsed = parse_substitutions(fs::read(substitutions)?);
    if let Some(fault) = parsed.stopped {
        let what = fault.message.unwrap_or_else(|| "syntax error".to_owned());
        return Err(named(format!("line {}: {what}", fault.line)));
    }
    let mut database = Vec::new();
    for event in parsed.events {
        if let SubstitutionEvent::Load(load) = event {
            let mut table = macros(&load);
            let wrong = |what| named(format!("line {}: {what}", load.line));
            substitute(&load.file, folders, &mut table, DEEPEST, &mut database).map_err(wrong)?;
        }
    }
    Ok(database)
}

/// The macros a row defines. Others stay as they are, for `dbLoadRecords` to define.
fn macros(row: &TemplateLoad) -> MacroTable {
    let mut macros = MacroDefs::new();
    for defined in &row.macros {
        macros.put(defined.name.clone(), defined.value.clone());
    }
    MacroTable::new(macros, MacroExpandOptions { suppress_warnings: true, ..MacroExpandOptions::default() })
}

/// Adds a template to a database, with macros replaced and files included.
fn substitute(
    name: &str,
    folders: &[PathBuf],
    table: &mut MacroTable,
    depth: usize,
    database: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    let template = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    let template = template.ok_or_else(|| format!("no file `{name}`"))?;
    let text = fs::read(&template).map_err(|error| format!("{}: {error}", template.display()))?;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let words = String::from_utf8_lossy(line);
        match words.trim().strip_prefix("include").map(str::trim_start) {
            Some(file) if file.starts_with('"') => {
                let depth = depth.checked_sub(1).ok_or_else(|| format!("`{name}` includes itself"))?;
                substitute(file.trim_matches('"'), folders, table, depth, database)?;
            }
            _ => database.extend(table.expand_bytes_deferred(line).0.text),
        }
    }
    Ok(())
}
