//! Links of StreamDevice records: `@FILE FUNCTION(ARGUMENTS) PORT`.

use std::path::{Path, PathBuf};

use epics_base_rs::server::record::declared_field;
use stream_rs::format::{DOUBLE_FORMAT, ENUM_FORMAT, SIGNED_FORMAT, STRING_FORMAT, UNSIGNED_FORMAT};

use super::database::{Database, Field, Record, field_names, has_fields};
use super::exchange::Said;
use super::layout::Layout;
use super::protocol::{Conversion, Protocols, column, name};
use super::report::{NOT_IN_SOFT_IOC, Place, Report, UNKNOWN, nearest, suggest, unreplaced};
use super::startup::{Opened, Startup};

/// So many functions of a file are named.
const SHOWN: usize = 50;

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
                    judge_call(record, field, &call, (database, startup), protocols, report);
                    let file = call.path.file_name().unwrap_or_default().to_string_lossy();
                    let name = format!("{file} {}", call.text);
                    let done = protocols.call(&call.path, call.text);
                    if !record.name.contains(UNKNOWN) {
                        said.calls.insert(record.name.clone(), (call.path.clone(), call.text.to_owned()));
                        said.add(record, !is_output(&record.kind), &name, call.port, startup.port(call.port), done);
                    }
                }
            }
            Some(_) => {}
            // It may have one behind the mistake.
            None if report.has("syntax", record.at.file) => {}
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
    port: &'a str,
}

/// Judges what a function does with the record that calls it.
fn judge_call(
    record: &Record,
    link: &Field,
    call: &Call,
    (database, startup): (&Database, &Startup),
    protocols: &mut Protocols,
    report: &mut Report,
) {
    let text = protocols.text(&call.path);
    let compiled = protocols.call(&call.path, call.text);
    let own = call.path.file_name().unwrap_or_default().to_string_lossy();
    let file = report.file(&call.path);
    if let Some((line, what)) = compiled.fault.as_ref().filter(|_| !report.has_error(file)) {
        let what = format!("`{}` does not compile: {what} (line {line} of {own})", call.text);
        report.error(call.at, "bad-call", what, "arguments stand in the link: \"@FILE FUNCTION(FIRST, SECOND) PORT\"");
    }
    // The last one given is the one that holds.
    let holds = record.field(&link.name).is_some_and(|last| std::ptr::eq(last, link));
    for &line in compiled.execs.iter().filter(|_| holds) {
        let place = Place { file, line, column: column(&text, line, "'exec'") };
        report.warning(place, NOT_IN_SOFT_IOC, "`exec` is not in a soft IOC: the protocol stops there", "");
    }
    // Neither driver has the interfaces that tell of events.
    let plain =
        |own: &&Opened| ["drvAsynIPPortConfigure", "drvAsynSerialPortConfigure"].contains(&own.command.as_str());
    if let Some(port) = startup.port(call.port).filter(plain).filter(|_| holds) {
        for &line in &compiled.events {
            let place = Place { file, line, column: column(&text, line, "'event'") };
            let what = format!("port {} of {} has no events: StreamDevice refuses the link", port.name, port.command);
            report.error(place, "bad-call", what, "`wait 1000;` waits for a time");
        }
    }
    for conversion in compiled.conversions.iter().filter(|_| holds) {
        let Some(target) = &conversion.target else {
            if !takes(record, conversion) {
                let Conversion { text, line, .. } = conversion;
                let of = match (record.kind.as_str(), record.field("FTVL")) {
                    ("waveform" | "aai" | "aao", ftvl) => {
                        let elements = ftvl.map_or("STRING, as no FTVL says otherwise", |field| field.value.as_str());
                        let article = if record.kind.starts_with('a') { "an" } else { "a" };
                        format!("{article} {} record of {elements}", record.kind)
                    }
                    (kind, _) => {
                        format!("{} {kind} record", if kind.starts_with(['a', 'e', 'i']) { "an" } else { "a" })
                    }
                };
                let what = format!("{of} has no value for `%{text}` (line {line} of {own})");
                report.error(call.at, "bad-conversion", what, "take a conversion of another type, or another record");
            }
            continue;
        };
        let place = || {
            let column = column(&text, conversion.line, &format!("'({target})'"));
            Place { file, line: conversion.line, column: column + 1 }
        };
        redirection(record, target, place, database, report);
    }
}

/// Whether the device support of a record has a value for a conversion (`dev*Stream.c`).
fn takes(record: &Record, conversion: &Conversion) -> bool {
    const WHOLE: [i32; 3] = [UNSIGNED_FORMAT, SIGNED_FORMAT, ENUM_FORMAT];
    let own = conversion.kind;
    match record.kind.as_str() {
        "ai" | "ao" => [UNSIGNED_FORMAT, SIGNED_FORMAT, DOUBLE_FORMAT].contains(&own),
        "longin" | "longout" | "int64in" | "int64out" => WHOLE.contains(&own),
        "bi" | "bo" | "mbbi" | "mbbo" => WHOLE.contains(&own) || own == STRING_FORMAT,
        "mbboDirect" if conversion.writes => WHOLE.contains(&own),
        "mbbiDirect" | "mbboDirect" => WHOLE[..2].contains(&own),
        "calcout" => WHOLE.contains(&own) || own == DOUBLE_FORMAT,
        "stringin" | "stringout" | "lsi" | "lso" => own == STRING_FORMAT,
        "waveform" | "aai" | "aao" => {
            let elements = record.field("FTVL").map_or("STRING", |field| field.value.as_str());
            let float = ["DOUBLE", "FLOAT"].contains(&elements);
            match elements {
                // A number of the menu.
                number if number.is_empty() || number.starts_with(|c: char| c.is_ascii_digit()) => true,
                "STRING" => own == STRING_FORMAT,
                _ if own == STRING_FORMAT => ["CHAR", "UCHAR"].contains(&elements),
                _ if own == DOUBLE_FORMAT => float || conversion.writes,
                _ => !(float && conversion.writes),
            }
        }
        _ => true,
    }
}

