//! `lint`: one mistake each in a copy of the project, and the finding at its place.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::Scratch;
use serde_json::Value;

const DB: &str = "ioc/exampleApp/Db/example.db";
const MAKEFILE: &str = "ioc/exampleApp/Db/Makefile";
const PROTO: &str = "ioc/exampleApp/Db/example.proto";
const ST_CMD: &str = "ioc/iocBoot/iocExample/st.cmd";
const SOURCES: &str = "ioc/exampleApp/src/Makefile";
const SCRIPT: &str = "checks/simple.py";

/// `code file:line:column` of each finding, and the first hint.
fn found(scratch: &Scratch, more: &[&str]) -> (Vec<String>, String) {
    let run = scratch.xtask(&[&["lint", "--json"], more].concat());
    assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(run.code == Some(1), json["errors"].as_u64() > Some(0));
    let findings = json["findings"].as_array().unwrap();
    let word = |f: &Value, key: &str| f[key].as_str().map_or_else(|| f[key].to_string(), str::to_owned);
    let short =
        |f: &Value| format!("{} {}:{}:{}", word(f, "code"), word(f, "file"), word(f, "line"), word(f, "column"));
    (findings.iter().map(short).collect(), findings.first().map(|f| word(f, "hint")).unwrap_or_default())
}

#[test]
fn the_template_has_none() {
    let scratch = Scratch::new();
    let run = scratch.xtask(&["lint", "--deny-warnings"]).expect(0, &["lint: nothing found"]);
    assert_eq!(run.stdout, "");
}

/// What needs ioc.toml, the checks or what xtask tells the soft IOC, and one of each of its readers: the others are tests of
/// `embedded/src/lint/`. Each row: file, text, what stands there instead with a `¶` before the place of the finding, its code, a part of its
/// hint. Without a `¶`, the place may be anywhere and others may follow.
const MISTAKES: &[(&str, &str, &str, &str, &str)] = &[
    // Databases
    (DB, "field(HSV, \"MINOR\")", "field(HSV, ¶\"MINR\")", "unknown-choice", "`MINOR`"),
    // Protocols
    (PROTO, "out \"outp:mode?\";", "¶ot \"outp:mode?\";", "protocol", ""),
    // The start-up script
    (ST_CMD, "iocInit()\n", "iocInit()\ndbl '' > ¶records.txt\n", "read-only", "/var/lib/epics/ioc"),
    (ST_CMD, "iocInit()\n", "iocInit()\ndbl '' >>\"¶${TOP}/x\"\n", "read-only", "/tmp"),
    (ST_CMD, "iocInit()\n", "iocInit()\ndbl >¶/var/lib/epics/x\n", "read-only", "/tmp"),
    // ioc.toml
    ("ioc.toml", "app = \"example\"", "app = ¶\"exampel\"", "not-built", "`example`"),
    ("ioc.toml", "port = 9999", "port = ¶9998", "other-port", "9999"),
    ("ioc.toml", "[\"psu-simulator\"]", "¶[\"python3\", \"simulators/none.py\"]", "no-file", "write it"),
    ("ioc.toml", "[\"psu-simulator\"]", "[\"psu-simulator\", \"--port=9998\"]", "other-port", "9998"),
    // The Makefiles
    (SOURCES, "DBD += example.dbd", "¶DBD += exampel.dbd", "not-built", "DBD += example.dbd"),
    // Checks
    (SCRIPT, "wait_for_open_port(9999)", "¶wait_for_open_prt(9999)", "unknown-method", "`wait_for_open_port`"),
    (SCRIPT, "timeout=10", "¶timout=10", "unknown-argument", "`timeout`"),
    (SCRIPT, "start_all()", "¶start_al()", "undefined-name", "`start_all`"),
    (SCRIPT, "def voltage_is_42(_last_try):", "def voltage_is_42(_last_try:", "python-syntax", ""),
    (SCRIPT, "caput VOLT 42", "caput ¶VOTL 42", "unknown-pv", "`VOLT`"),
    (SCRIPT, "start_all()", "print(¶VOLT)\nprint(VOLT, VOLT)", "undefined-name", ""),
    (SCRIPT, "start_all()", "machine.¶screenshot('x')", "not-in-sandbox", ""),
    (SCRIPT, "start_all()", "import ¶time\nstart_all()", "unused-import", "import"),
    (SCRIPT, "start_all()", "print(¶f'abc')\nstart_all()", "f-string-missing-placeholders", "`f`"),
];

