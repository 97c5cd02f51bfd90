//! Whole IOCs: what is found where a copy of the template has a mistake, each of it once.

mod mistakes;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::startup::SUGGESTED;
use super::*;

const ST_CMD: &str = "iocBoot/iocExample/st.cmd";
const DB: &str = "exampleApp/Db/example.db";
const OPENS: &str = "drvAsynIPPortConfigure(\"PS1\", \"${PSU_ADDRESS=localhost:9999}\")";
const MAKEFILE: &str = "exampleApp/Db/Makefile";
const SOURCES: &str = "exampleApp/src/Makefile";
const PROTO: &str = "exampleApp/Db/example.proto";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let own = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &own);
        } else {
            fs::copy(entry.path(), own).map(drop).unwrap();
        }
    }
}

/// A copy of the template's IOC below a folder of some name, edited: in a file, a text and what stands there instead. No text
/// stands for a file that is written anew.
fn with<T>(name: &str, edits: &[(&str, &str, &str)], use_it: impl FnOnce(PathBuf) -> T) -> T {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let around = std::env::temp_dir().join(format!("soft-ioc-lint-top-{}-{number}", std::process::id()));
    let top = around.join(name);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template/ioc"), &top);
    for (file, old, new) in edits {
        let path = top.join(file);
        let text = if old.is_empty() { String::new() } else { fs::read_to_string(&path).unwrap() };
        assert!(text.contains(old), "{file} has no `{old}`");
        fs::write(path, if old.is_empty() { (*new).to_owned() } else { text.replacen(old, new, 1) }).unwrap();
    }
    let out = use_it(top.join("iocBoot/iocExample"));
    fs::remove_dir_all(around).unwrap();
    out
}

fn all(name: &str, edits: &[(&str, &str, &str)]) -> Vec<Mistake> {
    static COMMANDS: OnceLock<BTreeSet<String>> = OnceLock::new();
    let commands = COMMANDS.get_or_init(|| crate::commands::all("example").unwrap());
    with(name, edits, |boot| {
        let (mut lint, script) = Lint::of(boot, "example", Path::new("st.cmd")).unwrap();
        lint.everything("example", &script, &[Environment::new()], commands);
        lint.report.all(&lint.layout.top)
    })
}

/// `code FILE:LINE:COLUMN`, the file by its name alone.
fn found(edits: &[(&str, &str, &str)]) -> Vec<String> {
    let short = |own: Mistake| {
        let file = own.file.rsplit('/').next().unwrap_or_default().to_owned();
        format!("{} {file}:{}:{}", own.code, own.line, own.column)
    };
    all("ioc", edits).into_iter().map(short).collect()
}

#[test]
fn a_top_may_have_any_name() {
    for name in ["ioc", "ioc(2)", "my,ioc", "ioc>x", "ioc<x", "ioc;a", "ioc:a", "a b", "#1", "it's"] {
        assert_eq!(all(name, &[]), [], "{name}");
    }
}

#[test]
fn a_sub_script_without_a_last_line_feed_ends_nothing() {
    let at = (ST_CMD, "## Load record", "< site.cmd\n## Load record");
    assert_eq!(
        found(&[at, ("iocBoot/iocExample/site.cmd", "", "epicsEnvSet(\"A\", \"b\")\necho x")]),
        ["unended-line site.cmd:2:1"]
    );
}

