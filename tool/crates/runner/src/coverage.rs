//! What the checks of a run used of the IOC: records, and the functions of its protocols.
//!
//! The recorder knows what there is, and what Channel Access shows of it; the soft IOC adds what only an IOC knows
//! (tool/embedded/src/coverage.rs).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tool_base::left;
use tool_base::protocol::recording::{Recorded, Seen};

/// Its file in the folder of a run.
pub const FILE: &str = "coverage.json";
/// Bytes that are read of what one machine left: its root can write there.
const ROOM: u64 = 64 << 20;
/// Time of a record that was never processed, in seconds since 1970: the begin of EPICS's calendar.
const NEVER: f64 = 631_152_000.0;

/// Who told it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Nobody: nothing was recorded.
    #[default]
    Nothing,
    /// The recorder: what a record did shows only where its value or alarm changed, and nobody knows of clients.
    ChannelAccess,
    /// The soft IOC as well.
    SoftIoc,
}

/// What was used. [`FILE`] has it as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Version of the file.
    pub version: u32,
    /// Who told it.
    pub source: Source,
    /// The records, by name.
    pub records: BTreeMap<String, Use>,
    /// The functions of all protocol files.
    pub functions: Vec<Function>,
}

/// What became of a record. `None` is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// A client opened it without writing.
    pub read: Option<bool>,
    /// A client wrote to it.
    pub written: Option<bool>,
    /// It was processed.
    pub processed: Option<bool>,
    /// It was in alarm after it was processed.
    pub alarmed: Option<bool>,
}

/// What became of a function of a protocol file. `None` is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The protocol file.
    pub file: String,
    /// The function.
    pub name: String,
    /// Records that call it.
    pub records: BTreeSet<String>,
    /// Whether it ran; of one that no record calls nobody knows, as others may include it.
    pub ran: Option<bool>,
    /// Its handlers, and whether each of them ran.
    pub handlers: BTreeMap<String, Option<bool>>,
}

/// What is told of the machines of a run.
#[derive(Default)]
struct Told {
    kinds: BTreeMap<String, String>,
    functions: BTreeMap<(String, String), (BTreeSet<String>, BTreeSet<String>)>,
    facts: BTreeSet<(Seen, String)>,
    /// Records that did anything that Channel Access shows.
    updated: BTreeSet<String>,
    by_ioc: bool,
}

/// Gathers what the executions in some folders left.
pub fn gather<'a>(folders: impl Iterator<Item = &'a Path>) -> Coverage {
    let mut told = Told::default();
    for folder in folders {
        for file in fs::read_dir(folder.join("record")).into_iter().flatten().flatten() {
            // The last line may be half of one.
            let lines = || left::lines(folder, &Path::new("record").join(file.file_name()), ROOM);
            match file.path().extension().and_then(|kind| kind.to_str()) {
                Some("jsonl") => {
                    lines().filter_map(|line| serde_json::from_slice(&line).ok()).for_each(|line| told.recorded(line));
                }
                Some("coverage") => {
                    // It is there once the soft IOC is asked, even if that says nothing.
                    told.by_ioc = true;
                    let facts = lines().filter_map(|line| serde_json::from_slice::<BTreeMap<_, _>>(&line).ok());
                    told.facts.extend(facts.flatten());
                }
                _ => {}
            }
        }
    }
    told.finish()
}

impl Told {
    fn recorded(&mut self, line: Recorded) {
        match line {
            Recorded::Function { protocol, function, handlers, records } => {
                let known = self.functions.entry((protocol, function)).or_default();
                known.0.extend(records);
                known.1.extend(handlers);
            }
            Recorded::Pv { pv, kind, .. } => {
                self.kinds.insert(pv, kind);
            }
            Recorded::Update { pv, stamp, severity, .. } => {
                let processed = stamp > NEVER;
                let facts = [(Seen::Processed, processed), (Seen::Alarmed, processed && severity > 0)];
                self.facts.extend(facts.into_iter().filter(|own| own.1).map(|(fact, _)| (fact, pv.clone())));
                self.updated.insert(pv);
            }
            Recorded::Heading { left_out, .. } => {
                for name in left_out {
                    self.kinds.entry(name).or_default();
                }
            }
            Recorded::Ioc { .. } => {}
        }
    }

