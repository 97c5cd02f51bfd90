//! The functions of make.

use super::{Makefile, Result, Stop, Variable, doubt, words};
use crate::top::plain;

/// A function, given its arguments as they are written.
type Function = fn(&mut Makefile, &[String]) -> Result<String>;

/// A function by its name, and how many arguments it takes at most: a comma behind those is text.
pub fn named(name: &str) -> Option<(usize, Function)> {
    of_words(name).or_else(|| of_names(name)).or_else(|| of_control(name))
}

/// Those that take words.
fn of_words(name: &str) -> Option<(usize, Function)> {
    let found: (usize, Function) = match name {
        "subst" => (3, |make, args| {
            let [from, to, text] = make.three(args)?;
            Ok(if from.is_empty() { text + &to } else { text.replace(&from, &to) })
        }),
        "patsubst" => (3, |make, args| {
            let [from, to, text] = make.three(args)?;
            Ok(doubt::each(&text, |word| words::replaced(from.trim(), to.trim(), word)))
        }),
        "strip" => (1, |make, args| Ok(words::of(&make.one(args)?).collect::<Vec<_>>().join(" "))),
        "findstring" => (2, |make, args| {
            let [what, text] = make.two(args)?;
            Ok(match doubt::first(&[&what, &text]) {
                Some(why) => why.to_string(),
                None if text.contains(&what) => what,
                None => String::new(),
            })
        }),
        "filter" => (2, |make, args| make.filter(args, true)),
        "filter-out" => (2, |make, args| make.filter(args, false)),
        "sort" => (1, |make, args| {
            let text = make.one(args)?;
            let all: std::collections::BTreeSet<&str> = words::of(&text).collect();
            Ok(all.into_iter().collect::<Vec<_>>().join(" "))
        }),
        "word" => (2, |make, args| make.range(args, |number, _| (number, number))),
        "wordlist" => (3, |make, args| {
            let end = make.expand(args.get(1).map_or("", String::as_str))?.trim().parse().unwrap_or(0);
            let own = [args[0].clone(), args.get(2).cloned().unwrap_or_default()];
            make.range(&own, |start, _| (start, end))
        }),
        "firstword" => (1, |make, args| make.range(&["1".to_owned(), args[0].clone()], |_, _| (1, 1))),
        "lastword" => (1, |make, args| {
            let text = make.one(args)?;
            let last = words::of(&text).next_back().unwrap_or_default();
            Ok(doubt::first(&[last]).map_or_else(|| last.to_owned(), |why| why.to_string()))
        }),
        "words" => (1, |make, args| {
            let text = make.one(args)?;
            Ok(doubt::first(&[&text]).map_or_else(|| words::of(&text).count().to_string(), |why| why.to_string()))
        }),
        _ => return None,
    };
    Some(found)
}

/// Those that take file names.
fn of_names(name: &str) -> Option<(usize, Function)> {
    let found: (usize, Function) = match name {
        "dir" => (1, |make, args| make.each(args, |name| words::folder(name).to_owned())),
        "notdir" => (1, |make, args| make.each(args, |name| words::file(name).to_owned())),
        "suffix" => {
            (1, |make, args| make.each(args, |name| words::suffix(name).map_or("", |at| &name[at..]).to_owned()))
        }
        "basename" => {
            (1, |make, args| make.each(args, |name| name[..words::suffix(name).unwrap_or(name.len())].to_owned()))
        }
        "addsuffix" => (2, |make, args| {
            let [end, text] = make.two(args)?;
            Ok(doubt::each(&text, |word| format!("{word}{end}")))
        }),
        "addprefix" => (2, |make, args| {
            let [start, text] = make.two(args)?;
            Ok(doubt::each(&text, |word| format!("{start}{word}")))
        }),
        "join" => (2, |make, args| {
            let [left, right] = make.two(args)?;
            let (mut left, mut right) = (words::of(&left), words::of(&right));
            let mut out = Vec::new();
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return Ok(out.join(" ")),
                    (a, b) => out.push(a.unwrap_or_default().to_owned() + b.unwrap_or_default()),
                }
            }
        }),
        "wildcard" => (1, Makefile::wildcard),
        "abspath" | "realpath" => (1, |make, args| {
            let folder = make.folder.clone();
            make.each(args, |name| plain(&folder.join(name)).to_string_lossy().into_owned())
        }),
        _ => return None,
    };
    Some(found)
}

