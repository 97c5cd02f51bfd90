//! EPICS tops as labs have them, made from a few words.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A top below a folder: files with their texts.
#[derive(Clone)]
pub struct Lab {
    pub root: PathBuf,
}

const PROTOCOL: &str = "Terminator = CR LF;\n\ngetVolt {\n    out \"VOLT?\"; in \"%f V\";\n}\n\nsetVolt {\n    out \"VOLT %.3f\"; in \"OK\";\n    @init { getVolt; }\n}\n\ngetState {\n    out \"OUT?\"; in \"%{OFF|ON}\";\n}\n\ngetName {\n    out \"*IDN?\"; in \"%#39s\";\n}\n";

const DATABASE: &str = "record(ai, \"$(P)Volt-I\") {\n    field(DTYP, \"stream\")\n    field(INP, \"@psu.proto getVolt $(PORT)\")\n    field(SCAN, \"1 second\")\n    field(HIHI, \"60\")\n    field(HHSV, \"MAJOR\")\n    field(LOW, \"5\")\n    field(LSV, \"MINOR\")\n}\n\nrecord(ao, \"$(P)Volt-SP\") {\n    field(DTYP, \"stream\")\n    field(OUT, \"@psu.proto setVolt $(PORT)\")\n}\n\nrecord(bi, \"$(P)State\") {\n    field(DTYP, \"stream\")\n    field(INP, \"@psu.proto getState $(PORT)\")\n    field(ZNAM, \"off\")\n    field(ONAM, \"on\")\n    field(ZSV, \"MAJOR\")\n}\n\nrecord(stringin, \"$(P)Name\") {\n    field(DTYP, \"stream\")\n    field(INP, \"@psu.proto getName $(PORT)\")\n    field(PINI, \"YES\")\n}\n";

/// What `makeBaseApp.pl` writes into each folder but for `configure/`.
const INCLUDES: [(&str, &str); 3] = [
    ("CONFIG", "include $(TOP)/configure/CONFIG\n"),
    ("RULES", "include $(TOP)/configure/RULES\n"),
    ("DIRS", "include $(TOP)/configure/RULES_DIRS\n"),
];

impl Lab {
    /// The skeleton of `makeBaseApp.pl` for an application: no boot folder yet.
    pub fn new(root: &Path, app: &str) -> Self {
        let lab = Self { root: root.to_owned() };
        let c = |name: &str, text: &str| lab.write(&format!("configure/{name}"), text);
        c(
            "CONFIG",
            "RULES = $(EPICS_BASE)\ninclude $(TOP)/configure/RELEASE\nCONFIG = $(RULES)/configure\ninclude $(CONFIG)/CONFIG\nINSTALL_LOCATION = $(TOP)\ninclude $(TOP)/configure/CONFIG_SITE\n",
        );
        c("CONFIG_SITE", "CHECK_RELEASE = YES\n");
        c(
            "RELEASE",
            "SUPPORT = /opt/epics/support\nASYN = $(SUPPORT)/asyn\nSTREAM = $(SUPPORT)/stream\nEPICS_BASE = /opt/epics/base\n",
        );
        c(
            "Makefile",
            "TOP = ..\ninclude $(TOP)/configure/CONFIG\nTARGETS = $(CONFIG_TARGETS)\nCONFIGS += $(subst ../,,$(wildcard $(CONFIG_INSTALLS)))\ninclude $(TOP)/configure/RULES\n",
        );
        for name in ["RULES", "RULES.ioc", "RULES_DIRS", "RULES_TOP"] {
            c(name, &format!("include $(CONFIG)/{name}\n"));
        }
        lab.write("Makefile", "TOP = .\ninclude $(TOP)/configure/CONFIG\nDIRS += configure $(wildcard *App) iocBoot\niocBoot_DEPEND_DIRS += $(filter %App,$(DIRS))\ninclude $(TOP)/configure/RULES_TOP\n");
        lab.application(&format!("{app}App"), app);
        lab.write(
            "iocBoot/Makefile",
            "TOP = ..\ninclude $(TOP)/configure/CONFIG\nDIRS += $(wildcard *ioc*)\ninclude $(CONFIG)/RULES_DIRS\n",
        );
        lab
    }

