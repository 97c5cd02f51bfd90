//! One line for each thing that the workflow needs. Pure functions over facts.

use serde::Serialize;

use super::advice;
use super::read::Facts;
use super::userns::diagnose_userns;
use crate::finding::{Finding, Severity};
use crate::kvm;
use crate::kvm::{For, Known};
use crate::nix::facts::{Builders, Daemon};
use crate::nix::inputs::Inputs;
use tool_project::Choice as Backend;

/// How a thing stands. The order is that of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It keeps the chosen backend from running.
    Bad,
    /// It keeps another backend from running, or it will hurt.
    Warning,
    /// Worth knowing.
    Note,
    /// Good.
    Ok,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub text: String,
    /// Backends that cannot run without it.
    pub needed_by: Vec<Backend>,
    /// What is wrong and what to do.
    pub finding: Option<Finding>,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The backend that runs: the chosen one, else the first that can; `None` where none can.
    pub backend: Option<Backend>,
    /// Whether it can run.
    pub ready: bool,
    /// Each backend and what keeps it from running.
    pub backends: Vec<(Backend, Vec<&'static str>)>,
    /// Each thing, worst first.
    pub items: Vec<Item>,
}

/// Judges everything for a chosen backend; `None` means the best that can run.
pub fn judge(facts: &Facts, chosen: Option<Backend>) -> Diagnosis {
    let mut items = items(facts);
    let lacks = |backend: Backend| -> Vec<&'static str> {
        let lacking = items.iter().filter(|i| i.state == State::Bad && i.needed_by.contains(&backend));
        lacking.map(|i| i.name).collect()
    };
    let backends: Vec<_> = Backend::ALL.into_iter().map(|b| (b, lacks(b))).collect();
    let can = |backend: Backend| backends.iter().any(|(b, lacks)| *b == backend && lacks.is_empty());
    let backend = chosen.or_else(|| Backend::ALL.into_iter().find(|&b| can(b)));
    let ready = backend.is_some_and(can);
    // What the backend that runs does not need is no more than a warning.
    for item in &mut items {
        if item.state == State::Bad && backend.is_some_and(|b| !item.needed_by.contains(&b)) {
            item.state = State::Warning;
        }
    }
    items.sort_by_key(|i| i.state);
    Diagnosis { backend, ready, backends, items }
}

/// Everything in a fixed order. `Bad` means: the backends that need it cannot run.
fn items(facts: &Facts) -> Vec<Item> {
    use Backend::{Driver, Nixos, Sandbox};
    let vms = [Nixos, Driver];
    let cache = facts.cache.as_deref();
    vec![
        project(facts),
        item("tool", &[], Ok(facts.tool.clone()), None),
        item("namespaces", &[Sandbox], Ok("the sandbox can make them".to_owned()), diagnose_userns(&facts.userns)),
        python(facts),
        rust(facts),
        builds(facts),
        adopted(facts),
        nix(facts),
        kvm_item(facts, "KVM for you", For::User, &[Driver]),
        kvm_item(facts, "KVM for builders", For::Builders, &[Nixos]),
        inputs(facts, &vms),
        git(facts),
        untracked(facts),
        disk(facts, "disk for Nix", facts.free_nix, 20, "nix"),
        disk(facts, "disk for target", facts.free_project, 3, ""),
        item("cache", &[], Ok(cache.unwrap_or("switched off: every clone builds its own soft IOC").to_owned()), None),
        ports(facts),
    ]
}

/// A line: good as `ok` says, or with what was found. `Err` is what to say where nothing could be found out.
fn item(name: &'static str, needed_by: &[Backend], ok: Result<String, String>, finding: Option<Finding>) -> Item {
    let (state, text) = match (&finding, ok) {
        (Some(f), _) => {
            let state = match f.severity {
                Severity::Note => State::Note,
                Severity::Warning | Severity::Error if needed_by.is_empty() => State::Warning,
                Severity::Warning | Severity::Error => State::Bad,
            };
            (state, format!("{} ({})", f.title, f.evidence))
        }
        (None, Ok(text)) => (State::Ok, text),
        (None, Err(text)) => (State::Note, text),
    };
    Item { name, state, text, needed_by: needed_by.to_vec(), finding }
}

