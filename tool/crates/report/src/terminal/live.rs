//! The lines that change in place: one per running check, and the counts.

use std::time::{Duration, Instant};

use anstyle::Style;

use super::state::{Running, SLOW, State};
use super::text::{clean, clock};
use tool_base::ui;
use tool_base::ui::{BAD, DIM, GOOD, STRONG, WARN, paint};

/// Rows of a terminal that are left to what scrolls.
const LEFT: usize = 5;
/// Columns of the time.
const TIME: usize = 7;

/// The picture of a run for a terminal of so many columns and rows: no line is as wide as the terminal.
pub fn lines(state: &State, now: Instant, (columns, rows): (usize, usize)) -> Vec<String> {
    let width = columns.saturating_sub(1);
    let room = rows.saturating_sub(LEFT);
    let names = state.widest.clamp(4, (width / 2).clamp(4, 30));
    let shown = if state.running.len() <= room { room } else { room.saturating_sub(1) };
    let mut lines: Vec<String> =
        state.running.values().take(shown).map(|running| row(running, now, names, width)).collect();
    if shown > 0 && state.running.len() > shown {
        let more = format!("{:TIME$}  and {} more", "", state.running.len() - shown);
        lines.push(fit(&[(DIM, &more)], width));
    }
    lines.push(counts(state, now, width));
    lines
}

fn row(running: &Running, now: Instant, names: usize, width: usize) -> String {
    let time = now.saturating_duration_since(running.begin);
    let style = if time < SLOW { DIM } else { WARN };
    let label = clean(&running.label, width);
    let gap = " ".repeat(names.saturating_sub(ui::columns(&label)) + 2);
    let mut parts = [running.current().map(str::to_owned), running.step()];
    let join = |parts: &[Option<String>]| {
        parts.iter().flatten().map(|name| clean(name, width)).collect::<Vec<_>>().join(" · ")
    };
    let room = width.saturating_sub(TIME + 2 + names + 2);
    // Where not all fits, the command says more than the subtest around it, and than the driver's words before it.
    if let [_, Some(step)] = &parts
        && ui::columns(&join(&parts)) > room
        && let Some((_, command)) = step.split_once(": ")
    {
        parts = [None, Some(command.to_owned())];
    }
    let subtest = join(&parts);
    fit(&[(style, &in_column(time)), (STRONG, &label), (Style::new(), &gap), (DIM, &subtest)], width)
}

/// Time since the begin, and how many run, wait, have passed and have failed.
fn counts(state: &State, now: Instant, width: usize) -> String {
    let time = in_column(now.saturating_duration_since(state.begin));
    let parts = counted(state);
    let mut pieces = vec![(DIM, time.as_str())];
    for (number, (style, text)) in parts.iter().enumerate() {
        if number > 0 {
            pieces.push((Style::new(), ", "));
        }
        pieces.push((*style, text));
    }
    fit(&pieces, width)
}

/// The counts that are not nothing.
pub fn counted(state: &State) -> Vec<(Style, String)> {
    let plain = Style::new();
    let waiting = state.waiting().unwrap_or(0);
    let waits = if state.started == 0 { state.waits_for } else { "" };
    let stopping = match state.interrupted {
        0 => "running",
        1 => "cleaning up",
        _ => "being killed",
    };
    let running = if state.interrupted > 0 { WARN } else { plain };
    [
        (state.running.len(), running, stopping.to_owned()),
        (waiting, plain, format!("waiting{waits}")),
        (state.passed, GOOD, "passed".to_owned()),
        (state.failed, BAD, "failed".to_owned()),
        (state.flaky, WARN, "flaky".to_owned()),
    ]
    .into_iter()
    .filter(|(number, ..)| *number > 0)
    .map(|(number, style, word)| (style, format!("{number} {word}")))
    .collect()
}

fn in_column(time: Duration) -> String {
    format!("{:>TIME$}  ", clock(time))
}

/// Pieces of a line, painted, as many as the width has room for.
fn fit(pieces: &[(Style, &str)], width: usize) -> String {
    let mut line = String::new();
    let mut room = width;
    for (style, text) in pieces {
        let piece = ui::cut(text, room);
        let cut = piece != *text;
        room -= ui::columns(&piece);
        line += &if piece.trim().is_empty() { piece } else { paint(*style, &piece) };
        if cut || room == 0 {
            break;
        }
    }
    line
}
