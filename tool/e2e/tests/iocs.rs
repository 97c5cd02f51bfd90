//! Several IOCs in one project, and their environment: on one machine and on several, by hand and in checks.
#![expect(clippy::unwrap_used, reason = "tests run programs")]

mod common;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use common::{Run, Scratch};

/// Two IOCs of one application, each with a device: that of `a` has a TCP port, that of `b`, whose script is another one, a serial line.
const BOTH: &str = r#"
[iocs.a]
app = "example"
ioc = "iocExample"
support = ["StreamDevice", "autosave"]
environment = { PREFIX = "A:" }

[iocs.b]
app = "example"
ioc = "iocOther"
script = "stOther.cmd"
support = ["StreamDevice", "autosave"]
environment = { PREFIX = "B:" }

[simulators.simulator]
package = "psu-simulator"
command = ["psu-simulator"]
port = 9999
ioc = "a"

[simulators.line]
package = "line-simulator"
command = ["python3", "simulators/line.py"]
serial = "/dev/ttyPSU"
ready = "/run/line"
ioc = "b"
environment = { PSU_TTY = "/dev/ttyPSU" }
"#;

/// A power supply at a serial line. It is ready when it says so.
const LINE: &str = r#"
import re, sys
open("/run/line", "w")
set_to = {"volt": "0", "curr": "0", "pon": "OFF", "mode": "CV"}
for line in sys.stdin:
    said = re.fullmatch(r"(?:outp|meas)?:(\w+)(\?| (.*))\n", line)
    if said[1] == "idn":
        answer = "a line"
    elif said[2] == "?":
        answer = set_to[said[1]]
    else:
        answer, set_to[said[1]] = "OK", said[3]
    print(answer, flush=True)
"#;

fn project() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("ioc.toml", BOTH);
    let boot = scratch.root.join("ioc/iocBoot");
    let script = fs::read_to_string(boot.join("iocExample/st.cmd")).unwrap();
    common::copy(&boot.join("iocExample"), &boot.join("iocOther"));
    fs::rename(boot.join("iocOther/st.cmd"), boot.join("iocOther/stOther.cmd")).unwrap();
    let tcp = "drvAsynIPPortConfigure(\"PS1\", \"${PSU_ADDRESS=localhost:9999}\")";
    assert!(script.contains(tcp));
    let script = script.replace(tcp, "drvAsynSerialPortConfigure(\"PS1\", \"${PSU_TTY=/dev/ttyS0}\")");
    let dbd = "example_DBD += drvAsynIPPort.dbd";
    scratch.edit("ioc/exampleApp/src/Makefile", dbd, &format!("{dbd} drvAsynSerialPort.dbd asSupport.dbd"));
    scratch.edit("ioc/exampleApp/src/Makefile", "example_LIBS += stream", "example_LIBS += autosave stream");
    let save = "set_savefile_path(\"/var/lib/epics/b\")\nset_requestfile_path(\"${TOP}/iocBoot/iocOther\")\n\
                set_pass1_restoreFile(\"b.sav\")\ncreate_monitor_set(\"b.req\", 1, \"P=${PREFIX}\")\niocInit";
    assert!(script.contains("\niocInit"));
    let script = script.replace("iocInit", save);
    scratch.write("ioc/iocBoot/iocOther/b.req", "$(P)VOLT.HIGH\n");
    fs::create_dir(scratch.root.join("simulators")).unwrap();
    scratch.write("simulators/line.py", LINE);
    scratch.write("ioc/iocBoot/iocOther/stOther.cmd", &script);
    fs::remove_file(scratch.root.join("checks/simple.py")).unwrap();
    scratch
}

/// What a command says that is told something on its stdin.
fn told(mut command: Command, text: &str) -> Run {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Run::of(&child.wait_with_output().unwrap())
}

