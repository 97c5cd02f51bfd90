//! Which entries `journalctl` shows.

use std::path::Path;

use regex_lite::Regex;

use super::super::{Options, time};
use super::entry::{Entry, boots};
use super::priority;
use crate::unit::values;
use tool_base::glob;

/// A choice of entries.
#[derive(Debug, Default)]
pub(super) struct Filter {
    units: Vec<String>,
    identifiers: Vec<String>,
    /// `FIELD=VALUE` groups: one group must fit, in it one value of each field.
    matches: Vec<Vec<(String, String)>>,
    boot: Option<String>,
    priorities: Option<(u8, u8)>,
    since: Option<u64>,
    until: Option<u64>,
    grep: Option<Regex>,
    facilities: Vec<u8>,
    /// Messages of the kernel: there are none.
    kernel: bool,
}

/// Whether an entry belongs to a unit: written by it, or by the manager about it.
pub(super) fn is_of_unit(entry: &Entry, unit: &str) -> bool {
    entry.text("_SYSTEMD_UNIT") == unit || (entry.text("_PID") == "1" && entry.text("UNIT") == unit)
}

fn is_of_pattern(entry: &Entry, pattern: &str) -> bool {
    glob::matches(pattern, &entry.text("_SYSTEMD_UNIT"))
        || (entry.text("_PID") == "1" && glob::matches(pattern, &entry.text("UNIT")))
}

/// Facilities by number or name.
fn facilities(values: &[&str]) -> Result<Vec<u8>, String> {
    const NAMES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "12",
        "13", "14", "15", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];
    let one = |text: &str| {
        let number = NAMES.iter().position(|name| *name == text).and_then(|n| u8::try_from(n).ok());
        let number = number.or_else(|| text.parse().ok().filter(|n| *n < 24));
        number.ok_or_else(|| format!("Bad --facility= argument \"{text}\"."))
    };
    values.iter().flat_map(|value| value.split(',')).map(one).collect()
}

impl Filter {
    /// Reads the options.
    pub(super) fn new(given: &Options, entries: &[Entry], now: u64) -> Result<Self, String> {
        let mut units = Vec::new();
        for unit in given.all(&["-u", "--unit"]) {
            units.push(crate::unit::mangle(unit).ok_or("Failed to mangle unit name: Invalid argument")?);
        }
        let moment = |names: &[&str]| given.last(names).map(|text| time::read(text, now)).transpose();
        let case = given.last(&["--case-sensitive"]).map(|v| v.is_empty() || values::boolean(v) == Ok(true));
        let grep = given.last(&["-g", "--grep"]).map(|text| pattern(text, case)).transpose()?;
        let unknown = |unit: &String| glob::is_pattern(unit) && !entries.iter().any(|e| is_of_pattern(e, unit));
        if units.iter().any(unknown) {
            return Err("Failed to add filter for units: No data available".to_owned());
        }
        let (since, until) = (moment(&["-S", "--since"])?, moment(&["-U", "--until"])?);
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err("--since= must be before --until=.".to_owned());
        }
        let kernel = given.has(&["-k", "--dmesg"]);
        let boot = given.last(&["-b", "--boot"]).or(kernel.then_some(""));
        Ok(Self {
            units,
            identifiers: given.all(&["-t", "--identifier"]).into_iter().map(String::from).collect(),
            matches: matches(&given.words)?,
            boot: boot.filter(|b| *b != "all").map(|b| find_boot(b, entries)).transpose()?,
            priorities: given.last(&["-p", "--priority"]).map(range).transpose()?,
            since,
            until,
            grep,
            facilities: facilities(&given.all(&["--facility"]))?,
            kernel,
        })
    }

    /// Whether it takes an entry.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        let by_unit = |pattern: &String| {
            if glob::is_pattern(pattern) { is_of_pattern(entry, pattern) } else { is_of_unit(entry, pattern) }
        };
        let by_field = |group: &Vec<(String, String)>| {
            group.iter().all(|(key, _)| group.iter().any(|(k, v)| k == key && entry.has(k) && entry.text(k) == *v))
        };
        let at = entry.realtime();
        (self.units.is_empty() || self.units.iter().any(by_unit))
            && (self.identifiers.is_empty() || self.identifiers.iter().any(|i| entry.text("SYSLOG_IDENTIFIER") == *i))
            && (self.matches.is_empty() || self.matches.iter().any(by_field))
            && self.boot.as_ref().is_none_or(|b| entry.text("_BOOT_ID") == *b)
            && self.priorities.is_none_or(|(low, high)| (low..=high).contains(&entry.priority()))
            && self.since.is_none_or(|s| at >= s)
            && self.until.is_none_or(|u| at <= u)
            && self.grep.as_ref().is_none_or(|g| g.is_match(&entry.text("MESSAGE")))
            && (self.facilities.is_empty()
                || self.facilities.iter().any(|f| entry.text("SYSLOG_FACILITY") == f.to_string()))
            && !(self.kernel && entry.text("_TRANSPORT") != "kernel")
    }
}

