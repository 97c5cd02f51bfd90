//! What is said of checks that take long: a heartbeat for logs without live lines, and a word on who is slow or silent.

use std::time::{Duration, Instant};

use super::live::counted;
use super::state::{Running, State};
use super::text::{clean, span};
use crate::ui::{DIM, STRONG, WARN, paint};

/// Time without a line of ours, after which a log without live lines gets one.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Checks that a heartbeat names.
const NAMED: usize = 8;
/// Columns of a line of a log.
const LINE: usize = 160;

/// What is to be said of checks that are slow or silent. Each is said at one minute, then after twice the time, and so on;
/// what comes at the same time is said in one. Where live lines show who is slow, only silence is worth a word.
pub fn slow_or_silent(state: &mut State, now: Instant, live: bool) -> String {
    state.running.values_mut().filter_map(|running| notice(running, now, live)).collect()
}

fn notice(running: &mut Running, now: Instant, live: bool) -> Option<String> {
    let time = now.saturating_duration_since(running.begin);
    let silence = now.saturating_duration_since(running.heard);
    let (slow, silent) = (time >= running.slow, silence >= running.quiet);
    while running.slow <= time {
        running.slow *= 2;
    }
    if !(silent || slow && !live) {
        return None;
    }
    let place = place(running);
    let label = clean(&running.label, LINE);
    let mut text = format!("{} {label}  still running after {}{place}", paint(WARN, "SLOW"), span(time));
    if silent {
        while running.quiet <= silence {
            running.quiet *= 2;
        }
        text += &format!("; it has said nothing for {}", span(silence));
        text += if running.tail.is_empty() { " and has no log yet\n" } else { ", its last lines are:\n" };
        for line in &running.tail {
            text += &format!("    {}\n", paint(DIM, &clean(line, LINE)));
        }
    } else {
        text.push('\n');
    }
    Some(text)
}

/// Names what still runs, if nothing was said for half a minute.
pub fn heartbeat(state: &State, now: Instant, last_word: Instant) -> String {
    if now.saturating_duration_since(last_word) < HEARTBEAT {
        return String::new();
    }
    let counts: Vec<String> = counted(state).iter().map(|(style, text)| paint(*style, text)).collect();
    let time = span(now.saturating_duration_since(state.begin));
    let mut text = format!("{}  {}\n", paint(DIM, &format!("after {time}:")), counts.join(", "));
    for running in state.running.values().take(NAMED) {
        let time = span(now.saturating_duration_since(running.begin));
        let label = clean(&running.label, LINE);
        text += &format!("  … {}  {}{}\n", paint(STRONG, &label), paint(DIM, &time), place(running));
    }
    if state.running.len() > NAMED {
        text += &format!("  … and {} more\n", state.running.len() - NAMED);
    }
    text
}

fn place(running: &Running) -> String {
    running.current().map_or_else(String::new, |name| format!(", in subtest \"{}\"", clean(name, LINE)))
}
