//! Limits that only a control group can keep (systemd.resource-control(5)).

use std::collections::BTreeMap;
use std::fs;

use super::values::{INFINITY, show_timespan, size};
use super::{Service, Unit, syntax};

/// A directive, the property that shows it, the controller that keeps it, the file that the kernel reads it from.
#[derive(Debug)]
struct Kind {
    directive: &'static str,
    property: &'static str,
    controller: &'static str,
    file: &'static str,
}

const fn kind(directive: &'static str, property: &'static str, controller: &'static str, file: &'static str) -> Kind {
    Kind { directive, property, controller, file }
}

/// `MemoryLimit=` is the old name of `MemoryMax=`, which wins.
const KINDS: [Kind; 6] = [
    kind("CPUQuota", "CPUQuotaPerSecUSec", "cpu", "cpu.max"),
    kind("MemoryHigh", "MemoryHigh", "memory", "memory.high"),
    kind("MemoryLimit", "MemoryLimit", "memory", "memory.max"),
    kind("MemoryMax", "MemoryMax", "memory", "memory.max"),
    kind("MemorySwapMax", "MemorySwapMax", "memory", "memory.swap.max"),
    kind("TasksMax", "TasksMax", "pids", "pids.max"),
];

/// Period of `CPUQuota=`, µs.
const PERIOD: u64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    /// Bytes, tasks, or µs of each second.
    Number(u64),
    /// Parts in 10 000 of what the host has.
    Share(u64),
}

/// The limits of a unit, by directive. What is not in here has no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits(BTreeMap<&'static str, Amount>);

/// Something to write to a file of a control group.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// The directive.
    pub directive: &'static str,
    /// The file.
    pub file: &'static str,
    /// What to write.
    pub value: String,
}

/// Whether a text names such a limit: a unit, or a script that may write one.
pub fn are_named(text: &str) -> bool {
    KINDS.iter().any(|kind| text.contains(kind.directive))
}

impl Limits {
    /// Takes a directive over; `None` if it is not one of these. Empty or `infinity` is no limit.
    pub(super) fn set(&mut self, directive: &str, value: &str) -> Option<Result<(), String>> {
        let kind = KINDS.iter().find(|kind| kind.directive == directive)?;
        self.0.remove(kind.directive);
        if matches!(value, "" | "infinity") {
            return Some(Ok(()));
        }
        Some(amount(kind, value).map(|amount| {
            self.0.insert(kind.directive, amount);
        }))
    }

    /// The limits in a unit's text.
    pub fn of_text(text: &str) -> Self {
        let mut limits = Self::default();
        for entry in syntax::parse(text).unwrap_or_default().iter().filter(|e| e.section == "Service") {
            let _ = limits.set(&entry.key, &entry.value);
        }
        limits
    }

    /// The directives whose controllers are not among these.
    fn lost(&self, controllers: &[String]) -> Vec<&'static str> {
        let set = KINDS.iter().filter(|kind| self.0.contains_key(kind.directive));
        set.filter(|kind| !controllers.iter().any(|c| c == kind.controller)).map(|kind| kind.directive).collect()
    }

    /// What to say of a unit with limits that these controllers do not keep, and why not; `None` where all are kept.
    pub fn without_effect(&self, unit: &str, controllers: &[String], why: &str) -> Option<String> {
        let lost = self.lost(controllers);
        let (last, rest) = lost.split_last()?;
        let (names, verb, them) = if rest.is_empty() {
            (format!("{last}="), "has", "it")
        } else {
            (format!("{}= and {last}=", rest.join("=, ")), "have", "them")
        };
        Some(format!("{unit}: {names} {verb} no effect in the sandbox: {why}; backend nixos has {them}"))
    }

    /// What a unit's control group must be told, as far as these controllers keep it.
    pub fn settings(&self, controllers: &[String]) -> Vec<Setting> {
        let kinds = KINDS.iter().filter(|kind| controllers.iter().any(|c| c == kind.controller));
        kinds
            .filter_map(|kind| {
                let number = self.number(kind)?;
                let value = match kind.controller {
                    "cpu" => format!("{} {PERIOD}", number / (1_000_000 / PERIOD)),
                    _ => number.to_string(),
                };
                Some(Setting { directive: kind.directive, file: kind.file, value })
            })
            .collect()
    }

    /// Properties with their values, as `systemctl show` prints them.
    pub fn properties(&self) -> impl Iterator<Item = (&'static str, String)> {
        KINDS.iter().map(|kind| {
            let number = self.number(kind).unwrap_or(INFINITY);
            let text = match kind.controller {
                "cpu" => show_timespan(number),
                _ if number == INFINITY => "infinity".to_owned(),
                _ => number.to_string(),
            };
            (kind.property, text)
        })
    }

    fn number(&self, kind: &Kind) -> Option<u64> {
        match *self.0.get(kind.directive)? {
            Amount::Number(number) => Some(number),
            Amount::Share(share) if kind.controller == "memory" => Some(total_memory() / 4096 * share / 10_000 * 4096),
            Amount::Share(share) => Some(total_tasks() * share / 10_000),
        }
    }
}

impl Unit {
    /// Its limits that only a control group can keep.
    pub fn group_limits(&self) -> Option<&Limits> {
        self.service().map(|service: &Service| &service.group_limits)
    }
}

