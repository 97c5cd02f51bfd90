//! A machine's PID 1, end to end: the real binary in real namespaces, driven over its shell channel.
//!
//! `unshare` and a short shell script stand in for what `sandbox-host` does before a machine starts.
#![cfg(target_os = "linux")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails that way")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tool_base::process::Cmd;

/// Makes a root file system from the host's folders and enters it. stdin is the shell channel, stdout the console.
const SETUP: &str = r#"
set -e
PATH=$PATH:/usr/sbin:/sbin # pivot_root; not every user has them
root=$1 disk=$2 xtask=$3
exec 3<&0 4>&1 </dev/null >&2
mount -t tmpfs tmpfs "$root"
cd "$root"
for entry in /*; do
    case $entry in
    /dev|/etc|/home|/proc|/root|/run|/sys|/tmp|/usr|/var|/machine) ;;
    *) if [ -L "$entry" ]; then cp -P "$entry" .; elif [ -d "$entry" ]; then mkdir ".$entry"; mount --rbind "$entry" ".$entry"; fi ;;
    esac
done
mkdir -p machine usr/local/bin dev/pts dev/shm proc run sys old
for entry in /usr/*; do
    if [ "$entry" != /usr/local ] && [ -d "$entry" ]; then mkdir -p ".$entry"; mount --rbind "$entry" ".$entry"; fi
done
for node in null zero full random urandom; do : > dev/$node; mount --bind /dev/$node dev/$node; done
ln -s /proc/self/fd dev/fd
: > machine/xtask
mount --bind "$xtask" machine/xtask
for name in systemctl journalctl poweroff reboot halt shutdown systemd-notify systemd-cat; do
    ln -s /machine/xtask usr/local/bin/$name
done
for folder in etc home root tmp var; do
    mkdir -p "$disk/$folder" $folder
    mount --bind "$disk/$folder" $folder
done
chmod 1777 tmp
mkdir -p etc/systemd/system var/lib var/tmp
printf 'root:x:0:0:root:/root:/bin/sh\n' > etc/passwd
printf 'root:x:0:\n' > etc/group
printf '127.0.0.1 localhost\n' > etc/hosts
printf '0123456789abcdef0123456789abcdef\n' > etc/machine-id
[ -e /etc/ld.so.cache ] && cp /etc/ld.so.cache etc/
pivot_root . old
umount -l /old 2>/dev/null || :
exec /machine/xtask sandbox-init --name machine --shell-fd 3 --console-fd 4
"#;

struct Machine {
    channel: UnixStream,
    console: Arc<Mutex<String>>,
    process: Child,
    last: u64,
    _root: tempfile::TempDir,
}

/// A disk with unit files on it.
fn disk(units: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("etc/systemd/system");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in units {
        std::fs::write(folder.join(name), text).unwrap();
    }
    dir
}

impl Machine {
    /// Starts a machine with this disk. `None`, said aloud, where the host has no namespaces for us.
    fn start(disk: &Path) -> Option<Self> {
        let flags = "--user --map-root-user --mount --pid --fork --ipc --net --uts --kill-child";
        let probe = Cmd::new("unshare").args(flags.split(' ')).arg("true").output();
        if !probe.is_ok_and(|o| o.status.success()) {
            let _ = writeln!(std::io::stderr(), "SKIPPED: `unshare` cannot make namespaces here");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        let (channel, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let process = Cmd::new("unshare")
            .args(flags.split(' '))
            .args(["sh", "-c", SETUP, "sh"])
            .args([root.path(), disk, Path::new(env!("CARGO_BIN_EXE_foreign"))])
            .to_std()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(writer)))
            .spawn()
            .unwrap();
        let console = Arc::new(Mutex::new(String::new()));
        let lines = console.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                let _ = writeln!(lines.lock().unwrap(), "{}", String::from_utf8_lossy(&line));
            }
        });
        channel.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Some(Self { channel, console, process, last: 0, _root: root })
    }

    fn send(&mut self, mut header: Value, body: &[u8]) -> u64 {
        self.last += 1;
        header["id"] = self.last.into();
        header["body"] = body.len().into();
        let text = header.to_string();
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        self.channel.write_all(&[&length, text.as_bytes(), body].concat()).unwrap();
        self.last
    }

    /// The next answer; `None` when the machine has closed the channel.
    fn receive(&mut self) -> Option<(Value, Vec<u8>)> {
        let mut length = [0; 4];
        self.channel.read_exact(&mut length).ok()?;
        let mut header = vec![0; u32::from_be_bytes(length) as usize];
        self.channel.read_exact(&mut header).ok()?;
        let header: Value = serde_json::from_slice(&header).unwrap();
        let mut body = vec![0; usize::try_from(header["body"].as_u64().unwrap_or(0)).unwrap()];
        self.channel.read_exact(&mut body).ok()?;
        Some((header, body))
    }

    fn bytes(&mut self, command: &str, timeout: Option<f64>) -> (i64, Vec<u8>) {
        let id = self.send(json!({ "op": "execute", "timeout": timeout }), command.as_bytes());
        let Some((header, body)) = self.receive() else {
            panic!("{command}: the machine is gone\n{}", self.console.lock().unwrap())
        };
        assert_eq!(header["id"], id);
        (header["status"].as_i64().unwrap_or_else(|| panic!("{header}")), body)
    }

    fn execute(&mut self, command: &str) -> (i64, String) {
        let (status, body) = self.bytes(command, Some(60.0));
        (status, String::from_utf8(body).unwrap())
    }

    /// stdout of a command that must succeed.
    fn succeed(&mut self, command: &str) -> String {
        let (status, out) = self.execute(command);
        assert_eq!(status, 0, "{command}: {out}\n{}", self.console.lock().unwrap());
        out
    }

    /// Asks again until the output is as wanted; only for what other processes bring about.
    fn until(&mut self, command: &str, want: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let (_, out) = self.execute(command);
            if out == want {
                return;
            }
            assert!(Instant::now() < end, "{command}: {out}\n{}", self.console.lock().unwrap());
        }
    }

    fn show(&mut self, unit: &str, properties: &[&str]) -> Vec<String> {
        properties
            .iter()
            .map(|p| self.succeed(&format!("systemctl show -P {p} {unit}")).trim_end().to_owned())
            .collect()
    }

    /// Waits for the end of the machine: its exit status.
    fn wait(mut self) -> Option<i32> {
        drop(self.channel);
        self.process.wait().unwrap().code()
    }
}

const IOC: &str = "[Unit]
Description=IOC stand-in
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c 'echo up as $NAME; echo oops >&2; exec sleep infinity'
Environment=NAME=ioc
Restart=always
RestartSec=10ms
StateDirectory=ioc
RuntimeDirectory=ioc
DynamicUser=yes
LimitNOFILE=infinity
OOMScoreAdjust=-500
ProtectSystem=strict
[Install]
WantedBy=multi-user.target
";

#[test]
fn services_and_systemctl() {
    let disk = disk(&[("ioc.service", IOC), ("bad.service", "[Service]\nExecStart=/bin/true\nRestrat=always\n")]);
    let Some(mut m) = Machine::start(disk.path()) else { return };
    assert_eq!(
        m.succeed("systemctl is-active ioc multi-user.target default.target backdoor.service"),
        "active\n".repeat(4)
    );
    assert_eq!(m.succeed("systemctl is-system-running --wait"), "running\n");
    assert_eq!(m.show("ioc", &["ActiveState", "NRestarts", "UnitFileState"]), ["active", "0", "enabled"]);
    assert!(m.succeed("systemctl status ioc").starts_with("● ioc.service - IOC stand-in\n     Loaded: loaded ("));
    m.until("journalctl -u ioc -o cat | sort", "Started ioc.service - IOC stand-in.\noops\nup as ioc\n");

    let before = m.show("ioc", &["MainPID"]);
    let environ = m.succeed(&format!("tr '\\0' '\\n' < /proc/{}/environ | grep DIRECTORY= | sort", before[0]));
    assert_eq!(environ, "RUNTIME_DIRECTORY=/run/ioc\nSTATE_DIRECTORY=/var/lib/ioc\n");
    m.succeed("test -d /run/ioc -a -d /var/lib/ioc");
    m.succeed("systemctl kill -s KILL ioc");
    m.until("systemctl show -P NRestarts ioc", "1\n");
    m.until("systemctl is-active ioc || :", "active\n");
    assert_ne!(m.show("ioc", &["MainPID"]), before);
    m.succeed("systemctl restart ioc");
    assert_eq!(m.show("ioc", &["ActiveState", "NRestarts"]), ["active", "0"]);
    m.succeed("systemctl stop ioc; test ! -e /run/ioc -a -d /var/lib/ioc");
    assert_eq!(m.execute("systemctl is-active ioc"), (3, "inactive\n".into()));
    assert_eq!(m.execute("pgrep sleep || echo none").1, "none\n");

    // A file that has changed counts after a reload.
    m.succeed("systemctl start ioc; sed -i s/NAME=ioc/NAME=new/ /etc/systemd/system/ioc.service");
    assert!(m.succeed("systemctl restart ioc 2>&1").starts_with("Warning: The unit file, "));
    assert_eq!(m.show("ioc", &["NeedDaemonReload", "Environment"]), ["yes", "NAME=ioc"]);
    m.succeed("systemctl daemon-reload; systemctl restart ioc");
    assert_eq!(m.show("ioc", &["NeedDaemonReload", "Environment"]), ["no", "NAME=new"]);
    m.succeed("systemctl stop ioc");

    // What is not known is refused by name.
    let (status, text) = m.execute("systemctl start bad.service 2>&1");
    assert_eq!(status, 1);
    assert!(text.starts_with("Failed to start bad.service: Unit bad.service has a bad unit file setting."), "{text}");
    let reason = m.execute("systemctl status bad.service 2>&1").1;
    assert!(reason.contains(
        "bad.service:3: directive `Restrat` of [Service] is not known to the sandbox (did you mean `Restart`?)"
    ));
    assert_eq!(
        m.execute("systemctl start none.service 2>&1"),
        (5, "Failed to start none.service: Unit none.service not found.\n".into())
    );
    assert_eq!(m.execute("systemctl --user start x 2>&1").0, 1);
    assert!(m.execute("systemctl --fancy 2>&1").1.contains("unrecognized option '--fancy'"));
}

#[test]
fn types_of_services() {
    let notify =
        "[Service]\nType=notify\nExecStart=/bin/sh -c 'systemd-notify --ready --status=fine; exec sleep infinity'\n";
    let forking = "[Service]\nType=forking\nPIDFile=/run/f.pid\nExecStart=/bin/sh -c '(setsid sleep infinity & echo $! > /run/f.pid)'\n";
    let oneshot = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 4'\n";
    // Two processes that the manager has not started itself: one in a session of its own, one without the environment.
    let group = "[Service]\nExecStart=/bin/sh -c 'setsid sleep 1001 & env -i sleep 1002 & wait'\n";
    let stop = "[Service]\nExecStart=/bin/sh -c 'exit 7'\nExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS > /run/said'\n";
    let missing = "[Service]\nType=exec\nExecStart=/no/such/program\n";
    let units = [
        ("notify.service", notify),
        ("forking.service", forking),
        ("oneshot.service", oneshot),
        ("group.service", group),
        ("stop.service", stop),
        ("missing.service", missing),
    ];
    let disk = disk(&units);
    let Some(mut m) = Machine::start(disk.path()) else { return };
    m.succeed("systemctl start notify forking group");
    assert_eq!(m.show("notify", &["ActiveState", "StatusText"]), ["active", "fine"]);
    let pid = m.show("forking", &["MainPID"]).remove(0);
    assert_eq!(m.succeed("cat /run/f.pid").trim(), pid);
    assert_eq!(m.succeed(&format!("cat /proc/{pid}/comm")), "sleep\n");
    m.until("pgrep -c -f '^sleep 100[12]$' || :", "2\n");
    m.succeed("systemctl stop notify forking group");
    assert_eq!(m.execute("pgrep sleep || echo none").1, "none\n");
    let (status, text) = m.execute("systemctl start oneshot 2>&1");
    assert_eq!(status, 1);
    assert!(
        text.starts_with("Job for oneshot.service failed because the control process exited with error code.\n"),
        "{text}"
    );
    m.succeed("systemctl start stop");
    m.until("cat /run/said || :", "exit-code exited 7\n");
    assert_eq!(m.execute("systemctl start missing").0, 1);
    assert_eq!(m.show("missing", &["Result", "ExecMainStatus"]), ["exit-code", "203"]);
}

#[test]
fn commands_of_the_driver() {
    let disk = disk(&[]);
    let Some(mut m) = Machine::start(disk.path()) else { return };
    assert_eq!(m.execute("pwd; id -u; echo $HOME $USER [$PAGER] $0"), (0, "/tmp\n0\n/root root [] bash\n".into()));
    assert_eq!(m.execute("x=$(false); echo after"), (1, String::new()));
    assert_eq!(m.execute("yes | head -n 1"), (1, "y\n".into()), "SIGPIPE is ignored");
    assert_eq!(m.execute("kill -KILL $$").0, 137);
    assert_eq!(m.bytes("trap 'echo got term; exit 9' TERM; sleep 60 & wait", Some(0.3)), (124, b"got term\n".to_vec()));
    assert_eq!(m.execute("pgrep sleep || echo none").1, "none\n");
    assert_eq!(m.bytes("sleep 0.5; echo done", Some(0.0)).0, 0, "0 is no limit");
    let (status, out) = m.bytes("head -c 10000000 /dev/zero | tr '\\0' '\\377'", Some(60.0));
    assert_eq!((status, out.len(), out.iter().all(|b| *b == 255)), (0, 10_000_000, true));
    let long = format!("x={}; echo ${{#x}}; cat; echo \"$#\"; f() {{ echo \"it's\"; }}; f\n", "y".repeat(300_000));
    assert_eq!(m.execute(&long), (0, "300000\n0\nit's\n".into()));
    // Answers come in any order.
    let slow = m.send(json!({ "op": "execute" }), b"sleep 0.5; echo slow");
    let quick = m.send(json!({ "op": "execute" }), b"echo quick");
    assert_eq!([m.receive().unwrap(), m.receive().unwrap()].map(|(h, _)| h["id"].as_u64().unwrap()), [quick, slow]);
    // A bad request is answered, and harms nobody.
    m.send(json!({ "op": "dance" }), b"");
    let error = m.receive().unwrap().0["error"].to_string();
    assert!(error.starts_with("\"bad request: unknown variant `dance`"));
    m.send(json!({}), b"x");
    let error = m.receive().unwrap().0["error"].to_string();
    assert!(error.starts_with("\"bad request: missing field `op`"));
    m.send(json!({ "op": "tcp", "addr": "localhost", "port": 9 }), b"");
    assert_eq!(m.receive().unwrap().0["open"], false);
    m.send(json!({ "op": "unix", "path": "/run/systemd/xtask", "datagram": false }), b"");
    assert_eq!(m.receive().unwrap().0["open"], true);
    // stderr and /dev/console lead to the console.
    m.succeed("echo to stderr >&2; echo to the device > /dev/console; echo journal | systemd-cat -t tag");
    m.until("journalctl -t tag -o cat", "journal\n");
    m.succeed("(sleep 0.1 &) >/dev/null 2>&1; sleep 0.3");
    assert_eq!(m.succeed("ps -eo stat= | grep -c '^Z' || :"), "0\n", "orphans are waited for");
    let console = m.console.clone();
    m.send(json!({ "op": "execute" }), b"systemctl poweroff");
    while m.receive().is_some() {}
    m.wait();
    let text = console.lock().unwrap().clone();
    for line in ["to stderr\n", "to the device\n", "] tag["] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
}

#[test]
fn power_and_what_is_kept() {
    let inst = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    let disk = disk(&[("ioc.service", IOC), ("inst@.service", inst)]);
    let Some(mut m) = Machine::start(disk.path()) else { return };
    let boot = m.succeed("cat /proc/sys/kernel/random/boot_id");
    m.succeed("echo kept > /var/lib/f; touch /run/f; systemctl start inst@a; systemctl enable inst@b");
    m.until("journalctl -u ioc -o cat | grep -c 'up as'", "1\n");
    // A command that runs is no hindrance.
    m.send(json!({ "op": "execute" }), b"sleep infinity");
    m.send(json!({ "op": "execute" }), b"poweroff");
    let mut ended = 0;
    while let Some((header, _)) = m.receive() {
        assert_eq!(header["status"], 0);
        ended += 1;
    }
    assert!(ended <= 1);
    assert_eq!(m.wait(), Some(0));

    let mut m = Machine::start(disk.path()).unwrap();
    assert_ne!(m.succeed("cat /proc/sys/kernel/random/boot_id"), boot);
    assert_eq!(m.execute("cat /var/lib/f; ls /run/f").1, "kept\n");
    assert_eq!(m.execute("systemctl is-active ioc inst@a inst@b").1, "active\ninactive\nactive\n");
    m.until("journalctl -u ioc -o cat | grep -c 'up as'", "2\n");
    assert_eq!(m.succeed("journalctl -b -1 -u ioc -o cat | grep -c 'up as'"), "1\n");
    m.succeed("systemctl disable ioc");
    m.send(json!({ "op": "execute" }), b"reboot");
    while m.receive().is_some() {}
    assert_eq!(m.wait(), Some(3));

    let mut m = Machine::start(disk.path()).unwrap();
    assert_eq!(m.execute("systemctl is-enabled ioc; systemctl is-active ioc").1, "disabled\n");
    assert_eq!(m.execute("systemctl is-active ioc").1, "inactive\n");
    // Without a driver there is no machine.
    let mark = PathBuf::from(disk.path()).join("tmp/alive");
    m.succeed("(while :; do touch /tmp/alive; sleep 0.05; done) >/dev/null 2>&1 &");
    assert_eq!(m.wait(), Some(0));
    let _ = std::fs::remove_file(&mark);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!mark.exists(), "a process has outlived its machine");
}