/// C takes them all, and comes up: only the line itself is wrong, if anything is.
#[test]
fn lines_without_which_an_ioc_comes_up_do_not_keep_it_from_doing_so() {
    const DBD: &str = "dbLoadDatabase(\"${TOP}/dbd/example.dbd\")\n";
    const REGISTER: &str = "example_registerRecordDeviceDriver(pdbbase)\n";
    let behind = |line: &str, end: &str| format!("{}{end}", line.trim_end());
    let rows = "file \"$(TOP)/db/example.db\" { pattern { PREFIX, PORT } { \"X:\", PS1 } }\n";
    let cases: &[(&str, String, &str, &str)] = &[
        (REGISTER, behind(REGISTER, " # the “one” command\n"), "", ""),
        (DBD, behind(DBD, " # built by ‘make’\n"), "", ""),
        ("localhost:9999}\")\n", "localhost:9999}\", 0, 0, 0) the “good” supply\n".to_owned(), "", ""),
        ("iocInit()\n", "iocInit()\ndbpf(\"VOLT\", \"1\") # it’s “x”\n".to_owned(), "", ""),
        ("iocInit()\n", "iocInit()\nerrlog “hello”\n".to_owned(), "", "syntax st.cmd:20:8"),
        (DBD, format!("{DBD}epicsEnvSet(MSG, ‘hello’)\n"), "", "syntax st.cmd:7:18"),
        (DBD, format!("{DBD}dbLoadDatabase(\"x.dbd)\n"), "", "unbalanced-quote st.cmd:7:16"),
        (
            REGISTER,
            format!("{REGISTER}example_registerRecordDeviceDriver(\"pdbbase)\n"),
            "",
            "unbalanced-quote st.cmd:8:36",
        ),
        (DBD, format!("< site.cmd\n{DBD}"), "echo x", "unended-line site.cmd:1:1"),
        (DBD, format!("< site.cmd\n{DBD}"), "echo x\nexit", ""),
        (DBD, format!("{DBD}< site.cmd\n"), "dbLoadDatabase(\"x.dbd\")", "unended-line site.cmd:1:1"),
        (DBD, "dbLoadDatabase(\"example.dbd\", \"${TOP}/dbd\")\n".to_owned(), "", ""),
        (DBD, "epicsEnvSet(EPICS_DB_INCLUDE_PATH, ${TOP}/dbd)\ndbLoadDatabase example.dbd\n".to_owned(), "", ""),
        (REGISTER, "registerAllRecordDeviceDrivers(pdbbase)\n".to_owned(), "", ""),
        ("\"${TOP}/db/example.db\"", "'${TOP}/db/example.db'".to_owned(), "", ""),
        ("iocInit()\n", "dbLoadTemplate(\"site.cmd\")\niocInit()\n".to_owned(), rows, ""),
        ("iocInit()\n", "echo $(ARCH) $(EPICS_VERSION_FULL) $(IOCSH_STARTUP_SCRIPT)\niocInit()\n".to_owned(), "", ""),
        ("< envPaths\n", "< envPaths 2> /dev/null\n".to_owned(), "", ""),
        ("< envPaths\n", "< envPaths # paths\n".to_owned(), "", "syntax st.cmd:3:12"),
        ("< envPaths\n", "<envPaths paths\n".to_owned(), "", "syntax st.cmd:3:11"),
    ];
    for (old, new, site, wanted) in cases {
        let edits = [(ST_CMD, *old, new.as_str()), ("iocBoot/iocExample/site.cmd", "", site)];
        let wanted: Vec<&str> = [*wanted].into_iter().filter(|own| !own.is_empty()).collect();
        assert_eq!(found(&edits), wanted, "{new}");
        assert_eq!(refusals(&edits), [] as [String; 0], "{new}");
    }
}

#[test]
fn a_dropped_line_that_loads_nothing_silences_nothing() {
    let opens = "drvAsynIPPortConfigure(\"PS2\", \"${PSU_ADDRESS=localhost:9999}\")\necho it's fine\nasynSetTraceMask \"PS3, 0, 1";
    let edits = [(ST_CMD, OPENS, opens), (ST_CMD, "iocInit()", "")];
    let wanted = ["no-init st.cmd:1:1", "unbalanced-quote st.cmd:15:8", "unbalanced-quote st.cmd:16:18"];
    let found = found(&edits);
    assert!(wanted.iter().all(|own| found.iter().any(|found| found == own)), "{found:?}");
    assert!(found.iter().any(|own| own.starts_with("unknown-port example.db")), "{found:?}");
    with("ioc", &edits, |boot| {
        let (mut lint, script) = Lint::of(boot, "example", Path::new("st.cmd")).unwrap();
        lint.everything("example", &script, &[Environment::new()], &BTreeSet::new());
        assert!(!lint.report.open);
    });
}

