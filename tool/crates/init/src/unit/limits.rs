//! What a unit asks for and the sandbox cannot give, and says so: limits that only a control group can keep
//! (systemd.resource-control(5)), rights that it takes away from nobody (systemd.exec(5)), and all else that is accepted.

use super::directives::{LIMITS, accepted};
use super::syntax::{self, Entry};

/// Their properties, as `systemctl show` prints them.
pub fn properties() -> impl Iterator<Item = &'static str> {
    LIMITS.iter().map(|(_, property)| *property)
}

/// What to say of a unit whose text asks for such things; `None` where it does not.
pub fn warning(unit: &str, text: &str) -> Option<String> {
    without_effect(unit, syntax::parse(text).unwrap_or_default().iter())
}

/// The same for the assignments of its file and drop-ins.
pub(super) fn without_effect<'a>(unit: &str, entries: impl Iterator<Item = &'a Entry>) -> Option<String> {
    let entries: Vec<&Entry> = entries.filter(|entry| entry.section == "Service").collect();
    let set = |name: &str| {
        let last = entries.iter().rev().find(|entry| entry.key == name);
        last.is_some_and(|entry| !["", "infinity", "no", "false", "off", "0"].contains(&entry.value.as_str()))
    };
    let names: Vec<String> = accepted().filter(|name| set(name)).map(|name| format!("{name}=")).collect();
    let (last, others) = names.split_last()?;
    let list = if others.is_empty() { last.clone() } else { format!("{} and {last}", others.join(", ")) };
    let verb = if names.len() == 1 { "has" } else { "have" };
    let them = if names.len() == 1 { "it" } else { "them" };
    Some(format!("{unit}: {list} {verb} no effect in the sandbox; backend nixos has {them}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named() {
        let said = |text: &str| warning("a.service", &format!("[Service]\nExecStart=/x\n{text}"));
        assert_eq!(said("TasksMax=infinity\nMemoryMax=1G\nMemoryMax=\n"), None);
        assert_eq!(
            said("MemoryMax=1G\nCPUQuota=20%\n").as_deref(),
            Some("a.service: CPUQuota= and MemoryMax= have no effect in the sandbox; backend nixos has them")
        );
        assert_eq!(
            said("PrivateUsers=yes\nSystemCallFilter=~@clock\nLockPersonality=no\nTasksMax=3\n").as_deref(),
            Some(
                "a.service: TasksMax=, PrivateUsers= and SystemCallFilter= have no effect in the sandbox; \
                 backend nixos has them"
            )
        );
        assert_eq!(
            said("CPUWeight=20\nTTYPath=/dev/tty1\n").as_deref(),
            Some("a.service: CPUWeight= and TTYPath= have no effect in the sandbox; backend nixos has them")
        );
        assert_eq!(
            said("TasksMax=3\n").as_deref(),
            Some("a.service: TasksMax= has no effect in the sandbox; backend nixos has it")
        );
    }
}
