//! `cargo xtask report` on real runs, and the recording of process variables.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;

use common::{Run, Scratch};

/// Sets the voltage, restarts the IOC, and fails.
const SCRIPT: &str = r#"
machine.wait_for_unit("ioc.service")
machine.wait_until_succeeds("caget VOLT-RB", timeout=60)

with subtest("nobody sees the recorder"):
    machine.fail("pgrep -f -- '--[r]ecord'")

with subtest("the voltage <rises>"):
    machine.succeed("caput -w 60 -c VOLT 42")
    machine.wait_until_succeeds("caget -t VOLT-RB | grep -qxF 42", timeout=60)

with subtest("the IOC restarts"):
    machine.systemctl("restart ioc.service")
    machine.wait_until_succeeds("caget VOLT-RB", timeout=60)
    # An update that the recorder has is one that a client has: it was there before.
    machine.succeed("caput -w 60 -c CURR 17.5")
    machine.wait_until_succeeds("caget -t CURR-RB | grep -qxF 17.5", timeout=60)

with subtest("the machine restarts"):
    machine.shutdown()
    machine.start()
    machine.wait_for_unit("ioc.service")
    machine.wait_until_succeeds("caget VOLT-RB", timeout=60)
    machine.succeed("caput -w 60 -c CURR 12.5")
    machine.wait_until_succeeds("caget -t CURR-RB | grep -qxF 12.5", timeout=60)

with subtest("it fails"):
    machine.copy_from_machine("/etc/hostname")
    machine.succeed("echo '</script><script>alert(1)</script>' && false")
"#;

fn page(run: &Run) -> String {
    fs::read_to_string(run.stdout.trim()).unwrap()
}

#[test]
fn a_failed_check_as_a_page() {
    let scratch = Scratch::new();
    scratch.check("ramp", SCRIPT);
    scratch.xtask(&["test", "ramp", "--backend", "sandbox"]).expect(1, &["it fails"]);
    let record = scratch.result("ramp/record/machine.jsonl");
    let mut ioc: Vec<bool> =
        record.lines().filter(|line| line.contains("\"ioc\":")).map(|line| line.contains("\"up\"")).collect();
    // When a machine goes down, the recorder and what started it may both say so.
    ioc.dedup();
    assert!(ioc.starts_with(&[true, false, true, false, true]), "{record}");
    assert!(record.contains("\"pv\":\"CURR-RB\",\"value\":12.5,"), "{record}");

    let run = scratch.xtask(&["report"]).expect(0, &[]);
    let page = page(&run);
    for part in [
        "<title>✗ ramp: 1 failed</title>",
        "checks/ramp.py:29",
        "the voltage &lt;rises&gt;",
        "&lt;/script&gt;&lt;script&gt;alert(1)",
        "<span class=\"high\">42 V</span>",
        "<span class=\"high\">17.5 A</span>",
        "IOC down",
        "psu-simulator 0.1.0",
        "ioc.service on machine",
        "href=\"ramp/out/hostname\"",
        "default-src 'none'",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
    assert_eq!(page.matches("<script>").count(), 1, "the page's own");
    assert!(!page.contains("http://") && !page.contains("src="), "nothing is fetched");

    // What is no run of checks is not the newest one.
    fs::create_dir_all(scratch.root.join("target/checks/99990101T000000Z-1/run/journal")).unwrap();
    assert_eq!(scratch.xtask(&["report"]).expect(0, &[]).stdout, run.stdout);

    // A run that was killed has no summary and no result.
    let dir = scratch.root.join("target/checks/latest");
    fs::remove_file(dir.join("run.json")).unwrap();
    fs::remove_file(dir.join("ramp/result.json")).unwrap();
    let name = dir.canonicalize().unwrap();
    let name = name.file_name().unwrap().to_str().unwrap();
    let elsewhere = scratch.scratch_dir().join("a page.html");
    let first = scratch.xtask(&["report", name, "-o", elsewhere.to_str().unwrap()]).expect(0, &[]);
    assert_eq!(first.stdout.trim(), elsewhere.to_str().unwrap());
    // Its links lead to the files, however the place of the page was written.
    let run = scratch.xtask(&["report", name, "-o", "../other.html"]).expect(0, &[]);
    let other = scratch.root.parent().unwrap().join("other.html");
    assert_eq!(run.stdout.trim(), other.canonicalize().unwrap().to_str().unwrap());
    let page = fs::read_to_string(&other).unwrap();
    let link =
        page.split("href=\"").find(|rest| rest.split('"').next().is_some_and(|link| link.ends_with("/hostname")));
    assert!(link.unwrap().starts_with("my%20IOC%2C%20gr%C3%B6%C3%9Fer/target/checks/"), "{link:?}");
    let page = self::page(&first);
    assert!(page.contains("unfinished") && page.contains("42 V") && page.contains("checks/ramp.py:29"));
    assert!(page.contains("/ramp/out/hostname\"") && !page.contains("file:"));

    let open =
        scratch.command(&["report", "--open"]).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").output().unwrap();
    Run::of(&open).expect(5, &["the page is written, but", "hint: "]);
}

/// What the soft IOC tells of itself: a device that answers something else, and a record that is written.
#[test]
fn coverage_of_an_ioc() {
    let scratch = Scratch::new();
    // On a busy computer, the other answers come all the same.
    for (limit, longer) in
        [("ReplyTimeout = 500;", "ReplyTimeout = 60000;"), ("ReadTimeout = 100;", "ReadTimeout = 60000;")]
    {
        scratch.edit("ioc/exampleApp/Db/example.proto", limit, longer);
    }
    scratch.edit(
        "ioc/exampleApp/Db/example.proto",
        "    out \"meas:curr?\"; in \"%f\";\n",
        "    out \"meas:curr?\"; in \"%f A\";\n    @mismatch { out \":volt?\"; in \"%*f\"; }\n    @replytimeout { wait 1; }\n",
    );
    let script = "machine.wait_for_unit('ioc.service')\n\
                  machine.succeed('caput -w 60 -c VOLT 12')\n\
                  machine.wait_until_succeeds('caget -t CURR-MEAS.SEVR | grep -qx INVALID', timeout=60)\n\
                  machine.succeed('systemctl restart ioc.service')\n";
    scratch.check("used", script);
    let run = scratch.xtask(&["test", "used", "--backend", "sandbox", "--coverage"]);
    run.expect(
        0,
        &[" in alarm; ", "protocols never run: ", "handlers never run: example.proto measureCurrent @replytimeout"],
    );
    let coverage: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(scratch.root.join("target/checks/latest/coverage.json")).unwrap())
            .unwrap();
    assert_eq!(coverage["source"], "soft-ioc");
    let used = |name: &str| {
        let own = &coverage["records"][name];
        ["read", "written", "processed", "alarmed"].map(|what| own[what].as_bool().unwrap())
    };
    assert_eq!(used("VOLT"), [false, true, true, false]);
    assert_eq!(used("CURR-MEAS"), [true, false, true, true]);
    assert_eq!(used("MODE"), [false; 4]);
    let functions = coverage["functions"].as_array().unwrap();
    let of = |name: &str| functions.iter().find(|own| own["name"] == name).unwrap();
    assert_eq!(of("measureCurrent")["handlers"], serde_json::json!({"@mismatch": true, "@replytimeout": false}));
    assert_eq!((&of("setVoltage")["ran"], &of("setMode")["ran"]), (&true.into(), &false.into()));

    // Where it cannot be written, a check that failed is told all the same, and is what counts.
    let blocked = scratch.root.join("target/checks/latest/coverage.json");
    scratch.check("used", &format!("import os\nos.mkdir({blocked:?})\nassert 1 == 2, 'no'\n"));
    scratch
        .xtask(&["test", "used", "--backend", "sandbox", "--coverage"])
        .expect(1, &["1 failed", "error: cannot write ", "coverage.json"]);
}

