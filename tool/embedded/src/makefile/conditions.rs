//! Conditions: `ifdef`, `ifeq`, and their branches.

use super::{Makefile, Result, Stop, doubt, expand, words};

/// Conditions within conditions.
const DEEPEST: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Take,
    Skip,
    /// Whether it is taken is not known.
    Doubt,
}

#[derive(Debug)]
pub struct Condition {
    pub state: State,
    /// A branch was taken for sure: all others are not.
    done: bool,
    pub line: u32,
    /// It stands in a branch that is not taken.
    dead: bool,
    /// How many of its branches are in doubt.
    doubts: usize,
}

impl Makefile {
    /// Takes a line of a condition; false where it is none.
    pub(super) fn conditional(&mut self, word: &str, rest: &str, conditions: &mut Vec<Condition>) -> Result<bool> {
        let skipped = |conditions: &[Condition]| conditions.iter().any(|condition| condition.state == State::Skip);
        match word {
            "ifdef" | "ifndef" | "ifeq" | "ifneq" => {
                // Each looks at all around it.
                if conditions.len() >= DEEPEST {
                    return Err(Stop(format!("more than {DEEPEST} conditions within conditions")));
                }
                let state = if skipped(conditions) { State::Skip } else { self.decide(word, rest)? };
                let done = state == State::Take;
                conditions.push(Condition {
                    state,
                    done,
                    line: self.line,
                    dead: false,
                    doubts: usize::from(state == State::Doubt),
                });
                let at = conditions.len() - 1;
                conditions[at].dead = skipped(&conditions[..at]);
            }
            "else" => {
                let Some(mut condition) = conditions.pop() else {
                    return Err(Stop("`else` without a condition".to_owned()));
                };
                let (word, rest) = words::first(rest);
                condition.state = if condition.dead || condition.done {
                    State::Skip
                } else if word.is_empty() {
                    // Behind a branch in doubt, this one is in doubt as well.
                    if condition.doubts > 0 { State::Doubt } else { State::Take }
                } else {
                    match self.decide(word, rest)? {
                        State::Doubt => {
                            condition.doubts += 1;
                            State::Doubt
                        }
                        State::Take => {
                            condition.done = true;
                            if condition.doubts > 0 { State::Doubt } else { State::Take }
                        }
                        State::Skip => State::Skip,
                    }
                };
                if word.is_empty() {
                    condition.done = true;
                }
                conditions.push(condition);
            }
            "endif" => {
                let Some(condition) = conditions.pop() else {
                    return Err(Stop("`endif` without a condition".to_owned()));
                };
                for _ in 0..condition.doubts {
                    self.undecided.pop();
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Decides a condition. One in doubt is around all that follows, until its `endif`.
    fn decide(&mut self, word: &str, rest: &str) -> Result<State> {
        let known = match word {
            "ifdef" | "ifndef" => {
                let name = self.expand(rest)?.trim().to_owned();
                self.defined(&name).map(|defined| defined == (word == "ifdef"))
            }
            "ifeq" | "ifneq" => {
                let (left, right) =
                    words::pair(rest).ok_or_else(|| Stop(format!("`{word}` needs two texts in ( ) or quotes")))?;
                let (left, right) = (self.expand(&left)?, self.expand(&right)?);
                doubt::equal(&left, &right).map(|equal| equal == (word == "ifeq"))
            }
            _ => return Err(Stop(format!("`else {word}` is no condition"))),
        };
        Ok(match known {
            Some(true) => State::Take,
            Some(false) => State::Skip,
            None => {
                let why = self.doubt(format!("whether `{word} {}` holds is not known here", rest.trim()));
                self.undecided.push(why);
                State::Doubt
            }
        })
    }

    /// Whether a variable has a value; `None` where that is not known.
    fn defined(&self, name: &str) -> Option<bool> {
        match self.variables.get(name) {
            Some(variable) => doubt::has_text(&variable.value),
            None => expand::is_empty_at_first(name).then_some(false),
        }
    }
}
