//! `cargo xtask upgrade`, between two versions of this tool in repositories of their own.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Run, copy, environment, git};
use tempfile::TempDir;

/// The template's repository with versions 0.2.0 and 9.0.0, and a project without common history that was made of the first.
struct World {
    dir: TempDir,
    source: PathBuf,
    root: PathBuf,
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} has no `{from}`", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

/// A tool without what is large and of no concern here: its crates, tests and guides are a file each.
fn small_tool(to: &Path) {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for part in ["Cargo.toml", "Cargo.lock", "CHANGELOG.md", "template", "driver/__init__.py"] {
        copy(&tool.join(part), &to.join("tool").join(part));
    }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (source, root) = (dir.path().join("the source"), dir.path().join("my IOC"));
        small_tool(&source);
        copy(&source.join("tool/template"), &source);
        fs::write(source.join("Cargo.lock"), "version = 4\n").unwrap();
        git(dir.path(), &["init", "-q", "-b", "main", source.to_str().unwrap()]);
        git(&source, &["add", "-A", "-f"]);
        git(&source, &["commit", "-qm", "one"]);
        git(&source, &["tag", &format!("v{}", env!("CARGO_PKG_VERSION"))]);
        copy(&source, &root);
        fs::remove_dir_all(root.join(".git")).unwrap();
        git(&root, &["init", "-q", "-b", "main"]);
        git(&root, &["add", "-A", "-f"]);
        git(&root, &["commit", "-qm", "Start from the template"]);

        let here = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
        edit(&source.join("tool/Cargo.toml"), &here, "version = \"9.0.0\"");
        edit(&source.join("tool/CHANGELOG.md"), "# Changelog\n", "# Changelog\n\n## 9.0.0\n\n* It flies.\n");
        edit(&source.join("tool/template/flake.nix"), "EPICS IOC, tested", "EPICS IOC, flown and tested");
        edit(&source.join("tool/template/.gitignore"), "/result-*\n", "/result-*\n/flights\n");
        edit(&source.join("tool/template/ioc.toml"), "9999", "9998");
        fs::write(source.join("tool/template/.gitattributes"), "root = true\n").unwrap();
        fs::remove_file(source.join("tool/template/.github/zizmor.yml")).unwrap();
        git(&source, &["add", "-A", "-f"]);
        git(&source, &["commit", "-qm", "nine"]);
        git(&source, &["tag", "v9.0.0"]);
        Self { dir, source, root }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreign"));
        environment(&mut command, &self.root);
        // The new tool's doctor would be built here: it is not what these tests are about.
        command.env("CARGO", "false").env("GIT_CONFIG_GLOBAL", "/dev/null").arg("upgrade").args(args);
        command
    }

    fn upgrade(&self, args: &[&str]) -> Run {
        Run::of(&self.command(args).output().unwrap())
    }

    fn by_path(&self, args: &[&str]) -> Run {
        self.upgrade(&[&["--from", self.source.to_str().unwrap()], args].concat())
    }

    fn commit(&self, what: &str) {
        git(&self.root, &["add", "-A"]);
        git(&self.root, &["commit", "-qm", what]);
    }

    fn version(&self) -> String {
        let manifest = fs::read_to_string(self.root.join("tool/Cargo.toml")).unwrap();
        manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap().trim_matches('"').to_owned()
    }

    /// Nothing has changed, and nothing is left.
    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(git(&self.root, &["status", "--porcelain"]), "");
        assert!(!self.root.join(".xtask-change").exists());
        assert_eq!(self.version(), env!("CARGO_PKG_VERSION"));
    }

    /// All of the new version is there, staged, and nothing else.
    #[track_caller]
    fn is_upgraded(&self) {
        assert_eq!(self.version(), "9.0.0");
        let status = git(&self.root, &["status", "--porcelain"]);
        assert!(!status.is_empty() && status.lines().all(|line| !line.starts_with([' ', '?'])), "{status}");
        let there = git(&self.source, &["rev-parse", "v9.0.0:tool"]);
        assert_eq!(git(&self.root, &["write-tree", "--prefix=tool/"]), there);
        assert!(!self.root.join(".xtask-change").exists());
        assert!(!self.root.join("tool/.not-in-place-yet").exists());
        assert!(fs::read_to_string(self.root.join("flake.nix")).unwrap().contains("flown"));
    }
}