#[test]
fn two_iocs_on_one_machine_are_both_reached() {
    let scratch = project();
    // Both are found by every client and recorded, and each has its own console, folder and environment. What autosave
    // of the one has saved is there after a restart.
    scratch.check(
        "both",
        "import pathlib, time\n\
         start_all()\n\
         for unit in ('a', 'b', 'simulator', 'line'):\n    machine.wait_for_unit(f'{unit}.service')\n\
         machine.succeed('caget -w 60 -t A:VOLT B:VOLT')\n\
         machine.succeed('caput -w 60 A:VOLT 5')\n\
         machine.wait_until_succeeds('caget -t A:VOLT-RB | grep -qxF 5')\n\
         machine.succeed('caget -w 60 -t B:VOLT | grep -qxF 0')\n\
         machine.wait_until_succeeds('caget -t B:IDN | grep -qxF \"a line\"')\n\
         machine.succeed('caput -w 60 B:VOLT 7.5')\n\
         machine.wait_until_succeeds('caget -t B:VOLT-RB | grep -qxF 7.5')\n\
         record = pathlib.Path(driver.out_dir).parent / 'record'\n\
         for own, value in (('a', '\"A:VOLT-RB\",\"value\":5,'), ('b', '\"B:VOLT-RB\",\"value\":7.5,')):\n    \
             while value not in (record / f'{own}@machine.jsonl').read_text():\n        time.sleep(0.02)\n\
         for port, own in ((2000, 'A'), (2001, 'B')):\n    \
             machine.wait_until_succeeds(f'echo dbl | nc -w 1 localhost {port} | grep -qF {own}:VOLT-RB')\n\
         machine.succeed('test -d /var/lib/epics/a && test -d /var/lib/epics/b')\n\
         machine.fail('systemctl cat ioc.service')\n\
         machine.succeed('systemctl restart a')\n\
         machine.succeed('caget -w 60 -t A:VOLT B:VOLT')\n\
         machine.succeed('caput -w 60 B:VOLT.HIGH 42')\n\
         machine.wait_until_succeeds(\"grep -qx 'B:VOLT.HIGH 42' /var/lib/epics/b/b.sav\", timeout=120)\n\
         machine.succeed('systemctl restart b')\n\
         machine.succeed('caget -w 60 -t B:VOLT.HIGH | grep -qxF 42')\n",
    );
    // Each machine has its own, and a client elsewhere finds what it may search.
    scratch.check(
        "apart",
        "start_all()\n\
         first.wait_for_unit('a.service')\n\
         second.wait_for_unit('b.service')\n\
         third.wait_for_unit('a.service')\n\
         third.wait_for_unit('b.service')\n\
         first.fail('systemctl start b.service')\n\
         second.fail('systemctl cat simulator.service')\n\
         first.fail('test -e /dev/ttyPSU')\n\
         second.succeed('caget -w 60 -t C:VOLT-RB | grep -qxF 0')\n\
         second.succeed('caget -w 60 -t C:VOLT')\n\
         second.fail('caget -w 0.2 -t B:VOLT')\n\
         client.succeed('caget -w 60 -t C:VOLT A:VOLT-RB B:VOLT-RB')\n",
    );
    scratch.write(
        "checks/apart.toml",
        "[nodes.client]\nioc = false\nca_addr_list = [\"192.168.1.255\"]\n\
         [nodes.first]\niocs = [\"a\"]\nenvironment = { PREFIX = \"D:\" }\n\
         [nodes.second]\niocs = [\"b\"]\nenvironment = { PREFIX = \"C:\" }\n[nodes.third]\n",
    );
    assert!(!scratch.xtask(&["lint"]).expect(0, &[]).stdout.contains("[read-only]"));
    // Each writes to its own folder, and is told which one that is.
    let other = "ioc/iocBoot/iocOther/stOther.cmd";
    scratch.edit(other, "\niocInit()\n", "\niocInit()\ndbl > /var/lib/epics/a/x\n");
    let run = scratch.xtask(&["lint"]).expect(0, &[]);
    run.expect_out("warning[read-only]").expect_out("`/var/lib/epics/a/x`").expect_out("or in /var/lib/epics/b,");
    scratch.edit(other, "dbl > /var/lib/epics/a/x\n", "");
    scratch.xtask(&["test", "--backend", "sandbox", "--coverage"]).expect(0, &["2 passed"]);
    // What one IOC did is told of its own records.
    let coverage = fs::read_to_string(scratch.root.join("target/checks/latest/coverage.json")).unwrap();
    let coverage: serde_json::Value = serde_json::from_str(&coverage).unwrap();
    for (name, fact, wanted) in [
        ("A:VOLT", "written", true),
        ("B:VOLT", "written", true),
        ("A:IDN", "read", false),
        ("B:IDN", "read", true),
        ("C:VOLT", "read", true),
        ("D:VOLT", "read", false),
    ] {
        assert_eq!(coverage["records"][name][fact], wanted, "{name} {fact}");
    }
    let set = coverage["functions"].as_array().unwrap().iter().find(|own| own["name"] == "setVoltage").unwrap();
    assert_eq!(set["ran"], true, "{set}");
    assert_eq!(set["records"].as_array().unwrap().len(), 4, "{set}");
    scratch.write("checks/apart.toml", "[nodes.machine]\niocs = [\"a\"]\n");
    scratch.check("apart", "start_all()\nmachine.wait_for_unit('a.service')\n");
    scratch
        .xtask(&["test", "apart", "--backend", "sandbox", "--coverage"])
        .expect(0, &["of IOCs that these checks have on no machine nothing is known: b\n"]);
    scratch.write("checks/apart.toml", "[nodes.client]\niocs = [\"c\"]\n");
    scratch.xtask(&["test"]).expect(3, &["checks/apart.toml: machine `client` wants an IOC `c`", "a, b"]);
    scratch.xtask(&["new-check", "third"]).expect(0, &[]);
    let script = fs::read_to_string(scratch.root.join("checks/third.py")).unwrap();
    assert!(script.contains("wait_for_unit(\"a.service\")\n    machine.wait_for_unit(\"b.service\")"), "{script}");
}

