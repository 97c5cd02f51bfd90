//! Entries of a machine's journal: PID 1 writes them, one JSON object a line, as `journalctl -o json` does.

use serde::Deserialize;

/// What xtask reads of an entry.
#[derive(Debug, Default, Deserialize)]
pub struct Entry {
    /// The unit that the manager speaks of.
    #[serde(rename = "UNIT")]
    pub about: Option<String>,
    /// The unit that speaks.
    #[serde(rename = "_SYSTEMD_UNIT")]
    pub unit: Option<String>,
    /// What is said.
    #[serde(rename = "MESSAGE")]
    pub message: Option<Message>,
    /// How much it matters, 0 to 7.
    #[serde(rename = "PRIORITY")]
    pub priority: Option<String>,
    /// Microseconds since 1970.
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    pub time: Option<String>,
}

/// Text, or bytes that are none.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// Text.
    Text(String),
    /// The bytes, one by one.
    Bytes(Vec<u8>),
}

impl Entry {
    /// Takes an entry from its line; `None` where the line is none.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// What is said, as text.
    pub fn text(&self) -> Option<String> {
        Some(match self.message.as_ref()? {
            Message::Text(text) => text.clone(),
            Message::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        })
    }
}
