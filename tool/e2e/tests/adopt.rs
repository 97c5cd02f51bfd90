//! `adopt`: tops as labs have them, brought into a project, with real sandboxes.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use common::tops::Lab;
use common::{Run, Scratch, copy, files};

/// The template's project, committed.
fn project() -> Scratch {
    let scratch = Scratch::new();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("template");
    for file in [".gitignore", "flake.nix", "checks"] {
        copy(&template.join(file), &scratch.root.join(file));
    }
    for file in ["checks", "ioc.toml"] {
        copy(&template.join(file), &scratch.root.join("tool/template").join(file));
    }
    git(&scratch, &["init", "-q"]);
    git(&scratch, &["add", "-A"]);
    git(&scratch, &["commit", "-q", "-m", "x"]);
    scratch
}

fn git(scratch: &Scratch, args: &[&str]) -> String {
    common::git(&scratch.root, args)
}

fn adopt(scratch: &Scratch, lab: &Lab, more: &[&str]) -> Run {
    scratch.xtask(&[&["adopt", lab.root.to_str().unwrap()], more].concat())
}

#[test]
fn a_top_of_a_beam_line_comes_to_a_green_check() {
    let scratch = project();
    let before = files(&scratch);
    let lab = Lab::beam_line(&scratch.scratch_dir().join("beam line"));
    let one = adopt(&scratch, &lab, &["--ioc", "iocbeam-psu"]).expect(0, &[]);
    assert!(one.stdout.contains("ioc/iocBoot/iocSpare: another IOC of this top, which was left out"), "{}", one.stdout);
    let shown = adopt(&scratch, &lab, &[]).expect(0, &[]);
    for part in [
        "iocbeam-psu, application beam-psu: 8 records, 2 ports.",
        "iocSpare, application beam-psu: 4 records, 1 port.",
        "  iocSpare L0: simulators/l0.py, at localhost:9001\n",
        "  iocbeam-psu L0: simulators/l0-2.py, at localhost:9002\n",
        "  iocbeam-psu L1: simulators/l1.py, at /dev/ttyL1\n",
        "  bin: left out, as make makes it (1 file)\n",
        "st.cmd:9: ${L0_2_ADDRESS=192.168.7.20:4001} instead of 192.168.7.20:4001, so",
        "st.cmd:7: taken out, as there is no such file: < /site/epics/common.cmd",
        "st.cmd: can be executed",
        "st.cmd:10: ${L1_ADDRESS=/dev/ttyS0} instead of /dev/ttyS0",
        "EPNix has no MOTOR ($(SUPPORT)/motor)",
        "Nothing was written yet.",
    ] {
        assert!(shown.stdout.contains(part), "no {part:?} in\n{}", shown.stdout);
    }
    assert!(files(&scratch) == before && git(&scratch, &["status", "--porcelain"]).is_empty());

    adopt(&scratch, &lab, &["--apply"]).expect(0, &["git restore --staged --worktree ."]);
    let status = git(&scratch, &["status", "--porcelain"]);
    assert!(status.lines().all(|line| line.get(1..2) == Some(" ")), "all is staged, nothing else: {status}");
    assert!(!scratch.root.join("ioc/exampleApp").exists() && !scratch.root.join("checks/simple.py").exists());
    scratch.xtask(&["lint", "--deny-warnings"]).expect(0, &["nothing found"]);
    scratch.xtask(&["test", "--backend", "sandbox"]).expect(0, &["1 passed"]);
    let status = git(&scratch, &["status", "--porcelain"]);
    assert!(status.lines().all(|line| line.get(1..2) == Some(" ")), "nothing has changed since: {status}");
    scratch.xtask(&["doctor"]).expect_out("there is work left from `cargo xtask adopt` (2 things");
    let script = fs::read_to_string(scratch.root.join("checks/inputs.py")).unwrap();
    for name in ["XF:23{PS:1}Volt-I", "XF:23{PS:2}Volt-I", "XF:24:Volt-I"] {
        assert!(script.contains(name), "no {name} in\n{script}");
    }
    read_by_nix(&scratch);

    git(&scratch, &["restore", "--staged", "--worktree", "."]);
    assert!(files(&scratch) == before && git(&scratch, &["status", "--porcelain"]).is_empty());

    // Once more: nothing new beside what is there, and what was written since stays.
    adopt(&scratch, &lab, &["--apply"]).expect(0, &[]);
    git(&scratch, &["commit", "-q", "-m", "adopted"]);
    adopt(&scratch, &lab, &["--apply"]).expect_out("Adopted iocSpare, iocbeam-psu");
    assert_eq!(git(&scratch, &["status", "--porcelain"]), "");
    // A top that somebody has put into ioc/ by hand is read where it is.
    scratch.write("simulators/l1.py", "# mine\n");
    scratch.edit(
        "ioc.toml",
        "[simulators.l0]",
        "[simulators.mine]\npackage = \"mine\"\ncommand = [\"x\"]\nport = 9003\n\n[simulators.l0]",
    );
    git(&scratch, &["commit", "-q", "-a", "-m", "mine"]);
    let own = scratch.xtask(&["adopt", "--apply"]).expect(0, &[]).stdout;
    assert!(own.contains("simulators/l1.py: a simulator that was here before"), "{own}");
    let toml = fs::read_to_string(scratch.root.join("ioc.toml")).unwrap();
    assert!(toml.contains("[simulators.mine]") && !toml.contains("l0-3"), "{toml}");
}

