//! `cargo xtask configure-nix`: let Nix run VM tests without KVM, by one line in nix.conf.

use anyhow::Result;

use crate::cli::ConfigureNix;
use tool_base::fail::Status;
use tool_base::host::Host;
use tool_base::ui;
use tool_host::configure::{Configured, State, Wish, configure};
use tool_host::kvm;

/// Plans, shows the difference, and with `--apply` or `--undo` makes it.
pub(crate) fn run(args: &ConfigureNix) -> Result<Status> {
    let wish = match (args.apply, args.undo) {
        (_, true) => Wish::Undo,
        (true, _) => Wish::Apply,
        _ => Wish::Plan,
    };
    let outcome = configure(&Host::new(&args.root), wish)?;
    if args.json {
        ui::data(&serde_json::to_string_pretty(&outcome)?);
    } else {
        print(&outcome);
    }
    let refused = wish == Wish::Apply && outcome.state == State::ByHand;
    Ok(if refused { Status::HostNotReady } else { Status::Done })
}

const INTRODUCTION: &str = "configure-nix adds `extra-system-features = kvm` to nix.conf. That lifts Nix's refusal \
    to run VM tests on a machine without KVM. It creates no device and speeds nothing up: tests run in an emulator, \
    several times slower. These ways need no change and no root:";

fn print(json: &Configured) {
    let width = ui::width().min(100);
    if !json.undo && json.state != State::NothingToDo {
        ui::data(&ui::wrap(INTRODUCTION, 0, width));
        for way in &kvm::advice::WITHOUT_FEATURE {
            way.print(width);
        }
        ui::data("");
    }
    let file = json.file.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
    if let Some(diff) = &json.diff {
        ui::data(&ui::paint(ui::STRONG, &file));
        for line in diff.lines() {
            let style = if line.starts_with('+') {
                ui::GOOD
            } else if line.starts_with('-') {
                ui::BAD
            } else {
                ui::DIM
            };
            ui::data(&format!("  {}", ui::paint(style, line)));
        }
        ui::data("");
    }
    let why = json.why.as_deref().unwrap_or_default();
    match json.state {
        State::NothingToDo if json.undo => ui::data(&format!("Nothing to undo: {why}.")),
        State::NothingToDo if json.verified == Some(false) => {
            ui::data(&format!("{why}, but Nix was asked and does not know: its daemon has not read it."));
        }
        State::NothingToDo => {
            ui::data(&format!("Nothing to do: Nix advertises kvm already ({why})."));
            if json.verified == Some(true) {
                ui::data("Nix was asked: it has the feature kvm now.");
            } else if json.restart.is_some() {
                ui::data("If it refuses tests all the same, its daemon has not read the file.");
            }
        }
        State::ByHand => {
            ui::data(&format!("{}:\n\n  {}", ui::wrap(why, 0, width), json.snippet.unwrap_or_default()));
        }
        State::Planned => {
            let whose = if json.own { "your own file" } else { "the system's file" };
            ui::data(&format!("Nothing was written yet. `cargo xtask configure-nix --apply` writes {whose}."));
            if json.needs_root {
                ui::data("It needs root, and says then how to run it as root.");
            }
        }
        State::Done => {
            let verb = if json.undo { "Removed our line from" } else { "Wrote" };
            ui::data(&ui::paint(ui::GOOD, &format!("{verb} {file}.")));
            if let Some(backup) = &json.backup {
                ui::data(&format!("The file as it was: {}", backup.display()));
            }
            match json.verified {
                Some(true) => ui::data("Nix was asked: it has the feature kvm now."),
                _ if json.undo => {}
                Some(false) => ui::data("Nix was asked: its daemon does not know yet."),
                None => ui::data("Nix was not asked whether it has the feature now."),
            }
        }
    }
    if let Some(restart) = json.restart.filter(|_| json.verified != Some(true)) {
        let when = match json.state {
            State::Planned => "After that, let",
            State::Done => "Now let",
            State::NothingToDo | State::ByHand => "Let",
        };
        ui::data(&format!("{when} the daemon read it:\n  {restart}"));
        if !json.undo {
            ui::data("`cargo xtask configure-nix` then asks Nix whether it has.");
        }
    }
}
