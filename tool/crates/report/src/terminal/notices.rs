//! What is said of checks that take long: a heartbeat for logs without live lines, and a word on who is slow or silent.

use std::time::{Duration, Instant};

use super::live::counted;
use super::state::{Running, SLOW, State};
use super::text::{clean, span};
use tool_base::ui::{DIM, STRONG, WARN, cut, paint, wrap};

/// Time without a line of ours, after which a log without live lines gets one.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Who is called slow now and would be called silent this soon is called both.
const SOON: Duration = Duration::from_secs(30);
/// Checks that a heartbeat names.
const NAMED: usize = 8;
/// Columns of a line of a log.
const LINE: usize = 160;

/// What is to be said of checks that are slow or silent. Each is said at one minute, then after twice the time, and so on;
/// what comes at about the same time is said in one. Where live lines show who is slow, only silence is worth a word.
pub fn slow_or_silent(state: &mut State, now: Instant, live: bool, width: Option<usize>) -> String {
    state.running.values_mut().filter_map(|running| notice(running, now, live, width)).collect()
}

fn notice(running: &mut Running, now: Instant, live: bool, width: Option<usize>) -> Option<String> {
    let time = now.saturating_duration_since(running.begin);
    let silence = now.saturating_duration_since(running.heard);
    let slow = time >= running.slow && !live;
    let silent = silence >= running.quiet || slow && silence + SOON >= running.quiet;
    while running.slow <= time {
        running.slow *= 2;
    }
    if !slow && !silent {
        return None;
    }
    let mut head =
        format!("{} {}: still running after {}", paint(WARN, "SLOW"), clean(&running.label, LINE), span(time));
    head += &place(running);
    let mut tail = String::new();
    if silent {
        head += &format!("; it has said nothing for {}", span(silence));
        // Its last lines are shown once.
        if running.quiet == SLOW && !running.tail.is_empty() {
            head += ", its last lines are:";
            let room = width.map_or(LINE, |width| width.saturating_sub(5).clamp(20, LINE));
            tail.extend(
                running.tail.iter().map(|line| format!("    {}\n", paint(DIM, &cut(&clean(line, LINE), room)))),
            );
        }
        while running.quiet <= silence + SOON {
            running.quiet *= 2;
        }
    }
    Some(format!("{}\n{tail}", wrap(&head, 5, width.unwrap_or(usize::MAX))))
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
    let subtest = running.current().map(|name| format!(", in subtest \"{}\"", clean(name, LINE)));
    subtest.unwrap_or_default() + &running.step().map_or_else(String::new, |step| format!(", {}", clean(&step, LINE)))
}
