//! The tables of directives.

use std::path::PathBuf;

use super::super::Dep;
use super::super::protect::{Home, System, capabilities};
use super::super::service::{DirKind, KillMode, OomPolicy, Restart, Stream, Type};
use super::super::values::{INFINITY, StatusSet, boolean, signal, timespan};
use super::super::words::is_name;
use super::Draft;

/// Takes a value over into the draft, or says what is wrong with it.
pub(super) type Set = fn(&mut Draft, &str) -> Result<(), String>;

pub(super) const UNIT: &[(&str, Set)] = &[
    ("Description", |d, v| {
        d.unit.description = if v.is_empty() { d.unit.name.clone() } else { d.spec.expand(v)? };
        Ok(())
    }),
    ("Documentation", |d, v| {
        if v.is_empty() {
            d.unit.documentation.clear();
        }
        d.unit.documentation.extend(d.words(v)?);
        Ok(())
    }),
    ("Requires", |d, v| d.deps(Dep::Requires, v)),
    ("Requisite", |d, v| d.deps(Dep::Requisite, v)),
    ("Wants", |d, v| d.deps(Dep::Wants, v)),
    ("BindsTo", |d, v| d.deps(Dep::BindsTo, v)),
    ("PartOf", |d, v| d.deps(Dep::PartOf, v)),
    ("Upholds", |d, v| d.deps(Dep::Upholds, v)),
    ("Conflicts", |d, v| d.deps(Dep::Conflicts, v)),
    ("Before", |d, v| d.deps(Dep::Before, v)),
    ("After", |d, v| d.deps(Dep::After, v)),
    ("OnFailure", |d, v| d.deps(Dep::OnFailure, v)),
    ("OnSuccess", |d, v| d.deps(Dep::OnSuccess, v)),
    ("PropagatesReloadTo", |d, v| d.deps(Dep::PropagatesReloadTo, v)),
    ("PropagatesStopTo", |d, v| d.deps(Dep::PropagatesStopTo, v)),
    ("DefaultDependencies", |d, v| boolean(v).map(|b| d.unit.default_dependencies = b)),
    ("RefuseManualStart", |d, v| boolean(v).map(|b| d.unit.refuse_manual_start = b)),
    ("RefuseManualStop", |d, v| boolean(v).map(|b| d.unit.refuse_manual_stop = b)),
    ("StopWhenUnneeded", |d, v| boolean(v).map(|b| d.unit.stop_when_unneeded = b)),
    ("StartLimitIntervalSec", |d, v| timespan(v).map(|t| d.unit.start_limit_interval = t)),
    ("StartLimitInterval", |d, v| timespan(v).map(|t| d.unit.start_limit_interval = t)),
    ("StartLimitBurst", |d, v| number(v).map(|n| d.unit.start_limit_burst = n)),
    ("CollectMode", |d, v| {
        d.unit.collect_failed = match v {
            "inactive" => false,
            "inactive-or-failed" => true,
            _ => return Err(format!("`{v}` is no setting of CollectMode=")),
        };
        Ok(())
    }),
    ("JobTimeoutSec", |d, v| timespan(v).map(|t| d.unit.job_timeout = t)),
    ("JobRunningTimeoutSec", |d, v| timespan(v).map(|t| d.unit.job_timeout = t)),
];

