//! What an IOC was used for, as the IOC itself sees it: which records clients opened, read and wrote, which were processed
//! and alarmed, and what their protocols did. `cargo xtask test --coverage` asks for it.
//!
//! Each fact is written when it is first seen, in one piece, so that it is there however the IOC ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use epics_base_rs::runtime::env;
use epics_base_rs::runtime::exit::at_exit;
use epics_base_rs::runtime::general_time::epics_epoch;
use epics_base_rs::server::database::PvDatabase;
use epics_base_rs::server::record::AlarmSeverity;
use serde_json::Value;
use stream_rs::error as stream;

use crate::recording::Seen;

/// Names the file.
const FILE: &str = "SOFT_IOC_COVERAGE";
/// The user name of the recorder, whose looks at records do not count.
pub const RECORDER: &str = "xtask-recorder";
/// How often records are looked at.
const LOOK: Duration = Duration::from_millis(100);

static FACTS: OnceLock<Facts> = OnceLock::new();
/// What `streamDebug` is for the IOC's shell, while we listen to what it says.
static USERS_DEBUG: AtomicI32 = AtomicI32::new(0);

struct Facts {
    file: File,
    known: Mutex<BTreeSet<(Seen, String)>>,
    database: OnceLock<Arc<PvDatabase>>,
}

impl Facts {
    fn tell(&self, what: Seen, name: &str) {
        // A client may have opened an alias.
        let record = self.database.get().and_then(|database| database.get_record(name));
        let name = record.map_or_else(|| name.to_owned(), |record| record.read().name.to_string());
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).insert((what, name.clone()))
            && let Ok(line) = serde_json::to_string(&BTreeMap::from([(what, name)]))
        {
            // A full disk costs the fact, not the run.
            let _: io::Result<()> = (&self.file).write_all(format!("{line}\n").as_bytes());
        }
    }

    fn look(&self) {
        let Some(database) = self.database.get() else { return };
        for name in database.all_record_names() {
            let Some(record) = database.get_record(&name) else { continue };
            let name = name.to_string();
            let (time, alarm) = (record.read().common.time, record.read().common.sevr);
            if time > epics_epoch() {
                self.tell(Seen::Processed, &name);
                if alarm != AlarmSeverity::NoAlarm {
                    self.tell(Seen::Alarmed, &name);
                }
            }
        }
    }
}

/// Begins, where it is asked for.
pub fn start() -> io::Result<()> {
    let Some(path) = env::get(FILE) else { return Ok(()) };
    let file = File::options().append(true).open(path)?;
    let facts = FACTS.get_or_init(|| Facts { file, known: Mutex::default(), database: OnceLock::new() });
    clients(facts)?;
    stream::set_stream_debug_file(Some(Box::new(Trace { facts, begun: HashMap::new() })));
    set_stream_debug(0);
    at_exit("look at the records once more", || facts.look());
    thread::spawn(|| {
        loop {
            facts.look();
            thread::sleep(LOOK);
        }
    });
    Ok(())
}

/// The records are there.
pub fn loaded(database: &Arc<PvDatabase>) {
    if let Some(facts) = FACTS.get() {
        let _first = facts.database.set(Arc::clone(database));
    }
}

/// `streamDebug` as the IOC's shell sees it.
pub fn stream_debug() -> i32 {
    if FACTS.get().is_some() { USERS_DEBUG.load(Relaxed) } else { stream::stream_debug() }
}

/// `var streamDebug`.
pub fn set_stream_debug(level: i32) {
    USERS_DEBUG.store(level, Relaxed);
    stream::set_stream_debug(if FACTS.get().is_some() { level.max(1) } else { level });
}

/// Follows the audit log of the Channel Access server. A client that opens a channel and writes nothing reads.
fn clients(facts: &'static Facts) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    env::set("EPICS_CAS_AUDIT_FILE", format!("/proc/self/fd/{}", writer.as_raw_fd()));
    thread::spawn(move || {
        let _open = writer;
        // The channels of each client, and whether it has written there.
        let mut open: BTreeMap<(String, String), bool> = BTreeMap::new();
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
            let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            // Of a channel its name is told, of a put the field as well.
            let (peer, mut pv) = (word("peer"), word("pv"));
            pv.truncate(pv.find('.').unwrap_or(pv.len()));
            match (event["ev"].as_str(), event["result"].as_str()) {
                _ if event["user"] == RECORDER => {}
                (Some("create_chan"), Some("ok")) => {
                    facts.tell(Seen::Opened, &pv);
                    open.entry((peer, pv)).or_default();
                }
                (Some("caput"), Some("ok")) => {
                    facts.tell(Seen::Written, &pv);
                    open.insert((peer, pv), true);
                }
                (Some("disconnect"), _) => {
                    for ((_, pv), _) in open.extract_if(.., |(own, _), _| *own == peer).filter(|(_, wrote)| !wrote) {
                        facts.tell(Seen::Read, &pv);
                    }
                }
                _ => {}
            }
        }
    });
    Ok(())
}

/// Hears what StreamDevice says with `streamDebug 1`, and passes it on only to who asked for it.
struct Trace {
    facts: &'static Facts,
    /// How the protocols began that are under way, by record.
    begun: HashMap<String, String>,
}

impl Write for Trace {
    /// Each message comes in one piece.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message);
        let of = |function: &str| text.split_once(function)?.1.split_once(')')?.0.split_once(", ");
        if let Some((name, mode)) = of("StreamCore::startProtocol(") {
            if mode != "startMode=StartInit" {
                self.facts.tell(Seen::Ran, name);
            }
            self.begun.insert(name.to_owned(), mode.to_owned());
        } else if let Some((name, status)) = of("StreamCore::finishProtocol(")
            && let Some(mode) = self.begun.remove(name)
        {
            // Its first end decides on the handler.
            let handler = match status {
                _ if mode == "startMode=StartInit" => Some(Seen::Init),
                "ScanError" => Some(Seen::Mismatch),
                "WriteTimeout" => Some(Seen::WriteTimeout),
                "ReplyTimeout" => Some(Seen::ReplyTimeout),
                "ReadTimeout" => Some(Seen::ReadTimeout),
                _ => None,
            };
            if let Some(handler) = handler {
                self.facts.tell(handler, name);
            }
        }
        if USERS_DEBUG.load(Relaxed) > 0 {
            io::stderr().write_all(message)?;
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
