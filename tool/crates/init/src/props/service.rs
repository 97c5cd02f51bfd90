//! Properties of services.

use super::super::manager::types::{Exit, Phase, Ran, Rt};
use super::super::unit::protect::{Home, Place, System};
use super::super::unit::service::{DirKind, Exec, KillMode, OomPolicy, Restart, Service, Stream, Type};
use super::super::unit::values::{quoted, show_timespan, signal_name};
use super::super::unit::{limits, rlimits};
use super::{moment, yes};

fn exec_text(exec: &Exec, ran: Option<&Ran>) -> String {
    let or_na = |text: String| if text.is_empty() { "n/a".to_owned() } else { text };
    let (code, status) = match ran.and_then(|r| r.exit) {
        Some(Exit::Code(status)) => ("exited", status.to_string()),
        Some(Exit::Signal(number)) => ("killed", format!("{number}/{}", signal_name(number))),
        Some(Exit::Core(number)) => ("dumped", format!("{number}/{}", signal_name(number))),
        None => ("(null)", "0/0".to_owned()),
    };
    format!(
        "{{ path={} ; argv[]={} ; ignore_errors={} ; start_time=[{}] ; stop_time=[{}] ; pid={} ; code={code} ; status={status} }}",
        exec.program,
        exec.argv.join(" "),
        yes(exec.ignore_failure),
        or_na(ran.map_or(String::new(), |r| moment(r.start))),
        or_na(ran.map_or(String::new(), |r| moment(r.end))),
        ran.map_or(0, |r| r.pid),
    )
}

fn stream(stream: &Stream) -> String {
    match stream {
        Stream::Null => "null".to_owned(),
        Stream::Journal => "journal".to_owned(),
        Stream::Inherit => "inherit".to_owned(),
        Stream::File(_) => "file".to_owned(),
        Stream::Append(_) => "append".to_owned(),
        Stream::Truncate(_) => "truncate".to_owned(),
        Stream::Data(_) => "data".to_owned(),
    }
}

/// `Type=` as text.
fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Simple => "simple",
        Type::Exec => "exec",
        Type::Oneshot => "oneshot",
        Type::Notify => "notify",
        Type::Forking => "forking",
        Type::Idle => "idle",
    }
}

/// What is special to services.
pub(super) fn state(rt: &Rt, service: &Service, put: &mut impl FnMut(&str, String)) {
    let main = rt.exec_main;
    put("Type", type_name(service.kind()).to_owned());
    put("ExitType", "main".to_owned());
    let restart = match service.restart {
        Restart::No => "no",
        Restart::Always => "always",
        Restart::OnSuccess => "on-success",
        Restart::OnFailure => "on-failure",
        Restart::OnAbnormal => "on-abnormal",
        Restart::OnAbort => "on-abort",
        Restart::OnWatchdog => "on-watchdog",
    };
    put("Restart", restart.to_owned());
    put("PIDFile", service.pid_file.as_ref().map(|p| p.display().to_string()).unwrap_or_default());
    put("NotifyAccess", service.notify_access().to_owned());
    put("RestartUSec", show_timespan(service.restart_us));
    put("TimeoutStartUSec", show_timespan(service.timeout_start()));
    put("TimeoutStopUSec", show_timespan(service.timeout_stop_us));
    put("TimeoutAbortUSec", show_timespan(service.timeout_abort_us.unwrap_or(service.timeout_stop_us)));
    put("TimeoutStartFailureMode", "terminate".to_owned());
    put("TimeoutStopFailureMode", "terminate".to_owned());
    put("RuntimeMaxUSec", show_timespan(service.runtime_max_us));
    put("RuntimeRandomizedExtraUSec", "0".to_owned());
    put("WatchdogUSec", show_timespan(rt.watchdog_us));
    put("WatchdogTimestampMonotonic", "0".to_owned());
    put("RootDirectoryStartOnly", "no".to_owned());
    put("RemainAfterExit", yes(service.remain_after_exit));
    put("GuessMainPID", yes(service.guess_main_pid));
    put("MainPID", rt.main.unwrap_or(0).to_string());
    put("ControlPID", rt.control.unwrap_or(0).to_string());
    put("FileDescriptorStoreMax", "0".to_owned());
    put("NFileDescriptorStore", "0".to_owned());
    put("StatusText", rt.status_text.clone());
    put("StatusErrno", rt.status_errno.to_string());
    put("Result", rt.result.as_str().to_owned());
    put("ReloadResult", rt.reload_result.as_str().to_owned());
    put("CleanResult", "success".to_owned());
    put("UID", "[not set]".to_owned());
    put("GID", "[not set]".to_owned());
    put("NRestarts", rt.n_restarts.to_string());
    let oom_policy = match service.oom_policy {
        OomPolicy::Continue => "continue",
        OomPolicy::Stop => "stop",
        OomPolicy::Kill => "kill",
    };
    put("OOMPolicy", oom_policy.to_owned());
    put("ExecMainStartTimestamp", moment(main.start));
    put("ExecMainStartTimestampMonotonic", main.start.mono.to_string());
    put("ExecMainExitTimestamp", moment(main.end));
    put("ExecMainExitTimestampMonotonic", main.end.mono.to_string());
    put("ExecMainPID", main.pid.to_string());
    put("ExecMainCode", main.exit.map_or(0, Exit::code).to_string());
    put("ExecMainStatus", main.exit.map_or(0, Exit::status).to_string());
    for phase in Phase::ALL {
        // Several commands are several lines with the same name.
        for (index, exec) in service.commands(phase).iter().enumerate() {
            let ran = rt.ran.iter().find(|r| (r.phase, r.index) == (phase, index));
            put(phase.as_str(), exec_text(exec, ran));
        }
    }
}

