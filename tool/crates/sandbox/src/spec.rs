//! What one sandbox run consists of. Written by `run`, read by `sandbox-cage` and `sandbox-keeper`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::accounts::Accounts;

/// Where a soft IOC tells what is used of it: in a folder that services may write to.
pub const COVERAGE: &str = "/dev/ioc-coverage";

/// One run: a test script (or a prompt) and its machines.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Spec {
    /// Name of the check, for messages.
    pub check: String,
    /// The test script; empty text is run where there is none.
    pub script: PathBuf,
    /// Folder of the modules that it may import.
    pub lib: Option<PathBuf>,
    /// Whether to give a Python prompt instead of running the script.
    pub interactive: bool,
    /// Whether to give one on the controlling terminal after a failure.
    pub debug: bool,
    /// Limit of the whole script in seconds.
    pub global_timeout: u64,
    /// The Python interpreter and the folder of the test driver.
    pub python: PathBuf,
    /// Folder of the Python test driver.
    pub driver: PathBuf,
    /// Where Python keeps what it compiled, for all runs.
    pub pycache: PathBuf,
    /// This program: it is PID 1, `systemctl` and `journalctl` of the machines.
    pub xtask: PathBuf,
    /// Where the script's files go (`driver.out_dir`).
    pub out_dir: PathBuf,
    /// Where the machines' journals go, one folder each.
    pub journal_dir: PathBuf,
    /// Empty folder that the run's own tmpfs is mounted on, seen by this run only.
    pub state_dir: PathBuf,
    /// A command on the caller's terminal instead of the driver, on the first machine.
    pub console: Option<Vec<String>>,
    /// JUnit file of the script, relative to `out_dir`.
    pub junit: Option<String>,
    /// The machines.
    pub machines: Vec<MachineSpec>,
}

/// One machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Its host name.
    pub name: String,
    /// Its place in the alphabetical order of the run's machines, from 1; the last part of its addresses.
    pub number: u8,
    /// Its VLANs, one network card each.
    pub vlans: Vec<u8>,
    /// Its systemd units.
    pub units: Vec<UnitFile>,
    /// Its programs in /machine/bin.
    pub programs: Vec<Program>,
    /// Further folders of the host that it sees, read-only.
    pub binds: Vec<Bind>,
    /// A folder of the host, seen by the machine too, whose `bin` and `sbin` come before the host's programs.
    pub tools: Option<PathBuf>,
    /// Files and links in its /etc beyond the usual ones.
    pub etc: Vec<Etc>,
    /// Variables of its commands and shells; services have their own.
    pub variables: BTreeMap<String, String>,
    /// Who has an account on it.
    pub accounts: Accounts,
    /// What records the process variables of its IOCs; it runs beside the machine, not in it.
    pub recorders: Vec<Recorder>,
    /// A file of the host that its soft IOC finds at [`COVERAGE`], and tells in there what is used of it.
    pub coverage: Option<PathBuf>,
}

/// A file in a machine's /etc.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etc {
    /// Its path below /etc.
    pub path: PathBuf,
    /// What a link says, or the file of the host that is copied.
    pub source: PathBuf,
    /// Mode of a copy; a link has none.
    pub mode: Option<u32>,
}

/// Records process variables over Channel Access, while a machine runs. No check depends on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recorder {
    /// The soft IOC, which can do this too.
    pub program: PathBuf,
    /// Name of the application.
    pub app: String,
    /// Folder of the host that holds the IOC's st.cmd.
    pub boot: PathBuf,
    /// Name of the start-up script, as seen from there.
    pub script: String,
    /// The IOC's own environment: it decides on names and ports.
    pub environment: BTreeMap<String, String>,
    /// Where updates go, one JSON object per line.
    pub file: PathBuf,
}

/// A unit file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFile {
    /// File name, `ioc.service`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A program of the host under its name on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Name on the machine.
    pub name: String,
    /// File on the host.
    pub path: PathBuf,
    /// It searches for process variables more widely than C programs do, and is to be held back
    /// (`tool_init::applets`, `search`).
    pub searches: bool,
}

/// A folder of the host and its place on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Folder on the host.
    pub source: PathBuf,
    /// Absolute path on the machine.
    pub target: PathBuf,
}

impl MachineSpec {
    /// The only machine of a run.
    pub fn only() -> Self {
        Self { name: "machine".to_owned(), number: 1, vlans: vec![1], ..Self::default() }
    }
}

impl Spec {
    /// A run whose results go to a folder: the one place that says where what of them lies.
    ///
    /// # Errors
    /// If this program does not know where it lies.
    pub fn new(check: &str, dir: &Path) -> io::Result<Self> {
        Ok(Self {
            check: check.to_owned(),
            xtask: tool_base::process::own_program()?,
            out_dir: dir.join("out"),
            journal_dir: dir.join("journal"),
            state_dir: dir.join("state"),
            ..Self::default()
        })
    }

    /// Folder shared between the driver and all machines (their /tmp/shared), named as by nixpkgs' driver.
    pub fn shared_dir(&self) -> PathBuf {
        self.state_dir.join("shared-xchg")
    }

    /// `state_dir` of a machine in scripts, named as by nixpkgs' driver. The sandbox keeps nothing there.
    pub fn vm_state_dir(&self, machine: &str) -> PathBuf {
        self.state_dir.join(format!("vm-state-{machine}"))
    }

    /// Folder that holds the disk of a machine.
    pub fn disk_dir(&self, machine: &str) -> PathBuf {
        self.state_dir.join(machine).join("disk")
    }

    /// Folder that a machine's root file system is put together in.
    pub fn root_dir(&self, machine: &str) -> PathBuf {
        self.state_dir.join(machine).join("root")
    }
}
