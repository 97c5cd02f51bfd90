//! What a soft IOC cannot do with an IOC: told from the files of its top, without running it.

mod build;
mod database;
pub mod script;

pub use build::foreign_definitions;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tree::{sorted, source_folders, top_of};

/// Lines `file:line: what`, files as seen from the top, for the IOC of application `app` and the
/// start-up script `script` in the current folder.
pub fn findings(app: &str, script: &Path) -> Result<Vec<String>, String> {
    let boot = std::env::current_dir().map_err(|error| format!("the current folder: {error}"))?;
    let top = top_of(&boot).ok_or_else(|| {
        format!(
            "{} is in no EPICS top: no folder above it holds a `configure`\n\n\
             hint: run it in the folder of st.cmd, below ioc/iocBoot/",
            boot.display()
        )
    })?;
    let mut report = Report { top: &top, lines: Vec::new() };
    survey(&mut report, app, &boot.join(script)).map_err(|error| error.to_string())?;
    Ok(report.lines)
}

fn survey(report: &mut Report, app: &str, script: &Path) -> std::io::Result<()> {
    let top = report.top;
    for folder in sorted(top)?.into_iter().filter(|path| named(path, &["App", "Sup"])) {
        for sources in sorted(&folder)?.into_iter().filter(|path| named(path, &["src", "Src"])) {
            for file in sorted(&sources)?.into_iter().filter(|path| path.is_file()) {
                report.read(&file, |file, text| build::judge(app, file, text));
            }
        }
    }
    for folder in source_folders(top)? {
        for file in sorted(&folder)?.into_iter().filter(|path| has_extension(path, &["db", "template", "vdb"])) {
            report.read(&file, |_, text| database::judge(text));
        }
    }
    let commands = script::known_commands(app)?;
    let mut seen = BTreeSet::new();
    let mut scripts = vec![script.to_owned()];
    while let Some(script) = scripts.pop() {
        if seen.insert(script.clone()) {
            report.read(&script, |_, text| {
                let included = script::included(text).into_iter();
                let found = included.filter_map(|name| find(&name, &script, top));
                scripts.extend(found);
                script::judge(text, &commands)
            });
        }
    }
    Ok(())
}

/// A file a script names: as seen from the script's folder or from the top.
fn find(name: &str, script: &Path, top: &Path) -> Option<PathBuf> {
    let name = name.replace("${TOP}", "$(TOP)").replace("$(TOP)", &top.to_string_lossy());
    [script.parent()?, top].iter().map(|folder| folder.join(&name)).find(|path| path.is_file())
}

fn named(path: &Path, parts: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.is_dir() && parts.iter().any(|part| name.ends_with(part))
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.is_file() && extensions.iter().any(|wanted| path.extension().is_some_and(|own| own == *wanted))
}

/// A line of a file, from 1 on, and what is wrong there.
type Finding = (usize, String);

struct Report<'a> {
    top: &'a Path,
    lines: Vec<String>,
}

impl Report<'_> {
    /// Adds what `judge` finds in a file. One that cannot be read is left to the run, which says so.
    fn read(&mut self, file: &Path, judge: impl FnOnce(&Path, &str) -> Vec<Finding>) {
        let Ok(bytes) = fs::read(file) else { return };
        let text = String::from_utf8_lossy(&bytes);
        let name = file.strip_prefix(self.top).unwrap_or(file);
        for (line, what) in judge(file, &text) {
            self.lines.push(format!("{}:{line}: {what}\n", name.display()));
        }
    }
}

/// The lines of a text without what follows a `#` outside of double quotes, numbered from 1.
fn lines_without_comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| {
        let mut quoted = false;
        let end = line.find(|c: char| {
            quoted ^= c == '"';
            c == '#' && !quoted
        });
        (index + 1, &line[..end.unwrap_or(line.len())])
    })
}
