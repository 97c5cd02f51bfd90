//! Properties of units and of the manager, as `systemctl show` prints them.

use super::exec::notify_access;
use super::manager::Manager;
use super::manager::types::{Rt, State, Time};
use super::unit::service::{DirKind, Exec, KillMode, Restart, Service, Stream, Type};
use super::unit::values::{show_timespan, signal_name};
use super::unit::{Dep, Kind, Load, Unit};
use crate::sandbox::applets::time;

/// Properties in the order printed.
pub type Props = Vec<(String, String)>;

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn moment(time: Time) -> String {
    if time.real == 0 { String::new() } else { time::show(time.real) }
}

/// What a unit's reverse dependencies are called.
const REVERSE: &[(&str, &[Dep])] = &[
    ("RequiredBy", &[Dep::Requires]),
    ("RequisiteOf", &[Dep::Requisite]),
    ("WantedBy", &[Dep::Wants]),
    ("BoundBy", &[Dep::BindsTo]),
    ("UpheldBy", &[Dep::Upholds]),
    ("ConsistsOf", &[Dep::PartOf]),
    ("ConflictedBy", &[Dep::Conflicts]),
    ("OnFailureOf", &[Dep::OnFailure]),
    ("OnSuccessOf", &[Dep::OnSuccess]),
    ("ReloadPropagatedFrom", &[Dep::PropagatesReloadTo]),
    ("StopPropagatedFrom", &[Dep::PropagatesStopTo]),
];

/// All properties of a unit. `file_state` is `UnitFileState`.
pub fn unit(manager: &Manager, rt: &Rt, file_state: &str, changed: bool) -> Props {
    let unit = &*rt.unit;
    let mut props = Props::new();
    let mut put = |key: &str, value: String| props.push((key.to_owned(), value));
    if let Some(service) = unit.service().filter(|_| unit.name.ends_with(".service")) {
        service_props(rt, service, &mut put);
    }
    put("Id", unit.name.clone());
    put("Names", std::iter::once(&unit.name).chain(&unit.aliases).cloned().collect::<Vec<_>>().join(" "));
    let forward = [
        ("Requires", Dep::Requires),
        ("Requisite", Dep::Requisite),
        ("Wants", Dep::Wants),
        ("BindsTo", Dep::BindsTo),
        ("PartOf", Dep::PartOf),
        ("Upholds", Dep::Upholds),
        ("Conflicts", Dep::Conflicts),
        ("OnFailure", Dep::OnFailure),
        ("OnSuccess", Dep::OnSuccess),
        ("PropagatesReloadTo", Dep::PropagatesReloadTo),
        ("PropagatesStopTo", Dep::PropagatesStopTo),
    ];
    for (name, kind) in forward {
        put(name, unit.dep(kind).join(" "));
    }
    for (name, kinds) in REVERSE {
        put(name, manager.dependents(&unit.name, kinds).join(" "));
    }
    let both = |own: Dep, other: Dep| {
        let mut names = unit.dep(own).to_vec();
        names.extend(manager.dependents(&unit.name, &[other]));
        names.dedup();
        names.join(" ")
    };
    put("Before", both(Dep::Before, Dep::After));
    put("After", both(Dep::After, Dep::Before));
    put("Documentation", unit.documentation.join(" "));
    put("Description", unit.description.clone());
    put("LoadState", unit.load.as_str().to_owned());
    put("ActiveState", rt.active().as_str().to_owned());
    put("FreezerState", "running".to_owned());
    put("SubState", rt.sub().to_owned());
    put("FragmentPath", unit.fragment.as_ref().map(|p| p.display().to_string()).unwrap_or_default());
    put("DropInPaths", unit.drop_ins.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" "));
    put("UnitFileState", file_state.to_owned());
    put("UnitFilePreset", if file_state.is_empty() { String::new() } else { "enabled".to_owned() });
    for (name, time) in [
        ("StateChangeTimestamp", rt.times.state_change),
        ("InactiveExitTimestamp", rt.times.inactive_exit),
        ("ActiveEnterTimestamp", rt.times.active_enter),
        ("ActiveExitTimestamp", rt.times.active_exit),
        ("InactiveEnterTimestamp", rt.times.inactive_enter),
        ("ConditionTimestamp", rt.times.condition),
        ("AssertTimestamp", rt.times.assert),
    ] {
        put(name, moment(time));
        put(&format!("{name}Monotonic"), time.mono.to_string());
    }
    let loaded = unit.load == Load::Loaded;
    put("CanStart", yes(loaded));
    put("CanStop", yes(loaded));
    put("CanReload", yes(unit.service().is_some_and(|s| !s.exec_reload.is_empty())));
    put("CanIsolate", "no".to_owned());
    put("CanFreeze", "no".to_owned());
    put("StopWhenUnneeded", yes(unit.stop_when_unneeded));
    put("RefuseManualStart", yes(unit.refuse_manual_start));
    put("RefuseManualStop", yes(unit.refuse_manual_stop));
    put("AllowIsolate", "no".to_owned());
    put("DefaultDependencies", yes(unit.default_dependencies));
    put("IgnoreOnIsolate", "no".to_owned());
    put("NeedDaemonReload", yes(changed));
    put("OnSuccessJobMode", "fail".to_owned());
    put("OnFailureJobMode", "replace".to_owned());
    put("JobTimeoutUSec", show_timespan(unit.job_timeout));
    put("JobRunningTimeoutUSec", show_timespan(unit.job_timeout));
    put("JobTimeoutAction", "none".to_owned());
    put("ConditionResult", yes(rt.condition_result));
    put("AssertResult", yes(rt.assert_result));
    put("Transient", "no".to_owned());
    put("Perpetual", yes(matches!(unit.kind, Kind::Fixed { .. })));
    put("StartLimitIntervalUSec", show_timespan(unit.start_limit_interval));
    put("StartLimitBurst", unit.start_limit_burst.to_string());
    put("StartLimitAction", "none".to_owned());
    put("FailureAction", "none".to_owned());
    put("SuccessAction", "none".to_owned());
    put("CollectMode", "inactive".to_owned());
    put("InvocationID", rt.invocation.clone());
    put("Job", rt.job.map(|j| j.to_string()).unwrap_or_default());
    if let Load::BadSetting(reason) = &unit.load {
        put("LoadError", format!("org.freedesktop.systemd1.BadUnitSetting \"{reason}\""));
    }
    if unit.load == Load::NotFound {
        put("LoadError", format!("org.freedesktop.systemd1.NoSuchUnit \"Unit {} not found.\"", unit.name));
    }
    props
}

