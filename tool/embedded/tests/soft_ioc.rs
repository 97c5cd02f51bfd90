//! The soft IOC as a process: the power supply's IOC, and what C EPICS does that it must do too.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use common::{Ioc, Simulator, Top};

/// Texts that alarm a reader, and that a C IOC with its device at hand does not print.
const ALARMING: [&str; 9] = [
    "ERROR",
    "Error:",
    "error:",
    "Warning",
    "Can't open",
    "not registered",
    "undefined",
    "No known var",
    "lockRequest",
];

fn assert_calm(output: &str) {
    for line in output.lines() {
        assert!(!ALARMING.iter().any(|text| line.contains(text)), "{line:?} in\n{output}");
    }
}

/// What lint finds: severity, code and place.
fn lint(top: &Top) -> Vec<String> {
    let output = top.soft_ioc().args(["--lint", "[{}]", "st.cmd"]).stdin(Stdio::null()).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.stdout.windows(9).any(|text| text == b"__macro__"), "{json}");
    let told = |finding: &serde_json::Value| {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        let (severity, code) = (text("severity"), text("code"));
        // Scripts here are written for other ends.
        let of_script = ["not-a-program", "not-executable"].contains(&code.as_str());
        (!of_script).then(|| format!("{severity} {code} {}:{}", text("file"), finding["line"]))
    };
    json["findings"].as_array().unwrap().iter().filter_map(told).collect()
}

fn script(top: &Top, lines: &str) {
    top.write("iocBoot/iocExample/st.cmd", lines);
}

/// Without this line no kernel starts it.
const STARTS: &str = "#!../../bin/linux-x86_64/example\n";

/// Without the other two a C IOC knows no records.
const REGISTERED: &str = "#!../../bin/linux-x86_64/example\ndbLoadDatabase(\"../../dbd/example.dbd\")\n\
                          example_registerRecordDeviceDriver(pdbbase)\n";

#[test]
fn an_ioc_runs_unchanged_from_a_tree_that_make_never_saw() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let ioc = Ioc::running(&top, &simulator);
    assert_eq!(ioc.value("VOLT-RB"), "0");
    assert!(ioc.ca("caput", ["-w", "20", "VOLT", "42"]).status.success());
    ioc.wait_for_value("VOLT-RB", "42");

    assert_eq!(ioc.value("IDN"), "psu-simulator 0.1.0");
    assert_eq!(ioc.value("MODE-RB"), "Constant voltage");
    assert!(ioc.ca("caput", ["-w", "20", "MODE", "Constant current"]).status.success());
    ioc.wait_for_value("MODE-RB", "Constant current");
    assert!(ioc.ca("caput", ["-w", "20", "CURR", "1000"]).status.success());
    ioc.wait_for_value("CURR-RB", "30");
    assert!(ioc.ca("caput", ["-w", "20", "OUTPUT", "OFF"]).status.success());
    ioc.wait_for_value("OUTPUT-RB", "OFF");

    let (status, output) = ioc.end();
    assert_eq!(status.code(), Some(0));
    assert_calm(&output);
}

#[test]
fn setpoints_start_from_the_device() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let ioc = Ioc::running(&top, &simulator);
    assert!(ioc.ca("caput", ["-w", "20", "VOLT", "12.5"]).status.success());
    ioc.wait_for_value("VOLT-RB", "12.5");
    ioc.end();
    assert_eq!(Ioc::running(&top, &simulator).value("VOLT"), "12.5");
}

#[test]
fn the_first_answer_comes_after_the_first_processing() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let ioc = Ioc::start(&top, "st.cmd", Some(&simulator));
    let output = ioc.ca("caget", ["-w", "60", "-a", "VOLT-RB", "IDN", "MODE-RB", "OUTPUT-RB", "CURR-RB"]);
    let answer = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answer.lines().count(), 5, "{answer}");
    assert!(!answer.contains("INVALID"), "{answer}");
}

#[test]
fn a_reply_left_unread_breaks_the_next_read() {
    let (top, simulator) = (Top::new(), Simulator::start());
    top.replace("exampleApp/Db/example.proto", "out \":volt %f\"; in \"OK\";", "out \":volt %f\";");
    let ioc = Ioc::running(&top, &simulator);
    // A machine that is slow enough may read it in time, once.
    for volts in 1..50 {
        assert!(ioc.ca("caput", ["-w", "20", "VOLT", &volts.to_string()]).status.success());
        if ioc.seen().contains("VOLT-RB: Input \"OK\" does not match format \"%f\"") {
            return;
        }
    }
    panic!("the read-back never failed:\n{}", ioc.seen());
}

#[test]
fn a_device_that_is_gone_makes_its_records_invalid() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let ioc = Ioc::running(&top, &simulator);
    assert_eq!(ioc.value("VOLT-RB.SEVR"), "NO_ALARM");
    drop(simulator);
    ioc.wait_for_value("VOLT-RB.SEVR", "INVALID");
}

