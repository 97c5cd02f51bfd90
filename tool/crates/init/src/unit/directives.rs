//! Every directive that the sandbox knows. One that is not in these tables is refused by name.

mod tables;

use std::path::PathBuf;

use super::protect::{Place, Protection};
use super::service::{DirKind, Exec, Restart, Stream, Type};
use super::syntax::Entry;
use super::values::{size, timespan};
use super::words::{Specifiers, split, split_quoted};
use super::{Condition, Dep, Kind, Service, Unit};
use tables::{CONDITIONS, INSTALL, SERVICE, UNIT, WITHOUT_EFFECT};

/// Limits that only a control group can keep, and the properties that show that nothing is limited.
pub(super) const LIMITS: [(&str, &str); 6] = [
    ("CPUQuota", "CPUQuotaPerSecUSec"),
    ("MemoryHigh", "MemoryHigh"),
    ("MemoryLimit", "MemoryLimit"),
    ("MemoryMax", "MemoryMax"),
    ("MemorySwapMax", "MemorySwapMax"),
    ("TasksMax", "TasksMax"),
];

/// Directives that only take rights away from a service: what works without them works with them here.
const RIGHTS: &str = "\
    AmbientCapabilities DeviceAllow DevicePolicy IPAddressAllow IPAddressDeny KeyringMode LockPersonality \
    MemoryDenyWriteExecute MountAPIVFS MountFlags PrivateIPC PrivateUsers ProcSubset ProtectClock RemoveIPC \
    RestrictAddressFamilies RestrictFileSystems RestrictNamespaces RestrictRealtime RestrictSUIDSGID SecureBits \
    SystemCallArchitectures SystemCallErrorNumber SystemCallFilter SystemCallLog";

/// A unit under construction.
pub struct Draft {
    unit: Unit,
    service: Service,
    spec: Specifiers,
}

/// Sections that hold notes of other programs.
fn is_foreign(section: &str) -> bool {
    section.starts_with("X-")
}

/// A unit from the assignments of its file and drop-ins. Errors name file, line and directive.
pub fn build(mut unit: Unit, spec: &Specifiers, files: &[(String, Vec<Entry>)]) -> Result<Unit, String> {
    let service = unit.service().cloned();
    let is_service = service.is_some();
    unit.load = super::Load::Loaded;
    let mut draft = Draft { unit, service: service.unwrap_or_default(), spec: spec.clone() };
    for (file, entries) in files {
        for entry in entries {
            let place = || format!("{file}:{}", entry.line);
            if is_foreign(&entry.section) || entry.key.starts_with("X-") {
                continue;
            }
            let table = match entry.section.as_str() {
                "Unit" => UNIT,
                "Install" => INSTALL,
                "Service" if is_service => SERVICE,
                other => return Err(format!("{}: section [{other}] has no meaning in {}", place(), draft.unit.name)),
            };
            if let Some((_, set)) = table.iter().find(|(name, _)| *name == entry.key) {
                set(&mut draft, &entry.value).map_err(|e| format!("{}: {}: {e}", place(), entry.key))?;
            } else if !draft.condition(entry).map_err(|e| format!("{}: {}: {e}", place(), entry.key))?
                && !is_without_effect(&entry.section, &entry.key)
            {
                return Err(format!("{}: {}", place(), unknown(&entry.section, &entry.key)));
            }
        }
    }
    let Draft { mut unit, service, .. } = draft;
    if is_service {
        check_service(&service).map_err(|e| format!("{}: {e}", files.first().map_or("", |(f, _)| f)))?;
        unit.kind = Kind::Service(Box::new(service));
    }
    Ok(unit)
}

fn check_service(service: &Service) -> Result<(), String> {
    if service.exec_start.is_empty() && service.exec_stop.is_empty() {
        return Err("service has neither ExecStart= nor ExecStop=".into());
    }
    if service.exec_start.is_empty() && !service.remain_after_exit {
        return Err("service without ExecStart= needs RemainAfterExit=yes".into());
    }
    if service.kind() != Type::Oneshot && service.exec_start.len() > 1 {
        return Err("more than one ExecStart= is for Type=oneshot only".into());
    }
    if service.kind() == Type::Oneshot && matches!(service.restart, Restart::Always | Restart::OnSuccess) {
        return Err("Type=oneshot cannot have Restart=always or on-success".into());
    }
    Ok(())
}

/// Directives of a service that are accepted without effect.
pub(super) fn accepted() -> impl Iterator<Item = &'static str> {
    let limits = LIMITS.into_iter().map(|(name, _)| name).chain(RIGHTS.split_whitespace());
    let others = WITHOUT_EFFECT
        .iter()
        .filter(|(section, ..)| *section == "Service")
        .flat_map(|(_, _, keys)| keys.split_whitespace());
    limits.chain(others)
}

fn is_without_effect(section: &str, key: &str) -> bool {
    WITHOUT_EFFECT.iter().any(|(s, _, keys)| *s == section && keys.split_whitespace().any(|known| known == key))
        || (section == "Service" && accepted().any(|known| known == key))
}