#[test]
fn a_line_that_the_shell_drops_is_told_once() {
    let lines = [
        "dbLoadDatabase(\"${TOP}/dbd/example.dbd\")",
        "epicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"${TOP}/db\")",
        "drvAsynIPPortConfigure(\"PS1\", \"${PSU_ADDRESS=localhost:9999}\")",
        "dbLoadRecords(\"${TOP}/db/example.db\", \"PREFIX=${PREFIX=},PORT=PS1\")",
    ];
    for (number, line) in [6, 10, 14, 17].into_iter().zip(lines) {
        for (at, _) in line.match_indices('"') {
            let mut broken = line.to_owned();
            broken.remove(at);
            let found = found(&[(ST_CMD, line, &broken)]);
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("unbalanced-quote st.cmd:{number}:")),
                "{broken}: {found:?}"
            );
        }
        for (at, _) in line.match_indices('}') {
            let mut broken = line.to_owned();
            broken.remove(at);
            let found = found(&[(ST_CMD, line, &broken)]);
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("syntax st.cmd:{number}:")),
                "{broken}: {found:?}"
            );
        }
    }
}

fn refusals(edits: &[(&str, &str, &str)]) -> Vec<String> {
    with("ioc", edits, |boot| {
        let (lint, script) = Lint::of(boot, "example", Path::new("st.cmd")).unwrap();
        Outlook::of(lint, "example", &script).refusals
    })
}

#[test]
fn an_ioc_whose_definitions_are_dropped_is_refused() {
    for (old, new) in [
        ("example.dbd\")", "example.dbd)"),
        ("(pdbbase)", "(\"pdbbase)"),
        ("(pdbbase)", "(“pdbbase”)"),
        ("${TOP}/dbd", "${TOP/dbd"),
        ("\"${TOP}/dbd/example.dbd\"", "“${TOP}/dbd/example.dbd”"),
    ] {
        let refusals = refusals(&[(ST_CMD, old, new)]);
        assert_eq!(refusals.len(), 1, "{new}: {refusals:?}");
    }
}

#[test]
fn an_endless_value_is_not_told_at_length() {
    let value = format!("field(PREC, \"{}\")", "ü".repeat(100_000));
    let found = all("ioc", &[(DB, "field(PREC, \"3\")", &value)]);
    assert!(found.len() == 1 && found[0].message.len() < 2000, "{found:?}");
    assert!(found[0].message.ends_with("it takes a whole number"), "{found:?}");
}

#[test]
fn rules_of_access_security_may_have_macros_of_either_form() {
    for reference in ["$(WHO)", "${WHO}"] {
        let rules = format!("UAG(a) {{ {reference} }}\nASG(DEFAULT) {{ RULE(1, WRITE) {{ UAG(a) }} }}\n");
        let set =
            (ST_CMD, "iocInit()", "asSetFilename(\"${TOP}/rules.acf\")\nasSetSubstitutions(\"WHO=me\")\niocInit()");
        assert_eq!(found(&[set, ("rules.acf", "", &rules)]), [] as [&str; 0], "{reference}");
    }
}

#[test]
fn macros_are_parted_by_commas_alone() {
    for mark in [" ", "\t", ";"] {
        let macros = format!("\"PREFIX=${{PREFIX=}}{mark}PORT=PS1\"");
        assert_eq!(found(&[(ST_CMD, "\"PREFIX=${PREFIX=},PORT=PS1\"", &macros)]), ["syntax st.cmd:17:40"]);
    }
}

#[test]
fn numbers_of_a_protocol_are_told_once() {
    assert_eq!(found(&[(PROTO, "out \"outp:mode?\";", "event 5s;")]), ["protocol example.proto:23:5"]);
}

