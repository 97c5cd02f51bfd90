//! What changed since a commit of Git, and which checks that affects.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use tool_base::fail::{Failure, Status};
use tool_base::git;
use tool_project::Check;

/// Where the main branch may be found, best first.
const MAIN: [&str; 5] = ["origin/HEAD", "origin/main", "origin/master", "main", "master"];

/// Files that differ from a commit.
#[derive(Debug)]
pub struct Change {
    /// Paths from the project's root, with `/`.
    pub paths: Vec<String>,
    /// The commit, as people are told of it.
    pub since: String,
}

/// Reads what changed since the commit where `base` and HEAD parted; `""` is the main branch. Counts what is committed,
/// what is not, and files that Git does not track but for those that it ignores.
pub fn read(root: &Path, base: &str) -> Result<Change> {
    let git = || git::git(root);
    let list = |args: &[&str]| anyhow::Ok(git::paths(git().args(args).read()?.as_bytes()));
    let commit = |name: &str| {
        let answer =
            git().args(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")]);
        let output = answer.output()?;
        let found = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        anyhow::Ok(found)
    };
    let wrong = |message: String| Failure::new(Status::Usage, message);
    if !git().args(["rev-parse", "--git-dir"]).output()?.status.success() {
        return Err(wrong(format!("--changed needs a Git repository, and {} is in none", root.display()))
            .hint("git init, or leave out --changed")
            .into());
    }
    let mut paths = list(&["ls-files", "-z", "--others", "--exclude-standard"])?;
    let Some(head) = commit("HEAD")? else {
        paths.extend(list(&["ls-files", "-z"])?);
        return Ok(Change { paths, since: "ever: there is no commit yet".to_owned() });
    };
    let (name, tip) = if base.is_empty() {
        let mut found = ("HEAD", head.clone());
        for name in MAIN {
            if let Some(tip) = commit(name)? {
                found = (name, tip);
                break;
            }
        }
        found
    } else {
        let tip = commit(base)?.ok_or_else(|| {
            wrong(format!("`{base}` is no commit in this repository")).hint(format!("git fetch origin {base}"))
        })?;
        (base, tip)
    };
    let parted = git().args(["merge-base", &tip, &head]).output()?;
    if !parted.status.success() {
        return Err(wrong(format!("`{name}` and HEAD have no common commit here"))
            .hint("git fetch --unshallow: this clone may hold only a part of the history")
            .into());
    }
    let parted = String::from_utf8_lossy(&parted.stdout).trim().to_owned();
    // Both names of a renamed file, and only what lies in the project where it is a part of a repository.
    paths.extend(list(&["diff", "--name-only", "-z", "--no-renames", "--relative", &parted, "--"])?);
    paths.sort_unstable();
    paths.dedup();
    Ok(Change { paths, since: format!("{name} ({})", &parted[..parted.len().min(8)]) })
}

/// Checks that a change affects.
#[derive(Debug, PartialEq, Eq)]
pub enum Affected {
    /// All, because of this file.
    All(String),
    /// Some, by name.
    Some(BTreeSet<String>),
}

impl Affected {
    /// Whether a check is among them.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All(_) => true,
            Self::Some(names) => names.contains(name),
        }
    }

    /// The file because of which all are.
    pub fn all_because(&self) -> Option<&str> {
        match self {
            Self::All(path) => Some(path),
            Self::Some(_) => None,
        }
    }
}

/// Judges which checks depend on one of the files. `mentions` tells whether the text of a check has a word.
///
/// A file of a check counts for it, and for checks that mention the file. What nobody runs counts for none. Everything
/// else (the IOC, simulators, machines, xtask, and what we do not know) counts for all.
pub fn affected(paths: &[String], checks: &[Check], mentions: impl Fn(&Check, &str) -> bool) -> Affected {
    let mut names = BTreeSet::new();
    for path in paths {
        if is_only_read(path) {
            continue;
        }
        // A module's name stands in no check that has it from another module.
        let file = path.strip_prefix("checks/").filter(|file| !file.starts_with("lib/"));
        let Some(file) = file else { return Affected::All(path.clone()) };
        let mut known = false;
        for check in checks {
            let own = ["py", "nix", "toml"].iter().any(|kind| file == format!("{}.{kind}", check.name));
            if own || mentions(check, file) {
                names.insert(check.name.clone());
                known = true;
            }
        }
        // A check that was deleted was nobody else's; a file of another kind may be everybody's.
        let of_a_check = !file.contains('/') && [".py", ".nix", ".toml"].iter().any(|kind| file.ends_with(kind));
        if !known && !of_a_check {
            return Affected::All(path.clone());
        }
    }
    Affected::Some(names)
}

/// Folders of the tool that no run of a check reads.
const TOOL_READ: [&str; 5] = ["tool/ci/", "tool/docs/", "tool/e2e/", "tool/template/", "tool/driver/tests/"];

/// Whether a file is for readers or for a CI service only.
fn is_only_read(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let is = |list: &[&str]| list.contains(&first);
    if path.contains('/') {
        return is(&["docs", ".github", ".gitlab", ".ci"]) || TOOL_READ.iter().any(|folder| path.starts_with(folder));
    }
    path.rsplit_once('.').is_some_and(|(_, kind)| kind == "md")
        || path.starts_with("LICENSE")
        || is(&[".gitignore", ".gitlab-ci.yml", ".editorconfig", "rustfmt.toml", "clippy.toml", "deny.toml"])
}

