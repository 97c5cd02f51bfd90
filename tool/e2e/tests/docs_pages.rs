//! The documentation is whole: links lead somewhere, and lists name what there is.
#![expect(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::pages::{pages, readme, root};
use regex_lite::Regex;

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut seen = 0;
    for (page, text) in pages() {
        for target in link.captures_iter(&text).map(|c| c.get(1).unwrap().as_str()) {
            if target.contains("://") {
                continue;
            }
            seen += 1;
            // What is outside tool/ is the user's, and may be gone.
            assert!(!target.contains("../.."), "{}: link to {target} leaves tool/", page.display());
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(root().join(&path).exists(), "{}: link to {target}: no such file", page.display());
            let there = || headings(&fs::read_to_string(root().join(&path)).unwrap()).contains(anchor);
            assert!(anchor.is_empty() || there(), "{}: link to {target}: no such heading", page.display());
        }
    }
    assert!(seen > 30, "{seen} links");
}

/// The guides are read from the root of a project: there, all that is ours lies below `tool/`.
#[test]
fn the_guides_name_our_files_from_the_root() {
    let bare = Regex::new(r"(?m)(?:^|[` ])((?:nix|embedded|docs|ci|crates|e2e|driver|template)/[\w.-]+)").unwrap();
    for (page, text) in pages() {
        // These are for whoever changes the tool, and say where they stand; the last tells of old names.
        let ours = ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "upgrade.md"];
        if ours.iter().any(|name| page.ends_with(name)) {
            continue;
        }
        let found: Vec<&str> = bare.captures_iter(&text).map(|c| c.get(1).unwrap().as_str()).collect();
        assert_eq!(found, [""; 0], "{} names files as they lay before they were below tool/", page.display());
    }
}

/// Anchors as GitHub makes them of the headings.
fn headings(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::new();
    let mut fenced = false;
    text.lines()
        .filter(|line| {
            fenced ^= line.starts_with("```");
            !fenced && line.starts_with('#')
        })
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = seen.entry(anchor.clone()).and_modify(|n| *n += 1).or_insert(0);
            if *count == 0 { anchor } else { format!("{anchor}-{count}") }
        })
        .collect()
}

#[test]
fn readme_leads_to_every_guide() {
    let Some(path) = readme() else {
        common::skipped("XTASK_README names no README");
        return;
    };
    let text = fs::read_to_string(&path).unwrap();
    for page in pages().into_iter().map(|(page, _)| page).filter(|page| *page != path) {
        let link = format!("({})", page.display());
        assert!(text.contains(&link), "{} has no link {link}", path.display());
    }
}

