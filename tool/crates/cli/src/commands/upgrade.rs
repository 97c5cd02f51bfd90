//! `cargo xtask upgrade`: a newer tool in the place of this one.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cli::Upgrade;
use tool_base::fail::{Failure, Status};
use tool_base::git::git;
use tool_base::process::Cmd;
use tool_base::{fail, git, ui};
use tool_project::Project;
use tool_project::change::{self, Journal, Scratch, Stopped};
use tool_project::upgrade::plan::{self, Fate};
use tool_project::upgrade::source::{self, There};
use tool_project::upgrade::{RECORD, Record, VERSION};

/// What happens to the files outside tool/.
struct Outside {
    journal: Journal,
    /// What people should know of a file, by its path.
    notes: Vec<(String, String)>,
}

/// Runs the command.
pub fn run(args: &Upgrade) -> Result<Status> {
    let root = Project::load()?.root;
    let record = Record::read(&root)?;
    // A path is typed as seen from here.
    let typed =
        args.from.clone().map(|from| Path::new(&from).canonicalize().map_or(from, |path| path.display().to_string()));
    let from = typed.or_else(|| record.as_ref().map(|record| record.source.clone())).ok_or_else(|| {
        Failure::new(Status::Usage, "where is the newer tool? This project does not know where its tool came from")
            .hint("cargo xtask upgrade --from URL, or the path of a checkout, a bundle or an unpacked archive")
    })?;
    in_git(&root)?;
    let scratch = Scratch::new(&root)?;
    let done = upgrade(args, &root, record.as_ref(), &from, &scratch)?;
    drop(scratch);
    if done {
        doctor(&root);
    }
    Ok(Status::Done)
}

/// `true` where the change was made.
fn upgrade(args: &Upgrade, root: &Path, record: Option<&Record>, from: &str, folder: &Scratch) -> Result<bool> {
    let scratch = &folder.path;
    let there = source::fetch(root, from, args.rev.as_deref(), scratch)?;
    let here = source::tree(root, root, scratch)?;
    let known = match record {
        Some(record) if record.tree == here => Some(record.revision.clone()),
        Some(_) => None,
        None => there.commit_of(&here),
    };
    say_versions(known.as_deref(), &there);
    if here == there.tree {
        ui::data("Nothing to do: tool/ is the same.");
        return Ok(false);
    }
    let order = plan::compare(&there.version, VERSION);
    let changelog = fs::read_to_string(there.tool.join("CHANGELOG.md")).unwrap_or_default();
    let changes = plan::changes(&changelog, VERSION);
    if !changes.is_empty() && order != Ordering::Less {
        ui::data(&format!("\n{changes}\n"));
    }
    if args.check {
        return Ok(false);
    }
    if order == Ordering::Less && args.rev.is_none() {
        return Err(Failure::new(Status::Usage, format!("{} is older than {VERSION}", there.version))
            .hint(format!(
                "if that is meant, say so: cargo xtask upgrade --from {} --rev REVISION",
                source::shown(from)
            ))
            .into());
    }
    // Changes below tool/ have an error of their own.
    let but = if args.discard { &[".", ":!tool"][..] } else { &["."] };
    git::clean(root, but, "the upgrade")?;
    if !args.discard {
        ignored(root)?;
    }
    if known.is_none() {
        edited(args, root, record, &there, scratch)?;
    }
    let mut outside = outside(root, from, &there, folder)?;
    let count = outside.journal.write.len() + outside.journal.remove.len();
    show(root, scratch, &outside)?;
    "the upgrade of tool/".clone_into(&mut outside.journal.what);
    outside.journal.stage = [&["tool".to_owned()], &outside.journal.write[..], &outside.journal.remove].concat();
    folder.apply(Some(&there.tool), &outside.journal).map_err(|stopped| match stopped {
        Stopped::Before(error) => error,
        Stopped::Midway(error) => change::unfinished(&outside.journal.what, &error),
    })?;
    ui::data(&ui::paint(
        ui::GOOD,
        &format!("Upgraded to {}: tool/ and {count} files outside, staged in Git as one change.", there.version),
    ));
    ui::say(
        "\ntry it       cargo xtask ci\nlook at it   git diff --staged -- . ':!tool'\nkeep it      git commit\n\
         undo it      git restore --staged --worktree .\n",
    );
    Ok(true)
}

