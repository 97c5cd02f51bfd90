//! What a service may not touch (systemd.exec(5), "Sandboxing"): the directives that act in the sandbox.

/// `ProtectSystem=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.exec(5)")]
pub enum System {
    #[default]
    No,
    Yes,
    Full,
    Strict,
}

/// `ProtectHome=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.exec(5)")]
pub enum Home {
    #[default]
    No,
    Yes,
    ReadOnly,
    Tmpfs,
}

/// A path of `ReadOnlyPaths=` and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path.
    pub path: String,
    /// `-`: it need not be there.
    pub optional: bool,
}

/// The settings of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.exec(5)")]
#[expect(clippy::struct_excessive_bools, reason = "systemd has that many switches")]
pub struct Protection {
    pub system: Option<System>,
    pub home: Option<Home>,
    pub private_tmp: Option<bool>,
    pub private_devices: bool,
    pub private_mounts: bool,
    pub kernel_tunables: bool,
    pub kernel_modules: bool,
    pub kernel_logs: bool,
    pub control_groups: bool,
    pub hostname: bool,
    pub no_new_privileges: Option<bool>,
    /// `ProtectProc=`, as the mount option `hidepid` of proc(5) has it.
    pub hide_processes: Option<&'static str>,
    /// Capabilities that the service may have, by their number; all where there is none.
    pub capabilities: Option<u64>,
    pub read_only: Vec<Place>,
    pub read_write: Vec<Place>,
    pub inaccessible: Vec<Place>,
}

impl Protection {
    /// Whether the service needs a view of its own on the file system.
    pub fn has_mounts(&self) -> bool {
        let Self { system, home, private_tmp, private_devices, private_mounts, hide_processes, .. } = self;
        system.is_some_and(|system| system != System::No)
            || home.is_some_and(|home| home != Home::No)
            || *private_tmp == Some(true)
            || *private_devices
            || *private_mounts
            || hide_processes.is_some()
            || self.kernel_tunables
            || self.kernel_modules
            || self.kernel_logs
            || self.control_groups
            || !(self.read_only.is_empty() && self.read_write.is_empty() && self.inaccessible.is_empty())
    }
}

/// Capabilities by their numbers (linux/capability.h).
const CAPABILITIES: &str = "\
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE \
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN \
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE \
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE";

/// How many capabilities there are.
pub const CAPABILITY_COUNT: u32 = 41;
const ALL: u64 = (1 << CAPABILITY_COUNT) - 1;

/// `CapabilityBoundingSet=` after another assignment of it: a list to keep or, behind `~`, to take away.
pub(super) fn capabilities(before: Option<u64>, words: &[String]) -> Result<Option<u64>, String> {
    let Some(first) = words.first() else { return Ok(Some(0)) };
    let taken = first.starts_with('~');
    let mut set = 0;
    for word in words {
        let name = word.trim_start_matches('~');
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        let number = CAPABILITIES.split_whitespace().position(|known| bare.eq_ignore_ascii_case(known));
        set |= 1_u64 << number.filter(|_| !name.is_empty()).ok_or_else(|| format!("`{name}` is no capability"))?;
    }
    Ok(Some(match (before, taken) {
        (before, true) => before.unwrap_or(ALL) & !set,
        (None, false) => set,
        (Some(before), false) => before | set,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn capabilities_are_kept_or_taken_away() {
        assert_eq!(capabilities(None, &words("CAP_CHOWN CAP_KILL")), Ok(Some(0b10_0001)));
        let less = capabilities(None, &words("~CAP_SYS_ADMIN")).unwrap();
        assert_eq!(less, Some(ALL & !(1 << 21)));
        assert_eq!(capabilities(less, &words("~CAP_CHOWN")), Ok(Some(ALL & !(1 << 21) & !1)));
        assert_eq!(capabilities(Some(1), &[]), Ok(Some(0)), "empty: none");
        assert!(capabilities(None, &words("CAP_NONE")).is_err());
        assert_eq!(CAPABILITIES.split_whitespace().count(), CAPABILITY_COUNT as usize);
    }
}
