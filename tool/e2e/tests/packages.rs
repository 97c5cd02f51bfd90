//! `python` in ioc.toml: packages for programs on a machine, from a folder in the place of PyPI.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{Run, Scratch, skipped};

/// Writes a package with a module and a program.
const WHEEL: &str = r#"
import sys, zipfile
info = "greeter-1.0.dist-info/"
with zipfile.ZipFile(sys.argv[1] + "/greeter-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greeter.py", "def main():\n    print('hello from', __name__)\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "entry_points.txt", "[console_scripts]\ngreet = greeter:main\n")
    wheel.writestr(info + "RECORD", "")
"#;

const CHECK: &str = r#"
assert machine.succeed("greet") == "hello from greeter\n"
machine.succeed("python3 -c 'import greeter'", "printf 'import greeter' | /usr/bin/env python3")
"#;

fn test(scratch: &Scratch, packages: &Path) -> Run {
    let mut command = scratch.command(&["test", "py", "--no-lint"]);
    Run::of(&command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", packages).output().unwrap())
}

#[test]
fn programs_of_a_machine_have_packages_and_the_second_run_needs_no_network() {
    let python = ["/usr/local/bin/python3", "/usr/bin/python3"].into_iter().find(|path| Path::new(path).exists());
    let venv = python.is_some_and(|path| {
        Command::new(path).args(["-c", "import ensurepip, venv"]).status().is_ok_and(|status| status.success())
    });
    if !venv {
        return skipped("no Python that machines see can make a venv");
    }
    let (scratch, packages) = (Scratch::new(), tempfile::tempdir().unwrap());
    let made = Command::new("python3").args(["-c", WHEEL]).arg(packages.path()).status().unwrap();
    assert!(made.success());
    scratch.check("py", CHECK);
    scratch.edit("ioc.toml", "[ioc]", "python = [\"greeter\"]\n\n[ioc]");
    test(&scratch, packages.path()).expect(0, &["Python packages for machines: greeter"]);
    // Else another user could lock it, and hang all runs.
    let files = walkdir::WalkDir::new(scratch.root.join("target/python")).into_iter().map(Result::unwrap);
    let locks: Vec<u32> = files
        .filter(|entry| entry.file_name() == "=lock")
        .map(|entry| entry.metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(locks, [0o600]);
    // A check has those of ioc.toml and its own, and programs of a folder, which find what lies beside them.
    scratch.edit("ioc.toml", "[\"greeter\"]", "[]\npath = [\"tools\"]");
    scratch.write("checks/py.toml", "python = [\"greeter\"]\npath = [\"checks/bin\"]\n");
    for folder in ["tools", "checks/bin"] {
        std::fs::create_dir(scratch.root.join(folder)).unwrap();
    }
    scratch.write("tools/beside.py", "word = 'beside'\n");
    std::fs::create_dir(scratch.root.join("tools/within")).unwrap();
    scratch.write("tools/within/__init__.py", "");
    scratch.write("tools/tell", "#!/usr/bin/env python3\nimport beside, greeter, within\nprint(beside.word)\n");
    scratch.write("checks/bin/own", "#!/bin/sh\necho own\n");
    for file in ["tools/tell", "checks/bin/own"] {
        std::fs::set_permissions(scratch.root.join(file), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    scratch.check("py", &format!("{CHECK}assert machine.succeed('tell; own') == 'beside\\nown\\n'\n"));
    test(&scratch, packages.path()).expect(0, &["PASS"]);
    scratch.edit("ioc.toml", "tools", "toolz");
    test(&scratch, packages.path()).expect(3, &["ioc.toml: `path` names the folder toolz, which cannot be read"]);
    scratch.edit("ioc.toml", "[]\npath = [\"toolz\"]", "[\"greeter\"]");
    scratch.check("py", CHECK);
    let again = test(&scratch, Path::new("/nonexistent")).expect(0, &["PASS"]);
    assert!(!again.stderr.contains("Python packages"), "{}", again.stderr);

    scratch.edit("ioc.toml", "\"greeter\"", "\"greeter\", \"no-such-package\"");
    let whole = ["pip cannot install what `python` names: greeter, no-such-package", "PIP_INDEX_URL"];
    test(&scratch, packages.path()).expect(5, &whole);
    scratch.edit("ioc.toml", "no-such-package", "a b");
    test(&scratch, packages.path()).expect(3, &["ioc.toml:3: `python` is `a b`"]);
}