/// Whether the script or the NixOS test of a check has a word in its text.
pub fn mentions(check: &Check, word: &str) -> bool {
    let files = [&check.script, &check.nix];
    files.into_iter().flatten().any(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains(word)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use tool_base::fail;

    fn judge(paths: &[&str]) -> Affected {
        let checks: Vec<Check> =
            ["ramp", "simple"].iter().map(|n| Check { name: (*n).into(), ..Check::default() }).collect();
        let paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
        affected(&paths, &checks, |check, word| check.name == "ramp" && ["table.csv", "lib/limits.py"].contains(&word))
    }

    #[test]
    fn what_a_file_affects() {
        let some = |names: &[&str]| Affected::Some(names.iter().map(|n| (*n).to_owned()).collect());
        for file in ["checks/simple.py", "checks/simple.nix", "checks/simple.toml"] {
            assert_eq!(judge(&[file]), some(&["simple"]), "{file}");
        }
        assert_eq!(judge(&["checks/simple.py", "checks/ramp.py", "README.md"]), some(&["ramp", "simple"]));
        assert_eq!(judge(&["checks/table.csv"]), some(&["ramp"]), "a check mentions it");
        assert_eq!(judge(&["checks/deleted.py"]), some(&[]));
        for file in [
            "docs/x.md",
            "tool/docs/x.md",
            "README.md",
            "LICENSE-MIT",
            ".github/workflows/ci.yml",
            "tool/e2e/tests/a.rs",
        ] {
            assert_eq!(judge(&[file]), some(&[]), "{file}");
        }
        for file in [
            "ioc/exampleApp/Db/a.db",
            "ioc/README.md",
            "ioc.toml",
            "tool/nix/service.nix",
            "flake.lock",
            "tool/embedded/src/main.rs",
            "tool/crates/init/src/lib.rs",
            "vendor/clap/src/lib.rs",
            "xtask/src/main.rs",
            "Cargo.lock",
            "simulators/psu.py",
            "checks/common/limits.nix",
            "checks/other.csv",
            "checks/lib/limits.py",
        ] {
            assert_eq!(judge(&["checks/simple.py", file]), Affected::All(file.to_owned()), "{file}");
        }
    }

    /// A repository on `main` with one commit, that has simple.py, in a folder below its top.
    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let it = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(it.root().join("checks")).unwrap();
            it.git(&["init", "--quiet", "--initial-branch=main"]);
            it.commit("checks/simple.py", "first");
            it
        }

        fn root(&self) -> std::path::PathBuf {
            self.0.path().join("a b/ïoc")
        }

        fn git(&self, args: &[&str]) {
            let who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
            fs::create_dir_all(self.root()).unwrap();
            git::git(&self.root()).args(who).args(args).read().unwrap();
        }

        fn commit(&self, file: &str, text: &str) {
            fs::write(self.root().join(file), text).unwrap();
            self.git(&["add", "."]);
            self.git(&["commit", "--quiet", "--message", text]);
        }

        fn changed(&self, base: &str) -> Vec<String> {
            read(&self.root(), base).unwrap().paths
        }
    }

    #[test]
    fn changes_are_committed_staged_edited_and_untracked() {
        let it = Repository::new();
        assert_eq!(it.changed(""), [""; 0]);
        fs::write(it.root().join(".gitignore"), "target\n").unwrap();
        fs::write(it.root().join("target"), "").unwrap();
        fs::write(it.root().join("grüße.md"), "").unwrap();
        assert_eq!(it.changed(""), [".gitignore", "grüße.md"]);
        it.git(&["switch", "--quiet", "--create", "topic"]);
        it.commit("checks/ramp.py", "second");
        fs::write(it.root().join("checks/simple.py"), "edited").unwrap();
        it.git(&["mv", "checks/ramp.py", "checks/slope.py"]);
        assert_eq!(it.changed("HEAD"), ["checks/ramp.py", "checks/simple.py", "checks/slope.py"]);
        assert_eq!(it.changed(""), [".gitignore", "checks/simple.py", "checks/slope.py", "grüße.md"]);
        // What came to main meanwhile is not ours.
        it.git(&["stash", "--quiet"]);
        it.git(&["switch", "--quiet", "main"]);
        it.commit("main.txt", "third");
        it.git(&["switch", "--quiet", "topic"]);
        assert_eq!(it.changed("main"), [".gitignore", "checks/ramp.py", "grüße.md"]);
    }

    #[test]
    fn without_a_repository_or_a_base_the_next_step_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = |root: &Path, base| fail::render(&read(root, base).unwrap_err());
        assert!(told(dir.path(), "").contains("--changed needs a Git repository"), "{}", told(dir.path(), ""));
        let it = Repository::new();
        assert_eq!(
            told(&it.root(), "mian"),
            "error: `mian` is no commit in this repository\n\nhint: git fetch origin mian"
        );
        assert!(told(&it.root(), "--all").contains("`--all` is no commit"));
        it.git(&["checkout", "--quiet", "--orphan", "other"]);
        assert_eq!(it.changed(""), ["checks/simple.py"], "no commit yet");
        it.commit("x", "x");
        assert!(told(&it.root(), "main").contains("no common commit"));
    }
}
