//! The structure of the tool, as its sources have it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex_lite::Regex;
use walkdir::WalkDir;

/// Names at the top of what follows `crate::`: one, or those in braces.
fn names(text: &str) -> Vec<&str> {
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else { return vec![text] };
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.filter_map(|part| part.trim().split("::").next()).collect()
}

/// Which modules at the top of a crate each of them uses, and where; tests are left out.
fn uses(src: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let path = Regex::new(r"\b(crate|super(?:::super)*)::(\{[^;]*\}|\w+)").unwrap();
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for entry in WalkDir::new(src).into_iter().map(Result::unwrap).filter(|entry| entry.path().extension().is_some()) {
        let file = entry.path().strip_prefix(src).unwrap().with_extension("");
        let mut module: Vec<_> = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.retain(|part| part != "mod");
        if ["lib", "main"].contains(&module[0].as_str()) || module.iter().any(|part| part == "tests") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let own = all.entry(module[0].clone()).or_default();
        for found in path.captures_iter(text) {
            // From its own root on, `super` is the crate.
            if &found[1] != "crate" && found[1].matches("super").count() < module.len() {
                continue;
            }
            for name in names(found.get(2).unwrap().as_str()) {
                own.entry(name.to_owned()).or_insert_with(|| entry.path().display().to_string());
            }
        }
        own.remove(&module[0]);
    }
    all
}

#[test]
fn modules_of_a_crate_use_each_other_one_way() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut seen = 0;
    for folder in std::fs::read_dir(&crates).unwrap().map(|entry| entry.unwrap().path()) {
        let mut uses = uses(&folder.join("src"));
        seen += uses.values().map(BTreeMap::len).sum::<usize>();
        // Take away those that use nothing that is left, until none is.
        loop {
            let left: BTreeSet<String> = uses.keys().cloned().collect();
            for used in uses.values_mut() {
                used.retain(|name, _| left.contains(name));
            }
            uses.retain(|_, used| !used.is_empty());
            if uses.len() == left.len() {
                break;
            }
        }
        assert!(uses.is_empty(), "a circle in {}: {uses:#?}", folder.display());
    }
    assert!(seen > 100, "only {seen} uses are seen");
}

#[test]
fn a_use_is_seen_however_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        std::fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(file), text).unwrap();
    };
    write("a.rs", "use crate::{b::{self, X}, c};\n#[cfg(test)]\nmod tests { use crate::e; }");
    write("b/mod.rs", "use super::d;\nfn f() { crate::e::g() }");
    write("b/inner.rs", "use super::sibling; use super::super::c;");
    let seen = uses(dir.path());
    let of = |name: &str| seen[name].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!((of("a"), of("b")), (vec!["b", "c"], vec!["c", "d", "e"]));
}
