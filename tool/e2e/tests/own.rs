//! xtask is the user's: a main that is not ours, with a command of its own (src/main.rs), in projects that are not quite whole.
#![expect(clippy::disallowed_methods, reason = "a test runs a program under another name")]

mod common;

use std::fs;

use common::{Run, Scratch};

#[test]
fn a_command_of_ones_own_stands_beside_ours() {
    let scratch = Scratch::new();
    let help = scratch.xtask(&["--help"]).expect(0, &[]).stdout;
    assert!(help.contains("  deploy         Copy the built IOC into a folder\n"), "{help}");
    assert!(scratch.xtask(&["deploy", "--help"]).expect(0, &[]).stdout.contains("cargo xtask deploy <TO>"));
    assert!(scratch.xtask(&["man"]).expect(0, &[]).stdout.contains(".SS cargo xtask deploy\n"));
    scratch.xtask(&["deplyo"]).expect(2, &["'deplyo'", "'deploy'"]);
}

#[test]
fn it_has_the_project_and_what_was_built() {
    let scratch = Scratch::new();
    let to = scratch.root.join("to here");
    fs::create_dir(&to).unwrap();
    // Where Nix or EPICS are, they would be asked.
    let deploy = |command: &mut std::process::Command| {
        Run::of(&command.env("XTASK_BACKEND", "sandbox").current_dir(&scratch.root).output().unwrap())
    };
    deploy(&mut scratch.command(&["deploy", "to here"])).expect(0, &["Building the soft IOC", "deployed example"]);
    assert!(fs::metadata(to.join("example")).unwrap().len() > 1_000_000);
}

#[test]
fn its_errors_are_as_ours() {
    let scratch = Scratch::new();
    scratch
        .xtask(&["deploy", "nowhere"])
        .expect(2, &["error: the folder to deploy to is not there\n\nhint: mkdir it first\n"]);
    scratch.xtask(&["deploy"]).expect(2, &["<TO>", "Usage: cargo xtask deploy <TO>"]);
    scratch.write("ioc.toml", "nonsense");
    scratch.xtask(&["deploy", "ioc"]).expect(3, &["error: ioc.toml:1: "]);
}

#[test]
fn a_name_of_ours_is_refused_whatever_is_asked() {
    let scratch = Scratch::new();
    for words in [&["list"][..], &["test", "simple"], &["--help"], &[], &["deploy", "ioc"]] {
        let output = scratch.command(words).env("E2E_CLASH", "1").output().unwrap();
        let message = "error: xtask/src/main.rs: there is a subcommand `test` already\n\n\
                       hint: give yours another name, such as `my-test`\n";
        let run = Run::of(&output).expect(3, &[message]);
        assert_eq!(run.stdout, "", "{words:?}");
    }
}

#[test]
fn a_tool_that_is_not_whole_is_named() {
    let scratch = Scratch::new();
    let folder = |name: &str| scratch.root.join("tool").join(name);
    fs::rename(folder("driver"), folder("elsewhere")).unwrap();
    for words in
        [&["test", "simple", "--backend", "sandbox"][..], &["lint"], &["driver", "-o", ".", "checks/simple.py"]]
    {
        scratch
            .xtask(words)
            .expect(3, &["error: tool/driver is missing in ", "hint: git -C '", "' checkout -- tool\n"]);
    }
    fs::remove_dir_all(folder("")).unwrap();
    for words in [&["test", "simple"][..], &["list"], &["lint"], &["run"], &["build"], &["deploy", "ioc"]] {
        scratch.xtask(words).expect(3, &["error: tool/ is missing in ", "hint: git -C '", "' checkout -- tool\n"]);
    }
}

/// One project in another, as a Git submodule is.
#[test]
fn what_is_missing_is_not_taken_from_a_project_around_this_one() {
    let scratch = Scratch::new();
    let inner = Scratch::new();
    let root = scratch.root.join("inner");
    fs::rename(&inner.root, &root).unwrap();
    let list = || {
        let mut command = scratch.command(&["list"]);
        common::environment(&mut command, &root);
        Run::of(&command.output().unwrap())
    };
    scratch.check("outer", "");
    assert_eq!(list().expect(0, &[]).stdout, "simple\n");
    fs::rename(root.join("tool"), root.join("tool.old")).unwrap();
    list().expect(3, &["tool/ is missing in ", "/inner: "]);
    fs::rename(root.join("tool.old"), root.join("tool")).unwrap();
    fs::remove_file(root.join("ioc.toml")).unwrap();
    list().expect(3, &["/inner/ioc.toml: No such file"]);
}

/// As when somebody builds in another terminal while checks run, or another project does so in the same target folder.
#[test]
fn a_run_goes_on_with_its_own_program_when_another_takes_its_place() {
    let scratch = Scratch::new();
    let xtask = scratch.root.join("xtask");
    // As `common::executable`.
    let copied =
        std::process::Command::new("cp").args([env!("CARGO_BIN_EXE_foreign").as_ref(), xtask.as_path()]).status();
    assert!(copied.unwrap().success());
    let replace = format!(
        "import os\nmachine.start()\nos.remove({path:?})\nopen({path:?}, 'w').close()\n\
         machine.shutdown()\nmachine.start()\nmachine.wait_for_unit('ioc.service')\n",
        path = xtask.to_str().unwrap()
    );
    scratch.check("first", &replace);
    scratch.check("second", "machine.wait_for_unit('ioc.service')\n");
    let mut command = std::process::Command::new(&xtask);
    scratch.environment(&mut command);
    command.args(["test", "first", "second", "--jobs", "1", "--backend", "sandbox", "--no-lint"]);
    Run::of(&command.output().unwrap()).expect(0, &["PASS first", "PASS second"]);
    assert_eq!(fs::metadata(&xtask).unwrap().len(), 0, "it was replaced");
}

/// Without cargo, as a shell's completion or a debugger starts it.
#[test]
fn it_finds_its_project_from_a_folder_inside() {
    let scratch = Scratch::new();
    for folder in ["", "ioc/iocBoot/iocExample", "tool/driver", "checks"] {
        let mut command = scratch.command(&["list"]);
        let output = command.env_remove("CARGO_MANIFEST_DIR").current_dir(scratch.root.join(folder)).output().unwrap();
        assert_eq!(Run::of(&output).expect(0, &[]).stdout, "simple\n", "{folder}");
    }
    let output = scratch.command(&["list"]).env_remove("CARGO_MANIFEST_DIR").current_dir("/").output().unwrap();
    Run::of(&output).expect(3, &["error: there is no project here: neither / nor a folder above it has ioc.toml"]);
}