#[test]
fn by_hand_the_callers_variables_go_first() {
    let scratch = project();
    scratch.xtask(&["run"]).expect(2, &["ioc.toml has several IOCs", "a, b"]);
    scratch.xtask(&["run", "c"]).expect(4, &["no IOC is called `c`", "a, b"]);
    scratch.xtask(&["run", "b", "--host"]).expect(3, &["simulator `line` needs /dev/ttyPSU", "--no-simulator"]);
    let host = &["--host", "--no-simulator"][..];
    for (host, own) in [(&[][..], "B:"), (host, "B:"), (&[][..], "MINE:"), (host, "MINE:")] {
        let mut command = scratch.command(&[&["run", "b"], host].concat());
        command.env("EPICS_CAS_INTF_ADDR_LIST", "127.0.0.1");
        if own == "MINE:" {
            command.env("PREFIX", own);
        }
        let run = told(command, "dbl\n").expect(0, &["device"]);
        assert!(run.stdout.contains(&format!("{own}VOLT-MEAS\n")), "{own} {host:?}\n{}", run.stdout);
    }
    scratch.check("both", "start_all()\nmachine.wait_for_unit('b.service')\nmachine.succeed('caget -w 60 B:VOLT')\n");
    // A check means the same, whoever runs it.
    let mut test = scratch.command(&["test", "--backend", "sandbox"]);
    Run::of(&test.env("PREFIX", "MINE:").output().unwrap()).expect(0, &["1 passed"]);
    let mut prompt = scratch.command(&["interactive", "both", "--backend", "sandbox"]);
    prompt.env("PREFIX", "MINE:");
    let script =
        "start_all()\nmachine.wait_for_unit('b.service')\nprint('got', machine.succeed('caget -w 60 -t MINE:VOLT'))\n";
    let run = told(prompt, script);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("got 0\n"), "{}{}", run.stdout, run.stderr);
}
