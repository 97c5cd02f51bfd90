//! Limits that only a control group can keep (systemd.resource-control(5)): the sandbox has none, and says so.

use super::syntax::{self, Entry};

/// The directives, and the properties that show that nothing is limited.
const LIMITS: [(&str, &str); 6] = [
    ("CPUQuota", "CPUQuotaPerSecUSec"),
    ("MemoryHigh", "MemoryHigh"),
    ("MemoryLimit", "MemoryLimit"),
    ("MemoryMax", "MemoryMax"),
    ("MemorySwapMax", "MemorySwapMax"),
    ("TasksMax", "TasksMax"),
];

/// Whether this is one of them.
pub(super) fn is_limit(directive: &str) -> bool {
    LIMITS.iter().any(|(name, _)| *name == directive)
}

/// Their properties, as `systemctl show` prints them.
pub fn properties() -> impl Iterator<Item = &'static str> {
    LIMITS.iter().map(|(_, property)| *property)
}

/// What to say of a unit whose text sets limits; `None` where it sets none.
pub fn warning(unit: &str, text: &str) -> Option<String> {
    without_effect(unit, syntax::parse(text).unwrap_or_default().iter())
}

/// The same for the assignments of its file and drop-ins.
pub(super) fn without_effect<'a>(unit: &str, entries: impl Iterator<Item = &'a Entry>) -> Option<String> {
    let entries: Vec<&Entry> = entries.filter(|entry| entry.section == "Service").collect();
    let set = |name: &str| {
        let last = entries.iter().rev().find(|entry| entry.key == name);
        last.is_some_and(|entry| !matches!(entry.value.as_str(), "" | "infinity"))
    };
    let names: Vec<String> = LIMITS.iter().filter(|(name, _)| set(name)).map(|(name, _)| format!("{name}=")).collect();
    let verb = if names.len() == 1 { "has" } else { "have" };
    let them = if names.len() == 1 { "it" } else { "them" };
    (!names.is_empty())
        .then(|| format!("{unit}: {} {verb} no effect in the sandbox; backend nixos has {them}", names.join(" and ")))
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
            said("TasksMax=3\n").as_deref(),
            Some("a.service: TasksMax= has no effect in the sandbox; backend nixos has it")
        );
    }
}