#[test]
fn an_unknown_pv_fails_with_nothing_on_standard_output() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let output = Ioc::running(&top, &simulator).ca("caget", ["unknown-PV"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_made_tree_works_too_and_what_make_would_install_wins() {
    let (top, simulator) = (Top::new(), Simulator::start());
    top.write("db/example.db", "record(ai, \"STALE\") {}\n");
    top.write("db/installed.db", "record(ai, \"INSTALLED\") {}\n");
    top.write("dbd/example.dbd", "");
    let made =
        "epicsEnvSet(\"IOC\",\"iocExample\")\nepicsEnvSet(\"TOP\",\"/nowhere\")\nepicsEnvSet(\"ASYN\",\"/asyn\")\n";
    top.write("iocBoot/iocExample/envPaths", made);
    top.replace("iocBoot/iocExample/st.cmd", "iocInit()", "iocInit()\necho \"$(IOC) $(ASYN)\"\ndbl\n");
    let (_, output) = {
        let ioc = Ioc::running(&top, &simulator);
        ioc.wait_for("iocExample /asyn");
        ioc.end()
    };
    assert_calm(&output);
    assert!(output.contains("VOLT-RB\n") && !output.contains("STALE"), "{output}");
    // What only an earlier make installed is not there after the next one from scratch.
    top.replace("iocBoot/iocExample/st.cmd", "iocInit()", "dbLoadRecords(\"../../db/installed.db\")\niocInit()");
    let (_, output) = Ioc::running(&top, &simulator).end();
    assert!(output.contains("Can't open file '../../db/installed.db'") && !output.contains("INSTALLED\n"), "{output}");
}

#[test]
fn a_file_that_no_makefile_installs_is_not_there() {
    let top = Top::new();
    top.write("exampleApp/Db/mine.db", "record(ai, \"X\") {}\n");
    script(
        &top,
        "#!../../bin/linux-x86_64/example\ndbLoadDatabase(\"../../dbd/example.dbd\")\nexample_registerRecordDeviceDriver(pdbbase)\n\
                  dbLoadRecords(\"../../db/mine.db\")\niocInit\ndbl\necho through\n",
    );
    let output = Ioc::start(&top, "st.cmd", None).end_after("\nthrough\n");
    let said = "ioc/iocBoot/iocExample/st.cmd:4: there is no file `../../db/mine.db`: no Makefile installs it: \
                make never puts ioc/exampleApp/Db/mine.db there";
    assert!(
        output.contains(said) && output.contains("hint: add to ioc/exampleApp/Db/Makefile: DB += mine.db"),
        "{output}"
    );
    assert!(output.contains("Can't open file '../../db/mine.db'") && !output.contains("\nX\n"), "{output}");
    let found = lint(&top);
    assert_eq!(found, ["error not-installed ioc/iocBoot/iocExample/st.cmd:4"]);
}

#[test]
fn a_makefile_that_stops_make_stops_the_ioc() {
    let top = Top::new();
    top.installs("none.db");
    let output = top.soft_ioc().arg("st.cmd").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("exampleApp/Db/Makefile:6: make stops: nothing makes `none.db`"), "{problem}");
    assert_eq!(lint(&top), ["error make-stops ioc/exampleApp/Db/Makefile:6"]);
}

#[test]
fn a_link_gives_what_its_function_uses_and_takes_what_it_reads() {
    let top = Top::new();
    let more =
        "Ask = \"\\$1?\";\nask { out $Ask; in \"%d\"; }\nhex { out \"x\\${1}\"; in \"%(DESC)s,%*2X,%2X%<sum>\"; }\n";
    top.replace("exampleApp/Db/example.proto", "Terminator = LF;\n", &format!("Terminator = LF;\n{more}"));
    let record = |kind: &str, name: &str, call: &str| {
        format!("record({kind}, {name}) {{ field(DTYP, stream) field(INP, \"@example.proto {call} PS1\") }}\n")
    };
    let good = [
        record("longin", "A", "ask(a)"),
        record("longin", "B", "hex(b, c)"),
        record("mbbiDirect", "C", "hex(b)"),
        record("waveform", "D", "hex(b)").replacen('{', "{ field(FTVL, LONG)", 1),
    ];
    let bad = [record("longin", "E", "ask"), record("longin", "F", "hex"), record("stringin", "G", "hex(b)")];
    top.database("calls.db", &[good.concat(), bad.concat()].concat());
    top.replace("iocBoot/iocExample/st.cmd", "iocInit()", "dbLoadRecords(\"${TOP}/db/calls.db\")\niocInit()");
    let expected: Vec<String> = (5..)
        .zip(["bad-call", "bad-call", "bad-conversion"])
        .map(|(line, code)| format!("error {code} ioc/exampleApp/Db/calls.db:{line}"))
        .collect();
    assert_eq!(lint(&top), expected);
    // The soft IOC, whose device support is StreamDevice's, says the same.
    let simulator = Simulator::start();
    let (_, output) = Ioc::running(&top, &simulator).end();
    let dead: Vec<&str> =
        output.lines().filter_map(|line| line.strip_suffix(": Record initialization failed")).collect();
    assert!(output.contains("Missing value for parameter $1") && dead.len() == 2, "{output}");
    assert!(dead[0].ends_with(" E") && dead[1].ends_with(" F"), "{output}");
}

#[test]
fn files_go_where_the_site_installs_them() {
    let (top, simulator) = (Top::new(), Simulator::start());
    top.replace("exampleApp/Db/Makefile", "DB += example.proto\n", "PROTOCOL += example.proto\nIOCSH += port.iocsh\n");
    top.write("exampleApp/Db/port.iocsh", "drvAsynIPPortConfigure(\"$(NAME)\", \"${PSU_ADDRESS=localhost:9999}\")\n");
    let found = lint(&top);
    assert!(found.contains(&"warning undecided ioc/exampleApp/Db/Makefile:6".to_owned()), "{found:?}");
    let site =
        "FILE_TYPE += PROTOCOL IOCSH\nINSTALL_PROTOCOL = $(INSTALL_LOCATION)/protocol\nINSTALL_IOCSH = $(TOP)/iocsh\n";
    top.write("configure/CONFIG_SITE", site);
    top.replace("iocBoot/iocExample/st.cmd", "\"${TOP}/db\")", "\"${TOP}/protocol\")");
    top.replace(
        "iocBoot/iocExample/st.cmd",
        "drvAsynIPPortConfigure(\"PS1\", \"${PSU_ADDRESS=localhost:9999}\")",
        "iocshLoad(\"${TOP}/iocsh/port.iocsh\", \"NAME=PS1\")",
    );
    assert_eq!(lint(&top), Vec::<String>::new());
    let ioc = Ioc::running(&top, &simulator);
    ioc.wait_for_value("IDN", "psu-simulator 0.1.0");
}

#[test]
fn templates_of_db_load_template_start_at_the_current_folder() {
    let top = Top::new();
    top.database("circle.db", "record(ai, \"$(user):circle\") {}\n");
    top.database("user.substitutions", "file \"db/circle.db\" {\n  { user = \"me\" }\n}\n");
    let start = "#!../../bin/linux-x86_64/example\n< envPaths\ncd \"${TOP}\"\ndbLoadDatabase \"dbd/example.dbd\"\n\
                 example_registerRecordDeviceDriver pdbbase\n";
    let end = "cd \"${TOP}/iocBoot/${IOC}\"\niocInit\ndbl\necho through\n";
    script(&top, &format!("{start}dbLoadTemplate \"db/user.substitutions\"\n{end}"));
    assert_eq!(lint(&top), Vec::<String>::new());
    let output = Ioc::start(&top, "st.cmd", None).end_after("\nthrough\n");
    assert_calm(&output);
    assert!(output.contains("\nme:circle\n"), "{output}");
    script(&top, &format!("{start}cd db\ndbLoadTemplate \"user.substitutions\"\n{end}"));
    assert_eq!(lint(&top), ["error no-file ioc/exampleApp/Db/user.substitutions:1"]);
}

#[test]
fn a_file_that_is_not_loaded_is_not_judged_by_what_its_macros_might_be() {
    let top = Top::new();
    let text = "record(ai, \"$(P)\") {\n  field(PREC, \"$(PREC)\")\n  $(MORE)\n}\n$(RECORDS)\n";
    top.database("later.template", text);
    top.write("exampleApp/Db/quoted.template", "record($(T), \"$(P)\") { field(\"$(F)\", \"$(V)1\") }\n");
    assert_eq!(lint(&top), Vec::<String>::new());
    top.write("exampleApp/Db/wrong.db", "record(ai, \"$(P)\") { field(PREK, \"$(V)\") }\n");
    assert_eq!(lint(&top), ["error unknown-field ioc/exampleApp/Db/wrong.db:1"]);
}

#[test]
fn lint_has_no_word_for_what_c_loads_without_one() {
    let top = Top::new();
    top.write("exampleApp/src/mine.dbd", "registrar(mineRegistrar)\n");
    top.replace("exampleApp/src/Makefile", "+= base.dbd", "+= base.dbd mine.dbd");
    top.write("exampleApp/Db/one.template", "record(ai, \"$(P)$(R)\") { field(DESC, \"$(D)$(E=)\") }\n");
    let quoted = "file \"one.template\" { pattern { \"P\", \"R\", D } { \"XF:23{PS:1}\", \"V\", \"a, b\" } { 'B', C , \"$(D2)\" } }\n\
                  global { \"D\"=\"g\" }\nfile one.template { { P=\"X\", \"R\"='Y' } pattern { P R } { \"A:\" $(R2) } }\n";
    top.write("exampleApp/Db/quoted.substitutions", quoted);
    for name in ["one.template", "quoted.db"] {
        top.installs(name);
    }
    top.database("rows.substitutions", "file one.template { pattern { P, R, D } { R, \"1\", \"x y\" } }\n");
    top.write("configure/RELEASE.local", "MOTOR = /opt/motor\n");
    let boot = "epicsEnvSet(\"MODULE\", \"$(TOP)\")\nepicsEnvSet \"EPICS_DB_INCLUDE_PATH\", \"$(MOTOR)/db:$(TOP)/db:.\"\n\
                epicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"$(MOTOR)/db:$(TOP)/protocol:$(TOP)/db\")\n\
                mineConfigure(\"PS1\", \\\n  1)\nmineSetTraceMask PS1\ndbLoadTemplates2(\"x\")\n\
                dbLoadRecords(\"$(MODULE)/db/quoted.db\", \"D2=d,R2=r\")\ndbLoadRecords(\"of_motor.db\")\ndbLoadTemplate(\"rows.substitutions\")\n\
                dbLoadRecords(\"example.db\", \"PREFIX=Q,PORT=PS1\")\niocInit()";
    top.replace("iocBoot/iocExample/st.cmd", "iocInit()", boot);
    assert_eq!(lint(&top), Vec::<String>::new());
}

#[test]
fn a_hint_is_something_else_than_what_is_there() {
    let top = Top::new();
    let wrong =
        "dbLoadRecords(\"example.db\")\nepicsEnvSet(A, \"$(HOST)\")\nepicsEnvSet(B, \"$(HOST)$(HOST)\")\niocInit()";
    top.replace("iocBoot/iocExample/st.cmd", "iocInit()", wrong);
    let output = top.soft_ioc().args(["--lint", "[{}]", "st.cmd"]).stdin(Stdio::null()).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let hints: Vec<&str> = json["findings"].as_array().unwrap().iter().filter_map(|own| own["hint"].as_str()).collect();
    let of_host = "give it a default, as in ${HOST=…}, or set it with epicsEnvSet(\"HOST\", …)";
    assert_eq!(hints, ["make puts it into the top: ${TOP}/db/example.db", of_host], "{json}");
}

#[test]
fn what_a_makefile_leaves_open_is_said() {
    let top = Top::new();
    top.replace("exampleApp/Db/Makefile", "DB += example.db\n", "ifdef CALC\nDB += example.db\nendif\n");
    let found = lint(&top);
    assert!(found.contains(&"warning undecided ioc/exampleApp/Db/Makefile:5".to_owned()), "{found:?}");
    assert!(found.contains(&"error not-installed ioc/iocBoot/iocExample/st.cmd:17".to_owned()), "{found:?}");
}

#[test]
fn the_script_of_make_base_app_works() {
    let top = Top::new();
    top.database("mine.db", "record(ai, \"$(user):X\") {}\n");
    script(
        &top,
        "#!../../bin/linux-x86_64/example\n< envPaths\ncd \"${TOP}\"\ndbLoadDatabase \"dbd/example.dbd\"\n\
         example_registerRecordDeviceDriver pdbbase\ndbLoadRecords(\"db/mine.db\",\"user=me\")\n\
         cd \"${TOP}/iocBoot/${IOC}\"\niocInit\ndbl\n",
    );
    assert_calm(&Ioc::start(&top, "st.cmd", None).end_after("me:X\n"));
}

#[test]
fn databases_are_expanded_from_substitutions_as_make_does() {
    let top = Top::new();
    top.installs("many.db");
    top.write(
        "exampleApp/Db/one.template",
        "record(ao, \"$(P):$(N)\") { field(DESC, \"$(D=none) ${Q=}\") }\ninclude \"two.template\"\n",
    );
    top.write("exampleApp/Db/two.template", "record(ai, \"$(P):$(N):2\") {}\n");
    top.write(
        "exampleApp/Db/many.substitutions",
        "file \"one.template\" {\n pattern { N, D }\n { A, \"first, $(P)\" }\n { B, second }\n}\n\
         file one.template { { N=C } }\n",
    );
    script(
        &top,
        "#!../../bin/linux-x86_64/example\ndbLoadDatabase(\"../../dbd/example.dbd\")\nexample_registerRecordDeviceDriver(pdbbase)\n\
         dbLoadRecords(\"../../db/many.db\", \"P=me\")\niocInit\ndbgrep *\ndbgf me:A.DESC\ndbgf me:C.DESC\necho through\n",
    );
    let output = Ioc::start(&top, "st.cmd", None).end_after("\nthrough\n");
    assert_calm(&output);
    assert!(["me:A", "me:B", "me:C:2"].iter().all(|name| output.contains(&format!("\n{name}\n"))), "{output}");
    assert!(output.contains("\"first, me \"") && output.contains("\"none \""), "{output}");
}

#[test]
fn substitutions_without_their_template_stop_it_as_they_stop_make() {
    let top = Top::new();
    top.installs("many.db");
    top.write("exampleApp/Db/many.substitutions", "file none.template {\n { N=C }\n}\n");
    let output = top.soft_ioc().arg("st.cmd").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("many.substitutions:2: there is no file `none.template`"), "{problem}");
    assert_eq!(fs::read_dir(top.tmp()).unwrap().count(), 0);
}

