//! Enters a machine that runs: finds its PID 1 below /proc and joins its namespaces, as nsenter(1) does.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use unix::sched::{CloneFlags, setns};

use super::{as_root, shell_command};
use tool_base::process::Cmd;
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

/// The machines of all runs whose results are below a folder, oldest run first.
pub fn machines(results: &Path) -> Vec<Running> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut machines: Vec<Running> = pids
        .filter_map(|pid| {
            let name = argument(pid, "sandbox-init", "--name")?.to_string_lossy().into_owned();
            let spec = argument(parent(pid)?, "sandbox-host", "--spec").filter(|spec| spec.starts_with(results))?;
            Some(Running { spec, name, pid })
        })
        .collect();
    machines.sort();
    machines
}

/// Value of an option of a stage of ours.
fn argument(pid: i32, stage: &str, option: &str) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).skip(1);
    (words.next()? == stage.as_bytes()).then_some(())?;
    words.find(|word| *word == option.as_bytes())?;
    words.next().map(|word| PathBuf::from(std::ffi::OsStr::from_bytes(word)))
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

impl Running {
    /// Moves this process into the machine. It must have one thread only; what it starts then runs there.
    pub fn enter(&self) -> Result<()> {
        let open = |kind: &str| {
            let path = format!("/proc/{}/ns/{kind}", self.pid);
            File::open(&path).map_err(|e| {
                fail::host(format!("machine `{}` cannot be entered: {path}: {e}", self.name))
                    .hint("only the user who started the run can, while it runs")
            })
        };
        // All are opened first: /proc is another one in there. The user namespace gives the right to the others.
        let namespaces =
            ["user", "pid", "net", "uts", "ipc", "mnt"].map(open).into_iter().collect::<Result<Vec<_>, _>>()?;
        for namespace in namespaces {
            setns(namespace, CloneFlags::empty())
                .with_context(|| format!("cannot enter the machine `{}`", self.name))?;
        }
        Ok(())
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

/// A command for a machine that was entered; a shell where it is empty. It ends with this process.
pub fn command(words: &[OsString]) -> Command {
    let mut command = match words.split_first() {
        Some((program, arguments)) => as_root(&Cmd::new(program).args(arguments)),
        None => shell_command(),
    };
    command.envs(variables());
    sys::dying_with_us(&mut command);
    command
}
