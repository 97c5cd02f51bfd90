//! What a soft IOC has built in, for whoever asks: record types and device support of EPICS base, calc, asyn, StreamDevice and autosave.

use std::collections::HashMap;

use epics_base_rs::server::db_loader::create_record;
use epics_base_rs::server::record::dbd_generated::{RECORD_TYPES, device_menu};

use crate::edits::distance;
use crate::modules;

/// Record types beyond those of EPICS base: calc's, and asyn's own.
const ADDED_RECORD_TYPES: [&str; 6] = ["scalcout", "acalcout", "sseq", "swait", "transform", "asyn"];

/// Definitions that a C IOC has where its Makefile says so.
const DEFINITIONS: [&str; 11] = [
    "base.dbd",
    "system.dbd",
    "asyn.dbd",
    "drvAsynIPPort.dbd",
    "drvAsynSerialPort.dbd",
    "calc.dbd",
    "calcSupport.dbd",
    "stream.dbd",
    "stream-base.dbd",
    "stream-scalcout.dbd",
    "asSupport.dbd",
];

/// Whether all that these definitions bring is built in.
pub fn has_definitions(name: &str) -> bool {
    DEFINITIONS.contains(&name) || (cfg!(feature = "pva") && (name == "qsrv.dbd" || has_pv_access(name)))
}

/// The definitions that were meant by a name of nobody's, where these are not `there` as well. Short names have neighbours:
/// another case or two letters that changed places are no accident.
pub fn misspelt(name: &str, there: impl Fn(&str) -> bool) -> Option<&'static str> {
    let sure = |own: &str| name.eq_ignore_ascii_case(own) || are_swapped(name, own) || own.len() > "calc.dbd".len();
    let near = |own: &str| name.eq_ignore_ascii_case(own) || distance(name, own) == 1;
    DEFINITIONS.into_iter().find(|own| name != *own && near(own) && (sure(own) || !there(own)))
}

/// Whether two words differ in two neighbouring letters that changed places.
pub fn are_swapped(a: &str, b: &str) -> bool {
    let letters = |word: &str| {
        let mut letters: Vec<char> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    distance(a, b) == 1 && letters(a) == letters(b)
}

/// Whether these definitions bring a server of PV Access: that of PVXS, or of EPICS base.
pub fn has_pv_access(name: &str) -> bool {
    ["pvxsIoc.dbd", "PVAServerRegister.dbd"].contains(&name)
}

/// The definitions that bring a record type, one of which a C IOC needs for it.
pub fn definitions_of_type(kind: &str) -> &'static [&'static str] {
    match kind {
        "asyn" => &DEFINITIONS[2..3],
        kind if ADDED_RECORD_TYPES.contains(&kind) => &DEFINITIONS[5..7],
        _ => &DEFINITIONS[..2],
    }
}

/// The definitions that bring a device support; none where it comes with the record type.
pub fn definitions_of_device(choice: &str) -> &'static [&'static str] {
    match choice {
        "stream" => &DEFINITIONS[7..10],
        choice if choice.starts_with("asyn") => &DEFINITIONS[2..3],
        _ => &[],
    }
}

/// Commands of asyn.dbd whose first word is a port.
pub const OF_PORT: [&str; 22] = [
    "asynAutoConnect",
    "asynEnable",
    "asynInterposeDelay",
    "asynInterposeEcho",
    "asynInterposeEosConfig",
    "asynInterposeFlushConfig",
    "asynOctetGetInputEos",
    "asynOctetGetOutputEos",
    "asynOctetSetInputEos",
    "asynOctetSetOutputEos",
    "asynRegisterTimeStampSource",
    "asynSetOption",
    "asynSetQueueLockPortTimeout",
    "asynSetTraceFile",
    "asynSetTraceIOMask",
    "asynSetTraceIOTruncateSize",
    "asynSetTraceInfoMask",
    "asynSetTraceMask",
    "asynShowOption",
    "asynShutdownPort",
    "asynUnregisterTimeStampSource",
    "asynWaitConnect",
];

/// Those whose second word is no address.
const OF_PORT_ALONE: [&str; 5] = [
    "asynRegisterTimeStampSource",
    "asynSetQueueLockPortTimeout",
    "asynShutdownPort",
    "asynUnregisterTimeStampSource",
    "asynWaitConnect",
];

/// Whether a command of asyn takes a port and the number of an address.
pub fn has_address(command: &str) -> bool {
    OF_PORT.contains(&command) && !OF_PORT_ALONE.contains(&command)
}

/// Variables of stream.dbd for the command `var`.
pub const VARIABLES: [&str; 5] =
    ["streamDebug", "streamDebugColored", "streamError", "streamErrorDeadTime", "streamMsgTimeStamped"];

/// Commands that a registrar of some definitions brings, one of which a C IOC needs for them.
const COMMANDS: [(&[&str], &[&str]); 6] = [
    (&["asyn.dbd"], &OF_PORT),
    (
        &["asyn.dbd"],
        &[
            "asynOctetConnect",
            "asynOctetDisconnect",
            "asynOctetFlush",
            "asynOctetRead",
            "asynOctetWrite",
            "asynOctetWriteRead",
            "asynReport",
            "asynSetAutoConnectTimeout",
            "asynSetMinTimerPeriod",
        ],
    ),
    (&["drvAsynIPPort.dbd"], &["drvAsynIPPortConfigure", "drvAsynIPServerPortConfigure"]),
    (&["drvAsynSerialPort.dbd"], &["drvAsynSerialPortConfigure"]),
    (&["system.dbd"], &["system"]),
    (&["stream.dbd", "stream-base.dbd"], &["streamReinit", "streamReload", "streamSetLogfile"]),
];

/// Whether a command of asyn opens a port at an address.
pub fn opens_a_port(command: &str) -> bool {
    COMMANDS.iter().flat_map(|(_, names)| *names).any(|own| *own == command) && command.ends_with("PortConfigure")
}

/// The commands that come with definitions, each with these.
pub fn commands() -> impl Iterator<Item = (String, &'static [&'static str])> {
    let of_autosave = modules::of_autosave().map(|name| (name, &DEFINITIONS[10..]));
    COMMANDS.iter().flat_map(|(files, names)| names.iter().map(|name| ((*name).to_owned(), *files))).chain(of_autosave)
}

/// Whether there is such a record type.
pub fn is_record_type(name: &str) -> bool {
    ADDED_RECORD_TYPES.contains(&name) || create_record(name).is_ok()
}

/// The record types.
pub fn record_types() -> impl Iterator<Item = &'static str> {
    RECORD_TYPES.iter().copied().filter(|name| is_record_type(name)).chain(ADDED_RECORD_TYPES)
}

/// The values that DTYP can have in each record type that was asked for.
#[derive(Debug, Default)]
pub struct Devices(HashMap<String, Vec<&'static str>>);

impl Devices {
    pub fn of(&mut self, kind: &str) -> &[&'static str] {
        if !self.0.contains_key(kind) {
            self.0.insert(kind.to_owned(), devices(kind));
        }
        &self.0[kind]
    }
}

fn devices(kind: &str) -> Vec<&'static str> {
    let mut found: Vec<&str> = device_menu(kind).unwrap_or_default().to_vec();
    for (_, rows) in stream_rs::dev::devices().iter().filter(|(name, _)| *name == kind) {
        found.extend(rows.iter().map(|row| row.choice));
    }
    found.extend(asyn_rs::dbd_generated::device_menu(kind).unwrap_or_default());
    found.dedup();
    found
}
