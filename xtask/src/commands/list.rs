//! `cargo xtask list`: the checks of the project.

use anyhow::Result;
use serde_json::json;

use crate::cli::List;
use crate::fail::Status;
use crate::project::Project;
use crate::ui;

/// Runs the command.
pub fn run(args: &List) -> Result<Status> {
    let project = Project::load()?;
    let checks = project.checks()?;
    if args.json {
        let rows: Vec<_> = checks
            .iter()
            .map(|c| json!({"name": c.name, "script": c.script.is_some(), "nix": c.nix.is_some()}))
            .collect();
        ui::data(&serde_json::to_string_pretty(&rows)?);
    } else {
        for check in checks {
            ui::data(&check.name);
        }
    }
    Ok(Status::Done)
}
