//! The `[Service]` of a unit.

use std::path::PathBuf;

use super::protect::{self, Protection};
use super::values::{INFINITY, StatusSet};

/// `Type=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.service(5)")]
pub enum Type {
    Simple,
    Exec,
    Oneshot,
    Notify,
    Forking,
    Idle,
}

/// `Restart=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.service(5)")]
pub enum Restart {
    No,
    Always,
    OnSuccess,
    OnFailure,
    OnAbnormal,
    OnAbort,
    OnWatchdog,
}

/// `KillMode=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.kill(5)")]
pub enum KillMode {
    ControlGroup,
    Mixed,
    Process,
    None,
}

/// `OOMPolicy=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.service(5)")]
pub enum OomPolicy {
    Continue,
    Stop,
    Kill,
}

/// One command of `ExecStart=` and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a prefix of its own")]
pub struct Exec {
    /// Program: a path, or a name looked up in the folders of programs.
    pub program: String,
    /// Arguments, `argv[0]` first.
    pub argv: Vec<String>,
    /// `-`: a failure counts as success.
    pub ignore_failure: bool,
    /// `:`: no variables are replaced.
    pub no_env: bool,
    /// `+`: nothing that protects the service holds for it.
    pub privileged: bool,
    /// `+` or `!`: runs as root whatever `User=` says.
    pub keeps_root: bool,
}

/// Where a standard stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// `/dev/null`.
    Null,
    /// The journal.
    Journal,
    /// The same as the other stream.
    Inherit,
    /// A file, read or written from its start.
    File(PathBuf),
    /// A file, written at its end.
    Append(PathBuf),
    /// A file, emptied first.
    Truncate(PathBuf),
    /// Bytes to read.
    Data(Vec<u8>),
}

/// Folders that systemd makes for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.exec(5)")]
pub enum DirKind {
    Runtime,
    State,
    Cache,
    Logs,
    Configuration,
}

impl DirKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Runtime, Self::State, Self::Cache, Self::Logs, Self::Configuration];

    /// Where it lies, the variable that names it, the exit status when it cannot be made.
    pub fn facts(self) -> (&'static str, &'static str, i32) {
        match self {
            Self::Runtime => ("/run", "RUNTIME_DIRECTORY", 233),
            Self::State => ("/var/lib", "STATE_DIRECTORY", 238),
            Self::Cache => ("/var/cache", "CACHE_DIRECTORY", 239),
            Self::Logs => ("/var/log", "LOGS_DIRECTORY", 240),
            Self::Configuration => ("/etc", "CONFIGURATION_DIRECTORY", 241),
        }
    }
}