#[test]
fn record_types_of_calc_and_variables_of_stream_are_there() {
    let top = Top::new();
    let types = ["scalcout", "acalcout", "sseq", "swait", "transform", "asyn"];
    let records = types.map(|name| format!("record({name}, \"R:{name}\") {{}}\n")).concat();
    top.database("types.db", &records);
    script(
        &top,
        "#!../../bin/linux-x86_64/example\ndbLoadDatabase(\"../../dbd/example.dbd\")\nexample_registerRecordDeviceDriver(pdbbase)\n\
         var streamError 0\nvar streamDebug 0\nvar streamErrorDeadTime 5\nvar streamMsgTimeStamped 1\n\
         var streamDebugColored 0\ndbLoadRecords(\"../../db/types.db\")\niocInit()\nvar\ndbl\necho through\n",
    );
    let output = Ioc::start(&top, "st.cmd", None).end_after("\nthrough\n");
    assert!(output.contains("int streamError = 0\n") && output.contains("int streamErrorDeadTime = 5\n"), "{output}");
    for name in types {
        assert!(output.contains(&format!("\nR:{name}\n")), "{name} in {output}");
    }
}

#[test]
fn a_script_that_breaks_off_leaves_the_prompt() {
    let top = Top::new();
    script(&top, "#!../../bin/linux-x86_64/example\non error break\nno_such_command\necho never\n");
    let mut ioc = Ioc::start(&top, "st.cmd", None);
    ioc.type_line("echo still_here");
    ioc.wait_for("still_here\n");
    let (status, output) = ioc.end();
    assert_eq!(status.code(), Some(0));
    assert!(output.contains("Command 'no_such_command' not registered"), "{output}");
    assert!(!output.contains("\nnever"), "{output}");
}