    fn finish(self) -> Coverage {
        let Self { kinds, functions, facts, updated, by_ioc } = self;
        let has = |fact: Seen, name: &str| facts.contains(&(fact, name.to_owned()));
        let known = |fact: bool| by_ioc.then_some(fact);
        let source = match kinds.is_empty() {
            true => Source::Nothing,
            false if by_ioc => Source::SoftIoc,
            false => Source::ChannelAccess,
        };
        let used = |(name, kind): (String, String)| {
            let written = has(Seen::Written, &name);
            // A client that is still there when the IOC ends, and has not written, reads.
            let read = has(Seen::Read, &name) || has(Seen::Opened, &name) && !written;
            let seen = |fact| (by_ioc || updated.contains(&name)).then(|| has(fact, &name));
            let (processed, alarmed) = (seen(Seen::Processed), seen(Seen::Alarmed));
            (name, Use { kind, read: known(read), written: known(written), processed, alarmed })
        };
        let function =
            |((file, name), (records, handlers)): ((String, String), (BTreeSet<String>, BTreeSet<String>))| {
                let any = |fact| known(records.iter().any(|record| has(fact, record))).filter(|_| !records.is_empty());
                let of = |handler: &String| serde_json::from_value(handler.as_str().into()).ok().and_then(any);
                let handlers = handlers.iter().map(|handler| (handler.clone(), of(handler))).collect();
                Function { file, name, ran: any(Seen::Ran), handlers, records: records.clone() }
            };
        Coverage {
            version: 1,
            source,
            records: kinds.into_iter().map(used).collect(),
            functions: functions.into_iter().map(function).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = r#"{"version":1,"time":1.0,"port":5064,"recorded":2,"left_out":["Z"]}
{"pv":"A","type":"ai"}
{"pv":"B","type":"ao"}
{"protocol":"p.proto","function":"get","handlers":["@mismatch","@replytimeout"],"records":["A"]}
{"protocol":"p.proto","function":"set","handlers":[],"records":["B"]}
{"protocol":"p.proto","function":"spare","handlers":[],"records":[]}
{"time":101.5,"stamp":631152000.000000,"pv":"B","value":0,"severity":3,"status":17}
{"time":101.5,"stamp":1795469585.1,"pv":"A","value":1.5,"severity":2,"status":3}
{"time":101.5,"st"#;

    fn of(coverage: Option<&str>) -> Coverage {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("record");
        fs::create_dir(&record).unwrap();
        fs::write(record.join("machine.jsonl"), RECORDED).unwrap();
        if let Some(text) = coverage {
            fs::write(record.join("machine.coverage"), text).unwrap();
        }
        gather(std::iter::once(dir.path()))
    }

    #[test]
    fn what_channel_access_shows() {
        let coverage = of(None);
        assert_eq!(coverage.source, Source::ChannelAccess);
        let a = Use { kind: "ai".into(), read: None, written: None, processed: Some(true), alarmed: Some(true) };
        assert_eq!(coverage.records["A"], a);
        let of_the_rest = ["B", "Z"].map(|name| (coverage.records[name].processed, coverage.records[name].alarmed));
        assert_eq!(of_the_rest, [(Some(false), Some(false)), (None, None)], "nobody looked at the latter");
        assert_eq!(coverage.records.len(), 3);
        assert!(coverage.functions.iter().all(|function| function.ran.is_none()));
        assert_eq!(gather(std::iter::empty()).source, Source::Nothing);
    }

    #[test]
    fn what_the_soft_ioc_knows() {
        let told = "{\"opened\":\"A\"}\n{\"opened\":\"B\"}\n{\"written\":\"B\"}\n{\"processed\":\"B\"}\n{\"ran\":\"A\"}\n\
                    {\"@mismatch\":\"A\"}\n{\"ra";
        let coverage = of(Some(told));
        let used = |name: &str| {
            let Use { read, written, processed, .. } = coverage.records[name];
            (read, written, processed)
        };
        assert_eq!(used("A"), (Some(true), Some(false), Some(true)));
        assert_eq!(used("B"), (Some(false), Some(true), Some(true)));
        assert_eq!(used("Z"), (Some(false), Some(false), Some(false)));
        let get = &coverage.functions[0];
        assert_eq!(
            (get.ran, get.handlers["@mismatch"], get.handlers["@replytimeout"]),
            (Some(true), Some(true), Some(false))
        );
        assert_eq!(coverage.functions[1].ran, Some(false));
        assert_eq!(coverage.functions[2].ran, None, "another function may include it");
        assert_eq!(of(Some("")).source, Source::SoftIoc, "it was asked, and saw nothing");
    }
}
