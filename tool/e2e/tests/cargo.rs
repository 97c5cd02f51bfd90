//! Whole projects with a Rust of their own: `cargo xtask …` as people type it, on what people make of the template.
//!
//! The projects stand below cargo's target folder, made anew each time, and what was built of them stays for the next time.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{Run, git, skipped};

/// Where the projects are, in a workspace that has nothing to do with them.
fn place() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects")
}

/// A project as shipped, with a tool of its own, in a Git repository. Times of files are kept: cargo goes by them.
fn project(name: &str) -> PathBuf {
    let root = place().join(name);
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    fs::write(place().join("Cargo.toml"), "[workspace]\nmembers = []\nresolver = \"3\"\n").unwrap();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success(), "{}", from.display());
    };
    copy(&tool.join("template/."), &root);
    copy(tool, &root.join("tool"));
    let _ = fs::remove_dir_all(root.join("tool/target"));
    // Of the same crates, so nothing is looked up.
    copy(&tool.join("Cargo.lock"), &root.join("Cargo.lock"));
    root
}

/// Programs that are built of the projects, and the embedded ones, built for all tests.
fn target(name: &str) -> PathBuf {
    let target = place().join(name);
    fs::create_dir_all(&target).unwrap();
    let _ = symlink(common::embedded(), target.join("embedded"));
    target
}

fn commit(root: &Path) {
    git(root, &["init", "-q"]);
    git(root, &["add", "."]);
    git(root, &["commit", "-qm", "theirs"]);
}

/// `cargo …` in a folder, without a network.
fn cargo(folder: &Path, target: &Path, args: &[&str]) -> Run {
    let mut command = Command::new("cargo");
    common::environment(&mut command, folder);
    command.env_remove("CARGO").env_remove("CARGO_MANIFEST_DIR");
    command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true").env("XTASK_BACKEND", "sandbox");
    Run::of(&command.args(args).output().unwrap())
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The block of this kind in a guide.
fn block<'a>(page: &'a str, kind: &str) -> &'a str {
    page.split_once(&format!("```{kind}\n")).unwrap().1.split_once("```").unwrap().0
}

const ST_CMD: &str = r#"#!../../bin/linux-x86_64/tank
< envPaths
dbLoadDatabase("${TOP}/dbd/tank.dbd")
tank_registerRecordDeviceDriver(pdbbase)
dbLoadRecords("${TOP}/db/tank.db", "P=TANK:")
iocInit()
"#;

const SRC_MAKEFILE: &str = "TOP = ../..
include $(TOP)/configure/CONFIG
PROD_IOC = tank
DBD += tank.dbd
tank_DBD += base.dbd
tank_SRCS += tank_registerRecordDeviceDriver.cpp tankMain.cpp
tank_LIBS += $(EPICS_BASE_IOC_LIBS)
include $(TOP)/configure/RULES
";

