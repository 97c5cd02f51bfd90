//! Reads Makefiles as GNU make does, without running anything.
//!
//! What only the machine that builds can tell (the environment, EPICS base, the output of a command) is not
//! guessed: it stands in values as a [`doubt`], and what depends on it is in doubt, too.

mod conditions;
mod doubt;
mod expand;
mod functions;
mod lines;
#[cfg(test)]
mod tests;
mod unread;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::top::plain;
use conditions::{Condition, State};
use doubt::Doubts;
use lines::{Assignment, Lines, Operator};

pub use doubt::Word;

/// Files that include each other, and variables that name each other, at most.
const DEEPEST: usize = 64;

/// Steps until a Makefile counts as endless.
const MOST_STEPS: usize = 200_000;

/// Characters of one value, at most.
const LONGEST: usize = 1 << 20;

/// A place in a Makefile, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub file: PathBuf,
    pub line: u32,
    pub what: String,
}

/// Why make stops. The place is where the evaluation is.
#[derive(Debug)]
struct Stop(String);

type Result<T> = std::result::Result<T, Stop>;

#[derive(Debug, Clone)]
struct Variable {
    value: Rc<str>,
    /// Expanded when it was set, not when it is used.
    simple: bool,
    file: PathBuf,
    line: u32,
}

/// A Makefile, evaluated.
#[derive(Debug)]
pub struct Makefile {
    top: PathBuf,
    folder: PathBuf,
    variables: BTreeMap<String, Variable>,
    /// Variables of the command line: assignments have no effect.
    given: BTreeSet<String>,
    doubts: Doubts,
    /// Conditions that cannot be decided, around the line that is evaluated.
    undecided: Vec<char>,
    /// Names of the files that it includes.
    pub included: BTreeSet<String>,
    /// Targets of rules, by the file name alone.
    pub rules: BTreeMap<String, (PathBuf, u32)>,
    /// Files that it includes from elsewhere, which may bring anything.
    pub foreign: Vec<Problem>,
    /// Why make stops.
    pub stopped: Option<Problem>,
    file: PathBuf,
    line: u32,
    steps: usize,
    depth: usize,
}

impl Makefile {
    /// Evaluates `path` for a make that runs in `folder`, below `top`. EPICS base has set the variables `preset`;
    /// nothing in the file changes those that are `given`.
    pub fn read(path: &Path, folder: &Path, top: &Path, preset: &[(&str, &str)], given: &[(&str, &str)]) -> Self {
        let mut make = Self {
            top: top.to_owned(),
            folder: folder.to_owned(),
            variables: BTreeMap::new(),
            given: BTreeSet::new(),
            doubts: Doubts::default(),
            undecided: Vec::new(),
            included: BTreeSet::new(),
            rules: BTreeMap::new(),
            foreign: Vec::new(),
            stopped: None,
            file: path.to_owned(),
            line: 1,
            steps: 0,
            depth: 0,
        };
        for (name, value) in preset.iter().chain(given) {
            make.set(name, (*value).to_owned(), false);
        }
        make.given = given.iter().map(|(name, _)| (*name).to_owned()).collect();
        if let Err(Stop(what)) = make.evaluate_file(path) {
            make.stopped = Some(Problem { file: make.file.clone(), line: make.line, what });
        }
        make
    }

    /// The words of a variable.
    pub fn words(&mut self, name: &str) -> Vec<Word> {
        let Some(place) = self.place(name) else { return Vec::new() };
        (self.file, self.line) = place;
        let text = self.value(name).unwrap_or_default();
        words::of(&text).map(|word| self.doubts.word(word)).collect()
    }

    /// Where a variable was set last.
    pub fn place(&self, name: &str) -> Option<(PathBuf, u32)> {
        self.variables.get(name).map(|variable| (variable.file.clone(), variable.line))
    }