/// Nix takes the adopted files as they are: nothing is missing, nothing is wrong.
fn read_by_nix(scratch: &Scratch) {
    let nix = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("nix/project.nix");
    let expression = format!("(import {}).load (/. + {:?})", nix.display(), scratch.root.to_str().unwrap());
    let mut command = std::process::Command::new("nix-instantiate");
    command.args(["--eval", "--strict", "--json", "-A", "iocs", "-E", &expression]).env("NIX_REMOTE", "dummy://");
    match command.output() {
        Ok(output) => {
            let said = Run::of(&output).expect(0, &[]).stdout;
            assert!(said.contains("\"iocbeam-psu\"") && said.contains("\"iocSpare\""), "{said}");
        }
        Err(_) => common::skipped("no `nix-instantiate` here; apt-get install nix-bin"),
    }
}

#[test]
fn a_kill_at_any_moment_leaves_the_example_or_the_adopted() {
    let scratch = project();
    let old = files(&scratch);
    let lab = Lab::new(&scratch.scratch_dir().join("lab"), "psu");
    lab.usual("iocPsu", "psu", "10.0.0.1:4001", "A:");
    adopt(&scratch, &lab, &["--apply"]).expect(0, &[]);
    let (new, staged) = (files(&scratch), git(&scratch, &["status", "--porcelain"]));
    for step in ["prepared", "journal", "outside", "files", "staged"] {
        git(&scratch, &["reset", "-q", "--hard"]);
        assert!(files(&scratch) == old, "{step}");
        let mut command = scratch.command(&["adopt", lab.root.to_str().unwrap(), "--apply"]);
        let killed = command.env("XTASK_DIES_AT", step).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{step}");
        let next = scratch.xtask(&["list"]).expect(0, &[]);
        if step == "prepared" {
            adopt(&scratch, &lab, &["--apply"]).expect(0, &[]);
        } else {
            assert!(
                next.stderr.contains("the adoption was interrupted: it is finished now"),
                "{step}: {}",
                next.stderr
            );
        }
        assert!(files(&scratch) == new && git(&scratch, &["status", "--porcelain"]) == staged, "{step}");
    }
}

