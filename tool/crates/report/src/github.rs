//! What GitHub Actions shows of a run: foldable logs, annotations, the step's summary and outputs.
//!
//! The runner takes commands from any line of a step's output. What we print of others' text is made harmless by
//! [`tool_base::disarm`]. What programs that we start print on stderr is not ours, so commands are stopped there meanwhile:
//! the runner then believes nothing until it reads a token that only we know. The forms are GitHub's: docs.github.com,
//! "Workflow commands for GitHub Actions".

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::again::Again;
use super::terminal::{TAIL, clean, duration, evidence, label, one_by_one, relative};
use tool_base::disarm;
use tool_runner::{Event, Outcome, Summary, Verdict};

/// Errors that GitHub shows of one step.
const MOST_ANNOTATIONS: usize = 10;
/// Bytes of the summary, below GitHub's 1 MiB for a step.
const MOST_SUMMARY: usize = 900 * 1024;
/// Characters of a message in an annotation; GitHub cuts at 4096 bytes.
const MOST_MESSAGE: usize = 1000;

/// Reports a run to GitHub.
pub struct Github<'a> {
    sink: Box<dyn Write + 'a>,
    root: PathBuf,
    token: String,
    summary: Option<PathBuf>,
    output: Option<PathBuf>,
    again: Again,
    /// Checks come one after the other.
    one_by_one: bool,
}

impl Github<'static> {
    /// A report to the runner that this program is a step of; `None` elsewhere.
    pub fn detect(root: &Path) -> Result<Option<Self>> {
        if !disarm::wanted() {
            return Ok(None);
        }
        let file = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut random = [0_u8; 16];
        std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut random)).context("/dev/urandom")?;
        let token = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (summary, output) = (file("GITHUB_STEP_SUMMARY"), file("GITHUB_OUTPUT"));
        Ok(Some(Github::new(Box::new(io::stderr()), root, token, summary, output)))
    }
}

impl<'a> Github<'a> {
    fn new(
        sink: Box<dyn Write + 'a>,
        root: &Path,
        token: String,
        summary: Option<PathBuf>,
        output: Option<PathBuf>,
    ) -> Self {
        let mut github =
            Self { sink, root: root.to_owned(), token, summary, output, again: Again::default(), one_by_one: true };
        let _ = github.stop();
        github
    }

    /// How checks are run again.
    pub fn tell(&mut self, again: &Again) {
        self.again = again.clone();
    }

    /// Before the terminal's report of an event. The fold of a check holds its subtests as they come; where several run at
    /// once, it holds the block that the terminal writes at the end, and its title has the verdict.
    pub fn before(&mut self, event: &Event) {
        let _ = match event {
            Event::Begun(begun) => {
                self.one_by_one = one_by_one(begun);
                Ok(())
            }
            Event::Started(exec) if self.one_by_one => self.say(&format!("::group::{}", data(&exec.label()))),
            Event::Ended(_) if self.one_by_one => self.say("::endgroup::"),
            Event::Ended(outcome) => {
                let title = format!("{} {}  {}", label(outcome).1, outcome.exec.label(), duration(outcome.seconds));
                self.say(&format!("::group::{}", data(&title)))
            }
            _ => Ok(()),
        };
    }

    /// After it: annotations, summary and outputs.
    ///
    /// # Errors
    /// If GitHub's files cannot be written.
    pub fn after(&mut self, event: &Event) -> Result<()> {
        if let (Event::Ended(_), false) = (event, self.one_by_one) {
            let _ = self.say("::endgroup::");
        }
        let Event::Finished(summary) = event else { return Ok(()) };
        let failed = || summary.results().filter(|o| is_failure(o));
        for outcome in failed().take(MOST_ANNOTATIONS) {
            let _ = self.say(&annotation(outcome, &self.root, &self.again));
        }
        append(self.summary.as_deref(), &markdown(summary, &self.root, &source_at(), &self.again))?;
        let names: Vec<&str> = failed().map(|o| o.exec.check.name.as_str()).collect();
        append(self.output.as_deref(), &format!("failed={}\n", serde_json::to_string(&names)?))
    }

    /// Shows something at a place of a file. `level` is `error` or `warning`; GitHub shows ten of each.
    pub fn annotate(&mut self, level: &str, file: &str, (line, column): (u32, u32), title: &str, message: &str) {
        let place = format!("file={},line={line},col={column}", property(&clean(file, MOST_MESSAGE)));
        let text: Vec<String> = message.lines().map(|line| clean(line, MOST_MESSAGE)).collect();
        let text: String = text.join("\n").chars().take(MOST_MESSAGE).collect();
        let _ = self.say(&format!("::{level} {place},title={}::{}", property(title), data(&text)));
    }

