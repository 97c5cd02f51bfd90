//! `cargo xtask lint`: mistakes in the IOC's files and the checks.

use anyhow::Result;
use serde_json::json;

use crate::cli::Lint;
use crate::convert;
use tool_backends::lint;
use tool_backends::lint::{Severity, show};
use tool_base::fail::Status;
use tool_base::ui;
use tool_project::Project;
use tool_report::github::Github;

/// Runs the command.
pub fn run(args: &Lint, github: Option<&mut Github<'static>>) -> Result<Status> {
    let project = Project::load()?;
    let findings = lint::run(&project, convert::backend(&project, args.backend))?;
    tool_project::editor::keep_names(&project)?;
    let (errors, warnings) = show::count(&findings);
    if args.json {
        let document = json!({ "schema": 1, "errors": errors, "warnings": warnings, "findings": findings });
        ui::data(&serde_json::to_string_pretty(&document)?);
    } else {
        for finding in &findings {
            ui::data(&show::finding(finding, &project.root, ui::data_columns()));
        }
        let style = if errors > 0 {
            ui::BAD
        } else if warnings > 0 {
            ui::WARN
        } else {
            ui::GOOD
        };
        ui::say(&ui::paint(style, &format!("lint: {}", show::summary(&findings))));
    }
    if let Some(github) = github {
        for finding in &findings {
            let level = if finding.severity == Severity::Error { "error" } else { "warning" };
            let text = format!("{}\nhint: {}", finding.message, finding.hint);
            let place = (finding.line, finding.column);
            github.annotate(level, &finding.file, place, &format!("lint {}", finding.code), &text);
        }
    }
    Ok(if errors > 0 || (args.deny_warnings && warnings > 0) { Status::CheckFailed } else { Status::Done })
}