    fn set(&mut self, name: &str, value: String, simple: bool) {
        let (file, line) = (self.file.clone(), self.line);
        self.variables.insert(name.to_owned(), Variable { value: value.into(), simple, file, line });
    }

    fn doubt(&mut self, what: String) -> char {
        self.doubts.add(Problem { file: self.file.clone(), line: self.line, what })
    }

    /// Adds a doubt about a variable, at the line that names it.
    fn doubt_of(&mut self, variable: &str) -> char {
        let text = fs::read(&self.file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let names = |line: &str| line.contains(&format!("$({variable})")) || line.contains(&format!("${{{variable}}}"));
        let found = text.lines().position(names).map_or(self.line, |at| u32::try_from(at).unwrap_or(0) + 1);
        let what = format!("`$({variable})` is set by nothing in this top");
        self.doubts.add(Problem { file: self.file.clone(), line: found, what })
    }

    fn evaluate_file(&mut self, path: &Path) -> Result<()> {
        let bytes = fs::read(path).map_err(|error| Stop(format!("{}: {error}", path.display())))?;
        let text = doubt::free(&String::from_utf8_lossy(&bytes));
        let before = (std::mem::replace(&mut self.file, path.to_owned()), self.line);
        self.evaluate(&text, false)?;
        (self.file, self.line) = before;
        Ok(())
    }

    /// Evaluates the text of a file, or one that a function makes: its lines have no numbers.
    fn evaluate(&mut self, text: &str, made: bool) -> Result<()> {
        if self.depth >= DEEPEST {
            return Err(Stop("too many Makefiles include each other".to_owned()));
        }
        self.depth += 1;
        let undecided = self.undecided.len();
        let done = self.evaluate_lines(text, made);
        self.undecided.truncate(undecided);
        self.depth -= 1;
        done
    }

    fn evaluate_lines(&mut self, text: &str, made: bool) -> Result<()> {
        let mut conditions: Vec<Condition> = Vec::new();
        let mut lines = Lines::new(text);
        let mut in_rule = false;
        while let Some((number, line)) = lines.next() {
            self.step()?;
            if !made {
                self.line = number;
            }
            if line.starts_with('\t') && in_rule {
                continue;
            }
            let line = lines::without_comment(&line);
            let line = line.trim_start();
            let (word, rest) = words::first(line);
            if self.conditional(word, rest, &mut conditions)? || line.trim().is_empty() {
                continue;
            }
            if conditions.iter().any(|condition| condition.state == State::Skip) {
                if word == "define" {
                    lines.definition();
                }
                continue;
            }
            let place = (self.file.clone(), self.line);
            match self.statement(line, &mut lines) {
                Ok(rule) => in_rule = rule,
                Err(Stop(what)) if !self.undecided.is_empty() && self.steps <= MOST_STEPS => {
                    (self.file, self.line) = place;
                    self.doubt(format!("whether make stops here is not known: {what}"));
                    in_rule = false;
                }
                Err(stop) => return Err(stop),
            }
        }
        match conditions.last() {
            Some(open) => {
                self.line = open.line;
                Err(Stop("this condition has no `endif`".to_owned()))
            }
            None => Ok(()),
        }
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps > MOST_STEPS { Err(Stop("this Makefile does not end".to_owned())) } else { Ok(()) }
    }

    /// Takes a line that is no condition; true where it starts a rule.
    fn statement(&mut self, line: &str, lines: &mut Lines) -> Result<bool> {
        let (word, rest) = words::first(line);
        match word {
            "include" | "-include" | "sinclude" if lines::assignment(line).is_none() => {
                self.include(rest, word != "include")?;
                return Ok(false);
            }
            "define" => {
                let body = lines.definition().ok_or_else(|| Stop("this `define` has no `endef`".to_owned()))?;
                let name = self.expand(rest.trim_end().trim_end_matches(['=', ':', '+', '?']))?;
                self.assign(&Assignment {
                    name: name.trim().to_owned(),
                    operator: Operator::Recursive,
                    value: body,
                    overriding: false,
                })?;
                return Ok(false);
            }
            "undefine" => {
                let name = self.expand(rest)?;
                self.variables.remove(name.trim());
                return Ok(false);
            }
            "vpath" | "unexport" => return Ok(false),
            "export" if lines::assignment(rest).is_none() => return Ok(false),
            "override" | "export" | "private" if lines::assignment(line).is_none() => {
                return self.statement(rest.trim_start(), lines);
            }
            _ => {}
        }
        if let Some(mut assignment) = lines::assignment(line) {
            assignment.name = self.expand(&assignment.name)?;
            self.assign(&assignment)?;
            return Ok(false);
        }
        let (targets, is_rule) = match lines::targets(line) {
            Some(targets) => (self.expand(targets)?, true),
            None => (self.expand(line)?, false),
        };
        if !is_rule && doubt::has_text(&targets) == Some(true) && !targets.contains(':') && self.undecided.is_empty() {
            return Err(Stop(format!("make does not understand `{}`: missing separator", targets.trim())));
        }
        for target in words::of(&targets).filter(|word| !word.starts_with('.') || *word == ".DEFAULT") {
            let name = doubt::name(target.rsplit('/').next().unwrap_or(target));
            self.rules.insert(name, (self.file.clone(), self.line));
        }
        Ok(is_rule || targets.contains(':'))
    }

    fn assign(&mut self, assignment: &Assignment) -> Result<()> {
        let Assignment { name, operator, value, overriding } = assignment;
        if self.given.contains(name) && !overriding || name.is_empty() {
            return Ok(());
        }
        let old = self.variables.get(name).cloned();
        let simple = match operator {
            Operator::Simple => true,
            Operator::Add => old.as_ref().is_some_and(|old| old.simple),
            Operator::Recursive | Operator::Default | Operator::Shell => false,
        };
        let mut value = if simple { self.expand(value)? } else { value.clone() };
        if *operator == Operator::Shell {
            value = self.doubt(format!("what the command of `{name} != …` prints is not known here")).to_string();
        }
        if *operator == Operator::Default && old.as_ref().is_some_and(|old| doubt::has_text(&old.value).is_some()) {
            return Ok(());
        }
        let before = old.map(|old| old.value.to_string()).unwrap_or_default();
        if !self.undecided.is_empty() {
            value = self.undecided.iter().fold(value, |value, why| doubt::perhaps(&value, *why));
            if *operator != Operator::Add {
                // What it was may still hold.
                let old = self.undecided.iter().fold(before, |value, why| doubt::perhaps(&value, *why));
                self.set(name, old + " " + &value, simple);
                return Ok(());
            }
        }
        let value = if *operator == Operator::Add && !before.is_empty() { before + " " + &value } else { value };
        if value.len() > LONGEST {
            return Err(Stop(format!("variable `{name}` becomes too long")));
        }
        self.set(name, value, simple);
        Ok(())
    }

    fn include(&mut self, rest: &str, may_be_missing: bool) -> Result<()> {
        let names = self.expand(rest)?;
        for name in words::of(&names) {
            let own = doubt::name(name.rsplit('/').next().unwrap_or(name));
            let of_base = ["RULES", "CONFIG", "RELEASE"].iter().any(|kind| own.starts_with(kind));
            self.included.insert(own);
            let path = plain(&self.folder.join(name));
            if doubt::is_in_doubt(name) || !path.starts_with(&self.top) {
                if !of_base {
                    let what = format!("what `include {}` brings is not known here", rest.trim());
                    self.foreign.push(Problem { file: self.file.clone(), line: self.line, what });
                }
            } else if path.is_file() {
                self.evaluate_file(&path)?;
            } else if !may_be_missing && self.undecided.is_empty() {
                return Err(Stop(format!("there is no file `{name}` to include")));
            }
        }
        Ok(())
    }
}
