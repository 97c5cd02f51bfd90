//! What `systemctl` prints in tables and lists.

use std::fmt::Write as _;

use serde_json::Value;

use super::super::{Options, say};
use super::{asked, mangle_all, show as ask_show, too_few};
use crate::unit::SUFFIXES;
use tool_base::glob;
use tool_base::protocol::control::{Props, Reply, Request};

fn out(text: &str) {
    crate::applets::print(text.as_bytes());
}

/// `systemctl show`.
pub(super) fn show(words: &[String], given: &Options) -> Result<u8, String> {
    let chosen = given.all(&["-p", "--property", "-P"]);
    let wanted: Vec<&str> = chosen.iter().flat_map(|v| v.split(',').map(str::trim)).collect();
    let value_only = given.has(&["--value", "-P"]);
    let everything = given.has(&["--all", "-a"]);
    let sets: Vec<Props> = if words.is_empty() {
        vec![asked!(Props, Request::Manager)]
    } else {
        ask_show(&mangle_all(words)?, false)?.into_iter().map(|unit| unit.props).collect()
    };
    let mut text = String::new();
    for (index, set) in sets.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let mut line = |key: &str, value: &str| {
            if value_only {
                text.push_str(value);
            } else {
                let _ = write!(text, "{key}={value}");
            }
            text.push('\n');
        };
        // Without a selection, what is empty is left out.
        if wanted.is_empty() {
            set.iter().filter(|(_, v)| everything || !v.is_empty()).for_each(|(k, v)| line(k, v));
        } else {
            set.iter().filter(|(k, _)| wanted.contains(&k.as_str())).for_each(|(k, v)| line(k, v));
        }
    }
    out(&text);
    Ok(0)
}

/// `systemctl cat`.
pub(super) fn cat(words: &[String]) -> Result<u8, String> {
    too_few(words)?;
    let names = mangle_all(words)?;
    let mut text = String::new();
    for (unit, name) in ask_show(&names, false)?.iter().zip(&names) {
        let fragment = unit.get("FragmentPath");
        if fragment.is_empty() {
            say(&format!("No files found for {name}."));
            out(&text);
            return Ok(1);
        }
        if unit.get("LoadState") == "masked" {
            let _ = writeln!(text, "# Unit {name} is masked.");
            continue;
        }
        for path in std::iter::once(fragment).chain(unit.get("DropInPaths").split_whitespace()) {
            if !text.is_empty() {
                text.push('\n');
            }
            let file = std::fs::read_to_string(path).map_err(|e| format!("Failed to open {path}: {e}"))?;
            let _ = write!(text, "# {path}\n{file}");
        }
    }
    out(&text);
    Ok(0)
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:w$}")).collect();
        text.push_str(&cells.join(" "));
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// By type, services before targets; in each by name.
fn sort(rows: &mut [Vec<String>]) {
    rows.sort_by_cached_key(|row| (row[0].rsplit('.').next().map(str::to_owned), row[0].clone()));
}

fn wants_json(given: &Options) -> bool {
    given.last(&["-o", "--output"]) == Some("json")
}

/// `-o json`: an object for each row, with its keys in the order of the columns.
fn as_json(keys: &[&str], rows: &[Vec<String>]) -> String {
    let object = |row: &Vec<String>| {
        let pairs = keys.iter().zip(row).map(|(key, cell)| {
            // A table's dash is nothing.
            let value = if *key == "preset" && cell == "-" { Value::Null } else { Value::from(cell.as_str()) };
            format!("\"{key}\":{value}")
        });
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
    };
    format!("[{}]\n", rows.iter().map(object).collect::<Vec<_>>().join(","))
}

