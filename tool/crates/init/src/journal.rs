//! The journal: one JSON object per line, with the fields of `journalctl -o json`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::clock::Clock;
use super::console::Console;

/// Something that a unit writes to and that becomes entries.
pub(super) trait Feed: Send + Sync {
    /// The unit.
    fn unit(&self) -> &str;
    /// Takes in what is there. `false` when nothing more will come.
    fn drain(&self) -> bool;
}

/// Appends entries. Copies share the file.
#[derive(Clone)]
pub(super) struct Journal {
    file: Arc<Mutex<File>>,
    console: Console,
    clock: Clock,
    common: Arc<Vec<(&'static str, String)>>,
    streams: Arc<Mutex<Vec<Weak<dyn Feed>>>>,
    gate: Arc<RwLock<()>>,
}

impl Journal {
    /// Opens the journal for adding to it.
    pub(super) fn open(
        path: &Path,
        console: Console,
        clock: Clock,
        host: &str,
        boot_id: &str,
        machine_id: &str,
    ) -> Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        // Not for other users of the machine.
        let file = File::options().create(true).append(true).mode(0o640).open(path);
        let file = file.with_context(|| format!("cannot open the journal {}", path.display()))?;
        let common = vec![
            ("_BOOT_ID", boot_id.to_owned()),
            ("_MACHINE_ID", machine_id.to_owned()),
            ("_HOSTNAME", host.to_owned()),
            ("_RUNTIME_SCOPE", "system".to_owned()),
        ];
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            console,
            clock,
            common: Arc::new(common),
            streams: Arc::default(),
            gate: Arc::default(),
        })
    }

    /// Notes the stream of a service that is being read.
    pub(super) fn reads(&self, stream: Weak<dyn Feed>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|known| known.strong_count() > 0);
        streams.push(stream);
    }

    fn open_streams(&self) -> Vec<Arc<dyn Feed>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether any such stream is left.
    pub(super) fn is_reading(&self) -> bool {
        !self.open_streams().is_empty()
    }

    /// Takes in what a unit has written, so that it stands before what its manager says next.
    pub(super) fn drain(&self, unit: &str) {
        for stream in self.open_streams().iter().filter(|stream| stream.unit() == unit) {
            stream.drain();
        }
    }

    /// While it is held, output of services waits: what their manager says of a start stands before it.
    pub(super) fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody holds output back.
    pub(super) fn passage(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry and shows it on the console.
    pub(super) fn append(&self, message: &[u8], fields: &[(&str, String)]) {
        let now = self.clock.now();
        let get = |key: &str| fields.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v.as_str());
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        put("__REALTIME_TIMESTAMP", now.real.to_string().into());
        put("__MONOTONIC_TIMESTAMP", now.mono.to_string().into());
        for (key, value) in self.common.iter().map(|(k, v)| (*k, v)).chain(fields.iter().map(|(k, v)| (*k, v))) {
            put(key, value.clone().into());
        }
        put("MESSAGE", text(message));
        let mut line = serde_json::to_vec(&entry).unwrap_or_default();
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk costs an entry, not the machine.
        let _ = file.write_all(&line);
        let identifier = if get("SYSLOG_IDENTIFIER").is_empty() { "unknown" } else { get("SYSLOG_IDENTIFIER") };
        let pid = if get("_PID").is_empty() { String::new() } else { format!("[{}]", get("_PID")) };
        for part in message.split(|b| *b == b'\n') {
            let head = format!("[{:5}.{:06}] {identifier}{pid}: ", now.mono / 1_000_000, now.mono % 1_000_000);
            self.console.line(&[head.as_bytes(), part].concat());
        }
    }

    /// Adds a message of the manager, on behalf of a unit where one is named.
    pub(super) fn manager(&self, unit: &str, invocation: &str, priority: u8, message: &str) {
        let mut fields = vec![
            ("PRIORITY", priority.to_string()),
            ("SYSLOG_FACILITY", "3".to_owned()),
            ("SYSLOG_IDENTIFIER", "systemd".to_owned()),
            ("_TRANSPORT", "journal".to_owned()),
            ("_PID", "1".to_owned()),
            ("_UID", "0".to_owned()),
            ("_GID", "0".to_owned()),
            ("_COMM", "systemd".to_owned()),
            ("_SYSTEMD_UNIT", "init.scope".to_owned()),
            ("_SYSTEMD_CGROUP", "/init.scope".to_owned()),
        ];
        if !unit.is_empty() {
            fields.push(("UNIT", unit.to_owned()));
        }
        if !invocation.is_empty() {
            fields.push(("INVOCATION_ID", invocation.to_owned()));
        }
        self.append(message.as_bytes(), &fields);
    }
}

impl Journal {
    /// Adds a message of a process that was to become a program of a unit and could not.
    pub(super) fn child(&self, pid: i32, unit: &str, invocation: &str, program: &str, message: &str) {
        let name = program.rsplit('/').next().unwrap_or(program);
        let fields = [
            ("PRIORITY", "3".to_owned()),
            ("SYSLOG_FACILITY", "3".to_owned()),
            ("SYSLOG_IDENTIFIER", format!("({})", &name[name.len().saturating_sub(8)..])),
            ("_TRANSPORT", "journal".to_owned()),
            ("_PID", pid.to_string()),
            ("_UID", "0".to_owned()),
            ("_GID", "0".to_owned()),
            ("UNIT", unit.to_owned()),
            ("INVOCATION_ID", invocation.to_owned()),
            ("_SYSTEMD_UNIT", unit.to_owned()),
            ("_SYSTEMD_INVOCATION_ID", invocation.to_owned()),
        ];
        self.append(message.as_bytes(), &fields);
    }
}

/// A value of an entry: a string, or its bytes where it is not text.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|b| Value::from(*b)).collect::<Vec<_>>().into(),
    }
}

/// What is known of the sender of an entry.
pub(super) fn sender_fields(pid: i32, uid: u32, gid: u32) -> Vec<(&'static str, String)> {
    let mut fields = vec![("_PID", pid.to_string()), ("_UID", uid.to_string()), ("_GID", gid.to_string())];
    if let Ok(comm) = fs::read_to_string(format!("/proc/{pid}/comm")) {
        fields.push(("_COMM", comm.trim_end().to_owned()));
    }
    if let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) {
        fields.push(("_EXE", program.display().to_string()));
    }
    fields
}