#[test]
fn a_script_that_is_missing_leaves_the_prompt() {
    let top = Top::new();
    let mut ioc = Ioc::start(&top, "none.cmd", None);
    ioc.type_line("echo still_here");
    ioc.wait_for("still_here\n");
    let (status, output) = ioc.end();
    assert_eq!(status.code(), Some(0));
    assert!(output.contains("Can't open none.cmd: No such file or directory"), "{output}");
}

#[test]
fn a_script_without_ioc_init_serves_nothing_until_it_is_typed() {
    let top = Top::new();
    top.database("mine.db", "record(ai, \"X\") { field(VAL, \"7\") }\n");
    script(&top, &format!("{REGISTERED}dbLoadRecords(\"../../db/mine.db\")\n"));
    let mut ioc = Ioc::start(&top, "st.cmd", None);
    ioc.type_line("iocInit");
    ioc.wait_for("iocRun: All initialization complete");
    assert_eq!(ioc.value("X"), "7");
}

#[test]
fn a_script_that_brings_up_no_c_ioc_brings_up_none_here() {
    let register = "example_registerRecordDeviceDriver(pdbbase)\n";
    let whole = format!("{REGISTERED}dbLoadRecords(\"../../db/example.db\", \"PREFIX=,PORT=PS1\")\niocInit\n");
    let other = "ecample_registerRecordDeviceDriver(pdbbase)\n";
    for (gone, instead, said) in [
        (STARTS, "", "1: the script does not say which program runs it"),
        ("linux-x86_64", "Linux", "1: `../../bin/Linux/example` is no place where make puts a program"),
        (REGISTERED, STARTS, "2: dbLoadRecords comes before any dbLoadDatabase"),
        (register, "", "3: dbLoadRecords comes before example_"),
        (register, other, "3: the application has no command `ecample_"),
    ] {
        let top = Top::new();
        script(&top, &whole.replace(gone, instead));
        let output = top.soft_ioc().arg("st.cmd").stdin(Stdio::null()).output().unwrap();
        let problem = String::from_utf8(output.stderr).unwrap();
        assert!(
            problem.contains(&format!("a C IOC does not come up by this script: ioc/iocBoot/iocExample/st.cmd:{said}")),
            "{problem}"
        );
        assert!(problem.contains("\n\nhint: "), "{problem}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(5), 0));
    }
}

#[test]
fn a_last_line_without_its_end_is_one_that_the_shell_never_reads() {
    let top = Top::new();
    top.database("mine.db", "record(ai, \"X\") {}\n");
    script(&top, &format!("{REGISTERED}dbLoadRecords \\\n  \"../../db/mine.db\"\niocInit"));
    assert_eq!(lint(&top), ["error unended-line ioc/iocBoot/iocExample/st.cmd:6"]);
    let output = top.soft_ioc().arg("st.cmd").stdin(Stdio::null()).output().unwrap();
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(
        problem.contains("st.cmd:6: the file ends within this line") && output.status.code() == Some(5),
        "{problem}"
    );
    script(&top, &format!("{REGISTERED}dbLoadRecords \\\n  \"../../db/mine.db\"\niocInit\ndbl\n# end"));
    assert_eq!(lint(&top), Vec::<String>::new());
    Ioc::start(&top, "st.cmd", None).wait_for("\nX\n");
    // Where the IOC comes up without that line, it does so here, and without it.
    script(
        &top,
        &format!(
            "{REGISTERED}< envPaths\n< site.cmd\n< \"${{TOP}}/db/more.cmd\"\niocInit\ndbl\necho through\necho too much"
        ),
    );
    top.write("iocBoot/iocExample/site.cmd", "dbLoadRecords ../../db/mine.db\ndbLoadRecords ../../db/mine.db P=too");
    top.installs("more.cmd");
    top.write("exampleApp/Db/more.cmd", "echo more\necho too much");
    let output = Ioc::start(&top, "st.cmd", None).end_after("\nthrough\n");
    assert!(output.contains("\nX\n") && output.contains("\nmore\n") && !output.contains("too"), "{output}");
}

#[test]
fn a_variable_that_cannot_be_is_told_and_ends_nothing() {
    let top = Top::new();
    let lines = "epicsEnvSet(\"A=b\", \"c\")\nepicsEnvSet(\"\", \"c\")\nepicsEnvSet A\nepicsEnvSet\nepicsEnvSet(\"A\", \"one # $\")\necho \"[$(A)]\"\n";
    let inner = "iocshLoad \"inner.cmd\" \"A=outer\"\necho through\n";
    script(&top, &format!("{REGISTERED}{lines}{inner}"));
    top.write("iocBoot/iocExample/inner.cmd", "echo \"1 $(A)\"\nepicsEnvSet A inner\necho \"2 $(A)\"\n");
    let output = Ioc::start(&top, "st.cmd", None).end_after("\nthrough\n");
    for said in
        ["setenv(\"A=b\", \"c\") -> 22", "setenv(\"\", \"c\") -> 22", "\n[one # $]\n", "\n1 outer\n", "\n2 inner\n"]
    {
        assert!(output.contains(said), "{said}: {output}");
    }
}

#[test]
fn records_that_a_c_ioc_would_not_load_start_no_ioc() {
    let dbd = "example_DBD += asyn.dbd\n";
    let long = "x".repeat(61);
    for (record, line, said) in [
        (format!("ai, {long}"), 1, format!("the name `{long}` has 61 bytes, at most 60 can be")),
        ("asyn, X".to_owned(), 1, "record type asyn comes with asyn.dbd, which is no part of example.dbd".to_owned()),
    ] {
        let top = Top::new();
        top.replace("exampleApp/src/Makefile", dbd, "");
        top.database("mine.db", &format!("record({record}) {{}}\n"));
        script(&top, &format!("{REGISTERED}dbLoadRecords \"../../db/mine.db\"\niocInit\n"));
        let output = top.soft_ioc().arg("st.cmd").stdin(Stdio::null()).output().unwrap();
        let problem = String::from_utf8(output.stderr).unwrap();
        let expected = format!("a C IOC does not come up by this script: ioc/exampleApp/Db/mine.db:{line}: {said}");
        assert!(problem.contains(&expected) && output.status.code() == Some(5), "{problem}");
    }
    // Device support is no different, and what a condition decides may be there.
    let top = Top::new();
    top.replace("exampleApp/src/Makefile", dbd, "ifdef MORE\nexample_DBD += asyn.dbd\nendif\n");
    top.replace("exampleApp/src/Makefile", "example_DBD += stream.dbd\n", "");
    let found = lint(&top);
    assert_eq!(found, ["error not-in-dbd ioc/exampleApp/Db/example.db:23"], "once for all records");
    let output = top.soft_ioc().arg("st.cmd").stdin(Stdio::null()).output().unwrap();
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("example.db:23: device support `stream` comes with stream.dbd"), "{problem}");
}