#[test]
fn every_mistake_is_found_at_its_place() {
    let mut wrong = Vec::new();
    let scratch = Scratch::new();
    for (file, from, to, code, hint) in MISTAKES {
        let good = fs::read_to_string(scratch.root.join(file)).unwrap();
        assert!(good.contains(from), "{file} has no `{from}`");
        let marked = good.replacen(from, to, 1);
        scratch.write(file, &marked.replace('¶', ""));
        let (findings, first_hint) = found(&scratch, &[]);
        scratch.write(file, &good);
        let fits = match marked.split_once('¶') {
            Some((before, _)) => {
                let line = before.lines().count();
                let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
                let line = if before.ends_with('\n') { line + 1 } else { line };
                findings == [format!("{code} {file}:{}:{column}", line.max(1))]
            }
            None => findings.first().is_some_and(|f| f.starts_with(&format!("{code} "))),
        };
        if !fits || !first_hint.contains(hint) {
            wrong.push(format!("{to}\n   expected {code} `{hint}`\n   found {findings:?} `{first_hint}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn places_hold_through_includes_and_substitutions() {
    let scratch = Scratch::new();
    scratch.edit(MAKEFILE, "DB += example.db\n", "DB += example.db many.db\n");
    scratch.write("ioc/exampleApp/Db/inner.template", "record(ai, \"$(N)\") {\n  field(DECS, \"\")\n}\n");
    scratch.write("ioc/exampleApp/Db/one.template", "# $(NOTHING)\r\n\r\ninclude \"inner.template\"\n");
    scratch.write("ioc/exampleApp/Db/many.substitutions", "file one.template {\n  { N=A }\n  { N=B }\n}\n");
    scratch.edit(ST_CMD, "iocInit()", "dbLoadRecords(\"../../db/many.db\")\niocInit()");
    assert_eq!(found(&scratch, &[]).0, ["unknown-field ioc/exampleApp/Db/inner.template:2:9"]);
}

#[test]
fn a_script_that_another_program_of_the_top_runs_is_no_script_of_the_application() {
    let scratch = Scratch::new();
    let other = "PROD_IOC = example other\nother_SRCS += exampleMain.cpp example_registerRecordDeviceDriver.cpp\n\
                 other_LIBS += stream asyn $(EPICS_BASE_IOC_LIBS)\n";
    scratch.edit("ioc/exampleApp/src/Makefile", "PROD_IOC = example\n", other);
    scratch.edit(ST_CMD, "/example\n", "/other\n");
    let (findings, hint) = found(&scratch, &[]);
    assert_eq!(findings, [format!("other-program {ST_CMD}:1:3")]);
    assert_eq!(hint, "#!../../bin/linux-x86_64/example");
    // The only program may have another name than the definitions.
    scratch.edit("ioc/exampleApp/src/Makefile", "PROD_IOC = example other", "PROD_IOC = other");
    assert_eq!(found(&scratch, &[]).0, [""; 0]);
}

#[test]
fn strange_files_are_no_trouble() {
    let long = format!("record(ai, \"{}\") {{}}\n", "x".repeat(100_000));
    let files: &[(&str, &[u8], &[&str])] = &[
        ("empty", b"", &[]),
        ("binary", b"\x7fELF\0\0\xff\xfe\n\n", &["syntax 1:1"]),
        ("bom", b"\xef\xbb\xbfrecord(ai, \"A\") {}\n", &["syntax 1:1"]),
        ("crlf", b"record(ai, \"A\") {\r\n  field(DESC, \"x\")\r\n}\r\n", &[]),
        ("no end", b"record(ai, \"A\") { field(DESC, \"x\")", &["syntax 1:34"]),
        ("only a quote", b"\"", &["syntax 1:1"]),
        ("self", b"include \"../../db/mine.db\"\n", &["includes-itself 1:9"]),
        ("beside", b"include \"mine.db\"\n", &["no-file 1:9"]),
        (
            "unicode",
            "record(ai, \"größe\") { field(DECS, \"ü\") }\n".as_bytes(),
            &["odd-name 1:12", "unknown-field 1:29"],
        ),
        ("long", long.as_bytes(), &["long-name 1:12"]),
        ("unclosed macro", b"record(ai, \"$(A\") {}\n", &["syntax 1:13"]),
        ("dots", b"record(ai, \"a.b\") {}\nrecord(ai, \"\") {}\n", &["bad-name 1:12", "bad-name 2:12"]),
    ];
    let scratch = Scratch::new();
    scratch.edit(MAKEFILE, "DB += example.db\n", "DB += example.db mine.db\n");
    scratch.edit(ST_CMD, "iocInit()", "dbLoadRecords(\"../../db/mine.db\")\niocInit()");
    for (what, bytes, expected) in files {
        fs::write(scratch.root.join("ioc/exampleApp/Db/mine.db"), bytes).unwrap();
        let (findings, _) = found(&scratch, &[]);
        let short: Vec<String> = findings.iter().map(|f| f.replace("ioc/exampleApp/Db/mine.db:", "")).collect();
        assert_eq!(short, *expected, "{what}");
    }
}

#[test]
fn a_script_must_be_there_and_executable() {
    let scratch = Scratch::new();
    let path = scratch.root.join(ST_CMD);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (findings, hint) = found(&scratch, &[]);
    assert_eq!(findings, [format!("not-executable {ST_CMD}:1:1")]);
    assert!(hint.starts_with("chmod +x "), "{hint}");
    // Nix's package gives the right back, so the check passes here, too.
    let run = scratch.xtask(&["test", "--backend", "sandbox"]).expect(0, &["PASS simple"]);
    assert_eq!(run.stderr.matches("hint: chmod +x ").count(), 1, "{}", run.stderr);
    fs::remove_file(&path).unwrap();
    assert_eq!(found(&scratch, &[]).0, [format!("no-file {ST_CMD}:1:1")]);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    scratch.xtask(&["lint"]).expect(3, &["there is no folder", "hint: `ioc` in ioc.toml"]);
}

#[test]
fn what_a_c_ioc_accepts_is_no_error() {
    let scratch = Scratch::new();
    let text = "# it's $(NOT) a macro\nalias(\"VOLT\", \"V\")\ngrecord(ai, C:C<1>;[x]) { info(autosaveFields, \"VAL\") alias(OTHER) }\n\
                record(calc, \"D\") { field(INPA, {const:3}) field(INPB, \"V.VAL CP MS\") field(INPC, \"far:away CA\") field(CALC, \"A+B\") }\n\
                record(ai, E) record(\"*\", VOLT) { field(DESC, \"it's\") }\n"
        .to_owned();
    let more = "record(ai, \"F\") { field(PREC, 0x2) field(SCAN, 5) field(DTYP, \"asynInt32\") field(INP, \"@asyn(PS1,0)X\") field(DESC, \"a\\\"b\") }\n\
                record(longin, \"G\") { field(HOPR, \"\") field(INP, 12) field(FLNK, \"F.PROC\") }\nrecord(waveform, \"H\") { field(FTVL, DOUBLE) field(INP, [1, 2, 3]) }\n";
    scratch.write("ioc/exampleApp/Db/mine.db", &(text + more));
    scratch.edit(MAKEFILE, "DB += example.db\n", "DB += example.db mine.db\n");
    let more = "dbLoadRecords \"../../db/mine.db\", \"NOTHING=PORT=x,PORT=PS1\"\nasynSetTraceFile PS1,0,stdout\ndbl '' > /var/lib/epics/ioc/x";
    scratch.edit(ST_CMD, "iocInit()", &format!("{more}\niocInit\ndbl > /tmp/x\nseq sncX, \"a=b\""));
    scratch.edit(PROTO, "Terminator = LF;", "Terminator = LF; # MaxInputs = 5\nold { out \"ReadTimeot=1\"; }");
    assert_eq!(found(&scratch, &[]).0, Vec::<String>::new());
}

#[test]
fn checks_set_the_environment_of_their_iocs() {
    let scratch = Scratch::new();
    scratch.check("two", "start_all()\na.succeed('caget A:VOLT B:VOLT C:VOLT')\n");
    let nodes =
        ["a", "b"].map(|name| format!("[nodes.{name}]\nenvironment = {{ PREFIX = \"{}:\" }}\n", name.to_uppercase()));
    scratch.write("checks/two.toml", &nodes.concat());
    assert_eq!(found(&scratch, &[]).0, ["unknown-pv checks/two.py:2:32"]);
    // A name without the macro is another check's only by chance.
    scratch.edit(DB, "field(FLNK, \"$(PREFIX)MODE-RB\")", "field(FLNK, \"MODE-RB\")");
    scratch.check("two", "start_all()\n");
    let (findings, hint) = found(&scratch, &[]);
    assert!(findings.len() == 1 && findings[0].starts_with("unknown-record "), "{findings:?}");
    assert!(hint.contains("is a macro missing"), "{hint}");
    scratch.edit(DB, "field(FLNK, \"MODE-RB\")", "field(FLNK, \"$(PREFIX)MODE-RB\")");
    // Where only a check sets it, the script needs no default.
    scratch.check("two", "start_all()\n");
    scratch.edit(ST_CMD, "${PREFIX=}", "${PREFIX}");
    assert_eq!(found(&scratch, &[]).0, Vec::<String>::new());
    // Where a check has the device spoilt, and numbers that are no ports, are no other port of the simulator.
    let address = |port: u16| format!("environment = {{ PREFIX = \"\", PSU_ADDRESS = \"localhost:{port}\" }}\n");
    scratch.edit("ioc.toml", "[ioc]\n", &format!("[ioc]\n{}", address(9999)));
    scratch.edit("ioc.toml", "[\"psu-simulator\"]", "[\"psu-simulator\", \"--baud\", \"9600\"]");
    scratch.write("checks/two.toml", &format!("[nodes.machine]\nfaults = {{ simulator = 9998 }}\n{}", address(9998)));
    assert_eq!(found(&scratch, &[]).0, Vec::<String>::new());
    scratch.edit("checks/two.toml", "PSU_ADDRESS", "PSU_ADRESS");
    let (findings, hint) = found(&scratch, &[]);
    assert_eq!(findings, ["unknown-variable checks/two.toml:3:1"]);
    assert_eq!(hint, "did you mean `PSU_ADDRESS`?");
}

#[test]
fn what_a_machine_cannot_have_is_refused_before_a_run() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.root.join("tools")).unwrap();
    scratch.edit("ioc.toml", "[ioc]\n", "path = [\"tools\"]\n[ioc]\n");
    let refused = |name: &str, text: &str, told: &[&str]| {
        let path = format!("tools/{name}");
        scratch.write(&path, text);
        fs::set_permissions(scratch.root.join(&path), fs::Permissions::from_mode(0o755)).unwrap();
        scratch.xtask(&["lint"]).expect(3, told);
        fs::remove_file(scratch.root.join(path)).unwrap();
    };
    for name in ["caget", "systemctl", "fault"] {
        let what = format!("tools/{name}: a machine of the sandbox has a program of this name itself");
        refused(name, "#!/bin/sh\n", &[&what, &format!("hint: mv tools/{name} tools/my-{name}")]);
    }
    let line = "tools/tell: its first line names /usr/bin/python3, which NixOS does not have";
    refused("tell", "#!/usr/bin/python3\n", &[line, "hint: #!/usr/bin/env python3"]);
    refused("tell", "#! /usr/bin/python3 -u\n", &[line, "hint: #!/usr/bin/env -S python3 -u"]);
    scratch.xtask(&["lint"]).expect(0, &["nothing found"]);
    // What a script imports is copied for NixOS, too. A run whose looks were declined is told the same.
    fs::create_dir(scratch.root.join("checks/lib")).unwrap();
    scratch.write("tools/words.py", "word = 1\n");
    std::os::unix::fs::symlink("../../tools/words.py", scratch.root.join("checks/lib/words.py")).unwrap();
    let link = ["checks/lib/words.py: a link to ../../tools/words.py", "hint: cp --remove-destination tools/words.py"];
    scratch.xtask(&["lint"]).expect(3, &link);
    scratch.xtask(&["test", "simple", "--no-lint", "--backend", "sandbox"]).expect(3, &link);
    fs::remove_file(scratch.root.join("checks/lib/words.py")).unwrap();
    scratch.write("checks/simple.toml", "path = [\"toolz\"]\n");
    scratch.xtask(&["lint"]).expect(3, &["checks/simple.toml: `path` names the folder toolz", "hint: mkdir -p toolz"]);
    scratch.write("checks/simple.toml", "[nodes.machine]\nfaults = { psu = 9998 }\n");
    scratch.xtask(&["lint"]).expect(3, &["checks/simple.toml: faults of `psu`: there is no such simulator"]);
}

#[test]
fn the_backend_decides_about_functions_of_vms() {
    let scratch = Scratch::new();
    scratch.check("vm", "start_all()\nmachine.screenshot('x')\n");
    scratch.xtask(&["lint"]).expect(0, &["1 warning in 1 file"]);
    scratch.xtask(&["lint", "--deny-warnings"]).expect(1, &["1 warning in 1 file"]);
    scratch.xtask(&["lint", "--backend", "sandbox"]).expect(1, &["1 error in 1 file"]);
    scratch.xtask(&["lint", "--backend", "nixos"]).expect(0, &["nothing found"]);
}

#[test]
fn people_see_the_line_and_github_an_annotation() {
    let scratch = Scratch::new();
    scratch.edit(DB, "field(LNK4", "field(LNNK4");
    let run = scratch.xtask(&["lint"]).expect(1, &["lint: 1 error in 1 file"]);
    insta::assert_snapshot!(run.stdout, @r#"
    ioc/exampleApp/Db/example.db:18:11: error[unknown-field]: record type fanout has no field `LNNK4`
        field(LNNK4, "$(PREFIX)MODE-RB")
              ^
        hint: did you mean `LNK4`?
    "#);
    let output = scratch.command(&["lint"]).env("GITHUB_ACTIONS", "true").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let line =
        "\n::error file=ioc/exampleApp/Db/example.db,line=18,col=11,title=lint unknown-field::record type fanout";
    assert!(stderr.contains(line), "{stderr}");
    assert!(stderr.starts_with("::stop-commands::") || stderr.contains("\n::stop-commands::"), "{stderr}");
}

#[test]
fn modules_of_scripts_are_looked_at_and_their_failures_have_both_places() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.root.join("checks/lib")).unwrap();
    let helper = "def read(machine, pv):\n    return machine.succeed(f\"false {pv}\")\n";
    scratch.write("checks/lib/helpers.py", helper);
    scratch.check("one", "from helpers import read\n\nread(machine, \"VOLT\")\n");
    assert!(!scratch.xtask(&["list"]).expect(0, &[]).stdout.contains("helpers"));
    scratch.xtask(&["lint", "--deny-warnings"]).expect(0, &["nothing found"]);
    let place = "in checks/lib/helpers.py:2: return machine.succeed(f\"false {pv}\")";
    scratch.xtask(&["test", "one"]).expect(1, &["at checks/one.py:3", place, "pv = 'VOLT'"]);
    scratch.write("checks/lib/helpers.py", &helper.replace("machine.", "machne."));
    assert_eq!(found(&scratch, &[]).0, ["undefined-name checks/lib/helpers.py:2:12"]);
    scratch.xtask(&["test", "one"]).expect(1, &["handed over as an argument", "nothing was started"]);
}

#[test]
fn a_broken_ioc_toml_is_status_3() {
    let scratch = Scratch::new();
    scratch.edit("ioc.toml", "app = ", "aap = ");
    scratch.xtask(&["lint"]).expect(3, &["unknown key `aap`"]);
}
