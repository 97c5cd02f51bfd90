//! autosave: most of what EPNix's own test of it asks of an IOC of C, and what a restore of each pass overwrites.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Ioc, Top};

/// PV, what is put, and what is there after a restart.
const VALUES: [(&str, &str, &str); 22] = [
    ("ai", "42", "42"),
    ("ao", "42", "42"),
    ("bi", "1", "1"),
    ("bo", "1", "1"),
    ("calc", "42", "42"),
    ("calcout", "42", "42"),
    ("longin", "42", "42"),
    ("longout", "42", "42"),
    ("lsi", "lsi test", "lsi test"),
    ("lso", "lso test", "lso test"),
    ("mbbi", "15", "15"),
    ("mbbi.ZRVL", "100", "100"),
    ("mbbi.ONST", "mbbi ONST test", "mbbi ONST test"),
    ("mbbiDirect", "32", "32"),
    ("mbbo", "15", "15"),
    ("mbbo.FFVL", "115", "115"),
    ("mbbo.FFST", "mbbo FFST test", "mbbo FFST test"),
    ("mbboDirect.B5", "1", "1"),
    ("stringin", "stringin test", "stringin test"),
    ("stringout", "stringout test", "stringout test"),
    ("early", "42", "7"),
    ("late", "42", "42"),
];

/// Each value of an array has its place in the file.
const ARRAY: &str = "5 1 2 3 4 5";

fn top(save: &Path) -> Top {
    let top = Top::new();
    let kinds: Vec<&str> = VALUES[..20].iter().map(|(pv, ..)| pv.split('.').next().unwrap()).collect();
    let mut records: Vec<String> = kinds.iter().map(|kind| format!("record({kind}, \"$(P){kind}\") {{}}\n")).collect();
    records.dedup();
    records.sort();
    records.dedup();
    // What a record's constant link gives overwrites what pass 0 has restored, not what pass 1 does.
    let link = "field(DOL, \"7\") field(OMSL, \"supervisory\")";
    records.push(format!("record(ao, \"$(P)early\") {{ {link} }}\nrecord(ao, \"$(P)late\") {{ {link} }}\n"));
    records.push("record(waveform, \"$(P)array\") { field(FTVL, \"LONG\") field(NELM, \"5\") }\n".to_owned());
    top.database("saved.db", &records.concat());
    top.replace("exampleApp/src/Makefile", "example_DBD += stream.dbd", "example_DBD += stream.dbd asSupport.dbd");
    top.replace("exampleApp/src/Makefile", "example_LIBS += asyn", "example_LIBS += autosave asyn");
    let late = VALUES.iter().filter(|(pv, ..)| *pv != "early").map(|(pv, ..)| format!("$(P){pv}\n"));
    top.write("iocBoot/iocExample/late.req", &(late.collect::<String>() + "file \"array.req\" P=$(P)\n"));
    top.write("iocBoot/iocExample/array.req", "# more\n$(P)array\n");
    top.write("iocBoot/iocExample/early.req", "$(P)early\n");
    let boot = format!(
        "#!../../bin/linux-x86_64/example\n< envPaths\ndbLoadDatabase(\"../../dbd/example.dbd\")\nexample_registerRecordDeviceDriver(pdbbase)\n\
         set_requestfile_path(\"$(TOP)/iocBoot/$(IOC)\")\nset_savefile_path(\"{}\")\n\
         set_pass0_restoreFile(\"early.sav\")\nset_pass1_restoreFile(\"late.sav\")\n\
         save_restoreSet_NumSeqFiles(1)\nsave_restoreSet_SeqPeriodInSeconds(10)\nsave_restoreSet_RetrySeconds(5)\n\
         save_restoreSet_CAReconnect(1)\nsave_restoreSet_CallbackTimeout(-1)\n\
         dbLoadRecords(\"../../db/saved.db\", \"P=as:\")\n\
         create_monitor_set(\"late.req\", 1, \"P=as:\")\ncreate_periodic_set(\"early.req\", 1, \"P=as:\")\n\
         caPutLogInit(\"localhost:7011\", 1)\niocInit()\nasVerify(\"late.sav\")\necho through\n",
        save.display()
    );
    top.write("iocBoot/iocExample/st.cmd", &boot);
    top
}