#[test]
fn one_staged_change_brings_the_new_tool_and_its_wiring() {
    let world = World::new();
    let check = world.by_path(&["--check"]).expect(0, &[]);
    for part in ["here    0.2.0 (", "there   9.0.0 (", "## 9.0.0", "* It flies."] {
        assert!(check.stdout.contains(part), "{}", check.stdout);
    }
    assert!(!check.stdout.contains("## 0.2.0"), "{}", check.stdout);
    world.is_untouched();

    let run = world.by_path(&[]).expect(0, &["undo it      git restore --staged --worktree ."]);
    assert!(run.stdout.contains("Upgraded to 9.0.0: tool/ and 5 files outside"), "{}", run.stdout);
    assert!(run.stdout.contains("+  description = \"EPICS IOC, flown and tested"), "{}", run.stdout);
    world.is_upgraded();
    assert!(fs::read_to_string(world.root.join(".gitignore")).unwrap().contains("/flights"));
    assert!(world.root.join(".gitattributes").exists() && !world.root.join(".github/zizmor.yml").exists());
    assert!(fs::read_to_string(world.root.join("ioc.toml")).unwrap().contains("9999"), "that is the user's");
    let record = fs::read_to_string(world.root.join("tool.lock")).unwrap();
    let revision = git(&world.source, &["rev-parse", "v9.0.0"]);
    assert!(record.contains("version = \"9.0.0\"") && record.contains(&revision), "{record}");

    world.commit("upgraded");
    let again = world.upgrade(&["--check"]).expect(0, &[]);
    assert!(again.stdout.contains("Nothing to do"), "the record names the source: {}", again.stdout);
    git(&world.root, &["reset", "-q", "--hard", "HEAD~1"]);
    world.is_untouched();
}

#[test]
fn what_the_user_changed_outside_is_merged_or_kept() {
    let world = World::new();
    edit(&world.root.join("flake.nix"), "(final: prev: { })", "(final: prev: { mine = 1; })");
    fs::write(world.root.join(".gitignore"), "mine\n").unwrap();
    fs::write(world.root.join(".gitattributes"), "mine = true\n").unwrap();
    edit(&world.root.join(".github/zizmor.yml"), "rules:", "# mine\nrules:");
    world.commit("mine");
    let run = world.by_path(&[]).expect(0, &[]);
    let flake = fs::read_to_string(world.root.join("flake.nix")).unwrap();
    assert!(flake.contains("flown") && flake.contains("mine = 1"), "{flake}");
    let kept = |path: &str, text: &str| assert_eq!(fs::read_to_string(world.root.join(path)).unwrap(), text, "{path}");
    kept(".gitignore", "mine\n");
    kept(".gitattributes", "mine = true\n");
    assert!(world.root.join(".github/zizmor.yml").exists());
    for part in
        ["both sides changed the same lines", "tool/template/.gitignore", "you have a file of this name already"]
    {
        assert!(run.stdout.contains(part), "{}", run.stdout);
    }
}

#[test]
fn line_ends_of_windows_are_no_edit() {
    let world = World::new();
    git(&world.root, &["config", "core.autocrlf", "true"]);
    fs::remove_file(world.root.join(".git/index")).unwrap();
    git(&world.root, &["reset", "-q", "--hard"]);
    assert!(fs::read_to_string(world.root.join("flake.nix")).unwrap().contains("\r\n"));
    world.by_path(&[]).expect(0, &[]);
    world.is_upgraded();
    let flake = fs::read_to_string(world.root.join("flake.nix")).unwrap();
    assert_eq!(flake.matches('\n').count(), flake.matches("\r\n").count());
}

