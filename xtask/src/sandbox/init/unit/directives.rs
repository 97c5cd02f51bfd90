//! Every directive that the sandbox knows. One that is not in these tables is refused by name.

use std::path::PathBuf;

use super::service::{DirKind, Exec, KillMode, Restart, Stream, Type};
use super::syntax::Entry;
use super::values::{INFINITY, StatusSet, boolean, signal, size, timespan};
use super::words::{Specifiers, is_name, split, split_quoted};
use super::{Condition, Dep, Kind, Service, Unit};

/// A unit under construction.
pub struct Draft {
    unit: Unit,
    service: Service,
    spec: Specifiers,
}

type Set = fn(&mut Draft, &str) -> Result<(), String>;

const UNIT: &[(&str, Set)] = &[
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
    ("JobTimeoutSec", |d, v| timespan(v).map(|t| d.unit.job_timeout = t)),
    ("JobRunningTimeoutSec", |d, v| timespan(v).map(|t| d.unit.job_timeout = t)),
];

const SERVICE: &[(&str, Set)] = &[
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
    ("StandardOutput", |d, v| d.output(v, Stream::Inherit).map(|s| d.service.stdout = s)),
    ("StandardError", |d, v| d.output(v, Stream::Inherit).map(|s| d.service.stderr = s)),
    ("SyslogIdentifier", |d, v| d.text(v).map(|t| d.service.syslog_identifier = t)),
    ("SyslogLevel", |d, v| {
        let names = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
        let level = names.iter().position(|n| *n == v).ok_or_else(|| format!("`{v}` is no level"))?;
        d.service.syslog_level = u8::try_from(level).unwrap_or(6);
        Ok(())
    }),
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
    ("IgnoreSIGPIPE", |d, v| boolean(v).map(|b| d.service.ignore_sigpipe = b)),
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

const INSTALL: &[(&str, Set)] = &[
    ("WantedBy", |d, v| d.install(v, |u| &mut u.install.wanted_by)),
    ("RequiredBy", |d, v| d.install(v, |u| &mut u.install.required_by)),
    ("Also", |d, v| d.install(v, |u| &mut u.install.also)),
    ("Alias", |d, v| d.install(v, |u| &mut u.install.alias)),
    ("DefaultInstance", |d, v| d.text(v).map(|t| d.unit.install.default_instance = t)),
];

/// Path conditions and assertions: the part of the name behind `Condition` or `Assert`.
const CONDITIONS: &[&str] = &[
    "PathExists",
    "PathExistsGlob",
    "PathIsDirectory",
    "PathIsSymbolicLink",
    "PathIsMountPoint",
    "PathIsReadWrite",
    "DirectoryNotEmpty",
    "FileNotEmpty",
    "FileIsExecutable",
    "Host",
    "User",
    "Virtualization",
    "FirstBoot",
    "Environment",
];

/// Directives that are accepted without effect, with the reason.
pub const WITHOUT_EFFECT: &[(&str, &str, &[&str])] = &[
    (
        "Unit",
        "nothing on the machine reads it",
        &[
            "SourcePath",
            "AllowIsolate",
            "IgnoreOnIsolate",
            "CollectMode",
            "SuccessAction",
            "FailureAction",
            "JobTimeoutAction",
            "StartLimitAction",
            "SurviveFinalKillSignal",
            "RequiresMountsFor",
            "WantsMountsFor",
            "ReloadPropagatedFrom",
            "StopPropagatedFrom",
            "JoinsNamespaceOf",
            "PropagatesReloadFrom",
            "OnFailureJobMode",
            "OnSuccessJobMode",
            "RebootArgument",
        ],
    ),
    (
        "Service",
        "it only takes rights away from the service: what works without them works with them here",
        &[
            "AmbientCapabilities",
            "CapabilityBoundingSet",
            "DeviceAllow",
            "DevicePolicy",
            "IPAddressAllow",
            "IPAddressDeny",
            "InaccessiblePaths",
            "KeyringMode",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "MountAPIVFS",
            "MountFlags",
            "NoNewPrivileges",
            "PrivateDevices",
            "PrivateIPC",
            "PrivateMounts",
            "PrivateTmp",
            "PrivateUsers",
            "ProcSubset",
            "ProtectClock",
            "ProtectControlGroups",
            "ProtectHome",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectProc",
            "ProtectSystem",
            "ReadOnlyPaths",
            "ReadWritePaths",
            "RemoveIPC",
            "RestrictAddressFamilies",
            "RestrictFileSystems",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "SecureBits",
            "SystemCallArchitectures",
            "SystemCallErrorNumber",
            "SystemCallFilter",
            "SystemCallLog",
        ],
    ),
    (
        "Service",
        "it shares out the resources of a whole host",
        &[
            "BlockIOAccounting",
            "BlockIOWeight",
            "CPUAccounting",
            "CPUAffinity",
            "CPUQuota",
            "CPUSchedulingPolicy",
            "CPUSchedulingPriority",
            "CPUSchedulingResetOnFork",
            "CPUShares",
            "CPUWeight",
            "CoredumpFilter",
            "Delegate",
            "IOAccounting",
            "IOSchedulingClass",
            "IOSchedulingPriority",
            "IOWeight",
            "IPAccounting",
            "MemoryAccounting",
            "MemoryHigh",
            "MemoryLimit",
            "MemoryLow",
            "MemoryMax",
            "MemoryMin",
            "MemorySwapMax",
            "OOMPolicy",
            "Slice",
            "TasksAccounting",
            "TasksMax",
            "TimerSlackNSec",
            "StartupCPUWeight",
            "StartupIOWeight",
        ],
    ),
    (
        "Service",
        "there is no console, watchdog, bus or core dump on the machine for it to act on",
        &[
            "LogLevelMax",
            "LogRateLimitBurst",
            "LogRateLimitIntervalSec",
            "LogExtraFields",
            "SyslogFacility",
            "TTYPath",
            "TTYReset",
            "TTYVHangup",
            "TTYVTDisallocate",
            "UtmpIdentifier",
            "UtmpMode",
            "WatchdogSec",
            "WatchdogSignal",
            "NonBlocking",
            "FileDescriptorStoreMax",
            "BusName",
            "TimeoutStartFailureMode",
            "TimeoutStopFailureMode",
            "ExitType",
            "RestartSteps",
            "RestartMaxDelaySec",
            "RootDirectoryStartOnly",
            "PermissionsStartOnly",
        ],
    ),
];

/// Sections that hold notes of other programs.
fn is_foreign(section: &str) -> bool {
    section.starts_with("X-")
}

/// A unit from the assignments of its file and drop-ins. Errors name file, line and directive.
pub fn build(mut unit: Unit, spec: &Specifiers, files: &[(String, Vec<Entry>)]) -> Result<Unit, String> {
    let service = unit.service().cloned();
    let is_service = service.is_some();
    unit.load = super::Load::Loaded;
    let mut draft = Draft { unit, service: service.unwrap_or_default(), spec: spec.clone() };
    for (file, entries) in files {
        for entry in entries {
            let place = || format!("{file}:{}", entry.line);
            if is_foreign(&entry.section) || entry.key.starts_with("X-") {
                continue;
            }
            let table = match entry.section.as_str() {
                "Unit" => UNIT,
                "Install" => INSTALL,
                "Service" if is_service => SERVICE,
                other => return Err(format!("{}: section [{other}] has no meaning in {}", place(), draft.unit.name)),
            };
            if let Some((_, set)) = table.iter().find(|(name, _)| *name == entry.key) {
                set(&mut draft, &entry.value).map_err(|e| format!("{}: {}: {e}", place(), entry.key))?;
            } else if !draft.condition(entry).map_err(|e| format!("{}: {}: {e}", place(), entry.key))?
                && !is_without_effect(&entry.section, &entry.key)
            {
                return Err(format!("{}: {}", place(), unknown(&entry.section, &entry.key)));
            }
        }
    }
    let Draft { mut unit, service, .. } = draft;
    if is_service {
        check_service(&service).map_err(|e| format!("{}: {e}", files.first().map_or("", |(f, _)| f)))?;
        unit.kind = Kind::Service(Box::new(service));
    }
    Ok(unit)
}

fn check_service(service: &Service) -> Result<(), String> {
    if service.exec_start.is_empty() && service.exec_stop.is_empty() {
        return Err("service has neither ExecStart= nor ExecStop=".into());
    }
    if service.exec_start.is_empty() && !service.remain_after_exit {
        return Err("service without ExecStart= needs RemainAfterExit=yes".into());
    }
    if service.kind() != Type::Oneshot && service.exec_start.len() > 1 {
        return Err("more than one ExecStart= is for Type=oneshot only".into());
    }
    if service.kind() == Type::Oneshot && matches!(service.restart, Restart::Always | Restart::OnSuccess) {
        return Err("Type=oneshot cannot have Restart=always or on-success".into());
    }
    Ok(())
}

fn is_without_effect(section: &str, key: &str) -> bool {
    WITHOUT_EFFECT.iter().any(|(s, _, keys)| *s == section && keys.contains(&key))
}

fn unknown(section: &str, key: &str) -> String {
    let tables = [("Unit", UNIT), ("Service", SERVICE), ("Install", INSTALL)];
    if let Some((other, _)) = tables.iter().find(|(s, t)| *s != section && t.iter().any(|(name, _)| *name == key)) {
        return format!("directive `{key}` belongs into section [{other}], not [{section}]");
    }
    let conditions = CONDITIONS.iter().flat_map(|c| [format!("Condition{c}"), format!("Assert{c}")]);
    let names = tables.iter().filter(|(s, _)| *s == section).flat_map(|(_, t)| t.iter().map(|(n, _)| (*n).to_owned()));
    let names = names.chain(conditions.filter(|_| section == "Unit"));
    let nearest = names.max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
    match nearest.filter(|n| strsim::jaro_winkler(n, key) > 0.8) {
        Some(nearest) => {
            format!("directive `{key}` of [{section}] is not known to the sandbox (did you mean `{nearest}`?)")
        }
        None => format!("directive `{key}` of [{section}] is not known to the sandbox"),
    }
}

fn number(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("`{value}` is no number"))
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

impl Draft {
    fn words(&self, value: &str) -> Result<Vec<String>, String> {
        split(value)?.iter().map(|w| self.spec.expand(w)).collect()
    }

    fn text(&self, value: &str) -> Result<Option<String>, String> {
        self.spec.expand(value).map(|t| (!t.is_empty()).then_some(t))
    }

    fn absolute(&self, value: &str) -> Result<PathBuf, String> {
        let path = self.spec.expand(value)?;
        if path.starts_with('/') { Ok(path.into()) } else { Err(format!("`{path}` is not an absolute path")) }
    }

    fn deps(&mut self, kind: Dep, value: &str) -> Result<(), String> {
        for name in self.words(value)? {
            if !super::is_valid_name(&name) {
                return Err(format!("`{name}` is no name of a unit (names end in .service, .target, …)"));
            }
            self.unit.add_dep(kind, &name);
        }
        Ok(())
    }

    fn install(&mut self, value: &str, list: fn(&mut Unit) -> &mut Vec<String>) -> Result<(), String> {
        let words = split(value)?;
        list(&mut self.unit).extend(words);
        Ok(())
    }

    fn output(&self, value: &str, inherit: Stream) -> Result<Stream, String> {
        Ok(match value.split_once(':') {
            Some(("file", path)) => Stream::File(self.absolute(path)?),
            Some(("append", path)) => Stream::Append(self.absolute(path)?),
            Some(("truncate", path)) => Stream::Truncate(self.absolute(path)?),
            None => match value {
                "null" => Stream::Null,
                "journal" | "journal+console" | "syslog" | "syslog+console" | "kmsg" | "kmsg+console" => {
                    Stream::Journal
                }
                "inherit" => inherit,
                _ => {
                    return Err(format!(
                        "`{value}` is not offered by the sandbox (journal, null, inherit, file:, append:, truncate: are)"
                    ));
                }
            },
            _ => {
                return Err(format!(
                    "`{value}` is not offered by the sandbox (journal, null, inherit, file:, append:, truncate: are)"
                ));
            }
        })
    }

    fn limit(&mut self, name: &'static str, value: &str) -> Result<(), String> {
        let one = |text: &str| match name {
            "CPU" if text != "infinity" => timespan(text).map(|t| t.div_ceil(1_000_000)),
            _ => size(text),
        };
        let (soft, hard) = value.split_once(':').unwrap_or((value, value));
        self.service.limits.retain(|(n, ..)| *n != name);
        self.service.limits.push((name, one(soft)?, one(hard)?));
        Ok(())
    }

    fn directories(&mut self, kind: DirKind, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.service.directories.retain(|(k, _)| *k != kind);
        }
        for path in self.words(value)? {
            if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(format!("`{path}` must be a relative path without `..`"));
            }
            self.service.directories.push((kind, path));
        }
        Ok(())
    }

    /// Takes `entry` if it is a condition or an assertion.
    fn condition(&mut self, entry: &Entry) -> Result<bool, String> {
        let (rest, is_assert) = match (entry.key.strip_prefix("Condition"), entry.key.strip_prefix("Assert")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return Ok(false),
        };
        let Some(name) = CONDITIONS.iter().find(|c| **c == rest).filter(|_| entry.section == "Unit") else {
            return Ok(false);
        };
        let list = if is_assert { &mut self.unit.asserts } else { &mut self.unit.conditions };
        if entry.value.is_empty() {
            list.clear();
            return Ok(true);
        }
        let trigger = entry.value.starts_with('|');
        let value = entry.value.trim_start_matches('|').trim_start();
        let negate = value.starts_with('!');
        let value = self.spec.expand(value.trim_start_matches('!').trim_start())?;
        if (name.contains("Path") || name.contains("File") || name.contains("Directory")) && !value.starts_with('/') {
            return Err(format!("`{value}` is not an absolute path"));
        }
        list.push(Condition { name, value, negate, trigger });
        Ok(true)
    }

    fn exec(&mut self, value: &str, list: fn(&mut Service) -> &mut Vec<Exec>) -> Result<(), String> {
        if value.is_empty() {
            list(&mut self.service).clear();
            return Ok(());
        }
        let words = split_quoted(value)?;
        for command in words.split(|(word, quoted)| word == ";" && !quoted) {
            let mut argv = Vec::new();
            for (word, _) in command {
                argv.push(if word == "\\;" { ";".to_owned() } else { self.spec.expand(word)? });
            }
            let Some(first) = argv.first().cloned() else { continue };
            let program = first.trim_start_matches(['-', '@', ':', '+', '!', '|']);
            let prefixes = &first[..first.len() - program.len()];
            if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
                return Err(format!("`{program}` is neither a plain name nor an absolute path of a program"));
            }
            if prefixes.contains('@') {
                argv.remove(0);
                if argv.is_empty() {
                    return Err("`@` needs a second word, the name that the program is called by".into());
                }
            } else {
                program.clone_into(&mut argv[0]);
            }
            list(&mut self.service).push(Exec {
                program: program.to_owned(),
                argv,
                ignore_failure: prefixes.contains('-'),
                no_env: prefixes.contains(':'),
                privileged: prefixes.contains(['+', '!']),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Load, syntax};
    use super::*;

    fn build_text(name: &str, text: &str) -> Result<Unit, String> {
        let spec = Specifiers { unit: name.into(), ..Default::default() };
        build(Unit::new(name, Load::NotFound), &spec, &[("u.service".into(), syntax::parse(text)?)])
    }

    #[test]
    fn an_unknown_directive_is_refused_by_name() {
        let error = build_text("u.service", "[Service]\nExecStart=/bin/true\nWorkingDirectroy=/\n").unwrap_err();
        assert_eq!(
            error,
            "u.service:3: directive `WorkingDirectroy` of [Service] is not known to the sandbox (did you mean `WorkingDirectory`?)"
        );
        let error = build_text("u.service", "[Unit]\nRestart=always\n").unwrap_err();
        assert_eq!(error, "u.service:2: directive `Restart` belongs into section [Service], not [Unit]");
        let error = build_text("u.service", "[Socket]\nListenStream=1\n").unwrap_err();
        assert_eq!(error, "u.service:2: section [Socket] has no meaning in u.service");
    }

    #[test]
    fn commands_with_prefixes_and_lists() {
        let unit = build_text(
            "inst@a.service",
            "[Unit]\nDescription=Instance %i\n[Service]\nType=oneshot\nExecStart=/bin/false\nExecStart=\nExecStart=-@/bin/sh me -c 'exit 1' ; +echo \";\" %i\n",
        )
        .unwrap();
        let service = unit.service().unwrap();
        assert_eq!(unit.description, "Instance a");
        assert_eq!(service.exec_start.len(), 2);
        assert_eq!(service.exec_start[0].argv, ["me", "-c", "exit 1"]);
        assert!(service.exec_start[0].ignore_failure && !service.exec_start[1].ignore_failure);
        assert_eq!(service.exec_start[1].argv, ["echo", ";", "a"]);
        assert!(service.exec_start[1].privileged);
    }

    #[test]
    fn conditions_and_environment() {
        let unit = build_text(
            "u.service",
            "[Unit]\nConditionPathExists=|!/x\n[Service]\nExecStart=/bin/true\nEnvironment=A=1 \"B=two words\"\nEnvironment=A=2\n",
        )
        .unwrap();
        assert_eq!(
            unit.conditions,
            [Condition { name: "PathExists", value: "/x".into(), negate: true, trigger: true }]
        );
        let env = &unit.service().unwrap().environment;
        assert_eq!(env, &[("B".to_owned(), "two words".to_owned()), ("A".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn no_directive_stands_in_two_tables() {
        for (section, _, keys) in WITHOUT_EFFECT {
            let table = if *section == "Unit" { UNIT } else { SERVICE };
            for key in *keys {
                assert!(!table.iter().any(|(name, _)| name == key), "{key}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_value_of_any_directive_is_read_or_refused(index in 0..UNIT.len() + SERVICE.len(), value in "(\\PC|%|\\\\|;|'|:){0,30}") {
            let (section, key) = if index < UNIT.len() { ("Unit", UNIT[index].0) } else { ("Service", SERVICE[index - UNIT.len()].0) };
            let _ = build_text("u.service", &format!("[{section}]\n{key}={value}\n"));
        }
    }
}