/// Waits until a file has all of these lines.
fn wait_for(file: &Path, lines: &[String]) -> String {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.trim_end().ends_with("<END>") && lines.iter().all(|line| text.lines().any(|seen| seen == line)) {
            return text;
        }
        assert!(Instant::now() < end, "{} is never more than:\n{text}", file.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn values_survive_a_restart() {
    let folder = common::Folder::new();
    let save = folder.path();
    let top = top(save);
    let ioc = Ioc::start(&top, "st.cmd", None);
    ioc.wait_for("\nthrough\n");
    ioc.wait_for("caPutLogInit: ignored, a soft IOC logs no puts\n");
    for (pv, value, _) in VALUES {
        assert!(ioc.ca("caput", ["-w", "20", &format!("as:{pv}"), value]).status.success(), "{pv}");
    }
    assert!(ioc.ca("caput", ["-w", "20", "-a", "as:array", "5", "1", "2", "3", "4", "5"]).status.success());
    let late = ["as:late 42", "as:stringout stringout test", "as:array @array@ { \"1\" \"2\" \"3\" \"4\" \"5\" }"];
    let late = wait_for(&save.join("late.sav"), &late.map(str::to_owned));
    assert!(late.starts_with("# Autosave "), "{late}");
    wait_for(&save.join("early.sav"), &["as:early 42".to_owned()]);
    drop(ioc);

    let ioc = Ioc::start(&top, "st.cmd", None);
    ioc.wait_for("\nthrough\n");
    for (pv, _, value) in VALUES {
        let output = ioc.ca("caget", ["-w", "20", "-n", "-t", &format!("as:{pv}")]);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), value, "{pv}");
    }
    assert_eq!(ioc.value("as:array"), ARRAY);
}

/// Characters as C saves them: with a sign.
fn characters(text: &str) -> String {
    let all: Vec<String> = text.bytes().map(|byte| format!("\"{}\"", byte.cast_signed())).collect();
    format!("@array@ {{ {} }}", all.join(" "))
}

#[test]
fn long_strings_come_from_the_file_that_c_would_take() {
    let folder = common::Folder::new();
    let save = folder.path();
    let top = top(save);
    let names = ["backup", "macro", "numbered", "before", "behind", "zero", "dollar"];
    let link = "field(DOL, {const:\"constant\"}) field(OMSL, \"supervisory\")";
    let records = names.map(|name| format!("record(lso, \"$(P){name}\") {{ {link} }}\n"));
    top.database("saved.db", &records.concat());
    let script = fs::read_to_string(top.path("iocBoot/iocExample/st.cmd")).unwrap();
    let (head, tail) = script.split_once("set_pass0").unwrap();
    let tail = &tail[tail.find("dbLoadRecords").unwrap()..tail.find("create_monitor").unwrap()];
    let restores = "set_pass0_restoreFile(\"zero.sav\")\nset_pass1_restoreFile(\"a.sav\")\nset_pass1_restoreFile(\"b.sav\", \"P=as:\")\n\
                    set_pass1_restoreFile(\"c.sav\")\nset_pass1_restoreFile(\"d.sav\")\n\
                    save_restoreSet_NumSeqFiles(2)\nsave_restoreSet_IncompleteSetsOk(0)\n";
    top.write("iocBoot/iocExample/st.cmd", &format!("{head}{restores}{tail}iocInit()\necho through\n"));
    let file = |name: &str, lines: &[(&str, &str)], end: &str| {
        let lines: Vec<_> = lines.iter().map(|(pv, text)| format!("{pv} {}\n", characters(text))).collect();
        fs::write(save.join(name), format!("# Autosave R6.0\n{}{end}", lines.concat())).unwrap();
    };
    file("a.sav", &[("as:backup", "cut off")], "");
    file("a.savB", &[("as:backup", "größer")], "<END>\n");
    file("b.sav", &[("$(P)macro.VAL", "by a macro")], "<END>\n");
    file("c.sav1", &[("as:numbered", "from the second")], "<END>\n");
    let missing = format!("! 1 channel(s) not connected\nas:behind {}\nas:dollar$ long\n<END>\n", characters("no"));
    file("d.sav", &[("as:before", "yes")], &missing);
    file("zero.sav", &[("as:zero", "no")], "as:dollar$ by name\n<END>\n");
    let ioc = Ioc::start(&top, "st.cmd", None);
    ioc.wait_for("\nthrough\n");
    // caget shows bytes beyond ASCII so.
    let wanted = [r"gr\xc3\xb6\xc3\x9fer", "by a macro", "from the second", "yes", "constant", "constant", "constant"];
    for (name, value) in names.iter().zip(wanted) {
        let output = ioc.ca("caget", ["-w", "20", "-S", "-t", &format!("as:{name}.VAL$")]);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), value, "{name}");
    }
}

#[test]
fn lint_knows_its_commands_and_the_gap_that_is_left() {
    let folder = common::Folder::new();
    let top = top(folder.path());
    let output = top.soft_ioc().args(["--lint", "[{}]", "st.cmd"]).stdin(Stdio::null()).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(!found.contains("unknown-command") && !found.contains("undefined"), "{found}");
    let output = top.soft_ioc().args(["--check", "st.cmd"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}
