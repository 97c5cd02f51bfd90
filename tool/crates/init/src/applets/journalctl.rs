//! `journalctl`: reads the machine's journal.

mod cursor;
mod entry;
mod filter;
mod format;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use entry::Entry;
use filter::Filter;
pub(super) use format::{Format, How};

use super::{Options, options, print};

/// The journal of the machine.
use crate::paths::JOURNAL;

const FLAGS: &str = "\
    --no-pager -a --all -f --follow -q --quiet -r --reverse -x --catalog -e --pager-end -k --dmesg --no-hostname \
    --no-full -l --full --utc --list-boots -m --merge --system --sync --flush --rotate --no-tail --version --help -h \
    --disk-usage --show-cursor -N --fields";
const VALUED: &str = "\
    -u --unit -t --identifier -p --priority -o --output -S --since -U --until -g --grep -F --field --facility \
    --output-fields -c --cursor --after-cursor --user-unit --cursor-file --vacuum-time --vacuum-size --vacuum-files -D \
    --directory --file --root";
const OPTIONAL: &str = "-b --boot -n --lines --case-sensitive";

/// A priority by number or name.
pub(super) fn priority(text: &str) -> Result<u8, String> {
    let names = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let by_name =
        names.iter().position(|n| *n == text).or((text == "error").then_some(3)).or((text == "warn").then_some(4));
    let number = by_name.or_else(|| text.parse().ok().filter(|n| *n < 8));
    number.and_then(|n| u8::try_from(n).ok()).ok_or_else(|| format!("Unknown log level {text}"))
}

/// The last lines of a unit since the machine started, as `systemctl status` shows them.
pub(super) fn tail(unit: &str, lines: usize, format: Format) -> Vec<u8> {
    let entries = read_all().unwrap_or_default();
    let boot = entries.last().map(|e| e.text("_BOOT_ID").into_owned());
    let fits = |e: &&Entry| filter::is_of_unit(e, unit) && boot.as_deref() == Some(&e.text("_BOOT_ID"));
    let mut found: Vec<&Entry> = entries.iter().filter(fits).collect();
    let from = found.len().saturating_sub(lines);
    found.drain(from..).flat_map(|e| format.render(e, &How::default())).collect()
}

/// All entries. Users other than root may not read them.
fn read_all() -> Result<Vec<Entry>, String> {
    let file = match File::open(JOURNAL) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err("No journal files were opened due to insufficient permissions.".to_owned());
        }
        Err(_) => return Ok(Vec::new()),
    };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    Ok(lines.filter_map(|line| Entry::parse(&line)).collect())
}

/// Runs `journalctl`.
pub(super) fn run(program: &str, args: &[String]) -> Result<u8, String> {
    if args.iter().any(|a| a == "--user" || a == "--user-unit" || a.starts_with("--user-unit=")) {
        return Err("journalctl: journals of users are not offered by the sandbox".to_owned());
    }
    let given = options(program, args, FLAGS, VALUED, OPTIONAL)?;
    for (option, what) in [("-D", "directory"), ("--directory", "directory"), ("--file", "files"), ("--root", "root")] {
        if let Some(path) = given.last(&[option]) {
            let what = if what == "files" { "files" } else { path };
            std::fs::metadata(path).map_err(|_| format!("Failed to open {what}: No such file or directory"))?;
            return Err(format!("journalctl: option '{option}' is not offered by the sandbox"));
        }
    }
    if given.has(&["--help", "-h"]) {
        print(b"journalctl [OPTIONS...] [MATCHES...]\n\nA part of systemd's program, as the sandbox of cargo xtask offers it.\n");
        return Ok(0);
    }
    if given.has(&["--version"]) {
        print(b"systemd 252 (xtask sandbox)\n");
        return Ok(0);
    }
    if given.has(&["--sync", "--flush", "--rotate"]) {
        return Ok(0);
    }
    if given.has(&["--disk-usage"]) {
        let kib = std::fs::metadata(JOURNAL).map_or(0, |m| m.len()).div_ceil(1024);
        print(format!("Archived and active journals take up {kib}.0K in the file system.\n").as_bytes());
        return Ok(0);
    }
    if given.has(&["--vacuum-time", "--vacuum-size", "--vacuum-files"]) {
        super::say("Vacuuming done, freed 0B of archived journals from /var/log/journal.");
        return Ok(0);
    }
    let entries = read_all()?;
    if given.has(&["-N", "--fields"]) {
        return Ok(list_names(&entries));
    }
    if given.has(&["--list-boots"]) {
        return Ok(list_boots(&entries, &given));
    }
    let format = Format::parse(given.last(&["-o", "--output"]).unwrap_or("short"))?;
    let filter = Filter::new(&given, &entries, super::now())?;
    if let Some(field) = given.last(&["-F", "--field"]) {
        return Ok(list_field(field, &entries));
    }
    show(cursor::seek(&entries, &given)?, &filter, format, &given)
}