/// `FIELD=VALUE` words; `+` begins another group.
fn matches(words: &[String]) -> Result<Vec<Vec<(String, String)>>, String> {
    let mut groups = Vec::new();
    for group in words.split(|w| w == "+") {
        let mut pairs = Vec::new();
        for word in group {
            let path = Path::new(word);
            if path.is_absolute() {
                let real = path.canonicalize().map_err(|e| format!("Couldn't canonicalize path: {e}"))?;
                pairs.push(("_EXE".to_owned(), real.display().to_string()));
                continue;
            }
            let name = |k: &str| !k.is_empty() && k.chars().all(|c| matches!(c, 'A'..='Z' | '0'..='9' | '_'));
            let pair = word.split_once('=').filter(|(k, _)| name(k));
            let (key, value) = pair.ok_or_else(|| format!("Failed to add match '{word}': Invalid argument"))?;
            pairs.push((key.to_owned(), value.to_owned()));
        }
        if !pairs.is_empty() {
            groups.push(pairs);
        }
    }
    Ok(groups)
}

/// The boot that `-b` names: an id, 0 or nothing for the present one, -1 for the one before, 1 for the first.
fn find_boot(text: &str, entries: &[Entry]) -> Result<String, String> {
    let all = boots(entries);
    if text.len() == 32 && all.iter().any(|b| b == text) {
        return Ok(text.to_owned());
    }
    let text = if text.is_empty() { "0" } else { text };
    let offset: i64 = text.parse().map_err(|_| format!("Failed to parse boot descriptor '{text}'"))?;
    let count = i64::try_from(all.len()).unwrap_or(0);
    let index = if offset > 0 { offset - 1 } else { count - 1 + offset };
    let found = usize::try_from(index).ok().and_then(|i| all.get(i)).cloned();
    found.ok_or_else(|| {
        format!("Data from the specified boot ({}) is not available: No such boot ID in journal", signed(offset))
    })
}

fn signed(offset: i64) -> String {
    if offset > 0 { format!("+{offset}") } else { offset.to_string() }
}

fn range(text: &str) -> Result<(u8, u8), String> {
    match text.split_once("..") {
        Some((low, high)) => {
            let (a, b) = (priority(low)?, priority(high)?);
            Ok((a.min(b), a.max(b)))
        }
        None => Ok((0, priority(text)?)),
    }
}

/// The pattern of `-g`: without capitals it takes both cases.
fn pattern(text: &str, case_sensitive: Option<bool>) -> Result<Regex, String> {
    let exact = case_sensitive.unwrap_or_else(|| text.chars().any(char::is_uppercase));
    let any_case = if exact { "" } else { "(?i)" };
    Regex::new(&format!("{any_case}{text}")).map_err(|e| format!("Bad pattern \"{text}\": {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry::parse(text.as_bytes()).unwrap()
    }

    fn filter(args: &[&str], entries: &[Entry]) -> Result<Filter, String> {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        let given = super::super::options(
            "journalctl",
            &args,
            super::super::FLAGS,
            super::super::VALUED,
            super::super::OPTIONAL,
        );
        Filter::new(&given?, entries, 100_000_000)
    }

    #[test]
    fn choices() {
        let a = entry(
            r#"{"__REALTIME_TIMESTAMP":"90000000","_BOOT_ID":"x","_PID":"7","_SYSTEMD_UNIT":"ioc.service","MESSAGE":"Beat 1","PRIORITY":"6"}"#,
        );
        let b = entry(
            r#"{"__REALTIME_TIMESTAMP":"99000000","_BOOT_ID":"y","_PID":"1","UNIT":"ioc.service","MESSAGE":"Started","PRIORITY":"3"}"#,
        );
        let all = [a, b];
        let count = |args: &[&str]| {
            let filter = filter(args, &all).unwrap();
            all.iter().map(|e| filter.takes(e)).collect::<Vec<_>>()
        };
        assert_eq!(count(&["-u", "ioc"]), [true, true]);
        assert_eq!(count(&["-u", "io*"]), [true, true]);
        assert_eq!(count(&["-u", "other", "-b"]), [false, false]);
        assert_eq!(count(&["-b"]), [false, true]);
        assert_eq!(count(&["-b", "-1"]), [true, false]);
        assert_eq!(count(&["-b-1"]), [true, false]);
        assert_eq!(count(&["--since", "-5s"]), [false, true]);
        assert_eq!(count(&["-p", "err"]), [false, true]);
        assert_eq!(count(&["_PID=7"]), [true, false]);
        assert_eq!(count(&["_PID=7", "+", "_PID=1"]), [true, true]);
        assert_eq!(count(&["_PID=7", "_PID=1"]), [true, true]);
        assert_eq!(count(&["-g", "beat [0-9]+"]), [true, false]);
        assert_eq!(count(&["-k"]), [false, false]);
        assert!(filter(&["-b", "-7"], &all).unwrap_err().contains("No such boot ID"));
        assert!(filter(&["nonsense"], &all).is_err() && filter(&["foo=bar"], &all).is_err());
        assert!(filter(&["-u", "zz*"], &all).is_err() && filter(&["-S", "@9", "-U", "@8"], &all).is_err());
        assert_eq!(count(&["-g", "BEAT", "--case-sensitive=no"]), [true, false]);
        assert_eq!(count(&["-g", "beat", "--case-sensitive"]), [false, false]);
        assert_eq!(count(&["--facility", "daemon"]), [false, false]);
        assert!(filter(&["--facility=foo"], &all).is_err());
    }
}