pub(super) const SERVICE: &[(&str, Set)] = &[
    ("Type", |d, v| {
        d.service.kind = Some(match v {
            "simple" => Type::Simple,
            "exec" => Type::Exec,
            "oneshot" => Type::Oneshot,
            "notify" => Type::Notify,
            "forking" => Type::Forking,
            "idle" => Type::Idle,
            "dbus" | "notify-reload" => return Err(format!("Type={v} is not offered by the sandbox")),
            _ => return Err(format!("`{v}` is no type of a service")),
        });
        Ok(())
    }),
    ("ExecCondition", |d, v| d.exec(v, |s| &mut s.exec_condition)),
    ("ExecStartPre", |d, v| d.exec(v, |s| &mut s.exec_start_pre)),
    ("ExecStart", |d, v| d.exec(v, |s| &mut s.exec_start)),
    ("ExecStartPost", |d, v| d.exec(v, |s| &mut s.exec_start_post)),
    ("ExecReload", |d, v| d.exec(v, |s| &mut s.exec_reload)),
    ("ExecStop", |d, v| d.exec(v, |s| &mut s.exec_stop)),
    ("ExecStopPost", |d, v| d.exec(v, |s| &mut s.exec_stop_post)),
    ("RemainAfterExit", |d, v| boolean(v).map(|b| d.service.remain_after_exit = b)),
    ("PIDFile", |d, v| {
        let path = d.spec.expand(v)?;
        d.service.pid_file = (!path.is_empty()).then(|| PathBuf::from("/run").join(path));
        Ok(())
    }),
    ("GuessMainPID", |d, v| boolean(v).map(|b| d.service.guess_main_pid = b)),
    ("Restart", |d, v| {
        d.service.restart = match v {
            "no" => Restart::No,
            "always" => Restart::Always,
            "on-success" => Restart::OnSuccess,
            "on-failure" => Restart::OnFailure,
            "on-abnormal" => Restart::OnAbnormal,
            "on-abort" => Restart::OnAbort,
            "on-watchdog" => Restart::OnWatchdog,
            _ => return Err(format!("`{v}` is no setting of Restart=")),
        };
        Ok(())
    }),
    ("RestartSec", |d, v| timespan(v).map(|t| d.service.restart_us = t)),
    ("TimeoutStartSec", |d, v| timeout(v).map(|t| d.service.timeout_start_us = Some(t))),
    ("TimeoutStopSec", |d, v| timeout(v).map(|t| d.service.timeout_stop_us = t)),
    ("TimeoutAbortSec", |d, v| timeout(v).map(|t| d.service.timeout_abort_us = Some(t))),
    ("TimeoutSec", |d, v| {
        let limit = timeout(v)?;
        (d.service.timeout_start_us, d.service.timeout_stop_us) = (Some(limit), limit);
        Ok(())
    }),
    ("RuntimeMaxSec", |d, v| timespan(v).map(|t| d.service.runtime_max_us = t)),
    ("StartLimitInterval", |d, v| timespan(v).map(|t| d.unit.start_limit_interval = t)),
    ("StartLimitBurst", |d, v| number(v).map(|n| d.unit.start_limit_burst = n)),
    ("SuccessExitStatus", |d, v| statuses(&mut d.service.success, v)),
    ("RestartPreventExitStatus", |d, v| statuses(&mut d.service.restart_prevent, v)),
    ("RestartForceExitStatus", |d, v| statuses(&mut d.service.restart_force, v)),
    ("NotifyAccess", |d, v| {
        d.service.notify_access = ["none", "main", "exec", "all"]
            .into_iter()
            .find(|n| *n == v)
            .ok_or_else(|| format!("`{v}` is no setting of NotifyAccess="))?;
        Ok(())
    }),
    ("KillMode", |d, v| {
        d.service.kill_mode = match v {
            "control-group" => KillMode::ControlGroup,
            "mixed" => KillMode::Mixed,
            "process" => KillMode::Process,
            "none" => KillMode::None,
            _ => return Err(format!("`{v}` is no setting of KillMode=")),
        };
        Ok(())
    }),
    ("KillSignal", |d, v| signal(v).map(|s| d.service.kill_signal = s)),
    ("RestartKillSignal", |d, v| signal(v).map(|s| d.service.restart_kill_signal = Some(s))),
    ("FinalKillSignal", |d, v| signal(v).map(|s| d.service.final_kill_signal = s)),
    ("SendSIGKILL", |d, v| boolean(v).map(|b| d.service.send_sigkill = b)),
    ("SendSIGHUP", |d, v| boolean(v).map(|b| d.service.send_sighup = b)),
    ("WorkingDirectory", |d, v| {
        let path = d.spec.expand(v.trim_start_matches('-'))?;
        if !(path.is_empty() || path == "~" || path.starts_with('/')) {
            return Err(format!("`{path}` is not an absolute path"));
        }
        d.service.working_directory_optional = v.starts_with('-');
        d.service.working_directory = (!path.is_empty()).then_some(path);
        Ok(())
    }),
    ("User", |d, v| d.text(v).map(|t| d.service.user = t)),
    ("Group", |d, v| d.text(v).map(|t| d.service.group = t)),
    ("SupplementaryGroups", |d, v| {
        d.service.supplementary_groups.extend(d.words(v)?);
        Ok(())
    }),
    ("DynamicUser", |d, v| boolean(v).map(|b| d.service.dynamic_user = b)),
    ("Environment", |d, v| {
        if v.is_empty() {
            d.service.environment.clear();
        }
        for word in d.words(v)? {
            let (key, value) =
                word.split_once('=').filter(|(k, _)| is_name(k)).ok_or(format!("no NAME=VALUE in `{word}`"))?;
            d.service.environment.retain(|(k, _)| k != key);
            d.service.environment.push((key.to_owned(), value.to_owned()));
        }
        Ok(())
    }),
    ("EnvironmentFile", |d, v| {
        if v.is_empty() {
            d.service.environment_files.clear();
            return Ok(());
        }
        let optional = v.starts_with('-');
        let path = d.absolute(v.trim_start_matches('-'))?;
        d.service.environment_files.push((path, optional));
        Ok(())
    }),
    ("PassEnvironment", |d, v| {
        d.service.pass_environment.extend(d.words(v)?);
        Ok(())
    }),
    ("UnsetEnvironment", |d, v| {
        d.service.unset_environment.extend(d.words(v)?);
        Ok(())
    }),
    ("StandardInput", |d, v| {
        d.service.stdin = match v.split_once(':') {
            Some(("file", path)) => Stream::File(d.absolute(path)?),
            None if v == "null" => Stream::Null,
            None if v == "data" => Stream::Data(Vec::new()),
            _ => return Err(format!("StandardInput={v} is not offered by the sandbox (null, data, file:PATH are)")),
        };
        Ok(())
    }),
    ("StandardInputText", |d, v| {
        let text = d.words(&format!("\"{}\"", v.replace('"', "\\\"")))?.join(" ");
        d.service.stdin_data.extend_from_slice(text.as_bytes());
        d.service.stdin_data.push(b'\n');
        d.service.stdin = Stream::Data(Vec::new());
        Ok(())
    }),
    ("StandardInputData", |d, v| {
        d.service.stdin_data.extend(base64(v).ok_or_else(|| format!("`{v}` is not Base64"))?);
        d.service.stdin = Stream::Data(Vec::new());
        Ok(())
    }),
    ("StandardOutput", |d, v| d.output(v, Stream::Inherit).map(|s| d.service.stdout = s)),
    ("StandardError", |d, v| d.output(v, Stream::Inherit).map(|s| d.service.stderr = s)),
    ("SyslogIdentifier", |d, v| d.text(v).map(|t| d.service.syslog_identifier = t)),
    ("SyslogLevel", |d, v| level(v).map(|l| d.service.syslog_level = l)),
    ("LogLevelMax", |d, v| level(v).map(|l| d.service.log_level_max = Some(l))),
    ("SyslogLevelPrefix", |d, v| boolean(v).map(|b| d.service.syslog_level_prefix = b)),
    ("UMask", |d, v| octal(v).map(|m| d.service.umask = m)),
    ("Nice", |d, v| {
        let nice = v.parse::<i32>().ok().filter(|n| (-20..=19).contains(n)).ok_or(format!("`{v}` is not in -20…19"))?;
        d.service.nice = Some(nice);
        Ok(())
    }),
    ("OOMScoreAdjust", |d, v| {
        let n = v
            .parse::<i32>()
            .ok()
            .filter(|n| (-1000..=1000).contains(n))
            .ok_or(format!("`{v}` is not in -1000…1000"))?;
        d.service.oom_score_adjust = Some(n);
        Ok(())
    }),
    ("OOMPolicy", |d, v| {
        d.service.oom_policy = match v {
            "continue" => OomPolicy::Continue,
            "stop" => OomPolicy::Stop,
            "kill" => OomPolicy::Kill,
            _ => return Err(format!("`{v}` is no setting of OOMPolicy=")),
        };
        Ok(())
    }),
    ("IgnoreSIGPIPE", |d, v| boolean(v).map(|b| d.service.ignore_sigpipe = b)),
    ("WatchdogSec", |d, v| timespan(v).map(|t| d.service.watchdog_us = if t == INFINITY { 0 } else { t })),
    ("WatchdogSignal", |d, v| signal(v).map(|s| d.service.watchdog_signal = s)),
    ("ProtectSystem", |d, v| {
        d.service.protection.system = Some(match v {
            "full" => System::Full,
            "strict" => System::Strict,
            "" => System::No,
            _ if boolean(v)? => System::Yes,
            _ => System::No,
        });
        Ok(())
    }),
    ("ProtectHome", |d, v| {
        d.service.protection.home = Some(match v {
            "read-only" => Home::ReadOnly,
            "tmpfs" => Home::Tmpfs,
            "" => Home::No,
            _ if boolean(v)? => Home::Yes,
            _ => Home::No,
        });
        Ok(())
    }),
    ("ProtectProc", |d, v| {
        d.service.protection.hide_processes = match v {
            "default" | "" => None,
            "noaccess" => Some("noaccess"),
            "invisible" => Some("invisible"),
            "ptraceable" => Some("ptraceable"),
            _ => return Err(format!("`{v}` is no setting of ProtectProc=")),
        };
        Ok(())
    }),
    ("ReadOnlyPaths", |d, v| d.places(v, |p| &mut p.read_only)),
    ("ReadWritePaths", |d, v| d.places(v, |p| &mut p.read_write)),
    ("InaccessiblePaths", |d, v| d.places(v, |p| &mut p.inaccessible)),
    ("PrivateTmp", |d, v| boolean(v).map(|b| d.service.protection.private_tmp = Some(b))),
    ("PrivateDevices", |d, v| boolean(v).map(|b| d.service.protection.private_devices = b)),
    ("PrivateMounts", |d, v| boolean(v).map(|b| d.service.protection.private_mounts = b)),
    ("ProtectKernelTunables", |d, v| boolean(v).map(|b| d.service.protection.kernel_tunables = b)),
    ("ProtectKernelModules", |d, v| boolean(v).map(|b| d.service.protection.kernel_modules = b)),
    ("ProtectKernelLogs", |d, v| boolean(v).map(|b| d.service.protection.kernel_logs = b)),
    ("ProtectControlGroups", |d, v| boolean(v).map(|b| d.service.protection.control_groups = b)),
    ("ProtectHostname", |d, v| boolean(v).map(|b| d.service.protection.hostname = b)),
    ("NoNewPrivileges", |d, v| boolean(v).map(|b| d.service.protection.no_new_privileges = Some(b))),
    ("CapabilityBoundingSet", |d, v| {
        let words = d.words(v)?;
        d.service.protection.capabilities = capabilities(d.service.protection.capabilities, &words)?;
        Ok(())
    }),
    ("LimitAS", |d, v| d.limit("AS", v)),
    ("LimitCORE", |d, v| d.limit("CORE", v)),
    ("LimitCPU", |d, v| d.limit("CPU", v)),
    ("LimitDATA", |d, v| d.limit("DATA", v)),
    ("LimitFSIZE", |d, v| d.limit("FSIZE", v)),
    ("LimitMEMLOCK", |d, v| d.limit("MEMLOCK", v)),
    ("LimitNOFILE", |d, v| d.limit("NOFILE", v)),
    ("LimitNPROC", |d, v| d.limit("NPROC", v)),
    ("LimitSTACK", |d, v| d.limit("STACK", v)),
    ("LimitRTPRIO", |d, v| d.limit("RTPRIO", v)),
    ("RuntimeDirectory", |d, v| d.directories(DirKind::Runtime, v)),
    ("StateDirectory", |d, v| d.directories(DirKind::State, v)),
    ("CacheDirectory", |d, v| d.directories(DirKind::Cache, v)),
    ("LogsDirectory", |d, v| d.directories(DirKind::Logs, v)),
    ("ConfigurationDirectory", |d, v| d.directories(DirKind::Configuration, v)),
    ("RuntimeDirectoryMode", |d, v| octal(v).map(|m| d.service.directory_modes.push((DirKind::Runtime, m)))),
    ("StateDirectoryMode", |d, v| octal(v).map(|m| d.service.directory_modes.push((DirKind::State, m)))),
    ("CacheDirectoryMode", |d, v| octal(v).map(|m| d.service.directory_modes.push((DirKind::Cache, m)))),
    ("LogsDirectoryMode", |d, v| octal(v).map(|m| d.service.directory_modes.push((DirKind::Logs, m)))),
    ("ConfigurationDirectoryMode", |d, v| {
        octal(v).map(|m| d.service.directory_modes.push((DirKind::Configuration, m)))
    }),
    ("RuntimeDirectoryPreserve", |d, v| {
        d.service.runtime_directory_preserve = match v {
            "restart" => "restart",
            _ if boolean(v)? => "yes",
            _ => "no",
        };
        Ok(())
    }),
];

