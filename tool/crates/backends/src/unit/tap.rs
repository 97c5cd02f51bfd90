//! What a test program says: TAP, the Test Anything Protocol (testanything.org).

/// A test program's output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tap {
    /// Its tests, in the order in which they ended.
    pub points: Vec<Point>,
    /// What it says beside the plan: why it runs none.
    skip: Option<String>,
    /// How many it meant to run.
    plan: Option<usize>,
    /// Why it gave up.
    bail: Option<String>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its number as it is told.
    pub number: usize,
    /// What it is about.
    pub name: String,
    /// Whether nothing is wrong: it passed, or it is known to fail (TODO).
    pub ok: bool,
    /// What is said about it.
    notes: Vec<String>,
}

impl Tap {
    /// Reads all of it. Lines that are not TAP are somebody's talk.
    pub fn read(text: &str) -> Self {
        let mut tap = Self::default();
        for line in text.lines() {
            if let Some((count, reason)) = plan(line) {
                (tap.plan, tap.skip) = (Some(count), reason);
            } else if let Some(why) = line.strip_prefix("Bail out!") {
                tap.bail = Some(why.trim().to_owned());
            } else if let Some(point) = point(line, tap.points.len() + 1) {
                tap.points.push(point);
            } else if let (Some(note), Some(point)) = (line.strip_prefix('#'), tap.points.last_mut()) {
                point.notes.push(note.trim().to_owned());
            }
        }
        tap
    }

    /// Why it has meant to run none, and ran none. `broken`: the program itself has failed.
    pub fn skipped(&self, broken: bool) -> Option<String> {
        let none = self.plan == Some(0) && self.problems(broken).is_empty();
        none.then(|| self.skip.clone().unwrap_or_else(|| "it has no tests".to_owned()))
    }

    /// What is wrong, a line each and what is said about it; empty where nothing is. `broken`: the program itself has failed.
    pub fn problems(&self, broken: bool) -> Vec<String> {
        let mut problems: Vec<String> = self.bail.iter().map(|why| format!("it gave up: {why}")).collect();
        for point in self.points.iter().filter(|point| !point.ok) {
            problems.push(format!("not ok {}", point.label()));
            problems.extend(point.notes.iter().map(|note| format!("  {note}")));
        }
        let ran = self.points.len();
        match self.plan {
            None => {
                problems.push(format!("it ran {ran} tests and never said how many it has: it may have ended early"));
            }
            Some(plan) if plan != ran => problems.push(format!("it has {plan} tests and ran {ran}")),
            Some(_) => {}
        }
        if let Some((at, point)) = self.points.iter().enumerate().find(|(at, point)| point.number != at + 1) {
            problems.push(format!("its test {} has the number {}", at + 1, point.number));
        }
        if broken && problems.is_empty() {
            problems.push("each test passed, but the program ended with an error".to_owned());
        }
        problems
    }
}

impl Point {
    /// `3 - what it is about`
    pub fn label(&self) -> String {
        if self.name.is_empty() { self.number.to_string() } else { format!("{} - {}", self.number, self.name) }
    }
}

/// `1..11`, `1..0 # SKIP no hardware`
fn plan(line: &str) -> Option<(usize, Option<String>)> {
    let (count, comment) = split_comment(line.strip_prefix("1..")?);
    Some((count.trim().parse().ok()?, directive(comment, "SKIP")))
}

/// `ok 1 - it adds`, `not ok 2`, `ok 3 # SKIP why`, `not ok 4 - later # TODO why`
fn point(line: &str, next: usize) -> Option<Point> {
    let (passed, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return None;
    }
    let (text, comment) = split_comment(rest);
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, name) = text.split_at(end);
    let number = number.parse().unwrap_or(next);
    let mut name = name.trim_start().trim_start_matches("- ").trim_start_matches('-').trim().to_owned();
    let (skip, todo) = (directive(comment, "SKIP"), directive(comment, "TODO"));
    let ok = passed || todo.is_some();
    for (word, why) in [("skipped", skip), ("to do", todo)] {
        if let Some(why) = why {
            let gap = if name.is_empty() { "" } else { " " };
            name = format!("{name}{gap}({})", [word, &why].join(": ").trim_end_matches(": "));
        }
    }
    Some(Point { number, name, ok, notes: Vec::new() })
}