#[test]
fn commands_are_there_only_with_their_definitions() {
    let top = Top::new();
    let mine = top.tmp().join("mine");
    let dbd = "example_DBD += drvAsynIPPort.dbd\n";
    top.replace("exampleApp/src/Makefile", dbd, "");
    let boot = "iocBoot/iocExample/st.cmd";
    top.write(
        boot,
        &format!(
            "#!../../bin/linux-x86_64/example\nasynReport\n{REGISTERED}asynSetTraceMask(\"\",0,0)\n\
             drvAsynIPPortConfigure(PS1,\"localhost:9\")\nsystem(\"touch '{}'\")\nset_savefile_path /tmp\niocInit\necho through\n",
            mine.display()
        ),
    );
    let lines = [2, 7, 8, 9].map(|line| format!("error no-command ioc/{boot}:{line}"));
    let found = lint(&top);
    assert_eq!(found[0], format!("warning no-records ioc/{boot}:1"));
    assert_eq!(found[1..], lines);
    let output = Ioc::start(&top, "st.cmd", None).end_after("\nthrough\n");
    for name in ["drvAsynIPPortConfigure", "system", "set_savefile_path"] {
        assert!(output.contains(&format!("Command {name} not found.")), "{output}");
    }
    assert!(
        output
            .contains("ioc/iocBoot/iocExample/st.cmd:7: command `drvAsynIPPortConfigure` comes with drvAsynIPPort.dbd")
    );
    assert!(!output.contains("Command asynSetTraceMask") && !mine.exists(), "{output}");
    top.replace("exampleApp/src/Makefile", "example_DBD += stream.dbd\n", "example_DBD += mine.dbd\n");
    assert_eq!(lint(&top)[1..], lines[..1], "what mine.dbd brings is not known");
    top.replace(boot, "localhost:9", "localhost9");
    assert_eq!(lint(&top)[2], format!("error no-address ioc/{boot}:7"));
}