/// The `[Service]` of a unit. Times are µs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in systemd.service(5), systemd.exec(5) and systemd.kill(5)")]
#[expect(clippy::struct_excessive_bools, reason = "systemd has that many switches")]
pub struct Service {
    pub kind: Option<Type>,
    pub exec_condition: Vec<Exec>,
    pub exec_start_pre: Vec<Exec>,
    pub exec_start: Vec<Exec>,
    pub exec_start_post: Vec<Exec>,
    pub exec_reload: Vec<Exec>,
    pub exec_stop: Vec<Exec>,
    pub exec_stop_post: Vec<Exec>,
    pub remain_after_exit: bool,
    pub pid_file: Option<PathBuf>,
    pub guess_main_pid: bool,
    pub restart: Restart,
    pub restart_us: u64,
    pub timeout_start_us: Option<u64>,
    pub timeout_stop_us: u64,
    pub timeout_abort_us: Option<u64>,
    pub runtime_max_us: u64,
    pub success: StatusSet,
    pub restart_prevent: StatusSet,
    pub restart_force: StatusSet,
    pub notify_access: &'static str,
    pub kill_mode: KillMode,
    pub kill_signal: i32,
    pub restart_kill_signal: Option<i32>,
    pub final_kill_signal: i32,
    pub send_sigkill: bool,
    pub send_sighup: bool,
    pub working_directory: Option<String>,
    pub working_directory_optional: bool,
    pub user: Option<String>,
    pub group: Option<String>,
    pub supplementary_groups: Vec<String>,
    pub dynamic_user: bool,
    pub environment: Vec<(String, String)>,
    pub environment_files: Vec<(PathBuf, bool)>,
    pub pass_environment: Vec<String>,
    pub unset_environment: Vec<String>,
    pub stdin: Stream,
    pub stdin_data: Vec<u8>,
    pub stdout: Stream,
    pub stderr: Stream,
    pub syslog_identifier: Option<String>,
    pub syslog_level: u8,
    pub syslog_level_prefix: bool,
    pub log_level_max: Option<u8>,
    pub umask: u32,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<i32>,
    /// Resource, soft and hard limit.
    pub limits: Vec<(&'static str, u64, u64)>,
    pub oom_policy: OomPolicy,
    pub ignore_sigpipe: bool,
    pub watchdog_us: u64,
    pub watchdog_signal: i32,
    pub protection: Protection,
    pub directories: Vec<(DirKind, String)>,
    pub directory_modes: Vec<(DirKind, u32)>,
    pub runtime_directory_preserve: &'static str,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            kind: None,
            exec_condition: Vec::new(),
            exec_start_pre: Vec::new(),
            exec_start: Vec::new(),
            exec_start_post: Vec::new(),
            exec_reload: Vec::new(),
            exec_stop: Vec::new(),
            exec_stop_post: Vec::new(),
            remain_after_exit: false,
            pid_file: None,
            guess_main_pid: true,
            restart: Restart::No,
            restart_us: 100_000,
            timeout_start_us: None,
            timeout_stop_us: 90_000_000,
            timeout_abort_us: None,
            runtime_max_us: INFINITY,
            success: StatusSet::default(),
            restart_prevent: StatusSet::default(),
            restart_force: StatusSet::default(),
            notify_access: "",
            kill_mode: KillMode::ControlGroup,
            kill_signal: 15,
            restart_kill_signal: None,
            final_kill_signal: 9,
            send_sigkill: true,
            send_sighup: false,
            working_directory: None,
            working_directory_optional: false,
            user: None,
            group: None,
            supplementary_groups: Vec::new(),
            dynamic_user: false,
            environment: Vec::new(),
            environment_files: Vec::new(),
            pass_environment: Vec::new(),
            unset_environment: Vec::new(),
            stdin: Stream::Null,
            stdin_data: Vec::new(),
            stdout: Stream::Journal,
            stderr: Stream::Inherit,
            syslog_identifier: None,
            syslog_level: 6,
            syslog_level_prefix: true,
            log_level_max: None,
            umask: 0o022,
            nice: None,
            oom_score_adjust: None,
            limits: Vec::new(),
            oom_policy: OomPolicy::Stop,
            ignore_sigpipe: true,
            watchdog_us: 0,
            watchdog_signal: 6,
            protection: Protection::default(),
            directories: Vec::new(),
            directory_modes: Vec::new(),
            runtime_directory_preserve: "no",
        }
    }
}

impl Service {
    /// `Type=`, or its default: oneshot without `ExecStart=`, else simple.
    pub fn kind(&self) -> Type {
        self.kind.unwrap_or(if self.exec_start.is_empty() { Type::Oneshot } else { Type::Simple })
    }

    /// Who may say that it is ready: `NotifyAccess=`, or its default.
    pub fn notify_access(&self) -> &'static str {
        match self.notify_access {
            "" if self.kind() == Type::Notify || self.watchdog_us > 0 => "main",
            "" => "none",
            other => other,
        }
    }

    /// Limit of a start, µs; a oneshot has none unless one is given.
    pub fn timeout_start(&self) -> u64 {
        self.timeout_start_us.unwrap_or(if self.kind() == Type::Oneshot { INFINITY } else { 90_000_000 })
    }

    /// The identifier of its lines in the journal.
    pub fn identifier(&self, exec: &Exec) -> String {
        let name = exec.program.rsplit('/').next().unwrap_or(&exec.program);
        self.syslog_identifier.clone().unwrap_or_else(|| name.to_owned())
    }

    /// The mode of a folder of this kind.
    pub fn directory_mode(&self, kind: DirKind) -> u32 {
        self.directory_modes.iter().rev().find(|(k, _)| *k == kind).map_or(0o755, |(_, mode)| *mode)
    }

    /// The settings with all that `DynamicUser=` implies (systemd.exec(5)).
    pub fn protection(&self) -> Protection {
        let mut all = self.protection.clone();
        if self.dynamic_user {
            all.system = Some(protect::System::Strict);
            all.home = Some(all.home.filter(|home| *home != protect::Home::No).unwrap_or(protect::Home::ReadOnly));
            all.private_tmp = Some(true);
            all.no_new_privileges = Some(true);
        }
        all
    }

    /// Whether its folders of a kind are for it alone, below `private/`.
    pub fn is_private(&self, kind: DirKind) -> bool {
        self.dynamic_user && matches!(kind, DirKind::State | DirKind::Cache | DirKind::Logs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_user_is_protected() {
        let service = Service { dynamic_user: true, ..Service::default() };
        let all = service.protection();
        assert_eq!(
            (all.system, all.home, all.private_tmp),
            (Some(protect::System::Strict), Some(protect::Home::ReadOnly), Some(true))
        );
        assert!(all.has_mounts() && !Service::default().protection().has_mounts());
    }
}
