//! What is here and what is there: Git is asked, nothing is changed but a folder of our own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::Files;
use super::{Record, VERSION};
use tool_base::fail::{self, Failure, Status};
use tool_base::git::git;
use tool_base::process::Cmd;

/// A tool that could come in.
#[derive(Debug, Clone)]
pub struct There {
    /// Its folder `tool/`, unpacked.
    pub tool: PathBuf,
    /// Its version.
    pub version: String,
    /// Its commit; empty where the source has no history.
    pub revision: String,
    /// Git's name of its folder.
    pub tree: String,
    /// The repository with its history, where there is one.
    repository: Option<PathBuf>,
}

/// Git's name of a folder `tool/` below another one, as it lies there. It is what a commit of it would have.
pub fn tree(root: &Path, below: &Path, scratch: &Path) -> Result<String> {
    let index = scratch.join("index");
    let _ = fs::remove_file(&index);
    let objects = git(root).args(["rev-parse", "--absolute-git-dir"]).read()?;
    let here = || {
        Cmd::new("git")
            .env("GIT_DIR", objects.trim())
            .env("GIT_WORK_TREE", below)
            .env("GIT_INDEX_FILE", &index)
            .cwd(below)
    };
    let add = if root == below {
        // What is tracked counts also where the user's .gitignore has its name.
        let prefix = git(root).args(["rev-parse", "--show-prefix"]).read()?;
        here().args(["read-tree", &format!("HEAD:{}", prefix.trim())]).read()?;
        here()
    } else {
        here().args(["-c", "core.excludesFile="])
    };
    add.args(["-c", "core.safecrlf=false", "add", "--all", "--", "tool"]).read()?;
    Ok(here().args(["write-tree", "--prefix=tool/"]).read()?.trim().to_owned())
}

/// Brings what a source has into a folder of our own.
///
/// # Errors
/// Nothing is there, it holds no tool, or it does not have the revision.
pub fn fetch(root: &Path, from: &str, rev: Option<&str>, scratch: &Path) -> Result<There> {
    let new = scratch.join("new");
    fs::create_dir_all(&new).with_context(|| format!("cannot create {}", new.display()))?;
    let path = absolute(root, from);
    let plain = path.as_ref().filter(|path| path.join("tool/Cargo.toml").is_file() && !is_repository(path));
    let (repository, revision) = match (&path, plain) {
        (_, Some(folder)) => {
            if let Some(rev) = rev {
                let what = format!("{} is no Git repository, so it has no revision `{rev}`", folder.display());
                return Err(Failure::new(Status::Usage, what).hint("leave out --rev").into());
            }
            Cmd::new("cp").arg("-R").arg(folder.join("tool")).arg(&new).read()?;
            (None, String::new())
        }
        (Some(archive), None) if archive.is_file() && is_archive(archive) => {
            Cmd::new("tar").arg("-C").arg(&new).arg("-xmf").arg(archive).read()?;
            lift(&new)?;
            (None, String::new())
        }
        _ => {
            let repository = scratch.join("source.git");
            let from = path.as_ref().map_or(from.to_owned(), |path| path.display().to_string());
            let revision = clone(&from, rev, &repository)?;
            let bare = || Cmd::new("git").arg("--git-dir").arg(&repository);
            if !bare().args(["cat-file", "-e", &format!("{revision}:tool/Cargo.toml")]).output()?.status.success() {
                let what = format!("{} has no folder tool/ at {revision}", shown(&from));
                let hint =
                    "name a repository of the template, of version 0.2.0 or later: --from URL, or --rev REVISION";
                return Err(Failure::new(Status::Usage, what).hint(hint).into());
            }
            let checkout = bare().arg("--work-tree").arg(&new).cwd(&new);
            checkout.args(["checkout", "--quiet", "--force", &revision, "--", "tool"]).read()?;
            (Some(repository), revision)
        }
    };
    let tool = new.join("tool");
    let version = version_of(&tool).ok_or_else(|| {
        Failure::new(Status::Usage, format!("{} has no folder tool/ with a version", shown(from)))
            .hint("name another: --from PATH")
    })?;
    let tree = tree(root, &new, scratch)?;
    Ok(There { tool, version, revision, tree, repository })
}