/// A project in which all that is the user's is somebody else's: README, docs, checks, IOC, xtask (as a guide prints it), CI.
fn theirs() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = project("theirs");
        let boot = fs::read_to_string(root.join("ioc/iocBoot/iocExample/Makefile")).unwrap();
        for gone in ["checks", "ioc/exampleApp", "ioc/iocBoot/iocExample", ".github", ".gitlab-ci.yml", "flake.nix"] {
            let path = root.join(gone);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        let top = "TOP = ..\ninclude $(TOP)/configure/CONFIG\nDIRS += src Db\ninclude $(TOP)/configure/RULES_DIRS\n";
        let db = "TOP = ../..\ninclude $(TOP)/configure/CONFIG\nDB += tank.db\ninclude $(TOP)/configure/RULES\n";
        for (path, text) in [
            ("README.md", "# Tank\n\n    cargo xtask no-such-command\n\n[gone](docs/gone.md)\n"),
            ("docs/level.md", "# Level\n"),
            ("ioc.toml", "[ioc]\napp = \"tank\"\nioc = \"iocTank\"\n"),
            ("xtask/src/main.rs", block(include_str!("../../docs/own-commands.md"), "rust")),
            ("ioc/tankApp/Makefile", top),
            ("ioc/tankApp/Db/Makefile", db),
            ("ioc/tankApp/Db/tank.db", "record(ao, \"$(P)LEVEL\") {\n    field(VAL, \"3\")\n    field(PINI, \"YES\")\n}\n"),
            ("ioc/tankApp/src/Makefile", SRC_MAKEFILE),
            ("ioc/tankApp/src/tankMain.cpp", "#include \"iocsh.h\"\nint main(int, char *argv[]) { return iocsh(argv[1]); }\n"),
            ("ioc/iocBoot/iocTank/st.cmd", ST_CMD),
            ("ioc/iocBoot/iocTank/Makefile", boot.as_str()),
            (
                "checks/level.py",
                "machine.wait_for_unit(\"ioc.service\")\nmachine.wait_until_succeeds(\"caget -t TANK:LEVEL | grep -qx 3\")\n",
            ),
        ] {
            write(&root, path, text);
        }
        let st_cmd = root.join("ioc/iocBoot/iocTank/st.cmd");
        fs::set_permissions(st_cmd, fs::Permissions::from_mode(0o755)).unwrap();
        // With what cargo makes of the lock file.
        cargo(&root, &target("target"), &["xtask", "list"]).expect(0, &[]);
        commit(&root);
        root
    })
}

#[test]
fn ci_passes_for_a_project_that_has_nothing_of_the_template() {
    let (root, target) = (theirs(), target("target"));
    let run = cargo(root, &target, &["xtask", "ci"]).expect(0, &["PASS level", "4 steps in "]);
    for step in ["format of xtask", "clippy of xtask", "lint", "checks"] {
        assert!(run.stderr.contains(&format!("passed  {step} ")), "{step}: {}", run.stderr);
    }
    assert_eq!(git(root, &["status", "--short"]), "", "a run changes nothing that Git tracks");
    let deploy = cargo(root, &target, &["xtask", "deploy", "no/folder"]);
    deploy.expect(2, &["error: there is no folder no/folder\n\nhint: mkdir -p no/folder\n"]);
    cargo(root, &target, &["xtask", "deploy", target.to_str().unwrap()]).expect(0, &["deployed tank to "]);
}

/// The tool and the soft IOC are workspaces of their own, and the folder around the project is one, too.
#[test]
fn cargo_xtask_is_the_same_in_every_folder_that_people_work_in() {
    let (root, target) = (theirs(), target("target"));
    for folder in ["", "ioc/tankApp/Db", "checks", "xtask/src", "tool", "tool/embedded"] {
        let run = cargo(&root.join(folder), &target, &["xtask", "list"]).expect(0, &[]);
        assert_eq!(run.stdout, "level\n", "{folder}");
    }
}

#[test]
fn two_projects_with_different_tools_share_a_target_folder() {
    let (one, target) = (theirs(), target("target"));
    let two = project("newer");
    let manifest = two.join("tool/Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let ours = format!("\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&ours));
    fs::write(&manifest, text.replacen(&ours, "\nversion = \"99.0.0\"\n", 1)).unwrap();
    let version = |root: &Path| cargo(root, &target, &["xtask", "--version"]).expect(0, &[]).stdout;
    for _ in 0..2 {
        assert!(version(one).starts_with(&format!("cargo xtask {}", env!("CARGO_PKG_VERSION"))), "{}", version(one));
        assert!(version(&two).starts_with("cargo xtask 99.0.0"), "{}", version(&two));
    }
    assert_eq!(cargo(one, &target, &["xtask", "list"]).stdout, "level\n");
    assert!(cargo(&two, &target, &["xtask", "list"]).stdout.contains("simple\n"));
}