/// Numbers of a version: `rustc 1.95.0 (…)` gives 1, 95, 0.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let word = text.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    word.split('.').map(digits).take_while(Option::is_some).collect()
}

fn older(text: &str, wanted: &str) -> bool {
    matches!((numbers(text), numbers(wanted)), (Some(has), Some(wanted)) if has < wanted)
}

fn project(facts: &Facts) -> Item {
    let ok = facts.project.as_ref().map(|root| root.display().to_string()).unwrap_or_default();
    let finding = facts.project.as_ref().err().map(|why| Finding::new(&advice::PROJECT, why));
    item("project", &[Backend::Nixos, Backend::Driver, Backend::Sandbox], Ok(ok), finding)
}

fn python(facts: &Facts) -> Item {
    let finding = match &facts.python {
        Some(version) if !older(version, "3.9") => None,
        seen => {
            let case = facts.kvm.distribution.as_deref().unwrap_or("");
            let evidence = seen.clone().unwrap_or_else(|| "no python3 on PATH".to_owned());
            Some(Finding::of_case(&advice::PYTHON, case, evidence))
        }
    };
    item("Python", &[Backend::Sandbox], Ok(facts.python.clone().unwrap_or_default()), finding)
}

fn rust(facts: &Facts) -> Item {
    let wanted = facts.rust_wanted.as_deref();
    let ok = match (&facts.rust, wanted) {
        (Some(rust), Some(wanted)) => Ok(format!("{rust}, {wanted} wanted")),
        (Some(rust), None) => Ok(rust.clone()),
        (None, _) => Err("no rustc on PATH: the embedded IOC cannot be built".to_owned()),
    };
    let old = facts.rust.as_ref().zip(wanted).filter(|(has, wanted)| older(has, wanted));
    let finding = old.map(|(has, wanted)| Finding::new(&advice::RUST, format!("{has}, {wanted} wanted")));
    item("Rust", &[Backend::Sandbox], ok, finding)
}

fn builds(facts: &Facts) -> Item {
    let stale = facts.builds.iter().find_map(|build| build.as_ref().err());
    let finding = stale.map(|why| Finding::new(&advice::IOC_STALE, why));
    let built: Vec<&str> = facts.builds.iter().flatten().map(String::as_str).collect();
    let nothing = "built by neither Nix nor make: the sandbox runs the soft IOC";
    item("IOC", &[], Ok(if built.is_empty() { nothing.to_owned() } else { built.join(", ") }), finding)
}

fn adopted(facts: &Facts) -> Item {
    let first = facts.todo.first();
    let finding = first.map(|first| {
        let count = facts.todo.len();
        let evidence = if count == 1 { first.clone() } else { format!("{count} things, the first: {first}") };
        Finding::new(&advice::ADOPTED, evidence)
    });
    item("adoption", &[], Ok("nothing is left to do".to_owned()), finding)
}

fn nix(facts: &Facts) -> Item {
    let needed_by = [Backend::Nixos, Backend::Driver];
    let Some(nix) = &facts.kvm.nix else {
        let finding = Finding::new(&advice::NIX_MISSING, "no `nix` on PATH");
        // Nothing is wrong with a machine without Nix, but the VM backends cannot run.
        return Item { state: State::Bad, ..item("Nix", &needed_by, Ok(String::new()), Some(finding)) };
    };
    let version = nix.version.clone().unwrap_or_else(|| "of unknown version".to_owned());
    let finding = if let Some(error) = &nix.conf_error {
        Some(Finding::new(&kvm::advice::NIX_CONF, error))
    } else if let Some(finding) = unreachable_daemon(facts, nix.daemon).filter(|_| nix.builders != Builders::Caller) {
        Some(finding)
    } else if let Some(finding) = kvm::access::no_build_users(&facts.kvm, nix) {
        Some(finding)
    } else if older(&version, "2.18") {
        Some(Finding::new(&advice::NIX_OLD, format!("Nix {version}, 2.18 wanted")))
    } else {
        None
    };
    let how = match nix.builders {
        Builders::Caller => "builds as you",
        Builders::BuildUsers => "builds with a daemon or as root",
        Builders::Root => "builds run as root: `build-users-group` is empty",
    };
    item("Nix", &needed_by, Ok(format!("{version}, {how}")), finding)
}

