//! The civil calendar: days, and moments as names of files have them.

use std::time::{Duration, SystemTime};

/// Days since 1970-01-01 as year, month, day.
pub fn civil(days: i64) -> (i64, u32, u32) {
    // Counted from 0000-03-01, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = u32::try_from(day_of_year - (153 * month + 2) / 5 + 1).unwrap_or(1);
    let month = u32::try_from(if month < 10 { month + 3 } else { month - 9 }).unwrap_or(1);
    (year + era * 400 + i64::from(month <= 2), month, day_of_month)
}

/// Days since 1970-01-01; the inverse of [`civil`].
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// Year, month, day, hour, minute, second.
fn parts(seconds: u64) -> (i64, u32, u32, u64, u64, u64) {
    let (year, month, day) = civil(i64::try_from(seconds / 86_400).unwrap_or(0));
    (year, month, day, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// `20261123T213305Z`: sorts by time.
pub fn stamp(time: SystemTime) -> String {
    let (year, month, day, h, m, s) = parts(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()));
    format!("{year:04}{month:02}{day:02}T{h:02}{m:02}{s:02}Z")
}

/// `2026-11-23T21:33:05Z`, of seconds since 1970; what is no time is 1970.
pub fn iso(seconds: f64) -> String {
    let (year, month, day, h, m, s) = parts(Duration::try_from_secs_f64(seconds).map_or(0, |after| after.as_secs()));
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        let at = |seconds| stamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(1_795_469_585), "20261123T213305Z");
        assert_eq!(at(4_107_542_400), "21000301T000000Z");
        assert_eq!(iso(1_795_469_585.7), "2026-11-23T21:33:05Z");
        assert_eq!(iso(253_402_300_800.0), "10000-01-01T00:00:00Z");
        assert_eq!([iso(-1.0), iso(f64::NAN)], ["1970-01-01T00:00:00Z"; 2]);
    }

    #[test]
    fn days_come_back() {
        for number in (-1_000_000..1_000_000).step_by(97) {
            let (year, month, day) = civil(number);
            assert_eq!(days(year, month.into(), day.into()), number);
        }
    }
}
