//! Links of StreamDevice records: `@FILE FUNCTION(ARGUMENTS) PORT`.

use std::path::Path;

use super::database::{Database, Field};
use super::finding::{Report, suggest};
use super::layout::Layout;
use super::protocol::Protocols;
use super::startup::Startup;
use super::text::UNKNOWN;

/// Judges the links of all records whose DTYP is `stream`.
pub fn judge(database: &Database, startup: &Startup, layout: &Layout, protocols: &mut Protocols, report: &mut Report) {
    for record in &database.records {
        if record.field("DTYP").is_some_and(|dtyp| dtyp.value == "stream") {
            let link = record.field("INP").or_else(|| record.field("OUT"));
            if let Some(field) = link.filter(|field| field.value.starts_with('@')) {
                judge_link(field, startup, layout, protocols, report);
            }
        }
    }
}

fn judge_link(field: &Field, startup: &Startup, layout: &Layout, protocols: &mut Protocols, report: &mut Report) {
    const HINT: &str = "\"@FILE FUNCTION PORT\", such as \"@device.proto getVoltage PS1\"";
    let parts = parts(&field.value);
    let [Some((file_at, file)), Some((function_at, call)), port] = parts else {
        report.error(field.value_at, "bad-link", format!("`{}` is no link of StreamDevice", field.value), HINT);
        return;
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
        return;
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
        return;
    };
    let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
    let name = name.trim_end();
    let functions = protocols.read(&path, report);
    if functions.contains_key(&name.to_lowercase()) || !arguments.is_empty() && functions.is_empty() {
        return;
    }
    let own: Vec<&str> = functions.keys().map(String::as_str).collect();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let spelled = own.iter().map(|name| as_written(&text, name)).collect::<Vec<_>>();
    let hint = suggest(name, spelled.iter().copied(), || match own[..] {
        [] => format!("`{file}` has no functions"),
        _ => format!("`{file}` has: {}", spelled.join(", ")),
    });
    report.error(field.place(function_at), "unknown-function", format!("`{file}` has no function `{name}`"), hint);
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
    fn parts_of_links() {
        assert_eq!(parts("@a.proto get PS1 3"), [Some((1, "a.proto")), Some((9, "get")), Some((13, "PS1"))]);
        assert_eq!(parts("@a.proto get(x, y) P")[1], Some((9, "get(x, y)")));
        assert_eq!(parts("@a.proto  get (x y) P"), [Some((1, "a.proto")), Some((10, "get (x y)")), Some((20, "P"))]);
        assert_eq!(parts("@"), [None, None, None]);
    }
}
