//! Looking at the conditions of a unit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::manager::types::Unmet;
use super::unit::{Condition, Unit};
use tool_base::glob;

/// Why the unit does not start, if a condition or assertion does not hold.
pub(super) fn check(unit: &Unit, host: &str) -> Option<Unmet> {
    match (verdict(&unit.conditions, host), verdict(&unit.asserts, host)) {
        (Verdict::Fails(condition), _) => Some(Unmet::Condition(Some(text(condition)))),
        (Verdict::NoTrigger, _) => Some(Unmet::Condition(None)),
        (Verdict::Holds, Verdict::Holds) => None,
        (Verdict::Holds, _) => Some(Unmet::Assert),
    }
}

/// What a list of conditions says.
enum Verdict<'a> {
    Holds,
    Fails(&'a Condition),
    NoTrigger,
}

/// Of several conditions that do not hold, systemd names the last.
fn verdict<'a>(list: &'a [Condition], host: &str) -> Verdict<'a> {
    let (triggers, needed): (Vec<_>, Vec<_>) = list.iter().partition(|c| c.trigger);
    match needed.into_iter().rfind(|c| !holds(c, host)) {
        Some(condition) => Verdict::Fails(condition),
        None if triggers.is_empty() || triggers.iter().any(|c| holds(c, host)) => Verdict::Holds,
        None => Verdict::NoTrigger,
    }
}

fn text(condition: &Condition) -> String {
    format!("Condition{}={}{}", condition.name, if condition.negate { "!" } else { "" }, condition.value)
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
        "FirstBoot" => matches!(value, "no" | "false" | "0"),
        "Environment" => match value.split_once('=') {
            Some((key, want)) => std::env::var(key).is_ok_and(|v| v == want),
            None => std::env::var_os(value).is_some(),
        },
        "Group" => matches!(value, "root" | "0" | "@system"),
        "KernelCommandLine" => {
            let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
            words.split_whitespace().any(|w| w == value || w.split('=').next() == Some(value))
        }
        "Architecture" => value == std::env::consts::ARCH.replace("x86_64", "x86-64").replace("aarch64", "arm64"),
        // Rights, power and control groups are the host's; a check is written for a machine that has them.
        "ACPower" => matches!(value, "yes" | "true" | "1"),
        "Capability" | "ControlGroupController" => true,
        "CPUs" => compares(std::thread::available_parallelism().map_or(1, std::num::NonZero::get), value),
        _ => false,
    };
    truth != condition.negate
}

/// Whether a number compares with a value such as `>=2` as that says.
fn compares(number: usize, value: &str) -> bool {
    let signs = [">=", "<=", "!=", ">", "<", "="];
    let (sign, wanted) = signs.iter().find_map(|s| Some((*s, value.strip_prefix(s)?))).unwrap_or((">=", value));
    let Ok(wanted) = wanted.trim().parse() else { return false };
    let order = number.cmp(&wanted);
    match sign {
        ">=" => order.is_ge(),
        "<=" => order.is_le(),
        "!=" => order.is_ne(),
        ">" => order.is_gt(),
        "<" => order.is_lt(),
        _ => order.is_eq(),
    }
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
        assert_eq!(check(&unit, "machine"), Some(Unmet::Condition(None)));
        unit.conditions =
            vec![condition("Host", "mach*", false, false), condition("PathExistsGlob", "/pro*/self", false, false)];
        assert_eq!(check(&unit, "machine"), None);
        unit.conditions[0].negate = true;
        assert_eq!(check(&unit, "machine"), Some(Unmet::Condition(Some("ConditionHost=!mach*".into()))));
        unit.conditions = vec![condition("CPUs", ">=1", false, false), condition("CPUs", "<1", true, false)];
        unit.asserts = vec![condition("PathExists", "/none", false, false)];
        assert_eq!(check(&unit, "machine"), Some(Unmet::Assert));
    }
}
