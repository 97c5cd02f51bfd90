//! What adopting a top comes to: a pure function over its files, what lint tells of its IOC, and the project.

mod before;
mod devices;
mod left;
mod scripts;
mod texts;

use std::collections::{BTreeMap, BTreeSet};

pub use super::device::Device;
use super::todo;
use super::top::{Boot, Source, Top};
use before::Before;
use devices::devices;
use left::left;
use scripts::{configuration, includes, script};
use texts::{check, flake, free_name, ioc_toml};
use tool_base::protocol::lint::{Mistake, OfIoc};

/// What is known.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The top, without what `make` has made.
    pub top: &'a Top,
    /// What it is called.
    pub from: &'a str,
    /// What `make` has made, by folder.
    pub built: &'a BTreeMap<String, usize>,
    /// The IOCs.
    pub iocs: &'a [Adopted],
    /// Other boot folders.
    pub others: &'a [String],
    /// The project's files, as Git tracks them.
    pub project: &'a BTreeMap<String, Vec<u8>>,
    /// Those of them that are the template's.
    pub shipped: &'a BTreeSet<String>,
}

/// An IOC that comes along.
#[derive(Debug)]
pub struct Adopted {
    /// Where it starts.
    pub boot: Boot,
    /// Its application.
    pub app: String,
    /// What lint says of it.
    pub ioc: OfIoc,
}

impl Adopted {
    /// Its start-up script.
    fn script(&self) -> &str {
        self.boot.scripts.first().map_or("st.cmd", String::as_str)
    }
}

impl Facts<'_> {
    /// The name of an IOC's unit, where there are several: that of its boot folder.
    fn unit<'a>(&self, own: &'a Adopted) -> Option<&'a str> {
        (self.iocs.len() > 1).then_some(own.boot.name.as_str())
    }

    /// Mistakes in the files of all IOCs, each of them once.
    fn findings(&self) -> BTreeSet<&Mistake> {
        self.iocs.iter().flat_map(|own| &own.ioc.findings).collect()
    }
}

/// All that is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files that are new or new in text, by their path in the project.
    pub files: BTreeMap<String, Source>,
    /// Files that go.
    pub remove: Vec<String>,
    /// The devices that get a simulator.
    pub devices: Vec<Device>,
    /// What is changed on the way, a line each.
    pub mended: Vec<String>,
    /// What is left to do, a line each: what, why, and how.
    pub todo: Vec<String>,
}

/// Plans.
pub fn plan(facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    for (path, source) in &facts.top.files {
        plan.files.insert(format!("ioc/{path}"), source.clone());
    }
    for (what, count) in facts.built {
        plan.mended.push(format!(
            "{what}: left out, as make makes it ({count} {})",
            if *count == 1 { "file" } else { "files" }
        ));
    }
    let before = Before::read(facts);
    for own in facts.iocs {
        devices(facts, own, &before, &mut plan);
    }
    let kept = before.kept(facts, &mut plan);
    includes(facts, &mut plan);
    let mut shifted = Vec::new();
    for own in facts.iocs {
        shifted.extend(script(own, facts, &mut plan));
    }
    let modules = configuration(facts, &mut plan);
    left(facts, &modules, &mut plan);
    let text = |text: String| Source { text: text.into_bytes(), runs: false };
    for device in &plan.devices {
        let own = facts.iocs.iter().find(|own| facts.unit(own) == device.ioc.as_deref());
        let exchanges = own.map_or(&[][..], |own| &own.ioc.parts.exchanges);
        let (path, program) = (format!("simulators/{}.py", device.name), device.program(exchanges));
        match facts.project.get(&path) {
            // It may have been written further since.
            Some(old) if *old != program.as_bytes() => {
                plan.todo
                    .push(format!("{path}: a simulator that was here before: look whether it answers this device"));
            }
            _ => drop(plan.files.insert(path, text(program))),
        }
    }
    plan.files.insert("ioc.toml".to_owned(), text(ioc_toml(facts, &modules, &plan.devices) + &kept));
    flake(facts, &mut plan);
    let name = free_name(facts);
    for (kind, body) in check(&name, &plan.devices, facts) {
        plan.files.insert(format!("checks/{name}.{kind}"), text(body));
    }
    for path in shifted {
        plan.todo.iter_mut().chain(&mut plan.mended).for_each(|item| *item = a_line_later(item, &path));
    }
    let mut told = BTreeSet::new();
    plan.todo.retain(|item| told.insert(item.clone()));
    if !plan.todo.is_empty() {
        let old = facts.project.get(todo::FILE).map(|text| String::from_utf8_lossy(text));
        plan.files.insert(todo::FILE.to_owned(), text(todo::text(facts.from, &plan.todo, old.as_deref())));
    }
    // What stays as it is.
    plan.files.retain(|path, source| facts.project.get(path).is_none_or(|old| *old != source.text || source.runs));
    let kept = |path: &String| {
        plan.files.contains_key(path)
            || path.strip_prefix("ioc/").is_some_and(|path| facts.top.files.contains_key(path))
    };
    let goes =
        |path: &&String| (path.starts_with("ioc/") && !kept(path)) || (is_check(path) && facts.shipped.contains(*path));
    plan.remove = facts.project.keys().filter(goes).filter(|path| !plan.files.contains_key(*path)).cloned().collect();
    plan
}

/// A text whose place in a file is a line further down.
fn a_line_later(item: &str, path: &str) -> String {
    let later = || {
        let rest = item.strip_prefix(path)?.strip_prefix(':')?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        Some(format!("{path}:{}{}", rest[..end].parse::<u32>().ok()? + 1, &rest[end..]))
    };
    later().unwrap_or_else(|| item.to_owned())
}

fn is_check(path: &str) -> bool {
    let kind = path.strip_prefix("checks/").and_then(|name| name.rsplit_once('.')).map(|(_, kind)| kind);
    kind.is_some_and(|kind| crate::scaffold::check::KINDS.contains(&kind))
}

/// A file that lint names, as seen from the top.
fn of_top(file: &str) -> &str {
    file.split_once('/').map_or(file, |(_, rest)| rest)
}

/// Where something is, as it will be in the project.
fn place(file: &str, line: u32) -> String {
    format!("ioc/{}:{line}", of_top(file))
}

/// Changes a line of a file; `None`, and no change, where that cannot be.
fn change(plan: &mut Plan, file: &str, line: u32, change: impl FnOnce(&str) -> Option<String>) -> Option<()> {
    let source = plan.files.get_mut(&format!("ioc/{}", of_top(file)))?;
    let text = String::from_utf8(source.text.clone()).ok()?;
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let own = lines.get_mut(line.checked_sub(1)? as usize)?;
    *own = change(own)?;
    source.text = lines.join("\n").into_bytes();
    Some(())
}

#[cfg(test)]
mod tests;
