//! Values of directives: times, booleans, signals, exit statuses.

use unix::sys::signal::Signal;

/// No limit, as a time in µs.
pub const INFINITY: u64 = u64::MAX;

/// `yes`, `1`, `true`, `on` and their opposites.
pub fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(format!("`{value}` is neither yes nor no")),
    }
}

/// A time span in µs: `5`, `1.5s`, `1min 20s`, `infinity`. A bare number is seconds.
pub fn timespan(value: &str) -> Result<u64, String> {
    let bad = || format!("`{value}` is no time span (examples: `5s`, `1min 20s`, `infinity`)");
    let text = value.trim();
    if text == "infinity" {
        return Ok(INFINITY);
    }
    let mut total = 0.0_f64;
    let mut rest = text;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let factor = match &rest[..letters] {
            "us" | "usec" | "µs" | "μs" => 1e-6,
            "ms" | "msec" => 1e-3,
            "" | "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86400.0,
            "w" | "week" | "weeks" => 604_800.0,
            "M" | "month" | "months" => 2_629_800.0,
            "y" | "year" | "years" => 31_557_600.0,
            _ => return Err(bad()),
        };
        total += number * factor;
        any = true;
        rest = rest[letters..].trim_start();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just here")]
    if any && total < 1e12 { Ok((total * 1e6).round() as u64) } else { Err(bad()) }
}

/// A time span as `systemctl show` prints it: `1min 30s`, `100ms`, `2.500000s`, `infinity`.
pub fn show_timespan(us: u64) -> String {
    show_timespan_to(us, 1)
}

/// A time span, with what is below `accuracy` µs left out.
pub fn show_timespan_to(us: u64, accuracy: u64) -> String {
    if us == INFINITY {
        return "infinity".into();
    }
    if us == 0 {
        return "0".into();
    }
    let units = [
        (31_557_600_000_000, "y"),
        (2_629_800_000_000, "month"),
        (604_800_000_000, "w"),
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "min"),
        (1_000_000, "s"),
        (1_000, "ms"),
        (1, "us"),
    ];
    let mut left = us;
    let mut parts = Vec::new();
    for (size, name) in units {
        if left < accuracy && !parts.is_empty() {
            break;
        }
        if left < size {
            continue;
        }
        let (whole, rest) = (left / size, left % size);
        // Below a minute, the rest is a decimal fraction.
        if size > 1 && left < 60_000_000 && rest >= accuracy.min(size) && rest > 0 {
            let digits = (size / accuracy).ilog10() as usize;
            parts.push(format!("{whole}.{:0digits$}{name}", rest / accuracy));
            break;
        }
        parts.push(format!("{whole}{name}"));
        left = rest;
    }
    parts.join(" ")
}

/// A signal: `TERM`, `SIGTERM`, `15`.
pub fn signal(value: &str) -> Result<i32, String> {
    if let Ok(number) = value.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(format!("no signal {number}")) };
    }
    let name = value.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    if let Some(offset) =
        name.strip_prefix("SIGRTMIN").and_then(|o| if o.is_empty() { Some(0) } else { o.parse::<i32>().ok() })
    {
        return Ok(34 + offset);
    }
    name.parse::<Signal>().map(|s| s as i32).map_err(|_| format!("no signal `{value}`"))
}

/// Name of a signal without `SIG`.
pub fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| number.to_string(), |s| s.as_str()[3..].to_owned())
}

const STATUSES: &[(i32, &str)] = &[
    (0, "SUCCESS"),
    (1, "FAILURE"),
    (2, "INVALIDARGUMENT"),
    (3, "NOTIMPLEMENTED"),
    (4, "NOPERMISSION"),
    (5, "NOTINSTALLED"),
    (6, "NOTCONFIGURED"),
    (7, "NOTRUNNING"),
    (64, "USAGE"),
    (65, "DATAERR"),
    (66, "NOINPUT"),
    (67, "NOUSER"),
    (68, "NOHOST"),
    (69, "UNAVAILABLE"),
    (70, "SOFTWARE"),
    (71, "OSERR"),
    (72, "OSFILE"),
    (73, "CANTCREAT"),
    (74, "IOERR"),
    (75, "TEMPFAIL"),
    (76, "PROTOCOL"),
    (77, "NOPERM"),
    (78, "CONFIG"),
    (200, "CHDIR"),
    (201, "NICE"),
    (202, "FDS"),
    (203, "EXEC"),
    (204, "MEMORY"),
    (205, "LIMITS"),
    (206, "OOM_ADJUST"),
    (207, "SIGNAL_MASK"),
    (208, "STDIN"),
    (209, "STDOUT"),
    (210, "CHROOT"),
    (211, "IOPRIO"),
    (214, "SETSCHEDULER"),
    (216, "GROUP"),
    (217, "USER"),
    (218, "CAPABILITIES"),
    (219, "CGROUP"),
    (222, "STDERR"),
    (226, "NAMESPACE"),
    (233, "RUNTIME_DIRECTORY"),
    (238, "STATE_DIRECTORY"),
    (239, "CACHE_DIRECTORY"),
    (240, "LOGS_DIRECTORY"),
    (241, "CONFIGURATION_DIRECTORY"),
    (242, "NUMA_POLICY"),
    (243, "CREDENTIALS"),
    (255, "EXCEPTION"),
];

