//! The files of a new check: a copy of another one, or a start for a newcomer.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::records;
use tool_base::fail::{Failure, Status};

/// Kinds of files that make up a check.
pub const KINDS: [&str; 3] = ["py", "nix", "toml"];

/// `checks/NAME.nix` of a new check.
pub fn nix(name: &str) -> String {
    format!(
        "{{ nixosTest, iocMachine, ... }}:\n\nnixosTest {{\n  name = \"{name}\";\n\n  nodes.machine = {{\n    \
         imports = [ iocMachine ];\n  }};\n\n  testScript = builtins.readFile ./{name}.py;\n}}\n"
    )
}

/// `checks/NAME.py` of a new check: it waits for the services, and for a record where one is known.
pub fn script(units: &[&str], record: Option<&str>) -> String {
    let mut text = String::from(
        "# A test script for the NixOS test driver: tool/docs/checks.md says what it can use.\n\
         # `machine` runs the IOC and its simulators; a command is run there as root, in bash.\n\
         start_all()\n\n\
         with subtest(\"the services are up\"):\n",
    );
    for unit in units {
        text += &format!("    machine.wait_for_unit(\"{unit}.service\")\n");
    }
    text += "\nwith subtest(\"the IOC answers\"):\n";
    text += &match record {
        Some(record) => format!(
            "    # Asks again until the command succeeds, for at most 20 s.\n    \
             machine.wait_until_succeeds(\"caget {record}\", timeout=20)\n    \
             # What the command prints; stderr goes to the log.\n    \
             value = machine.succeed(\"caget -t {record}\").strip()\n    \
             t.assertNotEqual(value, \"\")\n"
        ),
        None => format!(
            "    # Write the name of a record of yours:\n    \
             # machine.wait_until_succeeds(\"caget NAME\", timeout=20)\n    \
             machine.succeed(\"systemctl is-active {}.service\")\n",
            units.first().unwrap_or(&"ioc")
        ),
    };
    text += "\n# Next: set a record, and see what the device makes of it.\n\
             #     machine.succeed(\"caput -c NAME 1\")\n\
             #     machine.wait_until_succeeds(\"caget -t NAME-RB | grep -qxF 1\", timeout=10)\n";
    text
}

/// A file of check `from` for check `to`: only what names the check itself changes.
pub fn copied(kind: &str, text: &str, from: &str, to: &str) -> String {
    let text = KINDS
        .iter()
        .fold(text.to_owned(), |text, kind| text.replace(&format!("/{from}.{kind}"), &format!("/{to}.{kind}")));
    if kind == "nix" { text.replace(&format!("name = \"{from}\""), &format!("name = \"{to}\"")) } else { text }
}

/// A record that surely exists: the first one to read a value from in a database that the start-up script loads with
/// no other macro in the names than the prefix.
pub fn record(script: &[u8], databases: &[(String, String)]) -> Option<String> {
    let place = records::defaults(script).into_iter().next()?;
    let prefix = String::from_utf8_lossy(&script[place]).into_owned();
    let script = String::from_utf8_lossy(script);
    let loaded = |name: &str| {
        script.lines().any(|line| {
            !line.trim_start().starts_with('#')
                && line.contains("dbLoadRecords")
                && line.contains(&format!("/{name}\""))
                && line.contains("PREFIX=")
        })
    };
    let records = databases.iter().filter(|(file, _)| loaded(file)).flat_map(|(_, text)| records::of_database(text));
    let readable =
        records.filter(|(kind, _)| matches!(kind.as_str(), "ai" | "longin" | "bi" | "mbbi" | "stringin" | "calc"));
    readable.min_by_key(|(kind, _)| kind != "ai").map(|(_, name)| format!("{prefix}{name}"))
}

