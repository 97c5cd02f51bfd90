//! What people get wrong, and what the message tells them. Nothing here starts a machine.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::Scratch;

#[test]
fn a_check_whose_name_is_no_text_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let name = std::ffi::OsStr::from_bytes(b"checks/caf\xe9.py");
    std::fs::write(scratch.root.join(name), "").unwrap();
    scratch.xtask(&["list"]).expect(3, &["caf\u{fffd}.py has a name that is not UTF-8", "hint: "]);
}

#[test]
fn an_unknown_check_has_a_neighbour() {
    Scratch::new()
        .xtask(&["test", "simpel"])
        .expect(4, &["error: no check is called `simpel`", "hint: did you mean `cargo xtask test simple`?"]);
}

#[test]
fn no_check_at_all_is_not_a_success() {
    let scratch = Scratch::new();
    std::fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    scratch.xtask(&["test"]).expect(4, &["there is no check in checks/"]);
}

#[test]
fn a_check_without_a_script_says_what_is_missing() {
    let scratch = Scratch::new();
    scratch.write("checks/lonely.nix", "{ }");
    scratch
        .xtask(&["test", "lonely", "--backend", "sandbox"])
        .expect(3, &["checks/lonely.nix but no test script checks/lonely.py"]);
}

#[test]
fn ioc_toml_errors_have_file_line_and_key() {
    let scratch = Scratch::new();
    scratch.edit("ioc.toml", "port = 9999", "prot = 9999");
    scratch.xtask(&["test"]).expect(3, &["ioc.toml:11: unknown key `prot`", "did you mean `port`?"]);
    scratch.edit("ioc.toml", "prot = 9999", "port = \"9999\"");
    scratch
        .xtask(&["list"])
        .expect(3, &["ioc.toml:11: `port`: invalid type: string \"9999\", expected a number up to 65535"]);
    std::fs::remove_file(scratch.root.join("ioc.toml")).unwrap();
    scratch.xtask(&["list"]).expect(3, &["ioc.toml: No such file", "hint: restore the file"]);
}

#[test]
fn wrong_usage_exits_with_2() {
    let scratch = Scratch::new();
    scratch.xtask(&["test", "--backend", "sandbx"]).expect(2, &["'sandbx'", "sandbox"]);
    for (option, value) in
        [("--timeout", "0"), ("--timeout", "-5"), ("--jobs", "-1"), ("--jobs", "0"), ("--repeat", "x")]
    {
        scratch.xtask(&["test", option, value]).expect(2, &[option, value, "a number from 1 is expected"]);
    }
    scratch.xtask(&["test", "--retries", "-1"]).expect(2, &["--retries", "a number from 0 is expected"]);
}

#[test]
fn what_the_driver_cannot_read_is_named() {
    let scratch = Scratch::new();
    let driver = |args: &[&str]| scratch.xtask(&[&["driver"], args].concat());
    driver(&["-o", "no folder", "checks/simple.py"])
        .expect(2, &["output folder no folder: No such", "mkdir -p 'no folder'"]);
    driver(&["-o", ".", "nothing.py"]).expect(2, &["cannot use the test script nothing.py: No such"]);
    driver(&["-o", ".", "--units", "ioc.toml", "checks/simple.py"]).expect(2, &["cannot read the folder", "ioc.toml"]);
}

/// No script of an IOC could name the folder, and JSON cannot hold it.
#[test]
fn an_odd_name_of_the_checkout_is_survived_or_named() {
    let scratch = Scratch::new();
    let moved = |name: &[u8]| scratch.scratch_dir().join(OsStr::from_bytes(name));
    let xtask = |root: &Path, args: &[&str]| {
        let mut command = scratch.command(args);
        command.current_dir(root).env("CARGO_MANIFEST_DIR", root.join("xtask"));
        common::Run::of(&command.env("CARGO_TARGET_DIR", root.join("target")).output().unwrap())
    };
    let quoted = moved(b"it's \"my\" $(IOC) \\");
    std::fs::rename(&scratch.root, &quoted).unwrap();
    xtask(&quoted, &["test", "--backend", "sandbox"]).expect(0, &["PASS simple"]);
    let unreadable = moved(b"gr\xf6\xdfer");
    std::fs::rename(&quoted, &unreadable).unwrap();
    for command in [&["test"][..], &["test", "--no-lint"], &["run"], &["list"], &["lint"]] {
        xtask(&unreadable, command)
            .expect(3, &["the path ", "is not UTF-8", "hint: give the folder another name: mv "]);
    }
    xtask(&unreadable, &["doctor", "--json"]).expect_out("is not UTF-8");
}

/// As Git for Windows checks files out. Only the kernel minds, and only one line.
#[test]
fn line_ends_of_windows_are_named_where_they_matter() {
    let scratch = Scratch::new();
    let git = |args: &[&str]| common::git(&scratch.root, args);
    git(&["init", "-q"]);
    git(&["add", "ioc", "ioc.toml", "checks"]);
    git(&["commit", "-qm", "mine"]);
    git(&["config", "core.autocrlf", "true"]);
    std::fs::remove_file(scratch.root.join(".git/index")).unwrap();
    git(&["reset", "-q", "--hard"]);
    for file in ["ioc.toml", "checks/simple.py", "ioc/exampleApp/Db/example.db", "ioc/exampleApp/Db/example.proto"] {
        assert!(std::fs::read_to_string(scratch.root.join(file)).unwrap().contains("\r\n"), "{file}");
    }
    let test = || scratch.xtask(&["test", "--backend", "sandbox"]);
    let mend = "sed -i 's/\\r$//' ioc/iocBoot/iocExample/st.cmd";
    test().expect(1, &["st.cmd:1:1: error[carriage-return]", &format!("hint: {mend}\n"), "1 error in 1 file"]);
    tool_base::process::Cmd::new("sh").args(["-c", mend]).cwd(&scratch.root).read().unwrap();
    test().expect(0, &["PASS simple"]);
}

#[test]
fn a_base_that_is_taken_for_a_check_is_explained() {
    Scratch::new()
        .xtask(&["test", "--changed", "main"])
        .expect(4, &["no check is called `main`", "hint: to compare with a commit, leave no blank: --changed=main"]);
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let scratch = Scratch::new();
    scratch.write("target/checks", "a file");
    for command in [&["test", "--backend", "sandbox"][..], &["run"], &["interactive", "--backend", "sandbox"]] {
        scratch.xtask(command).expect(5, &["error: cannot create ", "target/checks/", "hint: ", "CARGO_TARGET_DIR="]);
    }
}

#[test]
fn a_missing_python_is_named_with_the_way_to_install_it() {
    let scratch = Scratch::new();
    let output = scratch.command(&["test", "--backend", "sandbox"]).env("PATH", "/nonexistent").output().unwrap();
    common::Run::of(&output).expect(5, &["`python3` was not found", "apt-get install python3"]);
}

#[test]
fn list_is_data() {
    let scratch = Scratch::new();
    scratch.check("ramp", "");
    assert_eq!(scratch.xtask(&["list"]).stdout, "ramp\nsimple\n");
    let json: serde_json::Value = serde_json::from_str(&scratch.xtask(&["list", "--json"]).stdout).unwrap();
    assert_eq!(json[1]["name"], "simple");
}