fn unknown(section: &str, key: &str) -> String {
    let tables = [("Unit", UNIT), ("Service", SERVICE), ("Install", INSTALL)];
    if let Some((other, _)) = tables.iter().find(|(s, t)| *s != section && t.iter().any(|(name, _)| *name == key)) {
        return format!("directive `{key}` belongs into section [{other}], not [{section}]");
    }
    let conditions = CONDITIONS.split_whitespace().flat_map(|c| [format!("Condition{c}"), format!("Assert{c}")]);
    let names = tables.iter().filter(|(s, _)| *s == section).flat_map(|(_, t)| t.iter().map(|(n, _)| (*n).to_owned()));
    let names = names.chain(conditions.filter(|_| section == "Unit"));
    let nearest = names.max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
    match nearest.filter(|n| strsim::jaro_winkler(n, key) > 0.8) {
        Some(nearest) => {
            format!("directive `{key}` of [{section}] is not known to the sandbox (did you mean `{nearest}`?)")
        }
        None => format!("directive `{key}` of [{section}] is not known to the sandbox"),
    }
}

impl Draft {
    fn words(&self, value: &str) -> Result<Vec<String>, String> {
        split(value)?.iter().map(|w| self.spec.expand(w)).collect()
    }

    fn text(&self, value: &str) -> Result<Option<String>, String> {
        self.spec.expand(value).map(|t| (!t.is_empty()).then_some(t))
    }

    fn absolute(&self, value: &str) -> Result<PathBuf, String> {
        let path = self.spec.expand(value)?;
        if path.starts_with('/') { Ok(path.into()) } else { Err(format!("`{path}` is not an absolute path")) }
    }

    fn deps(&mut self, kind: Dep, value: &str) -> Result<(), String> {
        for name in self.words(value)? {
            if !super::is_valid_name(&name) {
                return Err(format!("`{name}` is no name of a unit (names end in .service, .target, …)"));
            }
            self.unit.add_dep(kind, &name);
        }
        Ok(())
    }

    fn install(&mut self, value: &str, list: fn(&mut Unit) -> &mut Vec<String>) -> Result<(), String> {
        let words = split(value)?;
        list(&mut self.unit).extend(words);
        Ok(())
    }

    fn output(&self, value: &str, inherit: Stream) -> Result<Stream, String> {
        Ok(match value.split_once(':') {
            Some(("file", path)) => Stream::File(self.absolute(path)?),
            Some(("append", path)) => Stream::Append(self.absolute(path)?),
            Some(("truncate", path)) => Stream::Truncate(self.absolute(path)?),
            None => match value {
                "null" => Stream::Null,
                "journal" | "journal+console" | "syslog" | "syslog+console" | "kmsg" | "kmsg+console" => {
                    Stream::Journal
                }
                "inherit" => inherit,
                _ => {
                    return Err(format!(
                        "`{value}` is not offered by the sandbox (journal, null, inherit, file:, append:, truncate: are)"
                    ));
                }
            },
            _ => {
                return Err(format!(
                    "`{value}` is not offered by the sandbox (journal, null, inherit, file:, append:, truncate: are)"
                ));
            }
        })
    }

    fn limit(&mut self, name: &'static str, value: &str) -> Result<(), String> {
        let one = |text: &str| match name {
            "CPU" if text != "infinity" => timespan(text).map(|t| t.div_ceil(1_000_000)),
            _ => size(text),
        };
        let (soft, hard) = value.split_once(':').unwrap_or((value, value));
        self.service.limits.retain(|(n, ..)| *n != name);
        self.service.limits.push((name, one(soft)?, one(hard)?));
        Ok(())
    }

    /// Paths that a service may only read, and the like; empty drops those before.
    fn places(&mut self, value: &str, list: fn(&mut Protection) -> &mut Vec<Place>) -> Result<(), String> {
        let mut places = Vec::new();
        for word in self.words(value)? {
            let path = word.trim_start_matches(['-', '+']);
            if !path.starts_with('/') {
                return Err(format!("`{path}` is not an absolute path"));
            }
            let prefixes = &word[..word.len() - path.len()];
            places.push(Place { path: path.to_owned(), optional: prefixes.contains('-') });
        }
        let list = list(&mut self.service.protection);
        if places.is_empty() {
            list.clear();
        }
        list.extend(places);
        Ok(())
    }

