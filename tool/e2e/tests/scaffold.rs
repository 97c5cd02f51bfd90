//! `rename` and `new-check`, on a project in a Git repository, with real sandboxes.
#![expect(clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{Run, Scratch, files};

const README: &str = "For example, ioc/exampleApp and `caget VOLT`.\n";

/// A project that is committed.
fn project() -> Scratch {
    let scratch = Scratch::new();
    scratch.write(".gitignore", "target\nO.*\nenvPaths\n");
    scratch.write("README.md", README);
    scratch.write("checks/simple.nix", "{ nixosTest, ... }: nixosTest { name = \"simple\"; x = ./simple.py; }\n");
    git(&scratch, &["init", "-q"]);
    commit(&scratch);
    scratch
}

fn git(scratch: &Scratch, args: &[&str]) -> String {
    common::git(&scratch.root, args)
}

fn commit(scratch: &Scratch) {
    git(scratch, &["add", "-A"]);
    git(scratch, &["commit", "-q", "-m", "x"]);
}

fn rename(scratch: &Scratch, app: &str, ioc: &str, more: &[&str]) -> Run {
    scratch.xtask(&[&["rename", "--app", app, "--ioc", ioc], more].concat())
}

fn passes(scratch: &Scratch, check: &str) {
    scratch.xtask(&["test", check, "--backend", "sandbox"]).expect(0, &["1 passed"]);
}

#[test]
fn a_plan_is_shown_and_nothing_is_written() {
    let scratch = project();
    let before = files(&scratch);
    let run = rename(&scratch, "psu", "iocPsu", &["--prefix", "LAB:"]).expect(0, &[]);
    for part in [
        "ioc/exampleApp → ioc/psuApp\n",
        "    4 -app = \"example\"            # exampleApp/",
        "      +app = \"psu\"                # psuApp/",
        "      +dbLoadRecords(\"${TOP}/db/psu.db\", \"PREFIX=${PREFIX=LAB:},PORT=PS1\")",
        "      +For example, ioc/psuApp and `caget LAB:VOLT`.",
        "Nothing was written yet.",
    ] {
        assert!(run.stdout.contains(part), "no {part:?} in\n{}", run.stdout);
    }
    assert!(files(&scratch) == before && git(&scratch, &["status", "--porcelain"]).is_empty());
}

#[test]
fn awkward_names_work_one_after_the_other_and_back() {
    let scratch = project();
    let before = files(&scratch);
    let names = [
        ("p", "iocp", "P:"),
        ("Psu4", "iocPsu4", ""),
        ("power_supply_of_the_third_rack_in_hall_2", "ioc-power_supply-2", "HALL2-PS:3_"),
        ("example2", "iocExample2", "example2:"),
        ("simple", "iocs", "X+1:"),
    ];
    for (app, ioc, prefix) in names {
        rename(&scratch, app, ioc, &["--prefix", prefix, "--apply"]).expect(0, &["git diff --staged"]);
        let status = git(&scratch, &["status", "--porcelain"]);
        assert!(status.lines().all(|line| line.get(1..2) == Some(" ")), "all is staged, nothing else: {status}");
        let old = walkdir::WalkDir::new(scratch.root.join("ioc")).into_iter().flatten();
        let left: Vec<_> = old
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| n.contains("xampleApp") || n.contains("xtask"))
            .collect();
        assert_eq!(left, [""; 0]);
        passes(&scratch, "simple");
        rename(&scratch, app, ioc, &["--prefix", prefix, "--apply"]).expect(0, &[]);
        commit(&scratch);
    }
    rename(&scratch, "example", "iocExample", &["--prefix", "", "--apply"]).expect(0, &[]);
    // The long name took the room before the comments of ioc.toml, for good.
    let rest = |tree: Vec<(PathBuf, Option<Vec<u8>>, u32)>| {
        tree.into_iter().filter(|(path, ..)| !path.ends_with("ioc.toml")).collect::<Vec<_>>()
    };
    assert!(rest(files(&scratch)) == rest(before));
}

#[test]
fn a_renaming_can_be_undone_by_git() {
    let scratch = project();
    let before = files(&scratch);
    rename(&scratch, "psu", "iocPsu", &["--apply"]).expect(0, &["git restore --staged --worktree ."]);
    assert!(files(&scratch) != before);
    git(&scratch, &["restore", "--staged", "--worktree", "."]);
    assert!(files(&scratch) == before && git(&scratch, &["status", "--porcelain"]).is_empty());
}

