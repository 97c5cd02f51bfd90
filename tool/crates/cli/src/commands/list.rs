//! `cargo xtask list`: the checks of the project.

use anyhow::Result;
use serde_json::json;

use crate::cli::List;
use crate::fail::Status;
use crate::project::Project;
use crate::select;
use crate::settings::Settings;
use crate::ui;

/// Runs the command.
pub fn run(args: &List) -> Result<Status> {
    let project = Project::load()?;
    let chosen = select::select(&project, &args.selection)?;
    // A project without checks has an empty list; a selection that matches none is a mistake.
    let checks = if args.selection.is_all() { chosen.checks } else { chosen.or_nothing()? };
    if args.json {
        let mut rows = Vec::new();
        for check in checks {
            let Settings { timeout, tags, backends, retries, memory, .. } = Settings::load(&check)?;
            rows.push(json!({
                "name": check.name, "script": check.script.is_some(), "nix": check.nix.is_some(),
                "tags": tags, "backends": backends, "timeout": timeout, "retries": retries, "memory": memory,
            }));
        }
        ui::data(&serde_json::to_string_pretty(&rows)?);
    } else {
        for check in checks {
            ui::data(&check.name);
        }
    }
    Ok(Status::Done)
}