/// The version that a folder `tool/` says it has.
pub fn version_of(tool: &Path) -> Option<String> {
    let manifest: toml::Table = fs::read_to_string(tool.join("Cargo.toml")).ok()?.parse().ok()?;
    Some(manifest.get("workspace")?.get("package")?.get("version")?.as_str()?.to_owned())
}

/// A source as it is kept: the next upgrade finds it from anywhere.
pub fn kept(root: &Path, from: &str) -> String {
    absolute(root, from).map_or_else(|| shown(from), |path| path.display().to_string())
}

/// A source as it may be shown: a URL without its password, of HTTP without its user too (that is where tokens are).
pub fn shown(from: &str) -> String {
    let Some((scheme, rest)) = from.split_once("://") else { return from.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else { return from.to_owned() };
    let user = rest[..at].split(':').next().filter(|_| !scheme.starts_with("http"));
    let user = user.map_or(String::new(), |user| format!("{user}@"));
    format!("{scheme}://{user}{}", &rest[at + 1..])
}

/// A path on this computer, seen from the project; `None` for a URL.
fn absolute(root: &Path, from: &str) -> Option<PathBuf> {
    let path = root.join(from);
    path.exists().then(|| path.canonicalize().unwrap_or(path))
}

fn is_repository(path: &Path) -> bool {
    let top = git(path).args(["rev-parse", "--show-prefix"]).output();
    // A folder inside somebody else's repository is not one.
    top.is_ok_and(|output| output.status.success() && output.stdout.trim_ascii().is_empty())
}

fn is_archive(path: &Path) -> bool {
    let name = path.to_string_lossy();
    [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"].iter().any(|end| name.ends_with(end))
}

/// Archives have one folder around all.
fn lift(new: &Path) -> Result<()> {
    if new.join("tool").is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(new)?.flatten() {
        let inside = entry.path().join("tool");
        if inside.is_dir() {
            fs::rename(inside, new.join("tool"))?;
            return Ok(());
        }
    }
    Ok(())
}

/// Fetches all of a repository, or a bundle, into an empty one; the commit that was asked for, else that of HEAD.
fn clone(from: &str, rev: Option<&str>, repository: &Path) -> Result<String> {
    Cmd::new("git").args(["init", "--quiet", "--bare"]).arg(repository).read()?;
    let here = || Cmd::new("git").arg("--git-dir").arg(repository).env("GIT_TERMINAL_PROMPT", "0");
    let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    let fetch = ["fetch", "--quiet", "--no-write-fetch-head", "--update-shallow", "--", from];
    let shown = shown(from);
    here().args(fetch).args(all).read().map_err(|error| {
        fail::host(format!("nothing could be fetched from {shown}: {}", format!("{error:#}").replace(from, &shown)))
            .hint("without a network, name a checkout, a bundle or an unpacked archive: --from PATH")
    })?;
    // A HEAD that is on no branch; a bundle may have none.
    here().args(fetch).arg("+HEAD:refs/xtask/head").output()?;
    let commit = |name: &str| {
        let output = here().args(["rev-parse", "--quiet", "--verify", &format!("{name}^{{commit}}")]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if let Some(rev) = rev {
        let tags = || here().args(["tag", "--list", "--sort=-v:refname"]).read().unwrap_or_default();
        return commit(rev).ok_or_else(|| {
            let tags = tags().lines().take(5).collect::<Vec<_>>().join(", ");
            let hint = if tags.is_empty() {
                "it has no tags; name a branch or a commit".to_owned()
            } else {
                format!("its newest tags: {tags}")
            };
            Failure::new(Status::Usage, format!("{shown} has no revision `{rev}`")).hint(hint).into()
        });
    }
    let head = here().args(["ls-remote", from, "HEAD"]).read().unwrap_or_default();
    let head = head.split_whitespace().next().map(str::to_owned);
    // A bundle may have no HEAD.
    let branches = ["refs/heads/main", "refs/heads/master"];
    head.or_else(|| branches.iter().find_map(|name| commit(name))).ok_or_else(|| {
        Failure::new(Status::Usage, format!("{shown} does not say which of its branches is the main one"))
            .hint("name one: --rev BRANCH")
            .into()
    })
}

impl There {
    /// The commit of the source whose folder tool/ is the one of this name; `None` where there is none.
    pub fn commit_of(&self, tree: &str) -> Option<String> {
        let git = Cmd::new("git").arg("--git-dir").arg(self.repository.as_ref()?);
        let log = git.args(["log", "--all", "--format=%H", "--", "tool"]).read().ok()?;
        let names: Vec<String> = log.lines().map(|commit| format!("{commit}:tool")).collect();
        // In portions: a command line has an end.
        names
            .chunks(500)
            .find_map(|chunk| {
                let git = Cmd::new("git").arg("--git-dir").arg(self.repository.as_ref()?);
                // A commit without the folder is no reason to stop; its line is left out.
                let output = git.args(["rev-parse", "--revs-only"]).args(chunk).output().ok()?;
                let trees = String::from_utf8_lossy(&output.stdout).into_owned();
                if trees.lines().count() != chunk.len() {
                    let one = |name: &&String| {
                        let git =
                            Cmd::new("git").arg("--git-dir").arg(self.repository.as_deref().unwrap_or(Path::new("")));
                        git.args(["rev-parse", "--quiet", "--verify", name])
                            .read()
                            .is_ok_and(|found| found.trim() == tree)
                    };
                    return chunk.iter().find(one).cloned();
                }
                trees.lines().position(|found| found == tree).map(|at| chunk[at].clone())
            })
            .map(|name| name.trim_end_matches(":tool").to_owned())
    }

    /// The folder tool/ that this project's tool was before it was edited, as far as the source has it: that of the record's
    /// commit, else of the version's tag.
    pub fn before(&self, record: Option<&Record>, scratch: &Path) -> Option<PathBuf> {
        let repository = self.repository.as_ref()?;
        let names = [record.map(|record| record.revision.clone()), Some(format!("v{VERSION}"))];
        let old = scratch.join("old");
        fs::create_dir_all(&old).ok()?;
        names.into_iter().flatten().filter(|name| !name.is_empty()).find_map(|name| {
            let git = Cmd::new("git").arg("--git-dir").arg(repository).arg("--work-tree").arg(&old).cwd(&old);
            git.args(["checkout", "--quiet", "--force", &name, "--", "tool"]).read().ok()?;
            Some(old.join("tool"))
        })
    }
}

/// Files of a folder by their path in there.
pub fn files(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file()
            && let Ok(path) = entry.path().strip_prefix(folder)
        {
            files.insert(path.to_string_lossy().into_owned(), fs::read(entry.path())?);
        }
    }
    Ok(files)
}

/// Those of some files that lie in the project.
pub fn own<'a>(root: &Path, paths: impl Iterator<Item = &'a String>) -> Files {
    paths.filter_map(|path| Some((path.clone(), fs::read(root.join(path)).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn no_secret_is_shown() {
        assert_eq!(shown("https://me:SECRET@host/x.git"), "https://host/x.git");
        assert_eq!(shown("https://TOKEN@host"), "https://host");
        assert_eq!(shown("ssh://git:SECRET@host:22/x@y"), "ssh://git@host:22/x@y");
        assert_eq!(shown("git@host:x.git"), "git@host:x.git");
        assert_eq!(shown("https://host/a@b"), "https://host/a@b");
        assert_eq!(shown("../template"), "../template");
    }
}
