//! `cargo xtask list`: the checks of the project.

use anyhow::Result;
use serde_json::json;

use crate::cli::List;
use tool_base::fail::Status;
use tool_base::ui;
use tool_project::Project;
use tool_project::settings::Settings;
use tool_runner::select::{self, Selection};

/// Runs the command.
pub fn run(args: &List) -> Result<Status> {
    let project = Project::load()?;
    let selection = Selection::from(&args.selection);
    let chosen = select::select(&project, &selection)?;
    // A project without checks has an empty list; a selection that matches none is a mistake.
    let checks = if selection.is_all() { chosen.checks } else { chosen.or_nothing()? };
    if args.json {
        let mut rows = Vec::new();
        for check in checks {
            let Settings { timeout, tags, backends, retries, memory, .. } = check.settings()?;
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
