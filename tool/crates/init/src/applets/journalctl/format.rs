//! How `journalctl` prints entries.

use serde_json::{Map, Value};

use super::super::time;
use super::cursor;
use super::entry::Entry;

/// How entries are printed beside `-o`.
#[derive(Debug, Clone, Default)]
pub struct How<'a> {
    /// `--output-fields`.
    pub fields: Vec<&'a str>,
    /// `-a`: what cannot be printed, too.
    pub all: bool,
    /// `--no-hostname`.
    pub no_hostname: bool,
}

/// `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Short,
    ShortPrecise,
    ShortIso,
    ShortIsoPrecise,
    ShortMonotonic,
    ShortFull,
    ShortUnix,
    WithUnit,
    Cat,
    Json,
    JsonPretty,
    JsonSse,
    JsonSeq,
    Verbose,
    Export,
}

impl Format {
    /// Reads the value of `-o`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "short" => Self::Short,
            "short-precise" => Self::ShortPrecise,
            "short-iso" => Self::ShortIso,
            "short-iso-precise" => Self::ShortIsoPrecise,
            "short-monotonic" => Self::ShortMonotonic,
            "short-full" => Self::ShortFull,
            "short-unix" => Self::ShortUnix,
            "with-unit" => Self::WithUnit,
            "cat" => Self::Cat,
            "json" => Self::Json,
            "json-pretty" => Self::JsonPretty,
            "verbose" => Self::Verbose,
            "export" => Self::Export,
            "json-sse" => Self::JsonSse,
            "json-seq" => Self::JsonSeq,
            _ => return Err(format!("Unknown output format '{text}'.")),
        })
    }

    /// Whether lines between boots, and about nothing found, are printed.
    pub(super) fn shows_boots(self) -> bool {
        !matches!(self, Self::Cat | Self::Json | Self::JsonPretty | Self::JsonSse | Self::JsonSeq | Self::Export)
    }

    /// An entry as bytes, its newline included.
    pub(super) fn render(self, entry: &Entry, how: &How) -> Vec<u8> {
        let fields = how.fields.as_slice();
        match self {
            Self::Cat if !fields.is_empty() => {
                fields.iter().filter(|f| entry.has(f)).flat_map(|f| [&*entry.bytes(f), b"\n"].concat()).collect()
            }
            Self::Cat => [&*entry.bytes("MESSAGE"), b"\n"].concat(),
            Self::Json => format!("{}\n", object(entry, how)).into_bytes(),
            Self::JsonSse => format!("data: {}\n\n", object(entry, how)).into_bytes(),
            Self::JsonSeq => format!("\x1e{}\n", object(entry, how)).into_bytes(),
            Self::JsonPretty => {
                let fields = chosen(entry, fields);
                let line = |(key, _): (&String, &Value)| format!("\t\"{key}\" : {}", json(entry, key, how));
                format!("{{\n{}\n}}\n", fields.iter().map(line).collect::<Vec<_>>().join(",\n")).into_bytes()
            }
            Self::Verbose => {
                let head = format!("{} [{}]\n", time::precise(entry.realtime()), cursor::of(entry));
                let mut bytes = head.into_bytes();
                for key in chosen(entry, fields)
                    .keys()
                    .filter(|k| !k.starts_with("__") && (fields.is_empty() || fields.contains(&k.as_str())))
                {
                    bytes.extend_from_slice(format!("    {key}=").as_bytes());
                    bytes.extend_from_slice(&entry.bytes(key));
                    bytes.push(b'\n');
                }
                bytes
            }
            Self::Export => {
                let mut bytes = Vec::new();
                for key in chosen(entry, fields).keys() {
                    let value = entry.bytes(key);
                    bytes.extend_from_slice(key.as_bytes());
                    if value.contains(&b'\n') || std::str::from_utf8(&value).is_err() {
                        bytes.push(b'\n');
                        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
                    } else {
                        bytes.push(b'=');
                    }
                    bytes.extend_from_slice(&value);
                    bytes.push(b'\n');
                }
                bytes.push(b'\n');
                bytes
            }
            _ => self.short(entry, how),
        }
    }

    fn short(self, entry: &Entry, how: &How) -> Vec<u8> {
        let us = entry.realtime();
        let p = time::parts(us);
        let iso = || format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", p.year, p.month, p.day, p.hour, p.minute, p.second);
        let when = match self {
            Self::ShortPrecise => format!("{}.{:06}", time::short(us), p.micros),
            Self::ShortIso => format!("{}{}", iso(), time::offset(us)),
            Self::ShortIsoPrecise => format!("{}.{:06}{}", iso(), p.micros, time::offset(us)),
            Self::ShortMonotonic => {
                format!("[{:5}.{:06}]", entry.monotonic() / 1_000_000, entry.monotonic() % 1_000_000)
            }
            Self::ShortUnix => format!("{}.{:06}", us / 1_000_000, p.micros),
            Self::ShortFull | Self::WithUnit => time::show(us),
            _ => time::short(us),
        };
        let mut who = entry.text("SYSLOG_IDENTIFIER").into_owned();
        if self == Self::WithUnit && entry.has("_SYSTEMD_UNIT") {
            who = entry.text("_SYSTEMD_UNIT").into_owned();
        }
        if who.is_empty() {
            who = if entry.has("_COMM") { entry.text("_COMM").into_owned() } else { "unknown".to_owned() };
        }
        let pid = if entry.has("_PID") { entry.text("_PID") } else { entry.text("SYSLOG_PID") };
        let pid = if pid.is_empty() { String::new() } else { format!("[{pid}]") };
        let host = if how.no_hostname { String::new() } else { format!(" {}", entry.text("_HOSTNAME")) };
        let head = format!("{when}{host} {who}{pid}: ");
        let mut message = entry.bytes("MESSAGE");
        if !how.all {
            message = plain(&message).into();
            if !is_printable(&message) {
                return format!("{head}[{}B blob data]\n", message.len()).into_bytes();
            }
        }
        // Further lines of a message stand below the first.
        let indent = [b"\n".as_slice(), &vec![b' '; head.chars().count()]].concat();
        let lines: Vec<&[u8]> = message.split(|b| *b == b'\n').collect();
        [head.as_bytes(), &lines.join(&indent[..]), b"\n"].concat()
    }
}