fn amount(kind: &Kind, value: &str) -> Result<Amount, String> {
    let share = value.strip_suffix('%').and_then(hundredths);
    let amount = match (kind.controller, share) {
        ("cpu", Some(share)) => Amount::Number(share * 100),
        ("cpu", None) => return Err(format!("`{value}` is no percentage")),
        (_, Some(share @ 0..=10_000)) => Amount::Share(share),
        (_, Some(_)) => return Err(format!("`{value}` is more than there is")),
        ("pids", None) => Amount::Number(value.parse().map_err(|_| format!("`{value}` is no number"))?),
        _ => Amount::Number(size(value)?),
    };
    match amount {
        Amount::Number(0) | Amount::Share(0) if kind.directive != "MemorySwapMax" => {
            Err(format!("`{value}` leaves nothing to run with"))
        }
        amount => Ok(amount),
    }
}

/// A decimal number with up to two digits behind the point, times 100.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "00"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || !(1..=2).contains(&part.len()) {
        return None;
    }
    format!("{whole}{part:0<2}").parse().ok().filter(|n| *n < 100_000_000)
}

/// Bytes of memory that the host has.
fn total_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Tasks that the host can have.
fn total_tasks() -> u64 {
    let limits = ["pid_max", "threads-max"].map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")));
    limits.into_iter().flatten().filter_map(|text| text.trim().parse().ok()).min().unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(assignments: &str) -> Limits {
        Limits::of_text(&format!("[Service]\nExecStart=/x\n{assignments}"))
    }

    fn all() -> Vec<String> {
        ["cpu", "memory", "pids"].map(String::from).to_vec()
    }

    fn settings(assignments: &str) -> Vec<(&'static str, String)> {
        limits(assignments).settings(&all()).into_iter().map(|s| (s.file, s.value)).collect()
    }

    #[test]
    fn limits_that_nothing_keeps_are_named_with_the_cause() {
        let set = limits("MemoryMax=1G\nMemoryHigh=1G\nTasksMax=infinity\nCPUQuota=50%\nMemoryHigh=\n");
        let said =
            "a.service: CPUQuota= and MemoryMax= have no effect in the sandbox: no cgroups; backend nixos has them";
        assert_eq!(set.without_effect("a.service", &[], "no cgroups").as_deref(), Some(said));
        let said = "a.service: CPUQuota= has no effect in the sandbox: no cpu; backend nixos has it";
        assert_eq!(set.without_effect("a.service", &["memory".into()], "no cpu").as_deref(), Some(said));
        assert_eq!(set.without_effect("a.service", &all(), ""), None);
        assert_eq!(limits("MemoryAccounting=yes\n").without_effect("a.service", &[], ""), None);
    }

    #[test]
    fn values_as_the_kernel_reads_them() {
        let got = settings("MemoryMax=30M\nMemorySwapMax=0\nTasksMax=5\nCPUQuota=12.5%\nMemoryHigh=infinity\n");
        let want =
            [("cpu.max", "12500 100000"), ("memory.max", "31457280"), ("memory.swap.max", "0"), ("pids.max", "5")];
        assert_eq!(got, want.map(|(file, value)| (file, value.to_owned())));
        assert_eq!(settings("CPUQuota=200%\n"), [("cpu.max", "200000 100000".to_owned())]);
        assert_eq!(limits("MemoryMax=1G\nTasksMax=5\n").settings(&["pids".into()]).len(), 1);
        let half: u64 = settings("MemoryMax=50%\n")[0].1.parse().unwrap();
        assert!((total_memory() / 2 - half) < 8192, "{half}");
    }

    #[test]
    fn the_new_name_of_a_limit_is_written_last() {
        let got = settings("MemoryMax=2M\nMemoryLimit=1M\n");
        assert_eq!(got, [("memory.max", "1048576".to_owned()), ("memory.max", "2097152".to_owned())]);
    }

    #[test]
    fn properties_as_systemd_prints_them() {
        let shown = limits("MemoryMax=30M\nCPUQuota=150%\n").properties().collect::<BTreeMap<_, _>>();
        assert_eq!(shown["MemoryMax"], "31457280");
        assert_eq!(shown["CPUQuotaPerSecUSec"], "1.500000s");
        assert_eq!(shown["TasksMax"], "infinity");
    }

    #[test]
    fn nonsense_is_refused() {
        for (directive, value) in [
            ("CPUQuota", "50"),
            ("CPUQuota", "0%"),
            ("CPUQuota", "1.234%"),
            ("CPUQuota", "-1%"),
            ("MemoryMax", "101%"),
            ("MemoryMax", "0"),
            ("MemoryMax", "lots"),
            ("TasksMax", "1K"),
        ] {
            assert!(matches!(Limits::default().set(directive, value), Some(Err(_))), "{directive}={value}");
        }
        assert_eq!(Limits::default().set("MemoryMin", "1G"), None);
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(index in 0..KINDS.len(), value in "(\\PC|%|[0-9.KMGT]){0,12}") {
            let mut limits = Limits::default();
            if limits.set(KINDS[index].directive, &value) == Some(Ok(())) {
                prop_assert_eq!(limits.settings(&all()).len(), usize::from(!matches!(value.as_str(), "" | "infinity")));
            }
        }
    }
}
