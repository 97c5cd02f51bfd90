//! Which names and values ioc.toml and `checks/NAME.toml` can have.

use std::collections::BTreeMap;

/// What `adopt` could not do: a list that the user owns, and `doctor` shows.
pub const TODO: &str = "TODO-adopt.md";

/// Modules of EPNix's `support`, by the name that RELEASE files give them.
pub(crate) const MODULES: [(&str, &str); 24] = [
    ("ADS_DRIVER", "adsDriver"),
    ("ASYN", "asyn"),
    ("AUTOPARAM", "autoparamDriver"),
    ("AUTOSAVE", "autosave"),
    ("BUSY", "busy"),
    ("CALC", "calc"),
    ("DEVLIB2", "devlib2"),
    ("EPICS_SYSTEMD", "epics-systemd"),
    ("GTEST", "gtest"),
    ("IPAC", "ipac"),
    ("MODBUS", "modbus"),
    ("MRFIOC2", "mrfioc2"),
    ("OPCUA", "opcua"),
    ("PVXS", "pvxs"),
    ("RECCASTER", "reccaster"),
    ("SEQ", "seq"),
    ("SNCSEQ", "seq"),
    ("SNMP", "snmp"),
    ("SSCAN", "sscan"),
    ("STREAM", "StreamDevice"),
    ("STREAMDEVICE", "StreamDevice"),
    ("STREAM_DEVICE", "StreamDevice"),
    ("TWINCATADS", "twincat-ads"),
    ("TWINCAT_ADS", "twincat-ads"),
];

/// The support module of EPNix that was meant by a name which it has not. Others may come with an overlay, as `devlib` or
/// `scan`: of short names, only case and two letters in the wrong order tell what was meant.
pub(crate) fn misspelt_support(name: &str) -> Option<&'static str> {
    let known = || MODULES.iter().map(|(_, own)| *own);
    let letters = |name: &str| {
        let mut letters = name.to_lowercase().into_bytes();
        letters.sort_unstable();
        letters
    };
    let near = |own: &&str| {
        let edits = strsim::damerau_levenshtein(&name.to_lowercase(), &own.to_lowercase());
        edits == 0 || edits == 1 && (letters(name) == letters(own) || own.len() > 7)
    };
    known().find(near).filter(|_| known().all(|own| own != name))
}

/// Whether units, files and machines can have this name; the error says what can be used.
pub fn valid_name(name: &str) -> Result<(), &'static str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.starts_with('-') || !name.chars().all(word) {
        return Err("only ASCII letters, digits, `_` and `-` can be used");
    }
    Ok(())
}

/// Whether it is a tty for a simulator: NixOS has /dev/tty1, /dev/ttyS0 and their like itself.
pub(crate) fn is_tty(path: &str) -> bool {
    let Some(name) = path.strip_prefix("/dev/tty") else { return false };
    let own = name.strip_prefix('S').unwrap_or(name);
    own.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && valid_name(name).is_ok()
}

/// Whether it is a plain absolute path.
pub(crate) fn is_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    path.starts_with('/') && path.len() > 1 && path.chars().all(plain) && !path.contains("..")
}

/// What the unit of an IOC sets itself on NixOS, whatever else is said.
const OF_THE_UNIT: [&str; 4] = ["EPICS_CA_ADDR_LIST", "EPICS_CA_AUTO_ADDR_LIST", "EPICS_IOCSH_HISTFILE", "PATH"];

/// What is wrong with the names of an IOC's variables.
pub(crate) fn variables_problem(variables: &BTreeMap<String, String>) -> Option<String> {
    variables.keys().find_map(|name| {
        let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !word {
            return Some(format!("`{name}` is no name for a variable"));
        }
        let which = match name.as_str() {
            "EPICS_CA_ADDR_LIST" | "EPICS_CA_AUTO_ADDR_LIST" => {
                " (by `ca_addr_list` of its machine in checks/NAME.toml)"
            }
            _ => "",
        };
        OF_THE_UNIT.contains(&name.as_str()).then(|| format!("`{name}` is set by the unit of the IOC{which}"))
    })
}

/// What is wrong with `python` and `path`, of ioc.toml or checks/NAME.toml: the key and the problem.
pub(crate) fn programs_problem(python: &[String], path: &[String]) -> Result<(), (String, String)> {
    let package = |name: &String| {
        valid_name(name)
            .map_err(|why| ("python", format!("`python` is `{name}`: {why}\n\nhint: python = [\"pyepics\"]")))
    };
    let folder = |name: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
        let below = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && !name.contains("..");
        let what =
            || ("path", format!("`path` is `{name}`: it must be a folder of the project\n\nhint: path = [\"tools\"]"));
        (below && name.chars().all(plain)).then_some(()).ok_or_else(what)
    };
    let problem = python.iter().try_for_each(package).and_then(|()| path.iter().try_for_each(folder));
    problem.map_err(|(key, problem)| (key.to_owned(), problem))
}
