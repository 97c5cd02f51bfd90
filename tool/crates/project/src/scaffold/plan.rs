//! What a renaming comes to: a pure function over the project's files.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::names;
use super::places::{self, Kind, Names, Which};
use super::records;
use crate::names::TODO;
use tool_base::fail;
use tool_base::fail::{Failure, Status};

/// Files of the project by path, as Git tracks them, with what they hold.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What the user asks for; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// The application.
    pub app: Option<String>,
    /// The folder below `iocBoot/`.
    pub ioc: Option<String>,
    /// What every record's name begins with.
    pub prefix: Option<String>,
}

/// One file that is moved, changed, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it is.
    pub from: String,
    /// Where it will be.
    pub to: String,
    /// What it holds.
    pub before: Vec<u8>,
    /// What it will hold.
    pub after: Vec<u8>,
}

/// All that is to be done; nothing where the names are so already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Moves on the disk, in this order: folders, then files in the new folders.
    pub moves: Vec<(String, String)>,
    /// Tracked files that are not as they were.
    pub changes: Vec<Change>,
    /// `FILE:LINE: …`: what names a record in a way that is left alone.
    pub left: Vec<String>,
    /// A record's name before and after, where the prefix changes.
    pub record: Option<(String, String)>,
}

/// Plans.
///
/// # Errors
/// A name cannot be used, or means something else already; files of the application are not where `ioc.toml` says.
pub fn plan(files: &Files, old: &Names, wish: &Wish) -> Result<Plan> {
    let new = Names {
        app: wish.app.clone().unwrap_or_else(|| old.app.clone()),
        ioc: wish.ioc.clone().unwrap_or_else(|| old.ioc.clone()),
    };
    let mut plan = Plan::default();
    let mut contents = files.clone();
    if new != *old {
        check_names(files, old, &new)?;
        rename(&mut contents, old, &new)?;
    }
    if let Some(prefix) = &wish.prefix {
        change_prefix(&mut contents, old, prefix, &mut plan)?;
    }
    plan.moves = moves(files, old, &new);
    for (path, before) in files {
        let to = moved(path, old, &new);
        let after = contents.remove(path).unwrap_or_default();
        if to != *path || after != *before {
            plan.changes.push(Change { from: path.clone(), to, before: before.clone(), after });
        }
    }
    if let Some(change) = plan.changes.iter().find(|c| c.from != c.to && files.contains_key(&c.to)) {
        return Err(taken(&format!("{} is there already", change.to)).into());
    }
    Ok(plan)
}

fn check_names(files: &Files, old: &Names, new: &Names) -> Result<()> {
    let usage = |what: String| Failure::new(Status::Usage, what);
    if new.app != old.app {
        names::app(&new.app).map_err(|why| {
            usage(format!("{:?} cannot be the name of an application: {why}", new.app))
                .hint("cargo xtask rename --app psu")
        })?;
    }
    if new.ioc != old.ioc {
        names::boot(&new.ioc).map_err(|why| {
            usage(format!("{:?} cannot be a boot folder: {why}", new.ioc)).hint("cargo xtask rename --ioc iocPsu")
        })?;
    }
    let folders = [
        (format!("ioc/{}App/", old.app), format!("app = \"{}\"", old.app)),
        (format!("ioc/iocBoot/{}/", old.ioc), format!("ioc = \"{}\"", old.ioc)),
    ];
    for (folder, says) in folders {
        if !files.keys().any(|path| path.starts_with(&folder)) {
            return Err(fail::config(format!("{folder} has no file that Git tracks, but ioc.toml says {says}"))
                .hint("correct ioc.toml, or add the files: git add ioc")
                .into());
        }
    }
    // A name that stands for something else in there could not be told from ours afterwards.
    for (path, text) in files {
        let Some(kind) = places::kind(path).filter(|kind| *kind != Kind::Other) else { continue };
        let changed = |which| if which == Which::App { new.app != old.app } else { new.ioc != old.ioc };
        if let Some((range, which)) = places::find(kind, text, new).into_iter().find(|(_, which)| changed(*which)) {
            let name = if which == Which::App { &new.app } else { &new.ioc };
            let line = line_of(text, range.start);
            let shown =
                String::from_utf8_lossy(text.split(|b| *b == b'\n').nth(line - 1).unwrap_or_default()).into_owned();
            return Err(taken(&format!("{name:?} means something else in {path}:{line}: {}", shown.trim())).into());
        }
    }
    Ok(())
}

fn taken(why: &str) -> Failure {
    Failure::new(Status::Usage, why).hint("choose another name")
}

/// Puts the new names into all files.
fn rename(contents: &mut Files, old: &Names, new: &Names) -> Result<()> {
    for (path, text) in contents.iter_mut() {
        let Some(kind) = places::kind(path).filter(|_| !text.contains(&0)) else { continue };
        let after = places::replaced(text, &places::find(kind, text, old), new);
        *text = if kind == Kind::Toml { aligned(text, &after) } else { after };
    }
    let toml = contents.get("ioc.toml").map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    let config = crate::parse(&toml)?;
    if config.iocs.get("ioc").is_none_or(|ioc| ioc.app != new.app || ioc.ioc != new.ioc) {
        return Err(fail::config("ioc.toml does not have `app` and `ioc` as lines of their own in the table [ioc]")
            .hint(format!("[ioc]\napp = \"{}\"\nioc = \"{}\"", old.app, old.ioc))
            .into());
    }
    Ok(())
}

