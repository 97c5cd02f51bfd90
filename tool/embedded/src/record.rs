//! Records what the process variables of an IOC do, over Channel Access.
//!
//! It runs beside the IOC on the same network, and asks over the loopback interface only: what a
//! test does to cables does not touch it, and no other machine hears of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use epics_base_rs::runtime::env;
use epics_base_rs::server::snapshot::Snapshot;
use epics_base_rs::types::EpicsValue;
use epics_ca_rs::client::{CaChannel, CaClient};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::coverage::RECORDER;
use crate::lint::{Function, Outlook, Record};
use crate::recording::{Presence, Recorded};

/// Fields that tell a reader what a value means: text, unit, digits, limits.
const TELLING: [&str; 9] = ["DESC", "EGU", "PREC", "LOPR", "HOPR", "LOLO", "LOW", "HIGH", "HIHI"];
/// Records that are monitored; the others are named at the start of the file.
const MOST: usize = 500;
/// Elements of an array that are written down.
const ELEMENTS: usize = 16;
/// Bits of `DBE_VALUE` and `DBE_ALARM` (caeventmask.h).
const VALUE_AND_ALARM: u16 = 1 | 4;
/// How often to look for an IOC that is not there.
const SEEK: Duration = Duration::from_millis(10);
/// How often to look whether it is still the same one.
const WATCH: Duration = Duration::from_millis(50);

/// Appends to `file` until it is killed: first what is recorded, then every update.
pub fn run(app: &str, script: &Path, file: &Path) -> Result<(), String> {
    let outlook = Outlook::read(app, script)?;
    let (port, functions, mut all) = (outlook.port(), outlook.functions(), outlook.records);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let out = File::options().create(true).append(true).open(file);
    let out = Log(Arc::new(Mutex::new(out.map_err(|error| format!("{}: {error}", file.display()))?)));
    let (chosen, left_out) = all.split_at(all.len().min(MOST));
    let left_out = left_out.iter().map(|record| record.name.clone()).collect();
    out.line(&Recorded::Heading { version: 1, time: now(), port, recorded: chosen.len(), left_out });
    for record in chosen {
        out.line(&description(record));
    }
    for function in &functions {
        out.line(&protocol(function));
    }
    // Clients look for servers where this says.
    env::set("EPICS_CA_SERVER_PORT", port.to_string());
    // One thread: the IOC and its clients need the processors more.
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let mut known = BTreeSet::new();
        loop {
            let servers = server_sockets(port);
            // One of several may come and go: the port is served all the same.
            if known.is_disjoint(&servers) {
                let states = [(!known.is_empty(), Presence::Down), (!servers.is_empty(), Presence::Up)];
                for (_, ioc) in states.into_iter().filter(|(changed, _)| *changed) {
                    out.line(&Recorded::Ioc { time: now(), ioc });
                }
            }
            known = servers;
            if known.is_empty() {
                sleep(SEEK).await;
            } else {
                monitor(chosen, &out, port, &known).await?;
            }
        }
    })
}

/// Writes down updates until others serve than `servers`: a client looks anew at once, and later only now and then.
async fn monitor(records: &[Record], out: &Log, port: u16, servers: &BTreeSet<String>) -> Result<(), String> {
    let client = CaClient::new().await.map_err(|error| error.to_string())?;
    client.set_user_name(RECORDER);
    let follow =
        |record: &Record| tokio::spawn(follow(client.create_channel(&record.name), record.name.clone(), out.clone()));
    let tasks: Vec<_> = records.iter().map(follow).collect();
    while server_sockets(port) == *servers {
        sleep(WATCH).await;
    }
    for task in tasks {
        task.abort();
    }
    // A server that it would say farewell to may be gone.
    let _ = timeout(WATCH, client.shutdown()).await;
    Ok(())
}

async fn follow(channel: CaChannel, name: String, out: Log) {
    // States come as their labels: what they are called may be set while the IOC runs.
    let Ok(mut updates) = channel.subscribe_with_mask_enum_as_string(0.0, VALUE_AND_ALARM, true).await else { return };
    while let Some(update) = updates.recv().await {
        if let Ok(update) = update {
            out.line(&line(&name, &update));
        }
    }
}