    /// Shows why a command of ours failed where no report says so.
    pub fn trouble(&mut self, command: &str, text: &str) {
        let text: Vec<String> = text.lines().take(TAIL).map(|line| clean(line, MOST_MESSAGE)).collect();
        let text: String = text.join("\n").chars().take(MOST_MESSAGE).collect();
        let title = property(&format!("cargo xtask {}", clean(command, MOST_MESSAGE)));
        let _ = self.say(&format!("::error title={title}::{}", data(&text)));
    }

    /// Lets the runner hear commands again.
    pub fn end(&mut self) {
        let _ = writeln!(self.sink, "\n::{}::", self.token).and_then(|()| self.sink.flush());
    }

    fn stop(&mut self) -> io::Result<()> {
        writeln!(self.sink, "::stop-commands::{}", self.token)?;
        self.sink.flush()
    }

    /// Says one command. The log may have stopped in the middle of a line.
    fn say(&mut self, command: &str) -> io::Result<()> {
        writeln!(self.sink, "\n::{}::\n{command}", self.token)?;
        self.stop()
    }
}

/// Where a browser finds the source that this run checks, with a `/` at its end; empty where the runner does not say.
fn source_at() -> String {
    let read = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    match (read("GITHUB_SERVER_URL"), read("GITHUB_REPOSITORY"), read("GITHUB_SHA")) {
        (Some(server), Some(repository), Some(commit)) => format!("{server}/{repository}/blob/{commit}/"),
        _ => String::new(),
    }
}

fn is_failure(outcome: &Outcome) -> bool {
    outcome.verdict.is_failure()
}

fn append(file: Option<&Path>, text: &str) -> Result<()> {
    let Some(path) = file else { return Ok(()) };
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes())).with_context(|| format!("cannot write {}", path.display()))
}

/// Text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// What went wrong, without control characters and not endless.
fn reason(outcome: &Outcome) -> String {
    match (&outcome.failure, &outcome.verdict) {
        (Some(failure), _) => {
            let lines: Vec<String> = failure.message.lines().take(TAIL).map(|l| clean(l, MOST_MESSAGE)).collect();
            lines.join("\n")
        }
        (None, Verdict::TimedOut(limit)) => format!("ran into its time limit of {limit} s"),
        (None, Verdict::Failed(code)) => format!("the driver ended with status {code} and gave no reason"),
        (None, _) => String::new(),
    }
}

fn annotation(outcome: &Outcome, root: &Path, again: &Again) -> String {
    let name = &outcome.exec.check.name;
    let mut place = String::new();
    if let Some(script) = outcome.exec.check.script.as_deref().or(outcome.exec.check.nix.as_deref()) {
        place = format!("file={},", property(&relative(root, script)));
        if let Some(line) = outcome.failure.as_ref().and_then(|f| f.line) {
            place += &format!("line={line},");
        }
    }
    let subtest = outcome.failure.as_ref().and_then(|f| f.subtest.as_ref());
    let title = subtest.map_or_else(|| format!("check {name}"), |s| format!("check {name}, subtest {}", clean(s, 200)));
    let mut message: String = reason(outcome).chars().take(MOST_MESSAGE).collect();
    message += &format!("\nrun again: {}", again.test(&[name], &[]));
    format!("::error {place}title={}::{}", property(&title), data(&message))
}

