//! Links of StreamDevice records: `@FILE FUNCTION(ARGUMENTS) PORT`.

use std::path::{Path, PathBuf};

use epics_base_rs::server::record::declared_field;
use stream_rs::format::{DOUBLE_FORMAT, ENUM_FORMAT, SIGNED_FORMAT, STRING_FORMAT, UNSIGNED_FORMAT};

use super::database::{Database, Field, Record, field_names, has_fields};
use super::exchange::Said;
use super::finding::{NOT_IN_SOFT_IOC, Place, Report, UNKNOWN, nearest, suggest};
use super::layout::Layout;
use super::protocol::{Conversion, Protocols, column};
use super::startup::Startup;

/// Judges the links of all records whose DTYP is `stream`. What they say to their devices.
pub fn judge<'a>(
    database: &'a Database,
    startup: &Startup,
    layout: &Layout,
    protocols: &mut Protocols,
    report: &mut Report,
) -> Said<'a> {
    let mut said = Said::default();
    for record in &database.records {
        let Some(dtyp) = record.field("DTYP").filter(|dtyp| dtyp.value == "stream") else { continue };
        let link = record.field("INP").or_else(|| record.field("OUT"));
        match link.filter(|field| !field.value.trim().is_empty()) {
            Some(field) if field.value.starts_with('@') => {
                if let Some(call) = judge_link(field, startup, layout, protocols, report) {
                    judge_call(record, field, &call, database, protocols, report);
                    let file = call.path.file_name().unwrap_or_default().to_string_lossy();
                    let name = format!("{file} {}", call.text);
                    let port = parts(&field.value)[2].map_or("", |(_, port)| port);
                    let done = protocols.call(&call.path, call.text);
                    if !record.name.contains(UNKNOWN) {
                        said.calls.insert(record.name.clone(), (call.path.clone(), call.text.to_owned()));
                        said.add(record, !is_output(&record.kind), &name, port, &startup.opened, done);
                    }
                }
            }
            Some(_) => {}
            None => {
                let name = if is_output(&record.kind) { "OUT" } else { "INP" };
                let what = format!("the record has DTYP stream, and no {name}: StreamDevice leaves it dead");
                report.error(dtyp.value_at, "bad-link", what, format!("field({name}, \"@FILE FUNCTION PORT\")"));
            }
        }
    }
    said
}

/// Whether a record type of StreamDevice has OUT.
fn is_output(kind: &str) -> bool {
    declared_field(kind, "OUT").is_some()
}

/// A function of a protocol file as a record calls it.
struct Call<'a> {
    path: PathBuf,
    text: &'a str,
    at: Place,
}

/// Judges what a function does with the record that calls it.
fn judge_call(
    record: &Record,
    link: &Field,
    call: &Call,
    database: &Database,
    protocols: &mut Protocols,
    report: &mut Report,
) {
    let compiled = protocols.call(&call.path, call.text);
    let own = call.path.file_name().unwrap_or_default().to_string_lossy();
    let file = report.file(&call.path);
    if let Some((line, what)) = compiled.fault.as_ref().filter(|_| !report.has_error(file)) {
        let what = format!("`{}` does not compile: {what} (line {line} of {own})", call.text);
        report.error(call.at, "bad-call", what, "arguments stand in the link: \"@FILE FUNCTION(FIRST, SECOND) PORT\"");
    }
    let text = std::fs::read_to_string(&call.path).unwrap_or_default();
    // The last one given is the one that holds.
    let holds = record.field(&link.name).is_some_and(|last| std::ptr::eq(last, link));
    for &line in compiled.execs.iter().filter(|_| holds) {
        let place = Place { file, line, column: column(&text, line, "'exec'") };
        report.warning(place, NOT_IN_SOFT_IOC, "`exec` is not in a soft IOC: the protocol stops there", "");
    }
    for conversion in compiled.conversions.iter().filter(|_| holds) {
        let Some(target) = &conversion.target else {
            if !takes(&record.kind, conversion) {
                let Conversion { text, line, .. } = conversion;
                let what = format!("a {} record has no value for `%{text}` (line {line} of {own})", record.kind);
                report.error(call.at, "bad-conversion", what, "take a conversion of another type, or another record");
            }
            continue;
        };
        let column = column(&text, conversion.line, &format!("'({target})'"));
        let place = Place { file, line: conversion.line, column: column + 1 };
        redirection(record, target, place, database, report);
    }
}

/// Whether the device support of a record type has a value for a conversion (`dev*Stream.c`).
fn takes(kind: &str, conversion: &Conversion) -> bool {
    const WHOLE: [i32; 3] = [UNSIGNED_FORMAT, SIGNED_FORMAT, ENUM_FORMAT];
    let own = conversion.kind;
    match kind {
        "ai" | "ao" => [UNSIGNED_FORMAT, SIGNED_FORMAT, DOUBLE_FORMAT].contains(&own),
        "longin" | "longout" | "int64in" | "int64out" => WHOLE.contains(&own),
        "bi" | "bo" | "mbbi" | "mbbo" => WHOLE.contains(&own) || own == STRING_FORMAT,
        "mbboDirect" if conversion.writes => WHOLE.contains(&own),
        "mbbiDirect" | "mbboDirect" => WHOLE[..2].contains(&own),
        "calcout" => WHOLE.contains(&own) || own == DOUBLE_FORMAT,
        "stringin" | "stringout" | "lsi" | "lso" => own == STRING_FORMAT,
        _ => true,
    }
}

