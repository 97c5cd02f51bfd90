//! The commit of Git that a run checks.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use tool_base::git::git;
use tool_base::process::Limited;

/// A run does not wait longer for Git.
const LIMIT: Duration = Duration::from_secs(5);

/// A commit, and whether the project is still as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its full name.
    pub commit: String,
    /// Whether files of the project differ, or are new; those that Git ignores aside.
    pub changed: bool,
}

/// Reads it. `None` outside of Git, without Git, before the first commit, and where Git takes too long.
pub fn read(root: &Path) -> Option<Revision> {
    // Git itself knows best where a worktree, a packed reference or a submodule has its commit.
    let status = ["status", "--porcelain=v2", "--branch", "--", "."];
    let status = git(root).args(status);
    match status.output_within(LIMIT).ok()? {
        Limited::Ended(output) if output.status.success() => parse(&String::from_utf8_lossy(&output.stdout)),
        _ => None,
    }
}

fn parse(status: &str) -> Option<Revision> {
    let commit = status.lines().find_map(|line| line.strip_prefix("# branch.oid "))?;
    let changed = status.lines().any(|line| !line.starts_with('#'));
    commit.chars().all(|c| c.is_ascii_hexdigit()).then(|| Revision { commit: commit.to_owned(), changed })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn make(dir: &Path, args: &[&str]) {
        let me = ["-c", "user.name=me", "-c", "user.email=me@localhost", "-c", "commit.gpgsign=false"];
        git(dir).args(me).args(args).read().unwrap();
    }

    #[test]
    fn commits_are_found_wherever_git_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a b");
        fs::create_dir(&root).unwrap();
        assert_eq!(read(&root), None, "no repository");
        make(&root, &["init", "-q"]);
        assert_eq!(read(&root), None, "no commit");
        fs::write(root.join("file"), "1").unwrap();
        fs::write(root.join(".gitignore"), "target\n").unwrap();
        make(&root, &["add", "."]);
        make(&root, &["commit", "-qm", "one"]);
        make(&root, &["pack-refs", "--all"]);
        make(&root, &["worktree", "add", "-q", "../other"]);
        let other = dir.path().join("other");
        let clean = read(&root).unwrap();
        assert_eq!((clean.commit.len(), clean.changed), (40, false));
        assert_eq!(read(&other), Some(clean.clone()));
        fs::write(root.join("target"), "ignored").unwrap();
        assert_eq!(read(&root), Some(clean.clone()));
        fs::write(root.join("new"), "").unwrap();
        assert_eq!(read(&root), Some(Revision { changed: true, ..clean.clone() }));
        assert_eq!(read(&other), Some(clean), "another worktree's files");
        make(&other, &["commit", "-q", "--allow-empty", "-m", "two"]);
        assert_ne!(read(&other).unwrap().commit, read(&root).unwrap().commit);
    }
}
