//! Starting the processes of a service.

mod environment;
mod mounts;
mod user;

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::journal::Journal;
use super::manager::types::{Phase, Rt};
use super::paths::Paths;
use super::streams::{self, Source};
use super::unit::service::{DirKind, Exec, Service, Stream};
use super::unit::words::{Env, expand};
use crate::start;
use crate::unit::rlimits;
use user::user;

/// Folders of programs on the machine.
pub(super) const PATH: &str = "/machine/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The manager's own variables, before `systemctl set-environment`.
pub(super) fn default_environment() -> Env {
    [("LANG", "C.UTF-8"), ("PATH", PATH)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// The step that failed: exit status as systemd's, its name, the program or path, the reason.
#[derive(Debug)]
pub(super) struct Failed {
    status: i32,
    step: &'static str,
    reason: anyhow::Error,
    /// What is said of it before.
    first: Option<String>,
}

fn failed(status: i32, step: &'static str, reason: impl Into<anyhow::Error>) -> Failed {
    Failed { status, step, reason: reason.into(), first: None }
}

/// Finds a program: a path as it is, a name in the folders of PATH.
pub(super) fn find_program(name: &str, path: &str) -> PathBuf {
    if name.contains('/') {
        return name.into();
    }
    let runs = |p: &Path| p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    path.split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|p| runs(p))
        .unwrap_or_else(|| Path::new("/usr/bin").join(name))
}

/// Starts a command of a service. Returns the process, and whether its program is being executed.
pub(super) fn spawn(
    rt: &Rt,
    phase: Phase,
    exec: &Exec,
    journal: &Journal,
    (paths, manager): (&Paths, &Env),
) -> (Option<i32>, bool) {
    let unit = &rt.unit.name;
    // What goes wrong in a process that is to become the program is said by that process.
    let say = |pid: Option<i32>, text: String| {
        journal.child(pid.unwrap_or(1), unit, &rt.invocation, &exec.program, &format!("{unit}: {text}"));
    };
    let Some(service) = rt.unit.service() else { return (None, false) };
    let mut ignored = Vec::new();
    let env = environment::environment(rt, service, phase, manager, &mut ignored);
    for text in ignored {
        let text = format!("{unit}: Ignoring invalid environment assignment {text}");
        journal.manager(unit, &rt.invocation, 3, &text);
    }
    let env = match env {
        Ok(env) => env,
        Err(error) => {
            journal.manager(unit, &rt.invocation, 3, &format!("{unit}: {error}"));
            let reason = error.to_string();
            let reason = reason.rsplit_once(": ").map_or("", |(_, reason)| reason);
            let text = format!("{unit}: Failed to run '{}' task: {reason}", phase.task());
            journal.manager(unit, &rt.invocation, 4, &text);
            return (None, false);
        }
    };
    let prepared = match prepare(rt, service, exec, journal, paths, env) {
        Ok(prepared) => prepared,
        Err(failed) => {
            // A process that ends with the status of the step, as systemd's would.
            let pid = exit_with(failed.status);
            if let Some(first) = failed.first {
                say(pid, first);
            }
            say(pid, format!("Failed at step {} spawning {}: {:#}", failed.step, exec.program, failed.reason));
            return (pid, false);
        }
    };
    let [stdin, stdout, stderr] = &prepared.stdio;
    let program = start::Program { stdio: Some([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]), ..prepared.program };
    match start::start(&program) {
        Ok(started) => {
            if let Some((status, errno)) = started.failed {
                let error = std::io::Error::from_raw_os_error(errno);
                let text = error.to_string();
                let text = text.split(" (os error").next().unwrap_or_default();
                let step = super::unit::values::status_name(status);
                let pid = Some(started.pid);
                if status == 203 && exec.ignore_failure {
                    say(pid, format!("Executable {} missing, skipping: {text}", exec.program));
                } else {
                    if status == 203 {
                        say(pid, format!("Failed to locate executable {}: {text}", exec.program));
                    } else if status == 200 {
                        say(pid, format!("Changing to the requested working directory failed: {text}"));
                    }
                    say(pid, format!("Failed at step {step} spawning {}: {text}", exec.program));
                }
            }
            (Some(started.pid), started.failed.is_none())
        }
        Err(error) => {
            say(None, format!("Failed to fork: {error}"));
            (None, false)
        }
    }
}

/// A process that does nothing but exit with a status.
fn exit_with(status: i32) -> Option<i32> {
    let argv = ["sh", "-c", &format!("exit {status}")].map(start::c_text).to_vec();
    let program = start::Program { path: c"/bin/sh".into(), argv, ..Default::default() };
    start::start(&program).ok().map(|s| s.pid)
}

struct Prepared<'a> {
    program: start::Program<'a>,
    stdio: [OwnedFd; 3],
}

