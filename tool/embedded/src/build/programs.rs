//! The programs that one Makefile builds: whether their sources and libraries are there. What is not certain is let pass.

use std::path::PathBuf;

use super::Program;
use super::install::Step;
use crate::known;
use crate::makefile::Problem;

/// Libraries that have nothing of other modules in them.
const KNOWN: [&str; 17] = [
    "asyn", "autosave", "busy", "ca", "calc", "caPutLog", "Com", "dbCore", "dbRecStd", "pv", "pvxs", "pvxsIoc", "qsrv",
    "seq", "sscan", "std", "stream",
];

/// One of the libraries of EPICS base, all of which `$(EPICS_BASE_IOC_LIBS)` names.
const OF_BASE: &str = "dbRecStd";

/// Definitions, and the library that has what they name.
const LIBRARIES: [(&[&str], &str); 5] = [
    (&["base.dbd"], OF_BASE),
    (&["stream.dbd", "stream-base.dbd", "stream-scalcout.dbd"], "stream"),
    (&["asyn.dbd", "drvAsynIPPort.dbd", "drvAsynSerialPort.dbd"], "asyn"),
    (&["calc.dbd", "calcSupport.dbd"], "calc"),
    (&["asSupport.dbd"], "autosave"),
];

/// Variables that libraries and objects of a program come from, beside those with its own name.
const OF_ALL: [&str; 9] = [
    "PROD_LIBS",
    "USR_LIBS",
    "PROD_SYS_LIBS",
    "USR_SYS_LIBS",
    "PROD_LDFLAGS",
    "USR_LDFLAGS",
    "PROD_OBJS",
    "USR_OBJS",
    "LDFLAGS",
];

/// What generates the code that registers record types and the like.
const REGISTERS: &str = "_registerRecordDeviceDriver.cpp";

