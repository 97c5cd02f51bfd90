//! Enters a machine that runs: finds its PID 1 below /proc and joins its namespaces, as nsenter(1) does.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use unix::sched::{CloneFlags, setns};

use super::{PROMPT, dress, machine, rootfs, shell};
use tool_base::confine::confine;
use tool_base::guard::Guarded;
use tool_base::process::{Cmd, OWN, is_own_program};
use tool_base::stage::VARIABLE;
use tool_base::{fail, sys};

/// A machine that runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Running {
    /// File that describes its run; the names of runs sort by time.
    pub spec: PathBuf,
    /// Its name.
    pub name: String,
    /// Its PID 1, as we count.
    pub pid: i32,
}

/// The machines of our runs whose results are below a folder, oldest run first.
pub fn machines(results: &Path) -> Vec<Running> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut machines: Vec<Running> = pids.filter_map(|pid| Process::open(pid)?.machine(pid, results)).collect();
    machines.sort();
    machines
}

/// A process by its folder below /proc, which stays its own when another one gets its number.
struct Process(File);

impl Process {
    fn open(pid: i32) -> Option<Self> {
        File::open(format!("/proc/{pid}")).ok().map(Self)
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()).into()
    }

    /// The machine whose PID 1 it is. Anybody can give a process our words: it must be ours, with its parent, and run our
    /// program.
    fn machine(&self, pid: i32, results: &Path) -> Option<Running> {
        let name = self.argument("sandbox-init", "--name")?.to_string_lossy().into_owned();
        let host = Self::open(self.status("PPid:")?.first()?.parse().ok()?)?;
        let spec = host.argument("sandbox-keeper", "--spec").filter(|spec| spec.starts_with(results))?;
        (self.is_ours() && host.is_ours()).then_some(Running { spec, name, pid })
    }

    /// Value of an option of a stage of ours.
    fn argument(&self, stage: &str, option: &str) -> Option<PathBuf> {
        let line = fs::read(self.path("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0).skip(1);
        (words.next()? == stage.as_bytes()).then_some(())?;
        words.find(|word| *word == option.as_bytes())?;
        words.next().map(|word| PathBuf::from(OsStr::from_bytes(word)))
    }

    fn status(&self, key: &str) -> Option<Vec<String>> {
        let status = fs::read_to_string(self.path("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether we have started it. A program with set-user-ID has the rights of one user and the words of another.
    fn is_ours(&self) -> bool {
        let us = unix::unistd::geteuid().to_string();
        self.status("Uid:").is_some_and(|ids| ids.len() == 4 && ids.iter().all(|id| *id == us)) && self.is_our_program()
    }

    /// Cargo may have put a newer build in its place since.
    fn is_our_program(&self) -> bool {
        let exe = self.path("exe");
        let name = |path: &Path| {
            let link = fs::read_link(path).ok()?.into_os_string();
            Some(link.as_bytes().strip_suffix(b" (deleted)").unwrap_or(link.as_bytes()).to_owned())
        };
        is_own_program(&exe) || name(&exe).is_some_and(|path| name(Path::new(OWN)) == Some(path))
    }
}

impl Running {
    /// Moves this process into the machine. It must have one thread only; what it starts then runs there.
    pub fn enter(&self) -> Result<()> {
        sys::keep_to_ourselves();
        let results = self.spec.parent().unwrap_or(&self.spec);
        let process = Process::open(self.pid).filter(|found| found.machine(self.pid, results).as_ref() == Some(self));
        let process = process.ok_or_else(|| fail::host(format!("machine `{}` has ended", self.name)))?;
        let host = process.status("PPid:").and_then(|pid| Process::open(pid.first()?.parse().ok()?));
        let host = host.ok_or_else(|| fail::host(format!("the run of machine `{}` has ended", self.name)))?;
        let open = |(process, kind): (&Process, &str)| {
            File::open(process.path(&format!("ns/{kind}"))).map_err(|e| {
                fail::host(format!("machine `{}` cannot be entered: {kind}: {e}", self.name))
                    .hint("only the user who started the run can, while it runs")
            })
        };
        // All are opened first: /proc is another one in there. The run's user namespace gives the right to the others; the
        // machine's own, inside it, comes last.
        let own = machine::NAMESPACES.map(|kind| (&process, kind));
        let namespaces = [(&host, "user")].into_iter().chain(own).chain([(&process, "user")]);
        let namespaces = namespaces.map(open).collect::<Result<Vec<_>, _>>()?;
        for namespace in namespaces {
            setns(namespace, CloneFlags::empty())
                .with_context(|| format!("cannot enter the machine `{}`", self.name))?;
        }
        machine::own_umask();
        confine().context("the kernel takes no filter of system calls (seccomp)")
    }
}

/// `NAME=VALUE` of the machine that was entered: what its PID 1 gives to commands.
fn variables() -> Vec<(OsString, OsString)> {
    let line = fs::read("/proc/1/cmdline").unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == 0).collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == VARIABLE.as_bytes());
    let split = |pair: &[&[u8]]| {
        let at = pair[1].iter().position(|byte| *byte == b'=')?;
        Some((OsString::from_vec(pair[1][..at].to_vec()), OsString::from_vec(pair[1][at + 1..].to_vec())))
    };
    pairs.filter_map(split).collect()
}

/// Runs a command on a machine that was entered; a shell where it is empty. Nothing that it starts outlives it, nor us. Gives
/// its exit status.
///
/// # Errors
/// It is not there, or it could not be started.
pub fn run(words: &[OsString]) -> Result<u8> {
    let (cmd, prompt) = match words.split_first() {
        Some((program, arguments)) => (Cmd::new(there(program)?).args(arguments), None),
        None => (shell(), Some(PROMPT)),
    };
    Guarded::on_terminal(&cmd, None, |command| dress(command).envs(variables()).envs(prompt))
        .and_then(|mut run| run.wait())
}

/// The program of a name, on the machine.
fn there(name: &OsStr) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let found = match Path::new(name).components().count() {
        1 => std::env::split_paths(rootfs::PATH).map(|dir| dir.join(name)).find(executable),
        _ => Some(Path::new("/root").join(name)).filter(executable),
    };
    found.ok_or_else(|| {
        fail::host(format!("`{}` could not be started on the machine: it is not there", name.to_string_lossy()))
            .hint("what is there: cargo xtask exec ls /machine/bin /usr/bin")
            .into()
    })
}