#[test]
fn a_makefile_that_builds_another_ioc_stops_this_one() {
    let makefile = "exampleApp/src/Makefile";
    for (from, to, code, line, said) in [
        ("example_LIBS += stream\n", "", "make-stops", 14, "stream.dbd needs the library `stream`"),
        ("example_LIBS += asyn\n", "", "make-stops", 12, "asyn.dbd needs the library `asyn`"),
        ("PROD_IOC = example", "PROD_IOC = exampel", "not-built", 4, "nothing here builds `example`"),
        ("DBD += example.dbd", "DBD += exampel.dbd", "not-built", 5, "nothing here makes dbd/example.dbd"),
        ("exampleMain.cpp", "exampelMain.cpp", "make-stops", 26, "there is no source `exampelMain.cpp`"),
        ("example_SRCS += example_registerRecordDeviceDriver.cpp\n", "", "not-built", 4, "no source of `example` has"),
        ("+= example_reg", "+= exampel_reg", "make-stops", 25, "is made from exampel.dbd"),
    ] {
        let top = Top::new();
        top.replace(makefile, from, to);
        let found = lint(&top);
        assert!(found.contains(&format!("error {code} ioc/{makefile}:{line}")), "{to}: {found:?}");
        let output = top.soft_ioc().arg("st.cmd").stdin(Stdio::null()).output().unwrap();
        let problem = String::from_utf8(output.stderr).unwrap();
        let place = format!("{makefile}:{line}: ");
        assert!(
            problem.contains(&place) && problem.contains(said) && output.status.code() == Some(5),
            "{to}: {problem}"
        );
    }
    // A library that is not known here may have it, and make may be told of sources in other ways.
    for (from, to) in [
        ("example_LIBS += stream\n", "example_LIBS += mine\n"),
        ("example_LIBS += stream\n", "ifdef STREAM\nexample_LIBS += stream\nendif\n"),
        ("exampleMain.cpp", "exampelMain.cpp\n%.cpp: %.in\n\tcp $< $@"),
        ("exampleMain.cpp", "exampelMain.cpp\nvpath %.cpp ../../mine"),
        ("PROD_IOC = example", "PROD_IOC = $(MINE)"),
        ("DBD += example.dbd", "DBD += $(MINE).dbd"),
    ] {
        let top = Top::new();
        top.replace(makefile, from, to);
        let found = lint(&top);
        assert!(!found.iter().any(|own| own.starts_with("error")), "{to}: {found:?}");
    }
}

#[test]
fn a_first_line_that_no_kernel_executes_and_an_early_exit_are_told() {
    let top = Top::new();
    let whole = fs::read_to_string(top.path("iocBoot/iocExample/st.cmd")).unwrap();
    script(&top, &whole.replacen('\n', "\r\n", 1));
    assert_eq!(lint(&top), ["error carriage-return ioc/iocBoot/iocExample/st.cmd:1"]);
    let output = top.soft_ioc().arg("st.cmd").stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("st.cmd:1: this line ends with a carriage return"));
    script(&top, &whole.replace("iocInit", "exit\niocInit"));
    let line = 1 + whole.lines().position(|line| line.starts_with("iocInit")).unwrap();
    assert_eq!(lint(&top), [format!("error no-init ioc/iocBoot/iocExample/st.cmd:{line}")]);
    top.write("iocBoot/iocExample/more.cmd", "exit\n");
    script(&top, &(whole.replace("iocInit", "< more.cmd\niocInit") + "exit\n"));
    assert_eq!(lint(&top), Vec::<String>::new(), "exit ends one script, and may do so behind iocInit");
}

