//! How many checks may run at once here.

/// What a machine of the sandbox needs, in MiB: its IOC, simulator and driver, measured at 60 and doubled.
const SANDBOX_MACHINE: u64 = 120;
/// What a virtual machine needs, in MiB: its memory (`virtualisation.memorySize`, 1024) and QEMU itself.
const VIRTUAL_MACHINE: u64 = 1280;

/// What this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSize {
    /// Processors that we may use.
    pub processors: usize,
    /// Memory that is free or can be freed, in MiB; `None` where it is not told.
    pub memory: Option<u64>,
}

/// Reads what this host has.
pub fn host_size() -> HostSize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    HostSize { processors, memory: available(&meminfo) }
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
    /// Judges what a backend may use, `asked` being what the command line says. Checks in the sandbox wait for most of their
    /// time (`simple` uses a quarter of a processor), so more of them run than there are processors.
    pub fn of(asked: Option<usize>, backend: &str, host: &HostSize) -> Self {
        let (factor, machine) = if backend == "sandbox" { (4, SANDBOX_MACHINE) } else { (1, VIRTUAL_MACHINE) };
        let jobs = asked.unwrap_or(factor * host.processors);
        // Who says how many wants so many.
        let memory = host.memory.filter(|_| asked.is_none()).unwrap_or(u64::MAX);
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

    #[test]
    fn who_says_how_many_gets_so_many() {
        let host = HostSize { processors: 2, memory: Some(4000) };
        assert_eq!(Slots::of(None, "sandbox", &host), Slots { jobs: 8, memory: 4000, machine: SANDBOX_MACHINE });
        assert_eq!(Slots::of(None, "driver", &host), Slots { jobs: 2, memory: 4000, machine: VIRTUAL_MACHINE });
        assert_eq!(Slots::of(Some(20), "sandbox", &host).memory, u64::MAX);
    }
}