#[test]
fn ci_tests_the_package_whatever_it_is_called() {
    let scratch = common::Scratch::new();
    let path = scratch.root.join("cargo");
    common::executable(&path, "#!/bin/sh\necho \"cargo $*\" >&2\n");
    let mut command = scratch.command(&["ci"]);
    let run = Run::of(&command.env("CARGO", path).env("CARGO_PKG_NAME", "dev").output().unwrap());
    run.expect(0, &["cargo fmt --package dev --check\n", "cargo clippy --package dev --all-targets --locked"]);
}

/// Runs what tool/docs/offline.md says; without a network, and without crates in cargo's own folder, that is enough.
#[test]
fn vendored_crates_are_enough_where_there_is_no_network() {
    // It fetches the crates of all systems, and compiles what everything else here shares.
    if !common::slow() {
        return skipped("five minutes; XTASK_SLOW_TESTS=1 runs it");
    }
    let alone = ["--map-root-user", "--net"];
    let unshared = Command::new("unshare").args(alone).arg("true").status();
    if !unshared.is_ok_and(|status| status.success()) {
        return skipped("no network namespaces here");
    }
    let page = include_str!("../../docs/offline.md");
    let (root, target, home) = (project("vendored"), target("vendored-target"), place().join("no-crates"));
    // The soft IOC is compiled here, too.
    let _ = fs::remove_file(target.join("embedded"));
    cargo(&root, &target, &["update", "--workspace"]).expect(0, &[]);
    let mut vendor = Command::new("sh");
    common::environment(&mut vendor, &root);
    let vendor = Run::of(&vendor.args(["-ec", block(page, "sh")]).output().unwrap());
    // Those of other systems are nowhere yet where only this one was built for.
    if vendor.code != Some(0) && vendor.stderr.contains("download") {
        return skipped("not all crates are here, nor a network to fetch them from");
    }
    vendor.expect(0, &[]);
    let config = root.join(".cargo/config.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "\n" + block(page, "toml")).unwrap();
    git(&root, &["init", "-q"]);
    let ignored = git(&root, &["ls-files", "--others", "--ignored", "--exclude-standard", "--", "vendor"]);
    assert_eq!(ignored, "", "cargo would miss what Git does not keep");

    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home).unwrap();
    for words in [
        "fetch --locked --manifest-path tool/Cargo.toml",
        // It compiles xtask and the soft IOC, and a check passes.
        "run --locked --package xtask -- test simple",
    ] {
        let mut command = Command::new("unshare");
        common::environment(&mut command, &root);
        command.args(alone).arg("cargo").args(words.split(' '));
        command.env_remove("CARGO").env("CARGO_HOME", &home).env("CARGO_TARGET_DIR", &target);
        Run::of(&command.env("XTASK_NO_CACHE", "1").output().unwrap()).expect(0, &[]);
    }
    assert!(!home.join("registry/cache").exists(), "cargo has fetched something");

    // A file of a crate that a rename might take for the project's.
    write(&root, "vendor/example/exampleApp.rs", "// example iocExample VOLT\n");
    git(&root, &["add", ".", ":!vendor"]);
    git(&root, &["add", "vendor/example"]);
    git(&root, &["commit", "-qm", "with vendor/"]);
    fs::write(root.join(".git/info/exclude"), "/vendor/\n").unwrap();
    let xtask = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreign"));
        common::environment(&mut command, &root);
        command.env("CARGO_TARGET_DIR", &target).env("GIT_CONFIG_GLOBAL", "/dev/null");
        Run::of(&command.args(words).output().unwrap())
    };
    xtask(&["rename", "--app", "tank", "--ioc", "iocTank", "--apply"]).expect(0, &["git commit"]);
    let changed = git(&root, &["diff", "--staged", "--name-only"]);
    assert!(changed.contains("ioc/tankApp/"), "{changed}");
    let not_ours = |path: &&str| path.starts_with("vendor/") || path.starts_with("tool/");
    assert_eq!(changed.lines().find(not_ours), None, "{changed}");
    xtask(&["lint"]).expect(0, &["lint: nothing found"]);
}