fn exec_text(exec: &Exec, rt: &Rt, main: bool) -> String {
    let last = rt.exec_main;
    let (pid, start, end) =
        if main { (last.pid, moment(last.start), moment(last.end)) } else { (0, String::new(), String::new()) };
    let or_na = |text: String| if text.is_empty() { "n/a".to_owned() } else { text };
    let (code, status) = match last.exit.filter(|_| main) {
        Some(exit) => (
            ["", "exited", "killed", "dumped"][usize::try_from(exit.code()).unwrap_or(0).min(3)],
            format!("{}/0", exit.status()),
        ),
        None => ("(null)", "0/0".to_owned()),
    };
    format!(
        "{{ path={} ; argv[]={} ; ignore_errors={} ; start_time=[{}] ; stop_time=[{}] ; pid={pid} ; code={code} ; status={status} }}",
        exec.program,
        exec.argv.join(" "),
        yes(exec.ignore_failure),
        or_na(start),
        or_na(end),
    )
}

fn stream(stream: &Stream) -> String {
    match stream {
        Stream::Null => "null".to_owned(),
        Stream::Journal => "journal".to_owned(),
        Stream::Inherit => "inherit".to_owned(),
        Stream::File(path) => format!("file:{}", path.display()),
        Stream::Append(path) => format!("append:{}", path.display()),
        Stream::Truncate(path) => format!("truncate:{}", path.display()),
        Stream::Data(_) => "data".to_owned(),
    }
}

/// `Type=` as text.
pub fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Simple => "simple",
        Type::Exec => "exec",
        Type::Oneshot => "oneshot",
        Type::Notify => "notify",
        Type::Forking => "forking",
        Type::Idle => "idle",
    }
}