/// Those that decide, repeat and tell.
fn of_control(name: &str) -> Option<(usize, Function)> {
    let found: (usize, Function) = match name {
        "if" => (3, Makefile::if_else),
        "or" => (usize::MAX, |make, args| {
            let mut doubtful = String::new();
            for arg in args {
                let value = make.expand(arg.trim())?;
                match doubt::has_text(&value) {
                    Some(false) => {}
                    Some(true) => return Ok(doubtful + &value),
                    None => doubtful += &(value + " "),
                }
            }
            Ok(doubtful)
        }),
        "and" => (usize::MAX, |make, args| {
            let (mut last, mut why) = (String::new(), None);
            for arg in args {
                last = make.expand(arg.trim())?;
                match doubt::has_text(&last) {
                    Some(false) => return Ok(String::new()),
                    Some(true) => {}
                    None => why = doubt::first(&[&last]),
                }
            }
            Ok(why.map_or(last.clone(), |why| doubt::perhaps(&last, why)))
        }),
        "foreach" => (3, |make, args| {
            let [name, list] = make.two(args)?;
            let body = args.get(2).cloned().unwrap_or_default();
            let before = make.variables.get(name.trim()).cloned();
            let mut out = Vec::new();
            for word in words::of(&list) {
                make.set(name.trim(), word.to_owned(), true);
                out.push(make.expand(&body)?);
            }
            make.restore(name.trim(), before);
            short(out.join(" "))
        }),
        "call" => (usize::MAX, |make, args| {
            let values = args.iter().map(|arg| make.expand(arg)).collect::<Result<Vec<_>>>()?;
            let name = values[0].trim().to_owned();
            let mut before = Vec::new();
            for number in 0..values.len().max(10) {
                let own = number.to_string();
                before.push((own.clone(), make.variables.get(&own).cloned()));
                make.set(&own, values.get(number).cloned().unwrap_or_default(), true);
            }
            let value = match make.variables.get(&name) {
                Some(variable) => {
                    let raw = std::rc::Rc::clone(&variable.value);
                    make.expand(&raw)?
                }
                None => make.value(&name)?,
            };
            for (own, variable) in before {
                make.restore(&own, variable);
            }
            Ok(value)
        }),
        "value" => (1, |make, args| {
            let name = make.one(args)?;
            Ok(make.variables.get(name.trim()).map(|own| own.value.to_string()).unwrap_or_default())
        }),
        "eval" => (1, |make, args| {
            let text = make.one(args)?;
            make.evaluate(&text, true)?;
            Ok(String::new())
        }),
        "origin" | "flavor" => (1, |make, args| {
            let name = make.one(args)?.trim().to_owned();
            Ok(match make.variables.get(&name) {
                Some(_) => "file".to_owned(),
                None => make.doubt(format!("where `{name}` is set is not known here")).to_string(),
            })
        }),
        "error" => (1, |make, args| Err(Stop(format!("make stops: {}", doubt::shown(&make.one(args)?))))),
        "shell" => (1, |make, args| {
            let what = format!("what `$(shell {})` prints is not known here", args[0].trim());
            Ok(make.doubt(what).to_string())
        }),
        "warning" | "info" | "file" => (1, |_, _| Ok(String::new())),
        _ => return None,
    };
    Some(found)
}

/// A value that is no longer than any may be.
fn short(value: String) -> Result<String> {
    if value.len() > super::LONGEST { Err(Stop("a value becomes too long".to_owned())) } else { Ok(value) }
}

