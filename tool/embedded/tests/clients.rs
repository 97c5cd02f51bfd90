//! Clients that are not ours: Python's pyepics and aioca, which are C's libca, caproto, which is Python alone, and, for PV Access
//! (`--features pva`), p4p, which is PVXS.
//! `.ci/run` installs them below target/ci-tools; without them the test says so and does nothing.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops where it fails")]

mod common;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use common::{Ioc, Top, port};

/// What each of them says it got, in this order.
const FACTS: [&str; 8] = ["get", "ctrl", "monitor", "enum", "put of an enum", "array", "string", "many"];

fn database() -> String {
    let mut text = concat!(
        "record(ao, \"A\") { field(VAL, \"1.5\") field(PINI, \"YES\") field(EGU, \"mm\") field(PREC, \"3\") ",
        "field(LOPR, \"-10\") field(HOPR, \"10\") field(HIHI, \"9\") field(HHSV, \"MAJOR\") }\n",
        "record(mbbo, \"E\") { field(ZRST, \"off\") field(ONST, \"on\") field(TWST, \"fault\") field(VAL, \"1\") ",
        "field(PINI, \"YES\") }\n",
        "record(waveform, \"W\") { field(FTVL, \"DOUBLE\") field(NELM, \"1000\") }\n",
        "record(waveform, \"C\") { field(FTVL, \"CHAR\") field(NELM, \"1000\") }\n",
        "record(stringout, \"S\") {}\n",
    )
    .to_owned();
    for number in 0..1000 {
        writeln!(text, "record(ai, \"N{number}\") {{ field(VAL, \"{number}\") }}").unwrap();
    }
    text
}

#[test]
fn python_clients() {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../../ci-tools/bin/python");
    let has = |module: &str| {
        Command::new(&python).args(["-c", &format!("import {module}")]).output().is_ok_and(|o| o.status.success())
    };
    let there: Vec<_> = [("pyepics", "epics"), ("caproto", "caproto"), ("aioca", "aioca")]
        .into_iter()
        .filter_map(|(name, module)| has(module).then_some(name))
        .collect();
    let there: Vec<_> = there.into_iter().chain((cfg!(feature = "pva") && has("p4p")).then_some("p4p")).collect();
    if there.len() < 3 + usize::from(cfg!(feature = "pva")) {
        eprintln!("skipped: of pyepics, caproto, aioca and p4p, {} has {there:?}", python.display());
    }
    for client in there {
        let top = Top::new();
        top.database("clients.db", &database());
        top.replace("iocBoot/iocExample/st.cmd", "db/example.db", "db/clients.db");
        if client == "p4p" {
            top.replace(
                "exampleApp/src/Makefile",
                "example_DBD += stream.dbd",
                "example_DBD += stream.dbd pvxsIoc.dbd",
            );
        }
        let number = port::free().to_string();
        let port = [("EPICS_PVAS_BROADCAST_PORT", &*number), ("EPICS_PVA_BROADCAST_PORT", &number)];
        let ioc = Ioc::start_with(&top, "st.cmd", None, &port);
        ioc.wait_for("iocRun: All initialization complete");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients.py");
        let output = ioc.client(Command::new(&python).args(["-B", script, client]).envs(port));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{client}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
        let facts: Vec<_> = said.lines().filter(|line| FACTS.contains(line)).collect();
        assert_eq!(facts, FACTS, "{client}");
    }
}
