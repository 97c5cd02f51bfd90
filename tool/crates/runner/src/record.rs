//! What the process variables of a machine did, as the soft IOC recorded it (tool/embedded/src/record.rs).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use tool_base::protocol::recording::{Presence, Recorded};
use tool_base::{left, ui};

/// Updates that are read of one machine; a report of more would not be looked at.
const MOST: usize = 200_000;
/// Bytes of a recording that are read.
const ROOM: u64 = 256 << 20;
/// Bytes of what the recorder says of itself.
const NOTES: u64 = 5000;
/// Process variables whose last values a failure tells.
const NAMED: usize = 8;
/// Characters of a value that are kept.
const LONG: usize = 200;

/// A recording of one machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// The machine.
    pub machine: String,
    /// Its process variables, by name.
    pub pvs: Vec<Pv>,
    /// Times from and to which the IOC was not there, in seconds from the begin of the execution.
    pub down: Vec<(f64, Option<f64>)>,
    /// Names of process variables that were not recorded, as there are too many.
    pub left_out: Vec<String>,
    /// Whether it has more updates than are shown.
    pub cut: bool,
    /// What was not recorded, and why.
    pub notes: Vec<String>,
}

/// A process variable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pv {
    /// Its name.
    pub name: String,
    /// Its record's type.
    pub kind: String,
    /// What it is, as its record says.
    pub description: String,
    /// Its unit.
    pub unit: String,
    /// Digits after the point.
    pub precision: Option<usize>,
    /// What it did.
    pub updates: Vec<Update>,
}

/// An update of a process variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// When it came, in seconds from the begin of the execution.
    pub time: f64,
    /// The value.
    pub value: Kind,
    /// Its alarm.
    pub alarm: Alarm,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A finite number.
    Number(f64),
    /// Anything else.
    Text(String),
}

/// Severity of an alarm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// All is well.
    #[default]
    None,
    /// MINOR.
    Minor,
    /// MAJOR.
    Major,
    /// INVALID: the value cannot be trusted.
    Invalid,
}

impl Alarm {
    /// As EPICS spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Minor => "MINOR",
            Self::Major => "MAJOR",
            Self::Invalid => "INVALID",
        }
    }
}

impl Pv {
    /// Whether value or alarm changed at all.
    pub fn changed(&self) -> bool {
        self.updates.windows(2).any(|pair| pair[0].value != pair[1].value || pair[0].alarm != pair[1].alarm)
    }

    /// A value in words, with its unit.
    pub fn show(&self, value: &Kind) -> String {
        let text = match value {
            Kind::Text(text) => return text.clone(),
            Kind::Number(number) => match self.precision {
                Some(digits) if number.abs() < 1e9 => format!("{number:.digits$}"),
                _ => number.to_string(),
            },
        };
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        if self.unit.is_empty() { text.to_owned() } else { format!("{text} {}", self.unit) }
    }
}

/// Reads the recording of a machine in a folder; what cannot be understood is left out. `start` is the begin of the
/// execution, seconds since 1970.
pub fn read(dir: &Path, machine: &str, start: f64) -> Recording {
    let mut recording = Recording { machine: machine.to_owned(), ..Recording::default() };
    let mut pvs: BTreeMap<String, Pv> = BTreeMap::new();
    let (mut updates, mut seen, mut port) = (0, false, None);
    for line in left::lines(dir, Path::new(&format!("{machine}.jsonl")), ROOM) {
        // The last line may be half of one: the recorder is killed in the end.
        let Ok(line) = serde_json::from_slice(&line) else { continue };
        let since = |time: f64| (time - start).max(0.0);
        match line {
            Recorded::Pv { pv: name, kind, fields } => {
                let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
                let pv = pvs.entry(name.clone()).or_default();
                (pv.name, pv.kind) = (name, kind);
                (pv.description, pv.unit) = (field("DESC"), field("EGU"));
                pv.precision = field("PREC").parse().ok().filter(|digits| *digits <= 17);
            }
            Recorded::Update { .. } if updates >= MOST => recording.cut = true,
            Recorded::Update { time, pv: name, value: shown, severity, .. } => {
                updates += 1;
                let pv = pvs.entry(name.clone()).or_insert_with(|| Pv { name, ..Pv::default() });
                pv.updates.push(Update { time: since(time), value: value(&shown), alarm: alarm(severity) });
            }
            Recorded::Ioc { time, ioc: Presence::Down } => recording.down.push((since(time), None)),
            Recorded::Ioc { time, ioc: Presence::Up } => {
                seen = true;
                if let Some((_, end @ None)) = recording.down.last_mut() {
                    *end = Some(since(time));
                }
            }
            Recorded::Heading { port: own, left_out, .. } => {
                port = Some(own);
                recording.left_out = left_out;
            }
            Recorded::Function { .. } => {}
        }
    }
    recording.pvs = pvs.into_values().collect();
    if let Some(port) = port.filter(|_| !seen) {
        recording.notes.push(format!("nothing served port {port} of Channel Access"));
    }
    recording.notes.extend(said(dir, machine, updates == 0));
    recording
}

