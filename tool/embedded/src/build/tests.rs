//! What `make` would install from tops of all kinds.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{Build, Product};

/// A top as makeBaseApp makes it, with `exampleApp/Db`.
struct Top(PathBuf);

impl Top {
    fn new(database_makefile: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("soft-ioc-build-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let top = Self(std::env::temp_dir().join(name));
        let configure = "include $(TOP)/configure/RELEASE\nifneq (file,$(origin EPICS_BASE))\n$(error no base)\nelse\n\
             ifeq ($(wildcard $(EPICS_BASE)/configure/CONFIG_BASE),)\n$(error no base)\nendif\nendif\n\
             CONFIG = $(RULES)/configure\ninclude $(CONFIG)/CONFIG\nINSTALL_LOCATION = $(TOP)\ninclude $(TOP)/configure/CONFIG_SITE\n";
        top.write("configure/CONFIG", configure);
        top.write(
            "configure/RELEASE",
            "EPICS_BASE = /opt/epics/base\nMOTOR = /opt/epics/motor\n-include $(TOP)/../RELEASE.local\n",
        );
        top.write("configure/CONFIG_SITE", "");
        top.write("configure/RULES", "include $(CONFIG)/RULES\n$(LIBNAME): ../Makefile\n");
        top.write("configure/RULES_DIRS", "include $(CONFIG)/RULES_DIRS\n");
        top.write("configure/RULES_TOP", "include $(CONFIG)/RULES_TOP\n");
        top.write("configure/Makefile", "TOP=..\ninclude $(TOP)/configure/CONFIG\ninclude $(TOP)/configure/RULES\n");
        let dirs = "TOP = .\ninclude $(TOP)/configure/CONFIG\nDIRS += configure\nDIRS += $(wildcard *Sup)\nDIRS += $(wildcard *App)\n\
             $(foreach dir, $(filter-out configure, $(DIRS)), $(eval $(dir)_DEPEND_DIRS += configure))\ninclude $(TOP)/configure/RULES_TOP\n";
        top.write("Makefile", dirs);
        let app = "TOP = ..\ninclude $(TOP)/configure/CONFIG\nDIRS := $(DIRS) $(filter-out $(DIRS), $(wildcard *src*))\n\
             DIRS += $(wildcard db* *Db*)\ninclude $(TOP)/configure/RULES_DIRS\n";
        top.write("exampleApp/Makefile", app);
        top.database_makefile(database_makefile);
        top
    }

    fn database_makefile(&self, text: &str) {
        let text = format!("TOP=../..\ninclude $(TOP)/configure/CONFIG\n{text}include $(TOP)/configure/RULES\n");
        self.write("exampleApp/Db/Makefile", &text);
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn with(self, files: &[&str]) -> Self {
        for file in files {
            self.write(&format!("exampleApp/Db/{file}"), "");
        }
        self
    }

    fn build(&self) -> Build {
        Build::read(&self.0)
    }

    /// What is installed, and from where; faults and doubts with their lines.
    fn told(&self) -> String {
        let build = self.build();
        let own = |path: &Path| {
            path.strip_prefix(&self.0).unwrap_or(path).display().to_string().replace("exampleApp/Db/", "")
        };
        let installed = build.installed.iter().map(|(path, product)| match product {
            Product::File(source) => format!("{}={}", path.display(), own(source)),
            Product::Expanded(recipe) => format!("{}<{}", path.display(), own(recipe.source())),
            Product::Rule(at) => format!("{}:{}", path.display(), at.line),
        });
        let faults = build.faults.iter().map(|fault| format!("{}:{}: {}", own(&fault.file), fault.line, fault.what));
        let doubts = build.doubts.iter().map(|(name, doubt)| format!("{name}?{}", doubt.line));
        installed.chain(faults).chain(doubts).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn databases_are_copied_or_made() {
    let top = Top::new("DB += a.db p.proto t.template s.substitutions \\\n  m.db\nDB += n.db both.db\n")
        .with(&["a.db", "p.proto", "t.template", "s.substitutions", "m.substitutions", "n.template"])
        .with(&["both.db", "both.substitutions", "forgotten.db"]);
    let expected = "db/a.db=a.db db/both.db=both.db db/m.db<m.substitutions db/n.db<n.template db/p.proto=p.proto \
                    db/s.substitutions=s.substitutions db/t.template=t.template";
    assert_eq!(top.told(), expected);
}

#[test]
fn wildcards_see_the_folder_that_make_runs_in() {
    let top =
        Top::new("DB += $(notdir $(wildcard ../*.db))\nDB += $(wildcard *.proto)\n").with(&["a.db", "b.db", "p.proto"]);
    assert_eq!(top.told(), "db/a.db=a.db db/b.db=b.db");
}

#[test]
fn files_come_from_elsewhere() {
    let top = Top::new(
        "DB_INSTALLS += $(TOP)/other/x.db $(ASYN)/db/asynRecord.db $(MOTOR)/db/motor.db\nSRC_DIRS += $(TOP)/other\nDB += y.db\nDB += ../z.db\n",
    )
    .with(&["z.db"]);
    top.write("other/x.db", "");
    top.write("other/y.db", "");
    top.write("other/y.proto", "");
    let asyn = Path::new(asyn_rs::ASYN_DIR).join("db/asynRecord.db");
    let expected =
        format!("db/asynRecord.db={} db/x.db=other/x.db db/y.db=other/y.db db/z.db=z.db motor.db?3", asyn.display());
    assert_eq!(top.told(), expected);
    // Only for databases, templates and the like does make look into SRC_DIRS, and into no folder below.
    top.database_makefile("SRC_DIRS += $(TOP)/other\nDB += y.proto sub/w.db\n");
    top.write("exampleApp/Db/sub/w.db", "");
    let stops = |name: &str| format!("Makefile:4: make stops: nothing makes `{name}`, and no source of it is there");
    assert_eq!(top.told(), format!("{} {}", stops("y.proto"), stops("w.db")));
}

#[test]
fn types_of_files_go_where_the_site_says() {
    let top = Top::new("PROTOCOL += p.proto\nDATA += d.txt\nADL += sub/x.adl\nADL_Linux += l.adl\n").with(&[
        "p.proto",
        "d.txt",
        "sub/x.adl",
        "l.adl",
    ]);
    assert_eq!(top.told(), "adl/l.adl=l.adl adl/sub/x.adl=sub/x.adl d.txt?4 p.proto?3");
    top.write("configure/CONFIG_SITE", "FILE_TYPE += PROTOCOL DATA\nINSTALL_PROTOCOL = $(INSTALL_LOCATION)/protocol\nINSTALL_DATA = $(TOP)/data\nINSTALL_DB = $(INSTALL_LOCATION)/databases\n");
    assert_eq!(top.told(), "adl/l.adl=l.adl adl/sub/x.adl=sub/x.adl data/d.txt=d.txt protocol/p.proto=p.proto");
}

#[test]
fn make_stops_without_a_source() {
    let top = Top::new("DB += a.db\nDB += none.db\n").with(&["a.db"]);
    assert_eq!(
        top.told(),
        "db/a.db=a.db Makefile:4: make stops: nothing makes `none.db`, and no source of it is there"
    );
    top.database_makefile("DB += a.db none.db\nnone.db: ../gen.py\n\tpython3 $< > $@\n");
    assert_eq!(top.told(), "db/a.db=a.db db/none.db:4");
    top.database_makefile("ifdef A\n");
    assert_eq!(top.told(), "Makefile:3: this condition has no `endif`");
    fs::remove_file(top.0.join("exampleApp/Db/Makefile")).unwrap();
    assert_eq!(top.told(), "Makefile:1: make stops: it enters exampleApp/Db, where no Makefile is");
}

#[test]
fn what_depends_on_the_builder_is_in_doubt() {
    let top = Top::new("DB += a.db\nifdef CALC\nDB += b.db\nendif\nifeq ($(OS_CLASS),Linux)\nDB += c.db\nendif\nifdef MOTOR\nDB += d.db\nendif\n").with(&["a.db", "b.db", "c.db", "d.db"]);
    assert_eq!(top.told(), "db/a.db=a.db db/c.db=c.db db/d.db=d.db b.db?4");
    let (what, hint) = top.build().missing(Path::new("db/b.db")).unwrap();
    assert!(what.contains("exampleApp/Db/Makefile:4: whether `ifdef CALC` holds is not known here"), "{what}");
    assert!(hint.contains("DB += b.db"), "{hint}");
}

#[test]
fn what_is_missing_is_explained() {
    let top = Top::new("DB += a.db\n").with(&["a.db", "b.db", "c.substitutions"]);
    let build = top.build();
    let own = top.0.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        build.missing(Path::new("db/c.db")).unwrap(),
        (
            format!("no Makefile installs it: make never puts {own}/exampleApp/Db/c.substitutions there"),
            format!("add to {own}/exampleApp/Db/Makefile: DB += c.db")
        )
    );
    assert!(build.missing(Path::new("db/none.db")).is_none());
    top.write(
        "exampleApp/Makefile",
        "TOP = ..\ninclude $(TOP)/configure/CONFIG\nDIRS += src\ninclude $(TOP)/configure/RULES_DIRS\n",
    );
    top.write(
        "exampleApp/src/Makefile",
        "TOP = ../..\ninclude $(TOP)/configure/CONFIG\ninclude $(TOP)/configure/RULES\n",
    );
    let (_, hint) = top.build().missing(Path::new("db/a.db")).unwrap();
    assert!(hint.starts_with(&format!("make does not enter {own}/exampleApp/Db")), "{hint}");
}

#[test]
fn templates_are_found_as_make_has_msi_find_them() {
    let top = Top::new("DB += m.db m2.db own.db\nUSR_DBFLAGS += -I ../more -M \"Q=q\"\nm2_TEMPLATE = given.template\nDB += shared.template\n")
        .with(&["shared.template"]);
    top.write("exampleApp/Db/m.substitutions", "file in.template { {P=1} }\nfile other.template { {P=2} }\n");
    top.write("exampleApp/Db/m2.substitutions", "file none.template { {P=3} }\n");
    top.write("exampleApp/Db/given.template", "given $(P)$(Q)\n");
    top.write("exampleApp/Db/own.template", "own $(P) $(N=n)\n");
    top.write("exampleApp/Db/more/in.template", "in $(P)$(Q)$(R)\n");
    top.write(
        "otherSup/Makefile",
        "TOP=..\ninclude $(TOP)/configure/CONFIG\nDB += other.template\ninclude $(TOP)/configure/RULES\n",
    );
    top.write("otherSup/other.template", "other $(P)\n");
    let build = top.build();
    let made = |name: &str| match &build.installed[Path::new(name)] {
        Product::Expanded(recipe) => String::from_utf8(build.expand(recipe).unwrap().bytes).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(made("db/m.db"), "in 1q$(R)\nother 2\n");
    assert_eq!(made("db/m2.db"), "given 3q\n");
    assert_eq!(made("db/own.db"), "own $(P) n\n");
}

#[test]
fn what_make_takes_is_no_fault() {
    let top = Top::new("");
    let head = "TOP=../..\ninclude $(TOP)/configure/CONFIG\n";
    // EPICS' unit tests have a macro in the place of `main`; another application installs the definitions.
    let source = format!(
        "{head}TESTPROD += unitTest\nunitTest_SRCS += unitTest.c\nDBD += a.dbd\na_DBD += streams.dbd\ninclude $(TOP)/configure/RULES\n"
    );
    top.write("exampleApp/src/Makefile", &source);
    top.write("exampleApp/src/unitTest.c", "#include \"testMain.h\"\nMAIN(unitTest) {}\n");
    assert_eq!(
        top.build().fault().map(|fault| fault.contains("`streams.dbd`; did you mean `stream.dbd`?")),
        Some(true)
    );
    top.write(
        "otherApp/Makefile",
        &format!("TOP=..\n{}", "include $(TOP)/configure/CONFIG\nDBD += streams.dbd\ninclude $(TOP)/configure/RULES\n"),
    );
    top.write("otherApp/streams.dbd", "");
    assert_eq!(top.build().fault(), None);
    // Rules from elsewhere, and a rule of last resort: who knows.
    for rules in ["include $(SITE)/configure/RULES_SITE\n", ".DEFAULT:\n\ttouch $@\n"] {
        top.write("otherApp/Makefile", rules);
        top.write("exampleApp/src/Makefile", rules);
        assert_eq!((top.build().fault(), top.build().doubts.is_empty()), (None, false), "{rules}");
    }
    top.write("otherApp/Makefile", "TOP=..\ninclude $(TOP)/configure/CONFIG\n");
    assert_eq!(top.build().fault().map(|fault| fault.contains("no rule of this Makefile")), Some(true));
}