impl Step<'_> {
    /// The words of a variable, with what is for Linux alone; whether all of them are certain.
    fn certain(&mut self, name: &str) -> (Vec<String>, bool) {
        let mut words = self.makefile.words(name);
        let own = self.makefile.words(&format!("{name}_Linux"));
        words.extend(if own.is_empty() { self.makefile.words(&format!("{name}_DEFAULT")) } else { own });
        let certain = words.iter().all(|word| word.doubt.is_none());
        (
            words
                .into_iter()
                .filter(|word| word.doubt.is_none() && word.text != "-nil-")
                .map(|word| word.text)
                .collect(),
            certain,
        )
    }

    pub(super) fn programs(&mut self) {
        for variable in ["DBD_Linux", "DBD_DEFAULT", "DBDINC", "SCRIPTS", "BIN_INSTALLS"] {
            self.build.unsure |= !self.makefile.words(variable).is_empty();
        }
        // In configure/ it is what EPICS base has there.
        self.build.unsure |= self.makefile.words("TARGETS").iter().any(|word| word.doubt.is_none());
        self.build.unsure |= self.makefile.words("DBD").iter().any(|word| word.doubt.is_some());
        for variable in ["LIBRARY", "LIBRARY_IOC", "LIBRARY_HOST"] {
            let own = self.makefile.words(variable).into_iter().map(|word| word.text);
            self.build.libraries.extend(own);
        }
        for variable in ["PROD_IOC", "PROD", "PROD_HOST", "TESTPROD_IOC", "TESTPROD"] {
            let (programs, certain) = self.certain(variable);
            self.build.unsure |= !certain;
            for program in programs {
                let at = self.problem(variable, &program, String::new());
                let mut registers = None;
                if !self.build.unsure {
                    let (applications, main) = self.sources(&program);
                    if self.libraries(&program, &applications) {
                        if main == Some(false) {
                            let what = format!("make stops: no source of `{program}` has a function `main`");
                            self.build.faults.push(Problem { what, ..at.clone() });
                        }
                        registers = main.is_some().then_some(applications);
                    }
                }
                self.build.programs.entry(program).or_insert(Program { at, registers });
            }
        }
    }

    /// Finds the sources of a program: the applications whose record types it registers, and whether one has `main`, where
    /// all of them are known.
    fn sources(&mut self, program: &str) -> (Vec<String>, Option<bool>) {
        let mut folders = vec![self.place.to_owned(), self.folder.to_owned()];
        for variable in ["USR_VPATH", "SRC_DIRS"] {
            let (more, certain) = self.certain(variable);
            if !certain {
                return (Vec::new(), None);
            }
            folders.extend(more.iter().map(|name| self.path(name)));
        }
        let of_system: Vec<PathBuf> =
            folders.iter().flat_map(|own| ["Linux", "posix", "default"].map(|os| own.join("os").join(os))).collect();
        folders.extend(of_system);
        // Where make is told of folders in other ways, they may be there.
        let text = std::fs::read_to_string(self.folder.join("Makefile")).unwrap_or_default();
        let elsewhere =
            text.lines().any(|line| line.trim_start().starts_with("vpath") || line.trim_start().starts_with("VPATH"));
        let (mut applications, mut main) = (Vec::new(), None);
        let mut known = true;
        for variable in [format!("{program}_SRCS"), "PROD_SRCS".to_owned(), "USR_SRCS".to_owned(), "SRCS".to_owned()] {
            let (sources, certain) = self.certain(&variable);
            known &= certain;
            for source in sources {
                let name = source.rsplit('/').next().unwrap_or(&source).to_owned();
                let Some((stem, ending)) = name.rsplit_once('.') else { continue };
                let application = name.strip_suffix(REGISTERS);
                applications.extend(application.map(str::to_owned));
                main.get_or_insert(false);
                if application.is_none() {
                    let text = folders.iter().find_map(|folder| std::fs::read(folder.join(&name)).ok());
                    // A sequencer program may bring one, and what is generated, too.
                    known &= text.is_some() && !matches!(ending, "st" | "stt");
                    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
                    // Also by EPICS' macro MAIN, or from a file whose name says so.
                    main = Some(main == Some(true) || text.to_ascii_lowercase().contains("main"));
                }
                let stems = [
                    Some(stem.to_owned()),
                    application.map(str::to_owned),
                    application.map(|own| format!("{own}Include")),
                ];
                let there = |folder: &PathBuf| {
                    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
                    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                    names
                        .filter_map(|own| Some(own.split_once('.')?.0.to_owned()))
                        .any(|own| stems.contains(&Some(own)))
                };
                let defined = application.is_some_and(|own| {
                    self.build.definitions.contains_key(own) || !self.makefile.words(&format!("{own}_DBD")).is_empty()
                });
                let made =
                    |stem: &str| self.makefile.rules.keys().any(|own| own.starts_with(stem) || own.starts_with('%'));
                let near = self.path(&source).is_file() || folders.iter().any(there);
                if elsewhere || defined || near || made(stem) || self.by_rule(&name).is_some() {
                    continue;
                }
                let what = match application {
                    Some(own) => format!("make stops: `{name}` is made from {own}.dbd, which nothing here makes"),
                    None => format!("make stops: there is no source `{name}`, and nothing here makes it"),
                };
                let fault = self.problem(&variable, &source, what);
                self.build.faults.push(fault);
            }
        }
        (applications, main.filter(|_| known))
    }

    /// Looks whether a program has the libraries that the definitions of its applications need; false where some are not known.
    fn libraries(&mut self, program: &str, applications: &[String]) -> bool {
        let mut libraries = Vec::new();
        let own = ["LIBS", "SYS_LIBS", "LDFLAGS", "OBJS", "LDOBJS"].map(|kind| format!("{program}_{kind}"));
        for variable in own.into_iter().chain(OF_ALL.map(str::to_owned)) {
            for variable in [format!("{variable}_Linux"), format!("{variable}_DEFAULT"), variable] {
                for word in self.makefile.words(&variable) {
                    let of_base = word.doubt.as_ref().is_some_and(|own| own.what.starts_with("`$(EPICS_BASE_"));
                    let near = KNOWN.iter().find(|own| own.len() > 3 && known::are_swapped(&word.text, own));
                    let sure = word.doubt.is_none() && !self.build.libraries.contains(&word.text);
                    if let Some(near) = near.filter(|_| sure) {
                        let what = format!("make stops: there is no library `{}`; did you mean `{near}`?", word.text);
                        let fault = self.problem(&variable, &word.text, what);
                        self.build.faults.push(fault);
                    }
                    if !KNOWN.contains(&word.text.as_str()) && word.text != "-nil-" && !(word.partial && of_base) {
                        return false;
                    }
                    libraries.push(word.text);
                }
            }
        }
        for application in applications {
            let variable = format!("{application}_DBD");
            for (definitions, library) in LIBRARIES {
                let words = self.makefile.words(&variable);
                let needs = words.iter().find(|word| word.doubt.is_none() && definitions.contains(&word.text.as_str()));
                let Some(needs) = needs.filter(|_| !libraries.iter().any(|own| own == library)) else { continue };
                let named = if library == OF_BASE { "$(EPICS_BASE_IOC_LIBS)" } else { library };
                let what = format!(
                    "make stops: {} needs the library `{named}`, and {program}_LIBS does not name it",
                    needs.text
                );
                let fault = self.problem(&variable, &needs.text, what);
                self.build.faults.push(fault);
            }
        }
        true
    }
}
