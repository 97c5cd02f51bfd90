//! Entries of the journal.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// An entry: its fields in the order written.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The fields.
    pub fields: Map<String, Value>,
}

impl Entry {
    /// Reads a line of the journal; one that was cut short is none.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().map(|fields| Self { fields })
    }

    /// Whether it has this field.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// A field's bytes; empty where it has none.
    pub(super) fn bytes(&self, key: &str) -> Cow<'_, [u8]> {
        match self.fields.get(key) {
            Some(Value::String(text)) => text.as_bytes().into(),
            Some(Value::Array(bytes)) => {
                bytes.iter().filter_map(|b| u8::try_from(b.as_u64()?).ok()).collect::<Vec<u8>>().into()
            }
            _ => Cow::Borrowed(&[]),
        }
    }

    /// A field as text.
    pub(super) fn text(&self, key: &str) -> Cow<'_, str> {
        match self.fields.get(key) {
            Some(Value::String(text)) => text.as_str().into(),
            _ => String::from_utf8_lossy(&self.bytes(key)).into_owned().into(),
        }
    }

    fn number(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap_or(0)
    }

    /// µs since 1970.
    pub(super) fn realtime(&self) -> u64 {
        self.number("__REALTIME_TIMESTAMP")
    }

    /// µs since the machine started.
    pub(super) fn monotonic(&self) -> u64 {
        self.number("__MONOTONIC_TIMESTAMP")
    }

    /// 0 (worst) to 7; what says nothing is 6.
    pub(super) fn priority(&self) -> u8 {
        self.text("PRIORITY").parse().unwrap_or(6)
    }
}

/// Boots in the order they came.
pub(super) fn boots(entries: &[Entry]) -> Vec<String> {
    let mut boots: Vec<String> = Vec::new();
    for entry in entries {
        let id = entry.text("_BOOT_ID");
        if boots.last().is_none_or(|b| *b != id) && !boots.iter().any(|b| *b == id) {
            boots.push(id.into_owned());
        }
    }
    boots
}