/// How its processes are run.
pub(super) fn exec(rt: &Rt, service: &Service, put: &mut impl FnMut(&str, String)) {
    put("Slice", "system.slice".to_owned());
    let running = !rt.active().is_down();
    put("ControlGroup", if running { format!("/system.slice/{}", rt.unit.name) } else { String::new() });
    put("ControlGroupId", "0".to_owned());
    for name in [
        "MemoryCurrent",
        "CPUUsageNSec",
        "TasksCurrent",
        "IPIngressBytes",
        "IPEgressBytes",
        "IOReadBytes",
        "IOWriteBytes",
    ] {
        put(name, "[not set]".to_owned());
    }
    for name in limits::properties() {
        put(name, "infinity".to_owned());
    }
    for name in ["CPUAccounting", "IOAccounting", "MemoryAccounting", "TasksAccounting", "IPAccounting", "Delegate"] {
        put(name, "no".to_owned());
    }
    put(
        "Environment",
        service.environment.iter().map(|(k, v)| quoted(&format!("{k}={v}"))).collect::<Vec<_>>().join(" "),
    );
    let file = |(path, optional): &(std::path::PathBuf, bool)| {
        format!("{} (ignore_errors={})", path.display(), yes(*optional))
    };
    if !service.environment_files.is_empty() {
        put("EnvironmentFiles", service.environment_files.iter().map(file).collect::<Vec<_>>().join(" "));
    }
    put("PassEnvironment", service.pass_environment.join(" "));
    put("UnsetEnvironment", service.unset_environment.join(" "));
    put("UMask", format!("{:04o}", service.umask));
    for name in ["AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "NOFILE", "NPROC", "RTPRIO", "STACK"] {
        let limit = rlimits::all(&service.limits).find(|(n, ..)| *n == name);
        let text = |n: u64| if n == u64::MAX { "infinity".to_owned() } else { n.to_string() };
        put(&format!("Limit{name}"), limit.map_or("infinity".to_owned(), |(_, _, hard)| text(hard)));
        put(&format!("Limit{name}Soft"), limit.map_or("infinity".to_owned(), |(_, soft, _)| text(soft)));
    }
    put(
        "WorkingDirectory",
        match &service.working_directory {
            Some(path) if service.working_directory_optional => format!("!{path}"),
            path => path.clone().unwrap_or_default(),
        },
    );
    put("RootDirectory", String::new());
    put("OOMScoreAdjust", service.oom_score_adjust.unwrap_or(0).to_string());
    put("Nice", service.nice.unwrap_or(0).to_string());
    put("StandardInput", stream(&service.stdin));
    put("StandardOutput", stream(&service.stdout));
    put("StandardError", stream(&service.stderr));
    put("SyslogIdentifier", service.syslog_identifier.clone().unwrap_or_default());
    put("SyslogPriority", (24 + u32::from(service.syslog_level)).to_string());
    put("SyslogLevel", service.syslog_level.to_string());
    put("SyslogFacility", "3".to_owned());
    put("SyslogLevelPrefix", yes(service.syslog_level_prefix));
    put("LogLevelMax", "-1".to_owned());
    put("User", service.user.clone().unwrap_or_default());
    put("Group", service.group.clone().unwrap_or_default());
    put("SupplementaryGroups", service.supplementary_groups.join(" "));
    put("DynamicUser", yes(service.dynamic_user));
    protection(service, put);
    directories_and_signals(service, put);
}