    fn directories(&mut self, kind: DirKind, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.service.directories.retain(|(k, _)| *k != kind);
        }
        for path in self.words(value)? {
            if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(format!("`{path}` must be a relative path without `..`"));
            }
            self.service.directories.push((kind, path));
        }
        Ok(())
    }

    /// Takes `entry` if it is a condition or an assertion.
    fn condition(&mut self, entry: &Entry) -> Result<bool, String> {
        let (rest, is_assert) = match (entry.key.strip_prefix("Condition"), entry.key.strip_prefix("Assert")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return Ok(false),
        };
        let Some(name) = CONDITIONS.split_whitespace().find(|c| *c == rest).filter(|_| entry.section == "Unit") else {
            return Ok(false);
        };
        let list = if is_assert { &mut self.unit.asserts } else { &mut self.unit.conditions };
        if entry.value.is_empty() {
            list.clear();
            return Ok(true);
        }
        let trigger = entry.value.starts_with('|');
        let value = entry.value.trim_start_matches('|').trim_start();
        let negate = value.starts_with('!');
        let value = self.spec.expand(value.trim_start_matches('!').trim_start())?;
        if (name.contains("Path") || name.contains("File") || name.contains("Directory")) && !value.starts_with('/') {
            return Err(format!("`{value}` is not an absolute path"));
        }
        list.push(Condition { name, value, negate, trigger });
        Ok(true)
    }

    fn exec(&mut self, value: &str, list: fn(&mut Service) -> &mut Vec<Exec>) -> Result<(), String> {
        if value.is_empty() {
            list(&mut self.service).clear();
            return Ok(());
        }
        let words = split_quoted(value)?;
        for command in words.split(|(word, quoted)| word == ";" && !quoted) {
            let mut argv = Vec::new();
            for (word, _) in command {
                argv.push(if word == "\\;" { ";".to_owned() } else { self.spec.expand(word)? });
            }
            let Some(first) = argv.first().cloned() else { continue };
            let program = first.trim_start_matches(['-', '@', ':', '+', '!', '|']);
            let prefixes = &first[..first.len() - program.len()];
            if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
                return Err(format!("`{program}` is neither a plain name nor an absolute path of a program"));
            }
            if prefixes.contains('@') {
                argv.remove(0);
                if argv.is_empty() {
                    return Err("`@` needs a second word, the name that the program is called by".into());
                }
            } else {
                program.clone_into(&mut argv[0]);
            }
            list(&mut self.service).push(Exec {
                program: program.to_owned(),
                argv,
                ignore_failure: prefixes.contains('-'),
                no_env: prefixes.contains(':'),
                privileged: prefixes.contains('+'),
                keeps_root: prefixes.contains(['+', '!']),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Load, syntax};
    use super::*;

    fn build_text(name: &str, text: &str) -> Result<Unit, String> {
        let spec = Specifiers { unit: name.into(), ..Default::default() };
        build(Unit::new(name, Load::NotFound), &spec, &[("u.service".into(), syntax::parse(text)?)])
    }

    #[test]
    fn an_unknown_directive_is_refused_by_name() {
        let error = build_text("u.service", "[Service]\nExecStart=/bin/true\nWorkingDirectroy=/\n").unwrap_err();
        assert_eq!(
            error,
            "u.service:3: directive `WorkingDirectroy` of [Service] is not known to the sandbox (did you mean `WorkingDirectory`?)"
        );
        let error = build_text("u.service", "[Unit]\nRestart=always\n").unwrap_err();
        assert_eq!(error, "u.service:2: directive `Restart` belongs into section [Service], not [Unit]");
        let error = build_text("u.service", "[Socket]\nListenStream=1\n").unwrap_err();
        assert_eq!(error, "u.service:2: section [Socket] has no meaning in u.service");
    }

    #[test]
    fn commands_with_prefixes_and_lists() {
        let unit = build_text(
            "inst@a.service",
            "[Unit]\nDescription=Instance %i\n[Service]\nType=oneshot\nExecStart=/bin/false\nExecStart=\nExecStart=-@/bin/sh me -c 'exit 1' ; +echo \";\" %i\n",
        )
        .unwrap();
        let service = unit.service().unwrap();
        assert_eq!(unit.description, "Instance a");
        assert_eq!(service.exec_start.len(), 2);
        assert_eq!(service.exec_start[0].argv, ["me", "-c", "exit 1"]);
        assert!(service.exec_start[0].ignore_failure && !service.exec_start[1].ignore_failure);
        assert_eq!(service.exec_start[1].argv, ["echo", ";", "a"]);
        assert!(service.exec_start[1].privileged);
    }

    #[test]
    fn conditions_and_environment() {
        let unit = build_text(
            "u.service",
            "[Unit]\nConditionPathExists=|!/x\n[Service]\nExecStart=/bin/true\nEnvironment=A=1 \"B=two words\"\nEnvironment=A=2\n",
        )
        .unwrap();
        assert_eq!(
            unit.conditions,
            [Condition { name: "PathExists", value: "/x".into(), negate: true, trigger: true }]
        );
        let env = &unit.service().unwrap().environment;
        assert_eq!(env, &[("B".to_owned(), "two words".to_owned()), ("A".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn no_directive_stands_in_two_tables() {
        for (section, _, keys) in WITHOUT_EFFECT {
            let table = if *section == "Unit" { UNIT } else { SERVICE };
            for key in keys.split_whitespace() {
                assert!(!table.iter().any(|(name, _)| *name == key), "{key}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_value_of_any_directive_is_read_or_refused(index in 0..UNIT.len() + SERVICE.len(), value in "(\\PC|%|\\\\|;|'|:){0,30}") {
            let (section, key) = if index < UNIT.len() { ("Unit", UNIT[index].0) } else { ("Service", SERVICE[index - UNIT.len()].0) };
            let _ = build_text("u.service", &format!("[{section}]\n{key}={value}\n"));
        }
    }
}