#[test]
fn a_protocol_that_no_makefile_installs_is_told_once() {
    let top = Top::new();
    top.replace("exampleApp/Db/Makefile", "DB += example.proto\n", "");
    let found = lint(&top);
    assert!(found.len() == 1 && found[0].starts_with("error not-installed ioc/exampleApp/Db/example.db:"), "{found:?}");
    let output = top.soft_ioc().args(["--lint", "[{}]", "st.cmd"]).output().unwrap();
    let json = String::from_utf8(output.stdout).unwrap();
    assert!(json.contains("add to ioc/exampleApp/Db/Makefile: DB += example.proto"), "{json}");
}

#[test]
fn a_site_has_scan_rates_of_its_own() {
    let top = Top::new();
    let passive =
        "choice(menuScanPassive, \"Passive\") choice(menuScanEvent, \"Event\") choice(menuScanI_O_Intr, \"I/O Intr\")";
    top.write(
        "exampleApp/src/menuScan.dbd",
        &format!("menu(menuScan) {{ {passive} choice(menuScan10_second, \"10 second\") choice(menuScan1_second, \"1 second\") choice(menuScan_05_second, \".05 second\") }}\n"),
    );
    top.database("mine.db", "record(calc, X) {\n  field(SCAN, \".05 second\")\n  field(CALC, \"VAL<9?VAL+1:9\")\n}\n");
    let whole = |scan: &str| format!("{REGISTERED}dbLoadRecords \"../../db/mine.db\"\niocInit\n{scan}");
    script(&top, &whole("dbgf X.SCAN\n"));
    assert_eq!(lint(&top), Vec::<String>::new());
    let ioc = Ioc::start(&top, "st.cmd", None);
    ioc.wait_for("DBF_STRING");
    assert_eq!(ioc.value("X.SCAN"), ".05 second");
    ioc.wait_for_value("X", "9");
    assert_calm(&ioc.end().1);
    // EPICS base's own are gone.
    top.replace("exampleApp/Db/mine.db", ".05 second", ".1 second");
    assert_eq!(lint(&top), ["error unknown-choice ioc/exampleApp/Db/mine.db:2"]);
}

#[test]
fn a_hang_up_is_ignored() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let mut ioc = Ioc::running(&top, &simulator);
    assert!(Command::new("kill").args(["-HUP", &ioc.id()]).status().unwrap().success());
    ioc.type_line("echo still_here");
    ioc.wait_for("still_here\n");
    assert_eq!(ioc.end().0.code(), Some(0));
}

#[test]
fn it_ends_at_the_end_of_its_input_and_leaves_nothing() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let ioc = Ioc::running(&top, &simulator);
    assert_eq!(fs::read_dir(top.tmp()).unwrap().count(), 1);
    assert_eq!(ioc.end().0.code(), Some(0));
    assert_eq!(fs::read_dir(top.tmp()).unwrap().count(), 0);
}

#[test]
fn the_next_one_removes_what_a_killed_one_left_and_no_more() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let others = Ioc::running(&top, &simulator);
    let shown = || {
        let names = fs::read_dir(top.tmp()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names = names.collect::<Vec<_>>();
        names.sort();
        names
    };
    let of_others = shown();
    let killed = Ioc::running(&top, &simulator);
    assert_eq!(shown().len(), 2 * of_others.len());
    drop(killed);
    assert_eq!(shown().len(), 2 * of_others.len(), "SIGKILL leaves them");
    let next = Ioc::running(&top, &simulator);
    assert_eq!(shown().len(), 2 * of_others.len());
    next.end();
    assert_eq!(shown(), of_others);
    assert_eq!(others.value("VOLT-RB"), "0");
}

#[test]
fn it_leaves_nothing_when_it_is_told_to_stop() {
    // While its script runs, and at the prompt
    for (lines, last) in [("echo waiting\nepicsThreadSleep 1000\n", "\nwaiting\n"), ("iocInit\n", "iocRun: All")] {
        for (signal, number) in [("-TERM", 15), ("-INT", 2)] {
            let top = Top::new();
            script(&top, &format!("{REGISTERED}{lines}"));
            let mut ioc = Ioc::start(&top, "st.cmd", None);
            ioc.wait_for(last);
            assert!(Command::new("kill").args([signal, &ioc.id()]).status().unwrap().success());
            assert_eq!(ioc.wait().signal(), Some(number), "after {signal}");
            assert_eq!(fs::read_dir(top.tmp()).unwrap().count(), 0, "after {signal}");
        }
    }
}

