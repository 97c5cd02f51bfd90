//! What the units of a run's machines said, as a page has room for it.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use super::super::{Journal, Line, Text};
use super::LONG;
use crate::terminal;
use tool_base::left::{self, Lines, Piece};
use tool_base::protocol::journal::Entry;

/// Bytes of a machine's journal that are read.
const JOURNAL: u64 = 16 << 20;
/// Units that have a journal of their own.
const UNITS: usize = 1000;

/// What is said on machines, each unit's by itself; at most `room` bytes of all.
pub(super) fn journals(dir: &Path, start: Option<f64>, room: u64) -> Vec<Journal> {
    let mut found: BTreeMap<(String, bool, String), Kept> = BTreeMap::new();
    for machine in left::folders(dir) {
        let name = machine.to_string_lossy().into_owned();
        let Ok(pieces) = Lines::read(dir, &Path::new(&machine).join("journal.jsonl"), JOURNAL) else { continue };
        for piece in pieces {
            let line = match piece {
                Piece::Line(line) => line,
                Piece::Gap(out) => {
                    let text = format!("… {out} bytes of the journal are left out …");
                    for (_, lines) in found.iter_mut().filter(|((machine, ..), _)| *machine == name) {
                        lines.push(Line { text: text.clone(), error: false }, room);
                    }
                    continue;
                }
            };
            let Some(entry) = Entry::parse(&line) else { continue };
            let own = entry.unit.as_deref().filter(|unit| *unit != "init.scope");
            let unit = entry.about.as_deref().or(own).unwrap_or_default();
            let key = |unit: &str, other| (name.clone(), other, unit.to_owned());
            let mut key = if unit.ends_with(".service") { key(unit, false) } else { key("other units", true) };
            if found.len() >= UNITS && !found.contains_key(&key) {
                key = (name.clone(), true, "other units".to_owned());
            }
            let lines = found.entry(key).or_default();
            for line in journal_lines(&entry, start) {
                lines.push(line, room);
            }
        }
    }
    let each = room / u64::try_from(found.len().max(1)).unwrap_or(1);
    let journal = |((machine, _, unit), lines): (_, Kept)| Journal { machine, unit, text: lines.shorten(each) };
    found.into_iter().map(journal).collect()
}

/// The first lines and the last ones of all that came.
#[derive(Default, Clone)]
pub(super) struct Kept {
    head: Vec<Line>,
    tail: VecDeque<Line>,
    /// Bytes of the head, of the tail, and of what lay between.
    pub(super) sizes: [u64; 3],
}

impl Kept {
    /// Adds a line; each end keeps `room` bytes.
    pub(super) fn push(&mut self, line: Line, room: u64) {
        let [head, tail, lost] = &mut self.sizes;
        if self.tail.is_empty() && *lost == 0 && *head + size(&line) <= room {
            *head += size(&line);
            return self.head.push(line);
        }
        *tail += size(&line);
        self.tail.push_back(line);
        while *tail > room
            && let Some(line) = self.tail.pop_front()
        {
            *tail -= size(&line);
            *lost += size(&line);
        }
    }

    /// Leaves lines out of the middle until the rest fits into `room` bytes, no more than each end had.
    pub(super) fn shorten(self, room: u64) -> Text {
        let Self { head: mut lines, tail, sizes: [.., lost] } = self;
        let middle = lines.len();
        lines.extend(tail);
        let mut text = shorten(lines, room);
        if lost > 0 {
            let (at, cut) = text.cut.unwrap_or((middle, 0));
            text.cut = Some((at, cut + lost));
        }
        text
    }
}

/// Bytes of a line on the page.
fn size(line: &Line) -> u64 {
    line.text.len() as u64 + 1
}

fn journal_lines(entry: &Entry, start: Option<f64>) -> Vec<Line> {
    let at = entry.time.as_ref().and_then(|micros| micros.parse::<f64>().ok());
    let at = at.zip(start).map_or(String::new(), |(micros, start)| format!("{:9.3}  ", micros / 1e6 - start));
    let error = entry.priority.as_ref().and_then(|p| p.parse::<u8>().ok()).is_some_and(|priority| priority <= 3);
    let text = entry.text().unwrap_or_default();
    text.lines().map(|line| Line { text: format!("{at}{}", terminal::clean(line, LONG)), error }).collect()
}

/// Leaves lines out of the middle until the rest fits into `room` bytes.
pub(super) fn shorten(mut lines: Vec<Line>, room: u64) -> Text {
    let all = lines.iter().map(size).sum::<u64>();
    if all <= room {
        return Text { lines, cut: None };
    }
    let fitting = |lines: &mut dyn Iterator<Item = &Line>, room: u64| {
        let mut left = room;
        let fits = |line: &&Line| match left.checked_sub(size(line)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        lines.take_while(fits).count()
    };
    let head = fitting(&mut lines.iter(), room / 4);
    let tail = fitting(&mut lines.iter().rev(), room / 4 * 3).min(lines.len() - head);
    let end = lines.len() - tail;
    let cut = lines.drain(head..end).map(|line| size(&line)).sum();
    Text { lines, cut: Some((head, cut)) }
}
