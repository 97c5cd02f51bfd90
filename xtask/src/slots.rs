//! How many checks may run at once here.

use crate::cli::Test;

/// What a machine of the sandbox needs, in MiB: its IOC, simulator and driver, measured at 60 and doubled.
const SANDBOX_MACHINE: u64 = 120;
/// What a virtual machine needs, in MiB: its memory (`virtualisation.memorySize`, 1024) and QEMU itself.
const VIRTUAL_MACHINE: u64 = 1280;

/// What this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Processors that we may use.
    pub processors: usize,
    /// Memory that is free or can be freed, in MiB; `None` where it is not told.
    pub memory: Option<u64>,
}

/// Reads what this host has.
pub fn machine() -> Machine {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Machine { processors, memory: available(&meminfo) }
}

/// `MemAvailable` of /proc/meminfo (proc_meminfo(5)), in MiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Slots of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Checks at once, at most.
    pub jobs: usize,
    /// Memory for all of them, in MiB.
    pub memory: u64,
    /// What each machine of a check needs, in MiB, where `checks/NAME.toml` says nothing.
    pub machine: u64,
}

impl Slots {
    /// Judges what a backend may use. Checks in the sandbox wait most of their time, so more run than there are processors.
    pub fn of(args: &Test, backend: &str, host: &Machine) -> Self {
        let (factor, machine) = if backend == "sandbox" { (2, SANDBOX_MACHINE) } else { (1, VIRTUAL_MACHINE) };
        let jobs = args.jobs.unwrap_or(factor * host.processors);
        // Who says how many wants so many.
        let memory = host.memory.filter(|_| args.jobs.is_none()).unwrap_or(u64::MAX);
        Self { jobs, memory, machine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_available() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   24117248 kB\n"), Some(23552));
        assert_eq!(available(""), None);
    }
}