/// Judges where a conversion with a target, `%(FIELD)f`, is from or goes to.
fn redirection(record: &Record, target: &str, place: impl FnOnce() -> Place, database: &Database, report: &mut Report) {
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
            report.error(place(), "unknown-field", what, hint);
        }
        Some(other) if has_fields(&other.kind) && !field_names(&other.kind).any(|own| own == part) => {
            let hint = suggest(part, field_names(&other.kind), || format!("`{name}` is of type {}", other.kind));
            report.error(place(), "unknown-field", format!("`{name}` has no field `{part}`"), hint);
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
            let late = startup.late.contains(port);
            let hint = if late {
                "move the command that opens it above iocInit".to_owned()
            } else {
                suggest(port, startup.ports.iter().map(String::as_str), || {
                    format!("open it in the start-up script: drvAsynIPPortConfigure(\"{port}\", \"HOST:PORT\")")
                })
            };
            let when = if late { " before iocInit" } else { "" };
            let what = format!("the start-up script opens no port `{port}`{when}");
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
            let near = near.map(|near| format!("did you mean `{near}`?"));
            let search = search.replace(&format!("{}/", layout.top.display()), "");
            let path = || format!("STREAM_PROTOCOL_PATH is {search}; protocols come from *App/Db/");
            let hint = near.or_else(|| unreplaced(&search)).unwrap_or_else(path);
            report.error(field.place(file_at), "no-file", format!("there is no protocol file `{file}`"), hint);
        }
        return None;
    };
    let at = field.place(function_at);
    let Some(name) = name(call) else {
        let what = format!("no `)` ends the arguments of `{call}`, so StreamDevice refuses the link");
        report.error(at, "bad-link", what, "\"@FILE FUNCTION(FIRST, SECOND) PORT\"");
        return None;
    };
    // Where the file cannot be parsed, that is what is wrong.
    let read = protocols.read(&path, report)?;
    if read.names.contains(&name) {
        return Some(Call { path, text: call, at, port: port.map_or("", |(_, port)| port) });
    }
    let hint = suggest(&name, read.functions.iter().map(String::as_str), || match &read.functions[..] {
        [] => format!("`{file}` has no functions"),
        all if all.len() > SHOWN => format!("`{file}` has: {} …", all[..SHOWN].join(", ")),
        all => format!("`{file}` has: {}", all.join(", ")),
    });
    // As it is written; StreamDevice does not look at case.
    let name = call.get(..name.len()).filter(|own| own.eq_ignore_ascii_case(&name)).unwrap_or(&name);
    report.error(at, "unknown-function", format!("`{file}` has no function `{name}`"), hint);
    None
}

/// File, function and port of a link, each with its place in the text, as StreamDevice splits it (`Stream::initRecord`).
fn parts(link: &str) -> [Option<(usize, &str)>; 3] {
    let space = |own: char| own.is_ascii_whitespace() || own == '\x0b';
    let mut rest = link.strip_prefix('@').unwrap_or(link);
    let mut take = |function: bool| {
        rest = rest.trim_start_matches(space);
        let (own, at) = (rest, link.len() - rest.len());
        let mut end = own.find(|c| space(c) || (function && c == '(')).unwrap_or(own.len());
        let behind = own[end..].trim_start_matches(space);
        if function && behind.starts_with('(') {
            end = own.len() - behind.len() + arguments_end(behind, space);
        } else if function && !behind.is_empty() {
            // All white space but the last one belongs to the name, which loses its blanks.
            end = own[..own.len() - behind.len() - 1].trim_end_matches(' ').len();
        }
        rest = &own[end..];
        (end > 0).then_some((at, &own[..end]))
    };
    [take(false), take(true), take(false)]
}

/// Where arguments end that start with `(`: at white space behind the `)` that closes them.
fn arguments_end(text: &str, space: impl Fn(char) -> bool) -> usize {
    let (mut depth, mut guarded) = (0_i32, false);
    let end = text.find(|c| {
        if std::mem::take(&mut guarded) {
            return false;
        }
        guarded = c == '\\';
        depth += i32::from(c == '(') - i32::from(c == ')');
        space(c) && depth <= 0
    });
    end.unwrap_or(text.len())
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
        assert_eq!(parts("@ a.proto get"), [Some((2, "a.proto")), Some((10, "get")), None]);
        // What stands behind the arguments is a part of them, and white space is one of the name, but for blanks.
        assert_eq!(parts("@a.proto get(x)y P")[1..], [Some((9, "get(x)y")), Some((17, "P"))]);
        assert_eq!(parts("@a.proto get(x P"), [Some((1, "a.proto")), Some((9, "get(x P")), None]);
        assert_eq!(parts("@a.proto get(\\) ) P")[1..], [Some((9, "get(\\) )")), Some((18, "P"))]);
        assert_eq!(parts("@a.proto get  P")[1..], [Some((9, "get")), Some((14, "P"))]);
        assert_eq!(parts("@a.proto get\t\tP")[1..], [Some((9, "get\t")), Some((14, "P"))]);
        assert_eq!(parts("@a.proto get\tP")[1..], [Some((9, "get")), Some((13, "P"))]);
    }
}