/// What listens for searches at a port of this machine, by the kernel's numbers: they change with a restart.
/// Reading them costs no packet, so the IOC is not disturbed before it serves.
fn server_sockets(port: u16) -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/self/net/udp").unwrap_or_default();
    let wanted = format!(":{port:04X}");
    let sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let served = sockets.filter(|fields| fields.get(1).is_some_and(|local| local.ends_with(&wanted)));
    served.filter_map(|fields| fields.get(9).map(|inode| (*inode).to_owned())).collect()
}

/// A file that several tasks append whole lines to.
#[derive(Clone)]
struct Log(Arc<Mutex<File>>);

impl Log {
    fn line(&self, line: &Recorded) {
        let Ok(line) = serde_json::to_string(line) else { return };
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk costs the record, not the run.
        let _: io::Result<()> = file.write_all(format!("{line}\n").as_bytes());
    }
}

fn description(record: &Record) -> Recorded {
    let told = |name: &&str| Some(((*name).to_owned(), record.field(name)?.value.clone()));
    let fields = TELLING.iter().filter_map(told).collect();
    Recorded::Pv { pv: record.name.clone(), kind: record.kind.clone(), fields }
}

fn protocol(function: &Function) -> Recorded {
    let Function { file, name, handlers, records } = function;
    Recorded::Function {
        protocol: file.clone(),
        function: name.clone(),
        handlers: handlers.iter().map(ToString::to_string).collect(),
        records: records.iter().cloned().collect(),
    }
}

fn line(name: &str, update: &Snapshot) -> Recorded {
    Recorded::Update {
        time: now(),
        stamp: seconds(update.timestamp.into()),
        pv: name.to_owned(),
        value: value(&update.value),
        severity: update.alarm.severity,
        status: update.alarm.status,
    }
}

/// The value as JSON: a number, a text, or a list of the first elements.
fn value(value: &EpicsValue) -> Value {
    match value {
        EpicsValue::String(string) => json!(string.to_string()),
        EpicsValue::Short(number) => json!(number),
        EpicsValue::Long(number) => json!(number),
        EpicsValue::Enum(number) => json!(number),
        EpicsValue::Char(number) => json!(number),
        EpicsValue::Float(number) => float(f64::from(*number)),
        EpicsValue::Double(number) => float(*number),
        EpicsValue::StringArray(all) => list(all, |string| json!(string.to_string())),
        EpicsValue::ShortArray(all) => list(all, |number| json!(number)),
        EpicsValue::LongArray(all) => list(all, |number| json!(number)),
        EpicsValue::EnumArray(all) => list(all, |number| json!(number)),
        EpicsValue::FloatArray(all) => list(all, |number| float(f64::from(*number))),
        EpicsValue::DoubleArray(all) => list(all, |number| float(*number)),
        // Long texts are arrays of characters.
        EpicsValue::CharArray(all) => {
            let end = all.iter().position(|byte| *byte == 0).unwrap_or(all.len());
            json!(String::from_utf8_lossy(&all[..end]))
        }
        // Channel Access has no other types.
        _ => Value::Null,
    }
}

/// The first elements, and an ellipsis for the rest.
fn list<T>(all: &[T], json: impl Fn(&T) -> Value) -> Value {
    let rest = (all.len() > ELEMENTS).then(|| json!("…"));
    all.iter().take(ELEMENTS).map(json).chain(rest).collect()
}

/// JSON has no word for what is no number.
fn float(number: f64) -> Value {
    // As people write them: 12, not 12.0; what JSON has not is a text.
    let text = number.to_string();
    text.parse().unwrap_or_else(|_| json!(text))
}

fn now() -> f64 {
    seconds(SystemTime::now())
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json() {
        assert_eq!(value(&EpicsValue::Double(0.1)), json!(0.1));
        assert_eq!(value(&EpicsValue::Double(12.0)).to_string(), "12");
        assert_eq!(value(&EpicsValue::Double(f64::NAN)), json!("NaN"));
        assert_eq!(value(&EpicsValue::DoubleArray(vec![1.5; 17].into()))[16], json!("…"));
    }
}