/// The last values of the process variables that a text names, as they were at a time (seconds since 1970), a line each.
pub fn named(dir: &Path, text: &str, at: f64) -> Vec<String> {
    let machines = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut machines: Vec<String> =
        machines.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".jsonl")?.to_owned())).collect();
    machines.sort();
    let several = machines.len() > 1;
    let mut lines = Vec::new();
    for machine in &machines {
        for pv in read(dir, machine, 0.0).pvs.iter().filter(|pv| names(text, &pv.name)) {
            let Some(last) = pv.updates.iter().rfind(|update| update.time <= at) else { continue };
            let alarm = if last.alarm == Alarm::None { "NO_ALARM" } else { last.alarm.word() };
            let on = if several { format!(" on {machine}") } else { String::new() };
            let (value, age) = (pv.show(&last.value), at - last.time);
            lines.push(format!("{}{on} was {value}, {alarm}, {age:.1} s ago", pv.name));
        }
    }
    lines.truncate(NAMED);
    lines
}

/// Whether a text has a name, and not as a part of another.
pub fn names(text: &str, name: &str) -> bool {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || "_-:+[]<>;".contains(c);
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(of_a_name) && !text[at + name.len()..].starts_with(of_a_name))
}

/// What the recorder says was not recorded, or all it says.
fn said(dir: &Path, machine: &str, all: bool) -> Vec<String> {
    let lines = left::lines(dir, Path::new(&format!("{machine}.log")), NOTES);
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    let lines = lines.filter(|line| all || line.starts_with("not recorded: "));
    lines.map(|line| ui::clean(&line, LONG)).filter(|line| !line.is_empty()).collect()
}

fn value(json: &Value) -> Kind {
    match json {
        Value::Number(number) => number.as_f64().map_or_else(|| Kind::Text(number.to_string()), Kind::Number),
        Value::String(text) => Kind::Text(text.chars().take(LONG).collect()),
        other => Kind::Text(other.to_string().chars().take(LONG).collect()),
    }
}

fn alarm(severity: u16) -> Alarm {
    match severity {
        0 => Alarm::None,
        1 => Alarm::Minor,
        2 => Alarm::Major,
        _ => Alarm::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_and_half_a_line_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("machine.jsonl");
        let text = r#"{"version":1,"time":99.0,"port":5064,"recorded":2,"left_out":["Z"]}
{"pv":"A","type":"ai","DESC":"Voltage","EGU":"V","PREC":"2"}
{"time":101.0,"ioc":"up"}
{"time":101.5,"stamp":101.4,"pv":"A","value":1.5,"severity":0,"status":0}
{"time":102.5,"stamp":102.4,"pv":"A","value":"NaN","severity":3,"status":17}
{"time":103.0,"ioc":"down"}
{"time":104.0,"ioc":"up"}
{"time":104.5,"pv":"A","val"#;
        std::fs::write(&file, text).unwrap();
        std::fs::write(dir.path().join("machine.log"), "noise\nnot recorded: x\n").unwrap();
        let recording = read(dir.path(), "machine", 100.0);
        assert_eq!(recording.notes, ["not recorded: x"]);
        assert_eq!((recording.machine.as_str(), recording.down.as_slice()), ("machine", &[(3.0, Some(4.0))][..]));
        assert_eq!(recording.left_out, ["Z"]);
        let pv = &recording.pvs[0];
        assert_eq!(pv.updates[0], Update { time: 1.5, value: Kind::Number(1.5), alarm: Alarm::None });
        assert_eq!(pv.updates[1], Update { time: 2.5, value: Kind::Text("NaN".into()), alarm: Alarm::Invalid });
        assert!(pv.changed());
        assert_eq!(pv.show(&Kind::Number(1.50)), "1.5 V");
        assert_eq!(Pv::default().show(&Kind::Number(100.0)), "100");
    }

    #[test]
    fn the_last_value_of_what_a_line_names() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"pv":"VOLT","type":"ao","EGU":"V","PREC":"3"}
{"time":100.0,"stamp":100,"pv":"VOLT","value":1.5,"severity":0,"status":0}
{"time":101.0,"stamp":101,"pv":"VOLT-RB","value":"on","severity":2,"status":1}
{"time":102.5,"stamp":102,"pv":"VOLT","value":12,"severity":0,"status":0}
{"time":104.0,"stamp":104,"pv":"VOLT","value":13,"severity":0,"status":0}
"#;
        std::fs::write(dir.path().join("machine.jsonl"), text).unwrap();
        let told = |text: &str| named(dir.path(), text, 103.0);
        assert_eq!(told("machine.succeed('caget -t VOLT | grep -qx 13')"), ["VOLT was 12 V, NO_ALARM, 0.5 s ago"]);
        assert_eq!(told("caget VOLT-RB.SEVR"), ["VOLT-RB was on, MAJOR, 2.0 s ago"]);
        assert_eq!(told("LAB:VOLT VOLT2"), Vec::<String>::new());
        std::fs::write(dir.path().join("other.jsonl"), text).unwrap();
        assert_eq!(told("VOLT")[1], "VOLT on other was 12 V, NO_ALARM, 0.5 s ago");
    }

    #[test]
    fn what_is_not_recorded_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("a.jsonl"),
            "{\"version\":1,\"time\":1,\"port\":5070,\"recorded\":1,\"left_out\":[]}\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("a.log"), "soft-ioc: st.cmd: no such file\n").unwrap();
        let notes = ["nothing served port 5070 of Channel Access", "soft-ioc: st.cmd: no such file"];
        assert_eq!(read(dir.path(), "a", 0.0).notes, notes);
        assert_eq!(read(dir.path(), "b", 0.0), Recording { machine: "b".into(), ..Recording::default() });
    }
}
