//! Moments as systemd's programs print and read them, in local time.

use tool_base::date::{civil, days};

use crate::start;

/// A moment in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Parts {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub weekday: &'static str,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
    pub micros: u64,
}

/// Seconds that local time is ahead of UTC, and the zone's name.
fn zone(us: u64) -> (i64, String) {
    start::utc_offset(i64::try_from(us / 1_000_000).unwrap_or(0))
}

fn shift(us: u64, seconds: i64) -> u64 {
    us.saturating_add_signed(seconds.saturating_mul(1_000_000))
}

/// Takes µs since 1970 apart, in local time.
pub fn parts(us: u64) -> Parts {
    utc_parts(shift(us, zone(us).0))
}

/// The offset as ISO 8601 writes it: `+0000`.
pub fn offset(us: u64) -> String {
    let seconds = zone(us).0;
    let sign = if seconds < 0 { '-' } else { '+' };
    format!("{sign}{:02}{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
}

fn utc_parts(us: u64) -> Parts {
    let seconds = us / 1_000_000;
    let day_number = i64::try_from(seconds / 86_400).unwrap_or(0);
    let (year, month, day) = civil(day_number);
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let weekday = names[usize::try_from(day_number.rem_euclid(7)).unwrap_or(0)];
    let of_day = seconds % 86_400;
    Parts {
        year,
        month,
        day,
        weekday,
        hour: of_day / 3600,
        minute: of_day / 60 % 60,
        second: of_day % 60,
        micros: us % 1_000_000,
    }
}

/// `Mon 2026-11-23 21:05:00 UTC`, the zone as the machine has it.
pub fn show(us: u64) -> String {
    let p = parts(us);
    format!(
        "{} {:04}-{:02}-{:02} {:02}:{:02}:{:02} {}",
        p.weekday,
        p.year,
        p.month,
        p.day,
        p.hour,
        p.minute,
        p.second,
        zone(us).1
    )
}

/// `Mon 2026-11-23 21:05:00.123456 UTC`.
pub fn precise(us: u64) -> String {
    let text = show(us);
    let (moment, zone) = text.rsplit_once(' ').unwrap_or((&text, ""));
    format!("{moment}.{:06} {zone}", us % 1_000_000)
}

/// `Nov 23 21:05:00`, as in front of lines of the journal.
pub fn short(us: u64) -> String {
    let p = parts(us);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[(p.month as usize).clamp(1, 12) - 1];
    format!("{month} {:02} {:02}:{:02}:{:02}", p.day, p.hour, p.minute, p.second)
}

/// Reads a moment as `--since` takes it, µs since 1970: `-5s`, `5min ago`, `@1700000000`, `today`, `2026-11-23 21:05`.
pub fn read(text: &str, now: u64) -> Result<u64, String> {
    let (ahead, name) = zone(now);
    let text = text.trim();
    if let Some(text) = text.strip_suffix(" UTC") {
        return read_utc(text, now);
    }
    if let Some(text) = text.strip_suffix(&format!(" {name}")) {
        return read_utc(text, shift(now, ahead)).map(|local| shift(local, -ahead));
    }
    if is_relative(text) {
        return read_utc(text, now);
    }
    let local = read_utc(text, shift(now, ahead))?;
    // The offset at that moment counts, not the present one.
    Ok(shift(local, -zone(shift(local, -ahead)).0))
}

fn is_relative(text: &str) -> bool {
    text == "now" || text.starts_with(['@', '-', '+']) || text.ends_with(" ago")
}

fn read_utc(text: &str, now: u64) -> Result<u64, String> {
    use crate::unit::values::timespan;
    let bad = || format!("Failed to parse timestamp: {text}");
    let text = text.trim();
    let midnight = now / 86_400_000_000 * 86_400_000_000;
    match text {
        "now" => return Ok(now),
        "today" => return Ok(midnight),
        "yesterday" => return Ok(midnight.saturating_sub(86_400_000_000)),
        "tomorrow" => return Ok(midnight + 86_400_000_000),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return timespan(seconds).map_err(|_| bad());
    }
    if let Some(span) = text.strip_prefix('-') {
        return timespan(span).map(|s| now.saturating_sub(s)).map_err(|_| bad());
    }
    if let Some(span) = text.strip_prefix('+') {
        return timespan(span).map(|s| now.saturating_add(s)).map_err(|_| bad());
    }
    if let Some(span) = text.strip_suffix(" ago") {
        return timespan(span).map(|s| now.saturating_sub(s)).map_err(|_| bad());
    }
    let text = match text.split_once(' ') {
        Some((day, rest)) if day.len() == 3 && day.chars().all(char::is_alphabetic) => rest,
        _ => text,
    };
    let (date, clock) = match text.split_once([' ', 'T']) {
        Some((date, clock)) => (Some(date), clock),
        None if text.contains('-') => (Some(text), "00:00:00"),
        None => (None, text),
    };
    let mut start = midnight;
    if let Some(date) = date {
        let mut numbers = date.splitn(3, '-').map(str::parse::<i64>);
        let (Some(Ok(y)), Some(Ok(m)), Some(Ok(d))) = (numbers.next(), numbers.next(), numbers.next()) else {
            return Err(bad());
        };
        if !((1970..=9999).contains(&y) && (1..=12).contains(&m) && (1..=31).contains(&d)) {
            return Err(bad());
        }
        start = u64::try_from(days(y, m, d)).map_err(|_| bad())? * 86_400_000_000;
    }
    let pieces: Vec<&str> = clock.split(':').collect();
    let (hour, minute, second) = match pieces[..] {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(bad()),
    };
    let number = |text: &str, below: u64| text.parse::<u64>().ok().filter(|n| *n < below).ok_or_else(bad);
    let seconds = timespan(second).ok().filter(|us| *us < 61_000_000).ok_or_else(bad)?;
    Ok(start + (number(hour, 24)? * 60 + number(minute, 60)?) * 60_000_000 + seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments() {
        let us = shift(1_795_467_900_123_456, -zone(1_795_467_900_123_456).0);
        assert!(show(us).starts_with("Mon 2026-11-23 21:05:00 "));
        assert_eq!(short(us), "Nov 23 21:05:00");
        assert_eq!(read("2026-11-23 21:05", us), Ok(us - 123_456));
        assert_eq!(read("2026-11-23 21:05:00 UTC", us), Ok(1_795_467_900_000_000));
        assert_eq!(read("-5s", us), Ok(us - 5_000_000));
        assert_eq!(read("@1700000000", us), Ok(1_700_000_000_000_000));
        assert_eq!(read("today", us), read("2026-11-23", us));
        assert!(read("soon", us).is_err());
    }

    proptest! {
        #[test]
        fn a_shown_moment_is_read_back(seconds in 0_u64..4_000_000_000) {
            prop_assert_eq!(read(&show(seconds * 1_000_000), seconds * 1_000_000), Ok(seconds * 1_000_000));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            let _ = read(&text, 1_700_000_000_000_000);
        }
    }
}