/// `systemctl list-units`, and `--failed`.
pub(super) fn list_units(words: &[String], given: &Options) -> Result<u8, String> {
    let mut states: Vec<&str> = given.all(&["--state"]).iter().flat_map(|s| s.split(',')).collect();
    if given.has(&["--failed"]) {
        states.push("failed");
    }
    let types: Vec<&str> = given.all(&["-t", "--type"]).iter().flat_map(|s| s.split(',')).collect();
    known_types(&types)?;
    let patterns: Vec<String> = words.iter().map(|w| super::mangle(w).unwrap_or_default()).collect();
    let all = given.has(&["--all", "-a"]);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for unit in asked!(Units, Request::List) {
        let suffix = unit.name.rsplit('.').next().unwrap_or_default();
        let by_state = if states.is_empty() {
            all || unit.active != "inactive" || unit.job.is_some()
        } else {
            states.iter().any(|s| [unit.load.as_str(), &unit.active, &unit.sub].contains(s))
        };
        let by_type = types.is_empty() || types.contains(&suffix);
        let by_name = patterns.is_empty() || patterns.iter().any(|p| glob::matches(p, &unit.name));
        if by_state && by_type && by_name {
            rows.push(vec![unit.name, unit.load, unit.active, unit.sub, unit.description]);
        }
    }
    sort(&mut rows);
    if wants_json(given) {
        out(&as_json(&["unit", "load", "active", "sub", "description"], &rows));
        return Ok(0);
    }
    let plain = given.has(&["--plain"]);
    let legend = !given.has(&["--no-legend"]);
    let count = rows.len();
    if !plain {
        for row in &mut rows {
            let mark = if row[2] == "failed" || row[1] != "loaded" { "●" } else { " " };
            row[0] = format!("{mark} {}", row[0]);
        }
    }
    if legend {
        let head = ["UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION"].map(String::from).to_vec();
        let head = if plain { head } else { [vec!["  UNIT".to_owned()], head[1..].to_vec()].concat() };
        rows.insert(0, head);
    }
    let mut text = table(&rows);
    if legend {
        if count > 0 {
            text.push_str(
                "\nLOAD   = Reflects whether the unit definition was properly loaded.\nACTIVE = The high-level unit activation state, i.e. generalization of SUB.\nSUB    = The low-level unit activation state, values depend on unit type.\n",
            );
        }
        let hint = if all || !states.is_empty() { "" } else { " Pass --all to see loaded but inactive units, too." };
        let _ = writeln!(text, "{count} loaded units listed.{hint}");
        if states.is_empty() {
            text.push_str("To show all installed unit files use 'systemctl list-unit-files'.\n");
        }
    }
    out(&text);
    Ok(0)
}

/// Refuses a word that is no type of units.
fn known_types(types: &[&str]) -> Result<(), String> {
    match types
        .iter()
        .find(|t| !SUFFIXES.contains(t) && !matches!(**t, "loaded" | "not-found" | "masked" | "bad-setting"))
    {
        Some(unknown) => {
            Err(format!("Unknown unit type or load state '{unknown}'.\nUse -t help to see a list of allowed values."))
        }
        None => Ok(()),
    }
}

/// `systemctl list-jobs`.
pub(super) fn list_jobs(words: &[String], given: &Options) -> Result<u8, String> {
    let patterns: Vec<String> = words.iter().map(|w| super::mangle(w).unwrap_or_default()).collect();
    let rows: Vec<Vec<String>> = asked!(Jobs, Request::Jobs)
        .into_iter()
        .filter(|job| patterns.is_empty() || patterns.iter().any(|p| glob::matches(p, &job.unit)))
        .map(|job| vec![job.id.to_string(), job.unit, job.kind, job.state])
        .collect();
    let legend = !given.has(&["--no-legend"]);
    let count = rows.len();
    if count == 0 {
        if legend {
            out(if patterns.is_empty() { "No jobs running.\n" } else { "No jobs listed.\n" });
        }
        return Ok(0);
    }
    let mut all = rows;
    if legend {
        all.insert(0, ["JOB", "UNIT", "TYPE", "STATE"].map(String::from).to_vec());
    }
    let width = all.iter().map(|row| row[0].len()).max().unwrap_or(0);
    for row in &mut all {
        row[0] = format!("{:>width$}", row[0]);
    }
    let mut text = table(&all);
    if legend {
        let _ = writeln!(text, "\n{count} jobs listed.");
    }
    out(&text);
    Ok(0)
}