fn show(entries: &[Entry], filter: &Filter, format: Format, given: &Options) -> Result<u8, String> {
    let follow = given.has(&["-f", "--follow"]);
    let mut found: Vec<&Entry> = entries.iter().filter(|e| filter.takes(e)).collect();
    let limit = match given.last(&["-n", "--lines"]) {
        Some("all") => None,
        Some("") => Some(10),
        Some(number) => Some(number.parse::<usize>().map_err(|_| format!("Failed to parse lines '{number}'"))?),
        None if follow && !given.has(&["--no-tail"]) => Some(10),
        None => None,
    };
    if let Some(limit) = limit {
        found = found.split_off(found.len().saturating_sub(limit));
    }
    if given.has(&["-r", "--reverse"]) {
        found.reverse();
    }
    let how = How {
        fields: given.all(&["--output-fields"]).iter().flat_map(|f| f.split(',')).collect(),
        all: given.has(&["-a", "--all"]),
        no_hostname: given.has(&["--no-hostname"]),
    };
    let mut boot: Option<String> = None;
    for entry in &found {
        let id = entry.text("_BOOT_ID").into_owned();
        let mut bytes = Vec::new();
        if format.shows_boots() && boot.as_ref().is_some_and(|b| *b != id) && !given.has(&["-q", "--quiet"]) {
            bytes.extend_from_slice(format!("-- Boot {id} --\n").as_bytes());
        }
        boot = Some(id);
        bytes.extend(format.render(entry, &how));
        if !print(&bytes) {
            return Ok(0);
        }
    }
    print(cursor::keep(found.last().copied(), given)?.as_bytes());
    if follow {
        return self::follow(filter, format, &how);
    }
    if found.is_empty() {
        if !given.has(&["-q", "--quiet"]) && format.shows_boots() {
            print(b"-- No entries --\n");
        }
        // As the real program: nothing found by -g is a failure.
        return Ok(u8::from(given.has(&["-g", "--grep"])));
    }
    Ok(0)
}

/// Prints entries as they come, until nobody reads them: which is status 1, as SIGPIPE is ignored on a test machine.
fn follow(filter: &Filter, format: Format, how: &How) -> Result<u8, String> {
    let file = File::open(JOURNAL).map_err(|e| format!("Failed to open the journal: {e}"))?;
    let mut reader = BufReader::new(file);
    let mut seen =
        std::io::Seek::seek(&mut reader, std::io::SeekFrom::End(0)).map(|_| Vec::new()).map_err(|e| e.to_string())?;
    loop {
        let count = reader.read_until(b'\n', &mut seen).map_err(|e| e.to_string())?;
        if count == 0 || !seen.ends_with(b"\n") {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        if let Some(entry) = Entry::parse(&seen).filter(|e| filter.takes(e))
            && !print(&format.render(&entry, how))
        {
            return Ok(1);
        }
        seen.clear();
    }
}

fn list_boots(entries: &[Entry], given: &Options) -> u8 {
    let boots = entry::boots(entries);
    let last = boots.len();
    let mut text = String::new();
    if !given.has(&["-q", "--quiet"]) {
        text.push_str("IDX BOOT ID                          FIRST ENTRY                 LAST ENTRY\n");
    }
    for (index, boot) in boots.iter().enumerate() {
        let of: Vec<&Entry> = entries.iter().filter(|e| e.text("_BOOT_ID") == *boot).collect();
        let moment = |e: Option<&&Entry>| e.map(|e| super::time::show(e.realtime())).unwrap_or_default();
        let offset = i64::try_from(index + 1).unwrap_or(0) - i64::try_from(last).unwrap_or(0);
        let _ = writeln!(text, "{offset:>3} {boot} {} {}", moment(of.first()), moment(of.last()));
    }
    print(text.as_bytes());
    0
}

/// All values that a field has, whatever else is asked for.
fn list_field(field: &str, entries: &[Entry]) -> u8 {
    let mut values: Vec<String> = entries.iter().filter(|e| e.has(field)).map(|e| e.text(field).into_owned()).collect();
    values.sort();
    values.dedup();
    values.push(String::new());
    print(values.join("\n").as_bytes());
    0
}

fn list_names(entries: &[Entry]) -> u8 {
    let names: std::collections::BTreeSet<&String> =
        entries.iter().flat_map(|e| e.fields.keys()).filter(|k| !k.starts_with("__")).collect();
    print(names.into_iter().map(|name| format!("{name}\n")).collect::<String>().as_bytes());
    0
}