#[test]
fn a_failure_in_the_middle_leaves_everything_as_it_was() {
    let scratch = project();
    let before = files(&scratch);
    // Git's part is the last one.
    scratch.write(".git/index.lock", "");
    rename(&scratch, "psu", "iocPsu", &["--prefix", "A:", "--apply"])
        .expect(5, &["error: nothing was renamed: git could not stage the renaming", "index.lock"]);
    fs::remove_file(scratch.root.join(".git/index.lock")).unwrap();
    assert!(files(&scratch) == before && git(&scratch, &["status", "--porcelain"]).is_empty());

    // A folder that can be written to, in one that cannot: new texts are written, and the folder cannot be renamed.
    let boot = "mount --bind \"$IOC/iocBoot\" \"$IOC/iocBoot\" && mount --bind \"$IOC/iocBoot/iocExample\" \
        \"$IOC/iocBoot/iocExample\" && mount -o remount,bind,ro \"$IOC/iocBoot\"";
    let script = format!("{boot} && exec \"$XTASK\" rename --app psu --ioc iocPsu --apply");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    scratch.environment(&mut command);
    command.env("XTASK", env!("CARGO_BIN_EXE_foreign")).env("IOC", scratch.root.join("ioc"));
    Run::of(&command.output().unwrap())
        .expect(5, &["error: nothing was renamed: cannot rename ioc/iocBoot/iocExample to ioc/iocBoot/iocPsu"]);
    assert!(files(&scratch) == before && git(&scratch, &["status", "--porcelain"]).is_empty());
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_names_or_the_new() {
    let scratch = project();
    let old = files(&scratch);
    rename(&scratch, "psu", "iocPsu", &["--prefix", "A:", "--apply"]).expect(0, &[]);
    let (new, staged) = (files(&scratch), git(&scratch, &["status", "--porcelain"]));
    git(&scratch, &["reset", "-q", "--hard"]);
    assert!(files(&scratch) == old);
    for step in ["prepared", "journal", "moves", "outside", "files", "staged"] {
        let mut command = scratch.command(&["rename", "--app", "psu", "--ioc", "iocPsu", "--prefix", "A:", "--apply"]);
        let killed = command.env("XTASK_DIES_AT", step).output().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "{step}");
        // Whatever comes next finishes it, or nothing has happened.
        let next = scratch.xtask(&["list"]).expect(0, &[]);
        if step == "prepared" {
            assert_eq!(git(&scratch, &["status", "--porcelain"]), "");
            rename(&scratch, "psu", "iocPsu", &["--prefix", "A:", "--apply"]).expect(0, &[]);
        } else {
            assert!(
                next.stderr.contains("the renaming was interrupted: it is finished now"),
                "{step}: {}",
                next.stderr
            );
        }
        assert!(files(&scratch) == new, "{step}");
        assert_eq!(git(&scratch, &["status", "--porcelain"]), staged, "{step}");
        git(&scratch, &["reset", "-q", "--hard"]);
    }
}

#[test]
fn nothing_is_mixed_with_other_changes() {
    let scratch = Scratch::new();
    let apply = |scratch: &Scratch| rename(scratch, "psu", "iocPsu", &["--apply"]);
    let mut command = scratch.command(&["rename", "--app", "psu", "--apply"]);
    // The scratch folder may lie in a repository.
    command.env("GIT_CEILING_DIRECTORIES", scratch.scratch_dir());
    Run::of(&command.output().unwrap()).expect(3, &["Git repository", "hint: git init && git add -A && git commit"]);
    git(&scratch, &["init", "-q"]);
    apply(&scratch).expect(3, &["Git does not track ioc.toml"]);
    git(&scratch, &["add", "ioc.toml", "ioc"]);
    apply(&scratch).expect(3, &["there are changes that are not committed, in ", "hint: git add -A && git commit"]);

    let scratch = project();
    scratch.write("ioc/exampleApp/Db/new.db", "");
    apply(&scratch).expect(3, &["not committed, in ioc/exampleApp/Db/new.db: the renaming"]);
    commit(&scratch);
    fs::create_dir_all(scratch.root.join("ioc/exampleApp/src/O.linux-x86_64")).unwrap();
    scratch.write("ioc/exampleApp/src/O.linux-x86_64/x.d", "");
    apply(&scratch).expect(3, &["O.linux-x86_64/x.d is left from a build", "hint: make -C ioc distclean"]);
    fs::remove_dir_all(scratch.root.join("ioc/exampleApp/src/O.linux-x86_64")).unwrap();
    fs::create_dir(scratch.root.join("ioc/psuApp")).unwrap();
    apply(&scratch).expect(3, &["ioc/psuApp is there already"]);
}

