//! What the targets share: files of a project with one of them replaced. Each target has a scratch folder to itself, named by the
//! variable `FUZZ_SCRATCH`.

use std::fs;
use std::path::{Path, PathBuf};

/// The scratch folder, which is made where it is missing.
pub fn scratch() -> PathBuf {
    let folder = std::env::var_os("FUZZ_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

/// Writes a file with the folders it lies in.
pub fn put(file: &Path, bytes: &[u8]) {
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(file, bytes).expect("a file");
}

/// An EPICS top that the soft IOC's lint reads.
#[cfg(feature = "soft-ioc")]
pub mod top {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;

    /// Its files. What a target replaces, it replaces in there.
    const FILES: [(&str, &str); 7] = [
        ("configure/RULES", ""),
        (
            "exampleApp/Db/Makefile",
            "TOP = ../..\ninclude $(TOP)/configure/CONFIG\nDB += example.db\nDB += example.proto\nDB += example.substitutions\n",
        ),
        (
            "exampleApp/Db/example.db",
            "record(ai, \"$(P)A\") {\n    field(DTYP, \"stream\")\n    field(INP, \"@example.proto a PS1\")\n    field(SCAN, \"1 second\")\n}\n",
        ),
        (
            "exampleApp/Db/example.proto",
            "Terminator = LF;\na { out \"a?\"; in \"%f\"; @init { out \"%s\"; } }\nb { out \"\\$1\"; in \"%d\"; }\n",
        ),
        ("exampleApp/Db/example.substitutions", "file \"example.db\" {\n    pattern { P }\n    { \"C:\" }\n}\n"),
        (
            "exampleApp/src/Makefile",
            "TOP = ../..\ninclude $(TOP)/configure/CONFIG\nPROD_IOC = example\nDBD += example.dbd\nexample_DBD += base.dbd asyn.dbd drvAsynIPPort.dbd stream.dbd\n",
        ),
        (
            "iocBoot/iocExample/st.cmd",
            "#!../../bin/linux-x86_64/example\ndbLoadDatabase(\"../../dbd/example.dbd\")\nexample_registerRecordDeviceDriver(pdbbase)\nepicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"../../db\")\ndrvAsynIPPortConfigure(\"PS1\", \"localhost:9999\")\ndbLoadRecords(\"../../db/example.db\", \"P=\")\ndbLoadTemplate(\"../../db/example.substitutions\")\niocInit()\n",
        ),
    ];

    /// The commands of the shell.
    static COMMANDS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let folder = super::scratch();
        for (path, text) in FILES {
            super::put(&folder.join(path), text.as_bytes());
        }
        std::env::set_current_dir(folder.join("iocBoot/iocExample")).expect("the boot folder");
        soft_ioc::commands("example").expect("commands")
    });

    /// Looks at all files, one of which is replaced.
    pub fn lint(path: &str, bytes: &[u8]) {
        let commands = &*COMMANDS;
        // The current folder is the boot folder.
        std::fs::write(PathBuf::from("../..").join(path), bytes).expect("a file");
        soft_ioc::lint("example", Path::new("st.cmd"), &[[].into()], commands).expect("a top");
    }
}

/// The folder of a run, of which a page is made.
pub mod run {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    /// Its folder.
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = super::scratch().join("run");
        super::put(&folder.join("a/result.json"), include_bytes!("../seeds/result.json"));
        super::put(&folder.join("a/journal/machine/journal.jsonl"), b"");
        super::put(&folder.join("a/record/machine.jsonl"), b"");
        folder
    });

    /// Makes a page of a run in which a check left these bytes.
    pub fn page(path: &str, bytes: &[u8]) {
        std::fs::write(FOLDER.join("a").join(path), bytes).expect("a file");
        let run = tool_report::html::read::run(&FOLDER, &FOLDER);
        assert!(!run.executions.is_empty());
        tool_report::html::page::page(&run, &FOLDER);
    }
}