/// Judges where a conversion with a target, `%(FIELD)f`, is from or goes to.
fn redirection(record: &Record, target: &str, place: Place, database: &Database, report: &mut Report) {
    let (name, part) = target.split_once('.').unwrap_or((target, "VAL"));
    let is_own = |field: &str| declared_field(&record.kind, field).is_some_and(|desc| desc.name == field);
    if is_own(target) || !has_fields(&record.kind) {
        return;
    }
    match database.get(name) {
        None if report.open => {}
        None => {
            let hint = suggest(name, field_names(&record.kind), || "%(FIELD)… or %(RECORD.FIELD)…".to_owned());
            let what = format!("there is no field or record `{target}` for {}", record.name);
            report.error(place, "unknown-field", what, hint);
        }
        Some(other) if has_fields(&other.kind) && !field_names(&other.kind).any(|own| own == part) => {
            let hint = suggest(part, field_names(&other.kind), || format!("`{name}` is of type {}", other.kind));
            report.error(place, "unknown-field", format!("`{name}` has no field `{part}`"), hint);
        }
        Some(_) => {}
    }
}

/// Judges a link; the function that it calls, where that is there.
fn judge_link<'a>(
    field: &'a Field,
    startup: &Startup,
    layout: &Layout,
    protocols: &mut Protocols,
    report: &mut Report,
) -> Option<Call<'a>> {
    const HINT: &str = "\"@FILE FUNCTION PORT\", such as \"@device.proto getVoltage PS1\"";
    let parts = parts(&field.value);
    let [Some((file_at, file)), Some((function_at, call)), port] = parts else {
        report.error(field.value_at, "bad-link", format!("`{}` is no link of StreamDevice", field.value), HINT);
        return None;
    };
    if let Some((port_at, port)) = port {
        if !port.contains(UNKNOWN) && startup.lacks_port(port) {
            let hint = suggest(port, startup.ports.iter().map(String::as_str), || {
                format!("open it in the start-up script: drvAsynIPPortConfigure(\"{port}\", \"HOST:PORT\")")
            });
            let what = format!("the start-up script opens no port `{port}`");
            report.error(field.place(port_at), "unknown-port", what, hint);
        }
    } else {
        report.error(field.value_at, "bad-link", "the link names no port", HINT);
    }
    if file.contains(UNKNOWN) || call.contains(UNKNOWN) {
        return None;
    }
    let search = startup.variables.get("STREAM_PROTOCOL_PATH").map_or(".", String::as_str);
    let folders = || search.split([':', ';']);
    let found = folders().find_map(|folder| layout.find(&startup.folder.join(folder).join(file)));
    let Some(path) = found else {
        let why = || folders().find_map(|folder| layout.missing(&startup.folder.join(folder).join(file)));
        if let Some((what, hint)) = why().filter(|_| !search.contains(UNKNOWN)) {
            // Where make stops, that is what is wrong.
            if layout.build.faults.is_empty() {
                let what = format!("there is no protocol file `{file}`: {what}");
                report.error(field.place(file_at), "not-installed", what, hint);
            }
        } else if !search.contains(UNKNOWN) {
            let names: Vec<String> = layout.names().map(|(name, _)| name).filter(|own| is_protocol(own)).collect();
            let near = nearest(file, names.iter().map(String::as_str)).filter(|near| *near != file);
            let search = search.replace(&format!("{}/", layout.top.display()), "");
            let hint = near.map_or_else(
                || format!("STREAM_PROTOCOL_PATH is {search}; protocols come from *App/Db/"),
                |near| format!("did you mean `{near}`?"),
            );
            report.error(field.place(file_at), "no-file", format!("there is no protocol file `{file}`"), hint);
        }
        return None;
    };
    let name = call.split('(').next().unwrap_or(call).trim_end();
    let functions = protocols.read(&path, report);
    let at = field.place(function_at);
    if functions.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Some(Call { path, text: call, at });
    }
    let hint = suggest(name, functions.iter().map(String::as_str), || match functions {
        [] => format!("`{file}` has no functions"),
        _ => format!("`{file}` has: {}", functions.join(", ")),
    });
    report.error(at, "unknown-function", format!("`{file}` has no function `{name}`"), hint);
    None
}

/// File, function and port of a link, each with its place in the text.
fn parts(link: &str) -> [Option<(usize, &str)>; 3] {
    let mut at = 1;
    [false, true, false].map(|function| {
        at += link[at..].len() - link[at..].trim_start().len();
        let rest = &link[at..];
        let mut depth = 0_i32;
        let end = rest.find(|c: char| {
            depth += i32::from(c == '(' && function) - i32::from(c == ')' && function);
            c.is_whitespace() && depth <= 0
        });
        let mut end = end.unwrap_or(rest.len());
        // Arguments may stand behind a blank.
        let behind = &rest[end..];
        if function && behind.trim_start().starts_with('(') {
            end += behind.find(')').map_or(behind.len(), |close| close + 1);
        }
        let part = (at, &rest[..end]);
        at += end;
        (!part.1.is_empty()).then_some(part)
    })
}

fn is_protocol(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|own| own == "proto" || own == "protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_links() {
        assert_eq!(parts("@a.proto get PS1 3"), [Some((1, "a.proto")), Some((9, "get")), Some((13, "PS1"))]);
        assert_eq!(parts("@a.proto get(x, y) P")[1], Some((9, "get(x, y)")));
        assert_eq!(parts("@a.proto  get (x y) P"), [Some((1, "a.proto")), Some((10, "get (x y)")), Some((20, "P"))]);
        assert_eq!(parts("@"), [None, None, None]);
    }
}