#[test]
fn names_that_cannot_be_are_refused() {
    let scratch = project();
    let before = files(&scratch);
    for (args, part) in [
        (&["--app", "../up"][..], "\"../up\" cannot be the name of an application"),
        (&["--app", "my-psu"], "C++ name"),
        (&["--app", "größe"], "C++ name"),
        (&["--app", "psuApp"], "if you give `psu`"),
        (&["--app", "stream"], "\"stream\" means something else in ioc/exampleApp/src/Makefile:14"),
        (&["--ioc", "psu"], "make enters folders `ioc…` only, such as iocpsu"),
        (&["--ioc", "ioc/../.."], "cannot be a boot folder"),
        (&["--prefix", "A B"], "cannot be a prefix"),
        (&["--prefix", "-A:"], "cannot be a prefix"),
        (&["--prefix", &"A".repeat(60)], "EPICS has room for 60"),
        (&["--apply"], "--app"),
    ] {
        scratch.xtask(&[&["rename"], args].concat()).expect(2, &[part]);
    }
    assert!(files(&scratch) == before);
}

#[test]
fn a_new_check_passes_at_once_and_git_tracks_it() {
    let scratch = project();
    // From any folder.
    let run = Run::of(&scratch.command(&["new-check", "ramp"]).current_dir("/").output().unwrap());
    let run = run.expect(0, &["cargo xtask test ramp", "git add -N"]);
    assert_eq!(run.stdout, "made checks/ramp.py checks/ramp.nix\n");
    assert_eq!(git(&scratch, &["status", "--porcelain"]), " A checks/ramp.nix\n A checks/ramp.py");
    assert!(fs::read_to_string(scratch.root.join("checks/ramp.py")).unwrap().contains("\"caget VOLT-RB\""));
    passes(&scratch, "ramp");
}

#[test]
fn a_new_check_knows_the_prefix_and_an_ioc_whose_records_cannot_be_told() {
    let scratch = project();
    rename(&scratch, "psu", "iocPsu", &["--prefix", "LAB:", "--apply"]).expect(0, &[]);
    scratch.xtask(&["new-check", "known"]).expect(0, &[]);
    assert!(fs::read_to_string(scratch.root.join("checks/known.py")).unwrap().contains("\"caget LAB:VOLT-RB\""));
    passes(&scratch, "known");
    let database = fs::read_to_string(scratch.root.join("ioc/psuApp/Db/psu.db")).unwrap();
    scratch.write("ioc/psuApp/Db/psu.db", &database.replace("$(PREFIX)", "$(PREFIX)$(MORE=)"));
    scratch.xtask(&["new-check", "unknown"]).expect(0, &[]);
    assert!(!fs::read_to_string(scratch.root.join("checks/unknown.py")).unwrap().contains("VOLT"));
    passes(&scratch, "unknown");
}

#[test]
fn a_new_check_can_be_a_copy() {
    let scratch = project();
    scratch.write("checks/simple.toml", "# checks/simple.nix\ntimeout = 50\n");
    scratch.xtask(&["new-check", "copy", "--from", "simple"]).expect(0, &[]);
    let read = |name: &str| fs::read_to_string(scratch.root.join("checks").join(name)).unwrap();
    assert_eq!(read("copy.py"), read("simple.py"));
    assert_eq!(read("copy.nix"), "{ nixosTest, ... }: nixosTest { name = \"copy\"; x = ./copy.py; }\n");
    assert_eq!(read("copy.toml"), "# checks/copy.nix\ntimeout = 50\n");
    passes(&scratch, "copy");
    scratch
        .xtask(&["new-check", "other", "--from", "simpel"])
        .expect(4, &["no check is called `simpel`", "hint: cargo xtask new-check other --from simple"]);
    scratch.xtask(&["new-check", "other", "--from", "../ioc"]).expect(4, &["the checks are: copy, simple"]);
}

#[test]
fn a_new_check_overwrites_nothing_and_needs_a_good_name() {
    let scratch = project();
    scratch.write("checks/settings.toml", "timeout = 5\n");
    let before = files(&scratch);
    for (name, part) in [
        ("simple", "checks/simple.py is there already"),
        ("Simple", "is there already"),
        ("../x", "cannot be the name of a check"),
        ("my check", "cannot be the name of a check"),
        ("größe", "cannot be the name of a check"),
        ("nul", "Windows"),
        ("", "cannot be the name of a check"),
    ] {
        scratch.xtask(&["new-check", name]).expect(2, &[part]);
    }
    scratch.xtask(&["new-check", "settings"]).expect(2, &["checks/settings.toml is there already"]);
    assert!(files(&scratch) == before);
}

#[test]
fn a_new_check_does_without_git() {
    let scratch = Scratch::new();
    let mut command = scratch.command(&["new-check", "first"]);
    command.env("GIT_CEILING_DIRECTORIES", scratch.scratch_dir());
    Run::of(&command.output().unwrap()).expect(0, &["this is no Git repository"]);
    let mut command = scratch.command(&["new-check", "second"]);
    Run::of(&command.env("PATH", "/nonexistent").output().unwrap()).expect(0, &["this is no Git repository"]);
    assert_eq!(scratch.xtask(&["list"]).stdout, "first\nsecond\nsimple\n");
}