/// Name of an exit status as systemd writes it: `3` is `NOTIMPLEMENTED`, an unknown one `n/a`.
pub fn status_name(status: i32) -> &'static str {
    STATUSES.iter().find(|(number, _)| *number == status).map_or("n/a", |(_, name)| name)
}

/// `/NAME` as `systemctl status` adds it to an exit status: only the C library's and systemd's own have one there.
pub fn status_suffix(status: i32) -> String {
    match status_name(status) {
        name if matches!(status, 0 | 1 | 200..) && name != "n/a" => format!("/{name}"),
        _ => String::new(),
    }
}

/// What `SuccessExitStatus=` and its like list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusSet {
    /// Exit statuses.
    pub codes: Vec<i32>,
    /// Signals.
    pub signals: Vec<i32>,
}

impl StatusSet {
    /// Adds the words of a value.
    pub fn add(&mut self, value: &str) -> Result<(), String> {
        for word in value.split_whitespace() {
            if let Ok(number) = word.parse::<u8>() {
                self.codes.push(number.into());
            } else if let Some((number, _)) = STATUSES.iter().find(|(_, name)| *name == word) {
                self.codes.push(*number);
            } else {
                self.signals
                    .push(signal(word).map_err(|_| format!("`{word}` is neither an exit status nor a signal"))?);
            }
        }
        Ok(())
    }
}

/// A word in double quotes where a shell would need them.
pub fn quoted(text: &str) -> String {
    if text.contains(|c: char| c.is_whitespace() || "\"\\`$*?['()<>|&;!".contains(c)) {
        let escaped = |c: char| if "\"\\`$".contains(c) { vec!['\\', c] } else { vec![c] };
        format!("\"{}\"", text.chars().flat_map(escaped).collect::<String>())
    } else {
        text.to_owned()
    }
}

/// Bytes: `512M`, `1G`, `infinity`.
pub fn size(value: &str) -> Result<u64, String> {
    let text = value.trim();
    let (digits, factor) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(digits) => (digits, 1_u64 << (10 * (1 + "KMGT".find(&text[digits.len()..]).unwrap_or(0)))),
        None => (text, 1),
    };
    match digits {
        "infinity" => Ok(u64::MAX),
        _ => digits
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .ok_or_else(|| format!("`{value}` is no size")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn time_spans() {
        assert_eq!(timespan("5"), Ok(5_000_000));
        assert_eq!(timespan("1min 20s"), Ok(80_000_000));
        assert_eq!(timespan("1.5s"), Ok(1_500_000));
        assert_eq!(timespan("100ms"), Ok(100_000));
        assert_eq!(timespan("infinity"), Ok(INFINITY));
        assert!(timespan("5 parsecs").is_err() && timespan("").is_err());
        assert_eq!(show_timespan(90_000_000), "1min 30s");
        assert_eq!((show_timespan(2_500_000), show_timespan(1_500)), ("2.500000s".into(), "1.500ms".into()));
        assert_eq!(
            (show_timespan_to(2_502_700, 1000), show_timespan_to(61_000_200, 1000)),
            ("2.502s".into(), "1min 1s".into())
        );
        assert_eq!(show_timespan_to(3_900, 1000), "3ms");
    }

    #[test]
    fn sizes_may_have_blanks_around() {
        assert_eq!([size(" 512M "), size("1K"), size(" 7")], [Ok(512 << 20), Ok(1024), Ok(7)]);
        assert!(size(" ߀G").is_err());
    }

    #[test]
    fn signals_and_statuses() {
        assert_eq!(signal("SIGHUP"), Ok(1));
        assert_eq!(signal("term"), Ok(15));
        assert_eq!(signal_name(9), "KILL");
        let mut set = StatusSet::default();
        set.add("143 SIGKILL NOTRUNNING").unwrap();
        assert_eq!((set.codes, set.signals), (vec![143, 7], vec![9]));
    }

    proptest! {
        #[test]
        fn a_shown_time_span_is_read_back(us in 0_u64..1_000_000_000_000) {
            prop_assert_eq!(timespan(&show_timespan(us)), Ok(us));
        }

        #[test]
        fn values_never_panic(text in "\\PC{0,12}") {
            let _ = (timespan(&text), signal(&text), size(&text), boolean(&text), StatusSet::default().add(&text));
        }
    }
}
