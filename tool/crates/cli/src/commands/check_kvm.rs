//! `cargo xtask check-kvm`: are VMs accelerated, for whom, and if not, why.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cli::CheckKvm;
use tool_base::fail::Status;
use tool_base::host::Host;
use tool_base::{fail, stage, ui};
use tool_host::finding::Finding;
use tool_host::kvm::mend::Remedy;
use tool_host::kvm::{Facts, For, Known, Report, advice, mend};
use tool_host::{finding, kvm};

/// The form of `--json`; `tool/docs/kvm.md` describes it.
#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    ready: bool,
    #[serde(rename = "for")]
    whom: For,
    #[serde(flatten)]
    report: &'a Report,
    facts: &'a Facts,
}

/// Looks, says what it found, and mends what `--fix` can.
pub(crate) fn run(args: &CheckKvm) -> Result<Status> {
    let host = Host::new(&args.root);
    let facts = kvm::read::facts(&host);
    let report = kvm::report(&facts);
    let whom = args.whom.map_or_else(|| kvm::usual(&facts), Into::into);
    let ready = report.ready(whom);
    if args.json {
        let json = Json { schema: 1, ready, whom, report: &report, facts: &facts };
        ui::data(&serde_json::to_string_pretty(&json)?);
    } else {
        print(&report, whom, ready);
    }
    if args.fix {
        return fix(&host, args, whom, &report.findings);
    }
    Ok(if ready { Status::Done } else { Status::HostNotReady })
}

fn print(report: &Report, whom: For, ready: bool) {
    let width = ui::width().min(100);
    for (name, answer) in answers(report) {
        let (style, word) = match answer.answer {
            Known::Yes => (ui::GOOD, "yes"),
            Known::No => (ui::BAD, "no "),
            Known::NotApplicable => (ui::DIM, "-  "),
        };
        ui::data(&format!("{name:<24}{} {}", ui::paint(style, word), ui::wrap(&answer.why, 28, width)));
    }
    finding::print(&report.findings, width);
    ui::data("");
    let whose = match whom {
        For::User => "you",
        For::Builders => "Nix's builders",
    };
    if ready {
        let text = format!("VMs are accelerated for {whose}.");
        ui::data(&ui::paint(ui::GOOD, &text));
        return;
    }
    ui::data(&ui::paint(ui::BAD, &format!("VMs are not accelerated for {whose}.")));
    ui::data("To go on as it is:");
    let nix = report.advertised.answer != Known::NotApplicable;
    let mine = report.ready(For::User);
    for way in advice::WITHOUT_FEATURE.iter().filter(|w| (nix || !w.needs_nix) && (mine || !w.needs_kvm)) {
        way.print(width);
    }
    if nix {
        ui::data("  cargo xtask configure-nix\n      let Nix run VM tests without KVM: shows the change first");
    }
}

/// The three questions and their answers.
pub(crate) fn answers(report: &Report) -> [(&'static str, &kvm::diagnose::Answer); 3] {
    [
        ("KVM for you", &report.user),
        ("KVM for Nix's builders", &report.builders),
        ("Nix advertises kvm", &report.advertised),
    ]
}

/// Writes the udev rule, after showing it and asking.
fn fix(host: &Host, args: &CheckKvm, whom: For, findings: &[Finding]) -> Result<Status> {
    let finding = match mend::remedy(findings) {
        Remedy::Rule(finding) => finding,
        Remedy::Elsewhere(finding) => {
            ui::say(&format!("--fix cannot mend this here: {}", finding.fix));
            return Ok(Status::HostNotReady);
        }
        Remedy::None => {
            ui::say("--fix opens /dev/kvm to Nix's builders; nothing here is mended by that");
            return Ok(if findings.is_empty() { Status::Done } else { Status::HostNotReady });
        }
    };
    let file = host.path(advice::RULE_FILE);
    ui::say(&format!("\n--fix writes {}:\n  {}\nand runs:", file.display(), advice::RULE));
    let udev = mend::udev();
    for cmd in &udev {
        ui::say(&format!("  {cmd}"));
    }
    if host.uid != 0 && host.is_real() {
        let hint = format!("paste these lines:\n{}", finding.commands().join("\n"));
        return Err(fail::host(format!("writing {} needs root", advice::RULE_FILE)).hint(hint).into());
    }
    if !args.yes && !agreed("Write it?")? {
        ui::say("nothing was written");
        return Ok(Status::HostNotReady);
    }
    let file = mend::write_rule(host)?;
    ui::say(&format!("wrote {}; to undo: rm {}", file.display(), file.display()));
    if !host.is_real() {
        return Ok(Status::Done);
    }
    for cmd in &udev {
        cmd.read()?;
    }
    let ready = kvm::report(&kvm::read::facts(host)).ready(whom);
    ui::say(if ready { "VMs are accelerated now" } else { "that was not enough: run `cargo xtask check-kvm` again" });
    Ok(if ready { Status::Done } else { Status::HostNotReady })
}

/// Asks on the terminal.
fn agreed(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        let failure = fail::Failure::new(Status::Usage, "there is nobody to ask: this is no terminal");
        return Err(failure.hint("add --yes to agree beforehand").into());
    }
    ui::say(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The hidden child: uses KVM and answers in JSON.
pub(crate) fn probe(words: &[OsString]) -> Result<Status> {
    let id = |flag| stage::optional(words, flag).and_then(|word| word.to_str()?.parse().ok());
    let device = Path::new(stage::required(words, "--device")?);
    let used = kvm::probe::in_this_process(device, id("--uid").zip(id("--gid")));
    ui::data(&serde_json::to_string(&used)?);
    Ok(Status::Done)
}
