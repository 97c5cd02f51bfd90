//! `adopt`: tops as labs have them, brought into a project, with real sandboxes.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::tops::Lab;
use common::{Run, Scratch, copy};

/// The template's project, committed.
fn project() -> Scratch {
    let scratch = Scratch::new();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("template");
    for file in [".gitignore", "flake.nix", "checks"] {
        copy(&template.join(file), &scratch.root.join(file));
    }
    copy(&template.join("checks"), &scratch.root.join("tool/template/checks"));
    git(&scratch, &["init", "-q"]);
    git(&scratch, &["add", "-A"]);
    git(&scratch, &["commit", "-q", "-m", "x"]);
    scratch
}

fn git(scratch: &Scratch, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(&scratch.root).args(["-c", "user.name=t", "-c", "user.email=t@localhost"]).args(args);
    let output = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn adopt(scratch: &Scratch, lab: &Lab, more: &[&str]) -> Run {
    scratch.xtask(&[&["adopt", lab.root.to_str().unwrap()], more].concat())
}

/// Every file outside target/ and .git/ with what it holds and its mode, and every folder.
fn tree(scratch: &Scratch) -> Vec<(PathBuf, Option<Vec<u8>>, u32)> {
    let own = |e: &walkdir::DirEntry| e.file_name() != "target" && e.file_name() != ".git";
    let entries = walkdir::WalkDir::new(&scratch.root).sort_by_file_name().into_iter().filter_entry(own);
    let one = |path: PathBuf| (path.clone(), fs::read(&path).ok(), path.metadata().unwrap().permissions().mode());
    entries.map(|e| one(e.unwrap().into_path())).collect()
}

/// Two boot folders, one of them with a serial device, in the style of a beam line.
fn beam_line(scratch: &Scratch) -> Lab {
    let lab = Lab::new(&scratch.scratch_dir().join("beam line"), "beam-psu");
    let lines = "< /site/epics/common.cmd\nepicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"/site/protocol:$(TOP)/protocol\")\n\
                 drvAsynIPPortConfigure(\"L0\", \"192.168.7.20:4001 TCP\", 0, 0, 0)\n\
                 drvAsynSerialPortConfigure(\"L1\", \"/dev/ttyS0\")\nasynSetOption(\"L1\", 0, \"baud\", \"9600\")\n\
                 dbLoadRecords(\"db/psu.db\", \"P=XF:23{PS:1},PORT=L0\")\ndbLoadRecords(\"db/psu.db\", \"P=XF:23{PS:2},PORT=L1\")\n";
    lab.boot("iocbeam-psu", "st.cmd", "beam-psu", lines);
    lab.run_bit("iocBoot/iocbeam-psu/st.cmd", false);
    lab.usual("iocSpare", "beam-psu", "192.168.7.21:4001", "XF:24:");
    lab.rename("beam-psuApp/Db/psu.proto", "protocol/psu.proto");
    lab.edit("beam-psuApp/Db/Makefile", " psu.proto", "");
    lab.edit("configure/RELEASE", "EPICS_BASE", "MOTOR = $(SUPPORT)/motor\nEPICS_BASE");
    lab.write("bin/linux-x86_64/beam-psu", "stale");
    lab
}

#[test]
fn a_top_of_a_beam_line_comes_to_a_green_check() {
    let scratch = project();
    let before = tree(&scratch);
    let lab = beam_line(&scratch);
    let dir = lab.root.to_str().unwrap();
    scratch.xtask(&["adopt", dir]).expect(2, &["several IOCs: iocSpare, iocbeam-psu", "--ioc iocSpare"]);
    let shown = adopt(&scratch, &lab, &["--ioc", "iocbeam-psu"]).expect(0, &[]);
    for part in [
        "iocbeam-psu, application beam-psu: 8 records, 2 ports.",
        "  L0: simulators/l0.py, on port 9001\n",
        "  bin: left out, as make makes it (1 file)\n",
        "st.cmd:9: ${L0_ADDRESS=192.168.7.20:4001 TCP} instead",
        "st.cmd:7: taken out, as there is no such file: < /site/epics/common.cmd",
        "st.cmd: can be executed",
        "st.cmd:10: drvAsynSerialPortConfigure opens port L1 at /dev/ttyS0",
        "ioc/iocBoot/iocSpare: another IOC of this top",
        "EPNix has no MOTOR ($(SUPPORT)/motor)",
        "Nothing was written yet.",
    ] {
        assert!(shown.stdout.contains(part), "no {part:?} in\n{}", shown.stdout);
    }
    assert!(tree(&scratch) == before && git(&scratch, &["status", "--porcelain"]).is_empty());

    adopt(&scratch, &lab, &["--ioc", "iocbeam-psu", "--apply"]).expect(0, &["git restore --staged --worktree ."]);
    let status = git(&scratch, &["status", "--porcelain"]);
    assert!(status.lines().all(|line| line.get(1..2) == Some(" ")), "all is staged, nothing else: {status}");
    assert!(!scratch.root.join("ioc/exampleApp").exists() && !scratch.root.join("checks/simple.py").exists());
    scratch.xtask(&["lint", "--deny-warnings"]).expect(0, &["nothing found"]);
    scratch.xtask(&["test", "--backend", "sandbox"]).expect(0, &["1 passed"]);
    scratch.xtask(&["doctor"]).expect_out("there is work left from `cargo xtask adopt` (4 things");

    git(&scratch, &["restore", "--staged", "--worktree", "."]);
    assert!(tree(&scratch) == before && git(&scratch, &["status", "--porcelain"]).is_empty());
}
