//! Reads the folder of a run. What is missing or broken is left out: old runs, crashed ones and other backends have less.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::de::DeserializeOwned;
use walkdir::WalkDir;

use journals::journals;

use super::{Cause, Execution, Left, Line, Pass, Recording, Room, Run, Span, State, Text};
use crate::terminal;
use tool_base::left::Ends;
use tool_runner::{
    DriverEvent, EventLine, Exec, Outcome, ResultFile, Revision, RunFile, ScriptFailure, Subtest, Verdict, coverage,
};

/// Characters of a line.
const LONG: usize = 2000;
/// Characters of a failure's message.
const MESSAGE: usize = 10_000;
/// Lines of the script around the failing one.
const AROUND: usize = 5;
/// Blocks of a script that are read.
const BLOCKS: usize = 50_000;
/// Files that are linked.
const FILES: usize = 200;
/// Bytes of the files of an execution that the page has itself, and of those of all.
const COPIES: u64 = 200_000;
const ALL_COPIES: u64 = 2_000_000;
/// What is done to a run and not by it.
const OWN: [&str; 4] = ["sandbox.json", "result.json", "events.jsonl", "state"];

/// Reads a run. `root` is the project's, where the scripts are.
pub fn run(dir: &Path, root: &Path) -> Run {
    let (known, summary) = json(&dir.join("run.json")).map(|file: RunFile| (file.run, file.summary)).unzip();
    let mut executions: Vec<Execution> = folders(dir).iter().map(|folder| execution(folder, dir, root)).collect();
    let begun = |execution: &Execution| execution.started.unwrap_or(f64::MAX);
    executions.sort_by(|a, b| a.state.cmp(&b.state).then(begun(a).total_cmp(&begun(b))));
    let passed = executions.iter().filter(|execution| execution.state == State::Passed).count();
    let others = executions.len() - passed;
    let mut copies = ALL_COPIES;
    let mut passes: BTreeMap<String, Option<Rc<Pass>>> = BTreeMap::new();
    for execution in &mut executions {
        let good = execution.state == State::Passed;
        execution.room = Room::of(good, if good { passed } else { others });
        let folder = dir.join(&execution.label);
        if execution.state <= State::TimedOut {
            let check = &execution.check;
            let pass = passes.entry(check.clone()).or_insert_with(|| last_pass(dir, check, root).map(Rc::new));
            execution.pass.clone_from(pass);
        }
        (execution.files, execution.more_files) = files(&folder, dir, &mut copies);
        execution.log = log(&folder, execution.room.text / 2);
        execution.journals = journals(&folder.join("journal"), execution.started, execution.room.text / 2);
    }
    let first = || executions.iter().filter_map(|e| e.started).min_by(f64::total_cmp);
    let (known, summary) = (known.as_ref(), summary.as_ref());
    Run {
        name: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        dir: dir.to_owned(),
        backend: known.map(|run| run.backend.clone()).unwrap_or_default(),
        started: summary.map(|summary| summary.started).or_else(first),
        seconds: summary.map(|summary| summary.seconds),
        not_run: summary.map_or(0, |summary| summary.not_run),
        trouble: summary.and_then(|summary| summary.trouble.clone()).unwrap_or_default(),
        revision: summary.and_then(|summary| summary.revision.as_ref()).map(revision).unwrap_or_default(),
        tool: known.map(|run| run.tool.clone()).unwrap_or_default(),
        jobs: known.and_then(|run| run.jobs),
        executions,
        coverage: fs::read(dir.join(coverage::FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok()),
    }
}

/// The folders of executions in that of a run: one for each check, and in there those of its further executions.
pub fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for check in subfolders(dir) {
        folders.extend(subfolders(&check).filter(|folder| is_again(folder)));
        folders.push(check);
    }
    folders.retain(|folder| ["events.jsonl", "result.json", "log"].iter().any(|name| folder.join(name).is_file()));
    folders.sort();
    folders
}

fn subfolders(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn is_again(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| Exec::is_again(&name.to_string_lossy()))
}

/// `commit 789f13734a9b with changes`
fn revision(revision: &Revision) -> String {
    let commit: String = revision.commit.chars().take(12).collect();
    let changes = if revision.changed { " with changes" } else { "" };
    format!("commit {commit}{changes}")
}