fn service_props(rt: &Rt, service: &Service, put: &mut impl FnMut(&str, String)) {
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
    put("NotifyAccess", notify_access(service).to_owned());
    put("RestartUSec", show_timespan(service.restart_us));
    put("TimeoutStartUSec", show_timespan(service.timeout_start()));
    put("TimeoutStopUSec", show_timespan(service.timeout_stop_us));
    put("TimeoutAbortUSec", show_timespan(service.timeout_abort_us.unwrap_or(service.timeout_stop_us)));
    put("TimeoutStartFailureMode", "terminate".to_owned());
    put("TimeoutStopFailureMode", "terminate".to_owned());
    put("RuntimeMaxUSec", show_timespan(service.runtime_max_us));
    put("RuntimeRandomizedExtraUSec", "0".to_owned());
    put("WatchdogUSec", "0".to_owned());
    put("WatchdogTimestampMonotonic", "0".to_owned());
    put("RootDirectoryStartOnly", "no".to_owned());
    put("RemainAfterExit", yes(service.remain_after_exit));
    put("GuessMainPID", yes(service.guess_main_pid));
    put("MainPID", rt.main.unwrap_or(0).to_string());
    put("ControlPID", rt.control.unwrap_or(0).to_string());
    put("FileDescriptorStoreMax", "0".to_owned());
    put("NFileDescriptorStore", "0".to_owned());
    put("StatusText", rt.status_text.clone());
    put("StatusErrno", "0".to_owned());
    put("Result", rt.result.as_str().to_owned());
    put("ReloadResult", rt.reload_result.as_str().to_owned());
    put("CleanResult", "success".to_owned());
    let user = service.user.clone().unwrap_or_default();
    put("UID", if rt.main.is_some() && user.is_empty() { "0".to_owned() } else { "[not set]".to_owned() });
    put("GID", if rt.main.is_some() && user.is_empty() { "0".to_owned() } else { "[not set]".to_owned() });
    put("NRestarts", rt.n_restarts.to_string());
    put("OOMPolicy", "stop".to_owned());
    put("ExecMainStartTimestamp", moment(main.start));
    put("ExecMainStartTimestampMonotonic", main.start.mono.to_string());
    put("ExecMainExitTimestamp", moment(main.end));
    put("ExecMainExitTimestampMonotonic", main.end.mono.to_string());
    put("ExecMainPID", main.pid.to_string());
    put("ExecMainCode", main.exit.map_or(0, |e| e.code()).to_string());
    put("ExecMainStatus", main.exit.map_or(0, |e| e.status()).to_string());
    for (name, list) in [
        ("ExecCondition", &service.exec_condition),
        ("ExecStartPre", &service.exec_start_pre),
        ("ExecStart", &service.exec_start),
        ("ExecStartPost", &service.exec_start_post),
        ("ExecReload", &service.exec_reload),
        ("ExecStop", &service.exec_stop),
        ("ExecStopPost", &service.exec_stop_post),
    ] {
        let text = |(i, e)| exec_text(e, rt, name == "ExecStart" && i == rt.main_index);
        // Several commands are several lines with the same name.
        for line in list.iter().enumerate().map(text) {
            put(name, line);
        }
    }
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
    for name in ["MemoryMax", "MemoryHigh", "MemorySwapMax", "TasksMax", "CPUQuotaPerSecUSec"] {
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
    put("EnvironmentFiles", service.environment_files.iter().map(file).collect::<Vec<_>>().join(" "));
    put("PassEnvironment", service.pass_environment.join(" "));
    put("UnsetEnvironment", service.unset_environment.join(" "));
    put("UMask", format!("{:04o}", service.umask));
    for name in ["AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "NOFILE", "NPROC", "RTPRIO", "STACK"] {
        let limit = service.limits.iter().find(|(n, ..)| *n == name);
        let text = |n: u64| if n == u64::MAX { "infinity".to_owned() } else { n.to_string() };
        put(&format!("Limit{name}"), limit.map_or("infinity".to_owned(), |(_, _, hard)| text(*hard)));
        put(&format!("Limit{name}Soft"), limit.map_or("infinity".to_owned(), |(_, soft, _)| text(*soft)));
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
    put("User", user);
    put("Group", service.group.clone().unwrap_or_default());
    put("SupplementaryGroups", service.supplementary_groups.join(" "));
    put("DynamicUser", yes(service.dynamic_user));
    for name in [
        "PrivateTmp",
        "PrivateDevices",
        "PrivateNetwork",
        "PrivateUsers",
        "PrivateMounts",
        "PrivateIPC",
        "ProtectSystem",
        "ProtectHome",
        "ProtectClock",
        "ProtectHostname",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "NoNewPrivileges",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "RestrictNamespaces",
        "RemoveIPC",
    ] {
        put(name, "no".to_owned());
    }
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
    put("WatchdogSignal", "6".to_owned());
    for (name, set) in [
        ("SuccessExitStatus", &service.success),
        ("RestartPreventExitStatus", &service.restart_prevent),
        ("RestartForceExitStatus", &service.restart_force),
    ] {
        let codes = set.codes.iter().map(ToString::to_string);
        put(
            name,
            codes.chain(set.signals.iter().map(|s| format!("SIG{}", signal_name(*s)))).collect::<Vec<_>>().join(" "),
        );
    }
}

fn quoted(text: &str) -> String {
    if text.contains([' ', '"', '\\', '\'', '\t', '\n']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}

/// `SystemState`: what `systemctl is-system-running` prints.
pub fn system_state(manager: &Manager) -> &'static str {
    if manager.stopping {
        "stopping"
    } else if manager.booted.is_none() {
        "starting"
    } else if manager.units.values().any(|rt| rt.state == State::Failed) {
        "degraded"
    } else {
        "running"
    }
}

/// Properties of the manager.
pub fn manager(manager: &Manager, boot: Time) -> Props {
    let failed = manager.units.values().filter(|rt| rt.state == State::Failed).count();
    let mut props = Props::new();
    let mut put = |key: &str, value: String| props.push((key.to_owned(), value));
    put("Version", "252 (xtask sandbox)".to_owned());
    put("Features", String::new());
    put("Virtualization", "container-other".to_owned());
    put("Architecture", std::env::consts::ARCH.replace("x86_64", "x86-64").replace("aarch64", "arm64"));
    put("Tainted", String::new());
    let finished = manager.booted.unwrap_or_default();
    for (name, time) in [("KernelTimestamp", boot), ("UserspaceTimestamp", boot), ("FinishTimestamp", finished)] {
        put(name, moment(time));
        put(&format!("{name}Monotonic"), time.mono.to_string());
    }
    put("LogLevel", "info".to_owned());
    put("LogTarget", "journal".to_owned());
    put("NNames", manager.units.values().map(|rt| 1 + rt.unit.aliases.len()).sum::<usize>().to_string());
    put("NFailedUnits", failed.to_string());
    put("NJobs", manager.jobs.len().to_string());
    put("NInstalledJobs", manager.jobs.len().to_string());
    put("NFailedJobs", "0".to_owned());
    put("Progress", if manager.booted.is_some() { "1" } else { "0" }.to_owned());
    put("Environment", format!("LANG=C.UTF-8 PATH={}", super::exec::PATH));
    put("ConfirmSpawn", "no".to_owned());
    put("ShowStatus", "no".to_owned());
    put("UnitPath", "/etc/systemd/system /run/systemd/system".to_owned());
    put("DefaultStandardOutput", "journal".to_owned());
    put("DefaultStandardError", "inherit".to_owned());
    put("DefaultTimeoutStartUSec", "1min 30s".to_owned());
    put("DefaultTimeoutStopUSec", "1min 30s".to_owned());
    put("DefaultRestartUSec", "100ms".to_owned());
    put("DefaultStartLimitIntervalUSec", "10s".to_owned());
    put("DefaultStartLimitBurst", "5".to_owned());
    put("SystemState", system_state(manager).to_owned());
    put("ExitCode", "0".to_owned());
    props
}

/// A row of `systemctl list-units`.
pub fn row(rt: &Rt) -> [String; 5] {
    let unit: &Unit = &rt.unit;
    let text = |t: &str| t.to_owned();
    [unit.name.clone(), text(unit.load.as_str()), text(rt.active().as_str()), text(rt.sub()), unit.description.clone()]
}