#[test]
fn the_map_names_every_crate_and_no_file_that_is_not_there() {
    let map = fs::read_to_string(root().join("tool/docs/ARCHITECTURE.md")).unwrap();
    let tool = root().join("tool");
    for entry in fs::read_dir(tool.join("crates")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        assert!(Regex::new(&format!(r"\b{name}\b")).unwrap().is_match(&map), "the map does not name crates/{name}");
    }
    let named = Regex::new(r"`([\w.]+(?:/[\w.]*)*)`|\s((?:base|init|sandbox|runner)/src/[\w./]+)").unwrap();
    let mut seen = 0;
    for line in map.lines() {
        // A bare name lies beside the file that the line names before it.
        let mut beside = None;
        for path in named.captures_iter(line).map(|c| c.get(1).or(c.get(2)).unwrap().as_str()) {
            let file = Path::new(path).extension().is_some_and(|kind| kind == "rs" || kind == "py");
            if path.contains('/') && !path.contains("NAME") && (file || path.contains("/src/")) {
                let places = [tool.join("crates").join(path), tool.join(path), tool.join("template").join(path)];
                let found = places.iter().find(|place| place.exists());
                assert!(found.is_some(), "tool/docs/ARCHITECTURE.md names {path}, which is not there");
                beside = found.and_then(|found| found.parent()).map(Path::to_owned);
                seen += 1;
            } else if let Some(folder) = beside.as_ref().filter(|_| file) {
                assert!(
                    folder.join(path).exists(),
                    "tool/docs/ARCHITECTURE.md names {path}, not in {}",
                    folder.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen} files");
}

/// Asks the driver itself: each name of a script with its signature, and where it works.
const ASK: &str = r#"
import inspect, sys
sys.path.insert(0, "tool")
from driver import vmonly
from driver.driver import Driver
from driver.logger import Logger
from driver.vm import QemuMachine

def tell(where, name, thing, vm_only):
    plain = inspect.isfunction(thing) or inspect.ismethod(thing)
    signature = "" if vm_only or not plain else str(inspect.signature(thing)).replace("(self, ", "(").replace("(self)", "()")
    print(where, name, "vm" if vm_only else "sandbox", signature.replace("'", '"'), sep="\t")

for name in dir(QemuMachine):
    if not name.startswith("_"):
        tell("machine", name, getattr(QemuMachine, name), name in vmonly.METHODS)
run = Driver({"machines": [], "vlans": [], "global_timeout": 1, "script": ""}, "", ".", None, None, None, None)
for name, thing in run.test_symbols(show=False).items():
    tell("script", name, thing, name in vmonly.FUNCTIONS)
for name in dir(Logger):
    if not name.startswith("_"):
        tell("log", name, None, False)
"#;

/// Public in Python, but the driver's own business.
const INTERNAL: [&str; 10] = [
    "machine kill",
    "machine log_serial",
    "machine retire",
    "machine run_callbacks",
    "log deprecated",
    "log log_serial",
    "log print_serial_logs",
    "log subtest",
    "log tried",
    "log under_way",
];

#[test]
fn checks_md_has_every_function_of_the_driver() {
    let output = Command::new("python3").args(["-B", "-c", ASK]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(root().join("tool/docs/checks.md")).unwrap();
    let (_, section) = text.split_once("## What a script may use").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let code = Regex::new("`([^`]+)`").unwrap();
    // What stands in the first column, with the last column.
    let mut documented = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        for name in code.captures_iter(cells[0]) {
            documented.insert(name.get(1).unwrap().as_str().to_owned(), cells[2].to_owned());
        }
        if cells[0].trim() == "`log`" {
            let names = code.captures_iter(cells[1]).map(|c| c.get(1).unwrap().as_str().to_owned());
            documented.extend(names.map(|name| {
                let name = name.trim_start_matches("log.").split('(').next().unwrap().to_owned();
                (format!("log.{name}"), cells[2].to_owned())
            }));
        }
    }
    let asked = String::from_utf8(output.stdout).unwrap();
    let mut real = BTreeSet::new();
    for line in asked.lines() {
        let [owner, name, place, signature] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        if INTERNAL.contains(&format!("{owner} {name}").as_str()) {
            continue;
        }
        let wanted = if owner == "log" { format!("log.{name}") } else { format!("{name}{signature}") };
        let Some(cell) = documented.get(&wanted) else {
            panic!("tool/docs/checks.md has no `{wanted}`: {:?}", documented.keys())
        };
        let says = if cell.trim().starts_with("VM only") { "vm" } else { "sandbox" };
        assert_eq!(says, place, "tool/docs/checks.md on `{wanted}`: {cell}");
        real.insert(wanted);
    }
    assert!(real.len() > 60, "{} names", real.len());
    // Machines and networks have names of their own.
    let made_up: Vec<_> = documented
        .keys()
        .filter(|name| !real.contains(*name) && !["machine", "NAME", "vlanN"].contains(&name.as_str()))
        .collect();
    assert!(made_up.is_empty(), "tool/docs/checks.md names what the driver has not: {made_up:?}");
}

#[test]
fn the_licence_note_is_everywhere_where_it_must_be() {
    let pages = ["tool/CONTRIBUTING.md", "tool/docs/embedded.md", "tool/embedded/deny.exceptions.toml"];
    for page in pages.into_iter().map(PathBuf::from).chain(readme()) {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        assert!(text.contains("LGPL-3.0-or-later"), "{} does not name the licence", page.display());
    }
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(root().join("tool").join(licence).is_file(), "{licence} is missing");
    }
    let lock = fs::read_to_string(root().join("tool/Cargo.lock")).unwrap();
    assert!(!lock.contains("epics-"), "xtask links a crate of EPICS: the README says that it does not");
}
