//! Links of StreamDevice records: `@FILE FUNCTION(ARGUMENTS) PORT`.

use std::path::{Path, PathBuf};

use epics_base_rs::server::record::declared_field;

use super::database::{Database, Field, Record, field_names, has_fields};
use super::finding::{Place, Report, suggest};
use super::layout::Layout;
use super::protocol::Protocols;
use super::startup::Startup;
use super::text::UNKNOWN;

/// Judges the links of all records whose DTYP is `stream`.
pub fn judge(database: &Database, startup: &Startup, layout: &Layout, protocols: &mut Protocols, report: &mut Report) {
    for record in &database.records {
        if record.field("DTYP").is_some_and(|dtyp| dtyp.value == "stream") {
            let link = record.field("INP").or_else(|| record.field("OUT"));
            match link.filter(|field| !field.value.trim().is_empty()) {
                Some(field) if field.value.starts_with('@') => {
                    if let Some(function) = judge_link(field, startup, layout, protocols, report) {
                        redirections(record, database, &function, report);
                    }
                }
                Some(_) => {}
                None => {
                    let at = record.field("DTYP").map_or(record.at, |dtyp| dtyp.value_at);
                    let name = if is_output(&record.kind) { "OUT" } else { "INP" };
                    let what = format!("the record has DTYP stream, and no {name}: StreamDevice leaves it dead");
                    report.error(at, "bad-link", what, format!("field({name}, \"@FILE FUNCTION PORT\")"));
                }
            }
        }
    }
}

/// A function of a protocol file that a record uses.
struct Function {
    path: PathBuf,
    name: String,
}

/// Whether a record type of StreamDevice has OUT.
fn is_output(kind: &str) -> bool {
    declared_field(kind, "OUT").is_some()
}

/// Judges what a function writes to other fields, `%(FIELD)f`, with the record that uses it.
fn redirections(record: &Record, database: &Database, function: &Function, report: &mut Report) {
    let text = std::fs::read_to_string(&function.path).unwrap_or_default();
    let file = report.file(&function.path);
    for (line, column, target) in redirected(&text, &function.name) {
        let (name, part) = target.split_once('.').unwrap_or((target, "VAL"));
        let is_own = |field: &str| declared_field(&record.kind, field).is_some_and(|desc| desc.name == field);
        if target.contains(['$', '\\']) || target.contains(UNKNOWN) || is_own(target) || !has_fields(&record.kind) {
            continue;
        }
        let place = Place { file, line, column };
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
}

/// The targets of redirections in a function, with line and column.
fn redirected<'a>(text: &'a str, function: &str) -> Vec<(u32, u32, &'a str)> {
    let (mut found, mut depth, mut inside) = (Vec::new(), 0_i32, false);
    for (number, line) in text.lines().enumerate() {
        let code =
            line.split_once('#').filter(|(before, _)| before.matches('"').count() % 2 == 0).map_or(line, |(c, _)| c);
        if depth == 0 {
            let head = code.split('{').next().unwrap_or_default().trim();
            inside = if head.is_empty() { inside } else { head.eq_ignore_ascii_case(function) };
        }
        let mut rest = 0;
        while let Some(at) = code[rest..].find("%(").map(|at| at + rest).filter(|_| inside) {
            let end = code[at..].find(')').map_or(code.len(), |end| at + end);
            // A percent sign before it makes it text.
            let escaped = code[..at].bytes().rev().take_while(|byte| *byte == b'%').count() % 2 == 1;
            if !escaped {
                let column = code[..at].chars().count() + 3;
                found.push((number + 1, column, &code[(at + 2).min(end)..end]));
            }
            rest = end;
        }
        depth += i32::try_from(code.matches('{').count()).unwrap_or(0);
        depth -= i32::try_from(code.matches('}').count()).unwrap_or(0);
    }
    let small = |number: usize| u32::try_from(number).unwrap_or(1);
    found.into_iter().map(|(line, column, target)| (small(line), small(column), target)).collect()
}

/// Judges a link; the function that it names, where that is there.
fn judge_link(
    field: &Field,
    startup: &Startup,
    layout: &Layout,
    protocols: &mut Protocols,
    report: &mut Report,
) -> Option<Function> {
    const HINT: &str = "\"@FILE FUNCTION PORT\", such as \"@device.proto getVoltage PS1\"";
    let parts = parts(&field.value);
    let [Some((file_at, file)), Some((function_at, call)), port] = parts else {
        report.error(field.value_at, "bad-link", format!("`{}` is no link of StreamDevice", field.value), HINT);
        return None;
    };
    if let Some((port_at, port)) = port {
        let open = startup.open || startup.ports.iter().any(|own| own.contains(UNKNOWN)) || port.contains(UNKNOWN);
        if !open && !startup.ports.contains(port) {
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
        if !search.contains(UNKNOWN) {
            let names = layout.names();
            let hint = suggest(file, names.iter().map(String::as_str).filter(|own| is_protocol(own)), || {
                let search = search.replace(&format!("{}/", layout.top.display()), "");
                format!("STREAM_PROTOCOL_PATH is {search}; protocols come from *App/Db/")
            });
            report.error(field.place(file_at), "no-file", format!("there is no protocol file `{file}`"), hint);
        }
        return None;
    };
    let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
    let name = name.trim_end();
    let functions = protocols.read(&path, report);
    if functions.contains_key(&name.to_lowercase()) {
        return Some(Function { path, name: name.to_owned() });
    }
    if !arguments.is_empty() && functions.is_empty() {
        return None;
    }
    let own: Vec<&str> = functions.keys().map(String::as_str).collect();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let spelled = own.iter().map(|name| as_written(&text, name)).collect::<Vec<_>>();
    let hint = suggest(name, spelled.iter().copied(), || match own[..] {
        [] => format!("`{file}` has no functions"),
        _ => format!("`{file}` has: {}", spelled.join(", ")),
    });
    report.error(field.place(function_at), "unknown-function", format!("`{file}` has no function `{name}`"), hint);
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

/// A name as the file spells it: its functions are compared in lower case.
fn as_written<'a>(text: &'a str, name: &'a str) -> &'a str {
    let lower = text.to_ascii_lowercase();
    lower.find(name).and_then(|at| text.get(at..at + name.len())).unwrap_or(name)
}

fn is_protocol(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|own| own == "proto" || own == "protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_redirections() {
        let text = "a { out \"Q\"; in \"%(EGU)s,%f\"; } # %(NO)d\nb\n{\n  in \"%%(no)d %(X:Y.VAL)d\";\n}\n";
        assert_eq!(redirected(text, "A"), [(1, 20, "EGU")]);
        assert_eq!(redirected(text, "b"), [(4, 17, "X:Y.VAL")]);
        assert_eq!(redirected(text, "c"), []);
    }

    #[test]
    fn parts_of_links() {
        assert_eq!(parts("@a.proto get PS1 3"), [Some((1, "a.proto")), Some((9, "get")), Some((13, "PS1"))]);
        assert_eq!(parts("@a.proto get(x, y) P")[1], Some((9, "get(x, y)")));
        assert_eq!(parts("@a.proto  get (x y) P"), [Some((1, "a.proto")), Some((10, "get (x y)")), Some((20, "P"))]);
        assert_eq!(parts("@"), [None, None, None]);
    }
}