/// Writes new files into a folder, all of them or none.
///
/// # Errors
/// One of them is there already, or cannot be written.
pub fn write_new(folder: &Path, files: &[(String, String)]) -> Result<()> {
    for (done, (name, text)) in files.iter().enumerate() {
        let path = folder.join(name);
        let write = || OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(text.as_bytes());
        let Err(error) = write() else { continue };
        let there = error.kind() == ErrorKind::AlreadyExists;
        let ours = if there { &files[..done] } else { &files[..=done] };
        for (name, _) in ours {
            let _ = std::fs::remove_file(folder.join(name));
        }
        if there {
            return Err(exists(name).into());
        }
        return Err(error).with_context(|| format!("cannot write {}", path.display()));
    }
    Ok(())
}

/// The error for a file that is there already.
pub fn exists(name: &str) -> Failure {
    Failure::new(Status::Usage, format!("checks/{name} is there already")).hint("choose another name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_for_a_newcomer() {
        insta::assert_snapshot!(script(&["ioc", "simulator"], Some("VOLT-RB")), @r#"
        # A test script for the NixOS test driver: tool/docs/checks.md says what it can use.
        # `machine` runs the IOC and its simulators; a command is run there as root, in bash.
        start_all()

        with subtest("the services are up"):
            machine.wait_for_unit("ioc.service")
            machine.wait_for_unit("simulator.service")

        with subtest("the IOC answers"):
            # Asks again until the command succeeds, for at most 20 s.
            machine.wait_until_succeeds("caget VOLT-RB", timeout=20)
            # What the command prints; stderr goes to the log.
            value = machine.succeed("caget -t VOLT-RB").strip()
            t.assertNotEqual(value, "")

        # Next: set a record, and see what the device makes of it.
        #     machine.succeed("caput -c NAME 1")
        #     machine.wait_until_succeeds("caget -t NAME-RB | grep -qxF 1", timeout=10)
        "#);
        insta::assert_snapshot!(nix("ramp"), @r#"
        { nixosTest, iocMachine, ... }:

        nixosTest {
          name = "ramp";

          nodes.machine = {
            imports = [ iocMachine ];
          };

          testScript = builtins.readFile ./ramp.py;
        }
        "#);
    }

    #[test]
    fn a_copy_has_its_own_name_where_the_check_is_named() {
        let text = "nixosTest {\n  name = \"simple\"; # simple\n  testScript = readFile ./simple.py;\n}\n";
        let wanted = "nixosTest {\n  name = \"ramp\"; # simple\n  testScript = readFile ./ramp.py;\n}\n";
        assert_eq!(copied("nix", text, "simple", "ramp"), wanted);
        assert_eq!(
            copied("toml", "# checks/simple.nix\nname = \"simple\"", "simple", "ramp"),
            "# checks/ramp.nix\nname = \"simple\""
        );
    }

    #[test]
    fn a_record_is_named_only_where_it_surely_exists() {
        let database =
            |name: &str| (name.to_owned(), "record(bi, \"$(PREFIX)ON\")\nrecord(ai, \"$(PREFIX)V\")".to_owned());
        let found = |script: &str| record(script.as_bytes(), &[database("a.db")]);
        assert_eq!(found("dbLoadRecords(\"db/a.db\", \"PREFIX=${PREFIX=X:}\")").unwrap(), "X:V");
        assert_eq!(found("# dbLoadRecords(\"db/a.db\", \"PREFIX=${PREFIX=X:}\")"), None);
        assert_eq!(found("dbLoadRecords(\"db/b.db\", \"PREFIX=${PREFIX=}\")"), None);
        assert_eq!(found("dbLoadRecords(\"db/a.db\", \"P=X\")"), None);
    }

    #[test]
    fn all_files_or_none_are_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "theirs").unwrap();
        let files = ["a", "b"].map(|name| (name.to_owned(), "ours".to_owned()));
        let error = write_new(folder.path(), &files).unwrap_err();
        assert_eq!(error.to_string(), "checks/b is there already");
        assert!(!folder.path().join("a").exists());
        assert_eq!(std::fs::read_to_string(folder.path().join("b")).unwrap(), "theirs");
        assert!(write_new(&folder.path().join("none"), &files).is_err());
    }
}
