//! Runs Nix and sorts what it says: builds that were asked for, other builds, errors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::classify::{self, Told, Trouble};
use super::log::{self, Count, Said};
use super::{Build, Nix, store_name};
use tool_base::fail::{Failure, Status};
use tool_base::guard::{End, Followed};
use tool_base::process::Cmd;
use tool_base::{fail, ui};
use tool_host::nix::inputs;

/// A derivation that an attribute stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// Its .drv file.
    pub drv: String,
    /// Its output: the one called `out`, or the first.
    pub out: String,
}

/// What happens to one of the derivations that are built; `usize` is its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// Its build begins.
    Started(usize),
    /// Its build says something.
    Line(usize, &'a str),
    /// Its build has ended, one way or the other. Before 2.34, Nix says so only when all have.
    Stopped(usize),
    /// Some build has ended, of these or of others: so many have failed by now.
    Failures(u64),
}

/// How a build has ended.
#[derive(Debug)]
pub struct Built {
    /// How Nix itself has ended.
    pub end: End,
    /// Its errors.
    pub errors: Vec<Told>,
    /// What was said beside them.
    plain: String,
    /// Builds that were under way when it was last heard of them.
    pub running: u64,
}

impl Built {
    /// The error for a Nix that failed.
    pub fn failure(&self) -> Failure {
        explain_all(&self.errors, &self.plain)
    }
}

/// The error for a Nix that failed: by its errors, with all that was said.
fn explain_all(errors: &[Told], plain: &str) -> Failure {
    let plain = (!plain.trim().is_empty()).then(|| Told::read(plain));
    classify::explain(&plain.into_iter().chain(errors.iter().cloned()).collect::<Vec<_>>())
}

/// One or more runs of Nix, with one log.
pub struct Session<'a> {
    nix: &'a Nix,
    interrupts: &'a Receiver<()>,
    log: File,
    show: bool,
    said: BTreeSet<String>,
    planned: Vec<String>,
}

impl<'a> Session<'a> {
    /// A session whose log is `file`; `show` passes logs of builds on to the terminal, too.
    pub fn new(nix: &'a Nix, interrupts: &'a Receiver<()>, file: &Path, show: bool) -> Result<Self> {
        let log = File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
        Ok(Self { nix, interrupts, log, show, said: BTreeSet::new(), planned: Vec::new() })
    }

    /// Evaluates attributes. An error carries all that Nix said about it.
    pub fn evaluate(&mut self, attributes: &[String]) -> Result<Vec<Derivation>> {
        let cmd = self.nix.evaluate(attributes);
        let (mut errors, mut plain) = (Vec::new(), String::new());
        let (end, json) = follow(&cmd).run(self.interrupts, |line| match log::read(line) {
            Said::Message { level: 0, text } => errors.push(text),
            Said::Plain(text) => self.plain(&text, &mut plain),
            Said::Message { level: 1, text } => self.warn(&text),
            Said::Message { text, .. } => self.write(&text),
            _ => {}
        })?;
        // `builtins.trace` and the list of what will be built have an error's level.
        let (talk, errors): (Vec<_>, Vec<_>) =
            errors.into_iter().partition(|text| text.starts_with("trace: ") || text.contains(" will be "));
        let (planned, errors): (Vec<_>, Vec<_>) = errors.into_iter().partition(|text| text.starts_with("  /"));
        talk.iter().chain(&planned).chain(&errors).for_each(|text| self.write(text));
        talk.iter().filter(|text| text.starts_with("trace: ")).for_each(|text| self.note(text));
        self.planned = planned.iter().map(|line| line.trim().to_owned()).collect();
        if end.interrupted {
            return Err(Failure::new(Status::Interrupted, "interrupted while Nix evaluated").into());
        }
        if end.code != 0 {
            return Err(explain_all(&errors.iter().map(|e| Told::read(e)).collect::<Vec<_>>(), &plain).into());
        }
        let list = derivations(&json).with_context(|| format!("`{cmd}` printed no list of derivations"))?;
        anyhow::ensure!(list.len() == attributes.len(), "`{cmd}` named {} derivations", list.len());
        if let Err(error) = inputs::remember(&self.nix.root, &self.nix.target) {
            self.write(&format!("cannot note which inputs are enough: {error:#}"));
        }
        Ok(list)
    }

    /// What building the attributes of the last evaluation would build, as .drv files, and fetch.
    pub fn planned(&self) -> &[String] {
        &self.planned
    }