/// People call the package that runs the tool as they like.
#[test]
fn a_package_of_another_name_is_kept_and_asked() {
    let world = World::new();
    fs::rename(world.root.join("xtask"), world.root.join("dev")).unwrap();
    edit(&world.root.join("dev/Cargo.toml"), "\"xtask\"", "\"dev\"");
    edit(&world.root.join("Cargo.toml"), "\"xtask\"", "\"dev\"");
    edit(&world.root.join(".cargo/config.toml"), "--package xtask", "--package dev");
    edit(&world.source.join("tool/template/.cargo/config.toml"), "[alias]\n", "# Ours\n[alias]\n");
    edit(&world.source.join("tool/template/xtask/Cargo.toml"), "0.1.0", "0.1.1");
    git(&world.source, &["commit", "-qam", "more"]);
    world.commit("dev");
    let cargo = world.dir.path().join("cargo");
    common::executable(&cargo, "#!/bin/sh\necho \"asked in $PWD: $*\" >&2\n");
    let mut command = world.command(&["--from", world.source.to_str().unwrap()]);
    command.env("CARGO", cargo).env("CARGO_PKG_NAME", "dev").env("CARGO_MANIFEST_DIR", world.root.join("dev"));
    let doctor = format!("asked in {}: run --quiet --package dev -- doctor\n", world.root.display());
    let run = Run::of(&command.output().unwrap()).expect(0, &[&doctor]);
    assert_eq!(world.version(), "9.0.0");
    assert!(!world.root.join("xtask").exists(), "{}", run.stdout);
    let config = fs::read_to_string(world.root.join(".cargo/config.toml")).unwrap();
    assert!(config.starts_with("# Ours\n") && config.contains("--package dev"), "{config}");
}

#[test]
fn an_edited_tool_is_refused_and_dropped_only_when_asked() {
    let world = World::new();
    edit(&world.root.join("tool/driver/__init__.py"), "\n", "\n# mine\n");
    world.by_path(&[]).expect(3, &["there are changes that are not committed"]);
    world.commit("edited");
    world.by_path(&[]).expect(3, &["tool/ is not as it came", "driver/__init__.py", "--discard"]);
    assert_eq!(world.version(), env!("CARGO_PKG_VERSION"));
    world.by_path(&["--discard"]).expect(0, &["+# mine", "are dropped"]);
    world.is_upgraded();
}

#[test]
fn what_git_ignores_is_neither_an_edit_nor_lost() {
    let world = World::new();
    fs::write(world.root.join(".git/info/exclude"), "CHANGELOG.md\n*.local\n").unwrap();
    let notes = world.root.join("tool/notes.local");
    fs::write(&notes, "mine").unwrap();
    world.by_path(&[]).expect(3, &["tool/notes.local is in no commit", "move it out of tool/"]);
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    fs::remove_file(notes).unwrap();
    world.by_path(&[]).expect(0, &[]);
    world.is_upgraded();
}

#[test]
fn a_source_may_be_on_no_branch() {
    let world = World::new();
    git(&world.source, &["checkout", "-q", "--detach"]);
    git(&world.source, &["branch", "-q", "-D", "main"]);
    edit(&world.source.join("tool/CHANGELOG.md"), "It flies", "It flies far");
    git(&world.source, &["commit", "-qam", "on no branch"]);
    world.by_path(&[]).expect(0, &[]);
    assert!(fs::read_to_string(world.root.join("tool/CHANGELOG.md")).unwrap().contains("flies far"));
}

#[test]
fn what_cannot_be_is_refused_and_nothing_changes() {
    let world = World::new();
    world.upgrade(&[]).expect(2, &["does not know where its tool came from", "hint: cargo xtask upgrade --from"]);
    world.by_path(&["--rev", "v7"]).expect(2, &["has no revision `v7`", "its newest tags: v9.0.0"]);
    world.upgrade(&["--from", "/nowhere/at all"]).expect(5, &["nothing could be fetched", "--from PATH"]);
    world.upgrade(&["--from", "http://127.0.0.1:9/x.git"]).expect(5, &["nothing could be fetched"]);
    let empty = world.dir.path().join("empty");
    git(world.dir.path(), &["init", "-q", "-b", "main", empty.to_str().unwrap()]);
    fs::write(empty.join("file"), "").unwrap();
    git(&empty, &["add", "-A"]);
    git(&empty, &["commit", "-qm", "x"]);
    world.upgrade(&["--from", empty.to_str().unwrap()]).expect(2, &["has no folder tool/"]);
    world.is_untouched();
    fs::write(world.root.join("new file"), "").unwrap();
    world.by_path(&[]).expect(3, &["not committed, in \"new file\"", "git stash -u"]);
    fs::remove_file(world.root.join("new file")).unwrap();
    world.is_untouched();
    fs::rename(world.root.join(".git"), world.dir.path().join("away")).unwrap();
    world.by_path(&[]).expect(3, &["works on a Git repository", "by hand: replace the folder tool/"]);
}