/// `after`, its comments in the columns that they had before as far as there is room.
fn aligned(before: &[u8], after: &[u8]) -> Vec<u8> {
    let lines = before.split_inclusive(|b| *b == b'\n').zip(after.split_inclusive(|b| *b == b'\n'));
    let mut result = Vec::new();
    for (old, new) in lines {
        let comment = |line: &[u8]| line.windows(2).position(|w| w == b" #").map(|at| at + 1);
        let (Some(wanted), Some(is)) = (comment(old), comment(new)) else {
            result.extend(new);
            continue;
        };
        let code = new[..is].trim_ascii_end();
        result.extend(code);
        result.resize(result.len() + wanted.saturating_sub(code.len()).max(1), b' ');
        result.extend(&new[is..]);
    }
    result
}

/// Moves on the disk.
fn moves(files: &Files, old: &Names, new: &Names) -> Vec<(String, String)> {
    let mut moves = Vec::new();
    if new.app != old.app {
        moves.push((format!("ioc/{}App", old.app), format!("ioc/{}App", new.app)));
    }
    if new.ioc != old.ioc {
        moves.push((format!("ioc/iocBoot/{}", old.ioc), format!("ioc/iocBoot/{}", new.ioc)));
    }
    for path in files.keys() {
        let to = moved(path, old, new);
        let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
        let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        if file(path) != file(&to) {
            moves.push((format!("{}/{}", folder(&to), file(path)), to));
        }
    }
    moves
}

/// Where a file will be.
fn moved(path: &str, old: &Names, new: &Names) -> String {
    let homes = [
        (format!("ioc/{}App/", old.app), format!("ioc/{}App/", new.app)),
        (format!("ioc/iocBoot/{}/", old.ioc), format!("ioc/iocBoot/{}/", new.ioc)),
    ];
    for (from, to) in homes {
        if let Some(rest) = path.strip_prefix(&from) {
            let (folder, file) = rest.rsplit_once('/').map_or(("", rest), |(f, n)| (&rest[..=f.len()], n));
            let file = places::file_name(file, old, new).unwrap_or_else(|| file.to_owned());
            return format!("{to}{folder}{file}");
        }
    }
    path.to_owned()
}

/// Makes `prefix` the default of the start-up scripts' macro, and follows in checks and guides.
fn change_prefix(contents: &mut Files, old: &Names, prefix: &str, plan: &mut Plan) -> Result<()> {
    let is_database = |path: &str| [".db", ".template", ".vdb"].iter().any(|end| path.ends_with(end));
    let databases = contents.iter().filter(|(path, _)| path.starts_with("ioc/") && is_database(path));
    let found = databases.flat_map(|(_, text)| records::of_database(&String::from_utf8_lossy(text)));
    let names: Vec<String> = found.map(|(_, name)| name).collect();
    names::prefix(prefix, &names).map_err(|why| {
        Failure::new(Status::Usage, format!("{prefix:?} cannot be a prefix: {why}"))
            .hint("cargo xtask rename --prefix LAB:PSU:")
    })?;

    let boot = format!("ioc/iocBoot/{}/", old.ioc);
    let mut befores = BTreeSet::new();
    for (_, text) in contents.iter_mut().filter(|(path, _)| path.starts_with(&boot)) {
        let places = records::defaults(text);
        befores.extend(places.iter().map(|place| text[place.clone()].to_vec()));
        *text = records::replaced(text, &places, |_| prefix.as_bytes().to_vec());
    }
    let before = match befores.len() {
        1 => befores.pop_first().map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default(),
        0 => {
            return Err(fail::config(format!("no script in {boot} has a default for the macro PREFIX"))
                .hint("give it one: dbLoadRecords(\"…\", \"PREFIX=${PREFIX=}\")")
                .into());
        }
        _ => {
            return Err(fail::config(format!("the scripts in {boot} have several defaults for the macro PREFIX"))
                .hint("give it the same one everywhere: ${PREFIX=…}")
                .into());
        }
    };
    if before == prefix {
        return Ok(());
    }
    plan.record = names.iter().max_by_key(|name| name.len()).map(|n| (format!("{before}{n}"), format!("{prefix}{n}")));

    let full: BTreeSet<String> = names.iter().map(|name| format!("{before}{name}")).collect();
    let own = checks_with_a_prefix_of_their_own(contents);
    for (path, text) in contents.iter_mut() {
        let stem = path.strip_prefix("checks/").and_then(|file| file.split('.').next());
        let todo = path == TODO;
        if !todo && places::kind(path) != Some(Kind::Other)
            || stem.is_some_and(|stem| own.contains(stem))
            || text.contains(&0)
        {
            continue;
        }
        let (mut given, others) = records::uses(text, &full);
        if stem.is_some() {
            plan.left.extend(others.into_iter().map(|place| {
                let line = line_of(text, place.start);
                format!("{path}:{line}: {}", String::from_utf8_lossy(&text[place]))
            }));
        } else if todo {
            given.extend(others);
            given.sort_by_key(|place| place.start);
        }
        *text = records::replaced(text, &given, |name| [prefix.as_bytes(), &name[before.len()..]].concat());
    }
    Ok(())
}

/// Checks that set PREFIX for their machines: what they call their records does not depend on the default.
fn checks_with_a_prefix_of_their_own(files: &Files) -> BTreeSet<String> {
    files
        .iter()
        .filter(|(_, text)| text.windows("PREFIX".len()).any(|word| word == b"PREFIX"))
        .filter_map(|(path, _)| path.strip_prefix("checks/")?.split('.').next().map(str::to_owned))
        .collect()
}

/// Line of a place, counted from 1.
fn line_of(text: &[u8], at: usize) -> usize {
    text[..at].split(|b| *b == b'\n').count()
}

#[cfg(test)]
mod tests;