fn prepare<'a>(
    rt: &Rt,
    service: &Service,
    exec: &Exec,
    journal: &Journal,
    paths: &Paths,
    mut env: Env,
) -> Result<Prepared<'a>, Failed> {
    let user = user(rt, service, journal)?;
    let notify = service.notify_access() != "none";
    if let Some((name, home, shell)) = user.as_ref().and_then(|u| u.login.as_ref()) {
        let defaults = [("USER", name), ("LOGNAME", name), ("HOME", home), ("SHELL", shell)];
        for (key, value) in defaults.into_iter().filter(|(_, value)| !value.is_empty()) {
            env.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
    }
    // Root needs no change, and a namespace with one user allows none.
    let user = user.filter(|_| !exec.keeps_root);
    let powerless = service.dynamic_user && user.as_ref().is_some_and(|user| user.uid == 0);
    let ids = user.as_ref().filter(|u| u.uid != 0 || u.groups != [0]).map(|u| (u.uid, u.gid, u.groups.clone()));
    for (from, to) in make_directories(service, ids.as_ref(), &mut env, paths)? {
        for text in [
            format!("Found pre-existing public StateDirectory= directory {from}, migrating to {to}."),
            "Apparently, service previously had DynamicUser= turned off, and has now turned it on.".to_owned(),
        ] {
            journal.child(1, &rt.unit.name, &rt.invocation, &exec.program, &text);
        }
    }
    if notify {
        env.insert("NOTIFY_SOCKET".into(), paths.notify().display().to_string());
    }
    if service.watchdog_us > 0 {
        env.insert("WATCHDOG_USEC".into(), service.watchdog_us.to_string());
    }
    let mounts = if exec.privileged { Vec::new() } else { mounts(rt, service, paths)? };
    let stdio = streams_of(rt, service, exec, journal, &mut env)?;
    for name in &service.unset_environment {
        env.remove(name);
    }
    let path = env.get("PATH").cloned().unwrap_or_else(|| PATH.to_owned());
    let argv = if exec.no_env {
        exec.argv.clone()
    } else {
        // The name of the program is taken as it is.
        let (first, rest) = exec.argv.split_at(1.min(exec.argv.len()));
        [first.to_vec(), expand(rest, &env)].concat()
    };
    let cwd = match service.working_directory.as_deref() {
        Some("~") => env.get("HOME").cloned().unwrap_or_else(|| "/root".into()),
        Some(path) => path.to_owned(),
        None => "/".to_owned(),
    };
    let program = start::Program {
        path: start::c_text(find_program(&exec.program, &path).as_os_str().as_encoded_bytes()),
        argv: argv.iter().map(start::c_text).collect(),
        env: env.iter().map(|(k, v)| start::c_text(format!("{k}={v}"))).collect(),
        exec_pid: true,
        cwd: Some(start::c_text(cwd)),
        cwd_optional: service.working_directory_optional,
        stdio: None,
        user: ids,
        umask: Some(service.umask),
        nice: service.nice,
        limits: rlimits::numbers(&service.limits),
        oom_score_adjust: service.oom_score_adjust.map(|n| start::c_text(n.to_string())),
        ignore_sigpipe: service.ignore_sigpipe,
        mounts,
        own_hostname: service.protection.hostname,
        capabilities: service.protection.capabilities.filter(|_| !exec.privileged),
        powerless,
        no_new_privileges: powerless || service.protection().no_new_privileges == Some(true),
    };
    Ok(Prepared { program, stdio })
}