#[test]
fn an_older_version_must_be_meant() {
    let world = World::new();
    edit(&world.source.join("tool/Cargo.toml"), "version = \"9.0.0\"", "version = \"0.1.9\"");
    git(&world.source, &["commit", "-qam", "back"]);
    world.by_path(&[]).expect(2, &["0.1.9 is older than 0.2.0", "--rev REVISION"]);
    world.is_untouched();
    world.by_path(&["--rev", "main"]).expect(0, &[]);
    assert_eq!(world.version(), "0.1.9");
}

#[test]
fn bundles_archives_and_folders_do_without_a_network() {
    let world = World::new();
    let path = |name: &str| world.dir.path().join(name).to_str().unwrap().to_owned();
    let (bundle, archive, folder) = (path("t.bundle"), path("t.tar.gz"), path("plain"));
    git(&world.source, &["bundle", "create", "-q", &bundle, "main", "--tags"]);
    git(&world.source, &["archive", "--format=tar.gz", "--prefix=template-9/", "-o", &archive, "HEAD"]);
    copy(&world.source.join("tool"), &Path::new(&folder).join("tool"));
    world.upgrade(&["--from", &bundle]).expect(0, &[]);
    world.is_upgraded();
    for (from, args) in [(&archive, vec!["--discard"]), (&folder, vec!["--discard"])] {
        git(&world.root, &["reset", "-q", "--hard"]);
        // Without a history nothing tells whether tool/ was edited.
        world.upgrade(&["--from", from]).expect(3, &["is no version that the source knows", "--discard"]);
        world.is_untouched();
        world.upgrade(&[&["--from", from.as_str()], args.as_slice()].concat()).expect(0, &[]);
        world.is_upgraded();
    }
    world.upgrade(&["--from", &folder, "--rev", "x"]).expect(2, &["has no revision `x`"]);
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_or_the_new() {
    let world = World::new();
    for step in ["prepared", "journal", "tool", "outside", "files", "staged"] {
        let source = world.source.to_str().unwrap();
        let killed = world.command(&["--from", source]).env("XTASK_DIES_AT", step).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{step}: {}", String::from_utf8_lossy(&killed.stderr));
        // Whatever comes next finishes it, or nothing has happened.
        let mut list = Command::new(env!("CARGO_BIN_EXE_foreign"));
        environment(&mut list, &world.root);
        let next = Run::of(&list.arg("list").output().unwrap()).expect(0, &[]);
        if step == "prepared" {
            assert_eq!(git(&world.root, &["status", "--porcelain"]), "");
            world.by_path(&[]).expect(0, &[]);
        } else {
            assert!(next.stderr.contains("was interrupted: it is finished now"), "{step}: {}", next.stderr);
        }
        world.is_upgraded();
        git(&world.root, &["reset", "-q", "--hard"]);
        world.is_untouched();
    }
}

#[test]
fn one_upgrade_at_a_time() {
    let world = World::new();
    let folder = world.root.join(".xtask-change");
    fs::create_dir_all(folder.join("left by one that was killed")).unwrap();
    let lock = fs::File::create(folder.join(".gitignore")).unwrap();
    lock.lock().unwrap();
    world.by_path(&[]).expect(5, &["another `cargo xtask upgrade`, `rename` or `adopt` is at work", "hint: "]);
    assert_eq!(world.version(), env!("CARGO_PKG_VERSION"));
    drop(lock);
    world.by_path(&[]).expect(0, &[]);
    world.is_upgraded();
}

#[test]
fn a_source_is_kept_so_that_it_is_found_from_anywhere() {
    let world = World::new();
    let inside = world.root.join("ioc");
    let output = world.command(&["--from", "../../the source"]).current_dir(&inside).output().unwrap();
    Run::of(&output).expect(0, &[]);
    world.is_upgraded();
    let source = world.source.canonicalize().unwrap();
    let lock = fs::read_to_string(world.root.join("tool.lock")).unwrap();
    assert!(lock.contains(&format!("source = {source:?}\n")), "{lock}");
}

#[test]
fn both_sides_of_a_merge_in_tool_lock_are_named() {
    let world = World::new();
    let side = |version: &str| format!("version = \"{version}\"\n");
    let text = format!("# x\n<<<<<<< HEAD\n{}=======\n{}>>>>>>> other\n", side("1"), side("2"));
    fs::write(world.root.join("tool.lock"), text).unwrap();
    world.commit("merge");
    world.by_path(&[]).expect(3, &["error: tool.lock:2: both sides of a merge", "hint: take a side"]);
    fs::write(world.root.join("tool.lock"), "version = 3\n").unwrap();
    world.commit("wrong");
    world.by_path(&[]).expect(3, &["error: tool.lock:1: "]);
    world.is_untouched();
}

#[test]
fn a_link_is_left_as_it_is() {
    let world = World::new();
    let (flake, shared) = (world.root.join("flake.nix"), world.dir.path().join("shared.nix"));
    fs::rename(&flake, &shared).unwrap();
    std::os::unix::fs::symlink("../shared.nix", &flake).unwrap();
    let before = fs::read(&shared).unwrap();
    world.commit("shared");
    let run = world.by_path(&[]).expect(0, &[]);
    assert!(run.stdout.contains("flake.nix  left as it is: it is a link to ../shared.nix"), "{}", run.stdout);
    assert_eq!((world.version().as_str(), fs::read(&shared).unwrap()), ("9.0.0", before));
    assert!(flake.is_symlink());
}

#[test]
fn what_has_begun_is_finished_once_it_can_be() {
    let world = World::new();
    git(&world.root, &["config", "core.safecrlf", "true"]);
    let lock = world.root.join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    world.by_path(&[]).expect(5, &["has begun and is not finished", "index.lock", "cargo xtask list"]);
    fs::remove_file(lock).unwrap();
    let mut list = Command::new(env!("CARGO_BIN_EXE_foreign"));
    environment(&mut list, &world.root);
    Run::of(&list.arg("list").output().unwrap()).expect(0, &["it is finished now"]);
    world.is_upgraded();
}

#[test]
fn a_folder_in_the_way_is_no_half_upgrade() {
    let world = World::new();
    fs::create_dir(world.root.join(".gitattributes")).unwrap();
    fs::write(world.root.join(".gitattributes/mine"), "").unwrap();
    world.commit("mine");
    world.by_path(&[]).expect(3, &["there is a folder .gitattributes", "git mv .gitattributes"]);
    world.is_untouched();
}

#[test]
fn a_full_disk_leaves_the_old() {
    let world = World::new();
    // A file system of our own, with room for the project and not for a second tool.
    let script = "mount -t tmpfs -o size=2500k none \"$1\" && cp -a \"$2/.\" \"$1\" && cd \"$1\" && shift 2 && \
                  { \"$@\"; status=$?; git status --porcelain > \"$OUT\"; exit $status; }";
    let small = world.dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let size = Command::new("du").arg("-sk").arg(&world.root).output().unwrap();
    let kib: u64 = text(&size).split_whitespace().next().unwrap().parse().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(script.replace("2500k", &format!("{}k", kib + kib / 4))).arg("sh").arg(&small).arg(&world.root);
    command.arg(env!("CARGO_BIN_EXE_foreign")).args(["upgrade", "--from"]).arg(&world.source);
    let path = std::env::var_os("PATH").unwrap();
    let output = command
        .env_clear()
        .env("PATH", path)
        .env("CARGO", "false")
        .env("OUT", world.dir.path().join("status"))
        .env("CARGO_MANIFEST_DIR", small.join("xtask"));
    let output =
        output.env("CARGO_TARGET_DIR", world.dir.path().join("t")).env("GIT_CONFIG_GLOBAL", "/dev/null").output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if stderr.contains("unshare") && stderr.contains("ermitted") {
        common::skipped("no namespaces here");
        return;
    }
    // The first is the kernel's word, the second that of Git where it notices.
    let said = ["No space left on device", "Out of diskspace"].iter().any(|word| stderr.contains(word));
    assert!(said, "{stderr}{}", text(&output));
    assert_ne!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(fs::read_to_string(world.dir.path().join("status")).unwrap(), "");
}

#[test]
fn the_version_names_the_revision_that_an_upgrade_brought() {
    let world = World::new();
    let version = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreign"));
        environment(&mut command, &world.root);
        text(&command.arg("--version").output().unwrap())
    };
    assert_eq!(version(), format!("cargo xtask {}", env!("CARGO_PKG_VERSION")));
    let record = format!(
        "version = \"{}\"\nrevision = \"0123456789abcdef\"\ntree = \"\"\nsource = \"\"\n",
        env!("CARGO_PKG_VERSION")
    );
    fs::write(world.root.join("tool.lock"), record).unwrap();
    assert_eq!(version(), format!("cargo xtask {} (0123456789ab)", env!("CARGO_PKG_VERSION")));
}
