//! Record types and device support that are known here: those of EPICS base, calc, asyn and StreamDevice.

use std::collections::HashMap;

use epics_base_rs::server::db_loader::create_record;
use epics_base_rs::server::record::dbd_generated::{RECORD_TYPES, device_menu};

use crate::ioc::ADDED_RECORD_TYPES;

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