#[test]
fn recording_can_be_left_out_and_a_page_is_made_all_the_same() {
    let scratch = Scratch::new();
    scratch.check("short", "machine.wait_for_unit(\"multi-user.target\")\n");
    scratch.xtask(&["test", "short", "--backend", "sandbox", "--no-record"]).expect(0, &[]);
    assert!(!scratch.root.join("target/checks/latest/short/record").exists());
    let run = scratch.xtask(&["report"]).expect(0, &[]);
    assert!(page(&run).contains("<title>✓ short: 1 passed</title>"));
    assert!(!page(&run).contains("Process variables of"));
}

/// Ports that the unit or the start-up script names, and one that nobody serves.
#[test]
fn an_ioc_on_another_port_is_recorded() {
    let scratch = Scratch::new();
    scratch.write("checks/unit.toml", "timeout = 60\n[nodes.machine.environment]\nEPICS_CA_SERVER_PORT = \"5070\"\n");
    scratch.write("checks/script.toml", "timeout = 60\n[nodes.machine.environment]\nPORT = \"5075\"\n");
    scratch.edit(
        "ioc/iocBoot/iocExample/st.cmd",
        "< envPaths",
        "< envPaths\nepicsEnvSet EPICS_CAS_SERVER_PORT ${PORT=${EPICS_CA_SERVER_PORT=5064}}\n",
    );
    for name in ["unit", "script"] {
        let record = scratch.root.join(format!("target/checks/latest/{name}/record/machine.jsonl"));
        let text = format!(
            "import time\nmachine.wait_for_unit('ioc.service')\n\
             while '\"pv\":\"VOLT-RB\",\"value\":0' not in open({record:?}).read():\n    time.sleep(0.02)\n"
        );
        scratch.check(name, &text);
    }
    scratch.xtask(&["test", "unit", "script", "--backend", "sandbox"]).expect(0, &["2 passed"]);
    assert!(scratch.result("unit/record/machine.jsonl").contains("\"port\":5070,"));
    assert!(scratch.result("script/record/machine.jsonl").contains("\"port\":5075,"));
    assert!(!page(&scratch.xtask(&["report"]).expect(0, &[])).contains("nothing served port"));

    // It is never active: systemd would wait for it for 90 s.
    let loaded = "journalctl -u ioc.service | grep -q dbLoadRecords";
    scratch.check(
        "deaf",
        &format!("machine.wait_until_succeeds({loaded:?})\nmachine.succeed('systemctl stop ioc.service')\n"),
    );
    scratch.edit("ioc/iocBoot/iocExample/st.cmd", "iocInit()", "");
    scratch.xtask(&["test", "deaf", "--backend", "sandbox", "--no-lint"]).expect(0, &[]);
    let page = page(&scratch.xtask(&["report"]).expect(0, &[]));
    assert!(page.contains("Process variables of machine: nothing served port 5064 of Channel Access"));
}

#[test]
fn a_run_that_is_not_there_is_named() {
    let scratch = Scratch::new();
    scratch.xtask(&["report"]).expect(4, &["there is no run in ", "hint: cargo xtask test"]);
    scratch.xtask(&["report", "2020"]).expect(4, &["there is no run `2020`, neither in "]);
    fs::create_dir_all(scratch.root.join("target/checks/empty")).unwrap();
    scratch.xtask(&["report", "empty"]).expect(4, &["no check has run in "]);
}