fn say_versions(known: Option<&str>, there: &There) {
    let short = |revision: &str| revision.chars().take(12).collect::<String>();
    let of = |revision: &str| if revision.is_empty() { String::new() } else { format!(" ({})", short(revision)) };
    ui::data(&format!("here    {VERSION}{}", of(known.unwrap_or_default())));
    ui::data(&format!("there   {}{}", there.version, of(&there.revision)));
}

/// An error outside of Git: there it could be neither reviewed nor undone.
fn in_git(root: &Path) -> Result<()> {
    let output = git(root).args(["rev-parse", "--verify", "--quiet", "HEAD"]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(fail::config("upgrade works on a Git repository with a commit only, so that it can be reviewed and undone")
        .hint(
            "git init && git add -A && git commit -m 'Before the upgrade'\n\
             or by hand: replace the folder tool/ by the new one (tool/docs/upgrade.md)",
        )
        .into())
}

/// An error where tool/ has files that Git ignores, other than what builds leave: they would go with it.
fn ignored(root: &Path) -> Result<()> {
    let list = ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "--", "tool"];
    let files = git(root).args(list).read()?;
    let built = |path: &str| path.ends_with("target/") || path.ends_with("__pycache__/");
    let Some(first) = files.lines().find(|path| !built(path)) else { return Ok(()) };
    let what = format!("{first} is in no commit, and the upgrade would remove it");
    Err(fail::config(what).hint("move it out of tool/, or drop it: the same command with --discard").into())
}

/// tool/ is not as it came: an error, or a word with `--discard`.
fn edited(args: &Upgrade, root: &Path, record: Option<&Record>, there: &There, scratch: &Path) -> Result<()> {
    let before = there.before(record, scratch);
    if let Some(before) = &before {
        let diff = Cmd::new("git").args(["diff", "--no-index", if args.discard { "--patch" } else { "--stat" }, "--"]);
        let output = diff.arg(before).arg(root.join("tool")).output()?;
        ui::say(String::from_utf8_lossy(&output.stdout).trim_end());
    }
    if args.discard {
        ui::warn("these changes of tool/ are dropped; Git keeps what was committed");
        return Ok(());
    }
    let what = match before {
        Some(_) => "tool/ is not as it came: somebody edited it, and an upgrade would drop the changes shown above",
        None => "tool/ is no version that the source knows: it was edited, or it came from elsewhere",
    };
    Err(fail::config(what)
        .hint("put your changes outside tool/ (tool/docs/upgrade.md), or drop them: the same command with --discard")
        .into())
}

/// What becomes of the files outside; their new texts are set aside.
fn outside(root: &Path, from: &str, there: &There, folder: &Scratch) -> Result<Outside> {
    let scratch = &folder.path;
    let base = source::files(&root.join("tool/template")).unwrap_or_default();
    let theirs = source::files(&there.tool.join("template")).unwrap_or_default();
    let ours = source::own(root, base.keys().chain(theirs.keys()));
    let mut outside = Outside { journal: Journal::default(), notes: Vec::new() };
    let write = |outside: &mut Outside, path: &str, text: &[u8]| -> Result<()> {
        if root.join(path).is_dir() {
            let what = format!("there is a folder {path} where the new version has a file");
            return Err(fail::config(what).hint(format!("rename it: git mv {path} {path}.mine")).into());
        }
        // Behind a link may be a file of another project.
        if let (Ok(target), true) = (root.join(path).read_link(), path != RECORD) {
            let how = format!("left as it is: it is a link to {}; compare with tool/template/{path}", target.display());
            outside.notes.push((path.to_owned(), how));
            return Ok(());
        }
        folder.set_aside(path, text).with_context(|| format!("cannot write the new {path}"))?;
        outside.journal.write.push(path.to_owned());
        Ok(())
    };
    for (path, fate) in plan::fates(&base, &ours, &theirs) {
        match fate {
            Fate::Write(text) => write(&mut outside, &path, &text)?,
            Fate::Remove => outside.journal.remove.push(path),
            Fate::Kept(why) => outside.notes.push((path, format!("left as it is: {why}"))),
            Fate::Merge { base, ours, theirs } => match merge(scratch, &base, &ours, &theirs)? {
                Some(text) if text == ours => {}
                Some(text) => write(&mut outside, &path, &text)?,
                None => {
                    let how =
                        format!("left as it is: both sides changed the same lines; compare with tool/template/{path}");
                    outside.notes.push((path, how));
                }
            },
        }
    }
    let flake = |files: &plan::Files| files.get("flake.nix").cloned();
    if flake(&base) != flake(&theirs) {
        let what = "where Nix is: `nix flake lock` brings it up to date with flake.nix";
        outside.notes.push(("flake.lock".to_owned(), what.to_owned()));
    }
    let record = Record {
        version: there.version.clone(),
        revision: there.revision.clone(),
        tree: there.tree.clone(),
        source: source::kept(root, from),
    };
    write(&mut outside, RECORD, record.text().as_bytes())?;
    if let Some(lock) = cargo_lock(root, there, scratch) {
        write(&mut outside, "Cargo.lock", lock.as_bytes())?;
    }
    Ok(outside)
}