/// The service's view on the file system, and what it needs there.
fn mounts(rt: &Rt, service: &Service, paths: &Paths) -> Result<Vec<start::Step>, Failed> {
    let namespace = |e: std::io::Error| failed(226, "NAMESPACE", e);
    let tmp = tmp_name(rt, paths);
    if service.protection().private_tmp == Some(true) {
        for at in ["/tmp", "/var/tmp"] {
            let own = paths.path(format!("{at}/{tmp}"));
            fs::create_dir_all(own.join("tmp")).map_err(namespace)?;
            fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).map_err(namespace)?;
            fs::set_permissions(own.join("tmp"), fs::Permissions::from_mode(0o1777)).map_err(namespace)?;
        }
    }
    let facts = mounts::Facts { found: &mounts::found, read_only: &mounts::is_read_only, tmp: &tmp };
    mounts::plan(service, &facts)
}

fn tmp_name(rt: &Rt, paths: &Paths) -> String {
    let boot = fs::read_to_string(paths.run().join("boot-id")).unwrap_or_default();
    mounts::private_tmp(&rt.unit.name, &boot.trim().replace('-', ""), &rt.invocation)
}

/// Makes the folders of a service. The result: folders that were there for all, and where they are now.
fn make_directories(
    service: &Service,
    user: Option<&(u32, u32, Vec<u32>)>,
    env: &mut Env,
    paths: &Paths,
) -> Result<Vec<(String, String)>, Failed> {
    let mut moved = Vec::new();
    for kind in DirKind::ALL {
        let (root, variable, status) = kind.facts();
        let mut all = Vec::new();
        for (_, name) in service.directories.iter().filter(|(k, _)| *k == kind) {
            // `a:b` makes a link b to a.
            let (name, link) = name.split_once(':').map_or((name.as_str(), None), |(n, l)| (n, Some(l)));
            let shown = mounts::folder(service, kind, name);
            let path = paths.path(&shown);
            if service.is_private(kind) {
                let was_public = make_private(&paths.path(root), name).map_err(|e| {
                    failed(status, super::unit::values::status_name(status), anyhow!("{root}/{name}: {e}"))
                })?;
                moved.extend(was_public.then(|| (format!("{root}/{name}"), shown.clone())));
            }
            let made = fs::create_dir_all(&path)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(service.directory_mode(kind))))
                .and_then(|()| match user.filter(|_| kind != DirKind::Configuration) {
                    Some((uid, gid, _)) => std::os::unix::fs::chown(&path, Some(*uid), Some(*gid)),
                    None => Ok(()),
                });
            made.map_err(|e| failed(status, super::unit::values::status_name(status), anyhow!("{shown}: {e}")))?;
            if let Some(link) = link {
                let _ = std::os::unix::fs::symlink(&path, paths.path(format!("{root}/{link}")));
            }
            all.push(format!("{root}/{name}"));
        }
        if !all.is_empty() {
            env.insert(variable.to_owned(), all.join(":"));
        }
    }
    Ok(moved)
}

/// `ROOT/private`, which only root may enter, and `ROOT/NAME` as a link to the folder of that name in there. `true` where
/// it was a folder before.
fn make_private(root: &Path, name: &str) -> std::io::Result<bool> {
    let private = root.join("private");
    fs::create_dir_all(&private)?;
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700))?;
    let link = root.join(name);
    let up = "../".repeat(name.matches('/').count());
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    let was_public = match link.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {
            // What the service kept there when it had no user of its own.
            let to = private.join(name);
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::rename(&link, to)?;
            true
        }
        Ok(_) => return Ok(false),
        Err(_) => false,
    };
    std::os::unix::fs::symlink(format!("{up}private/{name}"), link)?;
    Ok(was_public)
}

