//! The records and the port of an IOC, as `lint` reads them from its start-up script and databases. Nothing is started.

use std::path::Path;

use crate::lint;

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

/// What is to be known of a script before it runs; no more than its environment where it is in no EPICS top.
pub fn outlook(app: &str, script: &Path) -> lint::Outlook {
    let bare = || lint::Outlook { variables: environment(), ..lint::Outlook::default() };
    lint::outlook(app, script, &environment()).unwrap_or_else(|_| bare())
}

/// The port of the Channel Access server of an IOC with these variables, as C reads it (caservertask.c).
pub fn port(variables: &lint::Environment) -> u16 {
    let names = ["EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT"];
    names.iter().find_map(|name| variables.get(*name)?.trim().parse().ok()).unwrap_or(5064)
}

/// The records, by name, of the IOC of application `app` whose start-up script `script` is in the current folder, and
/// whose environment is ours. What is wrong in its files is for the IOC itself to say.
pub fn records(app: &str, script: &Path) -> Result<Vec<Record>, String> {
    let mut records: Vec<Record> = lint::database(app, script, &environment())?
        .records
        .into_iter()
        .map(|record| Record {
            fields: TELLING
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), record.field(name)?.value.clone())))
                .collect(),
            name: record.name,
            kind: record.kind,
        })
        .collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

/// Our environment, as far as it is text.
fn environment() -> lint::Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
