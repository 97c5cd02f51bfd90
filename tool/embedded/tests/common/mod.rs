//! A soft IOC, its simulator and its clients as real processes, on ports of their own.

#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test takes what it needs, and stops where it fails"
)]

pub mod port;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

pub const SOFT_IOC: &str = env!("CARGO_BIN_EXE_soft-ioc");

/// How long a test waits for what must happen, on the slowest machine there is.
const PATIENCE: Duration = Duration::from_mins(1);

/// The other programs, built as xtask builds them. Cargo does nothing where they are up to date.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let folder = Path::new(SOFT_IOC).parent().unwrap();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(folder.parent().unwrap())
            // Cargo knows a package of the lock file only beside the member that needs it.
            .args(["-p", "soft-ioc", "-p", "psu-simulator", "-p", "epics-ca-rs", "--bin", "psu-simulator"])
            .args(["caget", "caput", "camonitor", "cainfo"].map(|tool| format!("--bin={tool}-rs")))
            .status()
            .unwrap();
        assert!(status.success());
        folder.to_owned()
    });
    folder.join(name)
}

/// A folder that is gone with the test, with a name that paths have to cope with.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("soft ioc é {}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A copy of the EPICS top that the tests share: users make the one in ioc/ theirs.
pub struct Top {
    folder: Folder,
}

impl Top {
    pub fn new() -> Self {
        let folder = Folder::new();
        copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../template/ioc")), &folder.path().join("ioc"));
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("ioc").join(name)
    }

    pub fn boot(&self) -> PathBuf {
        self.path("iocBoot/iocExample")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a database that make installs.
    pub fn database(&self, name: &str, text: &str) {
        self.write(&format!("exampleApp/Db/{name}"), text);
        self.installs(name);
    }

    /// Has make install a file of `exampleApp/Db`.
    pub fn installs(&self, name: &str) {
        self.replace("exampleApp/Db/Makefile", "DB += example.db\n", &format!("DB += example.db\nDB += {name}\n"));
    }

    /// Replaces a text that must be there.
    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        self.write(name, &text.replace(from, to));
    }

    /// Where the IOC puts temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    pub fn soft_ioc(&self) -> Command {
        let mut command = Command::new(SOFT_IOC);
        command.args(["--app", "example"]).current_dir(self.boot()).env("TMPDIR", self.tmp());
        command
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// A running power supply.
pub struct Simulator {
    child: Child,
    address: String,
}

impl Simulator {
    pub fn start() -> Self {
        let mut child =
            Command::new(program("psu-simulator")).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running soft IOC and what it printed so far, standard output and error.
pub struct Ioc {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Mutex<String>,
    ca_port: u16,
}

impl Ioc {
    pub fn start(top: &Top, script: &str, simulator: Option<&Simulator>) -> Self {
        Self::start_with(top, script, simulator, &[])
    }

    /// With variables of its own.
    pub fn start_with(top: &Top, script: &str, simulator: Option<&Simulator>, variables: &[(&str, &str)]) -> Self {
        let ca_port = port::free();
        let mut command = top.soft_ioc();
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("PSU_ADDRESS", simulator.map_or("127.0.0.1:1", |simulator| simulator.address.as_str()));
        command.env("NO_COLOR", "1").envs(variables.iter().copied());
        let mut child = channel_access(&mut command, ca_port).spawn().unwrap();
        let (sender, lines) = channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        let stdin = child.stdin.take();
        Self { child, stdin, lines, seen: Mutex::new(String::new()), ca_port }
    }

    /// An IOC that has run its start-up script.
    pub fn running(top: &Top, simulator: &Simulator) -> Self {
        let ioc = Self::start(top, "st.cmd", Some(simulator));
        ioc.wait_for("iocRun: All initialization complete");
        ioc
    }

    /// Waits until it has printed a text. What it printed before on its other stream may come later.
    pub fn wait_for(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        let mut seen = self.seen.lock().unwrap();
        while !seen.contains(text) {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => seen.push_str(&line),
                Err(why) => panic!("{why}: the IOC never printed {text:?}, but:\n{seen}"),
            }
        }
    }

    /// Waits until it has printed a text, and ends it; gives all it printed.
    pub fn end_after(self, text: &str) -> String {
        self.wait_for(text);
        self.end().1
    }

    /// What of its output has come so far.
    pub fn seen(&self) -> String {
        let mut seen = self.seen.lock().unwrap();
        seen.extend(self.lines.try_iter());
        seen.clone()
    }

    /// Types a line at its prompt.
    pub fn type_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// The port of its Channel Access server.
    pub fn ca_port(&self) -> u16 {
        self.ca_port
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends its input; gives its exit status and all it printed.
    pub fn end(mut self) -> (ExitStatus, String) {
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        let rest: String = self.lines.iter().collect();
        let seen = self.seen.lock().unwrap().clone() + &rest;
        (status, seen)
    }

    /// Runs a Channel Access tool, as in `ioc.ca("caget", ["VOLT"])`.
    pub fn ca<const N: usize>(&self, tool: &str, args: [&str; N]) -> Output {
        let mut command = Command::new(program(&format!("{tool}-rs")));
        channel_access(command.args(args), self.ca_port).output().unwrap()
    }

    /// Runs a program as its client.
    pub fn client(&self, command: &mut Command) -> Output {
        channel_access(command, self.ca_port).output().unwrap()
    }

    /// Records what its process variables do.
    pub fn record(&self, top: &Top, file: &Path) -> Child {
        let mut command = top.soft_ioc();
        command.arg("--record").arg(file).arg("st.cmd").env("EPICS_CA_REPEATER_PORT", "65065");
        channel_access(&mut command, self.ca_port).spawn().unwrap()
    }

    /// The value of a PV as `caget -t` prints it.
    pub fn value(&self, pv: &str) -> String {
        let output = self.ca("caget", ["-w", "20", "-t", pv]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Asks again until a PV has a value.
    pub fn wait_for_value(&self, pv: &str, value: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let now = self.value(pv);
            if now == value {
                return;
            }
            assert!(Instant::now() < end, "{pv} is {now}, never {value}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Ioc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stream: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// Keeps Channel Access within this test: this machine only, on a port of its own.
fn channel_access(command: &mut Command, port: u16) -> &mut Command {
    let variables: [(&str, &dyn AsRef<OsStr>); 10] = [
        ("EPICS_CA_SERVER_PORT", &port.to_string()),
        ("EPICS_CA_ADDR_LIST", &"127.0.0.1"),
        ("EPICS_CA_AUTO_ADDR_LIST", &"NO"),
        ("EPICS_CAS_INTF_ADDR_LIST", &"127.0.0.1"),
        ("EPICS_CAS_BEACON_ADDR_LIST", &"127.0.0.1"),
        ("EPICS_CAS_AUTO_BEACON_ADDR_LIST", &"NO"),
        ("EPICS_PVA_ADDR_LIST", &"127.0.0.1"),
        ("EPICS_PVA_AUTO_ADDR_LIST", &"NO"),
        ("EPICS_PVAS_INTF_ADDR_LIST", &"127.0.0.1"),
        ("EPICS_PVAS_SERVER_PORT", &"0"),
    ];
    for (name, value) in variables {
        command.env(name, value.as_ref());
    }
    command
}