fn json<T: DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// How an execution ended, where it did.
fn outcome(folder: &Path) -> Option<Outcome> {
    json(&folder.join("result.json")).map(|file: ResultFile| file.result)
}

fn execution(folder: &Path, run: &Path, root: &Path) -> Execution {
    let label = folder.strip_prefix(run).unwrap_or(folder).to_string_lossy().into_owned();
    let result = outcome(folder);
    let result = result.as_ref();
    let events = events(&folder.join("events.jsonl"));
    let first = events.first().map(|line| line.time);
    let started = result.map(|result| result.started).filter(|time| *time > 0.0).or(first);
    let mut spans = spans(&events, started.unwrap_or_default());
    if spans.is_empty() {
        spans = result.map(|result| subtests(&result.subtests)).unwrap_or_default();
    }
    let last = spans.iter().map(|span| span.end.unwrap_or(span.start)).fold(0.0, f64::max);
    let seconds = result.map_or(last, |result| result.seconds);
    let name = label.split('/').next().unwrap_or_default();
    let check = result.map_or(name, |result| &result.exec.check.name).to_owned();
    let told = events.iter().find_map(|line| match &line.event {
        DriverEvent::Failure(failure) => Some(failure),
        _ => None,
    });
    let failure = told.or(result.and_then(|result| result.failure.as_ref())).map(|f| failure(f, &check, root));
    let recordings = fs::read_dir(folder.join("record")).into_iter().flatten().flatten();
    let machines: BTreeSet<String> =
        recordings.filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned())).collect();
    let recordings: Vec<Recording> = machines
        .iter()
        .map(|machine| tool_runner::record::read(&folder.join("record"), machine, started.unwrap_or_default()))
        .collect();
    Execution {
        state: state(result),
        cached: result.is_some_and(|result| result.cached),
        files: Vec::new(),
        more_files: 0,
        log: Text::default(),
        journals: Vec::new(),
        label,
        check,
        started,
        seconds,
        failure,
        spans,
        recordings,
        room: Room::of(true, 1),
        pass: None,
    }
}

/// The last pass of a check before a run. Names of runs are in the order of their begin.
fn last_pass(dir: &Path, check: &str, root: &Path) -> Option<Pass> {
    let mut runs: Vec<PathBuf> = subfolders(dir.parent()?).filter(|run| run.file_name() < dir.file_name()).collect();
    runs.sort();
    let unit =
        |run: &Path| json(&run.join("run.json")).is_some_and(|file: RunFile| file.run.backend == tool_runner::UNIT);
    let passed = |run: &&PathBuf| {
        let result = outcome(&run.join(check));
        let passed = |result: Outcome| result.exec.check.name == check && result.verdict == Verdict::Passed;
        result.is_some_and(passed) && unit(run) == unit(dir)
    };
    let run = runs.iter().rev().find(passed)?;
    let Execution { spans, recordings, .. } = execution(&run.join(check), run, root);
    Some(Pass { run: run.file_name()?.to_string_lossy().into_owned(), spans, recordings })
}

fn state(result: Option<&Outcome>) -> State {
    let Some(result) = result else { return State::Unfinished };
    match result.verdict {
        _ if result.retried => State::Retried,
        Verdict::Passed if result.is_flaky() => State::Flaky,
        Verdict::Passed => State::Passed,
        Verdict::Interrupted => State::Interrupted,
        Verdict::HostFailed => State::HostFailed,
        Verdict::TimedOut(_) => State::TimedOut,
        Verdict::Failed(_) => State::Failed,
    }
}