    /// Which of some store paths are not there.
    pub fn missing(&mut self, paths: &[&str]) -> Result<BTreeSet<String>> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let cmd = self.nix.missing(paths);
        let output = cmd.output()?;
        if !output.status.success() {
            let text = log::strip(&String::from_utf8_lossy(&output.stderr));
            return Err(classify::explain(&[Told::read(&text)]).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Builds derivations, all of them even if some fail.
    pub fn build(
        &mut self,
        list: &[&Derivation],
        how: Build,
        mut on_step: impl FnMut(&mut Self, Step),
    ) -> Result<Built> {
        let cmd = self.nix.build(&list.iter().map(|d| d.drv.as_str()).collect::<Vec<_>>(), how);
        let (mut errors, mut plain) = (Vec::new(), String::new());
        let mut counts: BTreeMap<u64, Count> = BTreeMap::new();
        // Builds under way, by Nix's number: the place in the list, or the name of another derivation.
        let mut running: BTreeMap<u64, std::result::Result<usize, String>> = BTreeMap::new();
        let (end, _) = follow(&cmd).run(self.interrupts, |line| match log::read(line) {
            Said::Started { id, drv } => {
                let place = list.iter().position(|d| d.drv == drv);
                match place {
                    Some(place) => on_step(self, Step::Started(place)),
                    None => self.note(&format!("building {}", store_name(&drv))),
                }
                running.insert(id, place.ok_or_else(|| store_name(&drv).to_owned()));
            }
            Said::Line { id, text } => match running.get(&id) {
                Some(Ok(place)) => on_step(self, Step::Line(*place, &text)),
                Some(Err(name)) => {
                    let line = format!("{name}> {text}");
                    self.write(&line);
                    if self.show {
                        ui::say(&line);
                    }
                }
                None => self.write(&text),
            },
            Said::Stopped { id } => {
                if let Some(Ok(place)) = running.remove(&id) {
                    on_step(self, Step::Stopped(place));
                }
            }
            Said::Builds { id } => {
                counts.insert(id, Count::default());
            }
            Said::Count { id, count } => {
                if let Some(old) = counts.get_mut(&id)
                    && (old.done, old.failed) != (count.done, count.failed)
                {
                    *old = count;
                    on_step(self, Step::Failures(counts.values().map(|count| count.failed).sum()));
                } else if let Some(old) = counts.get_mut(&id) {
                    *old = count;
                }
            }
            Said::Fetching(path) => self.note(&format!("fetching {}", store_name(&path))),
            Said::Message { level: 0, text } => {
                self.write(&text);
                errors.push(Told::read(&text));
            }
            Said::Message { level: 1, text } => self.warn(&text),
            Said::Message { text, .. } => self.write(&text),
            Said::Plain(text) => self.plain(&text, &mut plain),
            Said::Other => {}
        })?;
        Ok(Built { end, errors, plain, running: counts.values().map(|count| count.running).sum() })
    }

    /// The errors by which builds failed that a derivation needs, or its own; none where that is not why it was not built.
    pub fn failed_needs<'b>(&mut self, drv: &str, built: &'b Built) -> Vec<&'b Told> {
        let needs = match self.nix.requisites(drv).read() {
            Ok(list) => list.lines().map(str::to_owned).collect::<BTreeSet<_>>(),
            Err(error) => {
                self.write(&format!("{error:#}"));
                BTreeSet::from([drv.to_owned()])
            }
        };
        let about: Vec<&Told> =
            built.errors.iter().filter(|e| e.drv.as_ref().is_some_and(|drv| needs.contains(drv))).collect();
        if about.iter().any(|e| e.trouble.is_host() || e.trouble == Trouble::Unknown) {
            return Vec::new();
        }
        let failed = |e: &&&Told| matches!(e.trouble, Trouble::BuildFailed(_) | Trouble::TimedOut(_));
        let failed_ones: Vec<&Told> = about.iter().filter(failed).copied().collect();
        // Since 2.34 a limit is named without whose it was.
        let nobodys = |e: &&Told| e.drv.is_none() && matches!(e.trouble, Trouble::TimedOut(_));
        if failed_ones.is_empty() && !about.is_empty() {
            return built.errors.iter().filter(nobodys).collect();
        }
        failed_ones
    }

    /// A line that is no message of Nix: kept, to be shown if Nix fails.
    fn plain(&mut self, text: &str, all: &mut String) {
        self.write(text);
        all.push_str(text);
        all.push('\n');
    }

    /// A line of the log.
    pub fn write(&mut self, text: &str) {
        let _ = writeln!(self.log, "{text}");
    }

    /// A line of the log that people should see, too: once.
    fn note(&mut self, text: &str) {
        self.write(text);
        if self.said.insert(text.to_owned()) {
            ui::say(&ui::paint(ui::DIM, &format!("nix: {text}")));
        }
    }

    fn warn(&mut self, text: &str) {
        self.write(text);
        // A dirty tree is how one works, and Nix says so four times.
        if !text.contains(" is dirty") && self.said.insert(text.to_owned()) {
            ui::warn(text.strip_prefix("warning: ").unwrap_or(text));
        }
    }
}

fn follow(cmd: &Cmd) -> Followed<'_> {
    Followed { cmd, merged: false, limit: None, remove: None }
}

/// Reads what `nix build --json` prints.
fn derivations(json: &str) -> Result<Vec<Derivation>> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "drvPath")]
        drv: String,
        outputs: BTreeMap<String, Option<String>>,
    }
    let rows: Vec<Row> = serde_json::from_str(json)?;
    rows.into_iter()
        .map(|Row { drv, outputs }| {
            let out = outputs.get("out").or_else(|| outputs.values().next()).cloned().flatten();
            let out =
                out.ok_or_else(|| fail::config(format!("{} has no output whose path is known", store_name(&drv))))?;
            Ok(Derivation { drv, out })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_derivations() {
        let json = r#"[{"drvPath":"/s/a.drv","outputs":{"doc":"/s/d","out":"/s/o"}},{"drvPath":"/s/b.drv","outputs":{"lib":"/s/l"}}]"#;
        let list = derivations(json).unwrap();
        assert_eq!(list[0], Derivation { drv: "/s/a.drv".into(), out: "/s/o".into() });
        assert_eq!(list[1].out, "/s/l");
        assert!(derivations(r#"[{"drvPath":"/s/a.drv","outputs":{"out":null}}]"#).is_err());
        assert!(derivations("").is_err());
    }
}