#[test]
fn what_cannot_be_adopted_is_said_and_changes_nothing() {
    let scratch = project();
    let lab = Lab::new(&scratch.scratch_dir().join("site/lab"), "psu");
    adopt(&scratch, &lab, &[]).expect(3, &["starts an IOC", "hint: "]);
    lab.usual("iocPsu", "psu", "10.0.0.1:4001", "A:");
    let site = lab.root.parent().unwrap().to_str().unwrap();
    scratch.xtask(&["adopt", site]).expect(2, &["is no EPICS top", "hint: cargo xtask adopt ", "site/lab"]);
    adopt(&scratch, &lab, &["--ioc", "iocX"]).expect(4, &["no IOC is called `iocX`", "iocPsu"]);
    scratch.write("ioc.toml", "# changed\n");
    git(&scratch, &["checkout", "-q", "ioc.toml"]);
    scratch.write("README.md", "new\n");
    adopt(&scratch, &lab, &["--apply"]).expect(3, &["not committed, in README.md: the adopted files would mix"]);
    fs::remove_file(scratch.root.join("README.md")).unwrap();
    scratch.xtask(&["adopt", "ioc.toml"]).expect(2, &["ioc.toml is no EPICS top", "hint: "]);
}

#[test]
fn what_git_could_not_give_back_is_not_touched() {
    let scratch = project();
    let lab = Lab::new(&scratch.scratch_dir().join("lab"), "psu");
    lab.usual("iocPsu", "psu", "10.0.0.1:4001", "A:");
    lab.write("configure/RELEASE.local", "THEIRS = 1\n");
    scratch.write("ioc/configure/RELEASE.local", "OURS = 1\n");
    let before = files(&scratch);
    let lost = "ioc/configure/RELEASE.local is there, and Git does not have it";
    adopt(&scratch, &lab, &["--apply"]).expect(3, &["nothing was adopted", lost]);
    assert!(files(&scratch) == before);
    fs::remove_file(lab.root.join("configure/RELEASE.local")).unwrap();

    let (ioc, aside) = (scratch.root.join("ioc"), scratch.scratch_dir().join("site"));
    fs::rename(&ioc, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &ioc).unwrap();
    git(&scratch, &["add", "-A"]);
    git(&scratch, &["commit", "-q", "-m", "a link"]);
    let before = files(&scratch);
    adopt(&scratch, &lab, &["--apply"]).expect(3, &["nothing was adopted", "ioc is a link"]);
    assert!(files(&scratch) == before);
    fs::remove_file(&ioc).unwrap();
    fs::rename(&aside, &ioc).unwrap();
    git(&scratch, &["reset", "-q", "--hard", "HEAD~"]);
    adopt(&scratch, &lab, &["--apply"]).expect(0, &[]);
    assert_eq!(fs::read_to_string(ioc.join("configure/RELEASE.local")).unwrap(), "OURS = 1\n");
}

