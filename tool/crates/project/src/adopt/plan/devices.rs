//! The simulator of each device, and the line of the script that says where it is.

use super::super::device;
use super::before::Before;
use super::{Adopted, Facts, Plan, change, place};
use tool_base::protocol::lint::Port;

/// A simulator for each TCP port and each serial one that records of an IOC use, and the script's word for where it is.
pub(super) fn devices(facts: &Facts, own: &Adopted, before: &Before, plan: &mut Plan) {
    let parts = &own.ioc.parts;
    let used = |port: &&Port| parts.exchanges.iter().any(|own| own.port == port.name);
    let serial = |port: &Port| port.command == "drvAsynSerialPortConfigure";
    let (known, others): (Vec<&Port>, Vec<&Port>) = parts.ports.iter().filter(used).partition(|port| {
        let protocol = port.address.split_whitespace().nth(1).unwrap_or("TCP");
        let tcp = ["TCP", "COM"].iter().any(|own| protocol.eq_ignore_ascii_case(own));
        serial(port) || port.command == "drvAsynIPPortConfigure" && tcp
    });
    for port in others {
        let records = parts.inputs.iter().filter(|(_, own)| *own == port.name).count();
        plan.todo.push(format!(
            "{}: {} opens port {} at {}, which no simulator stands in for: {records} of its records read nothing in checks; \
             where a terminal server is in between, drvAsynIPPortConfigure(\"{}\", \"${{{}_ADDRESS=HOST:PORT}}\")",
            place(&port.file, port.line),
            port.command,
            port.name,
            port.address,
            port.name,
            port.name.to_ascii_uppercase()
        ));
    }
    let names: Vec<(&str, bool)> = known.iter().map(|port| (port.name.as_str(), serial(port))).collect();
    let units = facts.iocs.iter().map(|own| facts.unit(own).unwrap_or("ioc").to_owned());
    let taken = facts.project.keys().filter_map(|path| path.strip_prefix("simulators/")?.strip_suffix(".py"));
    // One that an earlier adoption has made stays what it is.
    let taken = taken.filter(|name| !before.0.contains_key(*name)).map(str::to_owned).chain(units).collect();
    let devices = device::devices(&names, facts.unit(own), &taken, &plan.devices);
    for (mut device, port) in devices.into_iter().zip(&known) {
        let (file, line) = (&port.file, port.line);
        let mut found = None;
        let several = known.iter().filter(|other| (&other.file, other.line) == (file, line)).count() > 1;
        let changed = change(plan, file, line, |text| {
            let variable = if several { by_name(text, port)? } else { device.variable.clone() };
            let (line, own, address) = match text.find(&format!("${{{variable}=")) {
                Some(_) if several => (text.to_owned(), None, String::new()),
                _ => with_variable(text, port, &variable)?,
            };
            if several {
                device.variable = format!("{}_ADDRESS", port.name);
            }
            found = Some((own.filter(|_| !several), variable, address));
            Some(line)
        });
        let (own, variable, address) = found.unwrap_or_default();
        // Two simulators have two addresses.
        let taken = |name: &String| plan.devices.iter().any(|other| other.ioc == device.ioc && other.variable == *name);
        let shared = own.as_ref().is_some_and(taken);
        if let Some(own) = own.filter(|_| !shared) {
            device.variable = own;
        } else if changed.is_some() && !shared && address.is_empty() {
            // Mended with the first of its line.
        } else if changed.is_some() && !shared {
            plan.mended.push(format!(
                "{}: ${{{variable}={address}}} instead of {address}, so that checks reach a simulator",
                place(file, line)
            ));
        } else {
            plan.todo.push(format!(
                "{}: the address of port {} cannot be told apart there: let it come from the variable {}, which simulators.{} in ioc.toml sets",
                place(file, line),
                port.name,
                device.variable,
                device.name
            ));
        }
        plan.devices.push(device);
    }
}

/// A variable for each port that a line opens whose name is a macro, as `$(NAME)_ADDRESS`.
fn by_name(line: &str, port: &Port) -> Option<String> {
    let start = line.char_indices().nth(port.column.checked_sub(1)? as usize)?.0;
    let before = line[..start].trim_end_matches(['"', '\'', ' ']).trim_end_matches(',');
    let name = before.rsplit(['(', ' ', '"', '\'']).find(|word| !word.is_empty())?;
    let name = if name.ends_with(')') { before.get(before.rfind('$')?..)? } else { name };
    let name = name.trim_matches(['"', '\'']);
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let inner = name.strip_prefix("$(").and_then(|name| name.strip_suffix(')'));
    let inner = inner.or_else(|| name.strip_prefix("${").and_then(|name| name.strip_suffix('}')));
    (plain(inner?) && plain(&port.name)).then(|| format!("{name}_ADDRESS"))
}

/// A line whose address comes from a variable, the variable that it came from already, and the address as it was written.
fn with_variable(line: &str, port: &Port, variable: &str) -> Option<(String, Option<String>, String)> {
    let start = line.char_indices().nth(port.column.checked_sub(1)? as usize)?.0;
    let (before, rest) = line.split_at(start);
    let quote = before.chars().last().filter(|c| "\"'".contains(*c));
    let end = match quote {
        Some(quote) => rest.find(quote)?,
        None => rest.find([',', ')', ' ', '\t']).unwrap_or(rest.trim_end().len()),
    };
    let (address, after) = rest.split_at(end);
    // An open `$(` has its end behind a blank or a comma.
    if quote.is_none() && address.contains('$') {
        return None;
    }
    let inner = address.strip_prefix("$(").and_then(|text| text.strip_suffix(')'));
    let inner = inner.or_else(|| address.strip_prefix("${").and_then(|text| text.strip_suffix('}')));
    // Without a default it may be one that the script sets, unless nothing has told what it is.
    let (name, default) = inner.map_or(("", "$"), |inner| inner.split_once('=').unwrap_or((inner, "")));
    let from_outside = inner != Some(name) || port.address == "…";
    if from_outside && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !default.contains('$') {
        return Some((line.to_owned(), Some(name.to_owned()), address.to_owned()));
    }
    let protocol = address.find(' ').map_or("", |at| &address[at..]);
    let address = address.strip_suffix(protocol)?;
    Some((format!("{before}${{{variable}={address}}}{protocol}{after}"), None, address.to_owned()))
}
