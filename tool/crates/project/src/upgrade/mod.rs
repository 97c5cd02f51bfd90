//! A newer tool in the place of this one: `tool/` as a whole, and the few lines outside that call it.
//!
//! [`source`] reads what is here and what is there, [`plan`] judges it by pure functions, [`crate::change`] makes the
//! change, all or nothing.

pub mod plan;
pub mod source;

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use tool_base::fail;

/// Version of this tool, as tool/Cargo.toml says.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where an upgrade notes what it brought.
pub const RECORD: &str = "tool.lock";

/// What `tool.lock` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the tool.
    pub version: String,
    /// Commit of the tool's repository; empty where the source had no history.
    pub revision: String,
    /// Git's name of the folder tool/ as it came.
    pub tree: String,
    /// Where it came from: a path, a URL, a bundle.
    pub source: String,
}

impl Record {
    /// Reads it. `None` where no upgrade has been made.
    ///
    /// # Errors
    /// Somebody wrote something else there.
    pub fn read(root: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read(root.join(RECORD)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail::config(format!("{RECORD}: {error}")).into()),
        };
        if let Some(line) = text.lines().position(|line| line.starts_with("<<<<<<<")) {
            let what =
                format!("{RECORD}:{}: both sides of a merge are in here, and only one tool lies in tool/", line + 1);
            return Err(fail::config(what)
                .hint(format!(
                    "take a side, tool/ with it: git checkout --ours -- {RECORD} tool && git add {RECORD} tool"
                ))
                .into());
        }
        crate::read_toml(RECORD, &text).map(Some)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        // A string of JSON is one of TOML.
        let value = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            "# Which tool lies in tool/. Written by `cargo xtask upgrade`, which compares with it.\n\
             version = {}\nrevision = {}\ntree = {}\nsource = {}\n",
            value(&self.version),
            value(&self.revision),
            value(&self.tree),
            value(&self.source)
        )
    }
}

/// Version and revision of the tool, for people: `0.2.0 (0123456789ab)`.
pub fn version(root: Option<&Path>) -> String {
    let revision = root
        .and_then(|root| Record::read(root).ok().flatten())
        .filter(|r| r.version == VERSION && !r.revision.is_empty());
    match revision {
        Some(record) => format!("{VERSION} ({})", record.revision.chars().take(12).collect::<String>()),
        None => VERSION.to_owned(),
    }
}