/// What the service may not touch.
fn protection(service: &Service, put: &mut impl FnMut(&str, String)) {
    let all = service.protection();
    let system = match all.system.unwrap_or_default() {
        System::No => "no",
        System::Yes => "yes",
        System::Full => "full",
        System::Strict => "strict",
    };
    let home = match all.home.unwrap_or_default() {
        Home::No => "no",
        Home::Yes => "yes",
        Home::ReadOnly => "read-only",
        Home::Tmpfs => "tmpfs",
    };
    put("ProtectSystem", system.to_owned());
    put("ProtectHome", home.to_owned());
    put("ProtectProc", all.hide_processes.unwrap_or("default").to_owned());
    for (name, on) in [
        ("PrivateTmp", all.private_tmp == Some(true)),
        ("PrivateDevices", all.private_devices),
        ("PrivateMounts", all.private_mounts),
        ("ProtectHostname", all.hostname),
        ("ProtectKernelTunables", all.kernel_tunables),
        ("ProtectKernelModules", all.kernel_modules),
        ("ProtectKernelLogs", all.kernel_logs),
        ("ProtectControlGroups", all.control_groups),
        ("NoNewPrivileges", all.no_new_privileges == Some(true)),
        // What comes with a user of its own, and has no effect here.
        ("RestrictSUIDSGID", service.dynamic_user),
        ("RemoveIPC", service.dynamic_user),
    ] {
        put(name, yes(on));
    }
    for name in [
        "PrivateNetwork",
        "PrivateUsers",
        "PrivateIPC",
        "ProtectClock",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "RestrictRealtime",
        "RestrictNamespaces",
    ] {
        put(name, "no".to_owned());
    }
    for (name, places) in [
        ("ReadWritePaths", &all.read_write),
        ("ReadOnlyPaths", &all.read_only),
        ("InaccessiblePaths", &all.inaccessible),
    ] {
        let shown = |place: &Place| format!("{}{}", if place.optional { "-" } else { "" }, place.path);
        put(name, places.iter().map(shown).collect::<Vec<_>>().join(" "));
    }
}

fn directories_and_signals(service: &Service, put: &mut impl FnMut(&str, String)) {
    put("IgnoreSIGPIPE", yes(service.ignore_sigpipe));
    for kind in DirKind::ALL {
        let name = match kind {
            DirKind::Runtime => "RuntimeDirectory",
            DirKind::State => "StateDirectory",
            DirKind::Cache => "CacheDirectory",
            DirKind::Logs => "LogsDirectory",
            DirKind::Configuration => "ConfigurationDirectory",
        };
        let all: Vec<&str> = service.directories.iter().filter(|(k, _)| *k == kind).map(|(_, n)| n.as_str()).collect();
        put(name, all.join(" "));
        put(&format!("{name}Mode"), format!("{:04o}", service.directory_mode(kind)));
    }
    put("RuntimeDirectoryPreserve", service.runtime_directory_preserve.to_owned());
    let kill = match service.kill_mode {
        KillMode::ControlGroup => "control-group",
        KillMode::Mixed => "mixed",
        KillMode::Process => "process",
        KillMode::None => "none",
    };
    put("KillMode", kill.to_owned());
    put("KillSignal", service.kill_signal.to_string());
    put("RestartKillSignal", service.restart_kill_signal.unwrap_or(service.kill_signal).to_string());
    put("FinalKillSignal", service.final_kill_signal.to_string());
    put("SendSIGKILL", yes(service.send_sigkill));
    put("SendSIGHUP", yes(service.send_sighup));
    put("WatchdogSignal", service.watchdog_signal.to_string());
    for (name, set) in [
        ("SuccessExitStatus", &service.success),
        ("RestartPreventExitStatus", &service.restart_prevent),
        ("RestartForceExitStatus", &service.restart_force),
    ] {
        let codes = set.codes.iter().map(ToString::to_string);
        put(name, codes.chain(set.signals.iter().map(|s| signal_name(*s))).collect::<Vec<_>>().join(" "));
    }
}