    /// An application in a folder, with database and protocol.
    pub fn application(&self, folder: &str, app: &str) {
        let [config, rules, dirs] = INCLUDES.map(|(_, text)| text);
        self.write(&format!("{folder}/Makefile"), &format!("TOP = ..\n{config}DIRS += src Db\n{dirs}"));
        self.write(
            &format!("{folder}/src/Makefile"),
            &format!(
                "TOP = ../..\n{config}PROD_IOC = {app}\nDBD += {app}.dbd\n{app}_DBD += base.dbd asyn.dbd drvAsynIPPort.dbd drvAsynSerialPort.dbd stream.dbd\n{app}_SRCS += {app}_registerRecordDeviceDriver.cpp\n{app}_SRCS_DEFAULT += {app}Main.cpp\n{app}_LIBS += stream asyn $(EPICS_BASE_IOC_LIBS)\n{rules}"
            ),
        );
        self.write(
            &format!("{folder}/src/{app}Main.cpp"),
            "#include <iocsh.h>\nint main(int argc, char *argv[]) { if (argc > 1) iocsh(argv[1]); iocsh(NULL); }\n",
        );
        self.write(&format!("{folder}/Db/Makefile"), &format!("TOP = ../..\n{config}DB += psu.db psu.proto\n{rules}"));
        self.write(&format!("{folder}/Db/psu.db"), DATABASE);
        self.write(&format!("{folder}/Db/psu.proto"), PROTOCOL);
    }

    /// A boot folder whose script has these lines between registration and `iocInit`.
    pub fn boot(&self, name: &str, script: &str, app: &str, lines: &str) {
        let plain = app.replace('-', "_");
        self.write(&format!("iocBoot/{name}/Makefile"), "TOP = ../..\ninclude $(TOP)/configure/CONFIG\nARCH = $(EPICS_HOST_ARCH)\nTARGETS = envPaths\ninclude $(TOP)/configure/RULES.ioc\n");
        let path = format!("iocBoot/{name}/{script}");
        self.write(
            &path,
            &format!("#!../../bin/linux-x86_64/{app}\n\n< envPaths\ncd \"${{TOP}}\"\ndbLoadDatabase(\"dbd/{app}.dbd\")\n{plain}_registerRecordDeviceDriver(pdbbase)\n{lines}cd \"${{TOP}}/iocBoot/${{IOC}}\"\niocInit\n"),
        );
        self.run_bit(&path, true);
    }

    /// A usual one, with a port and a prefix.
    pub fn usual(&self, name: &str, app: &str, address: &str, prefix: &str) {
        let lines = format!(
            "epicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"$(TOP)/db\")\ndrvAsynIPPortConfigure(\"L0\", \"{address}\", 0, 0, 0)\ndbLoadRecords(\"db/psu.db\", \"P={prefix},PORT=L0\")\n"
        );
        self.boot(name, "st.cmd", app, &lines);
    }

    /// Two boot folders, one of them with a serial device, and what a site has around it.
    pub fn beam_line(root: &Path) -> Self {
        let lab = Self::new(root, "beam-psu");
        let lines = "< /site/epics/common.cmd\nepicsEnvSet(\"STREAM_PROTOCOL_PATH\", \"/site/protocol:$(TOP)/protocol\")\n\
                     drvAsynIPPortConfigure(\"L0\", \"192.168.7.20:4001 TCP\", 0, 0, 0)\n\
                     drvAsynSerialPortConfigure(\"L1\", \"/dev/ttyS0\")\nasynSetOption(\"L1\", 0, \"baud\", \"9600\")\n\
                     dbLoadRecords(\"db/psu.db\", \"P=XF:23{PS:1},PORT=L0\")\ndbLoadRecords(\"db/psu.db\", \"P=XF:23{PS:2},PORT=L1\")\n";
        lab.boot("iocbeam-psu", "st.cmd", "beam-psu", lines);
        lab.run_bit("iocBoot/iocbeam-psu/st.cmd", false);
        lab.usual("iocSpare", "beam-psu", "192.168.7.21:4001", "XF:24:");
        lab.edit("iocBoot/iocSpare/st.cmd", "$(TOP)/db\")", "$(TOP)/protocol\")");
        lab.rename("beam-psuApp/Db/psu.proto", "protocol/psu.proto");
        lab.edit("beam-psuApp/Db/Makefile", " psu.proto", "");
        lab.edit("configure/RELEASE", "EPICS_BASE", "MOTOR = $(SUPPORT)/motor\nEPICS_BASE");
        lab.write("bin/linux-x86_64/beam-psu", "stale");
        lab
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.root.join(path)).unwrap();
        assert!(text.contains(from), "{path} has no `{from}`");
        self.write(path, &text.replace(from, to));
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::create_dir_all(self.root.join(to).parent().unwrap()).unwrap();
        fs::rename(self.root.join(from), self.root.join(to)).unwrap();
    }

    pub fn run_bit(&self, path: &str, runs: bool) {
        let mode = if runs { 0o755 } else { 0o644 };
        fs::set_permissions(self.root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
}
