//! What Git knows of a folder.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::fail;
use crate::process::Cmd;

/// Git in a folder, without locks where it only looks: the changes that other tools make at the same time are theirs.
pub fn git(root: &Path) -> Cmd {
    Cmd::new("git").args(["--no-optional-locks", "-C"]).arg(root)
}

/// The paths that Git prints with `-z`.
pub fn paths(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

/// Files at `paths` below `root` that Git neither tracks nor ignores; the error is Git's first line.
pub fn untracked(root: &Path, paths: &[&str]) -> Result<Vec<String>, String> {
    let list = git(root).args(["ls-files", "--others", "--exclude-standard", "-z", "--"]).args(paths);
    match list.output() {
        Err(error) => Err(error.to_string()),
        Ok(output) if output.status.success() => Ok(self::paths(&output.stdout)),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("git failed").to_owned()),
    }
}

/// Those of `paths` that Git ignores; none outside of Git. It answers for one repository at a time, and not at all where a path
/// lies in another one, such as a submodule: that one is asked then.
pub fn ignored(root: &Path, paths: &[&String]) -> Vec<String> {
    let mut own: Vec<String> = Vec::new();
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in paths {
        let ends = path.match_indices('/').map(|(at, _)| at);
        match ends.map(|at| path.split_at(at)).find(|(folder, _)| root.join(folder).join(".git").exists()) {
            Some((folder, rest)) => others.entry(folder.to_owned()).or_default().push(rest[1..].to_owned()),
            None => own.push((*path).clone()),
        }
    }
    let list: String = own.iter().chain(others.keys()).flat_map(|path| [path.as_str(), "\0"]).collect();
    let answer = git(root).args(["check-ignore", "-z", "--stdin"]).output_of(list.as_bytes());
    let mut ignored = answer.map_or_else(|_| Vec::new(), |output| self::paths(&output.stdout));
    for (folder, paths) in others {
        let at = ignored.iter().position(|path| *path == folder);
        let inside = match at {
            Some(at) => {
                ignored.remove(at);
                paths
            }
            None => self::ignored(&root.join(&folder), &paths.iter().collect::<Vec<_>>()),
        };
        ignored.extend(inside.into_iter().map(|path| format!("{folder}/{path}")));
    }
    ignored
}

/// An error where there are changes of `paths` that `what` would mix with.
pub fn clean(root: &Path, paths: &[&str], what: &str) -> Result<()> {
    let status = git(root).args(["status", "--porcelain", "--"]).args(paths).read()?;
    let changed: Vec<&str> = status.lines().filter_map(|line| line.get(3..)).collect();
    let Some(first) = changed.first() else { return Ok(()) };
    let more = if changed.len() > 1 { format!(" and {} more", changed.len() - 1) } else { String::new() };
    Err(fail::config(format!("there are changes that are not committed, in {first}{more}: {what} would mix with them"))
        .hint("git add -A && git commit, or set them aside: git stash -u")
        .into())
}
