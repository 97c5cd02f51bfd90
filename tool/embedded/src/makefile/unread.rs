//! Variables that nothing reads.

use std::fs;
use std::path::Path;

use super::{Makefile, Problem, lines};
use crate::edits::distance;

impl Makefile {
    /// Variables that the Makefile at `path` sets and nothing in the top reads, and whose name is a letter off one of those
    /// that EPICS' rules read: the name, that one, and where.
    pub fn unread(&self, path: &Path, read: &[String]) -> Vec<(String, String, Problem)> {
        let own = self.variables.iter().filter(|(name, own)| own.file == path && !read.contains(name));
        let near = own.filter_map(|(name, own)| Some((name, own, read.iter().find(|read| distance(name, read) == 1)?)));
        let mut near = near.peekable();
        if near.peek().is_none() {
            return Vec::new();
        }
        let configure = fs::read_dir(self.top.join("configure")).into_iter().flatten().flatten();
        let files = configure.map(|entry| entry.path()).chain([path.to_owned()]);
        let texts: Vec<String> = files.filter_map(|path| fs::read_to_string(path).ok()).collect();
        let unread = near.filter(|(name, ..)| !texts.iter().any(|text| reads(text, name)));
        let told = unread.map(|(name, own, meant)| {
            let what = format!("nothing reads the variable `{name}`, neither EPICS' rules nor this top");
            (name.clone(), meant.clone(), Problem { file: own.file.clone(), line: own.line, what })
        });
        told.collect()
    }

    /// Adds the value of a variable to that of another one.
    pub fn rename(&mut self, name: &str, meant: &str) {
        if let Some(mut own) = self.variables.remove(name) {
            let before = self.variables.get(meant).map(|own| own.value.to_string()).unwrap_or_default();
            own.value = format!("{before} {}", own.value).into();
            self.variables.insert(meant.to_owned(), own);
        }
    }
}

/// Whether a Makefile has a word elsewhere than where it sets the variable of that name.
fn reads(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = lines::without_comment(line);
        let value = lines::assignment(&line).filter(|own| own.name.trim() == name).map_or(line, |own| own.value);
        value.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
    })
}