#[test]
fn a_check_of_a_simple_ioc_finds_nothing() {
    let top = Top::new();
    let output = top.soft_ioc().args(["--check", "st.cmd"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_check_lists_what_a_soft_ioc_cannot_do() {
    let top = Top::new();
    top.write("exampleApp/src/devMine.c", "");
    top.write("exampleApp/src/ramp.st", "");
    top.database("mine.db", "record(ai, \"A\") {\n  field(DTYP, \"Mine\")\n}\n");
    top.write("iocBoot/iocExample/more.cmd", "mineConfigure(\"A\")\n");
    top.replace("exampleApp/src/Makefile", "example_DBD += stream.dbd", "example_DBD += stream.dbd motor.dbd");
    let load = "dbLoadRecords(\"../../db/mine.db\")\ndbLoadRecords(\"$(CALC)/db/transform.db\")\n";
    script(&top, &format!("{REGISTERED}< envPaths\n< more.cmd\n{load}iocInit()\nseq ramp\n"));
    let output = top.soft_ioc().args(["--check", "st.cmd"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "iocBoot/iocExample/st.cmd:7: `$(CALC)/db/transform.db` is of a support module: $(CALC) is nowhere\n\
         iocBoot/iocExample/st.cmd:9: a sequencer program is not run\n\
         iocBoot/iocExample/more.cmd:1: command `mineConfigure` is not in a soft IOC\n\
         exampleApp/Db/mine.db:2: device support `Mine` for ai is not in a soft IOC\n\
         exampleApp/src/devMine.c:1: C or C++ code of this IOC is not run\n\
         exampleApp/src/ramp.st:1: a sequencer program is not run\n\
         exampleApp/src/Makefile:14: what `motor.dbd` defines is not built into a soft IOC\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn exec_in_a_protocol_is_told_with_its_place() {
    let (top, simulator) = (Top::new(), Simulator::start());
    let protocol =
        "Terminator = LF;\nrun {\n  exec \"\\$1\";\n}\nbeep { out \"outp:pon?\"; run; }\nnobody { exec \"false\"; }\n";
    top.write("exampleApp/Db/run.proto", protocol);
    top.installs("run.proto");
    top.database(
        "run.db",
        "record(bo, \"RUN\") {\n  field(DTYP, \"stream\") field(OUT, \"@run.proto beep(true) PS1\")\n}\n",
    );
    top.replace("iocBoot/iocExample/st.cmd", "iocInit()", "dbLoadRecords(\"../../db/run.db\")\niocInit()");
    let told = "exampleApp/Db/run.proto:3: `exec` is not in a soft IOC";
    let output = top.soft_ioc().args(["--check", "st.cmd"]).stdin(Stdio::null()).output().unwrap();
    let check = String::from_utf8_lossy(&output.stdout);
    assert!(check.starts_with(told) && check.lines().count() == 1, "{output:?}");
    assert_eq!(lint(&top), ["warning not-in-soft-ioc ioc/exampleApp/Db/run.proto:3"]);
    let ioc = Ioc::running(&top, &simulator);
    ioc.wait_for(&format!("WARNING: ioc/{told}"));
    assert_eq!(ioc.ca("caput", ["RUN", "1"]).status.code(), Some(0));
    ioc.wait_for("Command 'exec' not implemented");
    assert_eq!(ioc.value("RUN.PACT"), "1");
}

#[test]
fn lint_tells_the_records_of_every_environment() {
    let top = Top::new();
    let environments = r#"[{}, {"PREFIX": "A:"}]"#;
    let output = top.soft_ioc().args(["--lint", environments, "st.cmd"]).stdin(Stdio::null()).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["findings"], serde_json::json!([]));
    assert_eq!(json["complete"], true);
    let names: Vec<&str> = json["records"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    assert!(names.contains(&"VOLT-RB") && names.contains(&"A:VOLT-RB"), "{names:?}");
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}

#[test]
fn a_folder_for_temporary_files_that_is_none_is_named() {
    let top = Top::new();
    let output = top.soft_ioc().arg("st.cmd").env("TMPDIR", "/none/such").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("/none/such/soft-ioc-") && problem.contains("hint: let TMPDIR name"), "{problem}");
}

#[test]
fn wrong_usage_is_status_2() {
    let top = Top::new();
    for args in
        [&["--nonsense"][..], &[], &["--lint"], &["--lint", "[1]", "st.cmd"], &["a.cmd", "b.cmd"], &["st.cmd", "--app"]]
    {
        let output = top.soft_ioc().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8(output.stderr).unwrap().contains("hint: soft-ioc --help"));
    }
}

#[test]
fn what_process_variables_do_is_recorded() {
    let (top, simulator) = (Top::new(), Simulator::start());
    top.write(
        "iocBoot/iocExample/more.cmd",
        "dbLoadRecords(\"${TOP}/db/example.db\", \"PREFIX=$(P)$(Q=no),PORT=PS1\")\n",
    );
    script(
        &top,
        "#!../../bin/linux-x86_64/example\n< envPaths\ndbLoadDatabase(\"${TOP}/dbd/example.dbd\")\nexample_registerRecordDeviceDriver(pdbbase)\n\
         epicsEnvSet(\"P\", \"A:\")\n# dbLoadRecords(\"not.db\")\nepicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"${TOP}/db\")\n\
         drvAsynIPPortConfigure(\"PS1\", \"${PSU_ADDRESS}\")\niocshLoad(\"more.cmd\", \"Q=B:\")\niocInit()\n",
    );
    let ioc = Ioc::running(&top, &simulator);
    let file = top.tmp().join("record.jsonl");
    let mut recorder = ioc.record(&top, &file);
    let written = |part: &str| {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !fs::read_to_string(&file).unwrap_or_default().contains(part) {
            assert!(std::time::Instant::now() < end, "no {part} in {}", fs::read_to_string(&file).unwrap_or_default());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    written("\"recorded\":12,\"left_out\":[]}");
    written("{\"pv\":\"A:B:VOLT-RB\",\"type\":\"ai\",\"DESC\":\"Voltage set on the device\",\"EGU\":\"V\"");
    written("\"pv\":\"A:B:MODE-RB\",\"value\":\"Constant voltage\",\"severity\":0,\"status\":0}");
    assert!(ioc.ca("caput", ["-w", "20", "A:B:VOLT", "42"]).status.success());
    written("\"pv\":\"A:B:VOLT-RB\",\"value\":42,\"severity\":0");
    let (status, _) = ioc.end();
    assert_eq!(status.code(), Some(0));
    written("\"ioc\":\"down\"");
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    let left: Vec<_> = fs::read_dir(top.tmp()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["record.jsonl"]);
}
