//! Whole IOCs: what is found where a copy of the template has a mistake, each of it once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const ST_CMD: &str = "iocBoot/iocExample/st.cmd";
const DB: &str = "exampleApp/Db/example.db";
const PROTO: &str = "exampleApp/Db/example.proto";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let own = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &own);
        } else {
            fs::copy(entry.path(), own).map(drop).unwrap();
        }
    }
}

/// A copy of the template's IOC below a folder of some name, edited: in a file, a text and what stands there instead. No text
/// stands for a file that is written anew.
fn with<T>(name: &str, edits: &[(&str, &str, &str)], use_it: impl FnOnce(PathBuf) -> T) -> T {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let around = std::env::temp_dir().join(format!("soft-ioc-lint-top-{}-{number}", std::process::id()));
    let top = around.join(name);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template/ioc"), &top);
    for (file, old, new) in edits {
        let path = top.join(file);
        let text = if old.is_empty() { String::new() } else { fs::read_to_string(&path).unwrap() };
        assert!(text.contains(old), "{file} has no `{old}`");
        fs::write(path, if old.is_empty() { (*new).to_owned() } else { text.replacen(old, new, 1) }).unwrap();
    }
    let out = use_it(top.join("iocBoot/iocExample"));
    fs::remove_dir_all(around).unwrap();
    out
}

fn all(name: &str, edits: &[(&str, &str, &str)]) -> Vec<Mistake> {
    static COMMANDS: OnceLock<BTreeSet<String>> = OnceLock::new();
    let commands = COMMANDS.get_or_init(|| crate::commands::all("example").unwrap());
    with(name, edits, |boot| {
        let (mut lint, script) = Lint::of(boot, "example", Path::new("st.cmd")).unwrap();
        lint.everything("example", &script, &[Environment::new()], commands);
        lint.report.all(&lint.layout.top)
    })
}

/// `code FILE:LINE:COLUMN`, the file by its name alone.
fn found(edits: &[(&str, &str, &str)]) -> Vec<String> {
    let short = |own: Mistake| {
        let file = own.file.rsplit('/').next().unwrap_or_default().to_owned();
        format!("{} {file}:{}:{}", own.code, own.line, own.column)
    };
    all("ioc", edits).into_iter().map(short).collect()
}

#[test]
fn a_top_may_have_any_name() {
    for name in ["ioc", "ioc(2)", "my,ioc", "ioc>x", "ioc<x", "ioc;a", "ioc:a", "a b", "#1", "it's"] {
        assert_eq!(all(name, &[]), [], "{name}");
    }
}

#[test]
fn a_sub_script_without_a_last_line_feed_ends_nothing() {
    let at = (ST_CMD, "## Load record", "< site.cmd\n## Load record");
    assert_eq!(
        found(&[at, ("iocBoot/iocExample/site.cmd", "", "epicsEnvSet(\"A\", \"b\")\necho x")]),
        ["unended-line site.cmd:2:1"]
    );
}

#[test]
fn a_line_that_the_shell_drops_is_told_once() {
    let lines = [
        "dbLoadDatabase(\"${TOP}/dbd/example.dbd\")",
        "epicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"${TOP}/db\")",
        "drvAsynIPPortConfigure(\"PS1\", \"${PSU_ADDRESS=localhost:9999}\")",
        "dbLoadRecords(\"${TOP}/db/example.db\", \"PREFIX=${PREFIX=},PORT=PS1\")",
    ];
    for (number, line) in [6, 10, 14, 17].into_iter().zip(lines) {
        for (at, _) in line.match_indices('"') {
            let mut broken = line.to_owned();
            broken.remove(at);
            let found = found(&[(ST_CMD, line, &broken)]);
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("unbalanced-quote st.cmd:{number}:")),
                "{broken}: {found:?}"
            );
        }
        for (at, _) in line.match_indices('}') {
            let mut broken = line.to_owned();
            broken.remove(at);
            let found = found(&[(ST_CMD, line, &broken)]);
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("syntax st.cmd:{number}:")),
                "{broken}: {found:?}"
            );
        }
    }
}

#[test]
fn an_ioc_whose_definitions_are_dropped_is_refused() {
    for (old, new) in [("example.dbd\")", "example.dbd)"), ("(pdbbase)", "(\"pdbbase)"), ("${TOP}/dbd", "${TOP/dbd")] {
        let refusals = with("ioc", &[(ST_CMD, old, new)], |boot| {
            let (lint, script) = Lint::of(boot, "example", Path::new("st.cmd")).unwrap();
            Outlook::of(lint, "example", &script).refusals
        });
        assert_eq!(refusals.len(), 1, "{new}: {refusals:?}");
    }
}

#[test]
fn rules_of_access_security_may_have_macros_of_either_form() {
    for reference in ["$(WHO)", "${WHO}"] {
        let rules = format!("UAG(a) {{ {reference} }}\nASG(DEFAULT) {{ RULE(1, WRITE) {{ UAG(a) }} }}\n");
        let set =
            (ST_CMD, "iocInit()", "asSetFilename(\"${TOP}/rules.acf\")\nasSetSubstitutions(\"WHO=me\")\niocInit()");
        assert_eq!(found(&[set, ("rules.acf", "", &rules)]), [] as [&str; 0], "{reference}");
    }
}

#[test]
fn macros_are_parted_by_commas_alone() {
    for mark in [" ", "\t", ";"] {
        let macros = format!("\"PREFIX=${{PREFIX=}}{mark}PORT=PS1\"");
        assert_eq!(found(&[(ST_CMD, "\"PREFIX=${PREFIX=},PORT=PS1\"", &macros)]), ["syntax st.cmd:17:40"]);
    }
}

#[test]
fn numbers_of_a_protocol_are_told_once() {
    assert_eq!(found(&[(PROTO, "out \"outp:mode?\";", "event 5s;")]), ["protocol example.proto:23:5"]);
}