/// A message without colours, and with blanks for tabs: real `journalctl` shows it so (`strip_tab_ansi`).
fn plain(message: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(message.len());
    let mut rest = message;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let colour = rest.strip_prefix(b"[").filter(|_| byte == b'\x1b').and_then(|codes| {
            let end = codes.iter().position(|code| !code.is_ascii_digit() && *code != b';')?;
            codes[end..].strip_prefix(b"m")
        });
        match colour {
            Some(after) => rest = after,
            None if byte == b'\t' => plain.extend([b' '; 8]),
            None => plain.push(byte),
        }
    }
    plain
}

/// Whether a terminal can be given this.
fn is_printable(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')))
}

/// A value as JSON: bytes where it cannot be printed.
fn json(entry: &Entry, key: &str, how: &How) -> Value {
    let bytes = entry.bytes(key);
    match std::str::from_utf8(&bytes) {
        _ if key == "__CURSOR" => cursor::of(entry).into(),
        Ok(text) if how.all || is_printable(&bytes) => text.into(),
        _ => bytes.iter().map(|byte| Value::from(*byte)).collect::<Vec<_>>().into(),
    }
}

fn object(entry: &Entry, how: &How) -> Value {
    let keys = chosen(entry, &how.fields);
    Value::Object(
        keys.into_iter()
            .map(|(key, _)| {
                let value = json(entry, &key, how);
                (key, value)
            })
            .collect(),
    )
}

/// The fields to print: all, or those chosen and the ones that stand for the entry itself.
fn chosen(entry: &Entry, fields: &[&str]) -> Map<String, Value> {
    let mut all = entry.fields.clone();
    all.insert("__CURSOR".to_owned(), cursor::of(entry).into());
    all.retain(|key, _| {
        fields.is_empty() || key.starts_with("__") || key == "_BOOT_ID" || fields.contains(&key.as_str())
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let text = r#"{"__REALTIME_TIMESTAMP":"1795467900123456","__MONOTONIC_TIMESTAMP":"1500000","_HOSTNAME":"machine","_BOOT_ID":"b","_PID":"7","SYSLOG_IDENTIFIER":"ioc","MESSAGE":"one\ntwo"}"#;
        Entry::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn formats() {
        let text = |f: &str| String::from_utf8(Format::parse(f).unwrap().render(&entry(), &How::default())).unwrap();
        let at = time::short(1_795_467_900_123_456);
        assert_eq!(text("short"), format!("{at} machine ioc[7]: one\n                                two\n"));
        assert_eq!(text("cat"), "one\ntwo\n");
        assert!(text("short-precise").starts_with(&format!("{at}.123456 machine ")));
        assert!(text("short-iso").contains('T') && text("short-iso").contains(" machine ioc[7]: "));
        assert!(text("short-monotonic").starts_with("[    1.500000] machine "));
        let json: Value = serde_json::from_str(&text("json")).unwrap();
        assert_eq!(json["MESSAGE"], "one\ntwo");
        assert!(text("json-pretty").contains("\n\t\"_HOSTNAME\" : \"machine\",\n"));
        assert!(text("json-sse").starts_with("data: {") && text("json-seq").starts_with("\x1e{"));
        let short = Format::Short.render(&entry(), &How { no_hostname: true, ..How::default() });
        assert!(short.starts_with(format!("{at} ioc[7]: one").as_bytes()));
        assert!(Format::parse("fancy").is_err());
    }

    #[test]
    fn bytes_that_are_no_text() {
        let entry = Entry::parse(br#"{"__REALTIME_TIMESTAMP":"0","MESSAGE":[255,97]}"#).unwrap();
        assert_eq!(Format::Cat.render(&entry, &How::default()), b"\xffa\n");
        assert!(
            String::from_utf8(Format::Short.render(&entry, &How::default())).unwrap().ends_with("[2B blob data]\n")
        );
        // An IOC paints its prompt and its errors; only colours go.
        let coloured = br#"{"__REALTIME_TIMESTAMP":"0","MESSAGE":"\u001b[32;1mepics>\u001b[0m\tdbl"}"#;
        let short = |text: &[u8], how: &How| {
            String::from_utf8(Format::Short.render(&Entry::parse(text).unwrap(), how)).unwrap()
        };
        assert!(short(coloured, &How::default()).ends_with(": epics>        dbl\n"));
        assert!(short(coloured, &How { all: true, ..How::default() }).contains("\u{1b}[0m\tdbl"));
        let moves = br#"{"__REALTIME_TIMESTAMP":"0","MESSAGE":"\u001b[2Ka"}"#;
        assert!(short(moves, &How::default()).ends_with("[5B blob data]\n"));
        let entry = Entry::parse(br#"{"__REALTIME_TIMESTAMP":"0","MESSAGE":"a\u0001"}"#).unwrap();
        let json = |how: &How| String::from_utf8(Format::Json.render(&entry, how)).unwrap();
        assert!(json(&How::default()).contains(r#""MESSAGE":[97,1]"#));
        assert!(json(&How { all: true, ..How::default() }).contains(r#""MESSAGE":"a\u0001""#));
    }
}