/// A style of labs: what makes it of a plain top, and how many things are left to do by hand.
type Style = (&'static str, fn(&Lab), usize);

const STYLES: [Style; 19] = [
    // The lab's folder has a blank in its name.
    ("plain", |lab| lab.edit("iocBoot/iocPsu/st.cmd", "cd \"${TOP}\"\n", "cd ${TOP}\n"), 0),
    (
        "app/",
        |lab| {
            lab.rename("psuApp", "app");
            lab.edit("Makefile", "$(wildcard *App)", "app");
        },
        0,
    ),
    (
        "protocol/",
        |lab| {
            lab.rename("psuApp/Db/psu.proto", "protocol/psu.proto");
            lab.edit("psuApp/Db/Makefile", " psu.proto", "");
            lab.edit("iocBoot/iocPsu/st.cmd", "$(TOP)/db", "$(TOP)/protocol");
        },
        0,
    ),
    (
        "st.cmd.sh",
        |lab| {
            lab.rename("iocBoot/iocPsu/st.cmd", "iocBoot/iocPsu/st.cmd.sh");
            lab.run_bit("iocBoot/iocPsu/st.cmd.sh", false);
        },
        0,
    ),
    ("stTCP.cmd", |lab| lab.rename("iocBoot/iocPsu/st.cmd", "iocBoot/iocPsu/stTCP.cmd"), 0),
    (
        "st.sh",
        |lab| lab.write("iocBoot/iocPsu/st.sh", "#!/bin/sh\nexport SITE=lab\nexec ../../bin/linux-x86_64/psu st.cmd\n"),
        1,
    ),
    (
        "built",
        |lab| {
            lab.write("bin/linux-x86_64/psu", "stale");
            lab.write("db/psu.db", "record(ai, \"stale\")\n");
            lab.write(
                "iocBoot/iocPsu/envPaths",
                "epicsEnvSet(\"TOP\",\"/elsewhere\")\nepicsEnvSet(\"IOC\",\"iocPsu\")\n",
            );
        },
        0,
    ),
    ("cdCommands", |lab| lab.edit("iocBoot/iocPsu/st.cmd", "< envPaths\n", "< envPaths\n< cdCommands\n"), 1),
    ("site", |lab| lab.edit("iocBoot/iocPsu/st.cmd", "iocInit\n", "iocInit\n< /site/epics/after.cmd\n"), 1),
    (
        "search paths",
        |lab| {
            lab.edit(
                "iocBoot/iocPsu/st.cmd",
                "$(TOP)/db\")",
                "/site/proto:$(TOP)/db\")\nepicsEnvSet(\"EPICS_DB_INCLUDE_PATH\", \"/site/db:$(TOP)/db\")",
            );
            lab.edit("iocBoot/iocPsu/st.cmd", "\"db/psu.db\"", "\"psu.db\"");
        },
        0,
    ),
    ("braces", |lab| lab.edit("iocBoot/iocPsu/st.cmd", "P=A:", "P=XF:23{PS:1}"), 0),
    (
        "asyn record",
        |lab| {
            lab.edit("iocBoot/iocPsu/st.cmd", "dbLoadRecords", "dbLoadRecords(\"$(ASYN)/db/asynRecord.db\", \"P=A:,R=asyn,PORT=L0,ADDR=0,OMAX=80,IMAX=80\")\ndbLoadRecords");
        },
        0,
    ),
    ("env", |lab| lab.edit("iocBoot/iocPsu/st.cmd", "#!../../bin", "#!/usr/bin/env -S ../../bin"), 0),
    (
        "ends of asyn",
        |lab| {
            lab.edit("psuApp/Db/psu.proto", "Terminator = CR LF;\n", "");
            lab.edit(
                "iocBoot/iocPsu/st.cmd",
                "dbLoadRecords",
                "asynOctetSetInputEos(\"L0\", 0, \"\\r\\n\")\nasynOctetSetOutputEos(\"L0\", 0, \"\\r\")\ndbLoadRecords",
            );
        },
        0,
    ),
    (
        "iocsh/",
        |lab| {
            lab.write("iocsh/psu.iocsh", "drvAsynIPPortConfigure(\"$(PORT)\", \"$(IP):4001\")\ndbLoadRecords(\"db/psu.db\", \"P=$(P),PORT=$(PORT)\")\n");
            lab.edit(
                "iocBoot/iocPsu/st.cmd",
                "cd \"${TOP}/iocBoot",
                "iocshLoad(\"iocsh/psu.iocsh\", \"P=B:,PORT=L1,IP=10.0.0.2\")\niocshLoad(\"iocsh/psu.iocsh\", \"P=C:,PORT=L2,IP=10.0.0.3\")\ncd \"${TOP}/iocBoot",
            );
        },
        0,
    ),
    (
        "serial",
        |lab| {
            lab.edit("iocBoot/iocPsu/st.cmd", "dbLoadRecords", "drvAsynSerialPortConfigure(\"L1\", \"/dev/ttyS0\")\ndbLoadRecords(\"db/psu.db\", \"P=B:,PORT=L1\")\ndbLoadRecords");
        },
        0,
    ),
    (
        "udp",
        |lab| {
            lab.edit("iocBoot/iocPsu/st.cmd", "dbLoadRecords", "drvAsynIPPortConfigure(\"L1\", \"10.0.0.2:4001 UDP\")\ndbLoadRecords(\"db/psu.db\", \"P=B:,PORT=L1\")\ndbLoadRecords");
        },
        1,
    ),
    (
        "one query, many answers",
        |lab| {
            lab.edit("iocBoot/iocPsu/st.cmd", "\"10.0.0.1:4001\"", "\"${PSU}\"");
            asks(lab, "ai", "STAT?", "%f,%*d,%*{OFF|ON}", "field(HIGH, 5) field(HSV, MINOR)");
            asks(lab, "longin", "STAT?", "%*f,%d,%*{OFF|ON}", "field(LOW, 7) field(LSV, MAJOR)");
            asks(lab, "bi", "STAT?", "%*f,%*d,%{OFF|ON}", "field(ZSV, MAJOR)");
            asks(lab, "stringin", "STAT?", "%#39s", "");
            asks(lab, "stringin", "VERS?", "psu %s", "");
            asks(lab, "stringin", "VERS?", "%.1/^psu (\\d+\\.\\d+)$/", "");
            asks(lab, "stringin", "VERS?", "%#/^psu (\\d+)\\.(\\d+)$/\\1\\2/%s", "");
            asks(lab, "longin", "N?", "%x", "");
            asks(lab, "ai", "N?", "%f", "");
        },
        0,
    ),
    (
        "one query, and no answer for all",
        |lab| {
            asks(lab, "bi", "STAT?", "%{OFF|ON}", "");
            asks(lab, "ai", "STAT?", "%f", "");
        },
        1,
    ),
];

/// One more record that asks something and wants an answer.
fn asks(lab: &Lab, kind: &str, out: &str, wanted: &str, fields: &str) {
    let text = fs::read_to_string(lab.root.join("psuApp/Db/psu.proto")).unwrap();
    let name = format!("more{}", text.len());
    lab.write("psuApp/Db/psu.proto", &format!("{text}{name} {{ out \"{out}\"; in \"{wanted}\"; }}\n"));
    let text = fs::read_to_string(lab.root.join("psuApp/Db/psu.db")).unwrap();
    let link = format!("field(DTYP, stream) field(INP, \"@psu.proto {name} $(PORT)\")");
    lab.write("psuApp/Db/psu.db", &format!("{text}record({kind}, \"$(P){name}\") {{ {link} {fields} }}\n"));
}

#[test]
fn tops_as_labs_have_them_are_adopted_without_a_false_alarm() {
    let scratch = project();
    for (style, make, by_hand) in STYLES {
        git(&scratch, &["reset", "-q", "--hard"]);
        let lab = Lab::new(&scratch.scratch_dir().join(format!("lab {}", style.replace('/', ""))), "psu");
        lab.usual("iocPsu", "psu", "10.0.0.1:4001", "A:");
        make(&lab);
        let plan = adopt(&scratch, &lab, &["--apply"]).expect(0, &[]).stdout;
        let todo = fs::read_to_string(scratch.root.join("TODO-adopt.md")).unwrap_or_default();
        assert_eq!(todo.matches("- [ ] ").count(), by_hand, "{style}:\n{plan}");
        assert!(!plan.contains("__macro__"), "{plan}");
        let lint = scratch.xtask(&["lint", "--deny-warnings"]);
        assert_eq!(lint.code, Some(0), "{style}:\n{}\n{plan}", lint.stdout);
        let test = scratch.xtask(&["test", "--backend", "sandbox"]);
        assert_eq!(test.code, Some(0), "{style}:\n{}{}\n{plan}", test.stdout, test.stderr);
        if style == "asyn record" {
            scratch.check(
                "asyn",
                "start_all()\nmachine.wait_for_unit(\"ioc.service\")\nmachine.succeed(\"caget -w 60 A:asyn.PORT\")\n",
            );
            scratch.xtask(&["test", "asyn", "--backend", "sandbox"]).expect(0, &["1 passed"]);
            fs::remove_file(scratch.root.join("checks/asyn.py")).unwrap();
        }
    }
}