/// What stands before and after the first `#` that is not written `\#`.
fn split_comment(text: &str) -> (&str, &str) {
    let at = text.match_indices('#').find(|(at, _)| !text[..*at].ends_with('\\'));
    at.map_or((text, ""), |(at, _)| (&text[..at], &text[at + 1..]))
}

/// Why, where a comment is this directive: `SKIP why`, `skipped: why`.
fn directive(comment: &str, word: &str) -> Option<String> {
    let comment = comment.trim();
    let (head, rest) = comment.split_once([' ', '\t']).unwrap_or((comment, ""));
    head.get(..word.len())?.eq_ignore_ascii_case(word).then(|| rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_passed() {
        let text = "1..4\nok  1 - it adds\n# a word\nok  2 # SKIP no device\nnot ok  3 - later # TODO not yet\n\
                    okay, that was talk\nok  4 - issue \\#5\n\n    Results\n    =======\n";
        let tap = Tap::read(text);
        let names: Vec<&str> = tap.points.iter().map(|point| point.name.as_str()).collect();
        assert_eq!(names, ["it adds", "(skipped: no device)", "later (to do: not yet)", "issue \\#5"]);
        assert_eq!(tap.problems(false), Vec::<String>::new());
        assert_eq!(tap.problems(true), ["each test passed, but the program ended with an error"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_what_was_said() {
        let tap = Tap::read("ok 1\nnot ok 2 - it adds\n#   at line 7\n1..2\n");
        assert_eq!(tap.problems(true), ["not ok 2 - it adds", "  at line 7"]);
        assert_eq!(Tap::read("1..3\nok 1\nok 2\n").problems(false), ["it has 3 tests and ran 2"]);
        assert_eq!(Tap::read("1..2\nok 1\nok 1\n").problems(false), ["its test 2 has the number 1"]);
        assert_eq!(Tap::read("1..1\nok\nBail out!  no memory\n").problems(false), ["it gave up: no memory"]);
        assert!(Tap::read("Segmentation fault\n").problems(false)[0].starts_with("it ran 0 tests and never said"));
    }

    #[test]
    fn none_may_be_run() {
        let skipped = |text: &str, broken| Tap::read(text).skipped(broken);
        assert_eq!(skipped("1..0 # Skipped: no generator here\n", false).as_deref(), Some("no generator here"));
        assert_eq!(skipped("1..0\n", false).as_deref(), Some("it has no tests"));
        assert_eq!(skipped("1..0 # SKIP it crashed after that\n", true), None);
        for text in [
            "not ok 1\n1..0 # SKIP\n",
            "1..2 # SKIP\nnot ok 1\nnot ok 2\n",
            "1..0 # SKIP\nBail out!\n",
            "1..1 # SKIP\n",
        ] {
            assert!(skipped(text, false).is_none() && !Tap::read(text).problems(false).is_empty(), "{text}");
        }
    }

    proptest! {
        /// What a program says comes back: as many tests, the same verdicts, and failures exactly where there are some.
        #[test]
        fn a_report_is_read_back(oks in prop::collection::vec(any::<bool>(), 0..30), first in any::<bool>()) {
            let word = |ok: &bool| if *ok { "ok" } else { "not ok" };
            let lines: String = oks.iter().enumerate().map(|(i, ok)| format!("{} {} - t\n", word(ok), i + 1)).collect();
            let plan = format!("1..{}\n", oks.len());
            let tap = Tap::read(&if first { plan + &lines } else { lines + &plan });
            prop_assert_eq!(tap.points.iter().map(|point| point.ok).collect::<Vec<_>>(), oks.clone());
            prop_assert_eq!(tap.problems(false).len(), oks.iter().filter(|ok| !**ok).count());
        }

        /// A program that ends early never passes, wherever it was cut.
        #[test]
        fn half_a_report_never_passes(count in 1_usize..20, cut in 0_usize..400) {
            let text: String = (1..=count).map(|i| format!("ok {i} - step\n")).collect();
            let text = format!("1..{count}\n{text}");
            let cut = cut.min(text.len());
            let whole = text[..cut].matches("ok").count() == count;
            prop_assert!(whole || !Tap::read(&text[..cut]).problems(false).is_empty());
        }

        #[test]
        fn any_text_is_read(text in "\\PC*|(ok|not ok|1\\.\\.|#|[0-9]| |\n|SKIP|é)*") {
            let tap = Tap::read(&text);
            prop_assert!(tap.points.len() <= text.lines().count());
        }
    }
}
