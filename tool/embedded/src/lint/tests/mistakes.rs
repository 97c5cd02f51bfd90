//! One mistake each in a copy of the template, its place and its hint.

use super::*;

/// Each row: file, text, what stands there instead with a `¶` before the place of the finding, its code, a part of its
/// hint. Without a `¶`, the place may be anywhere and others may follow.
const MISTAKES: &[(&str, &str, &str, &str, &str)] = &[
    // Databases
    (DB, "record(mbbi,", "record(¶mbi,", "unknown-record-type", "`mbbi`"),
    (DB, "field(DESC, \"Current set", "field(¶DECS, \"Current set", "unknown-field", "`DESC`"),
    (DB, "\"Current set on the device", "\"Current that is said to be set on the de¶vice", "too-long", ""),
    (DB, "field(SCAN, \"10 second\")", "field(SCAN, ¶\"3 second\")", "unknown-choice", "second"),
    (DB, "field(HOPR, \"65\")", "field(HOPR, ¶\"sixty\")", "bad-value", ""),
    (DB, "field(DTYP, \"stream\")", "field(DTYP, ¶\"Stream\")", "unknown-device", "`stream`"),
    (DB, "field(FLNK, \"$(PREFIX)MODE-RB\")", "field(FLNK, ¶\"$(PREFIX)MODE-RBV\")", "unknown-record", "`MODE-RB`"),
    (DB, "field(LNK4, \"$(PREFIX)MODE-RB\")", "field(LNK4, ¶\"$(PREFIX)MODE-RB.PROX\")", "unknown-field", "`PROC`"),
    (DB, "@example.proto getMode", "@¶exmple.proto getMode", "no-file", "`example.proto`"),
    (DB, "@example.proto getMode", "@example.proto ¶getMod", "unknown-function", "`getMode`"),
    (DB, "getMode $(PORT)", "getMode ¶PS2", "unknown-port", "`PS1`"),
    (DB, "getMode $(PORT)", "getMode ¶$(PROT)", "undefined-macro", "ioc/iocBoot/iocExample/st.cmd:17 defines `PORT`"),
    (DB, "\"@example.proto getMode", "¶\"example.proto getMode", "bad-link", "@"),
    (DB, "record(stringin, \"$(PREFIX)IDN\")", "record(stringin, ¶\"$(PREFIX)POLL\")", "duplicate-record", "rename"),
    (DB, "    field(ONAM, \"ON\")\n}\n\nrecord", "    field(ONAM, \"ON\")\n\n¶record", "syntax", "`}`"),
    (DB, "field(EGU, \"A\")", "field(EGU, ¶\"A)", "syntax", "same line"),
    (DB, "field(EGU, \"A\")", "field(EGU ¶\"A\")", "syntax", "field(NAME"),
    (DB, "field(EGU, \"A\")", "field(EGU, ¶°C)", "syntax", "quotes"),
    (DB, "getMode $(PORT)", "¶getMode(x)y $(PORT)", "bad-link", "FUNCTION(FIRST, SECOND)"),
    (
        DB,
        "record(ai, \"$(PREFIX)VOLT-RB\") {\n    field(DESC, \"Voltage set on the device\")\n    field(DTYP, \"stream\")\n    \
         field(INP, \"@example.proto getVoltage",
        "record(waveform, \"$(PREFIX)VOLT-RB\") {\n    field(DTYP, \"stream\")\n    field(INP, \"@example.proto ¶getVoltage",
        "bad-conversion",
        "another record",
    ),
    // Protocols
    (PROTO, "\"%{CV|CC}\";\n}\n\nsetMode {", "\"%{CV|CC}\";\n\n¶setMode {", "protocol", ""),
    (PROTO, "out \"outp:mode?\"", "¶event; out \"outp:mode?\"", "bad-call", "wait"),
    (PROTO, "in \"%{CV|CC}\"", "in \"%{CV|CC\"", "protocol", ""),
    (PROTO, "@init { getMode; }", "¶@int { getMode; }", "protocol", ""),
    (PROTO, "Terminator = LF;", "Terminator = LF", "protocol", ""),
    (PROTO, "Terminator = LF;", "¶Termnator = LF;", "unknown-variable", "`Terminator`"),
    (PROTO, "ReplyTimeout = 500;", "¶ReplyTimeout = 500ms;", "protocol", ""),
    // The start-up script
    (ST_CMD, "${TOP}/db/example.db", "¶${TOP}/db/exampel.db", "no-file", "`example.db`"),
    (ST_CMD, "${TOP}/dbd/example.dbd", "¶${TOP}/dbd/exampel.dbd", "no-file", "`example.dbd`"),
    (ST_CMD, "example_register", "¶exmple_register", "unknown-command", "`example_registerRecordDeviceDriver`"),
    (ST_CMD, "dbLoadRecords(", "¶dbLoadRecord(", "unknown-command", "`dbLoadRecords`"),
    (ST_CMD, "${PREFIX=}", "¶${PREFX}", "undefined-variable", "${PREFX=…}"),
    (DB, "getIdentification $(PORT)", "getIdentification ¶$(POTR) $(POTR)", "undefined-macro", "st.cmd:17"),
    (ST_CMD, ",PORT=PS1", "", "undefined-macro", "ioc/iocBoot/iocExample/st.cmd:17"),
    (ST_CMD, "#!../../bin/linux-x86_64/example", "¶# IOC", "not-a-program", "#!"),
    (ST_CMD, "#!../../bin/linux-x86_64/example", "#!¶../../bin/linux-x86_64/other", "not-built", "#!"),
    (ST_CMD, "#!../../bin/linux-x86_64/example", "#!¶/opt/bin/other", "other-program", "#!"),
    (ST_CMD, "#!../../bin/linux-x86_64/example", "#!¶../../bim/linux-x86_64/example", "not-a-program", "../bin/"),
    (ST_CMD, "< envPaths", "< ¶common.cmd", "no-file", ""),
    (ST_CMD, "< envPaths\n", "", "undefined-variable", "< envPaths"),
    (ST_CMD, "iocInit()", "asSetFilename(\"¶${TOP}/db/no.acf\")\niocInit()", "no-file", ""),
    (ST_CMD, "iocInit()", "asynOctetSetInputEos(\"¶PS2\", 0, \"\")\niocInit()", "unknown-port", "`PS1`"),
    (ST_CMD, "(pdbbase)", "(¶pdbase)", "not-registered", "(pdbbase)"),
    (ST_CMD, "${TOP}/dbd/example.dbd", "¶${EPICS_BASE}/dbd/base.dbd", "no-dbd", "${TOP}/dbd/example.dbd"),
    (ST_CMD, "${PSU_ADDRESS=localhost:9999}", "¶localhost:9999 TPC", "no-address", "UDP"),
    (ST_CMD, "=localhost:9999}\")", "=localhost:9999}\", ¶high)", "no-address", "0, 0, 0"),
    (ST_CMD, "iocInit()", "asSetFilename(\"${TOP}/db/example.proto\")\niocInit()", "syntax", "ASG("),
    (
        ST_CMD,
        "drvAsynIPPortConfigure(\"PS1\", \"${PSU_ADDRESS=localhost:9999}\")\n\n## Load record instances\n\
         dbLoadRecords(\"${TOP}/db/example.db\", \"PREFIX=${PREFIX=},PORT=PS1\")\n\niocInit()\n",
        "dbLoadRecords(\"${TOP}/db/example.db\", \"PREFIX=${PREFIX=},PORT=PS1\")\niocInit()\n\
         drvAsynIPPortConfigure(\"PS1\", \"${PSU_ADDRESS=localhost:9999}\")\n",
        "unknown-port",
        "above iocInit",
    ),
    // The Makefiles
    (MAKEFILE, "DB += example.db\n", "", "not-installed", "ioc/exampleApp/Db/Makefile: DB += example.db"),
    (MAKEFILE, "DB += example.db\n", "¶DB += example.db none.db\n", "make-stops", "make"),
    (MAKEFILE, "DB += example.db\n", "DB += example.db\n¶DB none.db\n", "make-stops", "make"),
    (MAKEFILE, "DB += example.db\n", "DB += example.db\n¶DB += $(MORE)\n", "undecided", "DB += NAME"),
    (SOURCES, "example_DBD += stream.dbd", "¶example_DBD += straem.dbd", "make-stops", ""),
    (SOURCES, "example_LIBS += $(EPICS_BASE_IOC_LIBS)\n", "", "make-stops", ""),
    (
        SOURCES,
        "example_SRCS += example_registerRecordDeviceDriver.cpp\n",
        "",
        "not-built",
        "example_SRCS += example_reg",
    ),
    (SOURCES, "example_SRCS_DEFAULT += exampleMain.cpp\n", "", "make-stops", ""),
    (SOURCES, "include $(TOP)/configure/RULES\n", "", "make-stops", ""),
];

#[test]
fn every_mistake_is_found_at_its_place() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template/ioc");
    let mut wrong = Vec::new();
    for (file, old, new, code, hint) in MISTAKES {
        let marked = fs::read_to_string(template.join(file)).unwrap().replacen(old, new, 1);
        let told = all("ioc", &[(file, old, &new.replace('¶', ""))]);
        let places: Vec<_> =
            told.iter().map(|own| format!("{} {}:{}:{}", own.code, own.file, own.line, own.column)).collect();
        let fits = match marked.split_once('¶') {
            Some((before, _)) => {
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                places == [format!("{code} ioc/{file}:{}:{column}", before.matches('\n').count() + 1)]
            }
            None => told.first().is_some_and(|own| own.code == *code),
        };
        if !fits || !told.iter().take(1).all(|own| own.hint.contains(hint)) {
            wrong.push(format!("{new}\n   expected {code} `{hint}`\n   found {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