/// Removes what lives only as long as the service runs: its PID file and folders.
pub(super) fn cleanup(rt: &Rt, service: &Service, restarting: bool, paths: &Paths) {
    if service.protection().private_tmp == Some(true) {
        for at in ["/tmp", "/var/tmp"] {
            let _ = fs::remove_dir_all(paths.path(format!("{at}/{}", tmp_name(rt, paths))));
        }
    }
    if let Some(path) = &service.pid_file {
        let _ = fs::remove_file(path);
    }
    let keep = match service.runtime_directory_preserve {
        "yes" => true,
        "restart" => restarting,
        _ => false,
    };
    for (_, name) in service.directories.iter().filter(|(k, _)| *k == DirKind::Runtime && !keep) {
        let name = name.split(':').next().unwrap_or(name);
        let _ = fs::remove_dir_all(paths.path(format!("/run/{name}")));
    }
}

/// Removes folders of a service that does not run, as `systemctl clean --what=` asks. `false` where it has none.
pub(super) fn clean(service: &Service, what: &[&str], paths: &Paths) -> bool {
    let asked = |kind: DirKind| {
        let name = match kind {
            DirKind::Runtime => "runtime",
            DirKind::State => "state",
            DirKind::Cache => "cache",
            DirKind::Logs => "logs",
            DirKind::Configuration => "configuration",
        };
        what.contains(&name) || what.contains(&"all")
    };
    let mut any = false;
    for (kind, name) in service.directories.iter().filter(|(kind, _)| asked(*kind)) {
        let name = name.split(':').next().unwrap_or(name);
        let _ = fs::remove_dir_all(paths.path(format!("{}/{name}", kind.facts().0)));
        any = true;
    }
    any
}

fn streams_of(
    rt: &Rt,
    service: &Service,
    exec: &Exec,
    journal: &Journal,
    env: &mut Env,
) -> Result<[OwnedFd; 3], Failed> {
    let null = |write: bool| File::options().read(!write).write(write).open("/dev/null").map(OwnedFd::from);
    let stdin = match &service.stdin {
        Stream::File(path) => File::open(path).map(OwnedFd::from),
        Stream::Data(_) => data(&service.stdin_data),
        _ => null(false),
    };
    let stdin = stdin.map_err(|e| failed(208, "STDIN", e))?;
    let open = |stream: &Stream, status: i32, step: &'static str, env: &mut Env| -> Result<OwnedFd, Failed> {
        let mut options = File::options();
        options.create(true).write(true);
        let file = match stream {
            Stream::File(path) => options.open(path).map(OwnedFd::from),
            Stream::Append(path) => options.append(true).open(path).map(OwnedFd::from),
            Stream::Truncate(path) => options.truncate(true).open(path).map(OwnedFd::from),
            Stream::Null | Stream::Data(_) => null(true),
            Stream::Journal | Stream::Inherit => {
                let source = Source {
                    unit: rt.unit.name.clone(),
                    identifier: service.identifier(exec),
                    invocation: rt.invocation.clone(),
                    priority: service.syslog_level.into(),
                    level_prefix: service.syslog_level_prefix,
                    level_max: service.log_level_max,
                };
                let fd = streams::output(journal, source).map_err(|e| failed(status, step, e))?;
                if let Ok(meta) = File::from(fd.try_clone().map_err(|e| failed(status, step, e))?).metadata() {
                    env.insert("JOURNAL_STREAM".into(), format!("{}:{}", meta.dev(), meta.ino()));
                }
                return Ok(fd);
            }
        };
        file.map_err(|e| failed(status, step, e))
    };
    // `inherit` on stdout means stdin, which is never a terminal here.
    let stdout = match &service.stdout {
        Stream::Inherit => null(true).map_err(|e| failed(209, "STDOUT", e))?,
        stream => open(stream, 209, "STDOUT", env)?,
    };
    let stderr = match &service.stderr {
        Stream::Inherit => stdout.try_clone().map_err(|e| failed(222, "STDERR", e))?,
        stream if *stream == service.stdout => stdout.try_clone().map_err(|e| failed(222, "STDERR", e))?,
        stream => open(stream, 222, "STDERR", env)?,
    };
    Ok([stdin, stdout, stderr])
}

/// A file in memory with these bytes, to be read from its start.
pub(super) fn data(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    use unix::sys::memfd::{MFdFlags, memfd_create};
    let mut file = File::from(memfd_create(c"data", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}
