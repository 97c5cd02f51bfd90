//! Properties of units and of the manager, as `systemctl show` prints them.

mod service;

use super::clock::Time;
use super::manager::Manager;
use super::manager::types::{Rt, State};
use super::unit::values::show_timespan;
use super::unit::{Dep, Kind, Load};
use crate::applets::time;
use tool_base::protocol::control::Props;

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn moment(time: Time) -> String {
    if time.real == 0 { String::new() } else { time::show(time.real) }
}

/// The order in which systemd prints them, whatever order is asked for: scripts read `--value` line by line.
const ORDER: &str = "\
Type ExitType Restart PIDFile NotifyAccess RestartUSec TimeoutStartUSec TimeoutStopUSec TimeoutAbortUSec \
TimeoutStartFailureMode TimeoutStopFailureMode RuntimeMaxUSec RuntimeRandomizedExtraUSec WatchdogUSec \
WatchdogTimestampMonotonic RootDirectoryStartOnly RemainAfterExit GuessMainPID RestartPreventExitStatus \
RestartForceExitStatus SuccessExitStatus MainPID ControlPID FileDescriptorStoreMax NFileDescriptorStore StatusText \
StatusErrno Result ReloadResult CleanResult UID GID NRestarts OOMPolicy ExecMainStartTimestamp \
ExecMainStartTimestampMonotonic ExecMainExitTimestamp ExecMainExitTimestampMonotonic ExecMainPID ExecMainCode \
ExecMainStatus ExecCondition ExecStartPre ExecStart ExecStartPost ExecReload ExecStop ExecStopPost Slice ControlGroup \
ControlGroupId MemoryCurrent CPUUsageNSec TasksCurrent IPIngressBytes IPEgressBytes IOReadBytes IOWriteBytes Delegate \
CPUAccounting CPUQuotaPerSecUSec IOAccounting MemoryAccounting MemoryHigh MemoryMax MemorySwapMax TasksAccounting \
TasksMax IPAccounting Environment EnvironmentFiles PassEnvironment UnsetEnvironment UMask LimitCPU LimitCPUSoft \
LimitFSIZE LimitFSIZESoft LimitDATA LimitDATASoft LimitSTACK LimitSTACKSoft LimitCORE LimitCORESoft LimitNOFILE \
LimitNOFILESoft LimitAS LimitASSoft LimitNPROC LimitNPROCSoft LimitMEMLOCK LimitMEMLOCKSoft LimitRTPRIO LimitRTPRIOSoft \
WorkingDirectory RootDirectory OOMScoreAdjust Nice StandardInput StandardOutput StandardError SyslogPriority \
SyslogIdentifier SyslogLevelPrefix SyslogLevel SyslogFacility LogLevelMax User Group DynamicUser RemoveIPC \
SupplementaryGroups PrivateTmp PrivateDevices ProtectClock ProtectKernelTunables ProtectKernelModules \
ProtectKernelLogs ProtectControlGroups PrivateNetwork PrivateUsers PrivateMounts PrivateIPC ProtectHome ProtectSystem \
IgnoreSIGPIPE NoNewPrivileges LockPersonality RuntimeDirectoryPreserve RuntimeDirectoryMode RuntimeDirectory \
StateDirectoryMode StateDirectory CacheDirectoryMode CacheDirectory LogsDirectoryMode LogsDirectory \
ConfigurationDirectoryMode ConfigurationDirectory MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID \
RestrictNamespaces ProtectHostname KillMode KillSignal RestartKillSignal FinalKillSignal SendSIGKILL SendSIGHUP \
WatchdogSignal Id Names Requires Requisite Wants BindsTo PartOf Upholds RequiredBy RequisiteOf WantedBy BoundBy UpheldBy \
ConsistsOf Conflicts ConflictedBy Before After OnSuccess OnSuccessOf OnFailure OnFailureOf PropagatesReloadTo \
ReloadPropagatedFrom PropagatesStopTo StopPropagatedFrom Documentation Description LoadState ActiveState FreezerState \
SubState FragmentPath DropInPaths UnitFileState UnitFilePreset StateChangeTimestamp StateChangeTimestampMonotonic \
InactiveExitTimestamp InactiveExitTimestampMonotonic ActiveEnterTimestamp ActiveEnterTimestampMonotonic \
ActiveExitTimestamp ActiveExitTimestampMonotonic InactiveEnterTimestamp InactiveEnterTimestampMonotonic CanStart CanStop \
CanReload CanIsolate CanFreeze Job StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate DefaultDependencies \
OnSuccessJobMode OnFailureJobMode IgnoreOnIsolate NeedDaemonReload JobTimeoutUSec JobRunningTimeoutUSec \
JobTimeoutAction ConditionResult AssertResult ConditionTimestamp ConditionTimestampMonotonic AssertTimestamp \
AssertTimestampMonotonic LoadError Transient Perpetual StartLimitIntervalUSec StartLimitBurst StartLimitAction \
FailureAction SuccessAction InvocationID CollectMode";

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
    // By timers, sockets and paths, which are not offered.
    ("TriggeredBy", &[]),
];

/// All properties of a unit. `file_state` is `UnitFileState`.
pub(super) fn unit(manager: &Manager, rt: &Rt, file_state: &str, changed: bool) -> Props {
    let unit = &*rt.unit;
    let mut props = Props::new();
    let mut put = |key: &str, value: String| props.push((key.to_owned(), value));
    if let Some(service) = unit.service().filter(|_| unit.name.ends_with(".service")) {
        service::state(rt, service, &mut put);
        service::exec(rt, service, &mut put);
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
    let transient = unit.fragment.as_ref().is_some_and(|p| p.starts_with("/run/systemd/transient"));
    put("Transient", yes(transient));
    put("Perpetual", yes(matches!(unit.kind, Kind::Fixed { .. })));
    put("StartLimitIntervalUSec", show_timespan(unit.start_limit_interval));
    put("StartLimitBurst", unit.start_limit_burst.to_string());
    put("StartLimitAction", "none".to_owned());
    put("FailureAction", "none".to_owned());
    put("SuccessAction", "none".to_owned());
    put("CollectMode", "inactive".to_owned());
    put("InvocationID", rt.invocation.clone());
    put("Job", rt.job.map(|j| j.to_string()).unwrap_or_default());
    let error = match &unit.load {
        Load::Loaded => String::new(),
        Load::NotFound => format!("org.freedesktop.systemd1.NoSuchUnit \"Unit {} not found.\"", unit.name),
        Load::Masked => format!("org.freedesktop.systemd1.UnitMasked \"Unit {} is masked.\"", unit.name),
        Load::BadSetting(reason) => format!("org.freedesktop.systemd1.BadUnitSetting \"{reason}\""),
    };
    put("LoadError", error);
    props.sort_by_cached_key(|(name, _)| ORDER.split(' ').position(|known| known == name));
    props
}

/// `SystemState`: what `systemctl is-system-running` prints.
pub(super) fn system_state(manager: &Manager) -> &'static str {
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
pub(super) fn manager(manager: &Manager, boot: Time) -> Props {
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
