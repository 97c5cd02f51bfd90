//! `cargo xtask doctor`: everything that the workflow needs of this machine, on one screen.

use anyhow::Result;
use serde::Serialize;

use std::ffi::OsString;

use crate::cli::Doctor;
use tool_base::fail::Status;
use tool_base::host::Host;
use tool_base::ui;
use tool_host::doctor;
use tool_host::doctor::{Diagnosis, Item, State};
use tool_project::Project;

/// The form of `--json`; `tool/docs/kvm.md` describes it.
#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
    facts: &'a doctor::Facts,
}

/// Looks at everything and says what stands in the way.
pub(crate) fn run(args: &Doctor) -> Result<Status> {
    let project = Project::load();
    let settled = project.as_ref().ok().and_then(|p| p.config.backend);
    let chosen = args.backend.map_or(settled, Into::into);
    let mut facts = doctor::facts(&Host::new(&args.root), &project);
    facts.builds = project.as_ref().map(tool_backends::iocs::tell).unwrap_or_default();
    facts.cache = tool_backends::embedded::cache();
    let diagnosis = doctor::judge(&facts, chosen);
    if args.json {
        ui::data(&serde_json::to_string_pretty(&Json { schema: 1, diagnosis: &diagnosis, facts: &facts })?);
    } else {
        print(&diagnosis);
    }
    Ok(if diagnosis.ready { Status::Done } else { Status::HostNotReady })
}

/// Columns below which names and texts do not stand side by side.
const NARROW: usize = 60;

fn print(diagnosis: &Diagnosis) {
    let width = ui::width().min(100);
    for item in &diagnosis.items {
        print_item(item, width);
    }
    ui::data("");
    for (backend, lacks) in &diagnosis.backends {
        let (style, text) = if lacks.is_empty() {
            (ui::GOOD, "can run".to_owned())
        } else {
            (ui::DIM, format!("cannot run: {}", lacks.join(", ")))
        };
        ui::data(&format!("backend {:<8} {}", backend.name(), ui::paint(style, &ui::wrap(&text, 17, width))));
    }
    let (style, text) = match (diagnosis.backend, diagnosis.ready) {
        (Some(backend), true) => (ui::GOOD, format!("Ready: checks run with the backend {}.", backend.name())),
        (Some(backend), false) => (ui::BAD, format!("Not ready: the backend {} cannot run here.", backend.name())),
        (None, _) => (ui::BAD, "Not ready: no backend can run here.".to_owned()),
    };
    ui::data(&ui::paint(style, &text));
}

fn print_item(item: &Item, width: usize) {
    let (style, word) = match item.state {
        State::Bad => (ui::BAD, "bad "),
        State::Warning => (ui::WARN, "warn"),
        State::Note => (ui::STRONG, "note"),
        State::Ok => (ui::GOOD, "ok  "),
    };
    // Where the text would have a narrow column only, it stands below.
    let (indent, between) = if width < NARROW { (4, "\n    ") } else { (22, "") };
    let name = format!("{:<width$}", item.name, width = indent.max(5) - 5);
    ui::data(&format!("{} {name}{between}{}", ui::paint(style, word), ui::wrap(&item.text, indent, width)));
    let Some(finding) = item.finding.as_ref() else { return };
    let arrow = ui::paint(ui::HINT, "->");
    if finding.id.starts_with("kvm-") || finding.id.starts_with("nix-feature") {
        ui::data(&format!("{:indent$}{arrow} cargo xtask check-kvm", ""));
    }
    if !finding.id.starts_with("kvm-") {
        for line in finding.fix.lines() {
            // A command is not wrapped, so that it can be pasted.
            let line = line.strip_prefix("$ ").map_or_else(|| ui::wrap(line, indent + 3, width), str::to_owned);
            ui::data(&format!("{:indent$}{arrow} {line}", ""));
        }
    }
}

/// The hidden child: makes namespaces for itself and answers in JSON.
pub(crate) fn probe(words: &[OsString]) -> Result<Status> {
    ui::data(&serde_json::to_string(&doctor::userns::try_in_this_process(words.iter().any(|word| word == "--inner")))?);
    Ok(Status::Done)
}