/// `systemctl list-unit-files`.
pub(super) fn list_files(words: &[String], given: &Options) -> Result<u8, String> {
    let types: Vec<&str> = given.all(&["-t", "--type"]).iter().flat_map(|s| s.split(',')).collect();
    let states: Vec<&str> = given.all(&["--state"]).iter().flat_map(|s| s.split(',')).collect();
    let patterns: Vec<String> = words.iter().map(|w| super::mangle(w).unwrap_or_default()).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for file in asked!(Files, Request::Files) {
        let suffix = file.name.rsplit('.').next().unwrap_or_default();
        let fits = (types.is_empty() || types.contains(&suffix))
            && (states.is_empty() || states.contains(&file.state.as_str()))
            && (patterns.is_empty() || patterns.iter().any(|p| glob::matches(p, &file.name)));
        if fits && !file.state.is_empty() {
            let without = matches!(file.state.as_str(), "static" | "alias" | "masked" | "masked-runtime");
            let preset = if without { "-" } else { "enabled" };
            rows.push(vec![file.name, file.state, preset.to_owned()]);
        }
    }
    sort(&mut rows);
    if wants_json(given) {
        out(&as_json(&["unit_file", "state", "preset"], &rows));
        return Ok(0);
    }
    let count = rows.len();
    let legend = !given.has(&["--no-legend"]);
    if legend {
        rows.insert(0, ["UNIT FILE", "STATE", "PRESET"].map(String::from).to_vec());
    }
    let mut text = table(&rows);
    if legend {
        let _ = writeln!(text, "\n{count} unit files listed.");
    }
    out(&text);
    Ok(u8::from(count == 0 && !patterns.is_empty()))
}

/// `systemctl list-dependencies`.
pub(super) fn list_dependencies(words: &[String], given: &Options) -> Result<u8, String> {
    let names = if words.is_empty() { vec!["default.target".to_owned()] } else { mangle_all(words)? };
    let keys: &[&str] = if given.has(&["--reverse"]) {
        &["RequiredBy", "RequisiteOf", "WantedBy", "BoundBy", "ConsistsOf", "UpheldBy"]
    } else if given.has(&["--after"]) {
        &["After"]
    } else if given.has(&["--before"]) {
        &["Before"]
    } else {
        &["Requires", "Requisite", "Wants", "BindsTo", "Upholds"]
    };
    let plain = given.has(&["--plain"]);
    for name in &names {
        out(&format!("{name}\n"));
        let mut line = vec![name.clone()];
        branch(name, keys, plain, given.has(&["--all", "-a"]), "", &mut line)?;
    }
    Ok(0)
}

fn branch(
    name: &str,
    keys: &[&str],
    plain: bool,
    all: bool,
    indent: &str,
    line: &mut Vec<String>,
) -> Result<(), String> {
    let units = ask_show(&[name.to_owned()], false)?;
    let mut children: Vec<&str> =
        units.iter().flat_map(|unit| keys.iter().flat_map(|k| unit.get(k).split_whitespace())).collect();
    children.sort_unstable();
    children.dedup();
    for (index, child) in children.iter().enumerate() {
        let last = index + 1 == children.len();
        let state = ask_show(&[(*child).to_owned()], false)?;
        let mark = match state.first().map_or("", |unit| unit.get("ActiveState")) {
            "active" | "reloading" => "●",
            "failed" => "×",
            _ => "○",
        };
        let tree = if last { "└─" } else { "├─" };
        out(&if plain { format!("  {indent}{child}\n") } else { format!("{mark} {indent}{tree}{child}\n") });
        if (all || child.ends_with(".target")) && !line.iter().any(|l| l == child) {
            line.push((*child).to_owned());
            let deeper = if plain || last { format!("{indent}  ") } else { format!("{indent}│ ") };
            branch(child, keys, plain, all, &deeper, line)?;
            line.pop();
        }
    }
    Ok(())
}
