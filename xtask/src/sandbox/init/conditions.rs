//! Looking at the conditions of a unit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::manager::types::Unmet;
use super::unit::{Condition, Unit};
use crate::sandbox::applets::glob;

/// Why the unit does not start, if a condition or assertion does not hold.
pub(super) fn check(unit: &Unit, host: &str) -> Option<Unmet> {
    let failing = |list: &[Condition], prefix: &str| {
        let text = |c: &Condition| {
            let (trigger, negate) = (if c.trigger { "|" } else { "" }, if c.negate { "!" } else { "" });
            format!("{prefix}{}={trigger}{negate}{}", c.name, c.value)
        };
        let (triggers, needed): (Vec<_>, Vec<_>) = list.iter().partition(|c| c.trigger);
        let first = needed.into_iter().find(|c| !holds(c, host));
        let last = triggers.last().filter(|_| !triggers.iter().any(|c| holds(c, host))).copied();
        first.or(last).map(text)
    };
    failing(&unit.conditions, "Condition")
        .map(Unmet::Condition)
        .or_else(|| failing(&unit.asserts, "Assert").map(Unmet::Assert))
}

fn holds(condition: &Condition, host: &str) -> bool {
    let value = condition.value.as_str();
    let path = Path::new(value);
    let truth = match condition.name {
        "PathExists" => path.exists(),
        "PathExistsGlob" => !glob::paths(value).is_empty(),
        "PathIsDirectory" => path.is_dir(),
        "PathIsSymbolicLink" => path.is_symlink(),
        "PathIsMountPoint" => fs::read_to_string("/proc/self/mountinfo")
            .is_ok_and(|text| text.lines().any(|l| l.split(' ').nth(4) == Some(value))),
        "PathIsReadWrite" => unix::unistd::access(path, unix::unistd::AccessFlags::W_OK).is_ok(),
        "DirectoryNotEmpty" => fs::read_dir(path).is_ok_and(|mut d| d.next().is_some()),
        "FileNotEmpty" => path.metadata().is_ok_and(|m| m.is_file() && m.len() > 0),
        "FileIsExecutable" => path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0),
        "Host" => glob::matches(value, host),
        "User" => matches!(value, "root" | "0" | "@system"),
        // The machine stands for the virtual one that the check was written for.
        "Virtualization" => !matches!(value, "no" | "false" | "0" | "private-users"),
        "Environment" => match value.split_once('=') {
            Some((key, want)) => std::env::var(key).is_ok_and(|v| v == want),
            None => std::env::var_os(value).is_some(),
        },
        _ => false,
    };
    truth != condition.negate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(name: &'static str, value: &str, negate: bool, trigger: bool) -> Condition {
        Condition { name, value: value.into(), negate, trigger }
    }

    #[test]
    fn one_trigger_is_enough_and_all_others_must_hold() {
        let mut unit = Unit::new("u.service", super::super::unit::Load::Loaded);
        unit.conditions = vec![
            condition("PathExists", "/", false, false),
            condition("PathExists", "/none", false, true),
            condition("PathExists", "/none", true, true),
        ];
        assert_eq!(check(&unit, "machine"), None);
        unit.conditions[2].negate = false;
        assert_eq!(check(&unit, "machine"), Some(Unmet::Condition("ConditionPathExists=|/none".into())));
        unit.conditions =
            vec![condition("Host", "mach*", false, false), condition("PathExistsGlob", "/pro*/self", false, false)];
        assert_eq!(check(&unit, "machine"), None);
    }
}