fn events(file: &Path) -> Vec<EventLine> {
    let text = fs::read(file).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Blocks, from events with times since 1970.
fn spans(events: &[EventLine], start: f64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for EventLine { event, time } in events {
        let time = (time - start).max(0.0);
        match event {
            DriverEvent::Enter { kind, name, depth } if spans.len() < BLOCKS => spans.push(Span {
                subtest: kind == "subtest",
                depth: *depth,
                start: time,
                end: None,
                ok: true,
                name: terminal::clean(name, LONG),
            }),
            DriverEvent::Leave { name, ok, .. } => {
                let name = terminal::clean(name, LONG);
                if let Some(span) = spans.iter_mut().rev().find(|span| span.end.is_none() && span.name == name) {
                    (span.end, span.ok) = (Some(time.max(span.start)), *ok);
                }
            }
            _ => {}
        }
    }
    spans
}

/// Blocks, where only the result knows of them.
fn subtests(subtests: &[Subtest]) -> Vec<Span> {
    let span = |Subtest { name, depth, start, seconds, ok }: &Subtest| Span {
        subtest: true,
        name: terminal::clean(name, LONG),
        depth: *depth,
        end: seconds.map(|seconds| start.max(0.0) + seconds.max(0.0)),
        ok: *ok,
        start: start.max(0.0),
    };
    subtests.iter().map(span).collect()
}

fn failure(told: &ScriptFailure, check: &str, root: &Path) -> Cause {
    let line = told.line.and_then(|line| usize::try_from(line).ok());
    // A test program may have the name of a check.
    let script = if told.class == "TAP" { check.to_owned() } else { format!("checks/{check}.py") };
    let source = told.source.as_deref().unwrap_or_default();
    let text = fs::read(root.join(&script)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let shown = |number: usize| (number, terminal::clean(lines[number - 1], LONG));
    let excerpt = match line.filter(|line| (1..=lines.len()).contains(line)) {
        // The script may have changed since.
        Some(line) if lines[line - 1].trim() == source.trim() => {
            (line.saturating_sub(AROUND).max(1)..=(line + AROUND).min(lines.len())).map(shown).collect()
        }
        _ => {
            line.filter(|_| !source.is_empty()).map(|line| (line, terminal::clean(source, LONG))).into_iter().collect()
        }
    };
    let message: Vec<String> = told.message.lines().map(|line| terminal::clean(line, LONG)).collect();
    Cause {
        message: message.join("\n").chars().take(MESSAGE).collect(),
        subtest: told.subtest.clone(),
        unit: told.unit.clone(),
        script,
        line,
        excerpt,
    }
}

/// At most `room` bytes of the log in a folder: its begin, and more of its end.
fn log(folder: &Path, room: u64) -> Text {
    let Ends { head, cut, tail } = Ends::read(folder, Path::new("log"), room).unwrap_or_default();
    let read = |bytes: &[u8]| -> Vec<Line> {
        String::from_utf8_lossy(bytes).lines().map(|line| log_line(terminal::clean(line, LONG))).collect()
    };
    let mut lines = read(&head);
    let at = lines.len();
    lines.extend(read(&tail));
    Text { lines, cut: (cut > 0).then_some((at, cut)) }
}

/// The driver marks what went wrong.
fn log_line(text: String) -> Line {
    Line { error: text.starts_with("!!!") || text.contains("Traceback (most recent call last)"), text }
}

/// What an execution left in its folder, but for those of further executions, and how many more files than are named.
/// `copies` is what copies may take.
fn files(folder: &Path, run: &Path, copies: &mut u64) -> (Vec<Left>, usize) {
    let given = COPIES.min(*copies);
    let mut room = given;
    // The page has these in other words.
    let told = ["log", "journal", "record"].map(|name| folder.join(name));
    let mut found = WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() != 1 || !is_again(entry.path()))
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .filter(|entry| !OWN.iter().any(|own| entry.path() == folder.join(own)))
        .filter_map(|entry| {
            let size = entry.metadata().ok()?.len();
            let path = entry.path().strip_prefix(run).ok()?.to_str()?.to_owned();
            (size > 0).then_some((entry, path, size))
        });
    let named = found.by_ref().take(FILES);
    let files = named
        .map(|(entry, path, size)| {
            let fits = size <= room && !told.iter().any(|own| entry.path().starts_with(own));
            let copy = fits.then(|| Ends::read(run, Path::new(&path), room).ok()).flatten().map(|whole| whole.head);
            room -= copy.as_ref().map_or(0, |copy| copy.len() as u64);
            Left { path, size, copy }
        })
        .collect();
    *copies -= given - room;
    (files, found.count())
}

mod journals;
#[cfg(test)]
mod tests;