/// The merged text; `None` where both sides changed the same lines.
fn merge(scratch: &Path, base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Option<Vec<u8>>> {
    let files: BTreeMap<&str, &[u8]> = BTreeMap::from([("ours", ours), ("base", base), ("theirs", theirs)]);
    for (name, text) in &files {
        fs::write(scratch.join(name), text)?;
    }
    let output = Cmd::new("git").args(["merge-file", "-p", "ours", "base", "theirs"]).cwd(scratch).output()?;
    Ok(output.status.success().then_some(output.stdout))
}

/// Cargo.lock as the new tool wants it, with the crates that it was tested with. `None` where cargo cannot tell without a
/// network: then the next `cargo xtask` brings it up to date.
fn cargo_lock(root: &Path, there: &There, scratch: &Path) -> Option<String> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let user = read(&root.join("Cargo.lock"))?;
    let trial = scratch.join("trial");
    let new = |path: &str| {
        Some(scratch.join("outside").join(path)).filter(|aside| aside.exists()).unwrap_or_else(|| root.join(path))
    };
    fs::create_dir_all(&trial).ok()?;
    // Whatever it is called: cargo says where the package is that runs.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = own.and_then(|own| Some(own.strip_prefix(root).ok()?.to_str()?.to_owned()));
    let own = own.unwrap_or_else(|| "xtask".to_owned());
    fs::create_dir_all(trial.join(&own).parent()?).ok()?;
    Cmd::new("cp").arg("-R").arg(root.join(&own)).arg(trial.join(&own)).read().ok()?;
    for path in ["Cargo.toml", &format!("{own}/Cargo.toml"), ".cargo/config.toml"] {
        let target = trial.join(path);
        fs::create_dir_all(target.parent()?).ok()?;
        let _ = fs::copy(new(path), target);
    }
    std::os::unix::fs::symlink(&there.tool, trial.join("tool")).ok()?;
    fs::write(trial.join("Cargo.lock"), plan::locked(&user, &read(&there.tool.join("Cargo.lock"))?)).ok()?;
    Cmd::new(super::cargo()).args(["update", "--workspace", "--offline"]).cwd(&trial).read().ok()?;
    read(&trial.join("Cargo.lock")).filter(|lock| *lock != user)
}

/// Shows what changes outside tool/.
fn show(root: &Path, scratch: &Path, outside: &Outside) -> Result<()> {
    for path in outside.journal.write.iter().filter(|path| *path != "Cargo.lock") {
        let old = root.join(path);
        let old = if old.exists() { old } else { "/dev/null".into() };
        let colour = if ui::data_columns().is_some() { "--color=auto" } else { "--color=never" };
        let diff = Cmd::new("git").args(["diff", "--no-index", colour, "--"]).arg(old);
        let output = diff.arg(scratch.join("outside").join(path)).output()?;
        ui::data(&ui::paint(ui::STRONG, path));
        // Behind the head, which names our folders.
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in text.lines().skip_while(|line| !line.starts_with("@@")) {
            ui::data(&format!("  {line}"));
        }
    }
    for path in &outside.journal.remove {
        ui::data(&format!("{} {}", ui::paint(ui::STRONG, path), ui::paint(ui::BAD, "is removed")));
    }
    for (path, note) in &outside.notes {
        ui::data(&format!("{}  {note}", ui::paint(ui::STRONG, path)));
    }
    ui::data("");
    Ok(())
}

/// The new tool looks at the host. What it says is said; it undoes nothing.
fn doctor(root: &Path) {
    let cmd =
        Cmd::new(super::cargo()).args(["run", "--quiet", "--package", &super::package(), "--", "doctor"]).cwd(root);
    ui::say(&ui::paint(ui::DIM, &format!("{cmd}")));
    if let Err(error) = cmd.status() {
        ui::warn(&fail::render(&error));
    }
}