/// Text as HTML shows it, and as Markdown leaves it alone.
fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' | '|' | '`' | '*' | '_' | '[' | ']' | '!' | '#' | '~' | '@' | '\\' => {
                out += &format!("&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// The summary of a step: failures first, then what passed.
fn markdown(summary: &Summary, root: &Path, source_at: &str, again: &Again) -> String {
    let (failed, rest): (Vec<_>, Vec<_>) = summary.results().partition(|o| is_failure(o));
    let count = |f: fn(&Outcome) -> bool| rest.iter().filter(|o| f(o)).count();
    let passed = count(|o| o.verdict == Verdict::Passed);
    let mut text = format!("{passed} passed");
    for (number, word) in [(count(Outcome::is_flaky), "flaky"), (failed.len(), "failed"), (summary.not_run, "not run")]
    {
        if number > 0 {
            text += &format!(", {number} {word}");
        }
    }
    text += &format!(" in {}\n\n| check | result | time |\n|---|---|---|\n", duration(summary.seconds));
    let mut left_out = 0;
    for outcome in failed.iter().chain(&rest) {
        let result = match outcome.verdict {
            Verdict::Passed if outcome.cached => "passed earlier",
            Verdict::Passed if outcome.is_flaky() => "passed, flaky",
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "**failed**",
            Verdict::TimedOut(_) => "**timed out**",
            Verdict::Interrupted => "interrupted",
            Verdict::HostFailed => "could not run",
        };
        let row = format!("| {} | {result} | {} |\n", html(&outcome.exec.check.name), duration(outcome.seconds));
        add(&mut text, &row, &mut left_out);
    }
    for outcome in failed {
        let script = outcome.exec.script().map_or(String::new(), |s| relative(root, &s));
        let line = outcome.failure.as_ref().and_then(|f| f.line).map_or(String::new(), |line| format!(":{line}"));
        let place = html(&format!("{script}{line}"));
        let place = match outcome.failure.as_ref().and_then(|f| f.line) {
            Some(line) if !source_at.is_empty() => {
                format!("<a href=\"{}{}#L{line}\">{place}</a>", html(source_at), html(&script))
            }
            _ => place,
        };
        let subtest = outcome.failure.as_ref().and_then(|f| f.subtest.as_ref());
        let subtest = subtest.map_or(String::new(), |s| format!(", in subtest “{}”", html(&clean(s, 200))));
        let mut part = format!("\n### {}\n\n{place}{subtest}\n\n", html(&outcome.exec.check.name));
        if let Some(source) = outcome.failure.as_ref().and_then(|f| f.source.as_ref()) {
            part += &format!("<pre>{}</pre>\n\n", html(&clean(source.trim(), MOST_MESSAGE)));
        }
        part += &format!("<pre>{}</pre>\n", html(&reason(outcome)));
        for (title, lines) in evidence(outcome) {
            let lines: Vec<String> = lines.iter().map(|line| html(&clean(line, 200))).collect();
            let title = html(&clean(&title, 200));
            part +=
                &format!("\n<details><summary>{title}</summary>\n\n<pre>{}</pre>\n\n</details>\n", lines.join("\n"));
        }
        part += &format!("\nRun again: <code>{}</code>\n", html(&again.test(&[&outcome.exec.check.name], &[])));
        add(&mut text, &part, &mut left_out);
    }
    if left_out > 0 {
        text += &format!("\n{left_out} parts are left out: GitHub shows 1 MiB. The log has all of them.\n");
    }
    text
}

fn add(text: &mut String, part: &str, left_out: &mut usize) {
    if text.len() + part.len() <= MOST_SUMMARY {
        text.push_str(part);
    } else {
        *left_out += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tool_project::Check;
    use tool_runner::{Exec, ScriptFailure};

    fn outcome(name: &str, message: &str) -> Outcome {
        let check = Check { name: name.into(), script: Some("/p/checks/a,b:c.py".into()), ..Check::default() };
        let exec = Exec { id: 0, check, repetition: 1, attempt: 1, dir: "/nowhere".into() };
        let failure = ScriptFailure {
            class: "Exception".into(),
            message: message.into(),
            line: Some(17),
            source: None,
            subtest: Some("one, two: three".into()),
            unit: None,
        };
        Outcome::new(&exec, Verdict::Failed(1), Some(failure), 1.5)
    }

    #[test]
    fn an_annotation_is_one_line_whatever_the_message() {
        let text = annotation(&outcome("a", "100 %\n::error::x\r\u{1b}[31mred"), Path::new("/p"), &Again::default());
        assert_eq!(
            text,
            "::error file=checks/a%2Cb%3Ac.py,line=17,title=check a%2C subtest one%2C two%3A three::100 %25%0A\
             ::error::xred%0Arun again: cargo xtask test a"
        );
    }

    #[test]
    fn a_place_of_a_file_is_annotated_in_one_line() {
        let mut sink = Vec::new();
        let mut github = Github::new(Box::new(&mut sink), Path::new("/p"), "token".into(), None, None);
        github.annotate("warning", "a,b.db", (3, 4), "lint: x", "100 %\n::error::no\r");
        drop(github);
        let text = String::from_utf8(sink).unwrap();
        assert!(
            text.contains("\n::warning file=a%2Cb.db,line=3,col=4,title=lint%3A x::100 %25%0A::error::no\n"),
            "{text}"
        );
    }

    #[test]
    fn a_summary_has_failures_first_and_no_markup_of_others() {
        let mut good = outcome("good", "");
        good.verdict = Verdict::Passed;
        let bad = outcome("b|d", "</pre><script>`x`\n\n# a [link](x) \u{1b}[1m!");
        let summary = Summary { outcomes: vec![good, bad], not_run: 1, seconds: 3.0, ..Summary::default() };
        let again =
            Again { machine: vec!["--accel".into(), "tcg".into()], limits: vec!["--timeout".into(), "5".into()] };
        insta::assert_snapshot!(markdown(&summary, Path::new("/p"), "https://host/me/ioc/blob/0123abc/", &again));
    }

    #[test]
    fn a_summary_fits_and_says_what_it_left_out() {
        let long: String = "<".repeat(1000) + "\n";
        let outcomes = (0..200).map(|n| outcome(&format!("c{n}"), &long.repeat(20))).collect();
        let text =
            markdown(&Summary { outcomes, seconds: 1.0, ..Summary::default() }, Path::new("/p"), "", &Again::default());
        assert!(text.len() < 1024 * 1024, "{}", text.len());
        assert!(text.contains("parts are left out"));
    }
}