/// Each row: the file, a text, what stands there instead, and all that is found.
#[test]
fn a_mistake_is_told_once_at_its_place() {
    const INIT: &str = "iocInit()\n";
    const LOAD: &str = "dbLoadRecords(\"${TOP}/db/example.db\", \"PREFIX=${PREFIX=},PORT=PS1\")\n";
    let twice = format!("{LOAD}{LOAD}");
    let env: &[&str] = &["syntax st.cmd:19:1", "undefined-variable st.cmd:20:6"];
    let unset: &[&str] = &["syntax st.cmd:19:1", "syntax st.cmd:20:1"];
    let early = format!("dbpf(\"VOLT\", \"1\")\n{LOAD}");
    let protocol =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../template/ioc").join(PROTO)).unwrap();
    let before = |line: &str| format!("{line}\n{INIT}");
    let quiet = [
        "asynOctetSetInputEos(\"PS1\", 0, \"\")",
        "asynSetTraceMask(\"PS1\", -1, 1)",
        "asynSetOption(\"PS1\", \"\", \"baud\", \"9600\")",
        "asynWaitConnect(\"PS1\", 0.5)",
        "echo “PS1” and epicsEnvSet(A)",
        "epicsEnvSet(\"A\", \"\")",
        "epicsEnvSet(\"A\", \"it has “quotes”\")",
        "iocshCmd(\"asynOctetSetInputEos PS1 0 x\")",
        "iocshRun('asynSetTraceMask $(P) 0 1', 'P=PS1')",
        "var streamError 1",
        "var streamError*",
        "var dbThreadDebug 1",
    ];
    let quiet = quiet.map(before);
    let opened = "iocshCmd(\"drvAsynIPPortConfigure PS1 localhost:9999\")";
    let run = "iocshRun(\"drvAsynIPPortConfigure $(P) localhost:9999\", \"P=PS1\")";
    let cases: &[(&str, &str, &str, &[&str])] = &[
        (ST_CMD, OPENS, opened, &[]),
        (ST_CMD, OPENS, run, &["undefined-variable st.cmd:14:34"]),
        (ST_CMD, OPENS, &run.replace('"', "'"), &[]),
        (ST_CMD, INIT, &before("asynOctetSetInputEos(\"PS1\", \"\\r\\n\")"), &["no-address st.cmd:19:30"]),
        (ST_CMD, INIT, &before("asynSetOption(\"PS1\", \"baud\", \"9600\")"), &["no-address st.cmd:19:23"]),
        (ST_CMD, INIT, &before("iocshCmd(\"asynOctetSetInputEos PS2 0 x\")"), &["unknown-port st.cmd:19:32"]),
        (ST_CMD, "\"PS1\"", "“PS1”", &["syntax st.cmd:14:24"]),
        (
            ST_CMD,
            "epicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"",
            "epicsEnvSet(\"STREAM_PROTOCOL_PATH=",
            &["syntax st.cmd:10:14"],
        ),
        (ST_CMD, "var streamError 1", "var streamErrors 1", &["unknown-variable st.cmd:11:5"]),
        (ST_CMD, INIT, "iocInit()\ndbpf(\"VOTL\", \"1\")\ndbpf(\"VOLT.VAL\", \"1\")\n", &["unknown-pv st.cmd:20:7"]),
        (ST_CMD, LOAD, &twice, &["duplicate-record st.cmd:18:1"]),
        (DB, "getMode $(PORT)", "getMode $(PORT", &["syntax example.db:142:40"]),
        (DB, "\"$(PREFIX)MODE-RB\")\n}", "\"$(PREFIXMODE-RB\")\n}", &["syntax example.db:18:18"]),
        (ST_CMD, LOAD, "", &["no-records st.cmd:1:1"]),
        (ST_CMD, "< envPaths", "< envPath", &["no-file st.cmd:3:3"]),
        (ST_CMD, "STREAM_PROTOCOL_PATH", "STREAM_PROTOCOL_PAHT", &["unknown-variable st.cmd:10:14"]),
        (SOURCES, "PROD_IOC = example", "PROD_IOC = exampel", &["not-built Makefile:4:1"]),
        (MAKEFILE, "DB += example.db\n", "DB += example.db \\ \n", &["make-stops Makefile:5:1"]),
        (ST_CMD, INIT, &before("< \"envPaths"), &["unbalanced-quote st.cmd:19:3"]),
        (ST_CMD, "< envPaths", "< \"envPaths", &["unbalanced-quote st.cmd:3:3"]),
        (ST_CMD, INIT, &before("epicsEnvSet(\"A=b\", \"c\")\necho $(A)"), env),
        (ST_CMD, INIT, &before("epicsEnvSet(\"\", \"c\")\nepicsEnvUnset(\"A=b\")"), unset),
        (ST_CMD, INIT, "iocInit()\ndbCreateRecord(pdbbase, \"ai\", \"NEW\")\ndbpf(\"NEW\", \"1\")\n", &[]),
        (ST_CMD, INIT, &before("dbCreateAlias(pdbbase, \"VOLT\", \"NEW\")\ndbpf(\"NEW\", \"1\")"), &[]),
        (ST_CMD, LOAD, &early, &["unknown-pv st.cmd:17:7"]),
        (PROTO, "", &format!("Other = ignored;\n ExtraInput = ignored;\n{protocol}"), &["protocol example.proto:2:15"]),
        (SOURCES, "example_LIBS += asyn", "LIBRARY_IOC += clac\nexample_LIBS += clac asyn", &[]),
        (SOURCES, "example_DBD += base.dbd", "example_DBD += bsae.dbd", &["make-stops Makefile:8:1"]),
        (SOURCES, "example_DBD += asyn.dbd", "example_DBD += Asyn.dbd", &["make-stops Makefile:12:1"]),
        (SOURCES, "example_DBD += base.dbd", "example_DBD += bass.dbd", &["make-stops Makefile:8:1"]),
        (SOURCES, "example_DBD += base.dbd", "example_DBD += base.dbd bass.dbd", &[]),
        (SOURCES, "DBD += example.dbd", "DBD += exampel.dbd", &["not-built Makefile:5:1"]),
        (SOURCES, "example_LIBS += asyn", "example_LIBS += asny", &["make-stops Makefile:21:1"]),
        (SOURCES, "example_DBD += stream.dbd\n", "", &["not-in-dbd example.db:23:17"]),
    ];
    let quiet = quiet.iter().map(|line| (ST_CMD, INIT, line.as_str(), &[][..]));
    let told = |(file, old, new, wanted): (&str, &str, &str, &[&str])| {
        let found = found(&[(file, old, new)]);
        (found != wanted).then(|| format!("{new}: {found:?}, not {wanted:?}"))
    };
    let wrong: Vec<String> = cases.iter().copied().chain(quiet).filter_map(told).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_of_access_security_have_their_own_line() {
    let set = (ST_CMD, "iocInit()", "asSetFilename(\"${TOP}/rules.acf\")\niocInit()");
    let of = |rules: &str| {
        let told = all("ioc", &[set, ("rules.acf", "", rules)]).into_iter();
        let told = told.map(|own| format!("{:?} {} {}:{}", own.severity, own.code, own.line, own.column));
        told.collect::<Vec<_>>()
    };
    for (rules, wanted) in [
        ("UAG(a) { me } # $Id: 1$, $(X)\nASG(DEFAULT) { RULE(1, WRITE) {\n  UAG a)\n} }\n", "Error syntax 3:1"),
        ("UAG(a) { me }\nASG(A) { RULE(1, WRITE) { UAG(b) } }\n", "Error syntax 2:1"),
        ("ASG(A) { RULE(1, READ, TRAPWRIT) }\n", "Error syntax 1:1"),
        // As C does: without a word that it does not know, or not at all.
        ("ASG(A) { RULE(1, WRIT) }\n", "Warning access-rule 1:18"),
        ("ASG(A) {\n RULE(1, \"read\") }\n", "Warning access-rule 2:10"),
        ("UAG(a) { me }\nASG(A) { RULE(1, READ) { UGA(a) } }\n", "Warning access-rule 2:26"),
        ("UGA(a) { me }\nASG(A) { RULE(1, READ) { UAG(a) } }\n", "Error access-rule 1:1"),
        ("ASG(A) { INPa(X) RULE(1, READ) { CALC(\"A\") } }\n", "Error access-rule 1:10"),
    ] {
        assert_eq!(of(rules), [wanted], "{rules}");
    }
    let right = "# RULE(1, WRIT)\nUAG(a) { \"b (c\" }\nHAG(h) { x }\nASG(A) {\n  INPU(\"X\")\n  RULE(0, NONE)\n  \
                 RULE(1, \"WRITE\", TRAPWRITE) { UAG(a) HAG(h) CALC(\"(U)=(1)\") }\n}\n";
    assert_eq!(of(right), [] as [&str; 0]);
}

#[test]
fn a_record_has_a_group_of_the_rules() {
    let set = (ST_CMD, "iocInit()", "asSetFilename(\"${TOP}/rules.acf\")\niocInit()");
    let rules = ("rules.acf", "", "ASG(OPERATOR) { RULE(1, READ) }\n");
    let of = |group: &str| {
        let field = format!("field(ASG, \"{group}\")\n    field(EGU, \"A\")");
        all("ioc", &[set, rules, (DB, "field(EGU, \"A\")", &field)]).into_iter().map(|own| own.hint).collect::<Vec<_>>()
    };
    assert_eq!(of("OPERATR"), ["did you mean `OPERATOR`?"]);
    assert_eq!(of("OTHERS"), ["ASG(OTHERS) { … }"]);
    for right in ["OPERATOR", "DEFAULT", ""] {
        assert_eq!(of(right), [""; 0], "{right}");
    }
}

#[test]
fn a_variable_in_single_quotes_is_told_with_double_ones() {
    for (old, new, wanted) in [
        ("\"PREFIX=${PREFIX=},PORT=PS1\"", "'PREFIX=${PREFIX=},PORT=PS1'", "undefined-macro 17"),
        ("\"${PSU_ADDRESS=localhost:9999}\"", "'${PSU_ADDRESS=localhost:9999}'", "no-address 14"),
        ("iocInit()", "cd '${TOP}'\niocInit()", "no-file 19"),
        ("\"${TOP}/db\")\nvar", "'${TOP}/db')\nvar", "no-file 24"),
    ] {
        let told = all("ioc", &[(ST_CMD, old, new)]);
        let short: Vec<_> = told.iter().map(|own| format!("{} {}", own.code, own.line)).collect();
        assert_eq!(short, [wanted], "{new}");
        let quoted = new.split('\'').nth(1).unwrap();
        assert!(told[0].hint.ends_with(&format!("write \"{quoted}\"")), "{}", told[0].hint);
    }
    // Macros of a database may be left to it.
    let load = (ST_CMD, "PORT=PS1\")", "PORT=PS1\")\ndbLoadRecords(\"${TOP}/db/more.db\", 'A=${B=c},C=$(A)')");
    let more = [(MAKEFILE, "DB += ", "DB += more.db "), ("exampleApp/Db/more.db", "", "record(ai, \"$(A)$(C)\") {}\n")];
    assert_eq!(found(&[load, more[0], more[1]]), [] as [&str; 0]);
}

#[test]
fn what_many_records_do_alike_is_told_once() {
    let told = |edit| all("ioc", &[edit]).into_iter().map(|own| (own.line, own.message)).collect::<Vec<_>>();
    let db = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../template/ioc").join(DB)).unwrap();
    let record =
        "record(ai, \"$(PREFIX)#\") {\n field(DTYP, \"stream\")\n field(INP, \"@example.proto getMode $(PORT)\")\n}\n";
    let text: String = (0..6).map(|number| record.replace('#', &format!("X{number}"))).collect();
    let (text, bare) = (text + &db, db.replace("$(PORT)", "%s"));
    let many = told((DB, "", &text));
    let rest = "(line 23 of example.proto) (also line 7, line 11, line 15 and 2 more)";
    assert!(matches!(&many[..], [(3, what)] if what.ends_with(rest)), "{many:?}");
    let odd = told((DB, "", &bare));
    assert!(
        matches!(&odd[..], [(24, what)] if what.ends_with("`%s` (also line 34, line 45, line 58 and 7 more)")),
        "{odd:?}"
    );
}

#[test]
fn a_misspelt_variable_of_a_makefile_is_one_mistake() {
    for (file, old, new, wanted) in [
        ("exampleApp/Makefile", "DIRS", "DIRZ", "Error Makefile:3"),
        (SOURCES, "PROD_IOC", "PORD_IOC", "Error Makefile:4"),
        (SOURCES, "example_DBD += stream.dbd", "example_DDB += stream.dbd", "Error Makefile:14"),
        (SOURCES, "example_LIBS += asyn", "exmaple_LIBS += asyn", "Error Makefile:21"),
        (MAKEFILE, "DB += example.db\n", "DBB += example.db\n", "Error Makefile:5"),
        // Nothing comes of it.
        ("Makefile", "DIRS += configure", "DIRZ += configure", "Warning Makefile:15"),
    ] {
        let told = all("ioc", &[(file, old, new)]).into_iter();
        let told: Vec<_> =
            told.map(|own| format!("{:?} {} {}:{}", own.severity, own.code, own.file, own.line)).collect();
        let (severity, place) = wanted.split_once(' ').unwrap();
        let place = format!("ioc/{}", file.replace("Makefile", place));
        assert_eq!(told, [format!("{severity} unknown-variable {place}")], "{new}");
    }
    // One's own variables, and those of other programs.
    let own = "DBS = example.db\nDB += $(DBS)\nexampl_LIBS = x\nPROD_HOST = exampl\nDBB = y\nexport DBB\n";
    assert_eq!(found(&[(MAKEFILE, "DB += example.db\n", own)]), [] as [&str; 0]);
}

#[test]
fn a_template_is_missing_where_the_substitutions_name_it() {
    let load = (ST_CMD, "iocInit()", "dbLoadTemplate(\"x.substitutions\")\niocInit()");
    let rows = "# file\nfile nowhere.template {\n  pattern { A }\n  { 1 }\n  { 2 }\n}\n";
    assert_eq!(found(&[load, ("iocBoot/iocExample/x.substitutions", "", rows)]), ["no-file x.substitutions:2:1"]);
}

#[test]
fn values_that_no_one_would_wait_for_are_told_where_they_are_used() {
    let chain = |count, format: &dyn Fn(usize) -> String| -> String { (0..count).map(format).collect() };
    let macros = chain(30, &|n| format!("A{n}=$(A{0})$(A{0}),", n + 1));
    let names = chain(30, &|n| format!("epicsEnvSet(A{n}, '$($(X){0})$($(X){0})')\n", n + 1));
    let sub = ("iocBoot/iocExample/x.cmd", "", "echo $(A0)\n");
    for (line, at) in [
        (format!("iocshLoad(x.cmd, '{macros}')\n"), "st.cmd:19:19"),
        (format!("iocshRun('echo $(A0)', '{macros}')\n"), "st.cmd:19:25"),
        (format!("epicsEnvSet(X, A)\n{names}epicsEnvSet(A30, y)\n< x.cmd\n"), "x.cmd:1:6"),
    ] {
        let told = found(&[sub, (ST_CMD, "iocInit", &(line + "iocInit"))]);
        assert_eq!(told, [format!("endless-macro {at}")]);
    }
    let macros = chain(150, &|n| format!("A{n}=$(A{}),", n + 1));
    let line = format!("iocshLoad(x.cmd, '{macros}A150=x')\niocInit");
    assert_eq!(found(&[sub, (ST_CMD, "iocInit", &line)]), Vec::<String>::new());
}

#[test]
fn a_template_that_is_missing_is_told_at_its_own_block() {
    let makefile = ("exampleApp/Db/Makefile", "DB += example.proto", "DB += example.proto x.substitutions");
    let load = (ST_CMD, "iocInit", "cd \"${TOP}/db\"\ndbLoadTemplate(\"x.substitutions\")\niocInit");
    let rows = "file a.db { {A=1}\n{A=2}\n\n{A=3} } file b.db { pattern { A }\n{ 1 } { 2 } }\nfile c.db {\n{}}\n";
    let told = all("ioc", &[makefile, load, ("exampleApp/Db/x.substitutions", "", rows)]);
    assert_eq!(told.iter().map(|own| own.line).collect::<Vec<_>>(), [1, 4, 6]);
    // All rows of a block are at one place.
    assert_eq!(told[0].message, "there is no template `a.db`");
}

#[test]
fn not_all_of_many_strange_names_are_looked_for() {
    let puts: String = (0..SUGGESTED + 5).map(|_| "dbpf(\"VOLTT\", 1)\n").collect();
    let told = all("ioc", &[(ST_CMD, "iocInit()", &format!("iocInit()\n{puts}"))]);
    let meant = told.iter().filter(|own| own.hint == "did you mean `VOLT`?").count();
    assert_eq!((told.len(), meant), (SUGGESTED + 5, SUGGESTED));
}