impl Makefile {
    fn one(&mut self, args: &[String]) -> Result<String> {
        self.expand(args.first().map_or("", String::as_str))
    }

    fn two(&mut self, args: &[String]) -> Result<[String; 2]> {
        Ok([self.one(args)?, self.expand(args.get(1).map_or("", String::as_str))?])
    }

    fn three(&mut self, args: &[String]) -> Result<[String; 3]> {
        let [first, second] = self.two(args)?;
        Ok([first, second, self.expand(args.get(2).map_or("", String::as_str))?])
    }

    fn each(&mut self, args: &[String], change: impl Fn(&str) -> String) -> Result<String> {
        Ok(doubt::each(&self.one(args)?, change))
    }

    fn restore(&mut self, name: &str, before: Option<Variable>) {
        match before {
            Some(variable) => drop(self.variables.insert(name.to_owned(), variable)),
            None => drop(self.variables.remove(name)),
        }
    }

    fn filter(&mut self, args: &[String], keep: bool) -> Result<String> {
        let [patterns, text] = self.two(args)?;
        let in_doubt = doubt::first(&[&patterns]);
        let mut out = Vec::new();
        for word in words::of(&text) {
            let (own, _) = doubt::split(word);
            let sure = words::of(&patterns).filter(|pattern| !doubt::is_in_doubt(pattern));
            let matches = sure.into_iter().any(|pattern| words::stem(pattern, own).is_some());
            // A word that is not known may match or not: it stays, and is in doubt anyway.
            match (doubt::is_in_doubt(own) || matches == keep, in_doubt) {
                (true, None) => out.push(word.to_owned()),
                (true, Some(_)) if keep => out.push(word.to_owned()),
                (true, Some(why)) => out.push(doubt::perhaps(word, why)),
                (false, Some(why)) if keep => out.push(doubt::perhaps(word, why)),
                (false, _) => {}
            }
        }
        Ok(out.join(" "))
    }

    /// Words by their numbers, from 1 on.
    fn range(&mut self, args: &[String], range: impl Fn(usize, usize) -> (usize, usize)) -> Result<String> {
        let [number, text] = self.two(args)?;
        let all: Vec<&str> = words::of(&text).collect();
        let (start, end) = range(number.trim().parse().unwrap_or(0), all.len());
        let end = end.min(all.len());
        if let Some(why) = doubt::first(&all[..end]) {
            return Ok(why.to_string());
        }
        Ok(if start == 0 || start > end { String::new() } else { all[start - 1..end].join(" ") })
    }

    fn wildcard(&mut self, args: &[String]) -> Result<String> {
        let patterns = self.one(args)?;
        let mut found = Vec::new();
        for pattern in words::of(&patterns) {
            let (own, marks) = doubt::split(pattern);
            if doubt::is_in_doubt(own) || !plain(&self.folder.join(own)).starts_with(&self.top) {
                let what = format!("what `$(wildcard {})` finds is not known here", doubt::shown(own));
                found.push(self.doubt(what).to_string());
            } else {
                found.extend(words::glob(own, &self.folder).into_iter().map(|name| name + marks));
            }
        }
        short(found.join(" "))
    }

    fn if_else(&mut self, args: &[String]) -> Result<String> {
        let condition = self.expand(args[0].trim())?;
        let branch = |make: &mut Self, at: usize| make.expand(args.get(at).map_or("", String::as_str));
        match doubt::has_text(&condition) {
            Some(true) => branch(self, 1),
            Some(false) => branch(self, 2),
            None => {
                let why = doubt::first(&[&condition]).unwrap_or(' ');
                self.undecided.push(why);
                let both = branch(self, 1).and_then(|left| Ok(left + " " + &branch(self, 2)?));
                self.undecided.pop();
                Ok(doubt::perhaps(&both?, why))
            }
        }
    }
}