/// Why an ordinary user cannot ask the daemon.
fn unreachable_daemon(facts: &Facts, daemon: Daemon) -> Option<Finding> {
    let case = facts.kvm.distribution.as_deref().unwrap_or("");
    match daemon {
        _ if facts.kvm.user.uid == 0 => None,
        Daemon::Listening => None,
        Daemon::Absent => {
            Some(Finding::of_case(&advice::NIX_NO_DAEMON, facts.kvm.case(case), "no daemon socket in /nix/var/nix"))
        }
        Daemon::ShutOut => {
            let evidence = format!("/nix/var/nix/daemon-socket is shut to {}", facts.kvm.user.name);
            Some(Finding::new(&advice::NIX_SHUT_OUT, evidence))
        }
    }
}

/// KVM in one line; `check-kvm` tells it all.
fn kvm_item(facts: &Facts, name: &'static str, whom: For, needed_by: &[Backend]) -> Item {
    let report = kvm::report(&facts.kvm);
    let answer = match whom {
        For::User => &report.user,
        For::Builders => &report.builders,
    };
    if answer.answer == Known::NotApplicable {
        return item(name, &[], Err(answer.why.clone()), None);
    }
    if report.ready(whom) {
        return item(name, needed_by, Ok(answer.why.clone()), None);
    }
    let why = if answer.answer == Known::No { &answer.why } else { &report.advertised.why };
    let finding = report.findings.iter().find(|f| f.title == why || f.evidence == *why).cloned();
    Item { name, state: State::Bad, text: why.clone(), needed_by: needed_by.to_vec(), finding }
}

fn inputs(facts: &Facts, needed_by: &[Backend]) -> Item {
    let missing = |evidence: &str| Some(Finding::new(&advice::INPUTS, evidence));
    let (ok, finding) = match &facts.inputs {
        None => (Err("not looked at without Nix and a project".to_owned()), None),
        Some(Inputs::InStore) => (Ok("all in the Nix store".to_owned()), None),
        Some(Inputs::Reachable) => (Ok("their servers answer".to_owned()), None),
        Some(Inputs::Missing(input, host)) => {
            (Ok(String::new()), missing(&format!("{input} is not in the Nix store, and {host} does not answer")))
        }
        Some(Inputs::Unknown(why)) => (Ok(String::new()), missing(why)),
    };
    item("flake inputs", needed_by, ok, finding)
}

fn git(facts: &Facts) -> Item {
    let finding = facts.git.as_ref().err().map(|why| {
        let case = if why.contains("dubious ownership") { "the folder belongs to another user" } else { "" };
        Finding::of_case(&advice::GIT_MISSING, case, why)
    });
    item("Git tree", &[], Ok("yes".to_owned()), finding)
}

fn untracked(facts: &Facts) -> Item {
    let count = facts.untracked.len();
    let finding = (count > 0).then(|| {
        let some: Vec<&str> = facts.untracked.iter().take(3).map(String::as_str).collect();
        let more = if count > some.len() { format!(" and {} more", count - some.len()) } else { String::new() };
        Finding::new(&advice::GIT_UNTRACKED, some.join(", ") + &more)
    });
    let ok = if facts.git.is_ok() { Ok("none".to_owned()) } else { Err("unknown without Git".to_owned()) };
    item("untracked files", &[], ok, finding)
}

/// Free space, `wanted` in GiB.
fn disk(facts: &Facts, name: &'static str, free: Option<u64>, wanted: u64, case: &str) -> Item {
    let free = free.filter(|_| case != "nix" || facts.kvm.nix.is_some());
    let ok = free.map(|gib| format!("{gib} GiB free")).ok_or_else(|| "not looked at".to_owned());
    let short = free.filter(|&gib| gib < wanted);
    let finding = short.map(|gib| Finding::of_case(&advice::DISK, case, format!("{gib} GiB free, {wanted} wanted")));
    item(name, &[], ok, finding)
}

fn ports(facts: &Facts) -> Item {
    let taken: Vec<String> = facts.ports.iter().map(ToString::to_string).collect();
    let finding = (!taken.is_empty()).then(|| Finding::new(&advice::PORTS, taken.join(", ")));
    item("ports", &[], Ok("free".to_owned()), finding)
}

#[cfg(test)]
mod tests;