pub(super) const INSTALL: &[(&str, Set)] = &[
    ("WantedBy", |d, v| d.install(v, |u| &mut u.install.wanted_by)),
    ("RequiredBy", |d, v| d.install(v, |u| &mut u.install.required_by)),
    ("Also", |d, v| d.install(v, |u| &mut u.install.also)),
    ("Alias", |d, v| d.install(v, |u| &mut u.install.alias)),
    ("DefaultInstance", |d, v| d.text(v).map(|t| d.unit.install.default_instance = t)),
];

/// Conditions and assertions: the part of the name behind `Condition` or `Assert`.
pub(super) const CONDITIONS: &str = "\
    PathExists PathExistsGlob PathIsDirectory PathIsSymbolicLink PathIsMountPoint PathIsReadWrite DirectoryNotEmpty \
    FileNotEmpty FileIsExecutable Host User Virtualization FirstBoot Environment Group KernelCommandLine Architecture \
    ACPower Capability ControlGroupController CPUs Security NeedsUpdate";

/// Directives that are accepted without effect, with the reason.
pub(super) const WITHOUT_EFFECT: &[(&str, &str, &str)] = &[
    (
        "Unit",
        "nothing on the machine reads it",
        "\
            SourcePath AllowIsolate IgnoreOnIsolate SuccessAction FailureAction JobTimeoutAction StartLimitAction \
            SurviveFinalKillSignal RequiresMountsFor WantsMountsFor ReloadPropagatedFrom StopPropagatedFrom \
            JoinsNamespaceOf PropagatesReloadFrom OnFailureJobMode OnSuccessJobMode RebootArgument",
    ),
    (
        "Service",
        "it shares out the resources of a whole host",
        "\
            BlockIOAccounting BlockIOWeight CPUAccounting CPUAffinity CPUSchedulingPolicy CPUSchedulingPriority \
            CPUSchedulingResetOnFork CPUShares CPUWeight CoredumpFilter Delegate IOAccounting IOSchedulingClass \
            IOSchedulingPriority IOWeight IPAccounting MemoryAccounting MemoryLow MemoryMin Slice TasksAccounting \
            TimerSlackNSec StartupCPUWeight StartupIOWeight",
    ),
    (
        "Service",
        "there is no console, bus or core dump on the machine for it to act on",
        "\
            LogRateLimitBurst LogRateLimitIntervalSec LogExtraFields SyslogFacility TTYPath TTYReset TTYVHangup \
            TTYVTDisallocate UtmpIdentifier UtmpMode NonBlocking FileDescriptorStoreMax BusName \
            TimeoutStartFailureMode TimeoutStopFailureMode ExitType RestartSteps RestartMaxDelaySec \
            RootDirectoryStartOnly PermissionsStartOnly",
    ),
];

fn number(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("`{value}` is no number"))
}

fn level(value: &str) -> Result<u8, String> {
    let names = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let by_number = value.parse().ok().filter(|n| *n < names.len());
    let level = names.iter().position(|n| *n == value).or(by_number).and_then(|n| u8::try_from(n).ok());
    level.ok_or_else(|| format!("`{value}` is no level"))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in text.chars().filter(|c| !c.is_whitespace() && *c != '=') {
        bits = (bits << 6) | u32::try_from(DIGITS.find(digit)?).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn octal(value: &str) -> Result<u32, String> {
    u32::from_str_radix(value, 8).ok().filter(|m| *m <= 0o7777).ok_or_else(|| format!("`{value}` is no octal mode"))
}

fn timeout(value: &str) -> Result<u64, String> {
    timespan(value).map(|t| if t == 0 { INFINITY } else { t })
}

fn statuses(set: &mut StatusSet, value: &str) -> Result<(), String> {
    if value.is_empty() {
        *set = StatusSet::default();
    }
    set.add(value)
}
